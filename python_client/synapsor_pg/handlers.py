"""What performs an action: handlers, what they are given and what they answer.

A handler is registered for a provider's operation and gets a ``Delivery``. It sends the request
with ``delivery.idempotency_key`` and returns what is *known* about the effect:

* ``succeeded(…)``: the provider did it;
* ``failed(…)``: known not done, by the provider's own answer or because nothing was sent;
* ``unknown(…)``: the provider may have done it.

An exception is classified by the same question (``classify``). When in doubt it is ``unknown``:
the database then retries with the same key where the contract says that this is safe, and
otherwise keeps the action for reconciliation. A doubt is never reported as failed.

The handler of a contract's ``reconcile`` operation asks what became of an ``unknown`` action
(``delivery.purpose`` is ``reconcile``); it begins nothing and changes nothing. Its answers settle
the action: ``succeeded`` as succeeded, with response and provider's id as evidence; ``failed``
as queued, known not done, or with ``retryable=False`` as failed; ``unknown``, and whatever it
raises, leaves it unknown, to be asked again.
"""

# ruff: noqa: PLR0913 - an outcome has that many sides

from __future__ import annotations

import functools
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from synapsor_pg.models import Claim, JsonObject

Begin = Literal["auto", "manual"]


class HandlerError(Exception):
    """Base of what a handler raises on purpose."""

    def __init__(
        self,
        error_code: str,
        message: str = "",
        *,
        retry_after: timedelta | None = None,
        provider_request_id: str | None = None,
    ) -> None:
        """Keep the provider's code, words and wish."""
        super().__init__(message or error_code)
        self.error_code = error_code
        self.message = message or error_code
        self.retry_after = retry_after
        self.provider_request_id = provider_request_id


class RetryableError(HandlerError):
    """Known not done, and worth another try."""


class RejectedError(HandlerError):
    """Known not done, and another try would end the same."""


class UnknownOutcomeError(HandlerError):
    """The provider may have done it."""


class ClaimLostError(Exception):
    """The claim is gone and nothing was sent: the handler must not send now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is known about the effect; made by ``succeeded``, ``failed`` and ``unknown``."""

    status: Literal["succeeded", "failed", "unknown"]
    response: Any = None
    provider_request_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    retryable: bool | None = None
    retry_after: timedelta | None = None
    park: bool = False


def succeeded(response: Any = None, provider_request_id: str | None = None) -> Outcome:
    """Say that the provider did it."""
    return Outcome(status="succeeded", response=response, provider_request_id=provider_request_id)


def failed(
    error_code: str,
    message: str = "",
    *,
    retryable: bool | None = None,
    retry_after: timedelta | float | None = None,
    response: Any = None,
    provider_request_id: str | None = None,
) -> Outcome:
    """Say that it is known not done.

    ``retryable=False`` ends it; ``retry_after`` (seconds) wins over the contract's backoff.
    """
    return Outcome(
        status="failed",
        response=response,
        provider_request_id=provider_request_id,
        error_code=error_code,
        error_message=message or error_code,
        retryable=retryable,
        retry_after=_duration(retry_after),
    )


def unknown(
    error_code: str,
    message: str = "",
    *,
    retry_after: timedelta | float | None = None,
    park: bool = False,
    response: Any = None,
    provider_request_id: str | None = None,
) -> Outcome:
    """Say that the provider may have done it.

    The claim is given back with this reason: the database retries with the same key if the contract
    is idempotent, its window is open and fewer than ``poison_after`` deliveries are lost, else the
    action becomes ``unknown``. With ``park`` it becomes ``unknown`` at once, with this evidence,
    whatever the contract says.
    """
    return Outcome(
        status="unknown",
        response=response,
        provider_request_id=provider_request_id,
        error_code=error_code,
        error_message=message or error_code,
        retry_after=_duration(retry_after),
        park=park,
    )


def _duration(value: timedelta | float | None) -> timedelta | None:
    return timedelta(seconds=value) if isinstance(value, (int, float)) else value


_MAKING = threading.Lock()


