"""A live view of queues, workers, providers, approvals and what is stuck."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from synapsor_pg.cli.app import app
from synapsor_pg.cli.shared import (
    READERS,
    AsJson,
    Dsn,
    UsageError,
    conninfo,
    plain,
    print_json,
    print_table,
    told,
)
from synapsor_pg.cli.snapshot import Feed, Snapshot
from synapsor_pg.cli.tables import TABLES, cells

NO_TEXTUAL = "the live view needs an extra: pip install 'synapsor-pg[top]'"


@app.command(rich_help_panel="Look")
def top(
    *,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print it once, and end.")] = False,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Watch queues, workers, providers, approvals and what is stuck, and decide by a key.

    Keys: a approve, r reject, t retry, s settle, e explain, p pause, tab next table, q quit.
    Without a terminal, or with --json, it prints what there is once.
    """
    with told(role=READERS, as_json=as_json):
        conninfo(dsn)
        if once or as_json or not sys.stdout.isatty():
            feed = Feed(dsn)
            try:
                snapshot = feed.look()
            finally:
                feed.close()
            if as_json:
                print_json({"at": snapshot.at, **snapshot.parts})
            else:
                _print(snapshot)
            return
        try:
            from synapsor_pg.cli.screen import Top  # noqa: PLC0415 - an extra
        except ImportError:
            raise UsageError(NO_TEXTUAL) from None
        Top(dsn, interval=interval).run()


def _print(snapshot: Snapshot) -> None:
    for name, columns in TABLES.items():
        rows = snapshot.parts.get(name)
        if rows is None:
            continue
        typer.echo(plain(f"{name} ({len(rows)})"))
        told_rows = [dict(zip(columns, cells(name, row), strict=True)) for row in rows]
        print_table(told_rows, list(columns), whole=["action"])
