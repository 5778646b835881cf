"""Stripe through its official library: refunds, payment intents, customers.

Settings of an account (``synapsor_pg.providers.credentials`` says where they come from):
``api_key``; ``api_base``, another address than https://api.stripe.com; ``timeout``, seconds, 20.

Operations and their arguments (others, such as ``tenant_id``, stay here):

* ``refunds.create``: ``charge_id`` or ``payment_intent_id``, ``amount_cents``, ``reason``;
* ``payment_intents.create``: ``amount_cents``, ``currency``, ``customer_id``,
  ``payment_method_id``, ``description``, ``receipt_email``, ``capture_method``, ``confirm``,
  ``off_session``;
* ``payment_intents.confirm``, ``.capture`` (``amount_cents``), ``.cancel`` (``reason``): each with
  ``payment_intent_id``;
* ``customers.create``: ``email``, ``name``, ``description``, ``phone``; ``customers.update``: the
  same with ``customer_id``;
* ``refunds.find``, ``payment_intents.find``, ``customers.find``: for a contract's ``reconcile``. An
  object carries its action's id in its metadata; it is looked for among the charge's refunds, or
  the objects created since the action was proposed.

Stripe keeps keys for 24 hours at least, whatever the answer was::

    {"action": "billing.issue_refund", "kind": "external",
     "args": {"charge_id": {"type": "string", "required": true, "max_length": 64},
              "amount_cents": {"type": "integer", "required": true, "minimum": 1}},
     "hidden": {"tenant_id": {}},
     "provider": "stripe", "operation": "refunds.create", "queue": "billing",
     "idempotency": {"key": "{tenant_id}:refund:{charge_id}:{amount_cents}", "idempotent": true,
                     "window": "24 hours"},
     "retry": {"max_attempts": 5, "initial": "1 s", "multiplier": 3, "max": "5 min"},
     "reconcile": {"operation": "refunds.find", "after": "1 min", "max_attempts": 5}}
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Final

import stripe

from synapsor_pg.handlers import Delivery, HandlerError, Outcome, failed, succeeded, unknown
from synapsor_pg.providers.credentials import secret, setting
from synapsor_pg.providers.egress import egress_of
from synapsor_pg.providers.sending import (
    LONGEST_KEY,
    by_status,
    digest_of,
    proposed_at,
    provider_key,
    provides,
    retry_after_of,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from synapsor_pg.providers.egress import Egress

API: Final = "https://api.stripe.com"

LONGEST: Final = 1024 * 1024
"""How many bytes of an answer are read."""

LOOKED_THROUGH: Final = 1000
"""How many objects a search looks at before it gives up."""

CLOCKS: Final = 300
"""How many seconds Stripe's clock may be behind the database's."""

REFUND: Final = {
    "charge_id": "charge",
    "payment_intent_id": "payment_intent",
    "amount_cents": "amount",
    "reason": "reason",
}
PAYMENT_INTENT: Final = {
    "amount_cents": "amount",
    "currency": "currency",
    "customer_id": "customer",
    "payment_method_id": "payment_method",
    "description": "description",
    "receipt_email": "receipt_email",
    "capture_method": "capture_method",
    "confirm": "confirm",
    "off_session": "off_session",
}
CUSTOMER: Final = {
    "email": "email",
    "name": "name",
    "description": "description",
    "phone": "phone",
}
"""Our arguments and Stripe's names for them."""

NOT_EXECUTED: Final = frozenset({401, 403, 404, 429})
"""Refusals before the endpoint ran; Stripe stores none of them under the idempotency key."""


class _Transport(stripe.HTTPClient):
    """The library's way out is ours: guarded, limited, and it knows whether anything was sent."""

    name = "synapsor"

    def __init__(self, egress: Egress, delivery: Delivery) -> None:
        super().__init__()
        self._egress = egress
        self._delivery = delivery

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        **_usage: Any,
    ) -> tuple[Any, int, Mapping[str, str]]:
        answer = self._egress.send(
            self._delivery,
            method.upper(),
            url,
            headers=headers or {},
            content=post_data.encode() if isinstance(post_data, str) else post_data or b"",
        )
        return answer.body, answer.status, answer.headers

    def close(self) -> None:
        """Nothing is kept open."""