class Delivery:
    """One claimed action on its way to the provider: what a handler is given.

    ``cancelled`` is set when the claim is lost, the handler's time is over or the worker's drain
    deadline has passed: stop waiting for the provider and return ``unknown(…)``.
    """

    def __init__(
        self, claim: Claim, begin: Callable[[Delivery, str | None], None], deadline: float
    ) -> None:
        """Hold a claim whose lease ends at ``deadline`` of ``time.monotonic()``."""
        self.claim = claim
        self.deadline = deadline
        self.begun = False
        self.cancelled_because: str | None = None
        self._begin = begin
        self._has_digest = False
        self._cancelled: threading.Event | None = None

    @property
    def cancelled(self) -> threading.Event:
        """Set when the handler must stop; made when first asked for, since few are."""
        if self._cancelled is None:
            with _MAKING:
                if self._cancelled is None:
                    self._cancelled = threading.Event()
        return self._cancelled

    @property
    def is_cancelled(self) -> bool:
        """Whether ``cancelled`` is set."""
        return self._cancelled is not None and self._cancelled.is_set()

    @property
    def action_id(self) -> str:
        """The action's id."""
        return self.claim.action_id

    @property
    def action(self) -> str:
        """The contract's name."""
        return self.claim.action

    @property
    def tenant_id(self) -> str:
        """The tenant the effect belongs to."""
        return self.claim.tenant_id

    @property
    def account(self) -> str:
        """The provider account to use, named by the contract."""
        return self.claim.account or "default"

    @property
    def arguments(self) -> JsonObject:
        """ARG and HIDDEN values together, as approved."""
        return self.claim.arguments

    @property
    def idempotency_key(self) -> str:
        """The key for the provider: the same on every try."""
        return self.claim.idempotency_key

    @property
    def attempt(self) -> int:
        """Which try this is, from 1."""
        return self.claim.attempt

    @property
    def purpose(self) -> str:
        """``deliver``, or ``reconcile``: find out what became of it."""
        return self.claim.purpose

    @property
    def run_id(self) -> str | None:
        """The agent run that this action hangs on."""
        return self.claim.run_id

    @property
    def sent_before(self) -> bool:
        """Whether an earlier attempt may have reached the provider."""
        return self.claim.delivery_started_at is not None

    def remaining(self) -> float:
        """Return the seconds left of the lease, as far as renewed."""
        return max(0.0, self.deadline - time.monotonic())

    def begin(self, request_digest: str | None = None) -> None:
        """Record that the first byte is about to be sent; a repeat can only add the digest.

        The worker calls it before the handler unless that was registered with ``begin="manual"``.
        Raises ClaimLostError when the claim is gone: then nothing may be sent.
        """
        if not self.begun or (request_digest is not None and not self._has_digest):
            self._begin(self, request_digest)
            self.begun = True
            self._has_digest = request_digest is not None


if TYPE_CHECKING:
    Handles = Callable[[Delivery], Outcome | Coroutine[Any, Any, Outcome]]
    """A handler: a function, or a coroutine function."""

Handling = TypeVar("Handling", bound="Handles")

PLAN = "plan"
"""The provider of contracts whose actions are nodes of plans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A handler and how it wants to be called."""

    function: Handles
    begin: Begin = "auto"
    timeout: float | None = None
    config: Any = None
    """A plan handler's: an example of its configuration."""
    parameters: Any = None
    """A plan handler's: an example of its parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeResult:
    """What a plan handler reports of its node (plans-action-blocks, Result).

    ``status``: any status of the document; nodes below run by it. A handler that raises makes its
    node Failed.
    """

    status: str = "Complete"
    exit_data: Any = None
    exit_code: int | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStart:
    """What a plan handler is given: the part of the delivery that its contract declares."""

    delivery: Delivery
    config: Any
    parameters: Any
    parent_exit_data: Any
    is_dry_run: bool


class Registry:
    """Handlers by (provider, operation)."""

    def __init__(self) -> None:
        """Start empty."""
        self._registrations: dict[tuple[str, str], Registration] = {}

    def handler(
        self, provider: str, operation: str, *, begin: Begin = "auto", timeout: float | None = None
    ) -> Callable[[Handling], Handling]:
        """Register the decorated function, or coroutine function, for a provider's operation.

        ``timeout`` (seconds): after it the lease is no longer renewed and ``cancelled`` is set; a
        coroutine is cancelled.
        """

        def register(function: Handling) -> Handling:
            self._register(
                provider, operation, Registration(function=function, begin=begin, timeout=timeout)
            )
            return function

        return register

    def plan_handler(
        self,
        kind: str,
        *,
        config: Any = None,
        parameters: Any = None,
        timeout: float | None = None,
    ) -> Callable[[Callable[[NodeStart], Any]], Callable[[NodeStart], Any]]:
        """Register the decorated function for plan nodes whose handler is ``Lib:Name``.

        It returns a ``NodeResult``, or just its exit data. Nodes reach it through an external
        contract with provider ``plan`` and operation ``Lib:Name``, whose args may be ``config``,
        ``parameters``, ``parent_exit_data``, ``is_dry_run`` and the rest that the database tells
        (``plan_handler_contract`` makes one). ``config`` and ``parameters``: examples, for
        ``synapsor-pg plan sample``.
        """

        def register(function: Callable[[NodeStart], Any]) -> Callable[[NodeStart], Any]:
            @functools.wraps(function)
            def deliver(delivery: Delivery) -> Outcome:
                told = delivery.arguments
                answer = function(
                    NodeStart(
                        delivery=delivery,
                        config=told.get("config"),
                        parameters=told.get("parameters"),
                        parent_exit_data=told.get("parent_exit_data"),
                        is_dry_run=bool(told.get("is_dry_run")),
                    )
                )
                result = answer if isinstance(answer, NodeResult) else NodeResult(exit_data=answer)
                report = {**asdict(result), "pid": os.getpid()}
                return succeeded({key: said for key, said in report.items() if said is not None})

            self._register(
                PLAN,
                kind,
                Registration(
                    function=deliver, timeout=timeout, config=config, parameters=parameters
                ),
            )
            return function

        return register

    def _register(self, provider: str, operation: str, registration: Registration) -> None:
        known = self._registrations.get((provider, operation))
        if known is not None and known.function is not registration.function:
            message = f"{provider}/{operation} has a handler already: {known.function!r}"
            raise ValueError(message)
        self._registrations[provider, operation] = registration

    def get(self, provider: str, operation: str) -> Registration | None:
        """Return the handler of an operation."""
        return self._registrations.get((provider, operation))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Iterate over the operations that have a handler."""
        return iter(sorted(self._registrations))

    def __len__(self) -> int:
        """Return how many operations have a handler."""
        return len(self._registrations)


