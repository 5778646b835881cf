"""Ordering keys under a fleet: one at a time, in queue order, and nothing is left behind."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from concurrency.fleet import (
    APPROVE,
    CANCEL,
    CLAIM,
    CONFIRM,
    CONFIRM_ALL,
    EXPIRE,
    PROPOSE,
    REJECT,
    RELEASE,
    RETRY_NOW,
    SETTLE,
    Fleet,
    Row,
    Second,
    call,
    calls,
    code,
)

if TYPE_CHECKING:
    from support.database import Database

LANES = ("a", "b", "c", "d")
SECONDS = 5
CONTRACT: dict[str, Any] = {
    "ordering_key": "{charge_id}",
    "idempotency": {"key": "{charge_id}:{amount_cents}", "idempotent": True},
    "retry": {"max_attempts": 100},
    "poison_after": 1000,
    "approval": {"required": True, "unless": "$.args.amount_cents <= 400000"},
}


@dataclass
class Lanes:
    """What the clients know for certain, kept beside the database to judge it by."""

    fleet: Fleet
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)
    # Later than stopped: the last proposal may still be on its way.
    all_proposed: threading.Event = field(default_factory=threading.Event)
    lane: dict[str, str] = field(default_factory=dict)
    queued: dict[str, int] = field(default_factory=dict)  # position, once committed
    in_flight: dict[str, str] = field(default_factory=dict)  # lane → action, since its first claim
    may_have_ended: set[str] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    deadlocks: list[str] = field(default_factory=list)
    claims: int = 0
    ended: int = 0
    amount: int = 0
    give_up_at: float = field(default_factory=lambda: time.monotonic() + SECONDS + 20)

    def __post_init__(self) -> None:
        self.observer = self.fleet.database.connect()

    def position(self, observer: psycopg.Connection[Any], action: str) -> None:
        """Note that an action is queued; its position is the order of the lane."""
        row = observer.execute(
            "select position from synapsor.open_external_actions "
            "where action_id = %s and status <> 'proposed'",
            (action,),
        ).fetchone()
        with self.lock:
            if row:
                self.queued[action] = row[0]

    def claimed(self, action: str, before: set[str]) -> None:
        """Judge a committed claim, asked for when `before` was queued for certain."""
        with self.lock:
            self.claims += 1
            lane = self.lane[action]
            holder = self.in_flight.get(lane)
            if holder not in {None, action}:
                self.violations.append(f"{action} claimed while {holder} is in flight in {lane}")
            if holder is None and action in self.queued:
                overtaken = [
                    other
                    for other in before - self.may_have_ended
                    if self.lane[other] == lane and self.queued[other] < self.queued[action]
                ]
                if overtaken:
                    self.violations.append(f"{action} overtook {overtaken} in {lane}")
            self.in_flight[lane] = action

    def ends(self, action: str) -> None:
        """Note that an action is about to be ended; from now on its lane may go on."""
        with self.lock:
            self.may_have_ended.add(action)
            if self.in_flight.get(self.lane[action]) == action:
                del self.in_flight[self.lane[action]]

    def stays(self, action: str) -> None:
        """Note that it was not ended after all."""
        with self.lock:
            self.may_have_ended.discard(action)
            self.in_flight[self.lane[action]] = action

    def propose(self, seed: int) -> None:
        chance, observer = random.Random(seed), self.fleet.database.connect()
        caller = self.fleet.connect("test_caller", autocommit=False)
        while not self.stopped.is_set():
            time.sleep(0.02)
            made = []
            for _ in range(chance.randint(1, 3)):
                with self.lock:
                    self.amount += 1
                    amount = self.amount + (400000 if chance.random() < 0.2 else 0)
                lane = chance.choice(LANES)
                action = call(caller, PROPOSE, lane, amount)["action_id"]
                with self.lock:
                    self.lane[action] = lane
                made.append((action, amount))
            if chance.random() < 0.25:
                caller.rollback()
                continue
            caller.commit()
            for action, amount in made:
                if amount > 400000:
                    with self.lock:
                        self.waiting.append(action)
                else:
                    self.position(observer, action)

    def work(self, seed: int, login: str) -> None:
        """Claim, and confirm one by one or in a batch, sometimes rolling either back."""
        chance = random.Random(seed)
        worker = self.fleet.connect(login, autocommit=False)
        while not self.all_proposed.is_set() or self.left():
            with self.lock:
                before = set(self.queued) - self.may_have_ended
            try:
                claimed = calls(worker, CLAIM, chance.randint(1, 4))
            except psycopg.errors.DeadlockDetected as error:
                self.deadlock("claim", error, worker)
                continue
            if chance.random() < 0.15:
                worker.rollback()
                continue
            worker.commit()
            for claim in claimed:
                self.claimed(claim["action_id"], before)
            if not claimed:
                time.sleep(0.01)
            elif chance.random() < 0.5:
                self.confirm_all(worker, claimed, chance)
            else:
                for claim in claimed:
                    self.confirm_one(worker, claim, chance)

    def confirm_one(
        self, worker: psycopg.Connection[Row], claim: Row, chance: random.Random
    ) -> None:
        action, token = claim["action_id"], claim["claim_token"]
        what = chance.choices(["succeed", "retry", "unknown", "release"], [70, 15, 5, 10])[0]
        while True:
            if what == "succeed":
                self.ends(action)
            try:
                if what in {"retry", "release"}:
                    calls(worker, RETRY_NOW if what == "retry" else RELEASE, action, token)
                else:
                    status = "succeeded" if what == "succeed" else "unknown"
                    calls(worker, CONFIRM, action, status, token)
                if chance.random() < 0.15:
                    worker.rollback()
                    if what == "succeed":
                        self.stays(action)
                    continue
                worker.commit()
            except psycopg.errors.DeadlockDetected as error:
                self.deadlock(what, error, worker)
                continue
            break
        with self.lock:
            if what == "unknown":
                self.unknown.append(action)
            self.ended += what == "succeed"

    def confirm_all(
        self, worker: psycopg.Connection[Row], claimed: list[Row], chance: random.Random
    ) -> None:
        order = chance.sample(claimed, len(claimed))
        outcomes = [chance.choices(["succeeded", "failed"], [80, 20])[0] for _ in order]
        for claim, status in zip(order, outcomes, strict=True):
            if status == "succeeded":
                self.ends(claim["action_id"])
        document = [
            {
                "action_id": claim["action_id"],
                "status": status,
                "claim_token": claim["claim_token"],
                "retry_after": "0 s",
            }
            for claim, status in zip(order, outcomes, strict=True)
        ]
        while True:
            try:
                judged = calls(
                    worker,
                    CONFIRM_ALL,
                    psycopg.types.json.Jsonb(document),
                )
                worker.commit()
            except psycopg.errors.DeadlockDetected as error:
                self.deadlock("confirm_external_actions", error, worker)
                continue
            break
        assert all(row["accepted"] for row in judged), judged
        with self.lock:
            self.ended += outcomes.count("succeeded")

    def decide(self, seed: int) -> None:
        chance, observer = random.Random(seed), self.fleet.database.connect()
        approver = self.fleet.connect("test_approver")
        while not self.all_proposed.is_set() or self.left():
            time.sleep(0.01)
            with self.lock:
                waiting = self.waiting.pop(0) if self.waiting else None
                unknown = self.unknown.pop(0) if self.unknown else None
            if waiting:
                approves = chance.random() < 0.8
                call(approver, APPROVE if approves else REJECT, waiting)
                if approves:
                    self.position(observer, waiting)
            if unknown:
                queued = chance.random() < 0.5
                if not queued:
                    self.ends(unknown)
                call(approver, SETTLE, unknown, "queued" if queued else "succeeded")

    def cancel(self, seed: int) -> None:
        chance, caller = random.Random(seed), self.fleet.connect("test_caller", autocommit=False)
        while not self.stopped.is_set():
            time.sleep(0.03)
            with self.lock:
                open_actions = sorted(set(self.queued) - self.may_have_ended)
            if not open_actions:
                continue
            action = chance.choice(open_actions[-20:])
            with self.lock:
                if self.in_flight.get(self.lane[action]) == action:
                    continue
                self.may_have_ended.add(action)
            try:
                call(caller, CANCEL, action)
            except psycopg.errors.DeadlockDetected as error:
                self.deadlock("cancel", error, caller)
            except psycopg.Error as error:
                assert code(error) == "SY014"  # noqa: PT017
            else:
                if chance.random() < 0.7:
                    self.ends(action)
                    caller.commit()
                    continue
            # Not cancelled: it may be claimed again, but is judged as if it might have ended.
            caller.rollback()

    def sweep(self) -> None:
        worker = self.fleet.connect("test_worker")
        while not self.stopped.is_set():
            time.sleep(0.1)
            calls(worker, EXPIRE)

    def deadlock(self, verb: str, error: Exception, connection: psycopg.Connection[Any]) -> None:
        with self.lock:
            self.deadlocks.append(f"{verb}: {error}")
        connection.rollback()

    def left(self) -> bool:
        row = self.observer.execute(
            "select exists (select from synapsor.open_external_actions)"
        ).fetchone()
        return bool(row and row[0]) and time.monotonic() < self.give_up_at


@pytest.mark.slow
def test_lanes_are_kept_in_order_and_drained(database: Database) -> None:
    lanes = Lanes(Fleet(database).prepare(**CONTRACT))
    with ThreadPoolExecutor(max_workers=12) as pool:
        proposers = [pool.submit(lanes.propose, seed) for seed in (1, 2)]
        crew = [
            *(
                pool.submit(lanes.work, seed, login)
                for seed, login in enumerate(("test_worker", "test_worker_b") * 2, start=10)
            ),
            pool.submit(lanes.decide, 20),
            pool.submit(lanes.cancel, 30),
            pool.submit(lanes.sweep),
        ]
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and not any(one.done() for one in (*proposers, *crew)):
            time.sleep(0.05)
        lanes.stopped.set()
        try:
            for one in proposers:
                one.result(timeout=60)
        finally:
            lanes.all_proposed.set()
        for one in crew:
            one.result(timeout=60)
    print(f"{lanes.claims} claims, {lanes.ended} ended, {len(lanes.deadlocks)} deadlocks")
    assert lanes.violations == [], lanes.violations[:5]
    assert lanes.deadlocks == []
    assert lanes.ended > 50
    left = database.connect().execute(
        "select (select count(*) from synapsor.open_external_actions), "
        "(select count(*) from synapsor.ordering_lanes)"
    )
    assert left.fetchone() == (0, 0)


def test_a_lane_is_not_left_on_an_old_snapshot(database: Database) -> None:
    """Whoever waits since would be forgotten: no error, and it would never move again."""
    fleet = Fleet(database).prepare(**CONTRACT)
    first = fleet.propose("a", 1)
    claim = call(fleet.connect("test_worker"), CLAIM, 1)
    assert claim["action_id"] == first
    second = fleet.propose("a", 2)
    confirmation = [
        {"action_id": first, "claim_token": claim["claim_token"], "status": "succeeded"}
    ]
    old = fleet.connect("test_worker", autocommit=False)
    old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    calls(old, "select from synapsor.synapsor_queue_stats")
    assert calls(fleet.connect("test_worker_b"), CLAIM, 1) == [], "the second waits from now on"
    with pytest.raises(psycopg.errors.SerializationFailure):
        calls(old, CONFIRM_ALL, psycopg.types.json.Jsonb(confirmation))
    old.rollback()
    calls(fleet.connect("test_worker"), CONFIRM_ALL, psycopg.types.json.Jsonb(confirmation))
    assert call(fleet.connect("test_worker_b"), CLAIM, 1)["action_id"] == second


def test_a_lane_in_somebodys_hands_holds_up_no_other(database: Database) -> None:
    fleet = Fleet(database).prepare(**CONTRACT)
    held, behind, other = (fleet.propose(lane, n) for n, lane in enumerate("aab", 1))
    one = fleet.connect("test_worker", autocommit=False)
    assert call(one, CLAIM, 1)["action_id"] == held, "and it does not commit"
    two = fleet.connect("test_worker_b")
    assert [claim["action_id"] for claim in calls(two, CLAIM, 10)] == [other]
    one.rollback()
    assert [claim["action_id"] for claim in calls(two, CLAIM, 10)] == [held]
    assert fleet.status(behind) == "queued"


def test_a_lane_is_not_handed_to_what_is_just_cancelled(database: Database) -> None:
    fleet = Fleet(database).prepare(**CONTRACT)
    first, second, third = (fleet.propose("a", amount) for amount in (1, 2, 3))
    worker = fleet.connect("test_worker")
    claim = call(worker, CLAIM, 1)
    assert claim["action_id"] == first
    assert calls(worker, CLAIM, 1) == [], "the others wait from now on"
    caller = fleet.connect("test_caller", autocommit=False)
    call(caller, CANCEL, second)
    confirmation = [
        {"action_id": first, "claim_token": claim["claim_token"], "status": "succeeded"}
    ]
    with ThreadPoolExecutor(1) as pool:
        end = Second(pool, worker, CONFIRM_ALL, psycopg.types.json.Jsonb(confirmation))
        assert end.waits(database.connect()), "the second is the next, and in somebody's hands"
        caller.commit()
        assert end.outcome() == "succeeded"
    assert call(worker, CLAIM, 1)["action_id"] == third
