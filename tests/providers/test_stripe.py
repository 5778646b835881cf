"""The Stripe handler against a real Stripe API on loopback, as the official library sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from client.test_handlers import a_delivery
from providers.deliveries import again, deliver, examples, now_id, perform, verdict
from stripe import StripeClient
from synapsor_pg import Delivery, Outcome, registry
from synapsor_pg.handlers import classify
from synapsor_pg.providers import stripe

if TYPE_CHECKING:
    from client.workshop import Workshop
    from providers.stripe_process import StripeProcess

KEY = "sk_test_synapsor"


@pytest.fixture
def charge(stripe_provider: StripeProcess, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give a paid charge of 50.00 at a provider that the handler is configured for."""
    monkeypatch.setenv("SYNAPSOR_STRIPE_API_KEY", KEY)
    monkeypatch.setenv("SYNAPSOR_STRIPE_API_BASE", stripe_provider.base_address)
    monkeypatch.setenv("SYNAPSOR_STRIPE_TIMEOUT", "0.8")
    shop = StripeClient(KEY, base_addresses={"api": stripe_provider.base_address})
    paid = shop.v1.charges.create({"amount": 5000, "currency": "usd", "source": "pm_card_visa"})
    return paid.id


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
    stripe_provider.inject("delay", "after", seconds=2)

    assert refund(charge).status == "unknown"


