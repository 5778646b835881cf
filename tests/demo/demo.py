"""The main job on real parts: a refund is proposed, approved, delivered once and explained.

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
    import subprocess
    from collections.abc import Callable, Iterator

DATABASE = "synapsor_demo"
QUEUE = "billing_external_actions"
HANDLERS = "synapsor_pg.providers.stripe"
STRIPE_KEY = "sk_test_synapsor_demo"
KEY_ID = "demo-backend"
INVOICES = {"INV-1001": 9000, "INV-1002": 4800, "INV-1003": 12000}
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
# Who `make psql` is: somebody of this tenant who may approve.
VISITOR = {"principal": "you", "tenant_id": "acme", "roles": ["billing_reviewer"]}
VISITOR["current_customer_id"] = "cus_1001"
CONTRACT = """
{ "action": "billing.issue_refund", "kind": "external",
  "args":   { "charge_id":    {"type": "string",  "required": true, "max_length": 64},
              "amount_cents": {"type": "integer", "required": true, "minimum": 1} },
  "hidden": { "tenant_id": {}, "customer": {"from": "current_customer_id"} },
  "provider": "stripe", "operation": "refunds.create", "queue": "billing_external_actions",
  "idempotency": {"key": "{tenant_id}:refund:{charge_id}:{amount_cents}", "idempotent": true},
  "approval": {"required": true, "role": "billing_reviewer", "separate_duties": true},
  "lease": "3 s" }
""".strip()
UPDATE = """
update app.invoices set status = 'refund requested', refund_cents = %s where invoice_id = %s
""".strip()
PROPOSE = """
select action_id, status, approvals_required
from synapsor.propose_external_action('billing.issue_refund', %s,
    run_id => %s, step_key => %s)
""".strip()
APPROVE = "select status, approvals_given, changed from synapsor.approve_external_action"
NEXT = """
make psql            the same database; a third refund waits for your approval:
  :pending           what waits       :story    every event       :stuck    what does not move
  select status from approve_external_action('act_...', 'my first');
  select explain_agent_run(run_id) from synapsor_agent_workflow_runs;
README.md            what is promised and what is not, and how to install it into your database
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

    def __getitem__(self, login: str) -> Login:
        return self.logins[login]

    def action(self, invoice: str) -> Row:
        """The action of an invoice's refund, as the auditor sees it now."""
        return self["auditor"].one(
            "select * from synapsor.synapsor_external_actions where action_id = %s",
            self.actions[invoice],
        )

    @contextmanager
    def transaction(self) -> Iterator[Login]:
        """A transaction of the application under a session that its backend vouches for."""
        app = self["app"]
        token = signed_token(
            KEY_ID,
            self.secret,
            {
                "sub": "billing-agent",
                "actor_type": "agent",
                "tenant_id": "acme",
                "ctx": {"current_customer_id": "cus_1001"},
                "exp": int(time.time()) + 300,
            },
        )
        with app.connection.transaction():
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
    tell(f"Logins, {found['privileged']} of them privileged: {', '.join(LOGINS)}")


def make_login(owner: Login, login: str, group: str) -> None:
    if not owner.ask("select from pg_roles where rolname = %s", login):
        owner.ask(f"create role {login} login")
    owner.ask(f"grant {group} to {login}")


def make_invoices(owner: Login, stage: Stage) -> None:
    """The business table, of an ordinary owner, and a charge at the provider for each row."""
    if not owner.ask("select from pg_roles where rolname = 'shop'"):
        owner.ask("create role shop nologin")
    owner.ask("create schema app authorization shop")
    owner.ask("set role shop")
    owner.ask(
        "create table app.invoices (invoice_id text primary key, charge_id text not null,"
        " paid_cents int not null, refund_cents int not null default 0, status text not null)"
    )
    owner.ask("grant usage on schema app to app, reviewer, auditor")
    owner.ask("grant select on app.invoices to app, reviewer, auditor")
    owner.ask("grant update on app.invoices to app")
    shop = stripe.StripeClient(STRIPE_KEY, base_addresses={"api": stage.provider.base_address})
    for invoice, cents in INVOICES.items():
        charge = shop.v1.charges.create(
            {"amount": cents, "currency": "eur", "source": "pm_card_visa"}
        )
        stage.charges[invoice] = charge.id
        owner.ask(
            "insert into app.invoices values (%s, %s, %s, 0, 'paid')", invoice, charge.id, cents
        )
    owner.ask("reset role")


# -- 1 to 6: the story ----------------------------------------------------------------------------


def declare(stage: Stage) -> None:
    """What may be asked for, by whom it is approved, how it is delivered."""
    (contract,) = stage["admin"].types(
        f"select action, version, kind\nfrom synapsor.declare_action('{CONTRACT}')"
    )
    expect(contract["version"] == 1, "the first version of the contract")
    stage["app"].types("select * from app.invoices order by invoice_id")


