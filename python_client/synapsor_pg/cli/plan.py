"""Plans: declared from YAML, started, shown, and what a sample of one looks like."""

# ruff: noqa: PLR0913 - options are parameters

from __future__ import annotations

import importlib
import json
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from synapsor_pg.cli.app import app
from synapsor_pg.cli.contracts import declare, report
from synapsor_pg.cli.documents import SUFFIXES, Definition, definitions, read_yaml, write_yaml
from synapsor_pg.cli.look import Format, draw
from synapsor_pg.cli.samples import Sample, sample_plan, samples_of
from synapsor_pg.cli.shared import (
    READERS,
    AsJson,
    Dsn,
    Exit,
    UsageError,
    busy,
    client_of,
    connect,
    fail,
    fetch,
    plain,
    print_json,
    print_table,
    shown,
    told,
)
from synapsor_pg.handlers import registry

plan = typer.Typer(no_args_is_help=True, help="Plans: trees of actions.")
app.add_typer(plan, name="plan", rich_help_panel="Declare")

PLAN_PROVIDER = "plan"
"""The provider of contracts, and of handlers, that serve plan nodes."""

PlanName = Annotated[str, typer.Argument(metavar="PLAN", help="The plan's name.")]
Version = Annotated[int | None, typer.Option(help="Default: the latest.")]
Given = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", help="A dynamic parameter, NAME=VALUE; repeatable."),
]
Parameters = Annotated[
    str | None, typer.Option(help="All parameters: a JSON object, or @FILE with one.")
]