def test_a_provider_that_is_not_there_is_a_failure_worth_another_try(
    charge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNAPSOR_STRIPE_API_BASE", "http://127.0.0.1:9")

    outcome = refund(charge)
    assert (outcome.status, outcome.retryable) == ("failed", True)


def test_no_key_is_a_failure_before_the_beginning(
    charge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNAPSOR_STRIPE_API_KEY")

    outcome = refund(charge)
    assert (outcome.status, outcome.error_code) == ("failed", "configuration")


@pytest.mark.parametrize(
    ("kind", "stage", "expected"),
    [
        ("redirect", "before", "rejected"),
        ("garbage", "after", "unknown"),
        ("flood", "after", "unknown"),
        ("twice", "after", "succeeded"),
    ],
)
def test_a_bad_day_and_the_next_try(
    charge: str, stripe_provider: StripeProcess, kind: str, stage: str, expected: str
) -> None:
    stripe_provider.inject(kind, stage, location="http://127.0.0.1:9/latest/meta-data")

    outcome = refund(charge)
    assert verdict(outcome) == expected
    assert outcome.error_message is None or len(outcome.error_message) < 600
    assert verdict(refund(charge, **again())) == "succeeded"
    assert len(stripe_provider.refunds(charge)) == 1


def test_a_key_that_no_header_can_hold_is_digested(
    charge: str, stripe_provider: StripeProcess
) -> None:
    for key in ("acme:\r\nX-Evil: 1", "naïve", "k" * 300):
        assert refund(charge, 10, idempotency_key=key).status == "succeeded"
        assert refund(charge, 10, idempotency_key=key).status == "succeeded"

    assert len(stripe_provider.refunds(charge)) == 3


def test_a_key_in_use_is_asked_about_once(charge: str, stripe_provider: StripeProcess) -> None:
    """The library would repeat such a request by itself; whether to is the database's business."""
    stripe_provider.inject("hold", "before")
    assert refund(charge).status == "unknown"

    outcome = refund(charge, **again())
    assert (verdict(outcome), outcome.error_code) == ("unknown", "idempotency_key_in_use")
    assert len(stripe_provider.requests()) == 2


def test_another_accounts_key_is_not_borrowed(charge: str) -> None:
    outcome = refund(charge, account="eu-west")

    assert (outcome.status, outcome.error_code) == ("failed", "configuration")
    assert outcome.error_message is not None
    assert "SYNAPSOR_STRIPE_API_KEY_EU_WEST" in outcome.error_message


def test_the_key_is_in_no_outcome(charge: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del charge
    monkeypatch.setenv("SYNAPSOR_STRIPE_API_KEY", "sk_live_abcdef\r\nX-Evil: 1")

    outcome = refund("ch_1")
    assert outcome.error_code == "configuration"
    assert "sk_live" not in repr(outcome)


def ask(operation: str, arguments: dict[str, Any], **facts: Any) -> Outcome:
    return deliver("stripe", operation, arguments, **facts)


@pytest.mark.usefixtures("charge")
def test_a_payment_intent_is_created_captured_and_found(stripe_provider: StripeProcess) -> None:
    mine, other_id = now_id(1), now_id(2)
    person = ask("customers.create", {"email": "ada@example.com"}, idempotency_key="k0")
    customer = person.response["id"]
    arguments = {"amount_cents": 900, "currency": "eur", "customer_id": customer}
    shop = StripeClient(KEY, base_addresses={"api": stripe_provider.base_address})
    card = shop.v1.payment_methods.attach("pm_card_visa", {"customer": customer}).id

    nothing = ask("payment_intents.find", arguments, action_id=mine)
    made = ask(
        "payment_intents.create",
        arguments | {"payment_method_id": card, "confirm": True, "capture_method": "manual"},
        action_id=mine,
    )
    found = ask("payment_intents.find", arguments, action_id=mine, purpose="reconcile")
    other = ask("payment_intents.find", arguments, action_id=other_id, purpose="reconcile")
    captured = ask(
        "payment_intents.capture",
        {"payment_intent_id": made.provider_request_id, "amount_cents": 500},
        idempotency_key="k2",
    )

    assert (verdict(nothing), verdict(other)) == ("retryable", "retryable")
    assert (made.status, made.response["status"]) == ("succeeded", "requires_capture")
    assert "client_secret" not in made.response
    assert (found.status, found.provider_request_id) == ("succeeded", made.provider_request_id)
    assert captured.response["status"] == "succeeded"


@pytest.mark.usefixtures("charge")
def test_a_customer_is_created_changed_and_found() -> None:
    mine, other_id = now_id(1), now_id(2)
    person = {"email": "ada@example.com", "name": "Ada"}
    made = ask("customers.create", person, action_id=mine)
    changed = ask(
        "customers.update",
        {"customer_id": made.provider_request_id, "name": "Ada L.", "tenant_id": "acme"},
        idempotency_key="k2",
        action_id=other_id,
    )

    assert changed.response["name"] == "Ada L."
    for where in (person, {}):
        found = ask("customers.find", where, action_id=mine, purpose="reconcile")
        assert found.provider_request_id == made.provider_request_id
    assert verdict(ask("customers.find", person, action_id=other_id)) == "retryable"


@pytest.mark.parametrize("target", ["../charges/ch_1", "cus_1?x=1", "", None, 7, "cus 1", "cüs"])
@pytest.mark.usefixtures("charge")
def test_an_id_is_no_way_to_another_endpoint(
    stripe_provider: StripeProcess, target: object
) -> None:
    outcome = ask("customers.update", {"customer_id": target, "name": "x"})

    assert (verdict(outcome), outcome.error_code) == ("rejected", "invalid_id")
    assert not stripe_provider.requests("/v1/charges/ch_1")


def test_a_lost_refund_is_found(charge: str, stripe_provider: StripeProcess) -> None:
    arguments = {"charge_id": charge}
    nothing = ask("refunds.find", arguments, purpose="reconcile")
    stripe_provider.inject("cut", "after")
    lost = refund(charge)
    found = ask("refunds.find", arguments, action_id="act_1", purpose="reconcile")

    assert (verdict(nothing), nothing.error_code) == ("retryable", "not_found")
    assert lost.status == "unknown"
    assert found.provider_request_id == stripe_provider.refunds(charge)[0]["id"]


def test_a_provider_that_cannot_be_asked_leaves_it_unknown(
    charge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"charge_id": charge}
    assert verdict(ask("refunds.find", {})) == "parked"
    assert verdict(ask("refunds.find", {"charge_id": "ch_none"})) in {"unknown", "retryable"}
    monkeypatch.setenv("SYNAPSOR_STRIPE_API_BASE", "http://127.0.0.1:9")
    assert verdict(ask("refunds.find", arguments)) == "unknown"


def test_the_documented_contract_works_end_to_end(
    charge: str, stripe_provider: StripeProcess, workshop: Workshop
) -> None:
    stripe_provider.inject("cut", "after")
    stripe_provider.inject("server_error", "before")
    [contract] = examples(stripe)
    refunds = [{"charge_id": charge, "amount_cents": amount} for amount in (100, 200, 300)]

    rows = perform(workshop, contract, *refunds)

    assert [row["status"] for row in rows] == ["succeeded"] * 3
    made = {each["id"]: each["metadata"] for each in stripe_provider.refunds(charge)}
    assert made == {
        row["provider_request_id"]: {"synapsor_action_id": row["action_id"]} for row in rows
    }
