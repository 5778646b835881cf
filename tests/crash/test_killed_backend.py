"""One server process is killed in the middle of a statement, and the cluster recovers from it."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from client.workshop import wait_until
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from support.database import Database

ACTIONS = 400
DEATHS = ["claim_external_actions", "confirm_external_actions"]


@pytest.mark.slow
def test_a_killed_backend_loses_and_repeats_nothing(throwaway_cluster: Database) -> None:
    database = throwaway_cluster
    admin = database.connect()
    for login in ("test_worker", "test_worker_b", "test_auditor", "test_caller"):
        session = {"tenant_id": "acme"} if login == "test_caller" else {"tenants": "*"}
        admin.execute("select synapsor.bind_role(%s, %s)", (login, json.dumps(session)))
    contract = {
        "queue": "crash",
        "lease": "1 s",
        "retry": {"max_attempts": 9},
        "poison_after": 100,
        "idempotency": {"key": "{charge_id}", "idempotent": True},
    }
    admin.execute("select tests.a_contract(%s)", (json.dumps(contract),))
    proposed = database.connect("test_caller").execute(
        """select count(*) from synapsor.propose_external_actions('billing.issue_refund', array(
            select jsonb_build_object('charge_id', 'ch' || number, 'amount_cents', 1)
            from generate_series(1, %s) as number))""",
        (ACTIONS,),
    )
    assert proposed.fetchone() == (ACTIONS,)

    work = Work(database)
    with ThreadPoolExecutor() as pool:
        crew = [pool.submit(work.drain, login) for login in ("test_worker", "test_worker_b")]
        try:
            for statement in DEATHS:
                kill_a_backend(database, statement)
            wait_until(lambda: all(one.done() for one in crew), within=60)
        finally:
            work.is_over.set()
        for one in crew:
            one.result()

    assert work.losses >= len(DEATHS)
    assert max(work.issued.values()) == 1, "a token was issued twice"
    with database.connect("test_auditor", row_factory=dict_row) as observer:
        ends = observer.execute(
            "select action_id, array_agg(event_type order by sequence) as told, "
            "array_agg(sequence order by sequence) as sequences "
            "from synapsor.synapsor_external_action_events group by action_id"
        ).fetchall()
    assert len(ends) == ACTIONS
    for each in ends:
        assert each["told"][-1] == "Succeeded"
        assert each["told"].count("Succeeded") == 1
        assert each["sequences"] == list(range(1, len(each["sequences"]) + 1))


def kill_a_backend(database: Database, statement: str) -> None:
    """Kill the first server process that is seen to run a statement, and wait for the recovery."""
    running = (
        "select pid from pg_stat_activity where state = 'active' "
        "and usename ~ '^test_worker' and position(%s in query) > 0"
    )
    patience = time.monotonic() + 30
    is_killed = False
    while time.monotonic() < patience:
        try:
            with psycopg.connect(database(), autocommit=True) as observer:
                while not is_killed and time.monotonic() < patience:
                    victim = observer.execute(running, (statement,)).fetchone()
                    if victim is not None:
                        os.kill(victim[0], signal.SIGKILL)
                        is_killed = True
                        observer.execute("select pg_sleep(30)")
                assert is_killed, f"nobody ran {statement}"
                return
        except psycopg.OperationalError:
            time.sleep(0.05)
    pytest.fail("the server did not come back")


class Work:
    """Claims and confirms, on another connection whenever the server drops the one in hand."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.is_over = threading.Event()
        self.issued: Counter[tuple[str, int]] = Counter()
        self.losses = 0

    def drain(self, login: str) -> None:
        while not self.is_over.is_set():
            try:
                with psycopg.connect(
                    self.database(login), autocommit=True, row_factory=dict_row
                ) as connection:
                    if self._drain(connection):
                        return
            except psycopg.OperationalError:
                self.losses += 1
                time.sleep(0.05)

    def _drain(self, connection: psycopg.Connection[dict[str, Any]]) -> bool:
        unfinished = "select queue from synapsor.synapsor_queue_stats"
        while not self.is_over.is_set():
            claims = connection.execute(
                "select action_id, claim_token from synapsor.claim_external_actions('crash', 5)"
            ).fetchall()
            self.issued.update((each["action_id"], each["claim_token"]) for each in claims)
            if not claims:
                if not connection.execute(unfinished).fetchall():
                    return True
                time.sleep(0.05)
                continue
            connection.execute(
                "select count(*) from synapsor.confirm_external_actions(%s)",
                (json.dumps([{**each, "status": "succeeded"} for each in claims]),),
            )
        return False
