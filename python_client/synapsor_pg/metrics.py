"""Prometheus metrics of a worker and of the queues it serves (extra ``metrics``).

``WorkerMetrics`` is an observer: it counts what its worker does. ``DatabaseMetrics`` is a collector
that asks the database when somebody looks, at most every few seconds; it works without a worker
too. No label holds a tenant, a principal or an id: a metric's size does not grow with the data.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter as Tally
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import psycopg
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from psycopg.rows import dict_row

from synapsor_pg.observer import WorkerObserver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from synapsor_pg.handlers import Delivery, Outcome
    from synapsor_pg.models import Claim, Confirmation, ConfirmationResult

LOG = logging.getLogger("synapsor_pg.metrics")

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BREAKER_STATES = ("CLOSED", "OPEN", "HALF_OPEN", "DISABLED", "FORCED_OPEN", "METRICS_ONLY")

OF = ("provider", "operation")


class WorkerMetrics(WorkerObserver):
    """Counts what a worker does."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Make the metrics in that registry."""
        self._claimed = Counter(
            "synapsor_claimed", "Actions claimed.", ("queue", "purpose"), registry=registry
        )
        self._begun = Counter("synapsor_begun", "Deliveries begun.", OF, registry=registry)
        self._answered = Counter(
            "synapsor_answered",
            "What handlers answered: succeeded, failed or unknown.",
            (*OF, "status"),
            registry=registry,
        )
        self._confirmed = Counter(
            "synapsor_confirmed",
            "Outcomes the database has heard, by the action's status after it; refused ones apart.",
            (*OF, "status", "accepted"),
            registry=registry,
        )
        self._released = Counter("synapsor_released", "Claims given back.", OF, registry=registry)
        self._lost = Counter(
            "synapsor_handlers_cancelled",
            "Handlers told to stop: a lease about to end, or their time over.",
            OF,
            registry=registry,
        )
        self._failed = Counter(
            "synapsor_database_errors",
            "Calls of the database that failed, by what was done.",
            ("doing",),
            registry=registry,
        )
        self._handler_seconds = Histogram(
            "synapsor_handler_seconds",
            "From the handler's start to its answer.",
            OF,
            buckets=SECONDS,
            registry=registry,
        )
        self._confirm_seconds = Histogram(
            "synapsor_confirm_seconds",
            "From the handler's answer to the database's word.",
            OF,
            buckets=SECONDS,
            registry=registry,
        )
        self._listening = Gauge("synapsor_listening", "Whether LISTEN works.", registry=registry)
        # by the delivery itself: one that is never confirmed takes its entry along
        self._answered_at: WeakKeyDictionary[Delivery, float] = WeakKeyDictionary()

    def claimed(self, queue: str, claims: Sequence[Claim]) -> None:
        """Count the claim's actions."""
        for purpose, number in Tally(claim.purpose for claim in claims).items():
            self._claimed.labels(queue, purpose).inc(number)

    def began(self, delivery: Delivery) -> None:
        """Count a beginning."""
        self._begun.labels(*_of(delivery)).inc()

    def answered(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:
        """Count an answer and its time."""
        self._answered.labels(*_of(delivery), outcome.status).inc()
        self._handler_seconds.labels(*_of(delivery)).observe(seconds)
        if delivery.purpose == "deliver" and outcome.status != "unknown":
            self._answered_at[delivery] = time.monotonic()

    def confirmed(
        self,
        delivery: Delivery,
        confirmation: Confirmation,  # noqa: ARG002
        result: ConfirmationResult,
    ) -> None:
        """Count an outcome that the database has heard."""
        accepted = "yes" if result.accepted else "no"
        self._confirmed.labels(*_of(delivery), result.status or "none", accepted).inc()
        answered_at = self._answered_at.pop(delivery, None)
        if answered_at is not None:
            self._confirm_seconds.labels(*_of(delivery)).observe(time.monotonic() - answered_at)

    def released(self, delivery: Delivery, because: str) -> None:  # noqa: ARG002
        """Count a claim given back."""
        self._released.labels(*_of(delivery)).inc()

    def cancelled(self, delivery: Delivery, because: str) -> None:  # noqa: ARG002
        """Count a handler told to stop."""
        self._lost.labels(*_of(delivery)).inc()

    def database_failed(self, doing: str, error: Exception) -> None:  # noqa: ARG002
        """Count a failure."""
        self._failed.labels(doing).inc()

    def listening(self, up: bool) -> None:
        """Note whether LISTEN works."""
        self._listening.set(up)


def _of(delivery: Delivery) -> tuple[str, str]:
    return delivery.claim.provider, delivery.claim.operation


QUEUES = """
select queue, sum(proposed) as proposed, sum(queued) as queued, sum(due) as due,
    sum(claimed) as claimed, sum(unknown) as unknown,
    max(extract(epoch from clock_timestamp() - oldest_due_at)) as oldest_due_seconds
from synapsor.synapsor_queue_stats
group by queue
"""
PROVIDERS = """
select provider, account, breaker_state, tokens, in_flight, failure_rate
from synapsor.synapsor_provider_health
where tenant_id is null
"""
# Causes name actions and people; a label must not.
STUCK = "select status, count(*) as actions from synapsor.synapsor_stuck_actions group by status"
WORKERS = """
select count(*) filter (where last_seen_at > clock_timestamp() - interval '1 minute') as alive
from synapsor.synapsor_workers
"""


class DatabaseMetrics(Collector):
    """Asks the database how its queues and providers are, when somebody looks.

    ``connect`` opens a connection whose login may read the views (a worker's may). An answer is
    kept for ``keep`` seconds; a database that does not answer within ``timeout`` seconds leaves
    only ``synapsor_database_up`` 0, and what it last said is not repeated as if it were true.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[psycopg.Connection[Any]]],
        *,
        keep: float = 5.0,
        timeout: float = 3.0,
    ) -> None:
        """Ask through connections of that kind."""
        self._connect = connect
        self._keep = keep
        self._timeout = timeout
        self._lock = threading.Lock()
        self._kept: list[GaugeMetricFamily] = []
        self._kept_until = 0.0

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return nothing: registering must not ask the database."""
        return []

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics of this moment, or of a moment ago."""
        with self._lock:  # of several who look at once, one asks
            if time.monotonic() >= self._kept_until:
                self._kept = self._ask()
                self._kept_until = time.monotonic() + self._keep
            return self._kept

    def _ask(self) -> list[GaugeMetricFamily]:
        up = GaugeMetricFamily("synapsor_database_up", "Whether the database answered.")
        try:
            with (
                self._connect() as connection,
                connection.transaction(),
                connection.cursor(row_factory=dict_row) as cursor,
            ):
                limit = f"{int(self._timeout * 1000)}ms"
                cursor.execute("select set_config('statement_timeout', %s, true)", (limit,))
                found = [
                    *self._queues(cursor.execute(QUEUES).fetchall()),
                    *self._providers(cursor.execute(PROVIDERS).fetchall()),
                    *self._others(
                        cursor.execute(STUCK).fetchall(), cursor.execute(WORKERS).fetchall()
                    ),
                ]
        except (psycopg.Error, OSError, TimeoutError) as error:
            LOG.warning("no metrics of the database: %s", type(error).__name__)
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        return [up, *found]

    @staticmethod
    def _queues(rows: list[dict[str, Any]]) -> Iterable[GaugeMetricFamily]:
        actions = GaugeMetricFamily(
            "synapsor_queue_actions",
            "Open actions of a queue; due ones are among the queued.",
            labels=("queue", "state"),
        )
        oldest = GaugeMetricFamily(
            "synapsor_queue_oldest_due_seconds",
            "How long the oldest due action has been due.",
            labels=("queue",),
        )
        for row in rows:
            for state in ("proposed", "queued", "due", "claimed", "unknown"):
                actions.add_metric([row["queue"], state], float(row[state] or 0))
            oldest.add_metric([row["queue"]], float(row["oldest_due_seconds"] or 0))
        return [actions, oldest]

    @staticmethod
    def _providers(rows: list[dict[str, Any]]) -> Iterable[GaugeMetricFamily]:
        of = ("provider", "account")
        state = GaugeMetricFamily(
            "synapsor_breaker_state",
            "1 for the state a circuit breaker is in.",
            labels=(*of, "state"),
        )
        tokens = GaugeMetricFamily(
            "synapsor_provider_tokens", "What the rate limit has left.", labels=of
        )
        flight = GaugeMetricFamily(
            "synapsor_provider_in_flight", "Deliveries that hold a slot.", labels=of
        )
        for row in rows:
            key = [row["provider"], row["account"]]
            for each in BREAKER_STATES:
                state.add_metric([*key, each], float(row["breaker_state"] == each))
            if row["tokens"] is not None:
                tokens.add_metric(key, float(row["tokens"]))
            if row["in_flight"] is not None:
                flight.add_metric(key, float(row["in_flight"]))
        return [state, tokens, flight]

    @staticmethod
    def _others(
        stuck_rows: list[dict[str, Any]], worker_rows: list[dict[str, Any]]
    ) -> Iterable[GaugeMetricFamily]:
        stuck = GaugeMetricFamily(
            "synapsor_stuck_actions",
            "Actions that will not go on by themselves, by their status.",
            labels=("status",),
        )
        for row in stuck_rows:
            stuck.add_metric([row["status"]], float(row["actions"]))
        alive = GaugeMetricFamily(
            "synapsor_workers_alive", "Workers that have reported within the last minute."
        )
        for row in worker_rows:
            alive.add_metric([], float(row["alive"]))
        return [stuck, alive]


def of_worker(dsn: str) -> tuple[WorkerMetrics, Callable[[], tuple[str, bytes]]]:
    """Return a worker's observer, and what renders all metrics: content type and page."""
    registry = CollectorRegistry()
    observer = WorkerMetrics(registry)
    ProcessCollector(registry=registry)
    registry.register(
        DatabaseMetrics(
            lambda: psycopg.connect(dsn, connect_timeout=2, application_name="synapsor-pg metrics")
        )
    )
    return observer, lambda: (CONTENT_TYPE_LATEST, generate_latest(registry))
