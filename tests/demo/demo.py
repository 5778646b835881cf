"""The main job on real parts: a refund is proposed, approved, delivered once and explained.

Then, as act two, the path that every kind of action takes: a handler of the shop's own moves an
invoice under a policy and a state machine, and its refund at Stripe follows as an adapter step. And
as act three a saga: several actions as one, of which the last fails and the first is undone. Act
four has two providers, of which one fails for a while.

A PostgreSQL server with the extension, an application's login, a reviewer in psql, the worker
daemon, and a Stripe API on loopback. Nothing is staged: every figure was read from the database or
from the provider at that moment, and a step that comes out otherwise than told ends the demo with
exit status 1.

    SYNAPSOR_DEMO_DSN   a superuser's connection string; database synapsor_demo is made anew there
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[0] = str(Path(__file__).resolve().parents[1])  # tests/, where our packages begin

import psycopg  # noqa: E402
import stripe  # noqa: E402
from demo import breaker, saga  # noqa: E402
from demo.stage import (  # noqa: E402
    HERE,
    Login,
    NotAsToldError,
    Row,
    dsn_of,
    expect,
    headline,
    paint,
    running,
    show_rows,
    show_statement,
    signed_token,
    stop_gently,
    tell,
    type_into_psql,
    wait_until,
)
from providers.stripe_process import StripeProcess  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATABASE = "synapsor_demo"
QUEUE = "billing_external_actions"
STRIPE_KEY = "sk_test_synapsor_demo"
KEY_ID = "demo-backend"
INVOICES = {"INV-1001": 9000, "INV-1002": 4800, "INV-1003": 12000, "INV-1004": 800}
LOGINS = {
    "admin": "synapsor_admin",
    "app": "synapsor_caller",
    "reviewer": "synapsor_approver",
    "worker_1": "synapsor_worker",
    "worker_2": "synapsor_worker",
    "auditor": "synapsor_auditor",
}
BINDINGS: dict[str, Row] = {
    "reviewer": {"principal": "rita", "tenant_id": "acme", "roles": ["billing_reviewer"]},
    "worker_1": {"principal": "worker_1", "tenants": "*", "actor_type": "service_account"},
    "worker_2": {"principal": "worker_2", "tenants": "*", "actor_type": "service_account"},
    "auditor": {"principal": "otto", "tenant_id": "acme"},
}
# What the application's backend asserts for a request, in a signed token.
SESSION: Row = {
    "sub": "billing-agent",
    "actor_type": "agent",
    "tenant_id": "acme",
    "ctx": {"current_customer_id": "cus_1001"},
}
# Who `make psql` is: somebody of this tenant who may approve.
VISITOR = {"principal": "you", "tenant_id": "acme", "roles": ["billing_reviewer"]}
VISITOR["current_customer_id"] = "cus_1001"
CONTRACT = """
{ "action": "billing.issue_refund", "kind": "external",
  "args":   { "charge_id": {"type": "string"}, "amount_cents": {"type": "integer", "minimum": 1} },
  "hidden": { "tenant_id": {}, "customer": {"from": "current_customer_id"} },
  "provider": "stripe", "operation": "refunds.create", "queue": "billing_external_actions",
  "idempotency": {"key": "{tenant_id}:refund:{charge_id}:{amount_cents}", "idempotent": true},
  "approval": { "required": true, "role": "billing_reviewer",
                "separate_duties": true, "unless": "$.args.amount_cents <= 1000" },
  "lease": "3 s" }
""".strip()
HANDLER = """
create function app.record_refund(context jsonb, parameters jsonb) returns jsonb
language plpgsql security definer set search_path = app, pg_temp as $$
declare invoice invoices;
begin
    update invoices set state = 'refunded', refund_cents = (parameters ->> 'amount_cents')::int
    where invoice_id = parameters ->> 'invoice_id' returning * into invoice;
    if invoice.refund_cents > invoice.paid_cents then
        raise 'only % cents were paid', invoice.paid_cents using errcode = 'SY003';
    end if;
    insert into credit_notes values (parameters ->> 'note', invoice.invoice_id);
    return jsonb_build_object('success', true,
        'data', jsonb_build_object('charge', invoice.charge_id),
        'events', jsonb_build_array(jsonb_build_object('type', 'InvoiceRefunded',
            'subject_type', 'Invoice', 'subject_id', invoice.invoice_id)));