def propose(stage: Stage) -> None:
    """Business change and intent: both or neither."""
    invoice = "INV-1001"
    arguments = {"charge_id": stage.charges[invoice], "amount_cents": 2500}

    with stage.transaction() as app:
        tell("An agent works as login app, under a session that its backend signed:")
        app.types("select synapsor.current_session()")
        stage.run_id = app.one(
            "select run_id from synapsor.start_agent_run(input => %s)",
            json.dumps({"request": "the late deliveries of cus_1001"}),
        )["run_id"]
        app.ask(
            "select from synapsor.record_agent_step(%s, %s, name => %s, output => %s)",
            stage.run_id,
            "look_up",
            "invoices.look_up",
            json.dumps({"invoices": ["INV-1001", "INV-1002"]}),
        )

    tell("It names a tenant itself and is refused; the invoice stays as it was:")
    with stage.transaction() as app:
        app.types(UPDATE, 2500, invoice)
        stranger = json.dumps({**arguments, "tenant_id": "other"})
        app.is_refused("SY004", PROPOSE, stranger, stage.run_id, f"refund_{invoice}")
        raise psycopg.Rollback
    tell("It asks properly, but the business transaction fails later:")
    with stage.transaction() as app:
        request_refund(stage, app, invoice, 2500)
        tell("app=> rollback")
        raise psycopg.Rollback
    tell("Neither left a trace:")
    (left,) = stage["auditor"].types(
        "select (select count(*) from synapsor.synapsor_external_actions) as intents,\n"
        "       (select count(*) from app.invoices where status <> 'paid') as changed_invoices"
    )
    expect(set(left.values()) == {0}, "a rolled back business change leaves no intent")
    tell("Now it commits:")
    with stage.transaction() as app:
        request_refund(stage, app, invoice, 2500)
        tell("app=> commit")
    expect(stage.action(invoice)["status"] == "proposed", "the action waits as proposed")


def request_refund(
    stage: Stage, app: Login, invoice: str, cents: int, *, seen: bool = True
) -> None:
    """What the application does in its transaction."""
    run = app.types if seen else app.ask
    run(UPDATE, cents, invoice)
    arguments = json.dumps({"charge_id": stage.charges[invoice], "amount_cents": cents})
    (action,) = run(PROPOSE, arguments, stage.run_id, f"refund_{invoice}")
    stage.actions[invoice] = action["action_id"]


def approve(stage: Stage) -> None:
    """A person at psql approves exactly what will be sent; once is enough."""
    action_id = stage.actions["INV-1001"]
    transcript = type_into_psql(
        stage["reviewer"],
        ":pending",
        "select action_id, digest from synapsor_pending_approvals \\gset",
        f"{APPROVE}(:'action_id', 'damaged goods, seen', :'digest');",
        f"{APPROVE}('{action_id}', 'again');",
    )
    expect("NOTICE" in transcript, "approving again says that it changed nothing")
    verdicts = stage["auditor"].ask(
        "select reviewer, note from synapsor.synapsor_approvals where action_id = %s", action_id
    )
    expect(verdicts == [{"reviewer": "rita", "note": "damaged goods, seen"}], "one verdict, rita's")
    expect(stage.action("INV-1001")["status"] == "queued", "the action is queued")


def deliver(stage: Stage) -> None:
    """The daemon claims, calls Stripe with the action's key, and confirms."""
    with worker(stage, "worker_1") as process:
        wait_until(
            lambda: stage.action("INV-1001")["status"] == "succeeded",
            "worker_1 delivers the refund",
        )
        expect(stop_gently(process) == 0, "the worker ends well on SIGTERM")
    action = stage.action("INV-1001")
    (refund,) = refunds_of(stage, "INV-1001")
    show_rows([in_database(action)])
    tell("And the provider says:")
    show_rows([refund])
    expect(refund["id"] == action["provider_request_id"], "database and provider name one refund")
    expect(refund["amount"] == 2500, "the refund is of the approved amount")


