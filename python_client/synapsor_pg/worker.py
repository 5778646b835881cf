"""The worker: claim, handle, confirm; leases renewed in the background; a graceful stop.

How it keeps its promises:

* It claims without beginning, and begins each delivery just before its handler runs, so that what
  it holds but has not sent can be given back or taken over freely.
* Time is the database's. Every transaction reads the database's clock once, and a lease's end is
  kept as a point of this machine's *monotonic* clock: its wall clock is never compared.
* A lease is renewed at a third of its length. When that fails, ``delivery.cancelled`` is set
  before the lease ends, by a thread that does no input or output.
* What the provider answered is confirmed until the database has heard it; a confirmation that is
  too late changes nothing there but is kept as evidence.
* Nothing lives in a database session, so a transaction-mode pooler may stand in between; LISTEN
  has its own connection and is only a hint, the jittered poll is the truth.

Threads: one claims, ``concurrency`` handle, and one each confirms (what waits goes in one
statement), renews, watches, keeps house, listens, and goes on with what outcomes have made due. A
free thread begins the deliveries of all free threads, in one statement.
"""

# ruff: noqa: PLR0913 - a worker has that many settings

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import inspect
import json
import logging
import os
import queue
import random
import secrets
import signal
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import psycopg
from psycopg import errors as database_errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import scalar_row
from psycopg_pool import ConnectionPool

from synapsor_pg import handlers
from synapsor_pg.client import Client
from synapsor_pg.config import Queue
from synapsor_pg.errors import (
    ApprovalStaleError,
    SynapsorError,
)
from synapsor_pg.handlers import (
    ClaimLostError,
    Delivery,
    Outcome,
    Registration,
    Registry,
    UnknownOutcomeError,
)
from synapsor_pg.models import Claim, Confirmation, DeliveryStart
from synapsor_pg.observer import Observers, WorkerObserver, WorkerStatus
from synapsor_pg.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
    from datetime import datetime
    from types import FrameType

    from synapsor_pg.config import WorkerConfig

LOG = logging.getLogger("synapsor_pg.worker")

CHANNEL = "synapsor_queues"

TRANSIENT = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    database_errors.ReadOnlySqlTransaction,  # a standby, in the middle of a failover
)
"""Errors after which the same call may succeed: lost connection, restart, deadlock, time-out."""

RENEW_AT = 1 / 3
"""When a lease is renewed, as a part of its length."""

LONGEST_NAP = 1.0
"""How long, in seconds, those who renew and watch sleep at most."""

SAFETY = 0.1
"""How long before its end a lease counts as lost, as a part of its length."""

PROBE = 15.0
"""How often, in seconds, a notification is sent to see whether the LISTEN connection hears it."""

PROBE_HEARD = 5.0
"""How long, in seconds, such a notification may take; a longer silence means a deaf connection."""

DEAF = 60.0
"""How long, in seconds, to leave LISTEN alone after a connection that never heard anything."""

ABANDON = 5.0
"""How long, in seconds, after its lease a cancelled handler may keep its thread to itself."""

AHEAD = 0.05
"""How many seconds of work may wait here while more is claimed: those who claim are never idle."""

BEGINNING = 0.01
"""How long, in seconds, the claim that will find nothing lets those go first that begin."""

NOTHING_DUE = 0.02
"""How long, in seconds, not to ask again when no outcome had made anything due."""

SAID_AGAIN = 60.0
"""How long, in seconds, the same notice of the database is not logged again."""

LOCK_TIMEOUT = "250ms"
"""How long a row may be somebody else's: one open transaction must not hold up a whole batch."""

BATCH_LIMIT = 500
"""How many confirmations or beginnings go in one statement."""

Item = TypeVar("Item")


@dataclass(slots=True, eq=False)
class _Line:
    """One kind of claim from one queue, and when to make the next."""

    queue: Queue
    purpose: str
    look_at: float = 0.0
    served: float = 0.0
    """Actions claimed by weight: of several due lines the one with the least is next."""


@dataclass(frozen=True, slots=True)
class _Clock:
    """The database's clock, read once, beside a point of the monotonic clock not after it."""

    database: datetime
    monotonic: float

    def deadline(self, moment: datetime) -> float:
        """Return a database time as a point of the monotonic clock, rather early than late."""
        return self.monotonic + (moment - self.database).total_seconds()