end $$
""".strip()
POLICY = """
{ "policy": "billing.refund_limit.v1", "kind": "data", "conditions": [
    { "when": {"kind": "parameter", "path": "parameters.amount_cents", "operator": "gt",
               "value": 1000}, "result": "block", "reason": "above 1000 cents" }] }
""".strip()
MACHINE = """
{ "entity_type": "Invoice",
  "states": {"open": "initial", "paid": "active", "refunded": "terminal"},
  "transitions": [{"from": "paid", "to": "refunded", "action": "billing.record_refund"}] }
""".strip()
ATOMIC = """
{ "action": "billing.record_refund", "kind": "atomic", "handler": "app.record_refund(jsonb,jsonb)",
  "args": { "invoice_id": {"type": "string"}, "amount_cents": {"type": "integer", "minimum": 1},
            "note": {"type": "string"} },
  "policies": ["billing.refund_limit.v1"],
  "state_machine": { "entity_type": "Invoice", "entity_id": "{invoice_id}",
                     "table": "app.invoices", "id_column": "invoice_id",
                     "state_column": "state", "target_state": "refunded" },
  "mutates_domain": true, "emits_events": ["InvoiceRefunded"],
  "adapter_steps": [{ "action": "billing.issue_refund", "input":
      {"charge_id": "{result.charge}", "amount_cents": "{parameters.amount_cents}"} }] }
""".strip()
# Five ways to be refused, the last of them after the handler has written: by whom, what is asked,
# status and code. CN-0 is the note of an earlier refund.
REFUSED = [
    ("policy", "INV-1001", 5000, "CN-1", "blocked_by_policy", "SY009"),
    ("contract", "INV-1001", "all", "CN-1", "validation_failed", "SY003"),
    ("handler", "INV-1004", 900, "CN-1", "validation_failed", "SY003"),
    ("machine", "INV-1005", 500, "CN-1", "failed", "SY010"),
    ("error", "INV-1004", 500, "CN-0", "failed", "23505"),
]
GRANTS = """
grant usage on schema app to synapsor_guest;
grant select (invoice_id, state), update (state) on app.invoices to synapsor_guest
""".strip()
WHAT_IS_THERE = """
select (select jsonb_agg(invoices order by invoice_id) from app.invoices) as invoices,
       (select jsonb_agg(credit_notes) from app.credit_notes) as credit_notes,
       (select count(*) from synapsor.synapsor_external_actions) as external_actions,
       (select count(*) from synapsor.synapsor_events where subject_type = 'Invoice') as events
""".strip()
WHAT_IS_LEFT = """
select (select count(*) from synapsor.synapsor_action_invocations
        where action = 'billing.record_refund') as attempts,
       (select count(*) from app.invoices where state = 'refunded') as refunded_invoices,
       (select count(*) from app.credit_notes where note <> 'CN-0') as credit_notes,
       (select count(*) from synapsor.synapsor_events where subject_type = 'Invoice') as events
""".strip()
UPDATE = "update app.invoices set refund_cents = %s where invoice_id = %s"
PROPOSE = """
select action_id, status, approvals_required
from synapsor.propose_external_action('billing.issue_refund',
    %s,
    run_id => %s, step_key => %s)
""".strip()
NEXT = """
make psql     opens this database; you are somebody of tenant acme who may approve. Try:
  :pending                        (a third refund waits for you)
  select status, changed from approve_external_action('{action_id}', 'mine');
  :story                          (what happened to each action; also :actions :stuck :runs)
  select explain_agent_run('{run_id}');
  select explain_action('{parent}', 'json');      (:attempts lists all of them)
