"""A small fleet on one database: bound logins, and one connection per login and use."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from support.database import Database

QUEUE = "billing_external_actions"
BINDINGS: dict[str, dict[str, Any]] = {
    "test_caller": {"principal": "alice", "tenant_id": "acme"},
    "test_caller_b": {"principal": "alan", "tenant_id": "acme"},
    "test_approver": {"principal": "bob", "tenant_id": "acme"},
    "test_approver_b": {"principal": "bea", "tenant_id": "acme"},
    "test_worker": {"principal": "w1", "tenants": "*", "actor_type": "service_account"},
    "test_worker_b": {"principal": "w2", "tenants": "*", "actor_type": "service_account"},
    # Views show the superuser no more than the session of its login.
    "postgres": {"tenants": "*"},
}

Row = dict[str, Any]


@dataclass
class Fleet:
    """What the tests of this folder do to a database."""

    database: Database

    def prepare(self, **overrides: Any) -> Fleet:
        """Bind the logins and declare the contract of the tests, with these keys replaced."""
        admin = self.database.connect()
        for login, context in BINDINGS.items():
            admin.execute("select synapsor.bind_role(%s, %s)", (login, json.dumps(context)))
        admin.execute("select tests.a_contract(%s)", (json.dumps(overrides),))
        return self

    def connect(self, login: str, **options: Any) -> psycopg.Connection[Row]:
        return self.database.connect(login, row_factory=dict_row, **options)

    def propose(self, charge: str = "ch_1", amount: int = 100) -> str:
        """Propose as alice, in a transaction of its own, and return the action's id."""
        return str(call(self.connect("test_caller"), PROPOSE, charge, amount)["action_id"])

    def status(self, action_id: str) -> str:
        found = self.database.connect().execute(
            "select synapsor._delivery_status(%s)", (action_id,)
        )
        return str(found.fetchone()[0])  # type: ignore[index]


PROPOSE = """select * from synapsor.propose_external_action('billing.issue_refund',
    jsonb_build_object('charge_id', %s::text, 'amount_cents', %s::integer))"""
CLAIM = f"select * from synapsor.claim_external_actions('{QUEUE}', %s)"
CONFIRM = "select * from synapsor.confirm_external_action(%s, %s, claim_token => %s)"
CONFIRM_ALL = "select * from synapsor.confirm_external_actions(%s)"
RETRY_NOW = """select * from synapsor.confirm_external_action(%s, 'failed',
    retry_after => '0 s', claim_token => %s)"""
RELEASE = "select * from synapsor.release_claim(%s, %s)"
APPROVE = "select * from synapsor.approve_external_action(%s)"
REJECT = "select * from synapsor.reject_external_action(%s)"
CANCEL = "select * from synapsor.cancel_external_action(%s)"
SETTLE = "select * from synapsor.settle_external_action(%s, %s)"
RETRY = "select * from synapsor.retry_external_action(%s)"
EXPIRE = "select synapsor.expire_claims() as ended"


def calls(connection: psycopg.Connection[Row], statement: str, *values: object) -> list[Row]:
    return connection.execute(statement, values or None).fetchall()


def call(connection: psycopg.Connection[Row], statement: str, *values: object) -> Row:
    rows = calls(connection, statement, *values)
    assert len(rows) == 1, rows
    return rows[0]


def code(error: BaseException | None) -> str | None:
    return error.sqlstate if isinstance(error, psycopg.Error) else None


class Second:
    """A call on another connection, which is expected to wait for an open transaction."""

    def __init__(
        self, pool: ThreadPoolExecutor, connection: psycopg.Connection[Row], *asked: object
    ) -> None:
        self.connection = connection
        self.future: Future[list[Row]] = pool.submit(calls, connection, *asked)  # type: ignore[arg-type]

    def waits(self, observer: psycopg.Connection[Any]) -> bool:
        """Tell whether it has come to wait for a lock, rather than returned."""
        until = time.monotonic() + 10
        while time.monotonic() < until and not self.future.done():
            blockers = observer.execute(
                "select cardinality(pg_blocking_pids(%s))", (self.connection.info.backend_pid,)
            ).fetchone()
            if blockers and blockers[0]:
                return True
            time.sleep(0.005)
        return False

    def outcome(self) -> str:
        """Return the status it got, with `unchanged` where it says so, or the error's code."""
        if error := self.future.exception(timeout=20):
            return code(error) or repr(error)
        rows = self.future.result()
        if not rows:
            return "nothing"
        return str(rows[0]["status"]) + ("" if rows[0].get("changed", True) else ", unchanged")
