"""Two transactions at one action: one after the other, whatever the first one does."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from concurrency.fleet import (
    APPROVE,
    CANCEL,
    CLAIM,
    CONFIRM,
    EXPIRE,
    PROPOSE,
    QUEUE,
    REJECT,
    RELEASE,
    RETRY,
    RETRY_NOW,
    SETTLE,
    Fleet,
    Row,
    Second,
    call,
    calls,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Database

BEGIN = "select * from synapsor.begin_delivery(%s, %s)"
APPROVAL = {"required": True, "approvals": 1}
ISOLATION = [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE]


@pytest.fixture
def fleet(database: Database) -> Fleet:
    return Fleet(database)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def claim(fleet: Fleet, **options: bool) -> Row:
    """Claim the one action there is, as w1."""
    statement = (
        CLAIM if options.get("begin", True) else CLAIM.replace("%s)", '%s, "begin" => false)')
    )
    return call(fleet.connect("test_worker"), statement, 1)


def after(
    fleet: Fleet,
    pool: ThreadPoolExecutor,
    first: tuple[Any, ...],
    second: tuple[Any, ...],
    *,
    commits: bool = True,
) -> str:
    """Return what the second call gets that waited for the first one's transaction."""
    one = fleet.connect(first[0], autocommit=False)
    calls(one, *first[1:])
    two = Second(pool, fleet.connect(second[0]), *second[1:])
    assert two.waits(fleet.database.connect()), f"did not wait: {two.outcome()}"
    if commits:
        one.commit()
    else:
        one.rollback()
    return two.outcome()


@pytest.mark.parametrize(("commits", "expected"), [(True, "queued, unchanged"), (False, "queued")])
def test_two_proposers_with_one_key(
    fleet: Fleet, pool: ThreadPoolExecutor, commits: bool, expected: str
) -> None:
    fleet.prepare()
    proposal = (PROPOSE, "ch_1", 100)
    first, second = ("test_caller", *proposal), ("test_caller", *proposal)
    assert after(fleet, pool, first, second, commits=commits) == expected
    assert call(fleet.connect("test_caller"), PROPOSE, "ch_1", 100)["changed"] is False
    held = fleet.database.connect().execute(
        "select count(*), (select count(*) from synapsor.open_external_actions) "
        "from synapsor.action_invocations"
    )
    assert held.fetchone() == (1, 1)


def test_two_proposers_with_one_key_and_different_values(
    fleet: Fleet, pool: ThreadPoolExecutor
) -> None:
    fleet.prepare(idempotency={"key": "{charge_id}", "idempotent": True})
    first, second = ("test_caller", PROPOSE, "ch_1", 1), ("test_caller", PROPOSE, "ch_1", 2)
    assert after(fleet, pool, first, second) == "SY008"
    fleet.prepare(idempotency={"key": "{charge_id}-b", "idempotent": True})
    assert after(fleet, pool, first, second, commits=False) == "queued"


def test_proposers_in_opposite_order_do_not_both_fail(
    fleet: Fleet, pool: ThreadPoolExecutor
) -> None:
    fleet.prepare()
    one, two = (fleet.connect("test_caller", autocommit=False) for _ in range(2))
    call(one, PROPOSE, "a", 1)
    call(two, PROPOSE, "b", 1)
    crossing = Second(pool, one, PROPOSE, "b", 1)
    assert crossing.waits(fleet.database.connect())
    other = Second(pool, two, PROPOSE, "a", 1)
    outcomes = {crossing.outcome(), other.outcome()}
    # Two business transactions that cross: PostgreSQL ends one of them, retryably.
    assert "40P01" in outcomes
    assert len(outcomes - {"40P01"}) == 1
    one.rollback()
    two.rollback()


@pytest.mark.parametrize(
    ("first", "second", "committed", "rolled_back"),
    [
        (APPROVE, CANCEL, "cancelled", "cancelled"),
        (CANCEL, APPROVE, "SY021", "queued"),
        (APPROVE, APPROVE, "queued, unchanged", "queued"),
        (REJECT, APPROVE, "SY021", "queued"),
        (APPROVE, REJECT, "SY021", "rejected"),
        (REJECT, CANCEL, "SY014", "cancelled"),
        (CANCEL, CANCEL, "cancelled, unchanged", "cancelled"),
    ],
)
def test_two_decisions_on_a_proposal(
    fleet: Fleet,
    pool: ThreadPoolExecutor,
    first: str,
    second: str,
    committed: str,
    rolled_back: str,
) -> None:
    fleet.prepare(approval=APPROVAL)
    for number, (commits, expected) in enumerate([(True, committed), (False, rolled_back)]):
        action = fleet.propose(f"ch_{number}")
        one, two = ("test_approver", first, action), ("test_approver_b", second, action)
        assert after(fleet, pool, one, two, commits=commits) == expected


