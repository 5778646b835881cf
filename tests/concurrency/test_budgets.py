"""Racing proposals and a limit: together they never exceed it, and it is used to the last cent."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest
from concurrency.fleet import APPROVE, PROPOSE, Fleet, Second, call, code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Database

LIMIT = {"sum": "amount_cents", "max": 1000, "per": "month", "by": ["tenant_id"]}
CONSUMED = "select coalesce(sum(consumed), 0)::integer from synapsor.budgets"
QUEUED = """select coalesce(sum((intent::jsonb -> 'arguments' ->> 'amount_cents')::integer), 0)
from synapsor.action_invocations where status = 'running'"""


@pytest.fixture
def fleet(database: Database) -> Fleet:
    return Fleet(database)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def total(fleet: Fleet, query: str) -> int:
    found = fleet.database.connect().execute(query).fetchone()  # type: ignore[call-overload]
    return int(found[0])


@pytest.mark.parametrize(("commits", "expected"), [(True, "SY051"), (False, "queued")])
def test_of_two_proposals_one_fits(
    fleet: Fleet, pool: ThreadPoolExecutor, commits: bool, expected: str
) -> None:
    fleet.prepare(limits=[LIMIT])
    one = fleet.connect("test_caller", autocommit=False)
    assert call(one, PROPOSE, "ch_1", 600)["status"] == "queued"
    two = Second(pool, fleet.connect("test_caller_b"), PROPOSE, "ch_2", 600)
    assert two.waits(fleet.database.connect())
    one.commit() if commits else one.rollback()
    assert two.outcome() == expected
    assert total(fleet, CONSUMED) == total(fleet, QUEUED) == 600


def test_of_two_approvals_one_fits(fleet: Fleet, pool: ThreadPoolExecutor) -> None:
    fleet.prepare(limits=[LIMIT], approval={"required": True})
    first, second = fleet.propose("ch_1", 600), fleet.propose("ch_2", 600)
    one = fleet.connect("test_approver", autocommit=False)
    assert call(one, APPROVE, first)["status"] == "queued"
    two = Second(pool, fleet.connect("test_approver_b"), APPROVE, second)
    assert two.waits(fleet.database.connect())
    one.commit()
    assert two.outcome() == "blocked_by_policy"
    assert total(fleet, CONSUMED) == 600


def test_a_storm_of_proposals_stays_within_the_limit(
    fleet: Fleet, pool: ThreadPoolExecutor
) -> None:
    fleet.prepare(limits=[LIMIT])

    def propose(thread: int) -> tuple[int, int]:
        caller = fleet.connect("test_caller" if thread % 2 else "test_caller_b")
        dice, taken, refused = random.Random(thread), 0, 0
        for number in range(60):
            cents = dice.randint(1, 30)
            try:
                call(caller, PROPOSE, f"ch_{thread}_{number}", cents)
                taken += cents
            except psycopg.Error as error:
                if code(error) != "SY051":
                    raise
                refused += 1
        return taken, refused

    racers = [pool.submit(propose, thread) for thread in range(4)]
    results = [racer.result() for racer in racers]
    taken = sum(taken for taken, _ in results)
    assert taken == total(fleet, CONSUMED) == total(fleet, QUEUED)
    assert 970 < taken <= 1000
    assert all(refused > 0 for _, refused in results)
