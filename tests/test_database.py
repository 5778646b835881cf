"""Runs each pgTAP file through pg_prove, against a clone of the template."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from support.cluster import PORT, REPOSITORY, SUPERUSER, bindir
from support.database import run

if TYPE_CHECKING:
    from pathlib import Path

    from support.database import Database

FILES = [
    file
    for file in sorted((REPOSITORY / "tests/database").glob("*.sql"))
    if file.name != "helpers.sql"
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_database(database: Database, file: Path) -> None:
    if shutil.which("pg_prove") is None:
        pytest.skip("pg_prove is missing (Debian: libtap-parser-sourcehandler-pgtap-perl)")
    run(
        "pg_prove",
        f"--psql-bin={bindir() / 'psql'}",
        f"--host={database.cluster.socket}",
        f"--port={PORT}",
        f"--username={SUPERUSER}",
        f"--dbname={database.name}",
        "--verbose",
        file,
        timeout=300,
    )