def test_two_approvals_of_two_needed(fleet: Fleet, pool: ThreadPoolExecutor) -> None:
    fleet.prepare(approval=APPROVAL | {"approvals": 2})
    action = fleet.propose()
    first, second = ("test_approver", APPROVE, action), ("test_approver_b", APPROVE, action)
    assert after(fleet, pool, first, second) == "queued"
    again = fleet.propose("ch_2")
    first, second = ("test_approver", APPROVE, again), ("test_approver", APPROVE, again)
    assert after(fleet, pool, first, second) == "SY022"
    assert fleet.status(again) == "proposed"


def test_an_approval_and_the_sweep(fleet: Fleet, pool: ThreadPoolExecutor) -> None:
    fleet.prepare(approval=APPROVAL | {"expires_after": "500 ms"})
    action = fleet.propose()
    approver = fleet.connect("test_approver", autocommit=False)
    assert call(approver, APPROVE, action)["status"] == "queued"
    time.sleep(0.6)
    sweep = "select synapsor.expire_approvals() as status"
    assert call(fleet.connect("test_worker"), sweep)["status"] == 0
    approver.commit()
    assert call(fleet.connect("test_worker"), sweep)["status"] == 0
    assert fleet.status(action) == "queued"
    late = fleet.propose("ch_2")
    time.sleep(0.6)
    first, second = ("test_worker", sweep), ("test_approver", APPROVE, late)
    assert after(fleet, pool, first, second) == "SY021"
    assert fleet.status(late) == "expired"


@pytest.mark.parametrize(
    ("first", "second", "committed", "rolled_back"),
    [
        ("succeeded", "succeeded", "succeeded, unchanged", "succeeded"),
        ("succeeded", "failed", "SY033", "queued"),
        ("failed", "succeeded", "SY033", "succeeded"),
        ("failed", "failed", "queued, unchanged", "queued"),
        ("unknown", "succeeded", "SY033", "succeeded"),
    ],
)
def test_two_confirmations(
    fleet: Fleet,
    pool: ThreadPoolExecutor,
    first: str,
    second: str,
    committed: str,
    rolled_back: str,
) -> None:
    fleet.prepare(retry={"initial": "1 h", "max": "1 h", "jitter": "none"})
    for number, (commits, expected) in enumerate([(True, committed), (False, rolled_back)]):
        action = fleet.propose(f"ch_{number}")
        token = claim(fleet)["claim_token"]
        one = ("test_worker", CONFIRM, action, first, token)
        two = ("test_worker", CONFIRM, action, second, token)
        assert after(fleet, pool, one, two, commits=commits) == expected


def test_a_confirmation_and_the_sweep(fleet: Fleet, pool: ThreadPoolExecutor) -> None:
    fleet.prepare(lease="1 s", idempotency={"idempotent": False})
    action = fleet.propose()
    token = claim(fleet)["claim_token"]
    worker = fleet.connect("test_worker", autocommit=False)
    assert call(worker, CONFIRM, action, "succeeded", token)["status"] == "succeeded"
    time.sleep(1.1)
    assert call(fleet.connect("test_worker_b"), EXPIRE)["ended"] == 0
    worker.commit()
    assert call(fleet.connect("test_worker_b"), EXPIRE)["ended"] == 0
    assert fleet.status(action) == "succeeded"

    for commits, expected in ((True, "unknown"), (False, "claimed")):
        late = fleet.propose(f"late {commits}")
        token = claim(fleet)["claim_token"]
        time.sleep(1.1)
        first = ("test_worker_b", EXPIRE)
        second = ("test_worker", CONFIRM, late, "succeeded", token)
        assert after(fleet, pool, first, second, commits=commits) == "SY031"
        assert fleet.status(late) == expected


def test_a_claim_and_a_cancellation(fleet: Fleet, pool: ThreadPoolExecutor) -> None:
    fleet.prepare()
    for commits, expected in ((True, "SY014"), (False, "cancelled")):
        action = fleet.propose(f"claimed {commits}")
        first, second = ("test_worker", CLAIM, 1), ("test_caller", CANCEL, action)
        assert after(fleet, pool, first, second, commits=commits) == expected
        for claimed in [action] if commits else []:
            held = fleet.database.connect().execute(
                "select claim_token from synapsor.open_external_actions"
            )
            token = held.fetchone()[0]  # type: ignore[index]
            call(fleet.connect("test_worker"), CONFIRM, claimed, "succeeded", token)
    action = fleet.propose("cancelled")
    caller = fleet.connect("test_caller", autocommit=False)
    call(caller, CANCEL, action)
    worker = fleet.connect("test_worker")
    assert calls(worker, CLAIM, 1) == []
    caller.rollback()
    assert call(worker, CLAIM, 1)["action_id"] == action


