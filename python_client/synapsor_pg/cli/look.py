"""What there is to see."""

# ruff: noqa: PLR0913 - options are parameters

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import psycopg
import typer

from synapsor_pg.cli.app import app
from synapsor_pg.cli.shared import (
    READERS,
    AsJson,
    Dsn,
    UsageError,
    busy,
    client_of,
    connect,
    fetch,
    plain,
    print_json,
    print_table,
    shown,
    told,
)
from synapsor_pg.cli.snapshot import floor

if TYPE_CHECKING:
    from collections.abc import Iterator

PANEL = "Look"
LATE = 60.0
"""Seconds by which a transaction may commit later than its events say, and still be followed."""
LATELY, WHOLE = 900.0, 10.0
"""Actions proposed so many seconds ago are looked at each time, all others each so many seconds."""
MOST_EVENTS = 10_000
RENDERING = 60


class Format(StrEnum):
    """How an explanation is written."""

    text = "text"
    json = "json"
    mermaid = "mermaid"
    dot = "dot"


@app.command(rich_help_panel=PANEL)
def explain(
    subject_id: Annotated[str, typer.Argument(help="An action's or a run's id.")],
    *,
    form: Annotated[
        Format, typer.Option("--format", help="An action: text or json.")
    ] = Format.text,
    open_it: Annotated[
        bool, typer.Option("--open", help="A run: draw it (needs graphviz) and open the picture.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write to this file; .svg, .png or .pdf: draw it.")
    ] = None,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Explain an action or a run: what became of it, and why it does not go on."""
    is_run = subject_id.startswith("run_")
    picture = None if out is None else out.suffix.lower().removeprefix(".")
    draws = open_it or picture in {"svg", "png", "pdf"}
    with told(role=READERS, as_json=as_json):
        if draws and not is_run:
            raise UsageError("only a run can be drawn; name its run_… id")
        style = Format.dot if draws else Format.json if as_json else form
        with client_of(dsn) as client:
            if is_run:
                text = client.explain_agent_run(subject_id, format=style.value)
            else:
                text = client.explain_action(subject_id, format=style.value)
        if draws:
            draw(text, out, subject_id, open_it=open_it)
        elif out is not None:
            out.write_text(text + "\n", "utf-8")
        else:
            typer.echo(plain(text))


def draw(dot: str, target: Path | None, name: str, *, open_it: bool) -> None:
    """Draw a graph into a file, and print its name."""
    if shutil.which("dot") is None:
        raise UsageError("drawing needs graphviz: the program dot is not installed")
    target = target or Path(tempfile.mkdtemp(prefix="synapsor-")) / f"{name}.svg"
    kind = target.suffix.lower().removeprefix(".") or "svg"
    try:
        with busy("drawing"):
            subprocess.run(  # noqa: S603 - a list, no shell
                ["dot", f"-T{kind}", "-o", str(target)],  # noqa: S607 - as the user's PATH has it
                input=dot,
                text=True,
                capture_output=True,
                check=True,
                timeout=RENDERING,
            )
    except subprocess.CalledProcessError as error:
        raise UsageError(f"graphviz cannot draw it: {error.stderr.strip()}") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"graphviz has not drawn it in {RENDERING} s") from None
    typer.echo(str(target))
    if open_it:
        typer.launch(str(target))


@app.command(rich_help_panel=PANEL)
def queues(
    *,
    queue: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Count the unfinished actions by queue and tenant."""
    rows = _read(
        dsn,
        as_json,
        "select * from synapsor.synapsor_queue_stats"
        " where queue is not distinct from coalesce(%(queue)s, queue) order by queue, tenant_id",
        queue=queue,
    )
    if as_json:
        print_json(rows)
        return
    columns = ["queue", "tenant_id", "proposed", "queued", "due", "claimed", "unknown"]
    print_table(
        rows, [*columns, "oldest_due_at", "paused", "workers"], nothing="no action is unfinished"
    )


@app.command(rich_help_panel=PANEL)
def providers(*, dsn: Dsn = "", as_json: AsJson = False) -> None:
    """Show the health of the providers: breaker, rate limit, what is in flight."""
    rows = _read(
        dsn,
        as_json,
        "select * from synapsor.synapsor_provider_health order by provider, account, tenant_id",
    )
    if as_json:
        print_json(rows)
    else:
        columns = list(rows[0]) if rows else []
        print_table(rows, columns, nothing="no provider is declared")


@app.command(rich_help_panel=PANEL)
def workers(*, dsn: Dsn = "", as_json: AsJson = False) -> None:
    """List the workers, when each was last seen and what it holds."""
    rows = _read(
        dsn,
        as_json,
        "select worker.*, extract(epoch from now() - worker.last_seen_at)::float8 as silent_for"
        " from synapsor.synapsor_workers as worker order by worker_principal, worker_label",
    )
    if as_json:
        print_json(rows)
        return
    for row in rows:
        row["silent for"] = f"{row['silent_for']:.0f} s"
    print_table(
        rows,
        ["worker_principal", "worker_label", "queues", "last_seen_at", "silent for", "held"],
        nothing="no worker has been seen",
    )


@app.command(rich_help_panel=PANEL)
def stuck(
    *,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, oldest first.")] = 1000,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """List the actions that do not go on by themselves, with the cause and what mends it."""
    rows = _read(
        dsn,
        as_json,
        "select * from synapsor.synapsor_stuck_actions order by since limit %(limit)s",
        limit=limit,
    )
    if as_json:
        print_json(rows)
    else:
        columns = ["action_id", "status", "since", "cause", "remedy"]
        print_table(rows, columns, nothing="nothing is stuck")


def _read(dsn: str, as_json: bool, statement: str, **arguments: Any) -> list[dict[str, Any]]:
    with told(role=READERS, as_json=as_json), connect(dsn) as connection:
        return fetch(connection, statement, arguments)


@app.command(rich_help_panel=PANEL)
def events(
    action_id: Annotated[str | None, typer.Argument(help="Only this action's.")] = None,
    *,
    queue: Annotated[str | None, typer.Option(help="Only this queue's.")] = None,
    event_type: Annotated[
        list[str] | None, typer.Option("--type", help="Only these, as Failed; repeatable.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="How far back, as '2 hours'.", show_default=False)
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=MOST_EVENTS, help="At most so many: the latest.")
    ] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they happen.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Tell what happened to actions, event by event; --json: a line of JSON for each.

    Without --since, all events of an action are told, of other actions those of the last hour.
    """
    arguments = {
        "action": action_id,
        "queue": queue,
        "types": event_type,
        "since": since or "1 hour",
        "is_all": action_id is not None and since is None,
        "limit": limit,
    }
    with told(role=READERS, as_json=as_json):
        for row in _stream(dsn, arguments, follow=follow, interval=interval):
            if as_json:
                print_json(row, line=True)
            else:
                typer.echo(_event_line(row))


EVENTS = """
select event.*
from (
    select * from synapsor.synapsor_external_action_events
    where {action}
        action_id > %(floor)s
        and (%(is_all)s or occurred_at > now() - %(since)s::interval)
        and (%(queue)s::text is null or queue = %(queue)s)
        and (%(types)s::text[] is null or event_type = any(%(types)s))
    order by occurred_at desc, event_id desc
    limit %(limit)s
) as event
order by event.occurred_at, event.event_id
"""


def _stream(
    dsn: str, arguments: dict[str, Any], *, follow: bool, interval: float
) -> Iterator[dict[str, Any]]:
    """Yield the events, and with `follow` those to come; a lost connection is made anew.

    Events become visible when their transaction commits, perhaps after later ones: each look
    goes back a little, and what was told already is left out. History may be long, so most looks
    are for actions proposed lately, and only some for all there are.
    """
    statement = EVENTS.format(action="action_id = %(action)s and" if arguments["action"] else "")
    most = MOST_EVENTS if follow else arguments["limit"]
    asked = {**arguments, "floor": "", "limit": most}
    told_at: dict[str, float] = {}
    saw_all, cost = time.monotonic(), 0.0
    connection = connect(dsn, autocommit=True)
    try:
        rows = fetch(connection, statement, asked)
        yield from rows[-arguments["limit"] :]
        while follow:
            now = time.monotonic()
            told_at |= {row["event_id"]: now for row in rows}
            if len(rows) == most:
                typer.echo(f"more than {most} events at once: the oldest are left out", err=True)
            time.sleep(max(interval, 5 * cost))
            began = time.monotonic()
            is_whole = began - saw_all > max(WHOLE, 20 * cost)
            back = began - saw_all + LATE  # also as long as nothing could be seen
            told_at = {event: at for event, at in told_at.items() if at > began - 2 * back}
            asked |= {
                "since": f"{back} seconds",
                "is_all": False,
                "floor": "" if is_whole else floor(time.time() - LATELY),
            }
            try:
                if connection.closed:
                    connection = connect(dsn, autocommit=True)
                rows = fetch(connection, statement, asked)
            except psycopg.OperationalError as error:
                first = str(error).strip().splitlines()[0]
                typer.echo(plain(f"connection lost, trying again: {first}"), err=True)
                connection.close()
                rows = []
                continue
            cost = time.monotonic() - began
            saw_all = began if is_whole else saw_all
            yield from (row for row in rows if row["event_id"] not in told_at)
    finally:
        connection.close()


def _event_line(row: dict[str, Any]) -> str:
    said = [
        shown(row["occurred_at"]),
        row["action_id"],
        row["event_type"],
        f"-> {row['status']}",
        f"by {row['worker_principal'] or row['actor']}",
    ]
    said += [f"{name}={row[name]}" for name in ("error_code", "provider_request_id") if row[name]]
    said += [str(row["action"] or ""), f"({row['note']})" if row["note"] else ""]
    return plain(" ".join(word for word in said if word))
