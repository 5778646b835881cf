"""What all providers share: how a handler is registered, and what an answer says about the effect.

The one table of what is known afterwards (``by_status`` and ``egress`` follow it):

==============================================  =====================================
what happened                                   what is known
==============================================  =====================================
nobody there, no such host, TLS refused         not sent: failed, worth another try
the address is forbidden                        not sent: failed for good
cut off or too late once the request was sent   unknown
2xx                                             succeeded
429, 425; 503 with Retry-After                  failed, worth another try, not earlier
401                                             failed, worth another try: mend the credentials
408, 409, other 5xx, an answer nobody can read  unknown: the same key tells the truth
any other 4xx, 307, 308                         failed for good
any other 3xx                                   unknown, for a person
==============================================  =====================================

"For good" never is said after an earlier try that may have reached the provider: a refusal now is
no word on what that try has done. The failure then counts as worth another try, and the database,
which remembers whether an outcome got lost, ends in ``failed`` or in ``unknown``.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from synapsor_pg import handlers
from synapsor_pg.errors import SynapsorError
from synapsor_pg.handlers import (
    ClaimLostError,
    HandlerError,
    RejectedError,
    RetryableError,
    failed,
    succeeded,
    unknown,
)
from synapsor_pg.providers.credentials import ConfigurationError, cleaned, remembering

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapsor_pg.handlers import Delivery, Outcome, Registry

LONGEST_WAIT: Final = 24 * 60 * 60.0
"""How many seconds a provider may ask us to wait: it must not park an action for years."""

MEND_WITHIN: Final = 30.0
"""How many seconds an operator has, try by try, to mend a configuration."""

LONGEST_KEY: Final = 255

_ULID = re.compile(r"act_([0-7][0-9A-HJKMNP-TV-Z]{9})[0-9A-HJKMNP-TV-Z]{16}")
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def provides(
    provider: str,
    operation: str,
    *,
    asks: bool = False,
    timeout: float | None = None,
    registry: Registry | None = None,
) -> Callable[[Callable[[Delivery], Outcome]], Callable[[Delivery], Outcome]]:
    """Register the decorated function as an operation's handler.

    It calls ``delivery.begin(digest_of(…))`` just before its first byte. What it says or raises is
    classified here and cleaned of credentials, before a worker can log or store it.

    One that ``asks`` is for a contract's ``reconcile`` and begins nothing. Its answers: it was done
    (``succeeded``), it was not and may be (``failed``, retryable) or may not be tried again
    (``failed``), or nobody can tell (``unknown``); an error only ever means the last.
    """

    def register(function: Callable[[Delivery], Outcome]) -> Callable[[Delivery], Outcome]:
        @functools.wraps(function)
        def perform(delivery: Delivery) -> Outcome:
            with remembering():
                try:
                    outcome = function(delivery)
                except (ClaimLostError, SynapsorError):
                    raise  # the database's word, for the worker
                except Exception as error:  # noqa: BLE001 - whatever it is, it is classified
                    outcome = _classified(error, delivery, asks=asks)
                return cleaned(outcome)

        where = handlers.registry if registry is None else registry
        return where.handler(provider, operation, begin="manual", timeout=timeout)(perform)

    return register


def _classified(error: Exception, delivery: Delivery, *, asks: bool) -> Outcome:
    message = text_of(error.message if isinstance(error, HandlerError) else str(error))
    if asks or delivery.purpose == "reconcile":
        return unknown("cannot_ask", message or type(error).__name__)
    if isinstance(error, ConfigurationError):
        return failed(error.error_code, message, retryable=True, retry_after=MEND_WITHIN)
    return handlers.classify(error, delivery)


def digest_of(*parts: Any) -> str:
    """Return the SHA-256 of a rendered request; equal requests have equal digests.

    Pass all that makes the effect (method, address, body), and nothing that may differ between two
    tries of the same action: no time, no signature, no credential.
    """
    rendered = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(rendered.encode("utf-8", "surrogatepass")).hexdigest()


def provider_key(delivery: Delivery, prefix: str = "syn_") -> str:
    """Return an idempotency key that is safe in any header, made from the delivery's own.

    The same on every try. Providers know nothing of our tenants, so the key is digested with tenant
    and action: nobody can choose a key that makes another tenant's request look like a repeat.
    """
    return prefix + digest_of(delivery.tenant_id, delivery.action, delivery.idempotency_key)[:48]


def proposed_at(delivery: Delivery) -> datetime | None:
    """Return when the action was proposed: the time in its id, the same on every try."""
    found = _ULID.fullmatch(delivery.action_id)
    if found is None:
        return None
    milliseconds = functools.reduce(
        lambda total, digit: total * 32 + _CROCKFORD.index(digit), found[1], 0
    )
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError):
        return None


def text_of(value: Any, limit: int = 500) -> str:
    """Return what a provider said as one short line."""
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return " ".join("".join(c if c.isprintable() else " " for c in said[: 4 * limit]).split())[
        :limit
    ]


def retry_after_of(value: str | None, *, now: datetime | None = None) -> float | None:
    """Return the seconds a Retry-After header asks for: a number, or a date (RFC 9110)."""
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text):
        return min(float(text), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    wait = (moment - (now or datetime.now(UTC))).total_seconds()
    return min(max(wait, 0.0), LONGEST_WAIT)


def refused(delivery: Delivery, error_code: str, message: str) -> HandlerError:
    """Return the error for: nothing was done now, and another try would end the same."""
    kind = RetryableError if delivery.sent_before else RejectedError
    return kind(error_code, message)


def by_status(  # noqa: PLR0913 - an outcome has that many sides
    delivery: Delivery,
    status: int,
    message: str,
    *,
    error_code: str | None = None,
    retry_after: float | None = None,
    response: Any = None,
    provider_request_id: str | None = None,
) -> Outcome:
    """Return what an HTTP status says about the effect, where nothing better is known."""
    code = error_code or f"http_{status}"
    facts: dict[str, Any] = {"response": response, "provider_request_id": provider_request_id}
    if 200 <= status < 300:  # noqa: PLR2004
        return succeeded(**facts)
    if status in {425, 429} or (status == 503 and retry_after is not None):  # noqa: PLR2004
        return failed(code, message, retryable=True, retry_after=retry_after, **facts)
    if status == 401:  # noqa: PLR2004
        wait = MEND_WITHIN if retry_after is None else retry_after
        return failed(code, message, retryable=True, retry_after=wait, **facts)
    if status in {408, 409} or not 300 <= status < 500:  # noqa: PLR2004
        return unknown(code, message, retry_after=retry_after, **facts)
    if status < 400 and status not in {307, 308}:  # noqa: PLR2004
        # "see other" is also what a form says that has done its work
        return unknown(code, message, park=True, **facts)
    return failed(code, message, retryable=delivery.sent_before, **facts)