README.md     what is promised and what is not; how to put it into a database of yours
"""


@dataclass
class Stage:
    """The parts on stage, and what one step leaves to the next."""

    superuser: str
    provider: StripeProcess
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    logins: dict[str, Login] = field(default_factory=dict)
    charges: dict[str, str] = field(default_factory=dict)
    actions: dict[str, str] = field(default_factory=dict)
    run_id: str = ""
    parent: str = ""
    saga: str = ""
    saga_run: str = ""

    def worker_environment(self, login: str) -> Row:
        """What a worker of that login finds in its environment."""
        return {
            "SYNAPSOR_DSN": self[login].dsn,
            "SYNAPSOR_STRIPE_API_KEY": STRIPE_KEY,
            "SYNAPSOR_STRIPE_API_BASE": self.provider.base_address,
        }

    def run_worker(self, login: str, done: Callable[[], bool], told: str) -> None:
        """Start the daemon as an operator does, until what is told has come."""
        command = ["synapsor-pg", "worker", "--queue", QUEUE]
        tell(f"{paint('$ ', '36')}{' '.join(command)}   # as {login}")
        command[0] = str(Path(sys.executable).with_name(command[0]))
        with running(command, self.worker_environment(login)) as process:

            def probe() -> bool:
                expect(process.poll() is None, f"{login} is running")
                return done()

            wait_until(probe, told, within=30)
            expect(stop_gently(process) == 0, "the worker ends well on SIGTERM")

    def __getitem__(self, login: str) -> Login:
        return self.logins[login]

    def action(self, invoice: str) -> Row:
        """The action of an invoice's refund, as the auditor sees it now."""
        return self["auditor"].one(
            "select * from synapsor.synapsor_external_actions where action_id = %s",
            self.actions[invoice],
        )

    @contextmanager
    def transaction(self, *, seen: bool = True) -> Iterator[Login]:
        """A transaction of the application, under a session that its backend vouches for."""
        app = self["app"]
        token = signed_token(KEY_ID, self.secret, SESSION | {"exp": int(time.time()) + 300})
        with app.connection.transaction():
            if seen:
                show_statement(app.name, f"begin; select synapsor.open_session('{token[:28]}...')")
            app.ask("select synapsor.open_session(%s)", token)
            yield app


# -- 0: what stands there before ------------------------------------------------------------------


def prepare(stage: Stage) -> None:
    """A new database, six logins, three paid invoices with their charges at the provider."""
    anywhere = Login(stage.superuser)
    anywhere.ask(f"drop database if exists {DATABASE} with (force)")
    anywhere.ask(f"create database {DATABASE}")
    owner = Login(dsn_of(stage.superuser, None, DATABASE))
    owner.ask("create extension synapsor cascade")
    for login, group in LOGINS.items():
        make_login(owner, login, group)
        stage.logins[login] = Login(dsn_of(stage.superuser, login, DATABASE))
    make_invoices(owner, stage)
    for login, context in [*BINDINGS.items(), (owner.name, VISITOR)]:
        stage["admin"].ask("select synapsor.bind_role(%s, %s)", login, json.dumps(context))
    scope = {"tenants": ["acme"], "actor_types": ["agent"]}
    stage["admin"].ask(
        "select synapsor.add_session_key(%s, %s, %s)", KEY_ID, stage.secret, json.dumps(scope)
    )

    found = owner.one(
        "select current_setting('server_version') as server, extversion as extension,"
        " (select count(*) from pg_roles where rolname = any(%s) and (rolsuper or rolbypassrls))"
        " as privileged from pg_extension where extname = 'synapsor'",
        list(LOGINS),
    )
    expect(found["privileged"] == 0, "no login is a superuser")
    tell(f"PostgreSQL {found['server']}, extension synapsor {found['extension']}, {DATABASE}")
    tell(f"Stripe API: localstripe {version('localstripe')} at {stage.provider.base_address}")
    tell(f"logins {', '.join(LOGINS)}; superusers among them: {found['privileged']}")


def make_login(owner: Login, login: str, group: str) -> None:
    if not owner.ask("select 1 from pg_roles where rolname = %s", login):
        owner.ask(f"create role {login} login")
    owner.ask(f"grant {group} to {login}")


def make_invoices(owner: Login, stage: Stage) -> None:
    """The business tables, of an ordinary owner, and a charge at the provider for what is paid."""
    if not owner.ask("select 1 from pg_roles where rolname = 'shop'"):
        owner.ask("create role shop nologin")
    owner.ask("create schema app authorization shop")
    owner.ask("set role shop")
    owner.ask(
        "create table app.invoices (invoice_id text primary key, charge_id text,"
        " state text not null, paid_cents int not null, refund_cents int not null default 0)"
    )
    owner.ask("create table app.credit_notes (note text primary key, invoice_id text not null)")
    owner.ask("insert into app.credit_notes values ('CN-0', 'INV-0999')")
    owner.ask("grant usage on schema app to app, reviewer, auditor")
    owner.ask("grant select on app.invoices, app.credit_notes to app, reviewer, auditor")
    owner.ask("grant update on app.invoices to app")
    shop = stripe.StripeClient(STRIPE_KEY, base_addresses={"api": stage.provider.base_address})
    for invoice, cents in INVOICES.items():
        charge = shop.v1.charges.create(
            {"amount": cents, "currency": "eur", "source": "pm_card_visa"}
        )
        stage.charges[invoice] = charge.id
        owner.ask("insert into app.invoices values (%s, %s, 'paid', %s)", invoice, charge.id, cents)
    owner.ask("insert into app.invoices values ('INV-1005', null, 'open', 0)")
    owner.ask("reset role")


