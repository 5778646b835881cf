"""The provider behaves as Stripe documents, asked through the official `stripe` library.

Every test of exactly-one delivery leans on this server, so its idempotency layer is tested like a
product.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import stripe
from providers.stripe_process import StripeProcess

KEY = "acme:refund:1"


@pytest.fixture
def provider(stripe_provider: StripeProcess) -> StripeProcess:
    return stripe_provider


def client_of(
    provider: StripeProcess, api_key: str = "sk_test_acme", retries: int = 0
) -> stripe.StripeClient:
    return stripe.StripeClient(
        api_key,
        base_addresses={"api": provider.base_address},
        max_network_retries=retries,
        http_client=stripe.RequestsClient(timeout=5),
    )


@pytest.fixture
def client(provider: StripeProcess) -> stripe.StripeClient:
    return client_of(provider)


@pytest.fixture
def charge(client: stripe.StripeClient) -> str:
    return client.v1.charges.create(
        {"amount": 9000, "currency": "eur", "source": "pm_card_visa"}
    ).id


def refund(
    client: stripe.StripeClient, charge: str, amount: int = 2500, key: str | None = KEY
) -> stripe.Refund:
    options: stripe.RequestOptions = {} if key is None else {"idempotency_key": key}
    return client.v1.refunds.create({"charge": charge, "amount": amount}, options)


def headers_of(answer: stripe.StripeObject | stripe.StripeError) -> dict[str, str]:
    if isinstance(answer, stripe.StripeError):
        return dict(answer.headers or {})
    assert answer.last_response is not None
    return dict(answer.last_response.headers)


def test_without_a_key_two_requests_are_two_refunds(
    provider: StripeProcess, client: stripe.StripeClient, charge: str
) -> None:
    """The server does not deduplicate on its own: what counts one, counts because of the key."""
    first = refund(client, charge, key=None)
    second = refund(client, charge, key=None)
    assert first.id != second.id
    assert len(provider.refunds(charge)) == 2


def test_same_key_and_parameters_replay_the_stored_answer(
    provider: StripeProcess, client: stripe.StripeClient, charge: str
) -> None:
    first = refund(client, charge)
    second = refund(client, charge)
    assert second == first
    assert "Idempotent-Replayed" not in headers_of(first)
    headers = headers_of(second)
    assert headers["Idempotent-Replayed"] == "true"
    assert headers["Idempotency-Key"] == KEY
    assert headers["Original-Request"] == headers_of(first)["Request-Id"]
    assert headers["Request-Id"] != headers_of(first)["Request-Id"]
    assert [found["id"] for found in provider.refunds(charge)] == [first.id]


def test_same_key_with_other_parameters_is_an_idempotency_error(
    provider: StripeProcess, client: stripe.StripeClient, charge: str
) -> None:
    refund(client, charge, amount=2500)
    with pytest.raises(stripe.IdempotencyError) as caught:
        refund(client, charge, amount=2501)
    assert caught.value.http_status == 400
    assert len(provider.refunds(charge)) == 1


def test_same_key_at_another_address_is_an_idempotency_error(
    client: stripe.StripeClient, charge: str
) -> None:
    refund(client, charge)
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        client.v1.customers.create({"name": "Ada"}, {"idempotency_key": KEY})


def test_a_second_request_while_the_first_executes_is_in_use(
    provider: StripeProcess, client: stripe.StripeClient, charge: str
) -> None:
    provider.inject("hold", "before")
    with ThreadPoolExecutor() as beside:
        first = beside.submit(refund, client_of(provider), charge)
        provider.wait_for_requests(1)
        with pytest.raises(stripe.APIError) as caught:
            refund(client, charge)
        provider.release()
    assert caught.value.http_status == 409
    assert caught.value.error is not None
    assert caught.value.error.code == "idempotency_key_in_use"
    assert [found["id"] for found in provider.refunds(charge)] == [first.result().id]
    assert refund(client, charge).id == first.result().id


def test_a_second_request_while_the_first_is_answered_is_a_replay(
    provider: StripeProcess, client: stripe.StripeClient, charge: str
) -> None:
    """The worker that died waiting for its answer: the effect is there, so is the stored answer."""
    provider.inject("hold", "after")
    with ThreadPoolExecutor() as beside:
        first = beside.submit(refund, client_of(provider), charge)
        provider.wait_for_refunds(1)
        second = refund(client, charge)
        provider.release()
    assert second.id == first.result().id


def test_keys_belong_to_one_api_key(
    provider: StripeProcess, client: stripe.StripeClient, charge: str
) -> None:
    first = refund(client, charge)
    second = refund(client_of(provider, "sk_test_another"), charge)
    assert first.id != second.id


@pytest.mark.parametrize(("length", "accepted"), [(255, True), (256, False)])
def test_keys_have_at_most_255_characters(
    provider: StripeProcess, client: stripe.StripeClient, charge: str, length: int, accepted: bool
) -> None:
    if accepted:
        refund(client, charge, key="k" * length)
    else:
        with pytest.raises(stripe.InvalidRequestError, match="255"):
            refund(client, charge, key="k" * length)
    assert len(provider.refunds(charge)) == int(accepted)


def test_a_refused_request_is_not_stored(
    provider: StripeProcess, client: stripe.StripeClient, charge: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        refund(client, charge, amount=-1)
    with pytest.raises(stripe.InvalidRequestError):
        refund(client, "ch_unknown")
    assert "Idempotent-Replayed" not in headers_of(refund(client, charge))
    assert len(provider.refunds(charge)) == 1


def test_a_declined_card_is_stored(client: stripe.StripeClient) -> None:
    failures = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            client.v1.charges.create(
                {"amount": 100, "currency": "eur", "source": "pm_card_chargeCustomerFail"},
                {"idempotency_key": KEY},
            )
        failures.append(caught.value)
    assert failures[0].json_body == failures[1].json_body
    assert headers_of(failures[1])["Idempotent-Replayed"] == "true"


def test_a_wrong_api_key_is_not_stored(
    provider: StripeProcess, client: stripe.StripeClient, charge: str
) -> None:
    with pytest.raises(stripe.AuthenticationError):
        refund(client_of(provider, "pk_public"), charge)
    refund(client, charge)


def test_a_get_passes_through(client: stripe.StripeClient, charge: str) -> None:
    done = refund(client, charge)
    assert client.v1.refunds.retrieve(done.id).amount == 2500
    assert [found.id for found in client.v1.refunds.list({"charge": charge}).data] == [done.id]
    assert client.v1.charges.retrieve(charge).amount_refunded == 2500


def test_a_forgotten_key_makes_a_second_refund(
    provider: StripeProcess, client: stripe.StripeClient, charge: str
) -> None:
    """Stripe may drop keys after 24 hours: why a contract's idempotency has a window."""
    refund(client, charge)
    provider.forget_keys()
    refund(client, charge)
    assert len(provider.refunds(charge)) == 2