class _Caller(Client):
    """Makes of each call a transaction with time-outs, in one round trip.

    What a pipeline sends before its end is one transaction, which its end commits. With ``hears``
    that waits for the answer: a claim whose answer was lost would be nobody's for a whole lease.
    """

    clock: _Clock
    """The database's, at the last call."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        timeouts: tuple[str, str],
        token: str | None,
        *,
        hears: bool,
    ) -> None:
        super().__init__(connection)
        self._hears = hears
        self._timeouts = timeouts
        self._token = token

    def _send(self, cursor: psycopg.Cursor[Any], statement: bytes, given: dict[str, Any]) -> None:
        told: psycopg.Cursor[datetime] = self._connection.cursor(row_factory=scalar_row)
        before = time.monotonic()
        with self._connection.pipeline():
            told.execute(
                "select clock_timestamp() from set_config('statement_timeout', %s, true) as a,"
                " set_config('lock_timeout', %s, true) as b",
                self._timeouts,
            )
            if self._token is not None:
                self._connection.execute("select synapsor.open_session(%s)", (self._token,))
            cursor.execute(statement, given)
            now = told.fetchone() if self._hears else None
        now = now or told.fetchone()
        if now is None:
            message = "the database did not tell its time"
            raise LookupError(message)
        self.clock = _Clock(now, before)


@dataclass(slots=True, eq=False)
class _Held:
    """A claim in this process."""

    delivery: Delivery
    lease: float
    renew_at: float
    started_at: float | None = None
    timeout_at: float | None = None
    answered: bool = False
    refused: Exception | None = None
    """Why its delivery could not begin."""
    evidence_only: bool = False
    abandoned: bool = False

    def renewed(self, deadline: float, *, now: float) -> None:
        self.delivery.deadline = deadline
        self.lease = max(deadline - now, 0.0)
        self.renew_at = now + self.lease * RENEW_AT

    def start(self, timeout: float | None) -> None:
        self.started_at = time.monotonic()
        self.timeout_at = None if timeout is None else self.started_at + timeout

    def lost_at(self) -> float:
        return self.delivery.deadline - self.lease * SAFETY


@dataclass(slots=True, eq=False)
class _Beginning:
    """A begin_delivery on its way."""

    held: _Held
    start: DeliveryStart
    done: threading.Event | None = None
    error: Exception | None = None


class _End:
    """The last thing said to a batcher."""


class _Waiting:
    """What is claimed and waits for a thread, and the threads that wait for it."""

    def __init__(self) -> None:
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        self._begun = threading.Condition(lock)
        self._claimed: deque[_Held] = deque()
        self._ready: deque[_Held] = deque()
        self._free = 0
        self._is_beginning = False
        self._surplus = 0.0

    def put(self, claimed: list[_Held]) -> None:
        with self._changed:
            for held in claimed:
                (self._ready if held.delivery.begun else self._claimed).append(held)
            self._changed.notify(len(claimed))

    def take(self, begin: Callable[[list[_Held]], None]) -> _Held | None:
        """Wait for what to handle, begun as it should be; None: the calling thread is to end.

        One thread begins for all that wait beside it, and no more than one does so at a time.
        """
        while True:
            with self._changed:
                self._free += 1
                try:
                    while not self._ready and (self._is_beginning or not self._claimed):
                        if self._surplus:
                            self._surplus -= 1
                            return None
                        self._changed.wait()
                finally:
                    self._free -= 1
                if self._ready:
                    return self._ready.popleft()
                number = min(len(self._claimed), self._free + 1)
                group = [self._claimed.popleft() for _ in range(number)]
                self._is_beginning = True
            try:
                begin(group)
            finally:
                with self._changed:
                    self._is_beginning = False
                    self._ready.extend(group)
                    self._changed.notify(len(group))
                    self._begun.notify_all()

    def await_beginnings(self, seconds: float) -> None:
        """Wait, no longer than that, until nothing claimed is still to begin."""
        with self._begun:
            self._begun.wait_for(
                lambda: not self._claimed and not self._is_beginning, timeout=seconds
            )

    def clear(self) -> list[_Held]:
        """Take back all that has not begun."""
        with self._changed:
            claimed = list(self._claimed)
            self._claimed.clear()
        return claimed

    def send_away(self, threads: float) -> None:
        """Let so many threads end when they find nothing to do."""
        with self._changed:
            self._surplus += max(threads, 0)
            self._changed.notify_all()

    def end(self) -> None:
        """Let all of them end."""
        self.send_away(float("inf"))


class _Batcher(Generic[Item]):
    """A thread that handles whatever waits, together: group commit for calls."""

    def __init__(self, name: str, act: Callable[[list[Item]], None]) -> None:
        self._act = act
        self._waiting: queue.SimpleQueue[Item | _End] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        self._waiting.put(item)

    def close(self, timeout: float) -> None:
        self._waiting.put(_End())
        self._thread.join(max(timeout, 0.0))

    def _run(self) -> None:
        closing = False
        while not closing:
            taken = [self._waiting.get()]
            while len(taken) < BATCH_LIMIT:
                try:
                    taken.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            items = [item for item in taken if not isinstance(item, _End)]
            closing = len(items) < len(taken)
            if items:
                try:
                    self._act(items)
                except Exception:
                    LOG.exception("%s failed", self._thread.name)


class Worker:
    """Performs the actions of some queues with the handlers of a registry.

    ``source`` is a connection string or an open ``ConnectionPool`` (of at least three
    connections). The login must be a member of ``synapsor_worker`` with a session: bound by
    ``bind_role``, or opened in every transaction from ``session_token()``. Behind a pooler in
    transaction mode, ``listen_dsn`` names the server itself; without it only the poll wakes.

    ``batch``: how many actions one claim takes; what exceeds the free threads waits here, claimed
    and renewed. ``lease`` None: the contract's. ``drain``: how many seconds a stop waits for
    handlers. ``reconcile``: how many seconds between looks for unknown actions whose provider can
    be asked; None: never. ``housekeeping``: seconds between heartbeats, sweeps and due steps; None:
    others keep house. ``timeouts``: seconds by ``provider/operation``, before what a handler says.
    A handler may be a coroutine function; it still occupies one of the ``concurrency`` threads,
    and is cancelled with its delivery. ``observers`` are told what happens
    (``synapsor_pg.observer``). ``checkpoint`` is called with the name of each boundary an action
    crosses, for tests: claiming, claimed, before_begin, begun, answered, confirmed.
    """

    def __init__(
        self,
        source: str | ConnectionPool[psycopg.Connection[Any]],
        *,
        queues: Sequence[str | Queue],
        batch: int = 10,
        concurrency: int = 10,
        lease: timedelta | float | None = None,
        label: str | None = None,
        registry: Registry | None = None,
        poll: float = 1.0,
        reconcile: float | None = 5.0,
        housekeeping: float | None = 15.0,
        timeouts: Mapping[str, float] | None = None,
        drain: float = 30.0,
        listen: bool = True,
        listen_dsn: str | None = None,
        session_token: Callable[[], str] | None = None,
        statement_timeout: float = 30.0,
        observers: Sequence[WorkerObserver] = (),
        checkpoint: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare; nothing happens before ``run``."""
        if isinstance(queues, str) or not queues:
            message = "queues must be a sequence of at least one queue name"
            raise ValueError(message)
        if batch < 1 or concurrency < 1:
            message = "batch and concurrency must be at least 1"
            raise ValueError(message)
        self._lines = _lines(queues, reconcile=reconcile is not None)
        self.label = label or f"{socket.gethostname()}:{os.getpid()}"
        self._batch = batch
        self._concurrency = concurrency
        self._lease = timedelta(seconds=lease) if isinstance(lease, (int, float)) else lease
        self._registry = handlers.registry if registry is None else registry
        self._poll = poll
        self._reconcile = reconcile
        self._housekeeping = housekeeping
        self._timeouts = dict(timeouts or {})
        self._drain = drain
        self._listen = listen
        self._session_token = session_token
        self._statement_timeout = f"{int(statement_timeout * 1000)}ms"
        # the server ends each statement; a transaction has several, and its commit has no limit
        self._answer_within = statement_timeout * 1.5 + 1.0
        self._patience = Patience()
        self._observers = Observers(observers)
        self._listening = False
        self._reached_at: float | None = None
        self._checkpoint = checkpoint or (lambda _boundary: None)
        self._owns_pool = isinstance(source, str)
        self._pool = self._own_pool(source) if isinstance(source, str) else source
        conninfo = self._pool.conninfo
        self._dsn = conninfo() if callable(conninfo) else conninfo
        self._listen_dsn = self._conninfo(listen_dsn) if listen_dsn else self._dsn

        lock = threading.RLock()  # guards what follows
        self._wake = threading.Condition(lock)  # the claimer may act
        self._tick = threading.Condition(lock)  # there are new claims to renew and watch
        self._claims = 0
        self._held: dict[tuple[str, int], _Held] = {}
        self._unanswered = 0  # of those in _held
        self._pace: float | None = None  # seconds a handler takes, of late
        self._said: dict[str, float] = {}

        self._abandoned = 0  # handlers that do not come back, beyond those in _held

        self._waiting = _Waiting()
        self._threads: list[threading.Thread] = []
        self._async_handlers = _AsyncHandlers()
        self._stop = threading.Event()
        self._over = threading.Event()  # everything is done: background threads end
        self._give_up_at = float("inf")

    @classmethod
    def from_config(
        cls,
        config: WorkerConfig,
        *,
        registry: Registry | None = None,
        observers: Sequence[WorkerObserver] = (),
        session_token: Callable[[], str] | None = None,
    ) -> Worker:
        """Return the worker that a configuration describes; load its handler modules yourself."""
        return cls(
            config.dsn,
            queues=config.queues,
            batch=config.batch,
            concurrency=config.concurrency,
            lease=config.lease,
            label=config.label,
            registry=registry,
            poll=config.poll,
            reconcile=config.reconcile,
            housekeeping=config.housekeeping,
            timeouts=config.timeouts,
            drain=config.drain,
            listen=config.listen,
            listen_dsn=config.listen_dsn,
            session_token=session_token,
            observers=observers,
        )

    def apply(self, config: WorkerConfig) -> None:
        """Take over queues, weights, concurrency and time-outs; the rest needs a restart."""
        self.reconfigure(
            queues=config.queues,
            concurrency=config.concurrency,
            timeouts=config.timeouts,
        )

    @property
    def queues(self) -> tuple[str, ...]:
        """The names of the queues it serves."""
        return tuple(dict.fromkeys(line.queue.name for line in self._lines))

    # life

    def run(
        self,
        *,
        until_idle: bool = False,
        install_signals: bool = True,
        on_reload: Callable[[], None] | None = None,
    ) -> None:
        """Work until ``stop``, or with ``until_idle`` until nothing is due; then drain.

        SIGTERM and SIGINT stop it when it runs in the main thread; a second signal stops waiting
        for handlers. SIGHUP calls ``on_reload``, in a thread. Raises what the first claim raises if
        the database refuses it.
        """
        with contextlib.ExitStack() as stack:
            if install_signals and threading.current_thread() is threading.main_thread():
                stack.enter_context(self._signals(on_reload))
            if self._owns_pool:
                self._await_database()
                self._pool.open()
                stack.callback(self._pool.close, 1.0)
            self._beginner = _Batcher("synapsor-begin", self._begin_batch)
            self._confirmer = _Batcher("synapsor-confirm", self._confirm_batch)
            self._follower = _Batcher("synapsor-due", self._run_due_steps)
            loops = [self._renew_loop, self._watch_loop]
            if self._housekeeping is not None:
                loops.append(self._housekeeping_loop)
            if self._listen:
                loops.append(self._listen_loop)
            loops += [self._handle_loop] * self._concurrency
            for loop in loops:
                self._start(loop)
            LOG.info("started %s", self.label, extra={"queues": list(self.queues)})
            try:
                self._claim_loop(until_idle=until_idle)
            finally:
                self._finish()

    def _start(self, loop: Callable[[], None]) -> None:
        thread = threading.Thread(
            target=self._keep_up, args=(loop,), name=f"synapsor{loop.__name__}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def reconfigure(
        self,
        *,
        queues: Sequence[str | Queue] | None = None,
        concurrency: int | None = None,
        timeouts: Mapping[str, float] | None = None,
    ) -> None:
        """Change what is claimed and by how many threads from now on; what is held goes on."""
        with self._wake:
            if queues is not None:
                before = {(line.queue.name, line.purpose): line for line in self._lines}
                self._lines = _lines(queues, reconcile=self._reconcile is not None)
                for line in self._lines:
                    known = before.get((line.queue.name, line.purpose))
                    if known is not None:
                        line.look_at, line.served = known.look_at, known.served
            if timeouts is not None:
                self._timeouts = dict(timeouts)
            more = 0 if concurrency is None else concurrency - self._concurrency
            self._concurrency += more
            self._wake.notify_all()
        for _ in range(more):
            self._start(self._handle_loop)
        self._waiting.send_away(-more)
        LOG.info("reconfigured: %d threads, queues %s", self._concurrency, ", ".join(self.queues))

    def _keep_up(self, loop: Callable[[], None]) -> None:
        """Run a background loop; a defect in it must not end it in silence."""
        while not self._over.is_set():
            try:
                loop()
            except Exception:
                LOG.exception("%s failed", loop.__name__)
                self._over.wait(1.0)
            else:
                return

    def status(self) -> WorkerStatus:
        """Return how the worker is at this moment."""
        with self._wake:
            return WorkerStatus(
                label=self.label,
                queues=self.queues,
                held=len(self._held),
                stopping=self._stop.is_set(),
                listening=self._listening,
                reached_database_at=self._reached_at,
            )

    def stop(self) -> None:
        """Ask for a graceful stop: claim nothing more, finish what is sent, release the rest."""
        if self._stop.is_set():
            self._give_up_at = 0.0
        self._stop.set()
        self._notify()

    @contextlib.contextmanager
    def _signals(self, on_reload: Callable[[], None] | None) -> Iterator[None]:
        def in_thread(act: Callable[[], None]) -> Callable[[int, FrameType | None], None]:
            # in a thread of its own: this one may hold the lock that stop() takes
            return lambda _number, _frame: threading.Thread(
                target=act, name="synapsor-signal"
            ).start()

        actions = {signal.SIGTERM: self.stop, signal.SIGINT: self.stop}
        if on_reload is not None:
            actions[signal.SIGHUP] = on_reload
        before = {number: signal.signal(number, in_thread(act)) for number, act in actions.items()}
        try:
            yield
        finally:
            for number, action in before.items():
                signal.signal(number, action)

    def _finish(self) -> None:
        self._stop.set()
        self._give_up_at = min(self._give_up_at, time.monotonic() + self._drain)
        self._release_waiting()
        with self._wake:
            while self._held and time.monotonic() < self._give_up_at:
                self._wake.wait(min(0.2, max(self._give_up_at - time.monotonic(), 0.0)))
            left = list(self._held.values())
        for held in left:
            self._cancel(held, "the worker stops")
        if left:
            # what reacts to its cancellation may still say what it knows
            with self._wake:
                self._wake.wait_for(lambda: not self._held, timeout=min(2.0, self._drain))
                left = list(self._held.values())
        with self._tick:
            self._over.set()
            self._tick.notify_all()
        self._waiting.end()
        self._confirmer.close(2.0)
        self._follower.close(2.0)
        self._async_handlers.close()
        end = time.monotonic() + 1.0
        self._beginner.close(1.0)
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))  # what hangs is a daemon thread
        for held in left:
            self._log(logging.WARNING, "abandoned", held.delivery, error="the worker stops")
        LOG.info("stopped %s", self.label)

    # the database

    def _own_pool(self, dsn: str) -> ConnectionPool[psycopg.Connection[Any]]:
        return ConnectionPool(
            self._conninfo(dsn),
            min_size=1,
            max_size=6,
            open=False,
            timeout=10.0,
            name="synapsor-worker",
            # a transaction-mode pooler would lose prepared statements
            kwargs={"prepare_threshold": None, "autocommit": True},
        )

    def _conninfo(self, dsn: str) -> str:
        defaults = {
            "application_name": f"synapsor-pg {self.label}"[:63],
            "connect_timeout": "10",
            "keepalives_idle": "30",
            "keepalives_interval": "10",
            "keepalives_count": "3",
            "tcp_user_timeout": "30000",
        }
        return make_conninfo("", **{**defaults, **conninfo_to_dict(dsn)})

    @contextlib.contextmanager
    def _transaction(
        self, within: float | None = None, *, hears: bool = False
    ) -> Iterator[_Caller]:
        """Lend a client that fails when the database does not answer for so many seconds."""
        limit = self._answer_within if within is None else min(within, self._answer_within)
        with (
            self._pool.connection() as connection,
            self._patience.limited(connection, limit),
            self._hearing(connection),
        ):
            token = None if self._session_token is None else self._session_token()
            yield _Caller(connection, (self._statement_timeout, LOCK_TIMEOUT), token, hears=hears)

    @contextlib.contextmanager
    def _hearing(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        """Log a connection's warnings and notices; the pool, and how it is set, may not be ours."""
        connection.add_notice_handler(self._on_notice)
        is_autocommit = connection.autocommit
        try:
            if not is_autocommit:
                connection.autocommit = True
            yield
        finally:
            connection.remove_notice_handler(self._on_notice)
            if not is_autocommit and not connection.closed:
                connection.autocommit = False

    def _on_notice(self, notice: psycopg.errors.Diagnostic) -> None:
        said = " ".join(filter(None, [notice.message_primary, notice.message_hint]))
        now = time.monotonic()
        with self._wake:
            if self._said.get(said, 0.0) > now:
                return
            if len(self._said) >= BATCH_LIMIT:
                self._said.clear()
            self._said[said] = now + SAID_AGAIN
        is_warning = notice.severity_nonlocalized == "WARNING"
        LOG.log(logging.WARNING if is_warning else logging.INFO, "the database says: %s", said)

    def _await_database(self) -> None:
        """Wait for a first connection and say what it fails of, once per try."""
        failures = 0
        while not self._stop.is_set():
            try:
                psycopg.connect(self._dsn).close()
            except psycopg.OperationalError as error:
                failures += 1
                LOG.warning("cannot connect, trying again: %s", _first_line(error))
                self._stop.wait(random.uniform(0.5, 1.0) * min(10.0, 2**failures))  # noqa: S311
            else:
                return

    def _pause(self, failures: int, *, longest: float = 10.0) -> None:
        """Wait before another try, exponentially longer with full jitter; not after the end."""
        self._over.wait(random.uniform(0.05, min(longest, 0.2 * 2**failures)))  # noqa: S311

    # claiming

    def _notify(self, queue_name: str | None = None) -> None:
        with self._wake:
            for line in self._lines:
                if queue_name in (None, line.queue.name) and line.purpose == "deliver":
                    line.look_at = 0.0
            self._wake.notify_all()

    def _claim_loop(self, *, until_idle: bool) -> None:
        failures = 0
        ever = False
        while not self._stop.is_set():
            line = self._next_line(until_idle=until_idle)
            if line is None:
                return
            name = line.queue.name
            try:
                claimed = self._claim(line)
            except TRANSIENT as error:
                failures += 1
                LOG.warning("cannot claim from %s: %s", name, _first_line(error))
                self._observers.tell("database_failed", "claim", error)
                self._pool.drain()  # the others may be dead too, and a look at each could hang
                self._stop.wait(random.uniform(0.05, min(10.0, 0.2 * 2**failures)))  # noqa: S311
            except (SynapsorError, psycopg.Error) as error:
                if not ever:
                    raise  # a worker that may not claim at all should say so and exit
                failures += 1
                self._observers.tell("database_failed", "claim", error)
                LOG.exception("the database refuses a claim from %s", name)
                self._stop.wait(random.uniform(1.0, 10.0))  # noqa: S311
            else:
                ever = True
                failures = 0
                with self._wake:
                    line.served += max(claimed, 1) / line.queue.weight
                if 0 < claimed < self._batch:
                    # that nothing is left to claim may be learnt when what came has begun
                    self._waiting.await_beginnings(BEGINNING)
                if not claimed:  # only now does the database know that this queue is to be woken
                    self._sleep(line)

    def _next_line(self, *, until_idle: bool) -> _Line | None:
        """Wait for a free thread and a line to look at; return the due one served least."""
        with self._wake:
            while not self._stop.is_set():
                now = time.monotonic()
                due = [line for line in self._lines if line.look_at <= now]
                if not self._has_room():
                    self._wake.wait()
                elif due:
                    line = min(due, key=lambda each: (each.served, each.look_at))
                    # who slept has no credit from that time, or it would shut out the others
                    least = line.served
                    for each in due:
                        each.served -= least
                    # moves behind the others, and a wake-up during the claim makes it due again
                    line.look_at = now
                    return line
                elif until_idle and not self._held:
                    return None
                else:
                    self._wake.wait(min(line.look_at for line in self._lines) - now)
        return None

    def _has_room(self) -> bool:
        """Whether to claim: a thread is about to be free, and outcomes are heard."""
        if len(self._held) >= self._concurrency + self._batch + BATCH_LIMIT:
            return False
        if self._unanswered < self._concurrency:
            return True
        if self._pace is None or self._unanswered >= self._concurrency + self._batch:
            return False
        return self._unanswered * self._pace < AHEAD * self._concurrency

    def _sleep(self, line: _Line) -> None:
        """Nothing more is due in a line: look again at the next poll, unless woken meanwhile."""
        with self._wake:
            if line.look_at != 0.0:
                # All idle queues together are looked at less than once a poll, so that keeping
                # house and reconciling fit in too; more rarely while LISTEN tells of what comes.
                poll = self._poll * len(self.queues) * (2 if self._listening else 1.75)
                if line.purpose == "reconcile":
                    poll = (self._reconcile or 0.0) * len(self.queues)
                line.look_at = time.monotonic() + poll * random.uniform(1.0, 1.3)  # noqa: S311

    def _claim(self, line: _Line) -> int:
        name = line.queue.name
        at_claim = line.queue.begin == "claim" and line.purpose == "deliver"
        self._checkpoint("claiming")
        with self._transaction(hears=True) as client:
            claims = client.claim_external_actions(
                name,
                max_actions=self._batch,
                lease=self._lease,
                worker_label=self.label,
                purpose=line.purpose,
                begin=at_claim,
            )
        self._reached_at = time.monotonic()
        self._observers.tell("claimed", name, claims)
        if not claims:
            return 0
        self._checkpoint("claimed")
        held = self._hold(claims, client.clock)
        for each in held:
            self._log(logging.INFO, "claimed", each.delivery)
            if at_claim:
                self._has_begun(each)
        self._waiting.put(held)
        return len(claims)

    def _hold(self, claims: list[Claim], clock: _Clock) -> list[_Held]:
        now = time.monotonic()
        taken = []
        for claim in claims:
            deadline = clock.deadline(claim.lease_expires_at)
            held = _Held(Delivery(claim, self._begin, deadline), 0.0, 0.0)
            held.renewed(deadline, now=now)
            taken.append(held)
        with self._wake:
            for held in taken:
                claim = held.delivery.claim
                self._held[claim.action_id, claim.claim_token] = held
            self._unanswered += len(taken)
            self._claims += 1
            if min(held.renew_at for held in taken) < now + LONGEST_NAP:
                self._tick.notify_all()
        return taken

    def _nap(self, claims: int, until: float) -> None:
        """Sleep, at most a second; not if claims were made since ``claims``, nor after the end."""
        with self._tick:
            if self._claims == claims and not self._over.is_set():
                self._tick.wait(min(max(until - time.monotonic(), 0.01), LONGEST_NAP))

    def _let_go(self, *gone: _Held) -> None:
        with self._wake:
            for held in gone:
                claim = held.delivery.claim
                if self._held.pop((claim.action_id, claim.claim_token), None) and not held.answered:
                    self._unanswered -= 1
            self._wake.notify_all()

    # handling

    def _handle_loop(self) -> None:
        while (held := self._waiting.take(self._begin_group)) is not None:
            try:
                self._handle(held)
            except Exception:
                # a defect of ours: say nothing about the outcome, the lease runs out
                LOG.exception("cannot handle %s", held.delivery.action_id)
                self._let_go(held)
            with self._wake:
                if held.abandoned:
                    self._abandoned -= 1
                    self._wake.notify_all()
                    return  # another thread took this one's place

    def _begins(self, held: _Held) -> bool:
        """Whether the worker is to begin this delivery, rather than its handler or nobody."""
        claim = held.delivery.claim
        registration = self._registry.get(claim.provider, claim.operation)
        return (
            registration is not None
            and registration.begin == "auto"
            and claim.purpose == "deliver"
            and not self._stop.is_set()
            and not held.delivery.is_cancelled
        )

    def _handle(self, held: _Held) -> None:
        delivery = held.delivery
        claim = delivery.claim
        if self._stop.is_set() and not delivery.begun:
            self._release(held, because="the worker stops")
            return
        if delivery.is_cancelled:
            self._let_go(held)
            return
        registration = self._registry.get(claim.provider, claim.operation)
        if registration is None:
            LOG.error("no handler for %s/%s", claim.provider, claim.operation)
            self._release(held, because="no handler", delay=timedelta(seconds=60))
            return
        timeout = self._timeouts.get(f"{claim.provider}/{claim.operation}", registration.timeout)
        held.start(timeout)
        try:
            outcome = self._call(registration, held)
        except ClaimLostError as error:
            self._log(logging.WARNING, "lost", delivery, error=str(error))
            self._let_go(held)
            return
        except ApprovalStaleError as error:
            # begin_delivery refused to send another request under the same key
            outcome = handlers.unknown(error.code, error.message, park=True)
        except BaseException as error:
            # its message is logged with the outcome; a trace may show more than a log should
            LOG.debug("handler of %s raised", delivery.action_id, exc_info=error)
            outcome = handlers.classify(error, delivery)
        seconds = self._answered(held)
        self._observers.tell("answered", delivery, outcome, seconds)
        self._checkpoint("answered")
        if delivery.purpose == "reconcile":
            self._settle(held, outcome)
        else:
            self._report(held, outcome)

    def _answered(self, held: _Held) -> float:
        """Note that a handler has answered; return how many seconds it took."""
        claim = held.delivery.claim
        with self._wake:
            seconds = time.monotonic() - (held.started_at or 0.0)
            self._pace = seconds if self._pace is None else self._pace * 0.9 + seconds * 0.1
            held.answered = True
            if (claim.action_id, claim.claim_token) in self._held:
                self._unanswered -= 1
                if self._has_room():
                    self._wake.notify_all()
        return seconds

    def _call(self, registration: Registration, held: _Held) -> Outcome:
        delivery = held.delivery
        if held.refused is not None:
            raise held.refused
        if self._begins(held):
            delivery.begin()  # done with its group, but for a defect
        with self._observers.handling(delivery):
            answer: Any = registration.function(delivery)
            if inspect.iscoroutine(answer):
                answer = self._async_handlers.wait(answer, delivery)
        if isinstance(answer, Outcome):
            return answer
        return handlers.unknown(
            "InvalidOutcome",
            f"the handler returned {type(answer).__name__} instead of an Outcome",
            park=True,
        )

    def _settle(self, held: _Held, outcome: Outcome) -> None:
        """Say what became of an unknown action; without an answer it stays unknown."""
        claim = held.delivery.claim
        if outcome.status == "unknown":
            self._release(
                held,
                because=outcome.error_code or "unknown",
                delay=outcome.retry_after,
                error_code=storable(outcome.error_code),
                error_message=storable(outcome.error_message),
            )
            return
        status: str = outcome.status
        if status == "failed" and outcome.retryable is not False:
            status = "queued"  # known not done, and to be done
        evidence = {
            "response": outcome.response,
            "provider_request_id": outcome.provider_request_id,
            "error_code": outcome.error_code,
        }
        failures = 0
        while not self._over.is_set():
            try:
                with self._transaction() as client:
                    client.settle_external_action(
                        claim.action_id,
                        status,
                        evidence=storable(
                            {key: said for key, said in evidence.items() if said is not None}
                        ),
                        note=storable(outcome.error_message),
                        claim_token=claim.claim_token,
                    )
            except TRANSIENT as error:
                failures += 1
                LOG.warning("cannot settle: %s", _first_line(error))
                self._observers.tell("database_failed", "settle", error)
                self._pause(failures, longest=2.0)
            except (SynapsorError, psycopg.Error) as error:
                self._log(logging.ERROR, "not settled", held.delivery, error=_first_line(error))
                break
            else:
                self._log(logging.INFO, "settled", held.delivery, status=status)
                self._follower.put(None)
                if status == "queued":
                    self._notify(claim.queue)
                break
        self._let_go(held)

    def _report(self, held: _Held, outcome: Outcome) -> None:
        claim = held.delivery.claim
        confirmation = Confirmation(
            action_id=claim.action_id,
            claim_token=claim.claim_token,
            status=outcome.status,
            response=storable(outcome.response),
            provider_request_id=storable(outcome.provider_request_id),
            error_code=storable(outcome.error_code),
            error_message=storable(outcome.error_message),
            retryable=outcome.retryable,
            retry_after=outcome.retry_after,
        )
        if outcome.status == "unknown" and not outcome.park:
            # the database knows whether the contract allows another try with the same key; what
            # the provider said goes after it: no longer a verdict, but kept as evidence
            has_facts = outcome.provider_request_id is not None or outcome.response is not None
            self._release(
                held,
                because=outcome.error_code or "unknown",
                delay=outcome.retry_after or _back_off(claim.attempt),
                error_code=confirmation.error_code,
                error_message=confirmation.error_message,
                let_go=not has_facts,
            )
            if not has_facts:
                return
            held.evidence_only = True
        self._confirmer.put((held, confirmation))

    # beginning

    def _begin(self, delivery: Delivery, request_digest: str | None) -> None:
        """Record the beginning; wait for the database's word. Called by ``Delivery.begin``."""
        claim = delivery.claim
        with self._wake:
            held = self._held.get((claim.action_id, claim.claim_token))
        if held is None or delivery.is_cancelled or self._over.is_set():
            raise ClaimLostError(delivery.cancelled_because or "the claim was given back")
        self._checkpoint("before_begin")
        done = threading.Event()
        beginning = _Beginning(held, _start(claim, request_digest), done)
        self._beginner.put(beginning)
        done.wait()
        if beginning.error is not None:
            raise beginning.error
        if not delivery.begun:
            self._has_begun(held)

    def _begin_group(self, group: list[_Held]) -> None:
        """Begin those deliveries whose handlers do not begin them."""
        beginnings = []
        for held in group:
            if self._begins(held):
                self._checkpoint("before_begin")
                beginnings.append(_Beginning(held, _start(held.delivery.claim)))
        self._begin_batch(beginnings)
        for beginning in beginnings:
            beginning.held.refused = beginning.error
            if beginning.error is None:
                self._has_begun(beginning.held)

    def _has_begun(self, held: _Held) -> None:
        held.delivery.begun = True
        self._log(logging.DEBUG, "begun", held.delivery)
        self._observers.tell("began", held.delivery)
        self._checkpoint("begun")

    def _begin_batch(self, beginnings: list[_Beginning]) -> None:
        try:
            pending = beginnings
            failures = 0
            while pending := [each for each in pending if not self._given_up(each)]:
                try:
                    self._begin_together(pending)
                except TRANSIENT as error:
                    failures += 1
                    LOG.warning("cannot begin: %s", _first_line(error))
                    self._observers.tell("database_failed", "begin", error)
                    self._pause(failures, longest=1.0)
                else:
                    return
        except Exception as error:
            for each in beginnings:
                each.error = each.error or error
            raise
        finally:
            for each in beginnings:
                if each.done is not None:
                    each.done.set()

    def _given_up(self, beginning: _Beginning) -> bool:
        """Whether it is too late to begin: nothing is sent, so nothing is lost."""
        held = beginning.held
        if time.monotonic() < held.lost_at() and not self._over.is_set():
            return False
        beginning.error = ClaimLostError("the lease ended before the delivery could begin")
        return True

    def _begin_together(self, beginnings: list[_Beginning]) -> None:
        begun: set[str] = set()
        if len(beginnings) > 1:
            with (
                contextlib.suppress(SynapsorError, database_errors.LockNotAvailable),
                self._transaction() as client,
            ):
                rows = client.begin_deliveries([each.start for each in beginnings])
                begun = {row.action_id for row in rows}
        for each in beginnings:
            if each.start.action_id in begun:
                continue
            try:
                with self._transaction() as client:
                    client.begin_delivery(
                        each.start.action_id,
                        each.start.claim_token,
                        request_digest=each.start.request_digest,
                    )
            except ApprovalStaleError as error:
                each.error = error
            except database_errors.LockNotAvailable:
                each.error = ClaimLostError("somebody is about to change the action")
            except SynapsorError as error:
                each.error = ClaimLostError(str(error))

    # confirming

    def _confirm_batch(self, items: list[tuple[_Held, Confirmation]]) -> None:
        """Say it until the database has heard it: repeating a confirmation is harmless."""
        failures = 0
        while True:
            try:
                self._confirm(items)
            except database_errors.LockNotAvailable:
                self._confirm_later(items)
                return
            except TRANSIENT as error:
                failures += 1
                LOG.warning("cannot confirm %d outcomes: %s", len(items), _first_line(error))
                self._observers.tell("database_failed", "confirm", error)
                if self._over.is_set():
                    return
                self._pool.drain()  # the others may be dead too, and a look at each could hang
                self._pause(failures, longest=2.0)
            except (SynapsorError, psycopg.Error) as error:
                items = self._not_confirmed(items, error)
                if not items:
                    return
            else:
                return

    def _confirm_later(self, items: list[tuple[_Held, Confirmation]]) -> None:
        """Leave what somebody holds a lock on until the others are confirmed."""
        if self._over.is_set():
            return
        if len(items) > 1:
            for item in items:
                self._confirm_batch([item])
        else:
            self._pause(0)
            self._confirmer.put(items[0])  # behind the others, which can be confirmed

    def _not_confirmed(
        self, items: list[tuple[_Held, Confirmation]], error: Exception
    ) -> list[tuple[_Held, Confirmation]]:
        """Return what to say instead of what the database will not hear."""
        if len(items) > 1:
            for item in items:
                self._confirm_batch([item])
            return []
        held, confirmation = items[0]
        self._log(logging.ERROR, "unconfirmed", held.delivery, error=str(error))
        if confirmation.response is None:
            self._let_go(held)
            return []
        # the outcome matters more than a response that the database cannot store
        return [(held, replace(confirmation, response=None))]

    def _confirm(self, items: list[tuple[_Held, Confirmation]]) -> None:
        with self._transaction() as client:
            results = client.confirm_external_actions([each for _held, each in items])
        self._checkpoint("confirmed")
        for (held, confirmation), result in zip(items, results, strict=True):
            self._observers.tell("confirmed", held.delivery, confirmation, result)
            if held.evidence_only:
                pass
            elif result.accepted:
                self._log(
                    logging.INFO if confirmation.status == "succeeded" else logging.WARNING,
                    confirmation.status,
                    held.delivery,
                    error=confirmation.error_code,
                    status=result.status,
                    seconds=None if held.started_at is None else time.monotonic() - held.started_at,
                )
            else:
                self._log(
                    logging.ERROR,
                    f"confirmation of {confirmation.status} refused",
                    held.delivery,
                    error=result.error_code,
                    status=result.status,
                )
            if confirmation.status == "failed":
                self._notify(held.delivery.claim.queue)  # another try may be due at once
        self._let_go(*(held for held, _confirmation in items))
        self._follower.put(None)

    def _run_due_steps(self, _outcomes: list[None]) -> None:
        """Go on with what the outcomes have made due, so that nobody waits for housekeeping."""
        try:
            with self._transaction() as client:
                done = client.run_due_steps()
        except (SynapsorError, psycopg.Error) as error:
            # the outcomes are recorded; housekeeping tries again
            LOG.warning("run_due_steps failed: %s", _first_line(error))
        else:
            if not done:
                self._over.wait(NOTHING_DUE)

    # giving back

    def _release_waiting(self) -> None:
        for held in self._waiting.clear():
            self._release(held, because="the worker stops")

    def _release(
        self,
        held: _Held,
        *,
        because: str,
        delay: timedelta | None = None,
        error_code: str | None = None,
        error_message: str | None = None,
        let_go: bool = True,
    ) -> None:
        """Give a claim back; without the database the end of its lease does the same."""
        delivery = held.delivery
        failures = 0
        error: Exception | None = None
        while not self._over.is_set():
            try:
                with self._transaction() as client:
                    action = client.release_claim(
                        delivery.action_id,
                        delivery.claim.claim_token,
                        delay=delay,
                        error_code=error_code,
                        error_message=error_message,
                    )
            except TRANSIENT as problem:
                error = problem
                failures += 1
                if time.monotonic() >= min(delivery.deadline, self._give_up_at):
                    break
                self._pause(failures, longest=2.0)
            except (SynapsorError, psycopg.Error) as problem:
                error = problem
                break
            else:
                error = None
                level = logging.WARNING if delivery.begun else logging.INFO
                self._log(level, "released", delivery, error=because, status=action.status)
                self._observers.tell("released", delivery, because)
                break
        if error is not None:
            self._log(logging.WARNING, "not released", delivery, error=_first_line(error))
        if let_go:
            self._let_go(held)

    # renewing and watching

    def _renew_loop(self) -> None:
        while not self._over.is_set():
            now = time.monotonic()
            with self._wake:
                claims = self._claims
                renewable = [each for each in self._held.values() if self._renewable(each, now)]
            for held in renewable:
                if held.renew_at <= time.monotonic():
                    self._renew(held)
            self._nap(claims, min((held.renew_at for held in renewable), default=now + 1.0))

    @staticmethod
    def _renewable(held: _Held, now: float) -> bool:
        timed_out = held.timeout_at is not None and held.timeout_at <= now and not held.answered
        return not held.delivery.is_cancelled and not timed_out

    def _renew(self, held: _Held) -> None:
        delivery = held.delivery
        try:
            with self._transaction(max(1.0, delivery.remaining() / 3)) as client:
                action = client.extend_claim(
                    delivery.action_id, delivery.claim.claim_token, lease=self._lease
                )
        except TRANSIENT as error:
            LOG.warning("cannot renew %s: %s", delivery.action_id, _first_line(error))
            held.renew_at = time.monotonic() + min(1.0, delivery.remaining() / 10)
        except (SynapsorError, psycopg.Error) as error:
            claim = delivery.claim
            with self._wake:
                current = (claim.action_id, claim.claim_token) in self._held
            held.renew_at = float("inf")
            if current and not held.answered:
                self._cancel(held, _first_line(error))
        else:
            if action.lease_expires_at is not None:
                held.renewed(client.clock.deadline(action.lease_expires_at), now=time.monotonic())

    def _watch_loop(self) -> None:
        """Cancel what is about to lose its lease or has used up its time. No I/O in here."""
        while not self._over.is_set():
            now = time.monotonic()
            if ended := self._patience.end_overdue():
                LOG.warning("ended %d connections on which the database did not answer", ended)
            with self._wake:
                claims = self._claims
                held_now = list(self._held.values())
            next_at = now + 0.5  # a time-out begins with its handler, not with the claim
            for held in held_now:
                if held.delivery.is_cancelled:
                    if now >= held.delivery.deadline + ABANDON:
                        self._abandon(held)
                    continue
                if now >= held.lost_at():
                    self._cancel(held, "the lease could not be renewed")
                elif held.timeout_at is not None and not held.answered and now >= held.timeout_at:
                    self._cancel(held, "the handler's time is over")
                else:
                    next_at = min(next_at, held.lost_at(), held.timeout_at or next_at)
            self._nap(claims, next_at)

    def _abandon(self, held: _Held) -> None:
        """Give the place of a handler that does not come back to another thread.

        The database has its action back since the lease is over; what the handler says, should it
        ever return, is told as evidence. As many may hang as may work: then nothing is claimed.
        """
        claim = held.delivery.claim
        with self._wake:
            key = (claim.action_id, claim.claim_token)
            hangs = held.started_at is not None and not held.answered and key in self._held
            if not hangs or self._abandoned >= self._concurrency or self._stop.is_set():
                return
            held.abandoned = True
            self._abandoned += 1
            self._unanswered -= 1
            del self._held[key]
            self._wake.notify_all()
        self._start(self._handle_loop)
        self._log(logging.ERROR, "abandoned", held.delivery, error="its handler does not return")

    def _cancel(self, held: _Held, because: str) -> None:
        delivery = held.delivery
        if not delivery.is_cancelled:
            delivery.cancelled_because = because
            delivery.cancelled.set()
            self._log(logging.WARNING, "cancelled", delivery, error=because)
            self._observers.tell("cancelled", delivery, because)

    # keeping house and listening

    def _housekeeping_loop(self) -> None:
        chores: dict[str, Callable[[Client], object]] = {
            "worker_heartbeat": lambda client: client.worker_heartbeat(self.label, self.queues),
            "expire_claims": lambda client: client.expire_claims(),
            "expire_approvals": lambda client: client.expire_approvals(),
            "run_due_steps": lambda client: client.run_due_steps(),
        }
        while not self._over.is_set():
            for name, chore in chores.items():
                try:
                    with self._transaction() as client:
                        done = chore(client)
                except (SynapsorError, psycopg.Error) as error:
                    if self._over.is_set():
                        return
                    LOG.warning("%s failed: %s", name, _first_line(error))
                else:
                    if isinstance(done, int) and done:
                        LOG.info("%s: %d", name, done)
                        self._notify()
            self._over.wait((self._housekeeping or 0.0) * random.uniform(0.75, 1.25))  # noqa: S311

    def _listen_loop(self) -> None:
        failures = 0
        while not self._over.is_set():
            try:
                with psycopg.connect(self._listen_dsn, autocommit=True) as connection:
                    self._hear(connection)
            except psycopg.Error as error:
                if not self._over.is_set():
                    failures = 1 if self._listening else failures + 1
                    LOG.warning("cannot listen: %s", _first_line(error))
                    self._observers.tell("database_failed", "listen", error)
                    self._heard(up=False)
                    self._pause(failures)
            else:
                if not self._over.is_set():
                    was_heard = self._listening
                    self._heard(up=False)
                    LOG.warning(
                        "the LISTEN connection hears nothing; behind a pooler in transaction mode,"
                        " name the server itself in listen_dsn. The poll goes on"
                    )
                    self._over.wait(0.0 if was_heard else DEAF)

    def _heard(self, *, up: bool) -> None:
        if self._listening != up:
            self._listening = up
            self._observers.tell("listening", up)

    def _hear(self, connection: psycopg.Connection[Any]) -> None:
        """Listen until it is over, or until a probe is not heard."""
        probe = f"{CHANNEL}_{secrets.token_hex(8)}"
        with self._patience.limited(connection, self._answer_within):
            connection.execute(f"listen {CHANNEL}")
            connection.execute(f"listen {probe}")
        probe_at, heard_by = 0.0, float("inf")
        while not self._over.is_set():
            now = time.monotonic()
            if now >= heard_by:
                return
            if now >= probe_at:
                # over another connection: a pooler could answer on this one by itself
                with (
                    self._pool.connection() as other,
                    self._patience.limited(other, self._answer_within),
                ):
                    other.execute("select pg_notify(%s, '')", (probe,))
                probe_at, heard_by = now + PROBE, time.monotonic() + PROBE_HEARD
            for notification in connection.notifies(timeout=0.5, stop_after=1):
                if notification.channel != probe:
                    self._notify(notification.payload or None)
                    continue
                heard_by = float("inf")
                if not self._listening:
                    self._heard(up=True)
                    self._notify()  # whatever was said while nobody listened

    # logging: one line per transition, no arguments, no responses, no secrets

    def _log(
        self,
        level: int,
        event: str,
        delivery: Delivery,
        *,
        error: str | None = None,
        status: str | None = None,
        seconds: float | None = None,
    ) -> None:
        if not LOG.isEnabledFor(level):
            return
        claim = delivery.claim
        words = [event, claim.action_id, claim.action, f"{claim.provider}/{claim.operation}"]
        words.append(f"attempt={claim.attempt}")
        if status is not None and status != event:
            words.append(f"status={status}")
        if seconds is not None:
            words.append(f"seconds={seconds:.3f}")
        if error:
            words.append(f"because={' '.join(error.split())[:300]}")
        LOG.log(
            level,
            " ".join(words),
            extra={
                "event": event,
                "action_id": claim.action_id,
                "claim_token": claim.claim_token,
                "tenant_id": claim.tenant_id,
                "attempt": claim.attempt,
                "action_status": status,
                "error_code": error,
            },
        )


class _AsyncHandlers:
    """The event loop of handlers that are coroutines, in a thread that starts with the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def wait(self, answer: Coroutine[Any, Any, Outcome], delivery: Delivery) -> Outcome:
        """Run a handler's coroutine; it is cancelled when its delivery is."""
        future = asyncio.run_coroutine_threadsafe(answer, self._running())
        while True:
            try:
                return future.result(timeout=0.1)
            except concurrent.futures.CancelledError:
                # it was told to stop and did: whether it had sent anything, nobody knows
                raise UnknownOutcomeError(
                    "cancelled", delivery.cancelled_because or "the handler was cancelled"
                ) from None
            except TimeoutError:
                if future.done():
                    raise  # the handler's own
                if delivery.is_cancelled:
                    future.cancel()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._serve, args=(self._loop,), name="synapsor-async", daemon=True
                )
                self._thread.start()
            return self._loop

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        """Run the loop until it is stopped; what still runs then is cancelled."""
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    def close(self) -> None:
        """End the loop."""
        with self._lock:
            if self._loop is not None and self._thread is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join(1.0)
                self._loop = self._thread = None


def _start(claim: Claim, request_digest: str | None = None) -> DeliveryStart:
    return DeliveryStart(
        action_id=claim.action_id, claim_token=claim.claim_token, request_digest=request_digest
    )


def _lines(queues: Sequence[str | Queue], *, reconcile: bool) -> list[_Line]:
    """Return what to claim: of every queue, deliveries and, where asked, reconciliations."""
    named = {
        each.name: each
        for each in (Queue(each) if isinstance(each, str) else each for each in queues)
    }
    purposes = ("deliver", "reconcile") if reconcile else ("deliver",)
    return [_Line(each, purpose) for purpose in purposes for each in named.values()]


def _back_off(attempt: int) -> timedelta:
    """Return when to try again after an unknown outcome: 1 s, 2 s, … 60 s, with jitter."""
    return timedelta(seconds=min(60.0, 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0))  # noqa: S311


def storable(value: Any) -> Any:
    """Return a value that jsonb can hold: no NUL, no lone surrogate, no NaN, nothing but JSON."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if json.dumps(value) not in {"NaN", "Infinity", "-Infinity"} else str(value)
    if isinstance(value, dict):
        return {str(storable(str(key))): storable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable(each) for each in value]
    return storable(str(value))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
