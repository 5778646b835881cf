"""What a person decides: approvals, and what becomes of an action that went wrong."""

# ruff: noqa: PLR0913 - options are parameters

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.panel import Panel
from rich.text import Text

from synapsor_pg.cli.app import app
from synapsor_pg.cli.shared import (
    ActionId,
    AsJson,
    Dsn,
    Exit,
    Note,
    UsageError,
    Yes,
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
from synapsor_pg.models import PendingApproval, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapsor_pg.client import Client
    from synapsor_pg.models import ExternalAction

PANEL = "Decide"
Digest = Annotated[str | None, typer.Option(help="Approve only exactly this intent.")]


class Settlement(StrEnum):
    """What an unknown outcome turned out to be; queued: known not done, so send it again."""

    succeeded = "succeeded"
    failed = "failed"
    queued = "queued"


@app.command(rich_help_panel=PANEL)
def pending(
    *,
    action: Annotated[str | None, typer.Option(help="Only this action's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, oldest first.")] = 1000,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """List the actions that wait for a reviewer."""
    with told(role="synapsor_approver", as_json=as_json), connect(dsn) as connection:
        cursor = connection.cursor(row_factory=rows_of(PendingApproval))
        cursor.execute(
            "select * from synapsor.synapsor_pending_approvals"
            " where action = coalesce(%(action)s, action) order by created_at limit %(limit)s",
            {"action": action, "limit": limit},
        )
        rows = cursor.fetchall()
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    print_table(
        [
            {
                "action_id": row.action_id,
                "action": row.action,
                "proposed by": row.proposed_by,
                "role": row.required_role,
                "approvals": f"{row.approvals_given}/{row.approvals_required}",
                "arguments": row.arguments,
                "reason": row.reason,
                "expires": row.expires_at,
            }
            for row in rows
        ],
        [
            "action_id",
            "action",
            "proposed by",
            "role",
            "approvals",
            "arguments",
            "reason",
            "expires",
        ],
        whole=["action_id", "action"],
        nothing="nothing waits for a reviewer",
    )


@app.command(rich_help_panel=PANEL)
def approve(
    action_id: ActionId,
    *,
    note: Note = None,
    digest: Digest = None,
    yes: Yes = False,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Approve an action: shows what would be sent, asks, and approves exactly that."""

    def verb(client: Client) -> ExternalAction:
        return client.approve_external_action(action_id, note=note, expected_digest=expected)

    with told(role="synapsor_approver", as_json=as_json):
        with connect(dsn) as connection:  # nothing stays open while a person thinks
            cursor = connection.cursor(row_factory=rows_of(PendingApproval))
            cursor.execute(
                "select * from synapsor.synapsor_pending_approvals where action_id = %s",
                (action_id,),
            )
            waiting = cursor.fetchone()
            known = fetch(
                connection,
                "select digest from synapsor.synapsor_external_actions where action_id = %(of)s",
                {"of": action_id},
            )
        expected = digest or (waiting.digest if waiting else known[0]["digest"] if known else None)
        if waiting is not None:
            if not (yes and as_json):
                show(waiting)
            confirm("Approve it?", yes=yes or digest is not None)
    _decide(dsn, as_json, verb)


@app.command(rich_help_panel=PANEL)
def reject(
    action_id: ActionId,
    note: Annotated[str, typer.Option(help="Why.")],
    *,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Reject an action, for good."""
    _decide(dsn, as_json, lambda client: client.reject_external_action(action_id, note))


@app.command(rich_help_panel=PANEL)
def cancel(
    action_id: Annotated[str, typer.Argument(help="An action's or a run's id.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    *,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Cancel an action before its delivery begins, or a run: nothing new of it starts."""
    if not action_id.startswith("run_"):
        _decide(
            dsn,
            as_json,
            lambda client: client.cancel_external_action(action_id, reason),
            role="synapsor_caller or synapsor_approver",
        )
        return
    with told(role="synapsor_caller", as_json=as_json), client_of(dsn) as client:
        run = client.cancel_run(action_id, reason)
    if as_json:
        print_json(asdict(run))
    else:
        typer.echo(f"{run.run_id} is {run.state}")


@app.command(rich_help_panel=PANEL)
def retry(
    action_id: ActionId, *, note: Note = None, dsn: Dsn = "", as_json: AsJson = False
) -> None:
    """Queue a failed action again, under a new generation of its provider key."""
    _decide(dsn, as_json, lambda client: client.retry_external_action(action_id, note))


@app.command(rich_help_panel=PANEL)
def settle(
    action_id: ActionId,
    status: Annotated[Settlement, typer.Argument(help="What it turned out to be.")],
    *,
    note: Note = None,
    evidence: Annotated[str | None, typer.Option(help="A JSON object that proves it.")] = None,
    yes: Yes = False,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Say what became of an action whose outcome is unknown; queued means: known not done."""
    with told(role="synapsor_approver", as_json=as_json):
        try:
            proof = None if evidence is None else json.loads(evidence)
        except ValueError as error:
            raise UsageError(f"--evidence is no JSON: {error}") from None
        if proof is not None and not isinstance(proof, dict):
            raise UsageError("--evidence is no JSON object")
        if status is Settlement.queued:
            confirm(f"Are you sure that {plain(action_id)} was not done?", yes=yes)
    _decide(
        dsn,
        as_json,
        lambda client: client.settle_external_action(
            action_id, status.value, evidence=proof, note=note
        ),
    )


def show(waiting: PendingApproval) -> None:
    """Show on stderr all that a reviewer decides on."""
    lines = [
        ("action", f"{waiting.action} (version {waiting.version})"),
        ("tenant", waiting.tenant_id),
        ("proposed by", f"{waiting.proposed_by}, {shown(waiting.created_at)}"),
        ("expires", shown(waiting.expires_at) or "never"),
        ("role", waiting.required_role or "any approver"),
        (
            "approvals",
            f"{waiting.approvals_given} of {waiting.approvals_required}"
            + (f" ({', '.join(waiting.reviewers)})" if waiting.reviewers else ""),
        ),
        *([("risk", waiting.risk)] if waiting.risk else []),
        *([("reason", waiting.reason)] if waiting.reason else []),
        ("arguments", json.dumps(waiting.arguments, indent=2, ensure_ascii=False)),
        ("digest", waiting.digest),
    ]
    body = "\n".join(f"{name:12} {text}" for name, text in lines)
    console(err=True).print(Panel.fit(Text(plain(body)), title=Text(waiting.action_id)))


def _decide(
    dsn: str,
    as_json: bool,
    verb: Callable[[Client], ExternalAction],
    role: str = "synapsor_approver",
) -> None:
    with told(role=role, as_json=as_json), client_of(dsn) as client:
        action = verb(client)
    if as_json:
        print_json(asdict(action))
    else:
        remark = "" if action.changed else " (nothing changed)"
        if action.changed and action.status == "proposed":
            remark = f" ({action.approvals_given} of {action.approvals_required} approvals)"
        typer.echo(f"{action.action_id} is {action.status}{remark}")
    if action.status == "blocked_by_policy":  # approving asks the policies again
        raise typer.Exit(Exit.ATTENTION)
