"""Workflow contracts: their defaults, and every reason against a definition."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synapsor_plpython import workflow

NAMES = st.text("ab._ ", max_size=4)

FLOW: dict[str, Any] = {
    "workflow": "billing.late_fee_waiver_flow",
    "label": "2026-05-27",
    "description": "Late fees",
    "session_requirements": ["tenant_id", "principal", "current_invoice_id"],
    "allowed_capabilities": ["billing.propose_late_fee_waiver"],
    "allowed_actions": ["stripe.issue_refund"],
    "entry_capability": "billing.propose_late_fee_waiver",
    "evidence_required": True,
    "checkpoint_every_step": True,
    "auto_branch_on_proposal": True,
    "risk_policy": {"medium": {"approval_role": "billing_reviewer"}},
    "max_steps": 10,
    "max_tool_calls": 5,
    "max_input_tokens": 100000,
    "max_output_tokens": 5000,
    "retention": {"runs_days": 730, "evidence_days": 90},
}


def test_a_complete_contract_is_kept_as_it_is() -> None:
    normalised, reasons = workflow.check_workflow(FLOW)
    assert (normalised, reasons) == (FLOW, [])


def test_defaults_are_filled_in() -> None:
    normalised, reasons = workflow.check_workflow({"workflow": "a flow"})
    assert reasons == []
    assert normalised == {
        **dict.fromkeys(FLOW),
        "workflow": "a flow",
        "session_requirements": [],
        "evidence_required": False,
        "checkpoint_every_step": False,
        "auto_branch_on_proposal": False,
        "risk_policy": {},
        "retention": {"runs_days": None, "evidence_days": None},
    }


@pytest.mark.parametrize(
    ("given_lists", "capabilities", "actions"),
    [
        ({}, None, None),
        ({"allowed_capabilities": ["a"]}, ["a"], []),
        ({"allowed_actions": ["a.b"]}, None, ["a.b"]),
        ({"allowed_capabilities": [], "allowed_actions": []}, [], []),
    ],
)
def test_a_contract_that_names_capabilities_alone_allows_no_action(
    given_lists: dict[str, Any], capabilities: list[str] | None, actions: list[str] | None
) -> None:
    normalised, _ = workflow.check_workflow({"workflow": "w", **given_lists})
    assert normalised["allowed_capabilities"] == capabilities
    assert normalised["allowed_actions"] == actions


@pytest.mark.parametrize(
    ("changes", "path", "reason"),
    [
        ({"workflow": None}, "workflow", "is required"),
        ({"max_step": 1}, "max_step", "is not a known key (did you mean max_steps?)"),
        ({"max_steps": -1}, "max_steps", "is not an integer from 0"),
        ({"max_tool_calls": True}, "max_tool_calls", "is not an integer"),
        ({"allowed_actions": ["refund"]}, "allowed_actions[0]", "is named namespace.verb"),
        ({"allowed_capabilities": "x"}, "allowed_capabilities", "is a string, not an array"),
        ({"session_requirements": ["a", "a"]}, "session_requirements[1]", "is named twice"),
        ({"entry_capability": "other"}, "entry_capability", "is none of allowed_capabilities"),
        ({"evidence_required": "yes"}, "evidence_required", "is a string, not a boolean"),
        ({"risk_policy": {"Very High": {}}}, "risk_policy", "is no field name"),
        ({"risk_policy": {"high": {}}}, "risk_policy.high.approval_role", "is required"),
        ({"risk_policy": {"high": {"role": "a"}}}, "risk_policy.high.role", "is not a known key"),
        ({"retention": {"runs_days": 0}}, "retention.runs_days", "is not an integer from 1"),
        ({"retention": {"runs": 1}}, "retention.runs", "is not a known key"),
    ],
)
def test_a_mistake_is_told_with_its_path(changes: dict[str, Any], path: str, reason: str) -> None:
    _, reasons = workflow.check_workflow({**FLOW, **changes})
    assert [(found.path, found.reason) for found in reasons if path in found.path]
    assert any(reason in found.reason for found in reasons if path in found.path)


def test_all_mistakes_are_told_at_once() -> None:
    _, reasons = workflow.check_workflow({"max_steps": "x", "retention": [], "entry_capability": 1})
    assert len(reasons) == 4


def test_what_is_no_object_or_no_json_is_a_reason() -> None:
    for text in ("[]", "null", '"x"', "{", '{"a": 1, "a": 2}'):
        checked = json.loads(workflow.check_workflow_json(text))
        assert checked["definition"] is None
        assert checked["reasons"]


def test_json_gives_the_definition() -> None:
    checked = json.loads(workflow.check_workflow_json(json.dumps(FLOW)))
    assert checked == {"definition": FLOW, "reasons": []}


@given(
    st.dictionaries(
        st.sampled_from([*FLOW, "other"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | NAMES,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
            max_leaves=5,
        ),
    )
)
def test_checking_is_total_and_what_it_accepts_is_a_fixpoint(definition: dict[str, Any]) -> None:
    normalised, reasons = workflow.check_workflow(definition)
    if not reasons:
        assert workflow.check_workflow(normalised) == (normalised, [])