def client_for(delivery: Delivery) -> stripe.StripeClient:
    """Return a client of the delivery's account."""
    account = delivery.account
    key = secret("stripe", "api_key", account)
    base = setting("stripe", "api_base", account) or API
    return stripe.StripeClient(
        key,
        base_addresses={"api": base},
        # retrying is the database's business: it knows the window, the attempts and the approval
        max_network_retries=0,
        http_client=_Transport(egress_of("stripe", account, base, max_response=LONGEST), delivery),
    )


def _key(delivery: Delivery) -> str:
    key = delivery.idempotency_key
    plain = key.isascii() and key.isprintable() and len(key) <= LONGEST_KEY
    return key if plain else provider_key(delivery)


def _renamed(delivery: Delivery, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        theirs: delivery.arguments[ours]
        for ours, theirs in names.items()
        if delivery.arguments.get(ours) is not None
    }


def _traced(delivery: Delivery, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters of an object that can be traced back to its action."""
    metadata = {"synapsor_action_id": delivery.action_id}
    return _renamed(delivery, names) | {"metadata": metadata}


def _id(delivery: Delivery, name: str) -> str:
    """Return the id of the object to change; it becomes part of a path."""
    value = delivery.arguments.get(name)
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_]+", value):
        raise ValueError(f"{name} is no id of Stripe's")
    return value


@provides("stripe", "refunds.create")
def create_refund(delivery: Delivery) -> Outcome:
    """Refund a charge or payment intent, once per idempotency key."""
    return _create(delivery, "refunds", REFUND)


@provides("stripe", "payment_intents.create")
def create_payment_intent(delivery: Delivery) -> Outcome:
    """Create a payment intent, confirmed at once where the contract says so."""
    return _create(delivery, "payment_intents", PAYMENT_INTENT)


@provides("stripe", "payment_intents.confirm")
def confirm_payment_intent(delivery: Delivery) -> Outcome:
    """Confirm a payment intent."""
    parameters = _renamed(delivery, {"payment_method_id": "payment_method"})
    return _change(delivery, "payment_intents.confirm", "payment_intent_id", parameters)


@provides("stripe", "payment_intents.capture")
def capture_payment_intent(delivery: Delivery) -> Outcome:
    """Capture what a payment intent has authorised."""
    parameters = _renamed(delivery, {"amount_cents": "amount_to_capture"})
    return _change(delivery, "payment_intents.capture", "payment_intent_id", parameters)


@provides("stripe", "payment_intents.cancel")
def cancel_payment_intent(delivery: Delivery) -> Outcome:
    """Cancel a payment intent."""
    parameters = _renamed(delivery, {"reason": "cancellation_reason"})
    return _change(delivery, "payment_intents.cancel", "payment_intent_id", parameters)


@provides("stripe", "customers.create")
def create_customer(delivery: Delivery) -> Outcome:
    """Create a customer."""
    return _create(delivery, "customers", CUSTOMER)


@provides("stripe", "customers.update")
def update_customer(delivery: Delivery) -> Outcome:
    """Change a customer; its metadata keeps the action that created it."""
    return _change(delivery, "customers.update", "customer_id", _renamed(delivery, CUSTOMER))


def _create(delivery: Delivery, service: str, names: Mapping[str, str]) -> Outcome:
    parameters = _traced(delivery, names)

    def call(client: stripe.StripeClient, options: Any) -> stripe.StripeObject:
        created: stripe.StripeObject = getattr(client.v1, service).create(parameters, options)
        return created

    return perform(delivery, f"{service}.create", parameters, call)


def _change(
    delivery: Delivery, operation: str, id_name: str, parameters: dict[str, Any]
) -> Outcome:
    try:
        target = _id(delivery, id_name)
    except ValueError as error:
        return failed("invalid_id", str(error), retryable=delivery.sent_before)
    service, _, verb = operation.partition(".")

    def call(client: stripe.StripeClient, options: Any) -> stripe.StripeObject:
        method = getattr(getattr(client.v1, service), verb)
        changed: stripe.StripeObject = method(target, parameters, options)
        return changed

    return perform(delivery, f"{operation} {target}", parameters, call)


def perform(
    delivery: Delivery,
    operation: str,
    parameters: dict[str, Any],
    call: Callable[[stripe.StripeClient, Any], stripe.StripeObject],
) -> Outcome:
    """Send one request under the delivery's key and say what is known afterwards."""
    client = client_for(delivery)
    delivery.begin(digest_of("stripe", operation, parameters))
    try:
        answer = call(client, {"idempotency_key": _key(delivery)})
    except stripe.StripeError as error:
        return classify(error, delivery)
    return succeeded(_facts(answer), getattr(answer, "id", None))


def _facts(answer: stripe.StripeObject) -> dict[str, Any]:
    """Return what is kept of an object: not the secret that lets a browser go on with it."""
    return {k: v for k, v in answer.to_dict().items() if k != "client_secret"}


def classify(error: stripe.StripeError, delivery: Delivery) -> Outcome:
    """Return what an error of the library says about the effect; raises it when it says nothing."""
    status = error.http_status
    if status is None:
        raise error
    code = error.code or (error.error and error.error.code) or type(error).__name__
    message = text_of(error.user_message or code)
    request = error.request_id
    wait = retry_after_of((error.headers or {}).get("retry-after"))
    if isinstance(error, stripe.IdempotencyError):
        # this key belongs to another request: trying again can only end the same
        return unknown("idempotency_error", message, park=True, provider_request_id=request)
    if 300 <= status < 400:  # noqa: PLR2004
        return by_status(delivery, status, f"Stripe answers {status}")
    if status == 409 or not 400 <= status < 500:  # noqa: PLR2004
        # the key is in use by a request still being executed; a 5xx; an answer nobody can read
        return unknown(code, message, retry_after=wait, provider_request_id=request)
    if status == 401:  # noqa: PLR2004
        return by_status(delivery, status, message, error_code=code, provider_request_id=request)
    return failed(
        code,
        message,
        # a refusal at the door is no word on what an earlier request under this key has done
        retryable=status == 429 or (status in NOT_EXECUTED and delivery.sent_before),  # noqa: PLR2004
        retry_after=wait,
        provider_request_id=request,
    )


# for reconciliation: nothing of this changes anything


@provides("stripe", "refunds.find", asks=True)
def find_refund(delivery: Delivery) -> Outcome:
    """Look for the action's refund among those of its charge."""
    names = {"charge_id": "charge", "payment_intent_id": "payment_intent"}
    where = _renamed(delivery, names)
    if not where:
        return unknown("cannot_ask", "the action names no charge", park=True)
    return _find(delivery, where, lambda client, query: client.v1.refunds.list(query))


@provides("stripe", "payment_intents.find", asks=True)
def find_payment_intent(delivery: Delivery) -> Outcome:
    """Look for the action's payment intent among those created since it was proposed."""
    where = _since(delivery) | _renamed(delivery, {"customer_id": "customer"})
    return _find(delivery, where, lambda client, query: client.v1.payment_intents.list(query))


@provides("stripe", "customers.find", asks=True)
def find_customer(delivery: Delivery) -> Outcome:
    """Look for the action's customer among those created since it was proposed."""
    where = _since(delivery) | _renamed(delivery, {"email": "email"})
    return _find(delivery, where, lambda client, query: client.v1.customers.list(query))


def _since(delivery: Delivery) -> dict[str, Any]:
    proposed = proposed_at(delivery)
    return {} if proposed is None else {"created": {"gte": int(proposed.timestamp()) - CLOCKS}}


def _find(
    delivery: Delivery,
    where: dict[str, Any],
    call: Callable[[stripe.StripeClient, Any], stripe.ListObject[Any]],
) -> Outcome:
    try:
        pages = call(client_for(delivery), where | {"limit": 100})
        looked_at = 0
        for each in itertools.islice(pages.auto_paging_iter(), LOOKED_THROUGH):
            looked_at += 1
            metadata = each.to_dict().get("metadata") or {}
            if metadata.get("synapsor_action_id") == delivery.action_id:
                return _found(each)
    except stripe.StripeError as error:
        return unknown("cannot_ask", text_of(error.user_message or type(error).__name__))
    except HandlerError as error:
        return unknown("cannot_ask", error.message)
    if looked_at == LOOKED_THROUGH:
        return unknown("cannot_ask", f"not among the first {LOOKED_THROUGH}", park=True)
    return failed("not_found", "Stripe has no such object: not done", retryable=True)


def _found(found: stripe.StripeObject) -> Outcome:
    facts = _facts(found)
    if facts.get("object") == "refund" and facts.get("status") in {"failed", "canceled"}:
        return failed(
            "refund_failed",
            f"the refund is {facts['status']}",
            retryable=False,
            response=facts,
            provider_request_id=facts.get("id"),
        )
    return succeeded(facts, facts.get("id"))
