"""The worker behind a pooler, and over a wire that is cut or goes dead."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from client.workshop import QUEUE, Workshop, wait_until
from psycopg.types.json import Jsonb
from support.pooler import PROGRAM, Pooler
from support.wire import Wire
from synapsor_pg import Delivery, Outcome, Worker, failed, succeeded

if TYPE_CHECKING:
    from collections.abc import Iterator

POOLED = 2


@pytest.fixture
def wire(workshop: Workshop) -> Iterator[Wire]:
    """Give a wire to the workshop's database."""
    with Wire(workshop.database) as wire:
        yield wire


@pytest.fixture
def pooler(workshop: Workshop) -> Iterator[Pooler]:
    """Give PgBouncer in transaction mode before the workshop's database."""
    if PROGRAM is None:
        pytest.fail("install the package pgbouncer: transaction mode is promised, so it is tested")
    with Pooler(workshop.database, pool_size=POOLED) as pooler:
        yield pooler


class Effects:
    """A handler that counts its effects by key, as a provider that deduplicates does."""

    def __init__(self, workshop: Workshop) -> None:
        self.effects: Counter[str] = Counter()
        self.entered, self.leave = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        workshop.registry.handler("crm", "contacts.update")(self.act)

    def act(self, delivery: Delivery) -> Outcome:
        with self._lock:
            if not self.effects[delivery.idempotency_key]:
                self.effects[delivery.idempotency_key] += 1
        self.entered.set()
        self.leave.wait(20)
        return succeeded()


def serving(workshop: Workshop, dsn: str, **options: Any) -> Worker:
    settings = {"poll": 0.1, "housekeeping": 0.2, "drain": 5.0} | options
    return Worker(dsn, queues=[QUEUE], registry=workshop.registry, **settings)


class Running:
    """A context manager: that worker in a thread."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._thread = threading.Thread(target=worker.run)

    def __enter__(self) -> Worker:
        self._thread.start()
        return self.worker

    def __exit__(self, *_what: object) -> None:
        self.worker.stop()
        self._thread.join(20)
        assert not self._thread.is_alive(), "the worker does not stop"


def server_sessions(workshop: Workshop, login: str = "test_worker") -> list[dict[str, Any]]:
    with workshop.superuser() as connection:
        found = connection.execute(
            "select pid, query from pg_stat_activity where usename = %s"
            " and datname = current_database()",
            (login,),
        ).fetchall()
    return [{"pid": pid, "query": query} for pid, query in found]


def test_two_workers_share_two_sessions_of_a_transaction_pooler(
    workshop: Workshop, pooler: Pooler
) -> None:
    provider = Effects(workshop)
    provider.leave.set()
    dsn = pooler.dsn("test_worker")
    listen = workshop.database("test_worker")
    with (
        Running(serving(workshop, dsn, listen_dsn=listen, label="a", poll=30.0)) as first,
        Running(serving(workshop, dsn, listen_dsn=listen, label="b", poll=30.0)) as second,
    ):
        wait_until(lambda: first.status().listening and second.status().listening)
        actions = workshop.propose(40)
        assert workshop.wait_for(actions) == ["succeeded"] * 40
        listening = [each for each in server_sessions(workshop) if "listen" in each["query"]]
        pooled = [each for each in server_sessions(workshop) if each not in listening]
        assert len(pooled) <= POOLED
    assert len(listening) == 2
    assert set(provider.effects.values()) == {1}
    assert all("LateConfirmation" not in workshop.events(action) for action in actions[:5])


def test_behind_a_pooler_alone_the_poll_finds_the_work(workshop: Workshop, pooler: Pooler) -> None:
    provider = Effects(workshop)
    provider.leave.set()
    with Running(serving(workshop, pooler.dsn("test_worker"), listen=False)):
        assert workshop.wait_for(workshop.propose(10)) == ["succeeded"] * 10


def test_a_listener_that_hears_nothing_notices(
    workshop: Workshop,
    pooler: Pooler,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("synapsor_pg.worker.PROBE_HEARD", 0.5)
    provider = Effects(workshop)
    provider.leave.set()
    with Running(serving(workshop, pooler.dsn("test_worker"))) as worker:
        wait_until(lambda: "hears nothing" in caplog.text)
        assert not worker.status().listening
        assert workshop.wait_for(workshop.propose(3)) == ["succeeded"] * 3


@pytest.mark.parametrize("breaks", ["cut", "terminate"])
def test_lost_connections_lose_nothing_and_repeat_nothing(
    workshop: Workshop, wire: Wire, breaks: str
) -> None:
    provider = Effects(workshop)

    def end() -> None:
        if breaks == "cut":
            wire.cut()
        else:
            with workshop.superuser() as connection:
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where usename = 'test_worker' and datname = current_database()"
                )

    actions = workshop.propose(60)
    with Running(serving(workshop, wire.dsn("test_worker"), batch=10, concurrency=5)):
        assert provider.entered.wait(10)
        end()  # while handlers run: they have begun, their leases live
        provider.leave.set()
        for _ in range(8):
            time.sleep(0.05)
            end()
        assert workshop.wait_for(actions) == ["succeeded"] * 60
    assert len(provider.effects) == 60
    assert set(provider.effects.values()) == {1}


def test_a_claim_whose_answer_is_lost_was_not_made(workshop: Workshop, wire: Wire) -> None:
    """Otherwise its actions would be nobody's for a whole lease."""
    Effects(workshop).leave.set()
    [action] = workshop.propose()

    def waits() -> bool:
        with workshop.superuser() as connection:
            found = connection.execute(
                "select from pg_stat_activity where usename = 'test_worker'"
                " and datname = current_database() and wait_event_type = 'Lock'"
                " and query like '%claim_external_actions%'"
            )
            return found.fetchone() is not None

    worker = serving(workshop, wire.dsn("test_worker"), housekeeping=None, reconcile=None)
    with workshop.superuser() as holder:
        holder.execute("lock table synapsor.open_external_actions")
        with Running(worker):
            wait_until(waits)
            wire.cut()
            holder.commit()
            assert workshop.wait_for([action], within=10) == ["succeeded"]


