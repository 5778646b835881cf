"""Whether everything is as it should be."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from synapsor_pg.cli.app import app
from synapsor_pg.cli.checks import Finding, Patient, Severity, examine
from synapsor_pg.cli.shared import (
    AsJson,
    Dsn,
    Exit,
    busy,
    connect,
    console,
    plain,
    print_json,
    told,
)

SIGNS = {
    Severity.OK: ("ok", "green"),
    Severity.UNCHECKED: ("not checked", "cyan"),
    Severity.WARNING: ("warning", "yellow"),
    Severity.ERROR: ("error", "bold red"),
}


@app.command(rich_help_panel="Operate")
def doctor(
    *,
    listen_dsn: Annotated[
        str | None, typer.Option(help="Where workers LISTEN when --dsn names a pooler.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what is not ok.")] = False,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Examine server, roles, rights, clock, connections and work; says how to mend each.

    Works as any login, and says what that one cannot check. Exit code 3: warnings, 4: errors.
    """
    with told(as_json=as_json), connect(dsn, autocommit=True) as connection:
        patient = Patient(dsn, listen_dsn or dsn, connection)
        with busy("examining"):
            findings = [
                each for each in examine(patient) if not quiet or each.severity is not Severity.OK
            ]
    worst = max((each.severity for each in findings), default=Severity.OK)
    if as_json:
        print_json(
            {
                "worst": worst.name.lower(),
                "findings": [
                    {
                        "check": each.check,
                        "severity": each.severity.name.lower(),
                        "fact": each.fact,
                        "mend": each.mend,
                    }
                    for each in findings
                ],
            }
        )
    else:
        _show(findings)
    if worst is Severity.ERROR:
        raise typer.Exit(Exit.BROKEN)
    if worst is Severity.WARNING:
        raise typer.Exit(Exit.ATTENTION)


def _show(findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    previous = None
    for each in findings:
        word, style = SIGNS[each.severity]
        fact = Text(plain(each.fact))
        if each.mend:
            fact.append(f"\n  mend: {plain(each.mend)}", style="dim")
        name = each.check if each.check != previous else ""
        table.add_row(Text(name, style="bold"), Text(word, style=style), fact)
        previous = each.check
    console().print(table)
