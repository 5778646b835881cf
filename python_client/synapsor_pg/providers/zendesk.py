"""Zendesk Support: tickets.

Through its HTTP interface and not through ``zenpy``, which knows no Idempotency-Key, sleeps for a
Retry-After inside the call, and so past the end of a lease, and follows redirects.

Settings of an account: ``url``, ``https://<subdomain>.zendesk.com``; ``email`` and ``api_token``,
or ``oauth_token``; ``timeout``, seconds, 20; ``private_networks``.

Operations and their arguments:

* ``tickets.create``: ``subject``, ``body``, ``public`` (default true), ``requester_email`` and
  ``requester_name``, ``priority``, ``type``, ``status``, ``tags``, ``group_id``, ``assignee_id``,
  ``custom_fields``. The ticket's ``external_id`` is the action's id;
* ``tickets.update``: ``ticket_id`` and any of these but requester and ``body``;
* ``tickets.comment``: ``ticket_id``, ``body``, ``public``;
* ``tickets.find`` (by ``external_id``) and ``tickets.changed`` (by the metadata that an update
  leaves in the ticket's audits): for a contract's ``reconcile``.

Zendesk keeps the keys of *created* tickets for two hours and knows none for changes. So another try
of a change first looks whether an earlier one is in the audits, and an update that only sets fields
may be repeated anyway; a comment may not, if two tries overlap::

    {"action": "support.open_ticket", "kind": "external",
     "args": {"subject": {"type": "string", "required": true, "max_length": 150},
              "body": {"type": "string", "required": true},
              "requester_email": {"type": "string"}},
     "hidden": {"tenant_id": {}},
     "provider": "zendesk", "operation": "tickets.create", "queue": "support",
     "idempotency": {"key": "{tenant_id}:{subject}", "idempotent": true, "window": "2 hours"},
     "reconcile": {"operation": "tickets.find", "after": "1 min", "max_attempts": 5}}

    {"action": "support.comment", "kind": "external",
     "args": {"ticket_id": {"type": "integer", "required": true},
              "body": {"type": "string", "required": true}, "public": {"type": "boolean"}},
     "hidden": {"tenant_id": {}},
     "provider": "zendesk", "operation": "tickets.comment", "queue": "support",
     "idempotency": {"idempotent": false},
     "reconcile": {"operation": "tickets.changed", "after": "1 min", "max_attempts": 5}}
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from synapsor_pg.handlers import failed, succeeded, unknown
from synapsor_pg.providers.credentials import ConfigurationError, remember, secret, setting
from synapsor_pg.providers.egress import egress_of, origin_of, url_of
from synapsor_pg.providers.sending import (
    by_status,
    digest_of,
    provider_key,
    provides,
    refused,
    text_of,
)

if TYPE_CHECKING:
    from synapsor_pg.handlers import Delivery, Outcome
    from synapsor_pg.providers.egress import Answer

LONGEST: Final = 1024 * 1024
"""How many bytes of an answer are read: a page of audits is long."""

PAGES: Final = 20
"""How many pages of audits are looked through."""

TRACE: Final = "synapsor_action_id"

FIELDS: Final = (
    "subject",
    "priority",
    "type",
    "status",
    "tags",
    "group_id",
    "assignee_id",
    "custom_fields",
)


@provides("zendesk", "tickets.create")
def create_ticket(delivery: Delivery) -> Outcome:
    """Create a ticket, once per idempotency key."""
    arguments = delivery.arguments
    ticket = _fields(delivery) | {
        "external_id": delivery.action_id,
        "comment": {"body": arguments.get("body", ""), "public": arguments.get("public", True)},
    }
    if arguments.get("requester_email"):
        email = arguments["requester_email"]
        ticket["requester"] = {"email": email, "name": arguments.get("requester_name") or email}
    return _write(delivery, "POST", "/api/v2/tickets", ticket)


@provides("zendesk", "tickets.update")
def update_ticket(delivery: Delivery) -> Outcome:
    """Set fields of a ticket."""
    return _change(delivery, _fields(delivery))


@provides("zendesk", "tickets.comment")
def comment_ticket(delivery: Delivery) -> Outcome:
    """Add a comment to a ticket."""
    arguments = delivery.arguments
    comment = {"body": arguments.get("body", ""), "public": arguments.get("public", True)}
    return _change(delivery, {"comment": comment})


@provides("zendesk", "tickets.find", asks=True)
def find_ticket(delivery: Delivery) -> Outcome:
    """Look for the ticket that an action created."""
    query = urlencode({"external_id": delivery.action_id})
    answer = _send(delivery, "GET", f"/api/v2/tickets?{query}")
    document = _readable(answer)
    if answer.status != 200 or not isinstance(document.get("tickets"), list):  # noqa: PLR2004
        return _cannot_tell(answer)
    for ticket in document["tickets"]:
        if isinstance(ticket, dict) and ticket.get("external_id") == delivery.action_id:
            return succeeded({"ticket": _summary(ticket)}, _identifier(ticket))
    return failed("not_found", "Zendesk has no such ticket: not done", retryable=True)


@provides("zendesk", "tickets.changed", asks=True)
def find_change(delivery: Delivery) -> Outcome:
    """Look for an action's change among the audits of its ticket."""
    path: str | None = (
        f"/api/v2/tickets/{_ticket_id(delivery)}/audits?{urlencode({'page[size]': 100})}"
    )
    for _ in range(PAGES):
        answer = _send(delivery, "GET", path)
        document = _readable(answer)
        if answer.status == 404 and document.get("error") == "RecordNotFound":  # noqa: PLR2004
            return failed("not_found", "Zendesk has no such ticket: not done", retryable=True)
        audits = document.get("audits")
        if answer.status != 200 or not isinstance(audits, list):  # noqa: PLR2004
            return _cannot_tell(answer)
        for audit in audits:
            if _custom(audit).get(TRACE) == delivery.action_id:
                return succeeded({"audit": {"id": audit.get("id")}}, _identifier(audit))
        path = _next_page(document)
        if path is None:
            return failed("not_found", "Zendesk has no such change: not done", retryable=True)
    return unknown("cannot_ask", f"not on the first {PAGES} pages of audits", park=True)


