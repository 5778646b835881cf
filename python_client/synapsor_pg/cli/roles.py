"""The extension's group roles, and who may be what beside what."""

from __future__ import annotations

GROUPS = {
    "synapsor_caller": "proposes and invokes",
    "synapsor_approver": "approves and rejects",
    "synapsor_worker": "claims, delivers and confirms",
    "synapsor_auditor": "reads everything",
    "synapsor_admin": "declares and operates",
    "synapsor_gateway": "sets sessions",
}
POWERLESS = ("synapsor_owner", "synapsor_guest")

CONFLICTS = {
    ("synapsor_worker", "synapsor_approver"): "approves what it delivers itself",
    ("synapsor_caller", "synapsor_worker"): "confirms what it proposed itself",
    ("synapsor_gateway", "synapsor_approver"): "approves as whoever it says",
    ("synapsor_gateway", "synapsor_admin"): "declares as whoever it says",
    ("synapsor_worker", "synapsor_admin"): "declares what it delivers itself",
    ("synapsor_approver", "synapsor_admin"): "approves what it declares itself",
}
"""Pairs that take a wall down when one login holds both."""


def conflicts(groups: set[str]) -> list[tuple[str, str, str]]:
    """Return the pairs a login should not hold together, and what they make possible."""
    return [
        (one, other, what)
        for (one, other), what in CONFLICTS.items()
        if one in groups and other in groups
    ]