# -- 1 to 6: the story ----------------------------------------------------------------------------


def declare(stage: Stage) -> None:
    """What may be asked for, by whom it is approved, how it is delivered."""
    (contract,) = stage["admin"].types(
        f"select action, version, kind\nfrom synapsor.declare_action('{CONTRACT}')"
    )
    expect(contract["version"] == 1, "the first version of the contract")
    tell(
        "args: what a caller chooses. hidden: copied from the trusted session, never from a caller."
    )
    stage["app"].types("select * from app.invoices order by invoice_id")


def propose(stage: Stage) -> None:
    """Business change and intent: both or neither."""
    invoice = "INV-1001"
    tell("An agent works as login app; who it is comes signed from its backend:")
    with stage.transaction() as app:
        session = app.one("select synapsor.current_session()")["current_session"]
        tell("  " + " · ".join(f"{name} {value}" for name, value in session.items() if value))
        start_run(stage, app)

    tell("It names the tenant itself: refused.")
    with stage.transaction(seen=False) as app:
        app.types(UPDATE, 2500, invoice)
        arguments = json.dumps({**arguments_of(stage, invoice, 2500), "tenant_id": "other"})
        app.is_refused("SY004", PROPOSE, arguments, stage.run_id, f"refund_{invoice}")
        raise psycopg.Rollback
    with stage.transaction(seen=False) as app:
        action_id = request_refund(stage, app, invoice, 2500, seen=False)
        tell(f"It asks properly ({action_id}), but its transaction fails later: rollback.")
        raise psycopg.Rollback
    tell("Neither left a trace:")
    (left,) = stage["auditor"].types(
        "select (select count(*) from app.invoices where refund_cents > 0) as changed_invoices,\n"
        "       (select count(*) from synapsor.synapsor_external_actions) as intents"
    )
    expect(set(left.values()) == {0}, "a rolled back business change leaves no intent")
    tell("And so it is done:")
    with stage.transaction() as app:
        request_refund(stage, app, invoice, 2500)
        show_statement(app.name, "commit")
    expect(stage.action(invoice)["status"] == "proposed", "the action waits as proposed")


def approve(stage: Stage) -> None:
    """A person at psql approves exactly what will be sent; once is enough."""
    action_id = stage.actions["INV-1001"]
    approval = "select status, changed from approve_external_action"
    transcript = type_into_psql(
        stage["reviewer"],
        ":pending",
        "select action_id, digest from synapsor_pending_approvals \\gset",
        f"{approval}(:'action_id', 'photo seen', :'digest');",
        f"{approval}('{action_id}', 'again');",
    )
    expect("NOTICE" in transcript, "approving again says that it changed nothing")
    verdicts = stage["auditor"].ask(
        "select reviewer, note from synapsor.synapsor_approvals where action_id = %s", action_id
    )
    expect([verdict["reviewer"] for verdict in verdicts] == ["rita"], "one verdict, rita's")
    tell(f"The digest binds it to what will be sent. Verdicts on record: {len(verdicts)}.")
    expect(stage.action("INV-1001")["status"] == "queued", "the action is queued")


def deliver(stage: Stage) -> None:
    """The daemon claims, calls Stripe with the action's key, and confirms."""
    invoice = "INV-1001"
    have_delivered(stage, invoice, "worker_1")
    show_action(stage, invoice)
    show_refund(stage, invoice)
    action, refund = stage.action(invoice), the_refund(stage, invoice)
    expect(refund["id"] == action["provider_request_id"], "database and Stripe name one refund")
    expect(refund["amount"] == 2500, "the refund is of the approved amount")


