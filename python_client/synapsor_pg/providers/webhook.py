"""Signed webhooks (https://www.standardwebhooks.com): any HTTP service can be a provider.

Settings of an account, which is one receiver: ``url``; ``secret``, ``whsec_…``, or several
separated by blanks while they are rotated (each signs); ``private_networks``, such as
``10.1.0.0/16``, for a receiver that is not on the public internet; ``timeout``, seconds, 20.

The operation is ``messages.send`` and takes whatever arguments the contract has. The receiver gets
``{"type": <the action>, "timestamp": <when it was proposed>, "id": <the action's id>, "data": <ARG
and HIDDEN>}``. ``webhook-id`` is made of tenant, action and idempotency key and is the same on
every try: a receiver that remembers the ids it has seen acts once. Receivers without such a memory
want ``"idempotent": false`` in the contract::

    {"action": "orders.shipped", "kind": "external",
     "args": {"order_id": {"type": "string", "required": true}},
     "hidden": {"tenant_id": {}},
     "provider": "webhook", "account": "default", "operation": "messages.send", "queue": "webhooks",
     "idempotency": {"key": "{tenant_id}:{order_id}", "idempotent": true, "window": "3 days"},
     "retry": {"max_attempts": 8, "initial": "5 s", "multiplier": 4, "max": "10 hours"}}

On the other side, with ``pip install standardwebhooks``::

    from standardwebhooks import Webhook

    def receive(headers, body, seen):
        message = Webhook(SECRET).verify(body, headers)  # raises unless signed by us, just now
        if headers["webhook-id"] not in seen:  # a unique key in the transaction of the effect
            seen.add(headers["webhook-id"])
            act_on(message["type"], message["data"])
        return 204

2xx: succeeded. 410 and other 4xx: failed for good. 429, and 503 with Retry-After: another try, not
earlier. Everything else: unknown, tried again under the same id.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from standardwebhooks.webhooks import Webhook

from synapsor_pg.providers.credentials import ConfigurationError, remember, secret
from synapsor_pg.providers.egress import egress_of
from synapsor_pg.providers.sending import (
    by_status,
    digest_of,
    proposed_at,
    provider_key,
    provides,
)

if TYPE_CHECKING:
    from synapsor_pg.handlers import Delivery, Outcome


@provides("webhook", "messages.send")
def send_message(delivery: Delivery) -> Outcome:
    """Post one signed message to the account's receiver."""
    account = delivery.account
    url = secret("webhook", "url", account)  # a receiver's address often has a token in it
    signers = _signers(account)
    egress = egress_of("webhook", account, url)
    body = render(delivery)
    identifier = provider_key(delivery, "msg_")
    delivery.begin(digest_of("webhook", url, identifier, body))
    answer = egress.send(
        delivery,
        "POST",
        url,
        headers={
            "Content-Type": "application/json",
            "User-Agent": "synapsor-pg",
            **signed(signers, identifier, body),
        },
        content=body.encode(),
    )
    return by_status(
        delivery,
        answer.status,
        f"the receiver answers {answer.status}",
        retry_after=answer.retry_after,
        response=answer.evidence(),
        provider_request_id=identifier,
    )


def render(delivery: Delivery) -> str:
    """Return the message's body; the same on every try."""
    proposed = proposed_at(delivery)
    message: dict[str, Any] = {
        "type": delivery.action,
        "id": delivery.action_id,
        "data": delivery.arguments,
    }
    if proposed is not None:
        message["timestamp"] = proposed.isoformat().replace("+00:00", "Z")
    return json.dumps(message, sort_keys=True, separators=(",", ":"))


def signed(signers: list[Webhook], identifier: str, body: str) -> dict[str, str]:
    """Return the headers of a message that is sent now."""
    now = datetime.now(UTC)
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(each.sign(identifier, now, body) for each in signers),
    }


def _signers(account: str) -> list[Webhook]:
    signers = []
    for each in secret("webhook", "secret", account).split():
        remember(each)
        remember(each.removeprefix("whsec_"))
        try:
            signers.append(Webhook(each))
        except Exception:  # noqa: BLE001 - the library's error may show the secret
            raise ConfigurationError(
                f"the secret of webhook's account {account} is not base64, with or without whsec_"
            ) from None
    return signers