def survive(stage: Stage) -> None:
    """A worker dies between the provider's answer and its own confirmation."""
    invoice = "INV-1002"
    with stage.transaction() as app:
        request_refund(stage, app, invoice, 4800, seen=False)
    stage["reviewer"].ask(f"{APPROVE}(%s, 'lost parcel')", stage.actions[invoice])

    with running(
        [sys.executable, str(HERE / "killed_worker.py"), QUEUE],
        worker_environment(stage, "worker_1"),
    ) as (process, _):
        wait_until(lambda: process.poll() is not None, "worker_1 dies")
        tell(
            f"worker_1 (pid {process.pid}) sent the refund of {invoice}, and then: "
            f"{signal.Signals(-process.returncode).name}"
        )
        expect(process.returncode == -signal.SIGKILL, "worker_1 is killed with SIGKILL")
    action = stage.action(invoice)
    tell("The provider has done it; the database does not know, and waits for the lease to end:")
    show_rows([in_database(action)])
    show_rows(refunds_of(stage, invoice))
    expect(action["status"] == "claimed", "the action is still claimed by the dead worker")
    expect(len(refunds_of(stage, invoice)) == 1, "the provider has done the refund")

    with worker(stage, "worker_2") as process:
        wait_until(
            lambda: stage.action(invoice)["status"] == "succeeded",
            "worker_2 takes over when the lease has ended",
        )
        stop_gently(process)
    tell("worker_2 took over with the same key:")
    after = stage.action(invoice)
    show_rows([in_database(after)])
    requests = [
        line
        for line in stage.provider.requests()
        if line["idempotency_key"] == action["idempotency_key"]
    ]
    tell("What the provider was asked with that key, and what exists:")
    show_rows(
        [
            {
                name: line[name]
                for name in ("number", "idempotency_key", "status", "replayed", "object_id")
            }
            for line in requests
        ]
    )
    refunds = refunds_of(stage, invoice)
    tell(f"  refunds of {stage.charges[invoice]}: {len(refunds)}")
    expect(len(refunds) == 1, "exactly one refund")
    expect(
        [line["replayed"] for line in requests] == [False, True], "the second got the stored answer"
    )
    expect(after["worker_principal"] == "worker_2", "worker_2 confirmed")
    expect(after["claim_token"] > action["claim_token"], "the claim token has grown")
    expect(after["provider_request_id"] == refunds[0]["id"], "one refund on both sides")


def explain(stage: Stage) -> None:
    """The run as a tree, the story as events."""
    with stage.transaction() as app:
        app.ask(
            "select from synapsor.complete_agent_run(%s, output => %s)",
            stage.run_id,
            json.dumps({"refunded": ["INV-1001", "INV-1002"]}),
        )
    show_text(stage["auditor"], "select synapsor.explain_agent_run(%s)", stage.run_id)
    events = stage["auditor"].types(
        "select sequence, event_type, status, coalesce(worker_principal, actor) as who, attempt\n"
        "from synapsor.synapsor_external_action_events where action_id = %s order by sequence",
        stage.actions["INV-1002"],
    )
    expect(events, "the story is told")


def leave_something_to_do(stage: Stage) -> None:
    """A third refund waits for whoever types `make psql`."""
    with stage.transaction() as app:
        request_refund(stage, app, "INV-1003", 12000, seen=False)


# -- helpers of the steps -------------------------------------------------------------------------


def show_text(login: Login, statement: str, *arguments: object) -> None:
    """Show a statement and the text it returns."""
    show_statement(login.name, statement.replace("%s", "'%s'") % arguments)
    for line in next(iter(login.one(statement, *arguments).values())).splitlines():
        tell("  " + line)


def in_database(action: Row) -> Row:
    """What is worth seeing of an action."""
    names = ("status", "worker_principal", "attempts", "provider_request_id", "idempotency_key")
    return {name: action[name] for name in names}


def refunds_of(stage: Stage, invoice: str) -> list[Row]:
    return stage.provider.refunds(stage.charges[invoice])


def worker_environment(stage: Stage, login: str) -> Row:
    return {
        "SYNAPSOR_PG_DSN": stage[login].dsn,
        "SYNAPSOR_STRIPE_API_KEY": STRIPE_KEY,
        "SYNAPSOR_STRIPE_API_BASE": stage.provider.base_address,
    }


@contextmanager
def worker(stage: Stage, login: str) -> Iterator[subprocess.Popen[str]]:
    """The daemon as an operator starts it."""
    command = ["synapsor-pg", "worker", "--queue", QUEUE, "--handlers", HANDLERS]
    tell(f"{paint('$ ', '36')}{' '.join(command)}   # as {login}")
    command[0] = str(Path(sys.executable).with_name(command[0]))
    with running(command, worker_environment(stage, login)) as (process, _):
        yield process


STEPS: list[tuple[str, Callable[[Stage], None]]] = [
    ("An administrator declares what may be asked for", declare),
    ("The application changes an invoice and proposes its refund, in one transaction", propose),
    ("A reviewer approves in psql", approve),
    ("The worker delivers it", deliver),
    ("A worker is killed after the provider answered, before it confirmed", survive),
    ("What happened, for people", explain),
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
            leave_something_to_do(stage)
    except (NotAsToldError, psycopg.Error, stripe.StripeError) as problem:
        print(f"\nNOT AS TOLD, {where}: {problem}", file=sys.stderr)
        if isinstance(problem, psycopg.Error) and problem.diag.context:
            print(problem.diag.context, file=sys.stderr)
        return 1
    headline(f"All as told, in {time.monotonic() - began:.0f} s. What to type next:")
    for line in NEXT.strip().splitlines():
        tell(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
