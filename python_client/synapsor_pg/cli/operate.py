"""What an operator does: the kill switch, after a restore, and getting rid of the old."""

# ruff: noqa: PLR0913 - options are parameters

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime  # noqa: TC003 - Typer reads it
from enum import StrEnum
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from synapsor_pg.cli.app import app
from synapsor_pg.cli.shared import (
    AsJson,
    Dsn,
    UsageError,
    Yes,
    busy,
    client_of,
    confirm,
    connect,
    console,
    fetch,
    plain,
    print_json,
    print_table,
    shown,
    told,
)
from synapsor_pg.client import Client

PANEL = "Operate"


class Kind(StrEnum):
    """What can be suspended."""

    queue = "queue"
    provider = "provider"
    action = "action"
    tenant = "tenant"
    principal = "principal"
    all = "all"


Of = Annotated[Kind, typer.Argument(help="What kind of thing.")]
Name = Annotated[str, typer.Argument(help="Its name; of all: nothing.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why; whoever meets it is shown this.")]


@app.command(rich_help_panel=PANEL)
def suspend(
    kind: Of, reason: Reason, name: Name = "", *, dsn: Dsn = "", as_json: AsJson = False
) -> None:
    """Stop deliveries: nothing of it is claimed until it is resumed."""
    _need_name(kind, name, as_json)
    role = "synapsor_approver or synapsor_admin"
    with told(role=role, as_json=as_json), client_of(dsn) as client:
        stop = client.suspend(kind.value, name, reason)
    if as_json:
        print_json(asdict(stop))
    else:
        typer.echo(plain(f"{kind.value} {name}".strip() + f" is suspended: {stop.reason}"))


@app.command(rich_help_panel=PANEL)
def resume(
    kind: Annotated[str, typer.Argument(help="As in suspend; or the id of a failed run.")],
    name: Name = "",
    *,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Lift a suspension; or continue a failed run, with what it has done already."""
    if kind.startswith("run_"):
        with told(role="synapsor_caller", as_json=as_json), client_of(dsn) as client:
            run = client.resume_run(kind)
        if as_json:
            print_json(asdict(run))
        else:
            typer.echo(f"{run.run_id} is {run.state}")
        return
    with told(role="synapsor_admin", as_json=as_json):
        if kind not in list(Kind):
            raise UsageError(f"{kind} is none of {', '.join(Kind)}, nor a run's id")
        _need_name(Kind(kind), name, as_json)
        with client_of(dsn) as client:
            lifted = client.resume(kind, name)
    if as_json:
        print_json(None if lifted is None else asdict(lifted))
    elif lifted is not None:  # otherwise the database has said so
        typer.echo(plain(f"{kind} {name}".strip() + f" is resumed; it was: {lifted.reason}"))


def _need_name(kind: Kind, name: str, as_json: bool) -> None:
    with told(as_json=as_json):
        if not name and kind is not Kind.all:
            raise UsageError(f"name the {kind.value}")


@app.command(rich_help_panel=PANEL)
def suspensions(*, dsn: Dsn = "", as_json: AsJson = False) -> None:
    """List what is suspended, by whom and why."""
    with told(role="synapsor_caller or synapsor_approver", as_json=as_json), connect(dsn) as opened:
        rows = fetch(opened, "select * from synapsor.synapsor_suspensions order by suspended_at")
    if as_json:
        print_json(rows)
    else:
        columns = ["kind", "name", "reason", "suspended_by", "suspended_at"]
        print_table(rows, columns, nothing="nothing is suspended")


@app.command(rich_help_panel=PANEL)
def weigh(
    tenant_id: Annotated[str, typer.Argument(help="The tenant.")],
    weight: Annotated[int, typer.Argument(min=1, max=100, help="1: as every other.")],
    *,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Give a tenant so many times the share of another one's of a queue's claims."""
    with told(role="synapsor_admin", as_json=as_json), client_of(dsn) as client:
        decided = client.weigh_tenant(tenant_id, weight)
    if as_json:
        print_json(asdict(decided))
    else:
        typer.echo(plain(f"tenant {decided.tenant_id} has weight {decided.weight}"))


@app.command(rich_help_panel=PANEL)
def quarantine(
    reason: Annotated[str, typer.Option(help="What happened.")],
    *,
    yes: Yes = False,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """After a restore with loss: halt all delivery; what may have been sent becomes unknown."""
    with told(role="synapsor_admin", as_json=as_json):
        confirm("Halt all delivery, and make every unfinished action unknown?", yes=yes)
        with busy("halting"), client_of(dsn) as client:
            count = client.quarantine_after_restore(reason)
    if as_json:
        print_json({"quarantined": count})
    else:
        typer.echo(f"{count} actions are unknown now; delivery halts until `resume all`")


@app.command(rich_help_panel=PANEL)
def purge(
    *,
    older_than: Annotated[
        str | None, typer.Option(help="Finished so long ago, as '90 days'.", show_default=False)
    ] = None,
    before: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"],
            help="Finished before this moment (the database's time zone).",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=100_000, help="In one transaction.")] = 1000,
    pause: Annotated[float, typer.Option(min=0, help="Seconds between two batches.")] = 0.1,
    at_most: Annotated[int | None, typer.Option(min=1, help="Altogether.")] = None,
    yes: Yes = False,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Remove finished invocations for good, in small batches; an interruption loses nothing."""
    with told(role="synapsor_admin", as_json=as_json):
        if (older_than is None) == (before is None):
            raise UsageError("say either --older-than or --before")
        with connect(dsn, autocommit=True) as connection:
            [moment] = fetch(
                connection,
                "select coalesce(%(before)s::timestamptz, now() - %(age)s::interval) as at",
                {"before": None if before is None else before.isoformat(), "age": older_than},
            )
            confirm(f"Remove what finished before {shown(moment['at'])}, for good?", yes=yes)
            client, purged = Client(connection), 0
            screen = console(err=True)
            bar = Progress(
                TextColumn("purging"),
                BarColumn(),
                TextColumn("{task.completed} removed"),
                TimeElapsedColumn(),
                console=screen,
                disable=not screen.is_terminal,
                transient=True,
            )
            with bar:
                task = bar.add_task("purge", total=at_most)
                while at_most is None or purged < at_most:
                    wanted = batch if at_most is None else min(batch, at_most - purged)
                    removed = client.purge(moment["at"], max_actions=wanted)
                    purged += removed
                    bar.update(task, completed=purged)
                    if removed < wanted:
                        break
                    time.sleep(pause)
    if as_json:
        print_json({"purged": purged, "before": moment["at"]})
    else:
        typer.echo(f"{purged} invocations are removed")
