"""The application that every command joins."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

EXIT_CODES = (
    "Exit codes: 0 done; 1 refused, or no way to the database; 2 wrong usage or file;"
    " 3 done, with something to look at; 4 something is broken."
)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"synapsor-pg {version('synapsor-pg')}")
        raise typer.Exit


@app.callback(epilog=EXIT_CODES)
def synapsor_pg(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell it.")
    ] = False,
) -> None:
    """Work on the external actions of a synapsor database."""


def main() -> None:
    """Run the command."""
    app()
