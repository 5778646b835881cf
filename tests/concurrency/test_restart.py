"""The server crashes: what was acknowledged is there, what was not may be repeated."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING

import psycopg
import pytest
from concurrency.fleet import CLAIM, CONFIRM, EXPIRE, PROPOSE, Fleet, Row, call, calls

if TYPE_CHECKING:
    from support.database import Database


@pytest.mark.slow
def test_an_immediate_stop_loses_nothing_that_was_acknowledged(  # noqa: C901
    throwaway_cluster: Database,
) -> None:
    database = throwaway_cluster
    fleet = Fleet(database).prepare(retry={"max_attempts": 9}, poison_after=100)
    proposed: list[str] = []
    claimed: dict[str, int] = {}
    confirmed: set[str] = set()
    doubtful: set[str] = set()
    busy = threading.Event()

    def propose() -> None:
        caller = fleet.connect("test_caller")
        for number in count():
            proposed.append(call(caller, PROPOSE, f"ch_{number}", 1)["action_id"])  # noqa: PERF401

    def work() -> None:
        # A claim commits synchronously, whatever its session says.
        worker = fleet.connect("test_worker", options="-c synchronous_commit=off")
        while True:
            for claim in calls(worker, CLAIM, 2):
                action, token = claim["action_id"], claim["claim_token"]
                claimed[action] = token
                if len(claimed) % 4:
                    doubtful.add(action)
                    with worker.transaction():
                        worker.execute("set local synchronous_commit = on")
                        call(worker, CONFIRM, action, "succeeded", token)
                    confirmed.add(action)
            if len(confirmed) > 60:
                busy.set()

    with ThreadPoolExecutor() as pool:
        crew = [pool.submit(propose), pool.submit(work)]
        assert busy.wait(60), [one.exception() for one in crew if one.done()]
        database.cluster.stop("immediate")
        assert all(isinstance(one.exception(30), psycopg.OperationalError) for one in crew)
    database.cluster.start()

    rows: dict[str, Row] = {
        row["action_id"]: row
        for row in fleet.connect("postgres").execute(
            "select action_id, synapsor._delivery_status(action_id) as status, "
            "(select max(claim_token) from synapsor._events as event "
            "where event.action_id = invocation.action_id) as token "
            "from synapsor.action_invocations as invocation"
        )
    }
    assert set(proposed) <= set(rows)
    assert len(rows) - len(proposed) <= 1, "one proposal at most was not acknowledged"
    for action, token in claimed.items():
        assert rows[action]["token"] == token, "an acknowledged claim was lost"
    assert {rows[action]["status"] for action in confirmed} == {"succeeded"}
    assert {rows[action]["status"] for action in doubtful - confirmed} <= {"claimed", "succeeded"}

    # Until the leases of the lost worker have run out.
    fleet.connect("postgres").execute(
        "create or replace function synapsor._now() returns timestamptz language sql volatile "
        "begin atomic select clock_timestamp() + interval '2 minutes'; end"
    )
    worker = fleet.connect("test_worker_b")
    assert call(worker, EXPIRE)["ended"] > 0
    while batch := calls(worker, CLAIM, 100):
        for claim in batch:
            action, token = claim["action_id"], claim["claim_token"]
            assert token > claimed.get(action, 0), "an old token was issued again"
            assert action not in confirmed, "what was confirmed is delivered again"
            assert call(worker, CONFIRM, action, "succeeded", token)["status"] == "succeeded"
    found = fleet.connect("postgres").execute(
        "select count(*) as open from synapsor.open_external_actions"
    )
    assert found.fetchone() == {"open": 0}