def test_cut_before_the_effect_leaves_nothing(
    provider: StripeProcess, client: stripe.StripeClient, charge: str
) -> None:
    provider.inject("cut", "before")
    with pytest.raises(stripe.APIConnectionError):
        refund(client, charge)
    assert provider.refunds(charge) == []
    assert "Idempotent-Replayed" not in headers_of(refund(client, charge))


def test_cut_after_the_effect_looks_the_same_and_is_replayed(
    provider: StripeProcess, client: stripe.StripeClient, charge: str
) -> None:
    provider.inject("cut", "after")
    with pytest.raises(stripe.APIConnectionError):
        refund(client, charge)
    (done,) = provider.refunds(charge)
    again = refund(client, charge)
    assert (again.id, headers_of(again)["Idempotent-Replayed"]) == (done["id"], "true")
    cut, replayed = provider.requests()
    assert (cut["status"], cut["executed"], cut["fault"]) == (None, True, "cut after")
    assert (replayed["status"], replayed["executed"], replayed["replayed"]) == (200, False, True)


def test_the_library_retries_a_cut_with_our_key(provider: StripeProcess, charge: str) -> None:
    provider.inject("cut", "after")
    done = refund(client_of(provider, retries=1), charge)
    assert [found["id"] for found in provider.refunds(charge)] == [done.id]


def test_429_has_retry_after_and_does_not_hold_the_key(
    provider: StripeProcess, client: stripe.StripeClient, charge: str
) -> None:
    provider.inject("rate_limit", retry_after=7, times=2)
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError) as caught:
            refund(client, charge)
        assert headers_of(caught.value)["Retry-After"] == "7"
    refund(client, charge)
    assert [line["status"] for line in provider.requests()] == [429, 429, 200]


def test_500_before_the_endpoint_then_success(
    provider: StripeProcess, client: stripe.StripeClient, charge: str
) -> None:
    provider.inject("server_error", "before")
    with pytest.raises(stripe.APIError):
        refund(client, charge)
    refund(client, charge)
    assert len(provider.refunds(charge)) == 1


@pytest.mark.parametrize(("stage", "refunds"), [("during", 0), ("after", 1)])
def test_500_of_a_begun_endpoint_is_stored_and_replayed(
    provider: StripeProcess, client: stripe.StripeClient, charge: str, stage: str, refunds: int
) -> None:
    """Why an operator's retry of a failed action needs a new key: the old one replays the 500."""
    provider.inject("server_error", stage)
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            refund(client, charge)
        assert caught.value.http_status == 500
    assert headers_of(caught.value)["Idempotent-Replayed"] == "true"
    assert len(provider.refunds(charge)) == refunds
    refund(client, charge, key=KEY + "#2")
    assert len(provider.refunds(charge)) == refunds + 1


def test_a_delayed_answer_runs_into_the_clients_timeout(
    provider: StripeProcess, client: stripe.StripeClient, charge: str
) -> None:
    provider.inject("delay", "after", seconds=0.6)
    hasty = stripe.StripeClient(
        "sk_test_acme",
        base_addresses={"api": provider.base_address},
        http_client=stripe.RequestsClient(timeout=0.2),
        max_network_retries=0,
    )
    with pytest.raises(stripe.APIConnectionError):
        refund(hasty, charge)
    assert len(provider.refunds(charge)) == 1
    assert headers_of(refund(client, charge))["Idempotent-Replayed"] == "true"


def test_an_unknown_fault_is_refused(provider: StripeProcess) -> None:
    with pytest.raises(ValueError, match="no such fault"):
        provider.inject("rate_limit", "after")
    with pytest.raises(ValueError, match="unexpected keyword"):
        provider.inject("cut", colour="red")


def test_it_listens_on_loopback_only(provider: StripeProcess) -> None:
    assert provider.base_address.startswith("http://127.0.0.1:")


@pytest.mark.usefixtures("charge")
def test_it_writes_no_file() -> None:
    """As localstripe does, for every object, into a place shared by all of the machine."""
    pickle = Path("/tmp/localstripe.pickle")
    assert not pickle.exists() or time.time() - pickle.stat().st_mtime > 1


def test_it_ends_with_its_standard_input() -> None:
    """A killed parent cannot leave it behind."""
    server = StripeProcess()
    try:
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.process.wait(timeout=5) == 0
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(server.base_address, timeout=1)
    finally:
        server.stop()