def survive(stage: Stage) -> None:
    """A worker dies between the provider's answer and its own confirmation."""
    invoice = "INV-1002"
    with stage.transaction(seen=False) as app:
        request_refund(stage, app, invoice, 4800, seen=False)
    stage["reviewer"].ask(
        "select from synapsor.approve_external_action(%s, 'lost parcel')", stage.actions[invoice]
    )
    command = [sys.executable, str(HERE / "killed_worker.py"), QUEUE]
    with running(command, stage.worker_environment("worker_1")) as process:
        wait_until(lambda: process.poll() is not None, "worker_1 dies")
        expect(process.returncode == -signal.SIGKILL, "worker_1 is killed with SIGKILL")
    end = signal.Signals(-process.returncode).name
    tell(f"{invoice}, approved too: worker_1 (pid {process.pid}) got Stripe's answer, then {end}.")
    tell("Stripe has done it. The database cannot know; the claim stands until its lease ends:")
    show_action(stage, invoice)
    show_refund(stage, invoice)
    before = stage.action(invoice)
    expect(before["status"] == "claimed", "the action is still claimed by the dead worker")

    have_delivered(stage, invoice, "worker_2")
    tell("The lease ran out; worker_2 took over and sent the same request with the same key:")
    show_action(stage, invoice)
    after, refund = stage.action(invoice), the_refund(stage, invoice)
    key = after["idempotency_key"]
    requests = [line for line in stage.provider.requests() if line["idempotency_key"] == key]
    expect(len(requests) == 2, f"Stripe was asked twice with the key, not {len(requests)} times")
    first, second = requests
    tell("What Stripe was asked with that key:")
    show_rows(
        [
            {name: line[name] for name in ("idempotency_key", "status", "replayed", "object_id")}
            for line in (first, second)
        ]
    )
    tell(paint(f"Refunds of {refund['charge']} at Stripe: {len(refunds_of(stage, invoice))}", "1"))
    expect((first["replayed"], second["replayed"]) == (False, True), "the second is a replay")
    expect(first["parameters"] == second["parameters"], "both requests are the same")
    expect(after["worker_principal"] == "worker_2", "worker_2 confirmed")
    expect(after["claim_token"] > before["claim_token"], "the claim token has grown")
    expect(after["provider_request_id"] == refund["id"], "database and Stripe name one refund")


def explain(stage: Stage) -> None:
    """The run as a tree, the story as events."""
    with stage.transaction(seen=False) as app:
        app.ask(
            "select from synapsor.complete_agent_run(%s, output => %s)",
            stage.run_id,
            json.dumps({"refunded": ["INV-1001", "INV-1002"]}),
        )
    tree = "select synapsor.explain_agent_run(%s)"
    show_statement("auditor", tree.replace("%s", f"'{stage.run_id}'"))
    for line in stage["auditor"].one(tree, stage.run_id)["explain_agent_run"].splitlines():
        tell("  " + line)
    events = stage["auditor"].types(
        "select to_char(occurred_at, 'HH24:MI:SS.MS') as at, event_type, status, attempt, actor\n"
        "from synapsor.synapsor_external_action_events\n"
        "where action_id = %s order by sequence",
        stage.actions["INV-1002"],
    )
    told = [event["event_type"] for event in events]
    expect(told[0] == "Proposed" and told[-1] == "Succeeded", "the story is whole")
    claims = [event["actor"] for event in events if event["event_type"] == "Claimed"]
    expect(claims == ["worker_1", "worker_2"], "both claims are on record")


# -- 7 to 9: act two ------------------------------------------------------------------------------


def declare_handler(stage: Stage) -> None:
    """An action of the shop's own: what it runs, and under which rules."""
    owner = Login(dsn_of(stage.superuser, None, DATABASE))
    owner.ask("set role shop")
    for statement in (HANDLER, GRANTS):
        show_statement("shop", statement)
        owner.ask(statement)
    tell(
        "It runs as its owner. synapsor gets this: to call it, to lock the row and read its state."
    )
    admin = stage["admin"]
    for function, definition in (
        ("declare_policy", POLICY),
        ("declare_state_machine", MACHINE),
        ("declare_action", ATOMIC),
    ):
        statement = f"select synapsor.{function}('\n{definition}')"
        show_statement(admin.name, statement)
        admin.ask(statement)
    tell("Its adapter step is act one's contract: small refunds need no approval there.")


