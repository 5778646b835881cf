"""What the tests of providers share: a delivery by hand, and one through worker and database."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import synapsor_pg
from client.test_handlers import a_delivery
from synapsor_pg import Client, Outcome
from synapsor_pg.handlers import classify

if TYPE_CHECKING:
    from types import ModuleType

    from client.workshop import Workshop

ACTION_ID = "act_01KB4TD6RG0123456789ABCDEF"
"""Proposed on 2025-11-28."""


def now_id(number: int) -> str:
    """The id of an action that is proposed now."""
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    left, spelled = int(time.time() * 1000), ""
    for _ in range(10):
        left, digit = divmod(left, 32)
        spelled = digits[digit] + spelled
    return f"act_{spelled}{number:016}"


def deliver(
    provider: str,
    operation: str,
    arguments: dict[str, Any],
    *,
    registry: synapsor_pg.Registry = synapsor_pg.registry,
    **facts: Any,
) -> Outcome:
    """What becomes of a delivery, as the worker would see it."""
    values = {"action_id": ACTION_ID, "provider": provider, "operation": operation} | facts
    delivery = a_delivery(begun=False, arguments=arguments, **values)
    registration = registry.get(provider, operation)
    assert registration is not None, operation
    try:
        return registration.function(delivery)
    except Exception as error:  # noqa: BLE001
        return classify(error, delivery)


def again(**facts: Any) -> dict[str, Any]:
    """The facts of another try after one that may have reached the provider."""
    return {"attempt": 2, "delivery_started_at": datetime.now(UTC)} | facts


def verdict(outcome: Outcome) -> str:
    """An outcome in one word."""
    if outcome.status == "failed":
        return "retryable" if outcome.retryable else "rejected"
    return "parked" if outcome.park else outcome.status


def examples(module: ModuleType) -> list[dict[str, Any]]:
    """The contracts in a module's documentation."""
    assert module.__doc__ is not None
    found = re.findall(
        r'^    (\{"action".*?)\n\n', module.__doc__ + "\n\n", re.DOTALL | re.MULTILINE
    )
    return [json.loads(each) for each in found]


def perform(
    workshop: Workshop,
    contract: dict[str, Any],
    *arguments: dict[str, Any],
    registry: synapsor_pg.Registry = synapsor_pg.registry,
    within: float = 10.0,
) -> list[dict[str, Any]]:
    """Declare, propose, let a worker work until all have ended: the rows of the actions."""
    quick = {"max_attempts": 4, "initial": "10 ms", "max": "20 ms"}
    if not contract.get("idempotency", {}).get("idempotent", True):
        quick["max_attempts"] = 1
    with workshop.superuser() as connection:
        Client(connection).declare_action(contract | {"retry": quick})
    with workshop.client("test_caller") as client:
        proposed = client.propose_external_actions(contract["action"], list(arguments))
    ids = [each.action_id for each in proposed]
    with workshop.working(queues=[contract["queue"]], registry=registry):
        workshop.wait_for(ids, within=within)
    return [workshop.action(each) for each in ids]
