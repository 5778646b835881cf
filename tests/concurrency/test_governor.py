"""What providers bear, asked by several workers at once: never more, and nobody waits."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from concurrency.fleet import CLAIM, CONFIRM, CONFIRM_ALL, QUEUE, Fleet, Row, Second, call, calls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Database

WORKERS = ("test_worker", "test_worker_b") * 2


@pytest.fixture
def fleet(database: Database) -> Fleet:
    return Fleet(database)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def declare(fleet: Fleet, provider: str = "stripe", **limits: Any) -> None:
    fleet.database.connect().execute(
        "select synapsor.declare_provider(%s)", (json.dumps({"provider": provider, **limits}),)
    )


def queue_up(fleet: Fleet, actions: int, prefix: str = "ch") -> None:
    fleet.connect("test_caller").execute(
        """select synapsor.propose_external_actions('billing.issue_refund', array(
            select jsonb_build_object('charge_id', %s::text || number, 'amount_cents', 1)
            from generate_series(1, %s) as number))""",
        (prefix, actions),
    )


def confirmations(claimed: list[Row], status: str) -> str:
    return json.dumps(
        [
            {"action_id": row["action_id"], "claim_token": row["claim_token"], "status": status}
            for row in claimed
        ]
    )


def test_a_fleet_never_exceeds_the_rate(fleet: Fleet, pool: ThreadPoolExecutor) -> None:
    fleet.prepare()
    declare(fleet, rate_limit={"per_second": 100, "burst": 40})
    queue_up(fleet, 1000)
    began = time.monotonic()

    def work(login: str) -> int:
        worker, taken = fleet.connect(login), 0
        while time.monotonic() < began + 2:
            claimed = calls(worker, CLAIM, 7)
            taken += len(claimed)
            if claimed:
                calls(worker, CONFIRM_ALL, confirmations(claimed, "succeeded"))
        return taken

    taken = [racer.result() for racer in [pool.submit(work, login) for login in WORKERS]]
    # By the database's clock: from the first claim, which finds a full bucket, to the last.
    counted = fleet.database.connect().execute(
        """with claimed as (
            select occurred_at from synapsor._events where event_type = 'Claimed'
        )
        select max(many - 40 - 100 * extract(epoch from occurred_at - first)) from (
            select occurred_at, min(occurred_at) over () as first,
                count(*) over (order by occurred_at) as many
            from claimed
        ) as claims"""
    )
    exceeded = counted.fetchone()
    assert exceeded is not None
    assert exceeded[0] < 0.001
    # And more than the burst is used, by several.
    assert sum(taken) > 60
    assert sum(each > 0 for each in taken) > 1, "there was no race"


@pytest.mark.parametrize(("batch", "most"), [(1, 2), (5, 6)])
def test_a_fleet_never_exceeds_the_concurrency(
    fleet: Fleet, pool: ThreadPoolExecutor, batch: int, most: int
) -> None:
    fleet.prepare()
    declare(fleet, concurrency={"max": most})
    queue_up(fleet, 600)
    observer = fleet.database.connect()
    until = time.monotonic() + 20
    peaks: list[int] = []
    done: list[int] = []

    def work(login: str) -> None:
        worker = fleet.connect(login)
        while sum(done) < 400 and time.monotonic() < until:
            claimed = calls(worker, CLAIM, batch)
            if claimed:
                time.sleep(0.002)
                calls(worker, CONFIRM_ALL, confirmations(claimed, "succeeded"))
                done.append(len(claimed))

    racers = [pool.submit(work, login) for login in WORKERS]
    while not all(racer.done() for racer in racers):
        held = observer.execute(
            "select count(*) from synapsor.open_external_actions where status = 'claimed'"
        ).fetchone()
        peaks.append(held[0])  # type: ignore[index]
    for racer in racers:
        racer.result()
    assert sum(done) >= 400
    assert max(peaks) == most


def test_two_claims_at_once_share_what_is_left(fleet: Fleet, pool: ThreadPoolExecutor) -> None:
    fleet.prepare()
    declare(fleet, concurrency={"max": 3})
    queue_up(fleet, 10)
    one = fleet.connect("test_worker", autocommit=False)
    assert len(calls(one, CLAIM, 2)) == 2
    two = Second(pool, fleet.connect("test_worker_b"), CLAIM, 2)
    assert two.waits(fleet.database.connect())
    one.commit()
    assert len(two.future.result()) == 1
    three = fleet.connect("test_worker", autocommit=False)
    assert calls(three, CLAIM, 2) == []


def test_what_a_claim_took_that_is_rolled_back_is_there_again(
    fleet: Fleet, pool: ThreadPoolExecutor
) -> None:
    fleet.prepare()
    declare(fleet, rate_limit={"per_second": 0.001, "burst": 3}, concurrency={"max": 3})
    queue_up(fleet, 10)
    one = fleet.connect("test_worker", autocommit=False)
    assert len(calls(one, CLAIM, 3)) == 3
    two = Second(pool, fleet.connect("test_worker_b"), CLAIM, 3)
    assert two.waits(fleet.database.connect())
    one.rollback()
    assert len(two.future.result()) == 3


def test_a_worker_that_sleeps_in_its_transaction_stops_its_own_account_alone(
    fleet: Fleet,
) -> None:
    fleet.prepare()
    declare(fleet, concurrency={"max": 100}, breaker={"minimum_calls": 1})
    queue_up(fleet, 10)
    busy = call(fleet.connect("test_worker"), CLAIM, 1)
    sleeper = fleet.connect("test_worker", autocommit=False)
    assert len(calls(sleeper, CLAIM, 1)) == 1
    fleet.prepare(provider="other")
    queue_up(fleet, 2, "other")
    began = time.monotonic()
    claimed = calls(fleet.connect("test_worker_b"), CLAIM, 5)
    assert {row["provider"] for row in claimed} == {"other"}
    assert len(claimed) == 2
    # Nor do confirmations wait, of the same account or another.
    confirmed = call(
        fleet.connect("test_worker"), CONFIRM, busy["action_id"], "failed", busy["claim_token"]
    )
    assert confirmed["status"] == "queued"
    assert time.monotonic() - began < 10
    sleeper.rollback()


@pytest.mark.parametrize(
    "isolation", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE]
)
def test_a_claim_on_an_old_snapshot_does_not_count_wrongly(
    fleet: Fleet, isolation: psycopg.IsolationLevel
) -> None:
    fleet.prepare()
    declare(fleet, concurrency={"max": 2})
    queue_up(fleet, 10)
    old = fleet.connect("test_worker", autocommit=False)
    old.isolation_level = isolation
    call(old, "select synapsor.current_session()")
    assert len(calls(fleet.connect("test_worker_b"), CLAIM, 2)) == 2
    with pytest.raises(psycopg.errors.SerializationFailure):
        calls(old, CLAIM, 2)
    old.rollback()
    assert calls(old, CLAIM, 2) == []
    old.rollback()


def test_a_half_open_breaker_lets_one_probe_through(fleet: Fleet, pool: ThreadPoolExecutor) -> None:
    fleet.prepare(retry={"max_attempts": 1})
    declare(
        fleet,
        breaker={"minimum_calls": 1, "window": 10, "wait_open": "2 s", "half_open_calls": 3},
    )
    queue_up(fleet, 200)
    worker = fleet.connect("test_worker")
    claimed = calls(worker, CLAIM, 1)
    calls(worker, CONFIRM_ALL, confirmations(claimed, "failed"))
    assert calls(worker, CLAIM, 5) == []
    time.sleep(2.1)

    def ask(login: str) -> list[Row]:
        return calls(fleet.connect(login), CLAIM, 5)

    for _ in range(3):
        asked = [pool.submit(ask, login) for login in WORKERS]
        probes = [row for asking in asked for row in asking.result()]
        assert len(probes) == 1
        holder = next(
            login for login, asking in zip(WORKERS, asked, strict=True) if asking.result()
        )
        calls(fleet.connect(holder), CONFIRM_ALL, confirmations(probes, "succeeded"))
        if health(fleet) == "CLOSED":
            break
    assert health(fleet) == "CLOSED"
    assert len(ask("test_worker")) == 5


def health(fleet: Fleet) -> str:
    found = fleet.database.connect().execute(
        "select breaker_state from synapsor.synapsor_provider_health where tenant_id is null"
    )
    return str(found.fetchone()[0])  # type: ignore[index]


def test_a_breaker_opens_for_the_whole_fleet(fleet: Fleet, pool: ThreadPoolExecutor) -> None:
    fleet.prepare(retry={"max_attempts": 1})
    declare(fleet, breaker={"minimum_calls": 10, "window": 50, "wait_open": "1 hour"})
    queue_up(fleet, 500)
    made: Counter[str] = Counter()

    def work(login: str) -> None:
        worker, idle = fleet.connect(login), 0
        while idle < 3:
            claimed = calls(worker, CLAIM, 2)
            idle = 0 if claimed else idle + 1
            if claimed:
                calls(worker, CONFIRM_ALL, confirmations(claimed, "failed"))
                made[login] += len(claimed)

    for racer in [pool.submit(work, login) for login in WORKERS]:
        racer.result()
    # Ten make it open; what the others had in flight then was claimed before.
    assert 10 <= sum(made.values()) <= 10 + 2 * len(WORKERS)
    assert health(fleet) == "OPEN"


def test_a_large_backlog_starves_nobody(fleet: Fleet, pool: ThreadPoolExecutor) -> None:
    fleet.prepare()
    admin = fleet.database.connect()
    admin.execute(
        "select synapsor.bind_role('test_caller_b', %s)",
        (
            json.dumps(
                {
                    "principal": "gail",
                    "tenant_id": "globex",
                }
            ),
        ),
    )
    queue_up(fleet, 5000)
    small = fleet.connect("test_caller_b")
    stop = time.monotonic() + 20
    enough: list[bool] = []
    waited: list[float] = []

    def work(login: str) -> int:
        worker, taken = fleet.connect(login), 0
        while not enough and time.monotonic() < stop:
            claimed = calls(worker, CLAIM, 4)
            if claimed:
                calls(worker, CONFIRM_ALL, confirmations(claimed, "succeeded"))
            taken += len(claimed)
        return taken

    racers = [pool.submit(work, login) for login in WORKERS[:2]]
    for number in range(5):
        action = call(
            small,
            """select action_id from synapsor.propose_external_action('billing.issue_refund',
            jsonb_build_object('charge_id', 'small' || %s::text, 'amount_cents', 1))""",
            number,
        )["action_id"]
        began = time.monotonic()
        while fleet.status(action) != "succeeded" and time.monotonic() < stop:
            time.sleep(0.005)
        waited.append(time.monotonic() - began)
    left = admin.execute(
        "select count(*) from synapsor.open_external_actions where queue = %s", (QUEUE,)
    ).fetchone()
    enough.append(True)
    assert sum(racer.result() for racer in racers) > 10
    assert left is not None
    assert left[0] > 0, "the backlog was gone too early to prove anything"
    assert max(waited) < 5