registry = Registry()
"""The handlers of this process, filled by ``@handler``."""

handler = registry.handler
plan_handler = registry.plan_handler


def plan_handler_contract(
    kind: str, action: str, *, queue: str = "plans", idempotent: bool = False, **keys: Any
) -> JsonObject:
    """Return the contract through which nodes reach ``@plan_handler(kind)``, for declare_action."""
    told = {"type": ["object", "array", "string", "number", "boolean", "null"]}
    names = ("config", "parameters", "parent_exit_data")
    return {
        "action": action,
        "kind": "external",
        "provider": PLAN,
        "operation": kind,
        "queue": queue,
        "args_schema": {
            "type": "object",
            "properties": {**dict.fromkeys(names, told), "is_dry_run": {"type": "boolean"}},
        },
        "idempotency": {"idempotent": idempotent},
        **keys,
    }


_NEVER_CONNECTED = frozenset(
    {
        # requests, urllib3, httpx, httpcore, aiohttp; by name, so that none of them is a dependency
        "ConnectTimeout",
        "ConnectTimeoutError",
        "NewConnectionError",
        "NameResolutionError",
        "ConnectError",
        "ClientConnectorError",
    }
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        suppressed = current.__suppress_context__
        current = current.__cause__ or (None if suppressed else current.__context__)


def nothing_was_sent(error: BaseException) -> bool:
    """Return whether the error says that no connection to the provider came about.

    True only for a handler whose single effect is its single request: one that sends several must
    catch such errors itself.
    """
    return any(
        isinstance(cause, (ConnectionRefusedError, socket.gaierror))
        or type(cause).__name__ in _NEVER_CONNECTED
        for cause in _causes(error)
    )


def classify(error: BaseException, delivery: Delivery) -> Outcome:
    """Return what an exception of a handler says about the effect."""
    if delivery.purpose == "reconcile":
        # that nobody could be asked is no answer
        said = error if isinstance(error, HandlerError) else None
        message = str(error) if said is None else said.message
        return unknown(
            type(error).__name__ if said is None else said.error_code,
            message,
            retry_after=None if said is None else said.retry_after,
        )
    if isinstance(error, HandlerError):
        known_not_done = isinstance(error, (RetryableError, RejectedError))
        return Outcome(
            status="failed" if known_not_done else "unknown",
            error_code=error.error_code,
            error_message=error.message,
            retryable=isinstance(error, RetryableError) if known_not_done else None,
            retry_after=error.retry_after,
            provider_request_id=error.provider_request_id,
        )
    name = type(error).__name__
    if not delivery.begun or nothing_was_sent(error):
        # worth another try; should an earlier one have got lost, the database remembers that, and
        # ends in unknown instead of failed when no tries are left
        return failed(name, str(error), retryable=True)
    return unknown(name, str(error))