def refuse(stage: Stage) -> None:
    """Every refusal is a row that says why, and nothing else."""
    before = stage["auditor"].one(WHAT_IS_THERE)
    names = ("invoice_id", "amount_cents", "note")
    asks = ",\n".join(
        f"  ('{by}', '{json.dumps(dict(zip(names, asked, strict=True)))}')"
        for by, *asked, _, _ in REFUSED
    )
    with stage.transaction(seen=False) as app:
        answers = app.types(
            "select by, status, error_code as code, error_message as message\nfrom (values\n"
            f"{asks}\n) as ask (by, parameters),\n"
            "  synapsor.invoke_action('billing.record_refund', parameters::jsonb)"
        )
    told = [(answer["status"], answer["code"]) for answer in answers]
    expect(told == [(status, code) for *_, status, code in REFUSED], "each is refused as meant")
    tell("Wrong input is validation_failed. The last one had already written when it failed:")
    after, (kept,) = stage["auditor"].one(WHAT_IS_THERE), stage["auditor"].types(WHAT_IS_LEFT)
    expect(after == before, "no refusal has changed a row, told an event or sent anything")
    expect(kept["attempts"] == len(REFUSED), "every attempt is on record")
    expect(sum(kept.values()) == len(REFUSED), "and nothing but the attempts")
    wrong = stage["auditor"].ask(
        "select violations #>> '{0,path}' as path from synapsor.synapsor_action_invocations"
        " where status = 'validation_failed' order by created_at"
    )
    expect([each["path"] for each in wrong] == ["amount_cents", "$"], "by contract, by handler")


def perform(stage: Stage) -> None:
    """It is done: the row, the event and the refund on its way commit together."""
    arguments = {"invoice_id": "INV-1004", "amount_cents": 500, "note": "CN-1"}
    with stage.transaction(seen=False) as app:
        (done,) = app.types(
            "select action_id, status, result\n"
            "from synapsor.invoke_action('billing.record_refund',\n    %s)",
            json.dumps(arguments),
        )
    tell("Invoice, event and the refund to come were committed together; it waits for its step:")
    parent = stage.parent = str(done["action_id"])
    expect(done["status"] == "running", "the action waits for its step")
    invoice = stage["auditor"].one(
        "select state, refund_cents from app.invoices where invoice_id = 'INV-1004'"
    )
    expect(invoice == {"state": "refunded", "refund_cents": 500}, "the handler has done its work")
    (step,) = stage["auditor"].ask(
        "select action_id from synapsor.synapsor_external_actions where correlation_id = %s", parent
    )
    stage.actions["INV-1004"] = step["action_id"]
    have_delivered(stage, "INV-1004", "worker_1", completes=parent)
    show_refund(stage, "INV-1004")
    expect(the_refund(stage, "INV-1004")["amount"] == 500, "Stripe has refunded what was asked")
    tell("The worker ran run_due_steps too: every step has ended, so the action is completed.")
    explained = "select synapsor.explain_action(%s)"
    show_statement("auditor", explained.replace("%s", f"'{parent}'"))
    text = stage["auditor"].one(explained, parent)["explain_action"]
    for line in text.splitlines():
        tell("  " + line)
    for what in ("pass", "from paid to refunded", "InvoiceRefunded", "re_", "completed"):
        expect(what in text, f"the explanation tells {what}")


def leave_something_to_do(stage: Stage) -> None:
    """A third refund, outside the run, waits for whoever types `make psql`."""
    with stage.transaction(seen=False) as app:
        (action,) = app.ask(PROPOSE, json.dumps(arguments_of(stage, "INV-1003", 12000)), None, None)
        stage.actions["INV-1003"] = action["action_id"]


# -- helpers of the steps -------------------------------------------------------------------------


def start_run(stage: Stage, app: Login) -> None:
    """The agent's run, which the refunds become steps of."""
    run = app.one(
        "select run_id from synapsor.start_agent_run(input => %s)",
        json.dumps({"request": "complaints of cus_1001"}),
    )
    stage.run_id = run["run_id"]
    app.ask(
        "select from synapsor.record_agent_step(%s, 'look_up', name => 'invoices', output => %s)",
        stage.run_id,
        json.dumps({"invoices": ["INV-1001", "INV-1002"]}),
    )


def arguments_of(stage: Stage, invoice: str, cents: int) -> Row:
    return {"charge_id": stage.charges[invoice], "amount_cents": cents}


