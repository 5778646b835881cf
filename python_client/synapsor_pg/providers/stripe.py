"""Stripe through its official library: ``refunds.create``.

Environment, per account (``_FILE`` for a file's path; the account ``default`` may leave the suffix
out):

* ``SYNAPSOR_STRIPE_API_KEY[_ACCOUNT]``: the secret key;
* ``SYNAPSOR_STRIPE_API_BASE[_ACCOUNT]``: another address than https://api.stripe.com;
* ``SYNAPSOR_STRIPE_TIMEOUT``: seconds to wait for an answer, default 30.

A contract's arguments are ``charge_id`` or ``payment_intent_id`` and, optionally, ``amount_cents``
and ``reason``. The action's id goes into the refund's metadata, so that a refund can be traced back
from Stripe's dashboard.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import stripe

from synapsor_pg.handlers import Delivery, Outcome, failed, handler, succeeded, unknown
from synapsor_pg.providers import setting

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECT_TIMEOUT: Final = 10.0

PARAMETERS: Final = {
    "charge_id": "charge",
    "payment_intent_id": "payment_intent",
    "amount_cents": "amount",
    "reason": "reason",
}
"""Our arguments and Stripe's names for them."""

NOT_EXECUTED: Final = frozenset({401, 403, 404, 429})
"""Refusals before the endpoint ran; Stripe stores none of them under the idempotency key."""


@lru_cache(maxsize=64)
def client_of(account: str) -> stripe.StripeClient:
    """Return the client of an account, made once per process."""
    key = setting("stripe", "api_key", account)
    if key is None:
        message = f"no Stripe key for account {account}: set SYNAPSOR_STRIPE_API_KEY"
        raise KeyError(message)
    base = setting("stripe", "api_base", account)
    timeout = float(os.environ.get("SYNAPSOR_STRIPE_TIMEOUT", "30"))
    return stripe.StripeClient(
        key,
        base_addresses={} if base is None else {"api": base},
        # retrying is the database's business: it knows the window, the attempts and the approval
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=(CONNECT_TIMEOUT, timeout)),
    )


@handler("stripe", "refunds.create", begin="manual")
def create_refund(delivery: Delivery) -> Outcome:
    """Refund a charge or payment intent, once per idempotency key."""
    parameters: dict[str, Any] = {
        theirs: delivery.arguments[ours]
        for ours, theirs in PARAMETERS.items()
        if delivery.arguments.get(ours) is not None
    }
    parameters["metadata"] = {"synapsor_action_id": delivery.action_id}
    return perform(
        delivery,
        parameters,
        lambda client, options: client.v1.refunds.create(parameters, options),  # type: ignore[arg-type]
    )


def perform(
    delivery: Delivery,
    parameters: dict[str, Any],
    call: Callable[[stripe.StripeClient, Any], stripe.StripeObject],
) -> Outcome:
    """Send one request under the delivery's key and say what is known afterwards."""
    try:
        client = client_of(delivery.account)
    except (KeyError, OSError, ValueError) as error:
        return failed("configuration", str(error), retryable=True)
    delivery.begin(_digest(parameters))
    try:
        answer = call(client, {"idempotency_key": delivery.idempotency_key})
    except stripe.StripeError as error:
        return classify(error, delivery)
    return succeeded(answer.to_dict(), getattr(answer, "id", None))


def _digest(parameters: dict[str, Any]) -> str:
    rendered = json.dumps(parameters, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(rendered.encode()).hexdigest()


def classify(error: stripe.StripeError, delivery: Delivery) -> Outcome:
    """Return what an error of the library says about the effect; raises it when it says nothing."""
    status = error.http_status
    if isinstance(error, stripe.APIConnectionError) or status is None:
        raise error  # the worker finds out whether anything was sent
    code = error.code or (error.error and error.error.code) or type(error).__name__
    message = error.user_message or code
    request = error.request_id
    if isinstance(error, stripe.IdempotencyError):
        # this key belongs to another request: trying again can only end the same
        return unknown("idempotency_error", message, park=True, provider_request_id=request)
    if status == 409 or not 400 <= status < 500:  # noqa: PLR2004
        # the key is in use by a request still being executed; a 5xx; an answer nobody can read
        return unknown(code, message, retry_after=_retry_after(error), provider_request_id=request)
    return failed(
        code,
        message,
        # a refusal at the door is no word on what an earlier request under this key has done
        retryable=status == 429 or (status in NOT_EXECUTED and delivery.sent_before),  # noqa: PLR2004
        retry_after=_retry_after(error),
        provider_request_id=request,
    )


def _retry_after(error: stripe.StripeError) -> float | None:
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):
        return None
