"""Contracts, and what else is declared, kept in files."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import psycopg
import typer
from rich.progress import Progress
from rich.text import Text

from synapsor_pg.cli.app import app
from synapsor_pg.cli.documents import Definition, definitions
from synapsor_pg.cli.shared import (
    READERS,
    AsJson,
    Dsn,
    Exit,
    UsageError,
    Yes,
    confirm,
    connect,
    console,
    fail,
    fetch,
    plain,
    print_json,
    print_table,
    told,
)
from synapsor_pg.client import Client
from synapsor_pg.errors import SynapsorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

contracts = typer.Typer(no_args_is_help=True, help="Contracts and other declarations, in files.")
app.add_typer(contracts, name="contracts", rich_help_panel="Declare")

Paths = Annotated[
    list[Path], typer.Argument(help="Files or folders of YAML, JSON or TOML.", show_default=False)
]
SLOW = 50
"""So many declarations may take over a second."""

# what a definition is, by a key that only its kind has; in the order in which they need each other
KINDS: dict[str, tuple[str, Callable[[Client], Callable[[Any], Any]]]] = {
    "policy": ("policy", lambda client: client.declare_policy),
    "entity_type": ("state machine", lambda client: client.declare_state_machine),
    "workflow": ("workflow", lambda client: client.declare_workflow),
    "action": ("action", lambda client: client.declare_action),
    "Name": ("plan", lambda client: client.declare_plan),
    "provider": ("provider", lambda client: client.declare_provider),
}


@dataclass(slots=True, kw_only=True)
class Change:
    """What declaring one definition does."""

    kind: str
    name: str
    version: int | None
    changed: bool
    digest: str | None = None
    differences: list[Difference] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it as --json prints it."""
        return {
            "kind": self.kind,
            "name": self.name,
            "version": self.version,
            "changed": self.changed,
            "differences": [
                {"path": each.path, "old": each.old, "new": each.new} for each in self.differences
            ],
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """One place at which two documents differ; what is absent is None and not in `sides`."""

    path: str
    old: Any
    new: Any
    sides: str  # "+", "-" or "~"


# commands


@contracts.command(name="list")
def list_contracts(
    *,
    every: Annotated[bool, typer.Option("--all", help="Every version, retired ones too.")] = False,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """List the action contracts in use, the latest version of each."""
    with told(role=READERS, as_json=as_json), connect(dsn) as connection:
        rows = fetch(
            connection,
            "select contract.* from synapsor.synapsor_action_contracts as contract"
            " where %(every)s or contract.version = ("
            "  select max(latest.version) from synapsor.synapsor_action_contracts as latest"
            "  where latest.action = contract.action and latest.retired_at is null)"
            " order by contract.action, contract.version",
            {"every": every},
        )
    if as_json:
        print_json(rows)
        return
    for row in rows:
        row["queue"] = row["definition"].get("queue")
        row["approval"] = (row["definition"].get("approval") or {}).get("required", False)
    columns = ["action", "version", "label", "kind", "queue", "approval", "declared_by"]
    print_table(
        rows,
        [*columns, "declared_at", *(["retired_at"] if every else [])],
        whole=["action"],
        nothing="no contract is declared",
    )


@contracts.command()
def show(
    action: Annotated[str, typer.Argument(help="namespace.verb")],
    *,
    version: Annotated[int | None, typer.Option(help="Default: the latest.")] = None,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Show a contract with its defaults; --json prints the whole row."""
    with told(role=READERS, as_json=as_json):
        with connect(dsn) as connection:
            row = _latest(connection, action, version)
        if row is None:
            fail(f"there is no contract {action}", as_json=as_json)
        if as_json:
            print_json(row)
        else:
            title = f"# {action} version {row['version']}, by {row['declared_by']}, {row['digest']}"
            typer.echo(plain(title + (", retired" if row["retired_at"] else "")), err=True)
            print_json(row["definition"])


@contracts.command()
def diff(paths: Paths, *, dsn: Dsn = "", as_json: AsJson = False) -> None:
    """Show how files differ from what is declared; exit code 3 when they do."""
    with told(role="synapsor_admin", as_json=as_json), connect(dsn) as connection:
        changes = declare(connection, definitions(paths), as_json=as_json, keep=False)
    report(changes, as_json=as_json)
    if any(each.changed for each in changes):
        raise typer.Exit(Exit.ATTENTION)


@contracts.command()
def apply(paths: Paths, *, dsn: Dsn = "", as_json: AsJson = False) -> None:
    """Declare what files contain, all or nothing; what is declared already stays as it is."""
    with told(role="synapsor_admin", as_json=as_json), connect(dsn) as connection:
        changes = declare(connection, definitions(paths), as_json=as_json)
    report(changes, as_json=as_json)


@contracts.command()
def retire(
    action: Annotated[str, typer.Argument(help="namespace.verb")],
    *,
    version: Annotated[int | None, typer.Option(help="Only this one; default: all.")] = None,
    yes: Yes = False,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Retire a contract: nothing new is proposed under it, what is in flight finishes."""
    with told(role="synapsor_admin", as_json=as_json):
        confirm(f"Retire {'every version' if version is None else version} of {action}?", yes=yes)
        with connect(dsn) as connection:
            retired = Client(connection).retire_action(action, version=version)
    if as_json:
        print_json(retired)
    else:
        for each in retired:
            typer.echo(f"{each.action} version {each.version} is retired")


# declaring


def declare(
    connection: psycopg.Connection[Any],
    wanted: Sequence[Definition],
    *,
    as_json: bool,
    keep: bool = True,
) -> list[Change]:
    """Declare them in one transaction; every mistake of every file is told at once."""
    kinds = list(KINDS)
    parts = sorted(
        (each for file in wanted for each in _parts(file)),
        key=lambda each: kinds.index(_kind(each)),
    )
    changes: list[Change] = []
    refused: list[tuple[Definition, SynapsorError]] = []
    with (
        connection.transaction(force_rollback=not keep),
        Progress(console=console(err=True), disable=len(parts) < SLOW, transient=True) as progress,
    ):
        for each in progress.track(parts, description="declaring"):
            try:
                with connection.transaction():
                    changes.append(_declare_one(connection, each))
            except SynapsorError as error:
                refused.append((each, error))
            except psycopg.DataError as error:  # what jsonb cannot hold
                fact = error.diag.message_primary or str(error)
                detail = error.diag.message_detail
                refused.append((each, SynapsorError(fact, detail=detail, sqlstate=error.sqlstate)))
        if refused:
            _refuse(refused, as_json=as_json)
    return changes


def _parts(of: Definition) -> Iterator[Definition]:
    """Return the definitions of a file: one, a list of them, or `definitions`: such a list."""
    value: Any = of.value
    place: tuple[str | int, ...] = ()
    if isinstance(value, dict) and list(value) == ["definitions"]:
        value, place = value["definitions"], ("definitions",)
    if not isinstance(value, list):
        yield of
        return
    for position, each in enumerate(value):
        yield of.below((*place, position), each)


def _kind(of: Definition) -> str:
    if isinstance(of.value, dict):
        for key in ("policy", "entity_type", "workflow", "action", "provider"):
            if key in of.value:
                return key
        if "Actions" in of.value:
            return "Name"
    raise UsageError(
        f"{of.where('')}: a definition is an object with one of the keys policy, entity_type,"
        " workflow, action, provider, or a plan's Actions"
    )


def _declare_one(connection: psycopg.Connection[Any], of: Definition) -> Change:
    key = _kind(of)
    kind, verb = KINDS[key]
    name = str(of.value.get(key))
    before = _latest(connection, name) if key == "action" else None
    row = verb(Client(connection))(of.value)
    version = getattr(row, "version", None)
    if key == "action":
        changed = before is None or before["version"] != version
        old = before["definition"] if before is not None else {}
        differences = list(differ(old, row.definition)) if changed else []
    else:  # what the transaction declared is younger than its beginning
        [now] = fetch(connection, "select now() as at")
        changed = row.declared_at is None or row.declared_at >= now["at"]
        differences = []
    digest = getattr(row, "digest", None)
    return Change(
        kind=kind,
        name=name,
        version=version,
        changed=changed,
        digest=digest,
        differences=differences,
    )


def _latest(
    connection: psycopg.Connection[Any], action: str, version: int | None = None
) -> dict[str, Any] | None:
    rows = fetch(
        connection,
        "select * from synapsor.synapsor_action_contracts where action = %(action)s"
        " and version = coalesce(%(version)s, version) order by version desc limit 1",
        {"action": action, "version": version},
    )
    return rows[0] if rows else None


def _refuse(refused: Sequence[tuple[Definition, SynapsorError]], *, as_json: bool) -> None:
    """Tell all that is wrong, with the line of each mistake, and end."""
    details = []
    for of, error in refused:
        details.append(f"{of.where('')}: {error.code}: {error.message}")
        for reason in (error.detail or "").splitlines():
            path = reason.partition(" ")[0]
            details.append(f"  {of.where(path)}: {reason}")
        if not error.detail and error.hint:
            details.append(f"  {error.hint}")
    fail(
        f"{len(refused)} definitions are refused; nothing is declared"
        if len(refused) > 1
        else "a definition is refused; nothing is declared",
        code=refused[0][1].code,
        detail="\n".join(details),
        as_json=as_json,
    )


# differences


def differ(old: Any, new: Any, path: str = "") -> Iterator[Difference]:
    """Yield the places at which two JSON documents differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            at = f"{path}.{name}" if path else name
            if name not in new:
                yield Difference(at, old[name], None, "-")
            elif name not in old:
                yield Difference(at, None, new[name], "+")
            else:
                yield from differ(old[name], new[name], at)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for position, (left, right) in enumerate(zip(old, new, strict=True)):
            yield from differ(left, right, f"{path}[{position}]")
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield Difference(path, old, new, "~")


COLOURS = {"+": "green", "-": "red", "~": "yellow"}


def report(changes: Sequence[Change], *, as_json: bool) -> None:
    """Tell on stdout what changes."""
    if as_json:
        print_json([each.as_json() for each in changes])
        return
    screen = console()
    for each in changes:
        version = "" if each.version is None else f" version {each.version}"
        state = "is new" if each.changed else "is declared already"
        screen.print(Text(plain(f"{each.kind} {each.name}{version} {state}"), style="bold"))
        if each.changed and each.kind == "action" and not each.differences:
            screen.print(Text("    it says of itself what the latest version left to defaults"))
        for place in each.differences:
            old, new = (json.dumps(side, ensure_ascii=False) for side in (place.old, place.new))
            text = {"+": new, "-": old, "~": f"{old} -> {new}"}[place.sides]
            line = f"  {place.sides} {place.path}: {text}"
            screen.print(Text(plain(line), style=COLOURS[place.sides]))