def test_a_delivery_that_begins_and_a_cancellation(fleet: Fleet, pool: ThreadPoolExecutor) -> None:
    fleet.prepare()
    for commits, expected in ((True, "SY014"), (False, "cancelled")):
        action = fleet.propose(f"ch_{commits}")
        token = claim(fleet, begin=False)["claim_token"]
        first, second = ("test_worker", BEGIN, action, token), ("test_caller", CANCEL, action)
        assert after(fleet, pool, first, second, commits=commits) == expected
    action = fleet.propose("other way round")
    token = claim(fleet, begin=False)["claim_token"]
    first, second = ("test_caller", CANCEL, action), ("test_worker", BEGIN, action, token)
    assert after(fleet, pool, first, second) == "SY030"


def test_a_slow_proposer_does_not_break_into_a_lane(fleet: Fleet) -> None:
    fleet.prepare(ordering_key="{charge_id}")
    slow = fleet.connect("test_caller", autocommit=False)
    early = call(slow, PROPOSE, "lane", 1)["action_id"]
    late = fleet.propose("lane", 2)
    in_flight = claim(fleet)
    assert in_flight["action_id"] == late
    slow.commit()
    worker = fleet.connect("test_worker")
    assert calls(worker, CLAIM, 1) == []
    call(worker, CONFIRM, late, "succeeded", in_flight["claim_token"])
    assert call(worker, CLAIM, 1)["action_id"] == early


def test_a_claim_does_not_wait_for_a_lane_out_of_order(fleet: Fleet) -> None:
    fleet.prepare(ordering_key="{charge_id}")
    for number, lane in enumerate(("b", "a", "b", "a"), start=1):
        fleet.propose(lane, number)
    assert claim(fleet)["arguments"]["charge_id"] == "b"
    one, two = (
        fleet.connect(login, autocommit=False) for login in ("test_worker", "test_worker_b")
    )
    two.execute("set statement_timeout = '5 s'")
    assert call(one, CLAIM, 1)["arguments"]["charge_id"] == "a"
    # It met lane b, which is in flight, and holds its row; lane a comes before it and is taken.
    assert calls(two, CLAIM, 1) == []
    two.commit()
    one.rollback()
    assert call(two, CLAIM, 1)["arguments"]["charge_id"] == "a"
    two.commit()


def test_two_operators(fleet: Fleet, pool: ThreadPoolExecutor) -> None:
    fleet.prepare(idempotency={"idempotent": False})
    for status in ("succeeded", "queued"):
        action = fleet.propose(status)
        call(fleet.connect("test_worker"), CONFIRM, action, "unknown", claim(fleet)["claim_token"])
        first = ("test_approver", SETTLE, action, status)
        second = ("test_approver_b", SETTLE, action, status)
        assert after(fleet, pool, first, second) == f"{status}, unchanged"
    call(fleet.connect("test_worker"), CONFIRM, action, "failed", claim(fleet)["claim_token"])
    first, second = ("test_approver", RETRY, action), ("test_approver_b", RETRY, action)
    assert after(fleet, pool, first, second) == "queued, unchanged"


@pytest.mark.parametrize("isolation", ISOLATION)
def test_a_claim_on_an_old_snapshot_fails_cleanly(
    fleet: Fleet, isolation: psycopg.IsolationLevel
) -> None:
    fleet.prepare()
    action = fleet.propose()
    worker = fleet.connect("test_worker", autocommit=False)
    worker.isolation_level = isolation
    call(worker, "select synapsor.current_session()")
    other = call(fleet.connect("test_worker_b"), CLAIM, 1)
    with pytest.raises(psycopg.errors.SerializationFailure):
        calls(worker, CLAIM, 1)
    worker.rollback()
    assert calls(worker, CLAIM, 1) == []
    worker.rollback()
    call(worker, "select synapsor.current_session()")
    call(fleet.connect("test_worker_b"), RELEASE, action, other["claim_token"])
    assert calls(worker, CLAIM, 1) == []
    worker.rollback()
    assert call(worker, CLAIM, 1)["claim_token"] > other["claim_token"]
    worker.commit()


@pytest.mark.parametrize("isolation", ISOLATION)
def test_two_claims_at_once_never_get_the_same(
    fleet: Fleet, isolation: psycopg.IsolationLevel
) -> None:
    fleet.prepare()
    fleet.propose()
    one, two = (
        fleet.connect(login, autocommit=False) for login in ("test_worker", "test_worker_b")
    )
    one.isolation_level = two.isolation_level = isolation
    assert len(calls(one, CLAIM, 1)) == 1
    assert calls(two, CLAIM, 1) == []
    one.commit()
    # Serializable transactions that read each other's rows: the later one may have to retry.
    with contextlib.suppress(psycopg.errors.SerializationFailure):
        two.commit()


