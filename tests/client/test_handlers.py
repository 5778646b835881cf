"""What a handler's answer or exception says about the effect."""

from __future__ import annotations

import socket
import threading
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
from synapsor_pg import (
    Claim,
    Delivery,
    Registry,
    RejectedError,
    RetryableError,
    UnknownOutcomeError,
    failed,
)
from synapsor_pg.handlers import classify
from synapsor_pg.worker import storable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def a_delivery(*, begun: bool = True, **values: Any) -> Delivery:
    facts: dict[str, Any] = {
        "action_id": "act_1",
        "claim_token": 1,
        "tenant_id": "acme",
        "action": "crm.update_contact",
        "version": 1,
        "provider": "crm",
        "account": None,
        "operation": "contacts.update",
        "queue": "q",
        "arguments": {},
        "intent": "{}",
        "digest": "",
        "idempotency_key": "k1",
        "attempt": 1,
        "lease_expires_at": datetime.now(UTC),
        "delivery_started_at": None,
        "purpose": "deliver",
        "run_id": None,
        "step_key": None,
        "correlation_id": None,
        "traceparent": None,
    }
    delivery = Delivery(Claim(**facts | values), lambda _delivery, _digest: None, deadline=0.0)
    delivery.begun = begun
    return delivery


def raised_by(act: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever the library raises
        act()
    return caught.value


@pytest.fixture
def nobody() -> str:
    """Give an address where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


@pytest.fixture
def silence() -> Iterator[str]:
    """Give the address of a server that takes a request, then hangs up without an answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    peer.recv(65536)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        server.shutdown(socket.SHUT_RDWR)


def test_a_refused_connection_is_a_failure_worth_another_try(nobody: str) -> None:
    for act in (
        lambda: requests.post(nobody, timeout=2),
        lambda: urllib.request.urlopen(nobody, b"", timeout=2),
    ):
        outcome = classify(raised_by(act), a_delivery())

        assert (outcome.status, outcome.retryable) == ("failed", True)


def test_an_unknown_host_is_a_failure_worth_another_try() -> None:
    error = raised_by(lambda: urllib.request.urlopen("http://nowhere.invalid/", b"", timeout=2))

    assert classify(error, a_delivery()).status == "failed"


def test_a_connection_lost_after_the_request_is_an_unknown_outcome(silence: str) -> None:
    for act in (
        lambda: requests.post(silence, timeout=2),
        lambda: urllib.request.urlopen(silence, b"", timeout=2),
    ):
        assert classify(raised_by(act), a_delivery()).status == "unknown"


def test_a_time_out_after_the_request_is_an_unknown_outcome() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        error = raised_by(lambda: requests.post(address, timeout=0.2))

    outcome = classify(error, a_delivery())
    assert (outcome.status, outcome.error_code) == ("unknown", "ReadTimeout")


def test_any_other_exception_after_the_beginning_is_an_unknown_outcome() -> None:
    outcome = classify(ValueError("no json"), a_delivery())

    assert (outcome.status, outcome.error_code) == ("unknown", "ValueError")


def test_an_exception_before_the_beginning_is_a_failure() -> None:
    outcome = classify(ValueError("no template"), a_delivery(begun=False))

    assert (outcome.status, outcome.retryable) == ("failed", True)


def test_what_a_handler_raises_on_purpose_is_taken_at_its_word() -> None:
    later = timedelta(seconds=9)
    retryable = classify(RetryableError("busy", retry_after=later), a_delivery())
    rejected = classify(RejectedError("no_such_contact", "it is gone"), a_delivery())
    unknown = classify(UnknownOutcomeError("garbled"), a_delivery(begun=False))

    assert (retryable.status, retryable.retryable, retryable.retry_after) == ("failed", True, later)
    assert (rejected.status, rejected.retryable, rejected.error_message) == (
        "failed",
        False,
        "it is gone",
    )
    assert (unknown.status, unknown.error_code) == ("unknown", "garbled")


@pytest.mark.parametrize(
    "error",
    [RejectedError("gone"), RetryableError("busy"), ConnectionRefusedError(), KeyError("x")],
)
def test_that_nobody_could_be_asked_is_no_answer(error: Exception) -> None:
    outcome = classify(error, a_delivery(purpose="reconcile", begun=False))

    assert (outcome.status, outcome.park) == ("unknown", False)


def test_seconds_are_a_duration_too() -> None:
    assert failed("busy", retry_after=2).retry_after == timedelta(seconds=2)


def test_an_operation_has_one_handler() -> None:
    registry = Registry()
    registry.handler("crm", "contacts.update")(lambda _delivery: failed("no"))

    with pytest.raises(ValueError, match="has a handler already"):
        registry.handler("crm", "contacts.update")(lambda _delivery: failed("no"))
    assert list(registry) == [("crm", "contacts.update")]


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ({"a": "x\x00y"}, {"a": "x\ufffdy"}),
        (["\ud800"], ["?"]),
        ({"a": float("nan")}, {"a": "nan"}),
        ({1: (True, None, 1.5)}, {"1": [True, None, 1.5]}),
        (datetime(2026, 11, 22, tzinfo=UTC), "2026-11-22 00:00:00+00:00"),
    ],
)
def test_an_answer_is_made_storable(value: Any, stored: Any) -> None:
    assert storable(value) == stored
