"""The worker against the database, with handlers in this process."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import threading
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from client.workshop import QUEUE, Workshop, wait_until
from psycopg_pool import ConnectionPool
from synapsor_pg import (
    Client,
    Delivery,
    NodeResult,
    NodeStart,
    Outcome,
    Queue,
    RejectedError,
    RetryableError,
    Worker,
    failed,
    plan_handler_contract,
    succeeded,
    unknown,
)
from synapsor_pg.errors import SessionInvalidError
from synapsor_pg.observer import WorkerObserver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from support.database import Database
    from synapsor_pg.models import Claim, Confirmation, ConfirmationResult


def handle(workshop: Workshop, function: Callable[[Delivery], Any], **options: Any) -> None:
    workshop.registry.handler("crm", "contacts.update", **options)(function)


def test_actions_are_performed_once_each(workshop: Workshop) -> None:
    effects: Counter[str] = Counter()

    def update(delivery: Delivery) -> Outcome:
        effects[delivery.idempotency_key] += 1
        return succeeded({"contact": delivery.arguments["contact"]}, f"req-{delivery.action_id}")

    handle(workshop, update)
    actions = workshop.propose(60)
    with (
        workshop.working(batch=20, concurrency=4),
        workshop.working("test_worker_b", batch=7, concurrency=4),
    ):
        assert workshop.wait_for(actions) == ["succeeded"] * 60

    assert set(effects.values()) == {1}
    assert len(effects) == 60
    done = workshop.action(actions[0])
    assert (done["response"], done["provider_request_id"]) == (
        {"contact": "c1"},
        f"req-{actions[0]}",
    )
    assert workshop.events(actions[0])[-3:] == ["Claimed", "DeliveryStarted", "Succeeded"]


def test_a_delivery_has_begun_when_its_handler_runs(workshop: Workshop) -> None:
    seen: list[Any] = []

    def look(delivery: Delivery) -> Outcome:
        seen.append((delivery.begun, workshop.action(delivery.action_id)["delivery_started_at"]))
        assert 25 < delivery.remaining() <= 30
        return succeeded()

    handle(workshop, look)
    actions = workshop.propose()
    with workshop.working():
        workshop.wait_for(actions)

    [(begun, started_at)] = seen
    assert begun
    assert started_at is not None


def test_a_handler_may_begin_by_itself(workshop: Workshop) -> None:
    seen: list[Any] = []

    def send(delivery: Delivery) -> Outcome:
        seen.append(workshop.action(delivery.action_id)["delivery_started_at"])
        delivery.begin("a" * 64)
        seen.append(workshop.action(delivery.action_id)["delivery_started_at"])
        return succeeded()

    handle(workshop, send, begin="manual")
    actions = workshop.propose()
    with workshop.working():
        assert workshop.wait_for(actions) == ["succeeded"]

    assert seen[0] is None
    assert seen[1] is not None


def begun(workshop: Workshop, actions: list[str]) -> int:
    found = workshop.read(
        "select from synapsor.synapsor_external_actions"
        " where action_id = any(%s) and delivery_started_at is not null",
        actions,
    )
    return len(found)


def test_what_waits_for_a_thread_has_not_begun(workshop: Workshop) -> None:
    busy, leave = threading.Semaphore(0), threading.Event()

    def update(_delivery: Delivery) -> Outcome:
        busy.release()
        leave.wait(20)
        return succeeded()

    handle(workshop, update)
    actions = workshop.propose(8)
    with workshop.working(batch=8, concurrency=3) as worker:
        for _ in range(3):
            assert busy.acquire(timeout=10)
        assert (worker.status().held, begun(workshop, actions)) == (8, 3)
        leave.set()
        assert workshop.wait_for(actions) == ["succeeded"] * 8


def test_a_queues_deliveries_may_begin_with_their_claim(workshop: Workshop) -> None:
    seen: list[tuple[bool, bool, int]] = []
    boundaries: list[str] = []

    def update(delivery: Delivery) -> Outcome:
        seen.append((delivery.begun, delivery.sent_before, begun(workshop, [delivery.action_id])))
        return succeeded()

    handle(workshop, update)
    actions = workshop.propose(6)
    queue = Queue(QUEUE, begin="claim")
    with workshop.working(queues=[queue], batch=6, concurrency=2, checkpoint=boundaries.append):
        assert workshop.wait_for(actions) == ["succeeded"] * 6
    assert seen == [(True, False, 1)] * 6
    assert workshop.events(actions[0]) == ["Queued", "Claimed", "Succeeded"]
    assert (boundaries.count("begun"), boundaries.count("before_begin")) == (6, 0)


def test_what_began_with_its_claim_is_not_given_back(workshop: Workshop) -> None:
    """A release would count as a delivery that may have been made, and park what cannot repeat."""
    workshop.declare(idempotency={"key": "{tenant_id}:{contact}", "idempotent": False})
    started = threading.Event()

    def update(_delivery: Delivery) -> Outcome:
        started.set()
        time.sleep(0.1)
        return succeeded()

    handle(workshop, update)
    actions = workshop.propose(5)
    queue = Queue(QUEUE, begin="claim")
    with workshop.working(queues=[queue], batch=5, concurrency=1):
        assert started.wait(10)
    assert workshop.statuses(actions) == ["succeeded"] * 5


def test_the_digest_of_what_began_with_its_claim_is_kept(workshop: Workshop) -> None:
    def update(delivery: Delivery) -> Outcome:
        delivery.begin(str(delivery.attempt) * 64)
        return failed("busy", retryable=True)

    handle(workshop, update, begin="manual")
    [action] = workshop.propose()
    with workshop.working(queues=[Queue(QUEUE, begin="claim")]):
        assert workshop.wait_for([action]) == ["unknown"]
    assert workshop.action(action)["error_code"] == "SY024"


def test_another_request_under_the_same_key_is_not_sent_but_left_to_a_person(
    workshop: Workshop,
) -> None:
    sent: list[str] = []

    def send(delivery: Delivery) -> Outcome:
        digest = str(delivery.attempt) * 64
        delivery.begin(digest)
        sent.append(digest)
        return failed("busy", retry_after=0)

    handle(workshop, send, begin="manual")
    [action] = workshop.propose()
    with workshop.working():
        assert workshop.wait_for([action]) == ["unknown"]

    assert sent == ["1" * 64]
    assert workshop.action(action)["error_code"] == "SY024"


def test_failures_are_tried_again_until_they_succeed(workshop: Workshop) -> None:
    tries: list[int] = []

    def update(delivery: Delivery) -> Outcome:
        tries.append(delivery.attempt)
        if delivery.attempt < 3:
            raise RetryableError("busy", "come back", retry_after=timedelta(milliseconds=10))
        return succeeded()

    handle(workshop, update)
    [action] = workshop.propose()
    with workshop.working():
        assert workshop.wait_for([action]) == ["succeeded"]

    assert tries == [1, 2, 3]
    assert workshop.events(action).count("RetryScheduled") == 2


def test_when_no_tries_are_left_a_known_failure_is_final(workshop: Workshop) -> None:
    handle(workshop, lambda _delivery: failed("busy", "come back"))
    [action] = workshop.propose()
    with workshop.working():
        assert workshop.wait_for([action]) == ["failed"]

    done = workshop.action(action)
    assert (done["attempts"], done["error_code"], done["error_message"]) == (3, "busy", "come back")


def test_a_rejection_is_final_at_once(workshop: Workshop) -> None:
    def reject(_delivery: Delivery) -> Outcome:
        raise RejectedError("no_such_contact")

    handle(workshop, reject)
    [action] = workshop.propose()
    with workshop.working():
        assert workshop.wait_for([action]) == ["failed"]

    assert workshop.action(action)["attempts"] == 1


def test_an_unknown_outcome_is_tried_again_with_the_same_key_where_that_is_safe(
    workshop: Workshop,
) -> None:
    keys: list[str] = []

    def update(delivery: Delivery) -> Outcome:
        keys.append(delivery.idempotency_key)
        if len(keys) == 1:
            raise TimeoutError("no answer")
        assert delivery.sent_before
        return succeeded()

    handle(workshop, update)
    [action] = workshop.propose()
    with workshop.working():
        assert workshop.wait_for([action]) == ["succeeded"]

    assert len(keys) == 2
    assert len(set(keys)) == 1
    [given_back] = workshop.read(
        "select error_code, detail from synapsor.synapsor_external_action_events"
        " where action_id = %s and event_type = 'Released'",
        action,
    )
    assert given_back["error_code"] == "TimeoutError"
    assert given_back["detail"] == {"error_message": "no answer"}
    assert "LateConfirmation" not in workshop.events(action), "it said all that it knew"


def test_an_unknown_outcome_is_never_tried_again_where_the_provider_cannot_deduplicate(
    workshop: Workshop,
) -> None:
    calls: list[str] = []

    def update(delivery: Delivery) -> Outcome:
        calls.append(delivery.action_id)
        raise TimeoutError("no answer")

    handle(workshop, update)
    workshop.declare(idempotency={"idempotent": False})
    [action] = workshop.propose()
    with workshop.working():
        assert workshop.wait_for([action]) == ["unknown"]
        time.sleep(0.5)

    assert calls == [action]
    assert workshop.action(action)["status"] == "unknown"
    assert workshop.action(action)["error_code"] == "TimeoutError"
    assert workshop.action(action)["error_message"] == "no answer"
    assert workshop.events(action)[-1] == "Released"


def test_what_is_known_of_an_unknown_outcome_is_kept_as_evidence(workshop: Workshop) -> None:
    workshop.declare(idempotency={"idempotent": False})
    handle(
        workshop,
        lambda _delivery: unknown("garbled", "half an answer", provider_request_id="req-9"),
    )
    [action] = workshop.propose()
    with workshop.working():
        workshop.wait_for([action])
        wait_until(lambda: "LateConfirmation" in workshop.events(action))

    [kept] = workshop.read(
        "select error_code, provider_request_id from synapsor.synapsor_external_action_events"
        " where action_id = %s and event_type = 'LateConfirmation'",
        action,
    )
    assert kept["provider_request_id"] == "req-9"
    assert workshop.action(action)["status"] == "unknown"


def test_a_worker_without_a_tenant_is_not_silent(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    with workshop.superuser() as connection:
        Client(connection).bind_role("test_worker", None)
    with workshop.working(poll=0.1):
        time.sleep(0.5)

    said = [each for each in caplog.records if "sees no tenant" in each.message]
    assert len(said) == 1, "once a minute"
    assert said[0].levelname == "WARNING"
    assert "synapsor.bind_role('test_worker'" in said[0].message


def test_a_parked_outcome_is_unknown_even_where_a_retry_would_be_safe(workshop: Workshop) -> None:
    handle(workshop, lambda _delivery: unknown("odd", park=True))
    [action] = workshop.propose()
    with workshop.working():
        assert workshop.wait_for([action]) == ["unknown"]

    assert workshop.action(action)["error_code"] == "odd"


def test_a_handler_that_returns_something_else_leaves_an_unknown_outcome(
    workshop: Workshop,
) -> None:
    handle(workshop, lambda _delivery: {"ok": True})  # type: ignore[arg-type,return-value]
    [action] = workshop.propose()
    with workshop.working():
        assert workshop.wait_for([action]) == ["unknown"]

    assert workshop.action(action)["error_code"] == "InvalidOutcome"


def test_an_answer_that_jsonb_cannot_hold_does_not_lose_the_outcome(workshop: Workshop) -> None:
    handle(workshop, lambda _delivery: succeeded({"text": "a\x00b\ud800"}, "req\x001"))
    [action] = workshop.propose()
    with workshop.working():
        assert workshop.wait_for([action]) == ["succeeded"]


def test_a_long_handler_keeps_its_lease(workshop: Workshop) -> None:
    workshop.declare(lease="1 s")

    def dawdle(delivery: Delivery) -> Outcome:
        assert not delivery.cancelled.wait(2.5), delivery.cancelled_because
        return succeeded()

    handle(workshop, dawdle)
    [action] = workshop.propose()
    with workshop.working():
        assert workshop.wait_for([action]) == ["succeeded"]

    assert workshop.events(action).count("Claimed") == 1


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_wrong_clock_of_the_workers_machine_does_not_matter(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    workshop.declare(lease="1 s")
    handle(workshop, lambda delivery: succeeded(delivery.cancelled.wait(1.5)))
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + hours * 3600)
    [action] = workshop.propose()
    with workshop.working():
        assert workshop.wait_for([action]) == ["succeeded"]

    assert workshop.action(action)["response"] is False


def test_what_waits_for_a_thread_keeps_its_lease_too(workshop: Workshop) -> None:
    workshop.declare(lease="1 s")
    handle(workshop, lambda delivery: succeeded(delivery.cancelled.wait(0.7)))
    actions = workshop.propose(4)
    with workshop.working(concurrency=1, batch=4):
        assert workshop.wait_for(actions) == ["succeeded"] * 4

    for action in actions:
        assert workshop.events(action).count("Claimed") == 1


def test_a_lost_lease_cancels_the_delivery_and_its_late_answer_changes_nothing(
    workshop: Workshop,
) -> None:
    workshop.declare(lease="2 s")
    because: list[str | None] = []

    def lose(delivery: Delivery) -> Outcome:
        if delivery.attempt == 1:
            with workshop.superuser() as connection:
                connection.execute(
                    "update synapsor.open_external_actions set lease_expires_at = synapsor._now()"
                )
            assert delivery.cancelled.wait(5)
            because.append(delivery.cancelled_because)
            return succeeded({"try": 1}, "req-late")
        return succeeded({"try": 2}, "req-2")

    handle(workshop, lose)
    [action] = workshop.propose()
    with workshop.working():
        assert workshop.wait_for([action]) == ["succeeded"]
        wait_until(lambda: "LateConfirmation" in workshop.events(action))

    assert len(because) == 1
    assert workshop.action(action)["response"] == {"try": 2}


def test_when_the_lease_cannot_be_renewed_the_handler_hears_of_it_before_the_end(
    workshop: Workshop,
) -> None:
    workshop.declare(lease="2 s")
    left: list[float] = []

    def lose(delivery: Delivery) -> Outcome:
        if delivery.attempt == 1:
            with workshop.superuser() as connection:
                connection.execute(
                    "select from synapsor.open_external_actions for update"
                )  # heartbeats wait behind this lock
                assert delivery.cancelled.wait(5)
                left.append(delivery.remaining())
        return succeeded()

    handle(workshop, lose)
    actions = workshop.propose()
    with workshop.working():
        workshop.wait_for(actions)

    assert 0 < left[0] < 0.5


def test_a_handlers_time_is_limited(workshop: Workshop) -> None:
    workshop.declare(lease="1 s", idempotency={"idempotent": False})
    finish = threading.Event()

    def hang(delivery: Delivery) -> Outcome:
        delivery.cancelled.wait(10)
        finish.wait(10)
        return succeeded()

    handle(workshop, hang, timeout=0.3)
    [action] = workshop.propose()
    with workshop.working():
        assert workshop.wait_for([action]) == ["unknown"]
        finish.set()


def test_a_stop_finishes_what_is_sent_and_releases_the_rest(workshop: Workshop) -> None:
    sent, answer = threading.Event(), threading.Event()

    def update(_delivery: Delivery) -> Outcome:
        sent.set()
        answer.wait(10)
        return succeeded()

    handle(workshop, update)
    actions = workshop.propose(5)
    with workshop.working(concurrency=1, batch=5, housekeeping=60.0) as worker:
        assert sent.wait(10)
        worker.stop()
        wait_until(lambda: workshop.statuses(actions) == ["claimed", *["queued"] * 4])
        answer.set()
        wait_until(lambda: workshop.statuses(actions) == [*["queued"] * 4, "succeeded"])


def test_a_stop_waits_for_a_handler_no_longer_than_told(workshop: Workshop) -> None:
    sent = threading.Event()

    def hang(delivery: Delivery) -> Outcome:
        sent.set()
        assert delivery.cancelled.wait(10)
        raise TimeoutError("given up")

    handle(workshop, hang)
    [action] = workshop.propose()
    began = time.monotonic()
    with workshop.working(drain=0.5):
        assert sent.wait(10)

    assert time.monotonic() - began < 5
    assert workshop.events(action)[-2:] == ["DeliveryStarted", "Released"]


def test_an_operation_without_a_handler_is_given_back(workshop: Workshop) -> None:
    [action] = workshop.propose()
    with workshop.working():
        wait_until(lambda: "Released" in workshop.events(action))

    assert workshop.action(action)["status"] == "queued"


def test_an_idle_worker_is_woken_by_a_proposal(workshop: Workshop) -> None:
    handle(workshop, lambda _delivery: succeeded())
    with workshop.working(poll=30.0, housekeeping=60.0):
        wait_until(lambda: workshop.read("select * from synapsor.synapsor_workers"))
        time.sleep(0.5)
        began = time.monotonic()
        assert workshop.wait_for(workshop.propose()) == ["succeeded"]

    assert time.monotonic() - began < 5


def test_without_listen_the_poll_finds_the_work(workshop: Workshop) -> None:
    handle(workshop, lambda _delivery: succeeded())
    with workshop.working(listen=False):
        time.sleep(0.3)
        assert workshop.wait_for(workshop.propose()) == ["succeeded"]


def test_until_idle_ends_by_itself(workshop: Workshop) -> None:
    handle(workshop, lambda _delivery: succeeded())
    actions = workshop.propose(25)

    workshop.worker(batch=10).run(until_idle=True)

    assert workshop.statuses(actions) == ["succeeded"] * 25


def test_a_pool_of_the_caller_is_used_and_left_open(workshop: Workshop) -> None:
    handle(workshop, lambda _delivery: succeeded())
    actions = workshop.propose()
    with ConnectionPool(workshop.database("test_worker"), min_size=1, max_size=4) as pool:
        Worker(pool, queues=[QUEUE], registry=workshop.registry).run(until_idle=True)

        assert not pool.closed
    assert workshop.statuses(actions) == ["succeeded"]


def test_two_workers_of_the_same_name_do_not_disturb_each_other(workshop: Workshop) -> None:
    handle(workshop, lambda delivery: succeeded(delivery.action_id))
    actions = workshop.propose(30)
    with workshop.working(label="twin", batch=3), workshop.working(label="twin", batch=3):
        assert workshop.wait_for(actions) == ["succeeded"] * 30

    assert all("LateConfirmation" not in workshop.events(action) for action in actions)


def test_a_worker_that_may_not_claim_says_so_at_once(workshop: Workshop) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        workshop.worker("test_caller").run()


def test_worker_and_house_are_kept(workshop: Workshop) -> None:
    workshop.declare(approval={"required": True, "role": "reviewer", "expires_after": "1 s"})
    [action] = workshop.propose()
    with workshop.working(label="front desk"):
        assert workshop.wait_for([action]) == ["expired"]
        [seen] = workshop.read("select * from synapsor.synapsor_workers")

    assert (seen["worker_principal"], seen["worker_label"], seen["queues"]) == (
        "wanda",
        "front desk",
        [QUEUE],
    )


def test_a_worker_takes_over_what_a_dead_one_held(workshop: Workshop) -> None:
    handle(workshop, lambda _delivery: succeeded())
    [action] = workshop.propose()
    with workshop.client("test_worker_b") as client:
        [claim] = client.claim_external_actions(QUEUE, lease="1 second")
    with workshop.working():
        assert workshop.wait_for([action]) == ["succeeded"]

    assert claim.action_id == action
    assert workshop.action(action)["worker_principal"] == "wanda"


def test_nothing_stays_behind_in_a_database_session(workshop: Workshop) -> None:
    handle(workshop, lambda _delivery: succeeded())
    workshop.propose()
    with ConnectionPool(
        workshop.database("test_worker"), min_size=1, max_size=4, kwargs={"prepare_threshold": None}
    ) as pool:
        Worker(pool, queues=[QUEUE], registry=workshop.registry, listen=False).run(until_idle=True)
        with pool.connection() as connection:
            found = connection.execute(
                "select current_setting('statement_timeout'),"
                " (select count(*) from pg_prepared_statements),"
                " (select count(*) from pg_listening_channels())"
            ).fetchone()

    assert found == ("0", 0, 0)


@pytest.mark.slow
def test_a_worker_outlives_a_crash_of_the_server(throwaway_cluster: Database) -> None:
    workshop = Workshop(throwaway_cluster).prepare()
    sent, answer = threading.Event(), threading.Event()
    effects: Counter[str] = Counter()

    def update(delivery: Delivery) -> Outcome:
        effects[delivery.idempotency_key] += 1
        sent.set()
        answer.wait(30)
        return succeeded()

    handle(workshop, update)
    actions = workshop.propose(3)
    with workshop.working(concurrency=2, batch=3):
        assert sent.wait(10)
        throwaway_cluster.cluster.stop("immediate")
        answer.set()
        time.sleep(0.5)
        throwaway_cluster.cluster.start()
        assert workshop.wait_for(actions, within=40) == ["succeeded"] * 3
        later = workshop.propose(3)
        assert workshop.wait_for(later, within=20) == ["succeeded"] * 3

    assert set(effects.values()) == {1}


def test_a_worker_opens_its_session_by_token_in_every_transaction(workshop: Workshop) -> None:
    handle(workshop, lambda _delivery: succeeded())
    secret = "a secret of at least thirty-two bytes"
    with workshop.superuser() as connection:
        client = Client(connection)
        client.bind_role("test_worker", None)
        client.add_session_key("k1", secret, scope={"actor_types": ["service_account"]})
    opened: list[str] = []

    def token() -> str:
        claims = {"sub": "theo", "tenant_id": "acme", "actor_type": "service_account"}
        opened.append(signed("k1", secret, claims | {"exp": int(time.time()) + 60}))
        return opened[-1]

    actions = workshop.propose(2)
    workshop.worker(session_token=token).run(until_idle=True)

    assert workshop.statuses(actions) == ["succeeded"] * 2
    assert workshop.action(actions[0])["worker_principal"] == "theo"
    assert len(opened) > 3


def test_a_worker_whose_token_is_refused_says_so_at_once(workshop: Workshop) -> None:
    with pytest.raises(SessionInvalidError):
        workshop.worker(session_token=lambda: "no token").run()


def signed(kid: str, secret: str, claims: dict[str, Any]) -> str:
    def encoded(part: bytes) -> str:
        return base64.urlsafe_b64encode(part).rstrip(b"=").decode()

    header = {"alg": "HS256", "typ": "JWT", "kid": kid}
    body = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    digest = hmac.new(secret.encode(), body.encode(), hashlib.sha256).digest()
    return f"{body}.{encoded(digest)}"


def test_observers_hear_what_happens_and_disturb_nothing(workshop: Workshop) -> None:
    heard: list[str] = []

    class Listener(WorkerObserver):
        @contextlib.contextmanager
        def handling(self, delivery: Delivery) -> Iterator[None]:
            heard.append(f"handling {delivery.attempt}")
            yield
            heard.append("handled")

        def claimed(self, queue: str, claims: Sequence[Claim]) -> None:
            heard.append(f"claimed {len(claims)} of {queue}")

        def began(self, delivery: Delivery) -> None:
            heard.append(f"began {delivery.action_id[:4]}")

        def answered(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:
            heard.append(f"answered {outcome.status} {delivery.attempt} {seconds >= 0}")

        def confirmed(
            self, delivery: Delivery, confirmation: Confirmation, result: ConfirmationResult
        ) -> None:
            heard.append(f"confirmed {confirmation.status} {result.status} {delivery.attempt}")

    class Broken(WorkerObserver):
        def __getattribute__(self, name: str) -> Any:
            if name.startswith("__"):
                return super().__getattribute__(name)
            raise RuntimeError(name)

    handle(workshop, lambda _delivery: succeeded())
    actions = workshop.propose()
    with workshop.working(observers=[Broken(), Listener()]) as worker:
        assert workshop.wait_for(actions) == ["succeeded"]
        wait_until(lambda: worker.status().listening and worker.status().held == 0)
        assert worker.status().reached_database_at is not None
    assert [each for each in heard if not each.startswith("claimed 0")] == [
        f"claimed 1 of {QUEUE}",
        "began act_",
        "handling 1",
        "handled",
        "answered succeeded 1 True",
        "confirmed succeeded succeeded 1",
    ]


def test_a_handler_may_be_a_coroutine(workshop: Workshop) -> None:
    running = 0
    most = 0

    async def update(delivery: Delivery) -> Outcome:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.2)
        running -= 1
        return succeeded({"contact": delivery.arguments["contact"]})

    handle(workshop, update)
    actions = workshop.propose(8)
    with workshop.working(concurrency=8):
        assert workshop.wait_for(actions) == ["succeeded"] * 8
    assert most > 1, "they share the loop"


def test_a_coroutine_is_cancelled_with_its_delivery(workshop: Workshop) -> None:
    workshop.declare(idempotency={"idempotent": False})
    cancelled = threading.Event()

    async def update(_delivery: Delivery) -> Outcome:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return succeeded()

    handle(workshop, update)
    (action,) = workshop.propose()
    with workshop.working(timeouts={"crm/contacts.update": 0.3}):
        wait_until(lambda: workshop.statuses([action]) == ["unknown"])
    assert cancelled.is_set()
    known = workshop.action(action)
    assert (known["error_code"], known["error_message"]) == (
        "cancelled",
        "the handler's time is over",
    )


def test_a_coroutine_that_raises_is_classified(workshop: Workshop) -> None:
    async def update(_delivery: Delivery) -> Outcome:
        await asyncio.sleep(0)
        raise RejectedError("gone", "no such contact")

    handle(workshop, update)
    actions = workshop.propose()
    with workshop.working():
        assert workshop.wait_for(actions) == ["failed"]
    assert workshop.action(actions[0])["error_code"] == "gone"


@pytest.mark.parametrize(
    ("answer", "status", "effects"),
    [
        (succeeded({"found": 1}, "req-1"), "succeeded", 1),
        (failed("absent", "there is none"), "succeeded", 2),
        (failed("refused", "it was refused", retryable=False), "failed", 1),
        (unknown("busy", "ask again"), "unknown", 1),
    ],
)
def test_the_provider_is_asked_what_became_of_an_unknown_action(
    workshop: Workshop, answer: Outcome, status: str, effects: int
) -> None:
    workshop.declare(
        idempotency={"idempotent": False},
        reconcile={"operation": "contacts.find", "after": "10 ms", "max_attempts": 2},
    )
    sent: list[str] = []
    asked: list[str] = []

    def update(delivery: Delivery) -> Outcome:
        sent.append(delivery.action_id)
        return succeeded() if len(sent) > 1 else unknown("cut", "no answer", park=True)

    @workshop.registry.handler("crm", "contacts.find")
    def find(delivery: Delivery) -> Outcome:
        asked.append(delivery.purpose)
        return answer

    handle(workshop, update)
    (action,) = workshop.propose()
    with workshop.working(reconcile=0.05):
        if status == "unknown":
            wait_until(lambda: len(asked) == 2)
            time.sleep(0.4)
        else:
            wait_until(lambda: workshop.statuses([action]) == [status])
    assert workshop.statuses([action]) == [status]
    assert len(sent) == effects
    assert asked == ["reconcile"] * (2 if status == "unknown" else 1)
    if answer.status == "succeeded":
        assert workshop.action(action)["response"] == {
            "response": {"found": 1},
            "provider_request_id": "req-1",
        }


def test_queues_share_by_weight(workshop: Workshop) -> None:
    order: list[str] = []
    for queue_name in ("many", "few"):
        workshop.declare(action=f"crm.{queue_name}", queue=queue_name)
    actions = [*workshop.propose(30, "crm.many"), *workshop.propose(30, "crm.few")]

    def update(delivery: Delivery) -> Outcome:
        order.append(delivery.action)
        return succeeded()

    handle(workshop, update)
    with workshop.working(queues=[Queue("many", 3), Queue("few")], batch=1, concurrency=1):
        assert workshop.wait_for(actions) == ["succeeded"] * 60
    early = Counter(order[:20])
    assert early["crm.many"] == pytest.approx(15, abs=2)


def test_a_running_worker_is_reconfigured(workshop: Workshop) -> None:
    together = threading.Barrier(4, timeout=15)

    def update(_delivery: Delivery) -> Outcome:
        together.wait()
        return succeeded()

    handle(workshop, update)
    with workshop.working(queues=["nothing here"], concurrency=1) as worker:
        wait_until(lambda: worker.status().reached_database_at is not None)
        worker.reconfigure(queues=[QUEUE], concurrency=4)
        actions = workshop.propose(4)
        assert workshop.wait_for(actions) == ["succeeded"] * 4
        assert worker.queues == (QUEUE,)
        worker.reconfigure(concurrency=1)
        wait_until(
            lambda: sum(t.name == "synapsor_handle_loop" for t in threading.enumerate()) == 1
        )


def test_a_worker_serves_nodes_of_plans(workshop: Workshop) -> None:
    @workshop.registry.plan_handler("Test:Double", parameters={"number": 1})
    def double(node: NodeStart) -> Any:
        if node.parameters["number"] < 0:
            return NodeResult(
                status="CompletedWithErrors", exit_data=[0], message="it was negative"
            )
        return {"doubled": 2 * node.parameters["number"]}

    with workshop.superuser() as connection:
        client = Client(connection)
        client.declare_action(plan_handler_contract("Test:Double", "plan.double", queue="plans"))
        client.declare_plan(
            {
                "Name": "doubling",
                "Actions": [
                    {
                        "Name": name,
                        "Handler": {"Type": "Test:Double"},
                        "Parameters": {"Values": {"number": number}},
                    }
                    for name, number in (("good", 21), ("bad", -1))
                ],
            }
        )
    with workshop.working(queues=["plans"]):
        with workshop.client("test_caller") as caller:
            run = caller.start_plan("doubling")
        wait_until(
            lambda: (
                workshop.read("select state from synapsor.synapsor_agent_workflow_runs")
                == [{"state": "completed"}]
            )
        )
    steps = workshop.read(
        "select name, status, exit_data, message, pid from synapsor.synapsor_agent_run_steps"
        " where run_id = %s order by name desc",
        run.run_id,
    )
    assert steps == [
        {
            "name": "good",
            "status": "Complete",
            "exit_data": {"doubled": 42},
            "message": None,
            "pid": os.getpid(),
        },
        {
            "name": "bad",
            "status": "CompletedWithErrors",
            "exit_data": [0],
            "message": "it was negative",
            "pid": os.getpid(),
        },
    ]
