"""The command ``synapsor-pg``."""

# ruff: noqa: PLR0913 - options are parameters

from __future__ import annotations

import importlib
import json
import logging
import sys
from dataclasses import asdict
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Any

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from synapsor_pg.client import Client
from synapsor_pg.errors import SynapsorError
from synapsor_pg.handlers import registry
from synapsor_pg.models import PendingApproval, rows_of
from synapsor_pg.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapsor_pg.models import ExternalAction

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Dsn = Annotated[
    str,
    typer.Option(
        envvar="SYNAPSOR_DSN",
        help="Connection string; what it leaves out comes from libpq's PG* variables.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ActionId = Annotated[str, typer.Argument(help="The action's id.")]


@app.callback()
def synapsor_pg() -> None:
    """Work on the external actions of a synapsor database."""


@app.command()
def worker(
    queues: Annotated[list[str], typer.Option("--queue", help="A queue to serve; repeatable.")],
    *,
    handlers: Annotated[
        list[str] | None,
        typer.Option(
            "--handlers",
            help="A module that registers handlers; repeatable. Default: all installed providers.",
        ),
    ] = None,
    dsn: Dsn = "",
    batch: Annotated[int, typer.Option(min=1, help="Actions per claim.")] = 10,
    concurrency: Annotated[int, typer.Option(min=1, help="Handler threads.")] = 10,
    lease: Annotated[
        float | None, typer.Option(help="Seconds a claim is leased; default: the contract's.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="This worker's name; default: host:pid.")
    ] = None,
    poll: Annotated[float, typer.Option(help="Seconds between looks at an idle queue.")] = 1.0,
    drain: Annotated[float, typer.Option(help="Seconds a stop waits for handlers.")] = 30.0,
    listen: Annotated[bool, typer.Option(help="Wake up by LISTEN too.")] = True,
    listen_dsn: Annotated[
        str | None, typer.Option(help="Where to LISTEN when --dsn names a pooler.")
    ] = None,
    until_idle: Annotated[bool, typer.Option(help="End when nothing is due.")] = False,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Perform queued actions: claim, call the provider, confirm. SIGTERM drains and ends it."""
    logging.basicConfig(
        level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    # the worker itself says what it cannot do without a connection
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    _load(handlers)
    _tell(
        lambda: Worker(
            dsn,
            queues=queues,
            batch=batch,
            concurrency=concurrency,
            lease=lease,
            label=label,
            poll=poll,
            drain=drain,
            listen=listen,
            listen_dsn=listen_dsn,
        ).run(until_idle=until_idle),
        role="synapsor_worker",
    )


def _load(modules: list[str] | None) -> None:
    """Import the modules with handlers, or what installed packages offer."""
    log = logging.getLogger("synapsor_pg")
    if modules:
        sys.path.insert(0, "")  # they may live in the current folder
        for module in modules:
            try:
                importlib.import_module(module)
            except ImportError as error:
                typer.echo(f"cannot load --handlers {module}: {error}", err=True)
                raise typer.Exit(2) from error
    else:
        for provider in entry_points(group="synapsor_pg.providers"):
            try:
                provider.load()
            except ImportError as error:
                log.info("provider %s is not available: %s", provider.name, error)
    if not len(registry):
        typer.echo("there are no handlers; name a module with --handlers", err=True)
        raise typer.Exit(2)
    log.info("handlers: %s", ", ".join(f"{of[0]}/{of[1]}" for of in registry))


@app.command()
def pending(*, dsn: Dsn = "", as_json: AsJson = False) -> None:
    """List the actions that wait for a reviewer."""

    def read() -> list[PendingApproval]:
        with psycopg.connect(dsn) as connection:
            cursor = connection.cursor(row_factory=rows_of(PendingApproval))
            cursor.execute("select * from synapsor.synapsor_pending_approvals order by created_at")
            return cursor.fetchall()

    rows = _tell(read, role="synapsor_approver")
    if as_json:
        _print_json([asdict(row) for row in rows])
        return
    table = Table()
    table.add_column("action_id", no_wrap=True, min_width=30)
    for name in ("action", "proposed by", "approvals", "arguments", "expires"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(
            row.action_id,
            row.action,
            row.proposed_by,
            f"{row.approvals_given}/{row.approvals_required}",
            json.dumps(row.arguments, ensure_ascii=False),
            "" if row.expires_at is None else row.expires_at.isoformat(timespec="seconds"),
        )
    Console().print(table)


@app.command()
def approve(
    action_id: ActionId,
    *,
    note: Annotated[str | None, typer.Option(help="Why.")] = None,
    digest: Annotated[str | None, typer.Option(help="Approve only exactly this intent.")] = None,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Approve an action."""
    _decide(
        dsn,
        as_json,
        lambda client: client.approve_external_action(action_id, note=note, expected_digest=digest),
    )


@app.command()
def reject(
    action_id: ActionId,
    note: Annotated[str, typer.Option(help="Why.")],
    *,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Reject an action, for good."""
    _decide(dsn, as_json, lambda client: client.reject_external_action(action_id, note))


@app.command()
def explain(
    subject_id: Annotated[str, typer.Argument(help="An action's or a run's id.")],
    *,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Explain an action or a run."""

    def read() -> str:
        style = "json" if as_json else "text"
        with psycopg.connect(dsn) as connection:
            client = Client(connection)
            if subject_id.startswith("run_"):
                return client.explain_agent_run(subject_id, format=style)
            return client.explain_action(subject_id, format=style)

    typer.echo(_tell(read, role="synapsor_auditor"))


def _decide(dsn: str, as_json: bool, verb: Callable[[Client], ExternalAction]) -> None:
    def decide() -> ExternalAction:
        with psycopg.connect(dsn) as connection:
            return verb(Client(connection))

    action = _tell(decide, role="synapsor_approver")
    if as_json:
        _print_json(asdict(action))
    else:
        remark = "" if action.changed else " (nothing changed)"
        typer.echo(f"{action.action_id} is {action.status}{remark}")


def _tell(act: Callable[[], Any], *, role: str) -> Any:
    """Do it; say what the database refused, and which role it takes, and exit with 1."""
    try:
        return act()
    except psycopg.errors.InsufficientPrivilege as error:
        typer.echo(f"{str(error).strip()} (grant {role} to <login>)", err=True)
        raise typer.Exit(1) from error
    except (SynapsorError, psycopg.Error) as error:
        typer.echo(str(error).strip(), err=True)
        raise typer.Exit(1) from error


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, default=str, ensure_ascii=False, indent=2))


def main() -> None:
    """Run the command."""
    app()
