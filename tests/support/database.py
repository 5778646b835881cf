"""Databases for tests: what is in them, how they are made, how programs are run against them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pytest_postgresql.janitor import DatabaseJanitor

from support.cluster import PORT, REPOSITORY, SUPERUSER, Cluster, bindir

TEMPLATE = "synapsor_template"

# Each login is a member of the group role of its name; the stranger is a member of none.
LOGINS = (
    "test_caller",
    "test_caller_b",
    "test_approver",
    "test_approver_b",
    "test_worker",
    "test_worker_b",
    "test_auditor",
    "test_admin",
    "test_gateway",
    "test_stranger",
)


@dataclass
class Database:
    """One database of a throw-away cluster; calling it gives a connection string."""

    cluster: Cluster
    name: str
    opened: list[psycopg.Connection[Any]] = field(default_factory=list)

    def __call__(self, user: str = SUPERUSER) -> str:
        return self.dsn(user)

    def dsn(self, user: str = SUPERUSER) -> str:
        return self.cluster.dsn(self.name, user)

    def connect(
        self, user: str = SUPERUSER, *, autocommit: bool = True, **options: Any
    ) -> psycopg.Connection[Any]:
        """Open a connection that ends with the test."""
        connection = psycopg.connect(self.dsn(user), autocommit=autocommit, **options)
        self.opened.append(connection)
        return connection

    def close(self) -> None:
        for connection in self.opened:
            connection.close()

    def psql(self, *arguments: str | Path, user: str = SUPERUSER) -> str:
        """Run psql against it and return what it prints; a failure shows all of it."""
        return run(
            bindir() / "psql",
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            f"--dbname={self.dsn(user)}",
            *arguments,
        )


def run(*command: str | Path, **options: Any) -> str:
    """Run a program and return its output; fail the test with all of it otherwise."""
    surroundings = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    finished: subprocess.CompletedProcess[str] = subprocess.run(
        [str(word) for word in command],
        cwd=REPOSITORY,
        env=surroundings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    if finished.returncode != 0:
        pytest.fail(f"{Path(command[0]).name} failed:\n{finished.stdout}", pytrace=False)
    return finished.stdout


def janitor(cluster: Cluster, name: str, template: str | None = None) -> DatabaseJanitor:
    """Return pytest-postgresql's maker of that database."""
    return DatabaseJanitor(
        user=SUPERUSER,
        host=str(cluster.socket),
        port=PORT,
        dbname=name,
        template_dbname=template,
    )


def fill(database: Database) -> None:
    """Install the extension, the helpers of the tests and the login roles."""
    database.psql(
        "--command=create extension synapsor cascade",
        "--command=create extension pgtap",
        f"--file={REPOSITORY / 'tests/database/helpers.sql'}",
    )
    with psycopg.connect(database(), autocommit=True) as connection:
        for login in LOGINS:
            connection.execute(f"create role {login} login")
            group = "synapsor_" + login.split("_")[1]
            if group != "synapsor_stranger":
                connection.execute(f"grant {group} to {login}")