@pytest.mark.parametrize("isolation", ISOLATION)
def test_a_confirmation_on_an_old_snapshot_fails_cleanly(
    fleet: Fleet, isolation: psycopg.IsolationLevel
) -> None:
    fleet.prepare(lease="1 s", ordering_key="{charge_id}")
    worker = fleet.connect("test_worker", autocommit=False)
    worker.isolation_level = isolation
    for number, other in enumerate(("confirm", "sweep")):
        action = fleet.propose(f"ch_{number}")
        token = claim(fleet)["claim_token"]
        call(worker, "select synapsor.current_session()")
        if other == "confirm":
            call(fleet.connect("test_worker"), CONFIRM, action, "succeeded", token)
        else:
            time.sleep(1.1)
            assert call(fleet.connect("test_worker_b"), EXPIRE)["ended"] == 1
        with pytest.raises(psycopg.errors.SerializationFailure):
            calls(worker, CONFIRM, action, "succeeded", token)
        worker.rollback()
        if other == "confirm":
            repeat = call(worker, CONFIRM, action, "succeeded", token)
            assert repeat["changed"] is False
            worker.commit()


@pytest.mark.parametrize("isolation", ISOLATION)
def test_a_proposal_on_an_old_snapshot_fails_cleanly(
    fleet: Fleet, isolation: psycopg.IsolationLevel
) -> None:
    fleet.prepare()
    caller = fleet.connect("test_caller", autocommit=False)
    caller.isolation_level = isolation
    call(caller, "select synapsor.current_session()")
    action = fleet.propose()
    with pytest.raises(psycopg.errors.SerializationFailure):
        calls(caller, PROPOSE, "ch_1", 100)
    caller.rollback()
    assert call(caller, PROPOSE, "ch_1", 100)["action_id"] == action
    caller.commit()


def test_two_workers_race_for_one_action_thousands_of_times(
    fleet: Fleet, pool: ThreadPoolExecutor
) -> None:
    fleet.prepare(retry={"max_attempts": 100}, idempotency={"idempotent": True})
    rounds = 2500
    until = time.monotonic() + 15
    tokens: list[tuple[str, int]] = []
    held: dict[str, str] = {}
    numbers = count(1)
    fleet.propose(f"ch_{next(numbers)}")

    def work(login: str) -> int:
        worker, won = fleet.connect(login), 0
        while len(tokens) < rounds and time.monotonic() < until:
            for claimed in calls(worker, CLAIM, 1):
                action, token = claimed["action_id"], claimed["claim_token"]
                assert held.setdefault(action, login) == login, "claimed twice at once"
                tokens.append((action, token))
                won += 1
                del held[action]
                if claimed["attempt"] < 99:
                    call(worker, RETRY_NOW, action, token)
                else:
                    call(worker, CONFIRM, action, "succeeded", token)
                    fleet.propose(f"ch_{next(numbers)}")
        return won

    racers = [pool.submit(work, login) for login in ("test_worker", "test_worker_b")]
    wins = [racer.result() for racer in racers]
    assert len(set(tokens)) == len(tokens) > 200
    assert min(wins) > 0, "there was no race"
    counted = fleet.database.connect().execute(
        "select count(*), count(distinct (action_id, claim_token)), "
        "count(distinct (action_id, sequence)) "
        "from synapsor._events where event_type = 'Claimed'"
    )
    assert counted.fetchone() == (len(tokens),) * 3


def test_a_fleet_takes_a_backlog_apart_without_overlap(
    fleet: Fleet, pool: ThreadPoolExecutor
) -> None:
    fleet.prepare()
    proposed = fleet.connect("test_caller").execute(
        """select action_id from synapsor.propose_external_actions('billing.issue_refund', array(
            select jsonb_build_object('charge_id', 'ch_' || number, 'amount_cents', 1)
            from generate_series(1, 1000) as number))"""
    )
    actions = {row["action_id"] for row in proposed}

    def work(login: str) -> list[str]:
        worker, taken = fleet.connect(login), []
        while claimed := calls(worker, CLAIM, 7):
            taken += [claim["action_id"] for claim in claimed]
        return taken

    racers = [pool.submit(work, login) for login in ("test_worker", "test_worker_b") * 2]
    taken = [action for racer in racers for action in racer.result()]
    assert len(taken) == len(set(taken)) == 1000
    assert set(taken) == actions


def test_an_idle_queue_is_woken(fleet: Fleet) -> None:
    fleet.prepare()
    worker = fleet.connect("test_worker")
    worker.execute("listen synapsor_queues")
    assert calls(worker, CLAIM, 1) == []
    fleet.propose()
    woken = [notify.payload for notify in worker.notifies(timeout=5, stop_after=1)]
    assert woken == [QUEUE]
    assert len(calls(worker, CLAIM, 1)) == 1
    fleet.propose("ch_2")
    assert list(worker.notifies(timeout=0.2)) == []