def request_refund(stage: Stage, app: Login, invoice: str, cents: int, *, seen: bool = True) -> str:
    """What the application does in its transaction."""
    run = app.types if seen else app.ask
    run(UPDATE, cents, invoice)
    arguments = json.dumps(arguments_of(stage, invoice, cents))
    (action,) = run(PROPOSE, arguments, stage.run_id, f"refund_{invoice}")
    stage.actions[invoice] = str(action["action_id"])
    return stage.actions[invoice]


def show_action(stage: Stage, invoice: str) -> None:
    """What the database knows of a refund."""
    (known,) = stage["auditor"].ask(
        "select status, worker_principal as worker, attempts,"
        " lease_expires_at::time(0) as lease_until, provider_request_id"
        " from synapsor.synapsor_external_actions where action_id = %s",
        stage.actions[invoice],
    )
    show_rows([{"in the database": invoice, **known}])


def show_refund(stage: Stage, invoice: str) -> None:
    """What Stripe knows of it."""
    refund = the_refund(stage, invoice)
    show_rows(
        [{"at Stripe": refund["charge"]} | {n: refund[n] for n in ("status", "amount", "id")}]
    )
    named = refund["metadata"].get("synapsor_action_id")
    expect(named == stage.actions[invoice], "Stripe's refund names our action")


def the_refund(stage: Stage, invoice: str) -> Row:
    """The one refund that Stripe has for an invoice."""
    refunds = refunds_of(stage, invoice)
    expect(len(refunds) == 1, f"Stripe has exactly one refund for {invoice}, not {len(refunds)}")
    return refunds[0]


def refunds_of(stage: Stage, invoice: str) -> list[Row]:
    return stage.provider.refunds(stage.charges[invoice])


def have_delivered(stage: Stage, invoice: str, login: str, completes: str | None = None) -> None:
    """Start the daemon as an operator does, until it has delivered that refund.

    Of an adapter step, `completes` names the action that it belongs to.
    """

    def done() -> bool:
        delivered = bool(stage.action(invoice)["status"] == "succeeded")
        if not (delivered and completes):
            return delivered
        parent = stage["auditor"].one(
            "select status from synapsor.synapsor_action_invocations where action_id = %s",
            completes,
        )
        return bool(parent["status"] == "completed")

    stage.run_worker(login, done, f"{login} delivers the refund of {invoice}")


STEPS: list[tuple[str, Callable[[Stage], None]]] = [
    ("An administrator declares what may be asked for", declare),
    ("The application changes an invoice and proposes its refund, in one transaction", propose),
    ("A reviewer approves in psql", approve),
    ("The worker delivers it", deliver),
    ("A worker is killed after the provider answered, before it confirmed", survive),
    ("What happened: the run as a tree, the second refund event by event", explain),
    (
        "Act two, the shop's own action: handler, policy, state machine, event, step",
        declare_handler,
    ),
    ("Five ways to be refused", refuse),
    ("And so it is done", perform),
    ("Act three, a saga: a plan of several steps, and what it would do", saga.plan),
    ("It goes as far as it may; the refund waits for a person", saga.begin),
    ("The last step fails, and what was done is undone", saga.undo),
    ("Act four, two providers and one worker: one of them is down", breaker.act),
]


def main() -> int:
    """Tell the whole story, or say where it went wrong."""
    superuser = os.environ.get("SYNAPSOR_DEMO_DSN")
    if superuser is None:
        print("SYNAPSOR_DEMO_DSN is not set; `make demo` sets it", file=sys.stderr)
        return 2
    began = time.monotonic()
    where = "before the first step"
    try:
        with StripeProcess() as provider:
            stage = Stage(superuser, provider)
            headline("synapsor: a refund is proposed, approved, delivered once and explained")
            prepare(stage)
            for number, (title, step) in enumerate(STEPS, 1):
                where = f"in step {number}"
                headline(f"{number}. {title}")
                step(stage)
            where = "after the last step"
            leave_something_to_do(stage)
    except (NotAsToldError, psycopg.Error, stripe.StripeError) as problem:
        print(f"\nNOT AS TOLD, {where}: {problem}", file=sys.stderr)
        return 1
    headline(f"All as told, in {time.monotonic() - began:.0f} s. What to type next:")
    next_steps = NEXT.format(
        action_id=stage.actions["INV-1003"], run_id=stage.run_id, parent=stage.parent
    )
    for line in next_steps.strip().splitlines():
        tell(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
