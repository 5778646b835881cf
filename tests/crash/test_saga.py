"""The server crashes in the middle of a saga: every effect is undone once, in order, to the end."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from support.database import Database

EFFECTS = 12
CRASHES = 4
UNDO = {
    "action": "stock.release",
    "provider": "stock",
    "operation": "release",
    "queue": "stock",
    "args": {"item": {"type": "integer", "required": True}},
    "lease": "1 s",
    "retry": {"max_attempts": 9},
    "poison_after": 100,
    "idempotency": {"idempotent": True, "window": "1 hour"},
}


def saga() -> dict[str, Any]:
    """Return a plan whose actions each have an effect, and whose last one fails."""
    below: list[dict[str, Any]] = [{"Name": "Fails", "Handler": _ends("Failed")}]
    for number in reversed(range(EFFECTS)):
        below = [
            {
                "Name": f"Item{number}",
                "Handler": _ends("Complete", ExitData={"item": number}),
                "Compensation": {
                    "action": "stock.release",
                    "parameters": {"item": "{result.item}"},
                },
                "Actions": below,
            }
        ]
    return {"Name": "stock", "Actions": below}


def _ends(status: str, **more: Any) -> dict[str, Any]:
    return {"Type": "EmptyHandler", "Config": {"Values": {"ReturnStatus": status, **more}}}


@pytest.mark.slow
def test_the_server_crashes_while_a_saga_compensates(throwaway_cluster: Database) -> None:
    database = throwaway_cluster
    admin = database.connect()
    worker = {"principal": "w1", "tenants": "*", "actor_type": "service_account"}
    for login, context in (
        ("test_caller", {"principal": "alice", "tenant_id": "acme"}),
        ("test_worker", worker),
    ):
        admin.execute("select synapsor.bind_role(%s, %s)", (login, json.dumps(context)))
    admin.execute("select synapsor.declare_action(%s)", (json.dumps(UNDO),))
    admin.execute("select synapsor.declare_plan(%s)", (json.dumps(saga()),))
    started = database.connect("test_caller").execute("select * from synapsor.start_plan('stock')")
    run = started.fetchone()
    assert run is not None
    run_id = run[0]

    # What reaches the provider, by the key it deduplicates by, in order of arrival.
    effects: dict[str, int] = {}
    over = threading.Event()
    reached = threading.Semaphore(0)

    def work() -> None:
        connection = database.connect("test_worker", row_factory=dict_row)
        while not over.is_set():
            connection.execute("select synapsor.expire_claims()")
            for claim in connection.execute(
                "select * from synapsor.claim_external_actions('stock', 2)"
            ).fetchall():
                effects.setdefault(claim["idempotency_key"], claim["arguments"]["item"])
                reached.release()
                connection.execute(
                    "select synapsor.confirm_external_action(%s, 'succeeded', claim_token => %s)",
                    (claim["action_id"], claim["claim_token"]),
                )
            connection.execute("select synapsor.run_due_steps()")

    with ThreadPoolExecutor() as pool:
        for _ in range(CRASHES):
            crew = pool.submit(work)
            for _ in range(EFFECTS // (CRASHES + 1)):
                assert reached.acquire(timeout=30), crew.exception() if crew.done() else "stuck"
            database.cluster.stop("immediate")
            assert isinstance(crew.exception(30), psycopg.OperationalError)
            database.cluster.start()
        crew = pool.submit(work)
        state = None
        observer = database.connect()
        for _ in range(600):
            state = observer.execute(
                "select state from synapsor.runs where run_id = %s", (run_id,)
            ).fetchone()
            if state != ("compensating",):
                break
            over.wait(0.05)
        over.set()
        crew.result(30)

    assert state == ("compensated",)
    assert list(effects.values()) == list(reversed(range(EFFECTS))), "undone out of order, or twice"
    steps = observer.execute(
        "select compensates, status from synapsor.run_steps where run_id = %s "
        "and compensates is not null order by sequence",
        (run_id,),
    ).fetchall()
    assert len(steps) == EFFECTS
    assert {status for _, status in steps} == {"Complete"}
    actions = observer.execute("select count(*) from synapsor.action_invocations").fetchone()
    assert actions == (EFFECTS,), "an undoing was asked for twice"
