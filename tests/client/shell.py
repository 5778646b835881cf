"""The command `synapsor-pg`, called in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synapsor_pg.cli import app
from typer.testing import CliRunner

if TYPE_CHECKING:
    from client.workshop import Workshop


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def call(workshop: Workshop, login: str, *words: str, answer: str | None = None) -> Said:
    """Run a command as that login; an exception that is not an exit is a failure."""
    dsn = workshop.database() if login == "superuser" else workshop.database(login)
    environment = {"SYNAPSOR_DSN": dsn, "NO_COLOR": "1", "COLUMNS": "200"}
    result = CliRunner().invoke(
        app, list(words), input=answer, env=environment, catch_exceptions=False
    )
    return Said(result.exit_code, result.stdout, result.stderr)


def done(workshop: Workshop, login: str, *words: str) -> Said:
    """Run a command that must succeed."""
    said = call(workshop, login, *words)
    assert said.code == 0, said.err
    return said
