"""Act three: a saga. A plan with a group, an approval, a failing branch and a compensation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from demo.stage import (
    HERE,
    SCRATCH,
    Login,
    dsn_of,
    expect,
    paint,
    show_statement,
    tell,
    type_into_psql,
)

if TYPE_CHECKING:
    from demo.demo import Stage

PLAN = HERE / "complaint.yaml"
INVOICE = "INV-1001"
CHARGE = "ch_mistyped"  # the clerk's mistake: Stripe will not find it
CENTS = 4000
NOTE = "CN-7"
HANDLERS = """
create function app.grant_voucher(context jsonb, parameters jsonb) returns jsonb
language sql security definer set search_path = app, pg_temp as $$
    with granted as (
        insert into credit_notes
        values (parameters ->> 'note', parameters ->> 'invoice_id') returning *)
    select jsonb_build_object('success', true, 'data', jsonb_build_object('note', note),
        'events', jsonb_build_array(jsonb_build_object(
            'type', 'VoucherGranted', 'subject_type', 'Voucher', 'subject_id', note))) from granted
$$;
create function app.withdraw_voucher(context jsonb, parameters jsonb) returns jsonb
language sql security definer set search_path = app, pg_temp as $$
    with withdrawn as (delete from credit_notes where note = parameters ->> 'note' returning *)
    select jsonb_build_object('success', true, 'events', jsonb_build_array(jsonb_build_object(
        'type', 'VoucherWithdrawn', 'subject_type', 'Voucher', 'subject_id', note))) from withdrawn
$$
""".strip()
TEXT = {"type": "string", "required": True}
CONTRACTS = [
    {
        "action": "billing.grant_voucher",
        "kind": "atomic",
        "handler": "app.grant_voucher(jsonb,jsonb)",
        "args": {"invoice_id": TEXT, "note": TEXT},
        "mutates_domain": True,
        "emits_events": ["VoucherGranted"],
    },
    {
        "action": "billing.withdraw_voucher",
        "kind": "atomic",
        "handler": "app.withdraw_voucher(jsonb,jsonb)",
        "args": {"note": TEXT},
        "mutates_domain": True,
        "emits_events": ["VoucherWithdrawn"],
    },
]
SAGA = """
{ "action": "billing.settle_complaint", "kind": "saga", "plan": "complaint",
  "args": { "invoice_id": {"type": "string"}, "charge_id": {"type": "string"},
            "amount_cents": {"type": "integer", "minimum": 1}, "note": {"type": "string"} } }
""".strip()


def plan(stage: Stage) -> None:
    """A plan from a file, the saga it is for, and what it would do."""
    owner = Login(dsn_of(stage.superuser, None, "synapsor_demo"))
    owner.ask("set role shop")
    owner.ask(HANDLERS)
    for contract in CONTRACTS:
        stage["admin"].ask("select synapsor.declare_action(%s)", json.dumps(contract))
    command(stage, "admin", "plan", "apply", os.path.relpath(PLAN))
    for line in PLAN.read_text().splitlines():
        tell("  " + paint(line, "2"))
    stage["admin"].types(f"select action, version, kind from synapsor.declare_action('\n{SAGA}')")
    tell("What it would do, asked before anything is done:")
    with stage.transaction(seen=False) as app:
        show_statement(app.name, "select synapsor.explain_plan('complaint', '{…}')")
        told = app.one("select synapsor.explain_plan('complaint', %s)", json.dumps(arguments()))[
            "explain_plan"
        ]
    show_tree(told)
    expect("billing_reviewer" in told, "the forecast tells who must approve")


def begin(stage: Stage) -> None:
    """It runs as far as it may: the voucher is granted, the refund waits for a person."""
    with stage.transaction(seen=False) as app:
        (saga,) = app.types(
            "select action_id, status\n"
            "from synapsor.invoke_action('billing.settle_complaint',\n    %s)",
            json.dumps(arguments(), indent=None).replace(', "amount', ',\n      "amount'),
        )
    stage.saga = str(saga["action_id"])
    expect(saga["status"] == "running", "the saga is running")
    expect(vouchers(stage) == 1, "the voucher is granted")
    (run,) = stage["auditor"].ask(
        "select run_id, state from synapsor.synapsor_agent_workflow_runs where plan = 'complaint'"
    )
    stage.saga_run = str(run["run_id"])
    (refund,) = stage["auditor"].ask(
        "select action_id from synapsor.synapsor_external_actions where run_id = %s", stage.saga_run
    )
    tell(f"The voucher is granted at once; {stage.saga_run} waits for rita. She agrees:")
    type_into_psql(stage["reviewer"], f":approve('{refund['action_id']}', 'two weeks late');")


def undo(stage: Stage) -> None:
    """Stripe refuses, so what took effect is undone; nobody has to know how far it had come."""
    tell("But the charge was mistyped, and Stripe knows none of that id:")
    stage.run_worker(
        "worker_1",
        lambda: run_state(stage) == "compensated",
        "the saga is undone",
    )
    show_statement("auditor", f"select synapsor.explain_agent_run('{stage.saga_run}')")
    told = stage["auditor"].one("select synapsor.explain_agent_run(%s)", stage.saga_run)
    show_tree(told["explain_agent_run"])
    (left,) = stage["auditor"].types(
        "select (select status from synapsor.synapsor_action_invocations\n"
        "        where action_id = %s) as saga,\n"
        "       (select count(*) from app.credit_notes where note = %s) as vouchers",
        stage.saga,
        NOTE,
    )
    expect(left == {"saga": "failed", "vouchers": 0}, "the voucher is withdrawn")
    picture = SCRATCH / "saga.svg"
    picture.parent.mkdir(exist_ok=True)
    picture.unlink(missing_ok=True)
    command(stage, "auditor", "explain", stage.saga_run, "--out", str(picture))
    expect("<svg" in picture.read_text(), "the picture is one")


def arguments() -> dict[str, object]:
    """What the saga is asked with."""
    return {
        "invoice_id": INVOICE,
        "charge_id": CHARGE,
        "amount_cents": CENTS,
        "note": NOTE,
    }


def vouchers(stage: Stage) -> int:
    """How many of the saga's voucher there are."""
    found = stage["auditor"].one("select count(*) from app.credit_notes where note = %s", NOTE)
    return int(found["count"])


def run_state(stage: Stage) -> str:
    """How far the saga's run is."""
    found = stage["auditor"].one(
        "select state from synapsor.synapsor_agent_workflow_runs where run_id = %s", stage.saga_run
    )
    return str(found["state"])


def show_tree(text: str) -> None:
    """Print an explanation, cut to the page."""
    for line in text.rstrip().splitlines():
        tell("  " + line)


def command(stage: Stage, login: str, *words: str) -> None:
    """Run the command as a person does, and show it."""
    tell(f"{paint('$ ', '36')}synapsor-pg {' '.join(words)}   # as {login}")
    finished = subprocess.run(
        [Path(sys.executable).with_name("synapsor-pg"), *words],
        env=os.environ | {"SYNAPSOR_DSN": stage[login].dsn, "COLUMNS": "90"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    for line in (finished.stdout + finished.stderr).splitlines():
        if line.strip():
            tell("  " + line.rstrip())
    expect(finished.returncode == 0, f"synapsor-pg {words[0]} ends well")
