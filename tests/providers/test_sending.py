"""What an answer says about the effect, and what makes a key and a digest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from client.test_handlers import a_delivery
from hypothesis import given
from hypothesis import strategies as st
from providers.deliveries import ACTION_ID, again, verdict
from synapsor_pg.providers.sending import (
    LONGEST_WAIT,
    by_status,
    digest_of,
    proposed_at,
    provider_key,
    retry_after_of,
    text_of,
)

NOW = datetime(2026, 11, 28, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "first", "later"),
    [
        (200, "succeeded", "succeeded"),
        (204, "succeeded", "succeeded"),
        (302, "parked", "parked"),
        (303, "parked", "parked"),
        (307, "rejected", "retryable"),
        (400, "rejected", "retryable"),
        (401, "retryable", "retryable"),
        (404, "rejected", "retryable"),
        (408, "unknown", "unknown"),
        (409, "unknown", "unknown"),
        (410, "rejected", "retryable"),
        (422, "rejected", "retryable"),
        (425, "retryable", "retryable"),
        (429, "retryable", "retryable"),
        (500, "unknown", "unknown"),
        (502, "unknown", "unknown"),
        (503, "unknown", "unknown"),
        (504, "unknown", "unknown"),
        (101, "unknown", "unknown"),
        (999, "unknown", "unknown"),
    ],
)
def test_a_status_says_what_is_known(status: int, first: str, later: str) -> None:
    assert verdict(by_status(a_delivery(), status, "said")) == first
    assert verdict(by_status(a_delivery(**again()), status, "said")) == later


def test_a_503_that_says_when_to_come_back_has_done_nothing() -> None:
    outcome = by_status(a_delivery(), 503, "closed", retry_after=9)

    assert (verdict(outcome), outcome.retry_after) == ("retryable", timedelta(seconds=9))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 1.5 ", 1.5),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("999999999", LONGEST_WAIT),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT),
        (None, None),
        ("", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("soon", None),
        ("Fri, 99 Dec 2026 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_of(header, now=NOW) == seconds


@given(st.text())
def test_retry_after_can_be_anything(header: str) -> None:
    found = retry_after_of(header, now=NOW)

    assert found is None or 0 <= found <= LONGEST_WAIT


@given(st.text())
def test_a_key_fits_any_header(key: str) -> None:
    made = provider_key(a_delivery(idempotency_key=key))

    assert made.isascii()
    assert made.replace("_", "").isalnum()
    assert len(made) == 52


def test_a_key_is_the_same_on_every_try_and_nobody_elses() -> None:
    def key(**facts: Any) -> str:
        return provider_key(a_delivery(**facts))

    assert key() == key(attempt=2, claim_token=9, action_id="act_2")
    others = [
        key(),
        key(tenant_id="globex"),
        key(action="crm.other"),
        key(idempotency_key="k2"),
        key(idempotency_key="k1#2"),
        key(tenant_id="acm", action="ecrm.update_contact"),
    ]
    assert len(set(others)) == len(others)


def test_a_digest_knows_no_order_of_names() -> None:
    assert digest_of("POST", {"a": 1, "b": "é"}) == digest_of("POST", {"b": "é", "a": 1})
    assert digest_of("POST", {"a": 1}) != digest_of("PUT", {"a": 1})
    assert digest_of("ab", "c") != digest_of("a", "bc")


def test_an_action_tells_when_it_was_proposed() -> None:
    moment = proposed_at(a_delivery(action_id=ACTION_ID))

    assert moment is not None
    assert moment.date().isoformat() == "2025-11-28"
    assert proposed_at(a_delivery(action_id="act_1")) is None


def test_words_of_a_provider_are_one_short_line() -> None:
    assert text_of("a\r\nb\x00\x1b[31m c" + "x" * 9999) == "a b [31m c" + "x" * 490
