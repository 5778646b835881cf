"""What the tests of the pure package share: the sample contract, a session, a stand-in for `~`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from synapsor_plpython import binding, definition

SESSION: dict[str, object] = {
    "tenant_id": "acme",
    "principal": "alice",
    "actor_type": "agent",
    "roles": ["support"],
    "current_customer_id": "cus_1",
}

PARAMETERS = '{"charge_id": "ch_123", "amount_cents": 2500}'


def refund(**changes: Any) -> dict[str, Any]:
    """Return the contract of design.md section 4, with changes."""
    contract: dict[str, Any] = {
        "action": "billing.issue_refund",
        "kind": "external",
        "description": "Gives money back.",
        "label": "2026-11",
        "args": {
            "charge_id": {"type": "string", "required": True, "max_length": 64},
            "amount_cents": {
                "type": "integer",
                "required": True,
                "minimum": 1,
                "maximum": 500000,
            },
        },
        "hidden": {
            "tenant_id": {},
            "principal": {},
            "customer": {"from": "current_customer_id", "required": True},
        },
        "provider": "stripe",
        "account": "default",
        "operation": "refunds.create",
        "queue": "billing_external_actions",
        "idempotency": {
            "key": "{tenant_id}:refund:{charge_id}:{amount_cents}",
            "idempotent": True,
            "window": "24 hours",
        },
        "approval": {
            "required": True,
            "role": "billing_reviewer",
            "approvals": 1,
            "separate_duties": True,
            "expires_after": "24 hours",
            "unless": "$.args.amount_cents <= 2500",
        },
        "retry": {
            "max_attempts": 3,
            "initial": "100 ms",
            "multiplier": 2,
            "max": "1 s",
            "jitter": "full",
        },
        "lease": "60 s",
        "priority": 0,
        "ordering_key": "{charge_id}",
        "redact": ["charge_id"],
        "require_claim_token": False,
        "poison_after": 5,
        "reconcile": {"operation": "refunds.find", "after": "30 s", "max_attempts": 5},
        "limits": [
            {
                "sum": "amount_cents",
                "max": 500000,
                "per": "day",
                "by": ["tenant_id"],
                "on_exceed": "approve",
            }
        ],
        "policies": ["billing.refund_limit.v1"],
        "required_roles": [],
        "required_permissions": [],
        "actor_types": ["natural_person", "agent", "system"],
        "require_run": False,
        "deliver_within": "2 hours",
        "emits_events": ["RefundRequested"],
        "mutates_domain": True,
        "handler": None,
        "state_machine": None,
        "adapter_steps": [],
        "plan": None,
        "compensate_with": None,
    }
    contract.update(changes)
    return contract


def small(**changes: Any) -> dict[str, Any]:
    """Return a contract with nothing but an id, with changes."""
    return {"action": "billing.issue_refund", **changes}


def compiled(source: dict[str, Any], version: int = 1) -> binding.Contract:
    """Check and compile a contract that must be sound."""
    normalised, reasons, _ = definition.check_action(source)
    assert reasons == []
    return binding.compile_contract(normalised["action"], version, normalised)


def matches(pattern: str, value: str) -> bool:
    """Search as PostgreSQL's `value ~ pattern` does, for the simple patterns of these tests."""
    return re.search(pattern, value) is not None


def no_pattern(_pattern: str, _value: str) -> bool:
    """Stand for the database where no pattern may be asked about."""
    raise AssertionError


def json_values(*, numbers: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[Any]:
    """Generate any JSON value."""
    if numbers is None:
        numbers = (
            st.integers(-(2**53) + 1, 2**53 - 1)
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.decimals(allow_nan=False, allow_infinity=False).filter(
                lambda number: Decimal(repr(float(number))) == number
            )
        )
    texts = st.text(st.characters(exclude_categories=["Cs"]))
    return st.recursive(
        st.none() | st.booleans() | numbers | texts,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=12,
    )