@plan.command()
def apply(
    paths: Annotated[list[Path], typer.Argument(help="YAML, JSON or TOML files, or folders.")],
    *,
    name: Annotated[
        str | None, typer.Option(help="Of a file that is a list of actions; default: its own.")
    ] = None,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Declare plans, all or nothing; a plan that is declared already stays as it is."""
    with told(role="synapsor_admin", as_json=as_json):
        wanted = [_as_plan(each, name) for each in definitions(paths)]
        with connect(dsn) as connection:
            changes = declare(connection, wanted, as_json=as_json)
    report(changes, as_json=as_json)


def _as_plan(of: Definition, name: str | None) -> Definition:
    """Return a list of actions as the plan that consists of them."""
    if isinstance(of.value, list):
        lines = {("Actions", *place): line for place, line in of.lines.items()}
        value = {"Name": name or of.file.stem, "Actions": of.value}
        return Definition(value, of.file, {(): 1, **lines})
    if isinstance(of.value, dict) and ("Actions" in of.value or "Name" in of.value):
        return Definition({"Actions": None, **of.value}, of.file, of.lines)
    raise UsageError(
        f"{of.where('')}: a plan is an object with Name and Actions, or a list of actions"
    )


@plan.command(name="list")
def list_plans(
    *,
    every: Annotated[bool, typer.Option("--all", help="Every version.")] = False,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """List the plans."""
    with told(role=READERS, as_json=as_json), connect(dsn) as connection:
        rows = fetch(
            connection,
            "select declared.* from synapsor.synapsor_plans as declared"
            " where %(every)s or declared.version = ("
            "  select max(latest.version) from synapsor.synapsor_plans as latest"
            "  where latest.plan = declared.plan)"
            " order by declared.plan, declared.version",
            {"every": every},
        )
    if as_json:
        print_json(rows)
        return
    for row in rows:
        row["description"] = (row["definition"] or {}).get("Description")
    columns = ["plan", "version", "description", "declared_by", "declared_at"]
    print_table(rows, columns, whole=["plan"], nothing="no plan is declared")


@plan.command()
def show(
    name: PlanName, *, version: Version = None, dsn: Dsn = "", as_json: AsJson = False
) -> None:
    """Show a plan as YAML; --json prints the whole row."""
    with told(role=READERS, as_json=as_json):
        with connect(dsn) as connection:
            rows = fetch(
                connection,
                "select * from synapsor.synapsor_plans where plan = %(plan)s"
                " and version = coalesce(%(version)s, version) order by version desc limit 1",
                {"plan": name, "version": version},
            )
        if not rows:
            fail(f"there is no plan {name}", as_json=as_json)
        if as_json:
            print_json(rows[0])
        else:
            title = f"# version {rows[0]['version']}, by {rows[0]['declared_by']}"
            typer.echo(plain(f"{title}, {shown(rows[0]['declared_at'])}"), err=True)
            typer.echo(plain(write_yaml(rows[0]["definition"])), nl=False)


@plan.command()
def explain(
    name: PlanName,
    *,
    given: Given = None,
    parameters: Parameters = None,
    form: Annotated[Format, typer.Option("--format", help="How it is told.")] = Format.text,
    version: Version = None,
    open_it: Annotated[
        bool, typer.Option("--open", help="Draw it (needs graphviz) and open the picture.")
    ] = False,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Tell what a plan would do: what would run, what needs approval, which policies decide."""
    with told(role=READERS, as_json=as_json):
        values = _values(given, parameters)
        style = Format.dot if open_it else Format.json if as_json else form
        with client_of(dsn) as client:
            text = client.explain_plan(name, values, format=style.value, version=version)
        if open_it:
            draw(text, None, "plan", open_it=True)
        else:
            typer.echo(plain(text))


FINISHED = """
select * from synapsor.synapsor_agent_workflow_runs
where run_id = %(run)s and state not in ('open', 'waiting_approval', 'compensating')
"""


@plan.command()
def start(
    name: PlanName,
    *,
    given: Given = None,
    parameters: Parameters = None,
    version: Version = None,
    dry_run: Annotated[bool, typer.Option(help="Tell every handler to do nothing.")] = False,
    correlation_id: Annotated[str | None, typer.Option(help="Of your own choice.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for its end; exit code 4 if it fails.")] = False,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Start a plan, and print its run."""
    with told(role="synapsor_caller", as_json=as_json):
        values = _values(given, parameters)
        with client_of(dsn) as client:
            started = client.start_plan(
                name,
                values,
                dry_run=dry_run or None,
                version=version,
                correlation_id=correlation_id,
            )
        run = asdict(started)
        if wait:
            typer.echo(f"{run['run_id']} is {run['state']}", err=True)
            with busy("waiting"):
                run = _wait(dsn, run)
    if as_json:
        print_json(run)
    else:
        status = f", {run['status']}" if run["status"] else ""
        typer.echo(plain(f"{run['run_id']} is {run['state']}{status}"))
    if wait and run["state"] != "completed":
        raise typer.Exit(Exit.BROKEN)


def _wait(dsn: str, run: dict[str, Any]) -> dict[str, Any]:
    with connect(dsn, autocommit=True) as connection:
        while True:
            rows = fetch(connection, FINISHED, {"run": run["run_id"]})
            if rows:
                return rows[0]
            time.sleep(0.5)


def _values(given: list[str] | None, parameters: str | None) -> dict[str, Any] | None:
    """Return the parameters of the command line: text, as the document's dynamic parameters."""
    values: Any = {}
    if parameters is not None:
        text, source = parameters, "--parameters"
        if text.startswith("@"):
            source = text[1:]
            if Path(source).suffix.lower() in SUFFIXES:
                values = definitions([Path(source)])[0].value
            else:
                raise UsageError(f"{source}: the name ends in none of {', '.join(SUFFIXES)}")
        else:
            try:
                values = json.loads(text)
            except ValueError as error:
                raise UsageError(f"--parameters is no JSON: {error}") from None
        if not isinstance(values, dict):
            raise UsageError(f"{source} is no JSON object")
    for word in given or []:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise UsageError(f"--param {word} is not NAME=VALUE")
        values[key] = value
    return values or None


@plan.command()
def sample(
    handlers: Annotated[
        list[str],
        typer.Argument(
            metavar="HANDLER…",
            help="EchoHandler, EmptyHandler, Synapse.Core:all, action:<namespace.verb>,"
            " action:<namespace>.all, or what a worker serves. A last word `verbose` is --verbose.",
        ),
    ],
    *,
    verbose: Annotated[bool, typer.Option("--verbose", help="Every option of plans.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write it to this file.")] = None,
    modules: Annotated[
        list[str] | None,
        typer.Option("--handlers", help="A module with @plan_handler functions; repeatable."),
    ] = None,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Print a sample plan with the configuration and the parameters of handlers."""
    words = [word for argument in handlers for word in argument.split(",") if word]
    names = []
    for word in words:  # as the document's command has it
        match word.partition(":"):
            case ("verbose", _, "" | "true"):
                verbose = True
            case ("out", ":", target):
                out = Path(target)
            case _:
                names.append(word.removeprefix("sample:"))
    with told(role=READERS, as_json=as_json), ExitStack() as stack:
        if not names:
            raise UsageError("name a handler")
        opened: list[Any] = []

        def connection() -> Any:
            if not opened:
                opened.append(stack.enter_context(connect(dsn)))
            return opened[0]

        text = sample_plan(samples_of(names, lambda: _served(modules), connection), verbose=verbose)
        if as_json:  # which has no remarks
            [read] = read_yaml(Path("sample"), text)
            text = json.dumps(read.value, indent=2, ensure_ascii=False) + "\n"
        if out is None:
            typer.echo(plain(text), nl=False)
        else:
            out.write_text(text, "utf-8")


def _served(modules: list[str] | None) -> dict[str, Sample]:
    """Return the handlers of plan nodes in those modules and in installed packages."""
    sys.path.insert(0, "")  # they may live in the current folder
    for module in modules or []:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UsageError(f"cannot load --handlers {module}: {error}") from None
    for provider in entry_points(group="synapsor_pg.providers"):
        with suppress(ImportError):  # its extra is not installed
            provider.load()
    found = {}
    for provider_name, operation in registry:
        registered = registry.get(provider_name, operation)
        if provider_name == PLAN_PROVIDER and registered is not None:
            sample = Sample(
                operation,
                getattr(registered, "config", None),
                getattr(registered, "parameters", None),
            )
            about = (registered.function.__doc__ or "").strip().splitlines()
            sample.remarks[""] = about[0] if about else ""
            found[operation] = sample
    return found
