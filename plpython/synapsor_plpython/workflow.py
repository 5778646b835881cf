"""Workflow contracts: what `declare_workflow` accepts, with every default filled in.

The keys are those of design.md section 4. All reasons against a definition are collected. What a
run may do under the contract is judged in the database, step by step.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from synapsor_plpython import canonical
from synapsor_plpython.definition import ACTION
from synapsor_plpython.reading import NAME, PROSE, Findings, Reader, Reason, Shape, a_kind

if TYPE_CHECKING:
    from re import Pattern

RISK: Final[Pattern[str]] = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""What a step gives as its risk."""

LARGEST: Final = 2**31 - 1
"""Limits on steps and tool calls are integers of four bytes, as the steps' own tokens are."""

LONGEST_RETENTION: Final = 36500
"""Days; a hundred years."""

_LABEL: Final = Shape(200)
# As start_agent_run takes it: a workflow that is only a name may have any.
_WORKFLOW: Final = Shape(200)
_KEYS: Final = (
    *("workflow", "label", "description", "session_requirements", "allowed_capabilities"),
    *("allowed_actions", "entry_capability", "evidence_required", "checkpoint_every_step"),
    *("auto_branch_on_proposal", "risk_policy", "max_steps", "max_tool_calls"),
    *("max_input_tokens", "max_output_tokens", "retention"),
)
_LIMITS: Final = {
    "max_steps": LARGEST,
    "max_tool_calls": LARGEST,
    "max_input_tokens": canonical.SAFE_INTEGER,
    "max_output_tokens": canonical.SAFE_INTEGER,
}


def check_workflow(definition: object) -> tuple[dict[str, Any], list[Reason]]:
    """Return the definition with its defaults, and every reason against it.

    A list of capabilities or actions that is not given bounds nothing and stays null, but for one:
    a contract that names capabilities and no actions allows no action.
    """
    found = Findings()
    if not isinstance(definition, dict):
        found.refuse("definition", f"is {a_kind(definition)}, not an object")
        return {}, found.reasons
    return _read_workflow(Reader(found, definition, "", _KEYS)), found.reasons


def check_workflow_json(text: str) -> str:
    """Check a definition given as JSON text: `{"definition", "reasons": [{"path", "reason"}]}`."""
    try:
        normalised, reasons = check_workflow(canonical.loads(text))
    except canonical.CanonicalError as error:
        normalised, reasons = {}, [Reason("definition", f"is unreadable: {error}")]
    return json.dumps(
        {
            "definition": None if reasons else normalised,
            "reasons": [asdict(reason) for reason in reasons],
        }
    )


def _read_workflow(reader: Reader) -> dict[str, Any]:
    reader.require("workflow")
    capabilities = _names(reader, "allowed_capabilities", NAME)
    actions = _names(reader, "allowed_actions", ACTION)
    entry = reader.text("entry_capability")
    if entry is not None and capabilities is not None and entry not in capabilities:
        reader.refuse("entry_capability", "is none of allowed_capabilities")
    if capabilities is not None and actions is None:
        actions = []
    return {
        "workflow": reader.text("workflow", shape=_WORKFLOW),
        "label": reader.text("label", shape=_LABEL),
        "description": reader.text("description", shape=PROSE),
        "session_requirements": reader.texts("session_requirements", Shape(255)),
        "allowed_capabilities": capabilities,
        "allowed_actions": actions,
        "entry_capability": entry,
        "evidence_required": reader.flag("evidence_required", default=False),
        "checkpoint_every_step": reader.flag("checkpoint_every_step", default=False),
        "auto_branch_on_proposal": reader.flag("auto_branch_on_proposal", default=False),
        "risk_policy": _read_risk_policy(reader),
        **{
            key: reader.integer(key, 0, 0, largest) if reader.has(key) else None
            for key, largest in _LIMITS.items()
        },
        "retention": _read_retention(reader),
    }


def _names(reader: Reader, key: str, shape: Shape) -> list[str] | None:
    return reader.texts(key, shape) if reader.has(key) else None


def _read_risk_policy(reader: Reader) -> dict[str, Any]:
    policy: dict[str, Any] = {}
    for risk, path, value in reader.members("risk_policy", RISK):
        part = Reader(reader.found, value, path, ("approval_role",))
        part.require("approval_role")
        policy[risk] = {"approval_role": part.text("approval_role", shape=Shape(255))}
    return policy


def _read_retention(reader: Reader) -> dict[str, Any]:
    part = reader.part("retention", ("runs_days", "evidence_days"))
    return {
        key: part.integer(key, 1, 1, LONGEST_RETENTION) if part.has(key) else None
        for key in ("runs_days", "evidence_days")
    }
