"""What a worker shows of itself: metrics, health, traces and logs, and what it never shows."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from client.workshop import QUEUE, Workshop, wait_until
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import get_current_span
from prometheus_client.parser import text_string_to_metric_families
from synapsor_pg import (
    ClaimLostError,
    RejectedError,
    WorkerStatus,
    failed,
    logs,
    metrics,
    succeeded,
    unknown,
)
from synapsor_pg.endpoints import Endpoints, readiness
from synapsor_pg.tracing import WorkerTraces, origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synapsor_pg import Delivery, Outcome

SECRET = "hunter2-sk_live_0123"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def samples(page: bytes) -> dict[str, float]:
    """Return the page's samples by name and labels, as Prometheus reads them."""
    return {
        sample.name
        + "".join(f" {value}" for _name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def fetch(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_metrics_tell_what_was_done_and_what_waits(workshop: Workshop) -> None:
    answers = iter([succeeded(), failed("no", retryable=False), unknown("cut", park=True)])

    @workshop.registry.handler("crm", "contacts.update")
    def update(_delivery: Delivery) -> Outcome:
        return next(answers)

    done = workshop.propose(3)
    observer, page = metrics.of_worker(workshop.database("test_worker"))
    with workshop.working(observers=[observer], concurrency=1) as worker:
        assert workshop.wait_for(done) == ["failed", "succeeded", "unknown"]
        endpoints = Endpoints(("127.0.0.1", 0), worker.status, page)
        with endpoints.serving():
            status, text = fetch(endpoints.port, "/metrics")
            assert fetch(endpoints.port, "/healthz") == (200, b"ok\n")
            ready, told = fetch(endpoints.port, "/readyz")
            assert fetch(endpoints.port, "/etc/passwd")[0] == 404
    found = samples(text)
    of = "contacts.update crm"
    assert status == 200
    assert found[f"synapsor_claimed_total deliver {QUEUE}"] == 3
    assert found[f"synapsor_begun_total {of}"] == 3
    for answer in ("succeeded", "failed", "unknown"):
        assert found[f"synapsor_answered_total {of} {answer}"] == 1
        assert found[f"synapsor_confirmed_total yes {of} {answer}"] == 1
    assert found[f"synapsor_handler_seconds_count {of}"] == 3
    assert found[f"synapsor_confirm_seconds_count {of}"] == 2
    assert found["synapsor_database_up"] == 1
    assert found[f"synapsor_queue_actions {QUEUE} unknown"] == 1
    assert found[f"synapsor_queue_actions {QUEUE} queued"] == 0
    assert found["synapsor_stuck_actions unknown"] == 1
    assert found["synapsor_workers_alive"] == 1
    assert (ready, json.loads(told)["ready"]) == (200, True)


def test_a_breaker_is_told_by_its_state(workshop: Workshop) -> None:
    with workshop.superuser() as connection:
        connection.execute(
            "select synapsor.declare_provider(%s)",
            [
                json.dumps(
                    {
                        "provider": "crm",
                        "rate_limit": {"per_second": 5, "burst": 7},
                        "breaker": {"mode": "enforce"},
                    }
                )
            ],
        )
    workshop.propose()
    _observer, page = metrics.of_worker(workshop.database("test_worker"))
    found = samples(page()[1])
    assert found["synapsor_breaker_state default crm CLOSED"] == 1
    assert found["synapsor_breaker_state default crm OPEN"] == 0
    assert found["synapsor_provider_tokens default crm"] == 7


def test_a_database_that_is_gone_is_told_and_nothing_else_is(tmp_path: Any) -> None:
    _observer, page = metrics.of_worker(f"host={tmp_path} password={SECRET}")
    began = time.monotonic()
    text = page()[1]
    assert samples(text)["synapsor_database_up"] == 0
    assert not any(name.startswith("synapsor_queue") for name in samples(text))
    assert SECRET.encode() not in text
    assert time.monotonic() - began < 5


def test_a_scrape_asks_the_database_once_in_a_while() -> None:
    asked = 0

    @contextlib.contextmanager
    def connect() -> Iterator[psycopg.Connection[Any]]:
        nonlocal asked
        asked += 1
        raise psycopg.OperationalError
        yield

    collector = metrics.DatabaseMetrics(connect, keep=60.0)
    assert list(collector.describe()) == []
    for _ in range(3):
        assert len(list(collector.collect())) == 1
    assert asked == 1


@pytest.mark.parametrize(
    ("reached", "stopping", "code"),
    [
        (0.0, False, 200),
        (30.0, False, 200),
        (90.0, False, 503),
        (0.0, True, 503),
        (None, False, 503),
    ],
)
def test_ready_is_who_has_reached_the_database_and_goes_on(
    reached: float | None, stopping: bool, code: int
) -> None:
    status = WorkerStatus(
        label="w",
        queues=("q",),
        held=0,
        stopping=stopping,
        listening=True,
        reached_database_at=None if reached is None else time.monotonic() - reached,
    )
    assert readiness(status)[0] == code


def test_a_span_is_linked_to_where_the_intent_came_from(workshop: Workshop) -> None:
    with workshop.superuser() as connection:
        connection.execute(
            "select synapsor.bind_role('test_caller', %s)",
            [json.dumps({"tenant_id": "acme", "principal": "carl", "traceparent": TRACEPARENT})],
        )
    (action,) = workshop.propose()
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    current: list[int] = []

    @workshop.registry.handler("crm", "contacts.update")
    def update(_delivery: Delivery) -> Outcome:
        current.append(get_current_span().get_span_context().span_id)
        if len(current) == 1:
            raise ConnectionRefusedError(SECRET)
        return succeeded({"secret": SECRET})

    with workshop.working(observers=[WorkerTraces(provider)]):
        assert workshop.wait_for([action]) == ["succeeded"]
        wait_until(lambda: len(memory.get_finished_spans()) == 2)
    first, second = memory.get_finished_spans()
    assert [span.attributes["synapsor.attempt"] for span in (first, second)] == [1, 2]  # type: ignore[index]
    assert [span.attributes["synapsor.outcome"] for span in (first, second)] == [  # type: ignore[index]
        "failed",
        "succeeded",
    ]
    assert first.attributes["error.type"] == "ConnectionRefusedError"  # type: ignore[index]
    for span, seen in zip((first, second), current, strict=True):
        (link,) = span.links
        assert format(link.context.trace_id, "032x") == TRACEPARENT[3:35]
        assert span.context.span_id == seen, "the handler's own spans hang below it"
        assert span.name == "deliver crm.update_contact"
        assert SECRET not in span.to_json()


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        "nonsense",
        f"ff{TRACEPARENT[2:]}",
        TRACEPARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        TRACEPARENT.replace("b7ad6b7169203331", "0" * 16),
        TRACEPARENT.upper(),
        f"{TRACEPARENT}-more",
        f"{TRACEPARENT}\n",
    ],
)
def test_an_invalid_traceparent_links_to_nothing(traceparent: str | None) -> None:
    assert origin(traceparent) is None


def test_a_later_version_of_traceparent_may_say_more() -> None:
    found = origin(f"01{TRACEPARENT[2:]}-what-is-new")
    assert found is not None
    assert format(found.span_id, "016x") == "b7ad6b7169203331"


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("without", [(), ("structlog",)])
def test_no_line_holds_a_secret(
    workshop: Workshop,
    style: str,
    without: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in without:
        monkeypatch.setitem(__import__("sys").modules, module, None)
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Lines(logging.DEBUG)
    handler.setFormatter(logs.formatter(style))
    log = logging.getLogger("synapsor_pg")
    log.addHandler(handler)
    before = log.level
    log.setLevel(logging.DEBUG)

    @workshop.registry.handler("crm", "contacts.update")
    def update(delivery: Delivery) -> Outcome:
        if delivery.attempt == 1:
            raise RuntimeError(f"Bearer {SECRET}")
        return succeeded({"key": SECRET})

    @workshop.registry.handler("crm", "contacts.create")
    def create(_delivery: Delivery) -> Outcome:
        raise RejectedError("refused")

    workshop.declare(action="crm.create_contact", operation="contacts.create")
    with workshop.client("test_caller") as client:
        actions = [
            client.propose_external_action(name, {"contact": SECRET}).action_id
            for name in ("crm.update_contact", "crm.create_contact")
        ]
    try:
        with workshop.working():
            assert workshop.wait_for(actions) == ["failed", "succeeded"]
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
    assert any("claimed" in line for line in lines)
    assert [line for line in lines if "\n" in line] == []
    assert [line for line in lines if "%s" in line] == []
    assert [line for line in lines if SECRET in line] == []
    if style == "json":
        rows = [json.loads(line) for line in lines]
        transitions = [row.get("event") for row in rows if row.get("action_id") == actions[1]]
        assert transitions[0] == "claimed"
        assert transitions[-1] == "failed"
        assert {"timestamp", "level", "logger", "message"} <= set(rows[0])
        assert any(row["message"].startswith("started ") for row in rows)


def test_what_never_ends_keeps_nothing(workshop: Workshop) -> None:
    """A claim lost before the first byte has no answer; its span and its time go with it."""
    traces = WorkerTraces(TracerProvider())
    observer, _page = metrics.of_worker(workshop.database("test_worker"))
    lost = workshop.propose(3)
    tried: list[str] = []

    @workshop.registry.handler("crm", "contacts.update", begin="manual")
    def update(delivery: Delivery) -> Outcome:
        tried.append(delivery.action_id)
        if tried.count(delivery.action_id) == 1:
            raise ClaimLostError("said by the test")
        delivery.begin()
        return succeeded()

    workshop.declare(lease="1 s")
    with workshop.working(observers=[traces, observer]):
        wait_until(lambda: set(tried) == set(lost))
    gc.collect()
    assert len(traces._spans) == len(observer._answered_at) == 0  # noqa: SLF001