def _change(delivery: Delivery, change: dict[str, Any]) -> Outcome:
    path = f"/api/v2/tickets/{_ticket_id(delivery)}"
    if delivery.sent_before:
        earlier = find_change(delivery)
        if earlier.status != "failed":
            return earlier
    trace = {"metadata": {TRACE: delivery.action_id}}
    return _write(delivery, "PUT", path, change | trace)


def _write(delivery: Delivery, method: str, path: str, ticket: dict[str, Any]) -> Outcome:
    content = json.dumps({"ticket": ticket}, sort_keys=True, separators=(",", ":"))
    _headers(delivery)  # says what is missing before the delivery begins
    delivery.begin(digest_of("zendesk", method, path, content))
    answer = _send(delivery, method, path, content.encode())
    document = _readable(answer)
    request = answer.headers.get("x-request-id")
    code, message = _said(document)
    if code == "IdempotentRequestError":
        # this key belongs to another request: trying again can only end the same
        return unknown(code, message, park=True, provider_request_id=request)
    if 200 <= answer.status < 300:  # noqa: PLR2004
        made = document.get("ticket")
        if not isinstance(made, dict) or _identifier(made) is None:
            return unknown(
                "unexpected_answer", "the answer has no ticket", response=answer.evidence()
            )
        return succeeded({"ticket": _summary(made)}, _identifier(made))
    return by_status(
        delivery,
        answer.status,
        message or f"Zendesk answers {answer.status}",
        error_code=code,
        retry_after=answer.retry_after,
        provider_request_id=request,
    )


def _headers(delivery: Delivery) -> dict[str, str]:
    account = delivery.account
    if setting("zendesk", "oauth_token", account) is not None:
        credentials = f"Bearer {secret('zendesk', 'oauth_token', account)}"
    else:
        email = setting("zendesk", "email", account)
        token = secret("zendesk", "api_token", account)
        if email is None:
            raise ConfigurationError(f"zendesk's account {account} has an api_token and no email")
        pair = f"{email}/token:{token}"
        remember(pair)
        credentials = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return {
        "Authorization": credentials,
        "Accept": "application/json",
        "User-Agent": "synapsor-pg",
    }


def _base(account: str) -> str:
    url = setting("zendesk", "url", account)
    if url is None:
        raise ConfigurationError(
            f"zendesk's account {account} has no url: set SYNAPSOR_ZENDESK_URL"
            " to https://<subdomain>.zendesk.com"
        )
    try:
        return origin_of(url_of(url))
    except ValueError as error:
        raise ConfigurationError(f"the url of zendesk's account {account}: {error}") from None


def _send(delivery: Delivery, method: str, path: str | None, content: bytes = b"") -> Answer:
    base = _base(delivery.account)
    headers = _headers(delivery)
    if content:
        headers["Content-Type"] = "application/json"
        headers["Idempotency-Key"] = provider_key(delivery)
    return egress_of("zendesk", delivery.account, base, max_response=LONGEST).send(
        delivery, method, f"{base}{path}", headers=headers, content=content
    )


def _fields(delivery: Delivery) -> dict[str, Any]:
    return {
        name: delivery.arguments[name]
        for name in FIELDS
        if delivery.arguments.get(name) is not None
    }


def _ticket_id(delivery: Delivery) -> str:
    value = delivery.arguments.get("ticket_id")
    text = str(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not text.isascii():
        raise refused(delivery, "invalid_id", "ticket_id is no number")
    if not text.isdigit():
        raise refused(delivery, "invalid_id", "ticket_id is no number")
    return quote(text)


def _readable(answer: Answer) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _said(document: dict[str, Any]) -> tuple[str | None, str]:
    """Return the code and the words of a refusal; an error may be a text or an object."""
    error = document.get("error")
    if isinstance(error, dict):
        error = error.get("title") or error.get("message")
    code = text_of(error, 100) if isinstance(error, str) else None
    words = [document.get("description"), document.get("details")]
    return code, text_of(" ".join(text_of(each) for each in words if each)) or code or ""


def _summary(ticket: dict[str, Any]) -> dict[str, Any]:
    names = ("id", "url", "external_id", "status", "created_at", "updated_at")
    return {name: ticket[name] for name in names if name in ticket}


def _identifier(made: dict[str, Any]) -> str | None:
    value = made.get("id")
    return str(value) if type(value) is int else None


def _custom(audit: Any) -> dict[str, Any]:
    metadata = audit.get("metadata") if isinstance(audit, dict) else None
    custom = metadata.get("custom") if isinstance(metadata, dict) else None
    return custom if isinstance(custom, dict) else {}


def _next_page(document: dict[str, Any]) -> str | None:
    """Return path and query of the next page; Zendesk's host in it is not believed."""
    meta, links = document.get("meta"), document.get("links")
    if isinstance(meta, dict) and not meta.get("has_more"):
        return None
    following = links.get("next") if isinstance(links, dict) else document.get("next_page")
    if not isinstance(following, str):
        return None
    return url_of(following).raw_path.decode("ascii")


def _cannot_tell(answer: Answer) -> Outcome:
    return unknown(
        "cannot_ask",
        f"Zendesk answers {answer.status}",
        retry_after=answer.retry_after,
        response=answer.evidence(),
    )
