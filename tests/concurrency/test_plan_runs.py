"""Plans at once: siblings that end together, runs cancelled while somebody decides."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
from concurrency.fleet import APPROVE, CLAIM, CONFIRM, Fleet, Second, call, calls

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from support.database import Database

START = "select * from synapsor.start_plan(%s, %s)"
CANCEL_RUN = "select *, state as status from synapsor.cancel_run(%s, 'changed my mind')"
RESUME = "select *, state as status from synapsor.resume_run(%s)"
RUN_DUE = "select synapsor.run_due_steps() as done"


def refund(name: str, number: int) -> dict[str, Any]:
    return {
        "Name": name,
        "Handler": {"Type": "action:billing.issue_refund"},
        "Parameters": {
            "Values": {"amount_cents": number},
            "Dynamic": [{"Source": "charge", "Target": "charge_id"}],
        },
    }


# The group has to end before After begins, and both of its branches before it has ended.
SIBLINGS = {
    "Name": "siblings",
    "DefaultHandlerType": "EchoHandler",
    "Actions": [
        {
            "Name": "Root",
            "ActionGroup": {"Name": "Both", "Actions": [refund("One", 1), refund("Two", 2)]},
            "Actions": [{"Name": "After"}],
        }
    ],
}
REVIEWED = {"Name": "reviewed", "Actions": [refund("Refund", 1)]}


class Planner(Fleet):
    """A fleet that runs plans."""

    @cached_property
    def admin(self) -> psycopg.Connection[Any]:
        return self.database.connect()

    def declare(self, *plans: dict[str, Any]) -> None:
        for plan in plans:
            self.admin.execute("select synapsor.declare_plan(%s)", (json.dumps(plan),))

    def start(self, plan: str, charge: str = "ch") -> str:
        started = call(self.connect("test_caller"), START, plan, json.dumps({"charge": charge}))
        return str(started["run_id"])

    def stands(self, run_id: str) -> str:
        return str(self.one("select state from synapsor.runs where run_id = %s", run_id))

    def steps(self, run_id: str) -> list[tuple[Any, ...]]:
        return self.admin.execute(
            "select step_key, status, attempt from synapsor.run_steps "
            "where run_id = %s order by sequence",
            (run_id,),
        ).fetchall()

    def one(self, query: str, *values: object) -> Any:
        row = self.admin.execute(query, values or None).fetchone()
        assert row is not None
        return row[0]


@pytest.fixture
def planner(database: Database) -> Planner:
    """Give plans whose nodes are delivered by workers."""
    planner = Planner(database)
    planner.prepare()
    planner.declare(SIBLINGS, REVIEWED)
    return planner


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def test_two_siblings_confirmed_at_once_do_not_both_miss_that_they_were_last(
    planner: Planner, pool: ThreadPoolExecutor
) -> None:
    run_id = planner.start("siblings")
    first, second = calls(planner.connect("test_worker"), CLAIM, 2)
    one = planner.connect("test_worker", autocommit=False)
    two = planner.connect("test_worker", autocommit=False)
    for connection, claim in ((one, first), (two, second)):
        call(connection, CONFIRM, claim["action_id"], "succeeded", claim["claim_token"])
    call(one, RUN_DUE)
    waiting = Second(pool, two, RUN_DUE)
    assert waiting.waits(planner.admin), "two advance one run at a time"
    one.commit()
    waiting.future.result(timeout=20)
    two.commit()
    assert planner.stands(run_id) == "completed"
    assert [key for key, _, _ in planner.steps(run_id)].count("Root/After") == 1


def test_confirmed_and_rolled_back_the_mark_is_gone_with_the_outcome(planner: Planner) -> None:
    run_id = planner.start("siblings")
    for claim in calls(planner.connect("test_worker"), CLAIM, 2):
        worker = planner.connect("test_worker", autocommit=False)
        call(worker, CONFIRM, claim["action_id"], "succeeded", claim["claim_token"])
        call(worker, RUN_DUE)
        worker.rollback()
        call(worker, CONFIRM, claim["action_id"], "succeeded", claim["claim_token"])
        worker.commit()
    assert planner.stands(run_id) == "open"
    assert call(planner.connect("test_worker"), RUN_DUE)["done"] == 2
    assert planner.stands(run_id) == "completed"


@pytest.mark.parametrize("advancing", [1, 4])
def test_every_run_of_racing_workers_goes_on_once(
    planner: Planner, pool: ThreadPoolExecutor, advancing: int
) -> None:
    runs = [planner.start("siblings", f"ch_{number}") for number in range(25)]
    claims = calls(planner.connect("test_worker"), CLAIM, 2 * len(runs))
    assert len(claims) == 2 * len(runs)
    both = Barrier(4)

    def work(start: int) -> None:
        with planner.connect("test_worker") as connection:
            both.wait()
            for claim in claims[start::4]:
                call(connection, CONFIRM, claim["action_id"], "succeeded", claim["claim_token"])
                if start < advancing:
                    call(connection, RUN_DUE)

    list(pool.map(work, range(4)))
    call(planner.connect("test_worker"), RUN_DUE)
    assert {planner.stands(run_id) for run_id in runs} == {"completed"}
    assert planner.one("select count(*) from synapsor.run_steps where name = 'After'") == len(runs)
    assert planner.one("select count(*) from synapsor.run_steps") == 5 * len(runs)
    assert planner.one("select count(*) from synapsor.due_invocations") == 0
    assert planner.one("select count(*) from synapsor.plan_runs where error is not null") == 0


def test_a_run_cancelled_while_its_action_is_being_approved(
    planner: Planner, pool: ThreadPoolExecutor
) -> None:
    planner.prepare(approval={"required": True})
    run_id = planner.start("reviewed")
    action = planner.one("select action_id from synapsor.run_steps where run_id = %s", run_id)
    approver = planner.connect("test_approver", autocommit=False)
    assert call(approver, APPROVE, action)["status"] == "queued"
    cancelling = Second(pool, planner.connect("test_caller"), CANCEL_RUN, run_id)
    assert cancelling.waits(planner.admin)
    approver.commit()
    assert cancelling.outcome() == "cancelled"
    assert planner.status(action) == "cancelled", "approved, and nevertheless not delivered"
    assert calls(planner.connect("test_worker"), CLAIM, 1) == []


def test_an_action_approved_while_its_run_is_being_cancelled(
    planner: Planner, pool: ThreadPoolExecutor
) -> None:
    planner.prepare(approval={"required": True})
    run_id = planner.start("reviewed")
    action = planner.one("select action_id from synapsor.run_steps where run_id = %s", run_id)
    caller = planner.connect("test_caller", autocommit=False)
    assert call(caller, CANCEL_RUN, run_id)["status"] == "cancelled"
    approving = Second(pool, planner.connect("test_approver"), APPROVE, action)
    assert approving.waits(planner.admin)
    caller.commit()
    assert approving.outcome() == "SY021"
    assert planner.status(action) == "cancelled"


def test_a_run_cancelled_while_it_advances(planner: Planner, pool: ThreadPoolExecutor) -> None:
    run_id = planner.start("siblings")
    for claim in calls(planner.connect("test_worker"), CLAIM, 2):
        call(
            planner.connect("test_worker"),
            CONFIRM,
            claim["action_id"],
            "succeeded",
            claim["claim_token"],
        )
    worker = planner.connect("test_worker", autocommit=False)
    call(worker, RUN_DUE)
    cancelling = Second(pool, planner.connect("test_caller"), CANCEL_RUN, run_id)
    assert cancelling.waits(planner.admin)
    worker.commit()
    assert cancelling.outcome() == "SY040", "it was over when its turn came"
    assert planner.stands(run_id) == "completed"


def test_two_resume_one_run(planner: Planner, pool: ThreadPoolExecutor) -> None:
    run_id = planner.start("reviewed")
    [claim] = calls(planner.connect("test_worker"), CLAIM, 1)
    worker = planner.connect("test_worker")
    worker.execute(
        "select synapsor.confirm_external_action(%s, 'failed', retryable => false)",
        (claim["action_id"],),
    )
    call(worker, RUN_DUE)
    assert planner.stands(run_id) == "failed"
    caller = planner.connect("test_caller", autocommit=False)
    assert call(caller, RESUME, run_id)["status"] == "open"
    resuming = Second(pool, planner.connect("test_caller"), RESUME, run_id)
    assert resuming.waits(planner.admin)
    caller.commit()
    assert resuming.outcome() == "open"
    assert planner.steps(run_id) == [
        ("Refund", "Failed", 1),
        ("Refund[attempt 2]", "Running", 2),
    ]
    [claim] = calls(planner.connect("test_worker"), CLAIM, 2)
    call(worker, CONFIRM, claim["action_id"], "succeeded", claim["claim_token"])
    call(worker, RUN_DUE)
    assert planner.stands(run_id) == "completed"