def test_a_network_that_is_away_for_longer_than_a_lease(workshop: Workshop, wire: Wire) -> None:
    workshop.declare(lease="1 s")
    provider = Effects(workshop)
    because: list[str | None] = []

    def wait(delivery: Delivery) -> Outcome:
        outcome = provider.act(delivery)
        because.append(delivery.cancelled_because)
        return outcome

    workshop.registry.handler("crm", "contacts.slow")(wait)
    workshop.declare(action="crm.slow", operation="contacts.slow", lease="1 s")
    [action] = workshop.propose(action="crm.slow")
    with Running(serving(workshop, wire.dsn("test_worker"))) as worker:
        assert provider.entered.wait(10)
        wire.cut(refuse=True)
        wait_until(lambda: worker.status().held == 1)
        time.sleep(1.2)
        provider.leave.set()
        wire.mend()
        assert workshop.wait_for([action]) == ["succeeded"]
    assert because[0] == "the lease could not be renewed"
    assert set(provider.effects.values()) == {1}


def test_a_half_open_connection_stops_nobody(workshop: Workshop, wire: Wire) -> None:
    provider = Effects(workshop)
    provider.leave.set()
    worker = serving(workshop, wire.dsn("test_worker"), statement_timeout=0.5)
    with Running(worker):
        assert workshop.wait_for(workshop.propose(3)) == ["succeeded"] * 3
        wait_until(lambda: worker.status().listening)
        assert wire.freeze() >= 2
        assert workshop.wait_for(workshop.propose(20), within=15) == ["succeeded"] * 20
    assert set(provider.effects.values()) == {1}


def idle(workshop: Workshop, wire: Wire, options: dict[str, Any], seconds: float) -> float:
    """Transactions a second of a worker with nothing to do, as the wire counts them."""
    settings = {"queues": [QUEUE], "registry": workshop.registry, "drain": 1.0} | options
    worker = Worker(wire.dsn("test_worker"), **settings)
    with Running(worker):
        wait_until(lambda: worker.status().reached_database_at is not None)
        time.sleep(1.0)
        before, began = wire.transactions, time.monotonic()
        time.sleep(seconds)
        return (wire.transactions - before) / (time.monotonic() - began)


@pytest.mark.parametrize("listen", [True, False])
def test_an_idle_worker_asks_at_most_once_a_second(
    workshop: Workshop, wire: Wire, listen: bool
) -> None:
    assert 0 < idle(workshop, wire, {"listen": listen}, 5.0) <= 1.2  # five seconds are grainy


def test_keeping_house_and_many_queues_are_part_of_what_an_idle_worker_asks(
    workshop: Workshop, wire: Wire
) -> None:
    # everything five times as often as by default: at most five a second
    often = {"poll": 0.2, "reconcile": 1.0, "housekeeping": 3.0, "listen": False}
    queues = [f"q{number}" for number in range(8)]
    assert 2 < idle(workshop, wire, often | {"queues": queues}, 6.0) <= 5.0


