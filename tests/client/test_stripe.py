"""The Stripe handler against a real Stripe API on loopback, as the official library sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from client.test_handlers import a_delivery
from synapsor_pg import Delivery, Outcome, registry
from synapsor_pg.handlers import classify
from synapsor_pg.providers import setting, stripe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from providers.stripe_process import StripeProcess

KEY = "sk_test_synapsor"


@pytest.fixture
def charge(stripe_provider: StripeProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give a paid charge of 50.00 at a provider that the handler is configured for."""
    monkeypatch.setenv("SYNAPSOR_STRIPE_API_KEY", KEY)
    monkeypatch.setenv("SYNAPSOR_STRIPE_API_BASE", stripe_provider.base_address)
    monkeypatch.setenv("SYNAPSOR_STRIPE_TIMEOUT", "2")
    stripe.client_of.cache_clear()
    shop = stripe.client_of("default")
    paid = shop.v1.charges.create({"amount": 5000, "currency": "usd", "source": "pm_card_visa"})
    yield paid.id
    stripe.client_of.cache_clear()


def refund(charge: str, amount: int = 1000, **facts: Any) -> Outcome:
    """What becomes of a delivery, as the worker would see it."""
    arguments = {"charge_id": charge, "amount_cents": amount, "tenant_id": "acme"}
    delivery = a_delivery(begun=False, arguments=arguments, **facts)
    registration = registry.get("stripe", "refunds.create")
    assert registration is not None
    try:
        return registration.function(delivery)
    except Exception as error:  # noqa: BLE001
        return classify(error, delivery)


def test_a_refund_is_created(charge: str, stripe_provider: StripeProcess) -> None:
    outcome = refund(charge, 1200)

    [made] = stripe_provider.refunds(charge)
    assert (outcome.status, outcome.provider_request_id) == ("succeeded", made["id"])
    assert outcome.response["amount"] == made["amount"] == 1200
    assert made["metadata"] == {"synapsor_action_id": "act_1"}


def test_the_same_key_refunds_once(charge: str, stripe_provider: StripeProcess) -> None:
    first, second = refund(charge), refund(charge)

    assert first.provider_request_id == second.provider_request_id
    assert len(stripe_provider.refunds(charge)) == 1


def test_the_rendered_request_has_the_same_digest_on_every_try(charge: str) -> None:
    digests: list[str | None] = []
    for attempt in (1, 2):
        facts = a_delivery(begun=False, attempt=attempt, arguments={"charge_id": charge}).claim
        stripe.create_refund(
            Delivery(facts, lambda _delivery, digest: digests.append(digest), deadline=0.0)
        )

    assert digests[0] is not None
    assert digests[0] == digests[1]


def test_the_same_key_for_another_request_is_left_to_a_person(charge: str) -> None:
    refund(charge, 1000)

    outcome = refund(charge, 2000)
    assert (outcome.status, outcome.park, outcome.error_code) == (
        "unknown",
        True,
        "idempotency_error",
    )


def test_an_invalid_request_is_rejected(charge: str) -> None:
    outcome = refund(charge, -1)

    assert (outcome.status, outcome.retryable) == ("failed", False)


def test_a_missing_charge_is_rejected_unless_an_earlier_try_may_have_refunded(charge: str) -> None:
    del charge
    first = refund("ch_nobody")
    later = refund("ch_nobody", delivery_started_at=a_delivery().claim.lease_expires_at)

    assert (first.status, first.retryable) == ("failed", False)
    assert (later.status, later.retryable) == ("failed", True)


def test_a_rate_limit_is_a_failure_with_the_providers_wish(
    charge: str, stripe_provider: StripeProcess
) -> None:
    stripe_provider.inject("rate_limit", retry_after=7)

    outcome = refund(charge)
    assert (outcome.status, outcome.retryable) == ("failed", True)
    assert outcome.retry_after is not None
    assert outcome.retry_after.total_seconds() == 7


@pytest.mark.parametrize("stage", ["before", "during", "after"])
def test_a_server_error_is_an_unknown_outcome(
    charge: str, stripe_provider: StripeProcess, stage: str
) -> None:
    stripe_provider.inject("server_error", stage)

    outcome = refund(charge)
    assert (outcome.status, outcome.park) == ("unknown", False)


def test_a_cut_connection_is_an_unknown_outcome_and_the_key_tells_the_truth(
    charge: str, stripe_provider: StripeProcess
) -> None:
    stripe_provider.inject("cut", "after")

    assert refund(charge).status == "unknown"
    assert refund(charge).status == "succeeded"
    assert len(stripe_provider.refunds(charge)) == 1


def test_a_time_out_is_an_unknown_outcome(charge: str, stripe_provider: StripeProcess) -> None:
    stripe_provider.inject("delay", "after", seconds=3)

    assert refund(charge).status == "unknown"


def test_a_provider_that_is_not_there_is_a_failure_worth_another_try(
    charge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNAPSOR_STRIPE_API_BASE", "http://127.0.0.1:9")
    stripe.client_of.cache_clear()

    outcome = refund(charge)
    assert (outcome.status, outcome.retryable) == ("failed", True)


def test_no_key_is_a_failure_before_the_beginning(
    charge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNAPSOR_STRIPE_API_KEY")
    stripe.client_of.cache_clear()

    outcome = refund(charge)
    assert (outcome.status, outcome.error_code) == ("failed", "configuration")


def test_credentials_are_named_by_account_and_never_borrowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("from a file\n")
    monkeypatch.setenv("SYNAPSOR_STRIPE_API_KEY", "the default")
    monkeypatch.setenv("SYNAPSOR_STRIPE_API_KEY_EU_WEST_FILE", str(tmp_path / "key"))

    assert setting("stripe", "api_key", "default") == "the default"
    assert setting("stripe", "api_key", "eu-west") == "from a file"
    assert setting("stripe", "api_key", "us") is None