def sleeps(workshop: Workshop) -> bool:
    """Whether the database knows that the queue is to be woken."""
    with workshop.superuser() as connection:
        found = connection.execute("select from synapsor.idle_queues where queue = %s", (QUEUE,))
        return found.fetchone() is not None


def test_a_queue_whose_last_claim_was_not_full_is_woken(workshop: Workshop) -> None:
    provider = Effects(workshop)
    provider.leave.set()
    with workshop.working(poll=30.0, housekeeping=60.0, reconcile=None) as worker:
        wait_until(lambda: worker.status().listening and sleeps(workshop))
        for _ in range(2):
            assert workshop.wait_for(workshop.propose(3), within=5) == ["succeeded"] * 3
            wait_until(lambda: sleeps(workshop), within=5)


def test_a_pooler_that_is_killed_and_comes_back(workshop: Workshop, pooler: Pooler) -> None:
    provider = Effects(workshop)
    provider.leave.set()
    listen = workshop.database("test_worker")
    with Running(serving(workshop, pooler.dsn("test_worker"), listen_dsn=listen)):
        assert workshop.wait_for(workshop.propose(20)) == ["succeeded"] * 20
        # whose turn it is stays behind in a pooled session, for whoever comes next: only a hint
        for _ in range(POOLED):
            with psycopg.connect(pooler.dsn("test_worker"), prepare_threshold=None) as another:
                another.execute(
                    "select set_config('synapsor.turn_' || md5(%s), '999:nonsense', false)",
                    (QUEUE,),
                )
        assert workshop.wait_for(workshop.propose(20)) == ["succeeded"] * 20
        pooler.kill()
        waiting = workshop.propose(20)
        time.sleep(0.5)
        pooler.start()
        assert workshop.wait_for(waiting) == ["succeeded"] * 20
    assert len(provider.effects) == 60


def test_an_open_breakers_backlog_is_no_obstacle_to_others(workshop: Workshop) -> None:
    tried: list[str] = []

    @workshop.registry.handler("crm", "contacts.update")
    def down(delivery: Delivery) -> Outcome:
        tried.append(delivery.action_id)
        return failed("down")

    workshop.registry.handler("mail", "messages.send")(lambda _delivery: succeeded())
    workshop.declare(action="mail.send", provider="mail", operation="messages.send")
    breaker = {"minimum_calls": 1, "window": 10, "wait_open": "1 hour"}
    with workshop.superuser() as connection:
        connection.execute(
            "select synapsor.declare_provider(%s)",
            (Jsonb({"provider": "crm", "breaker": breaker}),),
        )
    backlog = [action for _ in range(10) for action in workshop.propose(1000)]
    with workshop.working(batch=1, concurrency=1):
        wait_until(lambda: tried)
        others = workshop.propose(20, "mail.send")
        assert workshop.wait_for(others, within=15) == ["succeeded"] * 20
    assert len(tried) <= 5
    assert workshop.statuses(backlog) == ["queued"] * 10_000


def test_a_handler_that_never_returns_loses_its_place_to_another(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synapsor_pg.worker.ABANDON", 0.2)
    workshop.declare(lease="1 s", idempotency={"idempotent": False})
    provider = Effects(workshop)
    workshop.registry.handler("crm", "contacts.free")(lambda _delivery: succeeded())
    workshop.declare(action="crm.free", operation="contacts.free")
    [hangs] = workshop.propose()
    with workshop.working(concurrency=1, timeouts={"crm/contacts.update": 0.2}) as worker:
        assert provider.entered.wait(10)
        others = workshop.propose(5, action="crm.free")
        assert workshop.wait_for(others) == ["succeeded"] * 5
        assert workshop.wait_for([hangs]) == ["unknown"]
        assert worker.status().held == 0
        provider.leave.set()
        wait_until(lambda: "LateConfirmation" in workshop.events(hangs))
        assert workshop.wait_for(workshop.propose(2, action="crm.free")) == ["succeeded"] * 2
    assert workshop.action(hangs)["status"] == "unknown"


def test_as_many_may_hang_as_may_work(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synapsor_pg.worker.ABANDON", 0.1)
    workshop.declare(lease="1 s", idempotency={"idempotent": False})
    provider = Effects(workshop)
    before = threading.active_count()
    workshop.propose(6)
    with workshop.working(concurrency=1, batch=1, timeouts={"crm/contacts.update": 0.1}):
        wait_until(lambda: len(provider.effects) == 2)
        time.sleep(2.5)
        assert len(provider.effects) == 2, "threads must not pile up without end"
        provider.leave.set()
        wait_until(lambda: len(provider.effects) == 6)
    wait_until(lambda: threading.active_count() <= before)
