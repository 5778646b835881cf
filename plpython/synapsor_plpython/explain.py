"""Pictures of runs and actions: collected facts in, a tree of text out.

The facts are what the views showed to whoever asks; payloads arrive as short previews. Lines say
where a thing stands, why, and what comes next. Times are relative: once something is over its
picture no longer changes, so that two pictures can be compared with diff.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from synapsor_plpython import diagram
from synapsor_plpython.diagram import Arrow
from synapsor_plpython.drawing import (
    WIDTH,
    Facts,
    Line,
    clean,
    clock,
    elapsed,
    fit,
    instant,
    join,
    lasting,
    plain_marks,
    quoted,
    remark,
    tree,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_SILENCE: Final = 60.0
"""Seconds after which a worker that has not reported is worth a word."""

_INCIDENTS: Final = 10
"""Incidents of one action that are told one by one; of more, the latest."""

_LEAVES: Final = 3
"""Conditions of a decision that are told one by one."""

_OPEN: Final = frozenset({"pending", "running", "proposed", "queued", "claimed", "unknown"})
_CANCELLATIONS: Final = frozenset({"rejected", "expired", "cancelled"})
_LOSSES: Final = frozenset({"LeaseExpired", "Released"})
_PLATFORM_EVENTS: Final = frozenset({
    "AdapterInvocationStarted", "AdapterInvocationSucceeded", "AdapterInvocationFailed",
})  # fmt: skip
"""Events that the steps below an action tell already."""

_SIGNS: Final[Mapping[str, str]] = {
    "equals": "=", "notEquals": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=",
}  # fmt: skip

_DONE: Final = frozenset({"succeeded", "completed", "compensated", "success", "complete"})
_WRONG: Final = frozenset({
    "failed", "rejected", "expired", "blocked", "blocked_by_policy", "validation_failed",
    "compensation_failed", "escalated",
})  # fmt: skip
_LONGEST_KEY: Final = 48
"""Columns of a recorded step's key or name: its kind and status behind them must stay in sight."""

_LOOKS: Final = {
    "✓": "done",
    "✗": "wrong",
    "?": "unknown",
    "!": "unknown",
    "-": "idle",
    "…": "open",
}
_BELOW: Final = frozenset({"child", "group", "instance"})
_TOLD: Final = frozenset({
    "waiting", "suspended", "approved", "rejected", "provider", "failed", "blocked", "refused",
    "cancelled", "expired", "unknown", "settled", "retried", "left", "reason", "because",
    "undoes", "undone", "retries", "outcome", "as",
})  # fmt: skip
"""The remarks that stand in a box."""

_TOLD_LINES: Final = 4

_LINKS: Final = {"compensates": ("undoes", "undone"), "retries": ("retries", "retried")}
"""What an edge says of its later and of its earlier end."""


_OUTCOMES: Final = {
    "compensation_failed": "it was tried and failed: the effect stands",
    "escalated": "it cannot be done: the effect stands, and a person has to see to it",
}
"""What became of an undoing that did not undo."""


def explain_json(document: str) -> str:
    """Draw the facts of a run (key `run`) or of an action (key `action`).

    `format` is text, or for a run mermaid or dot. Answers {"text": the picture in it, "why": {step
    key or action id: [{"label", "text"}]}}.
    """
    facts = json.loads(document)
    for kind in ("approvals", "policies", "domain_events", "history"):
        facts[kind] = _by_action(facts[kind])
    now = instant(facts["now"]) or datetime.max.replace(tzinfo=UTC)
    why: dict[str, list[Line]] = {}
    if "run" in facts:
        facts["refused"] = [_as_step(attempt) for attempt in facts["refused"]]
        facts["idle"] = [_as_idle(node) for node in facts["idle"]]
        facts["links"] = _links(facts["edges"])
        for step in facts["steps"]:
            why[step["step_key"]] = list(_step_lines(facts, step, now))
        for attempt in facts["refused"]:
            why[attempt["step_key"]] = list(_step_lines(facts, attempt, now))
        for node in facts["idle"]:
            why[node["step_key"]] = list(_idle_lines(node))
        if facts.get("format") in diagram.LANGUAGES:
            lines = iter([_run_diagram(facts, why, now)])
        else:
            lines = _run_picture(facts, why, now)
    else:
        action = facts["action"]
        facts["steps"] = [_as_child(step) for step in facts["steps"]]
        for one in (*facts["steps"], action):
            why[one["action_id"]] = list(
                _action_lines(facts, one["action_id"], one, now, whole=one is action)
            )
        lines = _action_picture(facts, why, now)
    text = "\n".join(line.rstrip() for line in lines)
    return json.dumps(
        {
            "text": text.translate(plain_marks(facts.get("format")))
            if facts.get("plain")
            else text,
            "why": {
                key: [{"label": line.label, "text": clean(line.text)} for line in remarks]
                for key, remarks in why.items()
            },
        },
        ensure_ascii=False,
    )


def _by_action(listed: Iterable[Facts]) -> dict[str, list[Facts]]:
    grouped: dict[str, list[Facts]] = {}
    for one in listed:
        grouped.setdefault(one["action_id"], []).append(one)
    return grouped


# Pictures


def _run_picture(facts: Facts, why: Mapping[str, list[Line]], now: datetime) -> Iterator[str]:
    run = facts["run"]
    steps = facts["steps"]
    started = instant(run["started_at"])
    yield fit(" · ".join(_run_headings(run, now)), WIDTH)

    about = [Line("started", f"by {clean(run['principal'])} of {clean(run['tenant_id'])}")]
    if started:
        moment = started.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        about = [Line("started", f"{moment} {about[0].text}")]
    if steps:
        about.append(Line("steps", _tally(steps)))
    if run["reason"]:
        about.append(Line("cancelled", quoted(run["reason"])))
    if run["error"]:
        about.append(Line("stuck", f"it could not be advanced: {clean(run['error'])}"))
        about.append(Line("next", "run_due_steps tries again"))
    if facts["refusals"]:
        attempts = "1 attempt" if facts["refusals"] == 1 else f"{facts['refusals']} attempts"
        about.append(Line("refused", f"{attempts}, no step"))
    steps = [*steps, *facts["idle"], *facts["refused"]]
    if run["input"]:
        about.append(Line("input", clean(run["input"]), payload=True))
    if run["output"]:
        about.append(Line("output", clean(run["output"]), payload=True))
    for line in about:
        yield from remark("│ " if steps else "  ", line)

    yield from tree(steps, why, lambda step: _headline(facts, step, now))


def _run_headings(run: Facts, now: datetime) -> list[str]:
    state = words(run["state"]) + lasting(run["started_at"], run["finished_at"], now)
    parts = [
        f"run {run['run_id']}",
        join(run["workflow"] or run["plan"], run["version"]),
        "dry run" if run["is_dry_run"] else "",
        clean(run["status"] or ""),
        state,
    ]
    return [part for part in parts if part]


def _run_diagram(facts: Facts, why: Mapping[str, list[Line]], now: datetime) -> str:
    """Draw a run as boxes and arrows, in which stands what the text says shortest."""
    run = facts["run"]
    about = [*_run_headings(run, now), f"by {clean(run['principal'])}"]
    boxes = [diagram.box("", about, _LOOKS[_mark({**run, "status": run["state"]})])]
    steps = [*facts["steps"], *facts["idle"], *facts["refused"]]
    for step in steps:
        lines = [_headed(facts, step), _standing(step, now)]
        told = [line for line in why[step["step_key"]] if line.label in _TOLD]
        lines += [f"{line.label} {line.text}" for line in told[:_TOLD_LINES]]
        boxes.append(diagram.box(f"/{step['step_key']}", lines, _LOOKS[_mark(step)]))
    arrows = [
        Arrow(f"/{edge['from_step_key']}", f"/{edge['to_step_key']}", edge["edge"])
        for edge in facts["edges"]
    ]
    arrows += [
        Arrow(f"/{node['parent_step_key']}", f"/{node['step_key']}", node["relation"])
        for node in facts["idle"]
        if node["parent_step_key"] is not None
    ]
    below = {arrow.end for arrow in arrows if arrow.kind in _BELOW}
    # Compensations hang on what they undo, though no edge of the graph says that they are below it.
    arrows += [
        Arrow(f"/{step['parent_step_key']}", f"/{step['step_key']}", "child")
        for step in facts["steps"]
        if step["parent_step_key"] is not None and f"/{step['step_key']}" not in below
    ]
    below.update(arrow.end for arrow in arrows if arrow.kind in _BELOW)
    roots = [Arrow("", box.key, "root") for box in boxes[1:] if box.key not in below]
    return diagram.LANGUAGES[facts["format"]](boxes, [*roots, *arrows])


def _action_picture(facts: Facts, why: Mapping[str, list[Line]], now: datetime) -> Iterator[str]:
    action = facts["action"]
    named = f"{clean(action['action'])} v{action['version']}"
    yield fit(f"action {action['action_id']} · {named} · {_standing(action, now)}", WIDTH)
    started = instant(action["started_at"])
    moment = started.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC ") if started else ""
    about = f"{moment}by {clean(action['actor'])} of {clean(action['tenant_id'])}"
    asked = "proposed" if action["kind"] == "external" else "invoked"
    yield from remark("  ", Line(asked, about))
    if action["run_id"]:
        about = join(action["run_id"], action["step_key"] and f"step {clean(action['step_key'])}")
        yield from remark("  ", Line("run", about))
    if action["causation_id"]:
        yield from remark("  ", Line("cause", clean(action["causation_id"])))
    for line in why[action["action_id"]]:
        if line.label != "action":
            yield from remark("  ", line)
    for skipped in facts["skipped"]:
        about = f"step {skipped['place']}, {clean(skipped['action'])}: by its condition or input"
        yield from remark("  ", Line("skipped", about))
    if facts["steps"]:
        yield "  steps"
        yield from tree(facts["steps"], why, lambda step: _headline(facts, step, now), "  ")
    if facts["story"]:
        yield "  story"
    for event in facts["story"]:
        yield from remark("    ", _told(event, action["started_at"]))


def _told(event: Facts, since: str) -> Line:
    status = clean(event["status"])
    text = f"{clean(event['event_type'])} → {status}, by {clean(event['actor'])}"
    if event["attempt"]:
        text += f", attempt {event['attempt']}"
    for extra in (event["worker_label"], event["provider_request_id"], event["error_code"]):
        if extra:
            text += f", {clean(extra)}"
    if event["note"]:
        text += f": {quoted(event['note'])}"
    return Line(elapsed(since, event["occurred_at"]) or "at once", text)


def _as_step(attempt: Facts) -> Facts:
    """Draw a refused attempt like a step; its key is no step's, so the action's id stands in."""
    return {
        **attempt,
        "step_key": attempt["action_id"],
        "shown_key": attempt["step_key"],
        "parent_step_key": None,
        "relation": "root",
        "state": "finished",
        "finished_at": attempt["started_at"],
        "input": None,
    }


def _as_idle(node: Facts) -> Facts:
    """Draw a plan's node that has not run like a step, whose key has no empty part as this one."""
    return {
        **node,
        "step_key": f"{node['parent_step_key'] or ''}//{node['node']}",
        "shown_key": node["name"],
        "kind": "idle",
        "state": "finished",
        "status": "not run",
        "action_id": None,
        "branch_status": None,
        "started_at": None,
        "finished_at": None,
    }


def _links(edges: Iterable[Facts]) -> dict[str, list[Line]]:
    """Return what compensations and retries say of the steps at both their ends."""
    links: dict[str, list[Line]] = {}
    for edge in edges:
        told = _LINKS.get(edge["edge"])
        if told:
            later, earlier = edge["from_step_key"], edge["to_step_key"]
            links.setdefault(later, []).append(Line(told[0], clean(earlier)))
            links.setdefault(earlier, []).append(Line(told[1], f"by {clean(later)}"))
    return links


def _as_child(step: Facts) -> Facts:
    """Draw an adapter step below its action; two of one contract are told apart by their ids."""
    return {
        **step,
        "step_key": step["action_id"],
        "shown_key": step["action"],
        "name": step["action"],
        "parent_step_key": None,
        "relation": "root",
    }


def _headline(facts: Facts, step: Facts, now: datetime) -> str:
    return f"{_headed(facts, step)} · {_standing(step, now)}"


def _headed(facts: Facts, step: Facts) -> str:
    key, name = clean(step.get("shown_key") or _shown_key(facts, step)), clean(step["name"])
    version = step.get("version") or _delivered(facts, step["action_id"]).get("version")
    if version:
        name = f"{_action_name(facts, step)} v{version}"
    elif not step["action_id"]:
        name = _kind(step, key, name)
    if version and name.startswith(f"{key} v"):
        key, name = name, ""
    if not step["action_id"]:
        key, name = fit(key, _LONGEST_KEY), fit(name, _LONGEST_KEY)
    relation = step["relation"] if step["relation"] in {"group", "instance"} else ""
    parts = [key, "" if name == key else name, relation]
    return f"{_mark(step)} " + " · ".join(filter(None, parts))


def _shown_key(facts: Facts, step: Facts) -> str:
    """Return how a step is called in the tree: of the path to a plan's node its last part."""
    key = str(step["step_key"])
    return key.rpartition("/")[2] if facts.get("run", {}).get("plan") else key


def _action_name(facts: Facts, step: Facts) -> str:
    return clean(_delivered(facts, step["action_id"]).get("action") or step["name"])


def _kind(step: Facts, key: str, name: str) -> str:
    """Tell what a step that is no action is; a plan's node is what its name says."""
    kind = clean(step["kind"])
    if kind in {"handler", "idle"}:
        return ""
    if kind == "container":
        return "for each"
    return kind if name == key else f"{kind} {name}"


def _mark(subject: Facts) -> str:
    status = str(subject["status"] or "").lower()
    if status in _DONE:
        return "✓"
    if status in _WRONG:
        return "✗"
    if status == "unknown":
        return "?"
    if status in {"warned", "completedwitherrors"}:
        return "!"
    if subject.get("state") == "finished" or subject["finished_at"]:
        return "-"
    return "…"


def _standing(subject: Facts, now: datetime) -> str:
    status = words(subject["status"] or subject.get("state") or "")
    branch = subject.get("branch_status")
    if branch and branch != subject["status"]:
        status += f", branch {clean(branch)}"
    return status + lasting(subject["started_at"], subject["finished_at"], now)


def _tally(steps: list[Facts]) -> str:
    finished = sum(step["state"] == "finished" for step in steps)
    tally = f"{finished} of {len(steps)} finished"
    for state in ("waiting", "running"):
        keys = [clean(step["step_key"]) for step in steps if step["state"] == state]
        if keys:
            shown = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if keys[3:] else "")
            tally += f"; {state}: {shown}"
    return tally


# Remarks


def _step_lines(facts: Facts, step: Facts, now: datetime) -> Iterator[Line]:
    yield from _node_lines(facts, step)
    if step["action_id"]:
        yield from _action_lines(facts, step["action_id"], _as_action(facts, step), now)
        return
    if step["message"]:
        yield Line("reason", quoted(step["message"]))
    if step["risk"]:
        yield Line("risk", clean(step["risk"]))
    # What failed in a plan has its message as exit data too.
    is_told = step["message"] and str(step["exit_data"] or "").startswith('"')
    for label, key in (("input", "input"), ("output", "exit_data"), ("evidence", "evidence")):
        if step[key] and not (key == "exit_data" and is_told):
            yield Line(label, clean(step[key]), payload=True)
    if step["input_tokens"] is not None or step["output_tokens"] is not None:
        read, wrote = step["input_tokens"] or 0, step["output_tokens"] or 0
        yield Line("tokens", f"{read} in, {wrote} out")
    if step["state"] != "finished":
        yield from _unfinished(facts["run"], step, now)


def _node_lines(facts: Facts, step: Facts) -> Iterator[Line]:
    """Tell what only a plan's node has."""
    if step.get("execute_case"):
        yield Line("case", _case(step["execute_case"]))
    if step.get("runs_as") and step["runs_as"] != facts["run"]["principal"]:
        yield Line("as", clean(step["runs_as"]))
    yield from facts["links"].get(step["step_key"], [])
    if step.get("outcome") in _OUTCOMES:
        yield Line("outcome", _OUTCOMES[step["outcome"]])


def _as_action(facts: Facts, step: Facts) -> Facts:
    """Return a plan's node with the status of its action, which says more than the document's."""
    if not facts["run"]["plan"]:
        return step
    return {**step, "status": _delivered(facts, step["action_id"]).get("status") or "purged"}


def _case(case: str | list[str]) -> str:
    return clean(case if isinstance(case, str) else " or ".join(case))


def _idle_lines(node: Facts) -> Iterator[Line]:
    """Tell why a node of a plan has not run."""
    above = "the action above" if node["parent_step_key"] is not None else "the plan"
    asked = f"it asks for {_case(node['execute_case'])}, but " if node["execute_case"] else ""
    yield Line(
        "because",
        {
            "above": f"{above} has not ended",
            "group": "the group beside it has not ended",
            "case": f"{asked}{above} is {node['compared_status']}",
            "cancelled": "the run was cancelled before its turn",
            "empty": "ForEach found no values",
        }[node["why"]],
    )
    if node["below"]:
        yield Line(
            "below", "1 more action" if node["below"] == 1 else f"{node['below']} more actions"
        )


def _unfinished(run: Facts, step: Facts, now: datetime) -> Iterator[Line]:
    if run["finished_at"]:
        yield Line("left", "open when the run ended")
    elif step.get("waits_for") == "timer":
        left = elapsed(now, step["waits_until"])
        yield Line("waiting", f"for its timer, {left} left" if left else "for run_due_steps")
    elif step["kind"] == "interrupt":
        yield Line("waiting", "for an answer from outside")
        yield Line("next", "record_agent_step with this step_key and the answer finishes it")
    elif step.get("approval_role"):
        yield Line("waiting", f"for an approval by role {clean(step['approval_role'])}")
        yield Line(
            "next", f"approve_external_action or reject_external_action of {step['step_id']}"
        )
    elif step["status"] == "waiting_approval":
        yield Line("waiting", "for an approval that is given elsewhere")


def _action_lines(
    facts: Facts, action_id: str, subject: Facts, now: datetime, *, whole: bool = False
) -> Iterator[Line]:
    """Tell about an action; in a run, or of a step, only what is worth it there."""
    external = facts["external"].get(action_id, {})
    yield Line("action", action_id)
    if subject["input"]:
        yield Line("asked", clean(subject["input"]), payload=True)
    if whole and subject["bound"]:
        yield _bound(subject["bound"])
    yield from _policy_lines(facts["policies"].get(action_id, []), whole=whole)
    for approval in facts["approvals"].get(action_id, []):
        yield _verdict(approval, subject)
    yield from _incidents(facts["history"].get(action_id, []), subject["started_at"])
    if external.get("worker_principal"):
        yield Line("worker", _delivery(external))
    if external.get("provider_request_id"):
        yield Line("provider", clean(external["provider_request_id"]))
    yield from _event_lines(facts["domain_events"].get(action_id, []), whole=whole)
    yield from _outlook(facts, action_id, subject, now)


def _delivered(facts: Facts, action_id: str | None) -> Facts:
    """Find what is known of an action beside its step: its delivery, else its invocation."""
    delivery: Facts = facts["external"].get(action_id) or facts["others"].get(action_id) or {}
    return delivery


def _bound(hidden: Facts) -> Line:
    """Name what came from the session; its values only where the views showed them."""
    if all(value == "[redacted]" for value in hidden.values()):
        return Line("bound", f"{', '.join(map(clean, sorted(hidden)))} from the session")
    return Line("bound", clean(json.dumps(hidden, ensure_ascii=False)), payload=True)


def _policy_lines(evaluations: list[Facts], *, whole: bool) -> Iterator[Line]:
    first: dict[str, str] = {}
    for evaluation in evaluations:
        policy = evaluation["policy"]
        since = first.setdefault(policy, evaluation["evaluated_at"])
        is_shadow = evaluation["mode"] == "shadow"
        if not whole and (is_shadow or evaluation["result"] == "pass"):
            continue
        text = clean(policy)
        if since != evaluation["evaluated_at"]:
            text += f" again after {elapsed(since, evaluation['evaluated_at'])}"
        text += f": {evaluation['result']}"
        how = _decided(evaluation["evidence"])
        text += f", {how}" if how else ""
        yield Line("shadow" if is_shadow else "policy", text)
        if is_shadow:
            yield Line("", "recorded only, a shadow decides nothing")
        if evaluation["reason"]:
            yield Line("reason", quoted(evaluation["reason"]))
        if evaluation["guidance"]:
            yield Line("guidance", quoted(evaluation["guidance"]))


def _decided(evidence: Facts) -> str:
    """Tell how a policy came to its result, from the evidence kept with it."""
    parts = []
    if evidence.get("default_applied"):
        parts.append("no condition held")
    leaves = evidence.get("conditions") or []
    if leaves and evidence.get("decided_by") is not None:
        text = " and ".join(_leaf(leaf) for leaf in leaves[:_LEAVES])
        hidden = evidence["leaves"] - _LEAVES
        text += f" and {hidden} more" if hidden > 0 else ""
        parts.append(f"condition {evidence['decided_by'] + 1}: {text}")
    fallback, code = evidence.get("fallback"), evidence.get("code") or {}
    if fallback:
        parts.append(f"then {clean(fallback['policy'])} on {words(fallback['trigger'])}")
    if code.get("registered") is False:
        parts.append("not registered")
    elif code.get("evaluator"):
        parts.append(f"evaluator {clean(code['evaluator'])}")
    parts.extend(
        f"{clean(error.get('path') or '')} {clean(error.get('reason') or '')}".strip()
        for error in (evidence.get("errors") or [])[:1]
    )
    return ", ".join(parts)


def _leaf(leaf: Facts) -> str:
    kind = leaf["kind"]
    if kind == "parameter":
        text = f"{leaf['path']} exists"
        if leaf["operator"] != "exists":
            value = json.dumps(leaf.get("value"), ensure_ascii=False)
            text = f"{leaf['path']} {_SIGNS.get(leaf['operator'], leaf['operator'])} {value}"
    elif kind == "comparison":
        sign = _SIGNS.get(leaf["operator"], leaf["operator"])
        text = f"{leaf['left']} {sign} {leaf['right']}"
    else:
        text = f"{kind} {leaf.get('path') or ''}".rstrip()
    return clean(text if leaf["held"] else f"not {text}")


def _event_lines(events: list[Facts], *, whole: bool) -> Iterator[Line]:
    """Tell the transition, then what else the action said has happened."""
    others = []
    for event in events:
        subject = f"{clean(event['subject_type'])} {clean(event['subject_id'])}"
        if event["event_type"] == "StateTransitioned":
            states = f"from {clean(event['from'] or '')} to {clean(event['to'] or '')}"
            yield Line("moved", f"{subject} {states}")
        if event["event_type"] not in _PLATFORM_EVENTS:
            others.append((clean(event["event_type"]), f"{subject}, number {event['sequence']}"))
    if whole:
        for event_type, subject in others:
            yield Line("event", f"{event_type} of {subject}")
    elif others:
        yield Line("events", ", ".join(event_type for event_type, _ in others), payload=True)
    hidden = events[-1]["emitted"] - len(events) if events else 0
    if hidden > 0:
        yield Line("", f"and {hidden} more in synapsor_events")


def _verdict(approval: Facts, subject: Facts) -> Line:
    passed = elapsed(subject["started_at"], approval["decided_at"])
    text = f"by {clean(approval['reviewer'])}" + (f" after {passed}" if passed else "")
    if approval["voided_at"]:
        text += ", no longer counted"
    if approval["note"]:
        text += f": {quoted(approval['note'])}"
    return Line(clean(approval["verdict"]), text)


def _incidents(history: list[Facts], since: str) -> Iterator[Line]:
    """Tell what went otherwise than claimed, sent and confirmed."""
    claims = {event["claim_token"]: event for event in history if event["event_type"] == "Claimed"}
    told: list[Line] = []
    successor: Facts | None = None
    for event in reversed(history):
        kind = event["event_type"]
        if kind == "Claimed":
            successor = event
        elif kind in _LOSSES:
            told.append(_lost(event, claims.get(event["claim_token"], {}), successor, since))
        elif kind in {"LateConfirmation", "ApprovalVoided", "Retried", "Settled", "Quarantined"}:
            told.append(_incident(event))
    if told[_INCIDENTS:]:
        yield Line("earlier", f"{len(told) - _INCIDENTS} more in synapsor_external_action_events")
    yield from reversed(told[:_INCIDENTS])


def _lost(event: Facts, claim: Facts, successor: Facts | None, since: str) -> Line:
    text = _worker(event)
    if claim.get("note") == "to reconcile":
        text += " while asking the provider"
    else:
        text += " after delivery began" if event["began"] else " before delivery began"
    if event["event_type"] == "Released":
        text += f", given back {clock(event['occurred_at'], since)}"
        text += f" ({clean(event['error_code'])})" if event["error_code"] else ""
    elif event["lease_expires_at"]:
        text += f", lease ended {clock(event['lease_expires_at'], since)}"
    else:
        text += f", lease ended before {clock(event['occurred_at'], since)}"
    if event["status"] == "unknown":
        text += "; the outcome is unknown"
    elif successor and _worker(successor) == _worker(event):
        text += "; claimed again by the same"
    elif successor:
        text += f"; taken over by {_worker(successor)}"
    else:
        text += "; nobody has taken over"
    return Line("lost", text)


def _incident(event: Facts) -> Line:
    kind, note = event["event_type"], event["note"]
    said = f": {quoted(note)}" if note else ""
    if kind == "LateConfirmation":
        text = f"{_worker(event)} reported {event['confirmed'] or 'an outcome'}"
        text += "".join(f" {clean(one)}" for one in (event["provider_request_id"],) if one)
        text += f" too late ({clean(event['error_code'])})" if event["error_code"] else " too late"
        return Line("late", text + "; kept as evidence")
    if kind == "ApprovalVoided":
        return Line("voided", "the intent is not what was approved: it has to be approved anew")
    if kind == "Retried":
        return Line("retried", f"by {clean(event['actor'])}{said}")
    if kind == "Settled":
        return Line("settled", f"as {clean(event['status'])} by {clean(event['actor'])}{said}")
    return Line("restored", f"an earlier database, as {clean(event['actor'])} declared{said}")


def _worker(event: Facts) -> str:
    text = clean(event["worker_principal"] or event["actor"])
    if event["worker_label"] and event["worker_label"] != event["worker_principal"]:
        text += f" ({clean(event['worker_label'])})"
    return text


def _delivery(external: Facts) -> str:
    text = _worker(external)
    if external["attempts"]:
        text += f", attempt {external['attempts']}"
        if external["max_attempts"]:
            text += f" of {external['max_attempts']}"
    if external["provider"]:
        text += f", {clean(external['provider'])} {clean(external['operation'] or '')}".rstrip()
    return text


def _outlook(facts: Facts, action_id: str, subject: Facts, now: datetime) -> Iterator[Line]:
    """Say why the action is where it is and what happens next."""
    external = facts["external"].get(action_id, {})
    status = subject["status"]
    if status in {"proposed", "waiting_for_approval"}:
        yield from _awaiting_approval(facts["pending"].get(action_id, {}), now)
    elif status == "queued":
        yield from _queued(facts, action_id, now)
    elif status == "claimed":
        yield from _claimed(external, facts["history"].get(action_id, []), now)
    elif status == "running":
        yield from _awaiting_steps(facts, action_id)
    elif status == "unknown":
        yield Line("unknown", "the provider may have done it, nobody knows" + _because(external))
        yield from _suspended(facts["context"].get(action_id, {}))
        yield from _unknown(facts, action_id)
    else:
        yield from _ended(facts, action_id, subject)


def _awaiting_steps(facts: Facts, action_id: str) -> Iterator[Line]:
    """Tell which adapter steps a performed action waits for."""
    below = facts["below"].get(action_id)
    saga = facts["sagas"].get(action_id)
    if saga:
        yield Line("waiting", f"for its plan: {saga['run_id']} is {words(saga['state'])}")
        yield Line("next", f"explain_agent_run('{saga['run_id']}') tells what that waits for")
        return
    if not below:
        return
    stands = {step: _delivered(facts, step).get("status") or "purged" for step in below}
    open_steps = [step for step, status in stands.items() if status in _OPEN]
    if not open_steps:
        yield Line("waiting", f"for run_due_steps: {_steps(len(below))} ended")
        yield Line("next", "run_due_steps, which workers call, completes it")
        return
    text = f"for {len(open_steps)} of {_steps(len(below))}: "
    text += ", ".join(f"{step} {words(stands[step])}" for step in open_steps[:3])
    yield Line("waiting", text + (f" and {len(open_steps) - 3} more" if open_steps[3:] else ""))
    lost = next((step for step in open_steps if stands[step] == "unknown"), None)
    if lost:
        yield from _unknown(facts, lost)
    else:
        yield Line("next", "it completes once its steps have ended")


def _unknown(facts: Facts, action_id: str) -> Iterator[Line]:
    """Tell who finds out what became of it: a worker only where it still may ask."""
    context = facts["context"].get(action_id)
    if context is None:
        yield Line("next", f"explain_action('{clean(action_id)}') tells how it is settled")
    elif context.get("is_reconcilable"):
        yield Line("next", "a worker reconciles it, or a person calls settle_external_action")
    else:
        settle = f"settle_external_action('{clean(action_id)}', 'succeeded' | 'failed' | 'queued')"
        yield Line("next", f"ask the provider, then {settle}")


def _steps(count: int) -> str:
    return "1 adapter step" if count == 1 else f"{count} adapter steps"


def _awaiting_approval(pending: Facts, now: datetime) -> Iterator[Line]:
    required = pending.get("approvals_required") or 1
    given = pending.get("approvals_given") or 0
    wanted = "an approval" if required == 1 else f"{required - given} of {required} approvals"
    role = pending.get("required_role")
    text = f"for {wanted} by " + (f"role {clean(role)}" if role else "any approver")
    left = elapsed(now, pending.get("expires_at"))
    if left:
        text += f", {left} left"
    elif pending.get("expires_at"):
        text += "; the time for it is over"
    yield Line("waiting", text)
    if pending.get("reason"):
        yield Line("because", clean(pending["reason"]))
    if pending.get("risk"):
        yield Line("risk", clean(pending["risk"]))
    if pending.get("expires_at") and not left:
        yield Line("next", "expire_approvals ends it")
    else:
        yield Line("next", "approve_external_action or reject_external_action")


def _queued(facts: Facts, action_id: str, now: datetime) -> Iterator[Line]:
    external = facts["external"].get(action_id, {})
    context = facts["context"].get(action_id, {})
    if external.get("attempts") and external.get("error_code"):
        attempt = f"attempt {external['attempts']}"
        if _gave_back(facts["history"].get(action_id, [])):
            yield Line("unknown", f"how {attempt} ended{_because(external)}")
        else:
            yield Line("failed", attempt + _because(external))
    suspended = list(_suspended(context))
    if suspended:
        yield from suspended
        return
    if context.get("waits_behind"):
        yield Line("waiting", f"behind {context['waits_behind']}, which has the same ordering key")
        yield Line("next", "a worker may claim it once that one has ended")
        return
    until = elapsed(now, external.get("available_at"))
    if until:
        # A number that shrinks: an attempt to come is the one thing worth a moving picture.
        again = "the next attempt, due" if external.get("attempts") else "its time, due"
        yield Line("waiting", f"for {again} in {until}")
        return
    if context.get("held_reason"):
        yield from _held_up(context, now)
        return
    due = elapsed(external.get("available_at"), now)
    queue = clean(external.get("queue") or "")
    yield Line("waiting", f"for a worker on queue {queue}" + (f", due for {due}" if due else ""))
    seen = instant(context.get("worker_seen_at"))
    if seen is None:
        yield Line("note", f"no worker has ever reported on queue {queue}")
    elif (now - seen).total_seconds() > _SILENCE:
        yield Line("note", f"the last worker of queue {queue} reported {elapsed(seen, now)} ago")


def _held_up(context: Facts, now: datetime) -> Iterator[Line]:
    """Say what the provider's limits wait for, and when that is over, where time alone ends it."""
    provider, reason = clean(context["held_by"]), context["held_reason"]
    until = elapsed(now, context.get("held_until")) or "a moment"
    told = {
        "rate_limited": f"for the rate limit of {provider}, free again in {until}",
        "retry_after": f"for {provider}, which asked not to be called, for another {until}",
        "breaker_open": f"for {provider}, whose breaker is open; a probe may go in {until}",
        "probing": f"for {provider}: its breaker is half open and a probe is under way",
        "full": f"for {provider}: as many deliveries are under way as it may have at once",
        "forced_open": f"for {provider}, whose breaker is forced open",
    }
    yield Line("waiting", told[reason])
    if reason == "forced_open":
        yield Line("next", "an administrator declares the provider anew: declare_provider")
    elif reason in {"full", "probing"}:
        yield Line("next", "a worker may claim it once one of them has ended")
    else:
        yield Line("next", "a worker may claim it then")


def _gave_back(history: list[Facts]) -> bool:
    """Whether the last attempt was given back with a reason, its outcome unknown."""
    ends = [event for event in history if event["event_type"] != "Claimed"]
    return bool(ends) and ends[-1]["event_type"] == "Released" and bool(ends[-1]["error_code"])


def _suspended(context: Facts) -> Iterator[Line]:
    kind = context.get("suspended_kind")
    if not kind:
        return
    what = (
        "delivery of everything" if kind == "all" else f"{kind} {clean(context['suspended_name'])}"
    )
    by = f" by {clean(context['suspended_by'])}" if context.get("suspended_by") else ""
    yield Line("suspended", f"{what}{by}: {quoted(context['suspended_reason'])}")
    yield Line("next", "an administrator or approver calls resume")


def _claimed(external: Facts, history: list[Facts], now: datetime) -> Iterator[Line]:
    sent = external.get("delivery_started_at")
    claims = [event for event in history if event["event_type"] == "Claimed"]
    asks = bool(claims) and claims[-1]["note"] == "to reconcile"
    text = "for the worker to send it"
    if asks:
        text = "for the worker to ask the provider what came of it"
    elif sent:
        passed = elapsed(sent, now)
        text = "for the provider's answer, sent " + (f"{passed} ago" if passed else "just now")
    left = elapsed(now, external.get("lease_expires_at"))
    text += f"; the claim ends in {left}" if left else "; the claim has run out"
    yield Line("waiting", text)
    if asks:
        yield Line("next", "the worker settles it; if the claim runs out, it is unknown again")
    elif sent:
        yield Line(
            "next",
            "the worker confirms; if the claim runs out, it is sent again with the same key where"
            " the contract allows that, else it becomes unknown",
        )
    else:
        yield Line(
            "next", "the worker sends and confirms; if the claim runs out, it is offered again"
        )


def _ended(facts: Facts, action_id: str, subject: Facts) -> Iterator[Line]:
    status = subject["status"]
    external = facts["external"].get(action_id, {})
    other = facts["others"].get(action_id, {})
    if status == "cancelled" and subject.get("error_code") in _CANCELLATIONS:
        status = subject["error_code"]
    if status == "purged":
        yield Line("purged", "the action's rows were removed after it was over")
    elif status == "failed":
        yield from _failed(facts, action_id, subject)
    elif status == "expired":
        waited = not external or external["approvals_given"] < external["approvals_required"]
        yield Line("expired", "nobody approved it in time" if waited else "not sent in time")
    elif status == "cancelled":
        told = (
            event for event in reversed(facts["history"].get(action_id, []))
            if event["event_type"] == "Cancelled"
        )  # fmt: skip
        last = next(told, {"actor": None, "note": None})
        text = f"by {clean(last['actor'])}" if last["actor"] else "before it was performed"
        yield Line("cancelled", text + (f": {quoted(last['note'])}" if last["note"] else ""))
    elif status == "blocked_by_policy":
        because = _because(other) or _because(subject)
        yield Line("blocked", (because or ": no reason given")[2:])
        yield Line("next", "nothing was done; ask for what the policy allows")
    elif status == "validation_failed":
        because = _because(other) or _because(subject)
        yield Line("refused", (because or ": no reason given")[2:])
        violations = subject.get("violations") or other.get("violations")
        if violations:
            yield Line("", clean(violations))
        yield Line("next", "nothing was done; correct the input and ask again")
    if subject.get("exit_data"):
        yield Line("answer", clean(subject["exit_data"]), payload=True)


def _failed(facts: Facts, action_id: str, subject: Facts) -> Iterator[Line]:
    external = facts["external"].get(action_id, {})
    other = facts["others"].get(action_id, {})
    because = _because(external) or _because(other) or _because(subject)
    yield Line("failed", (because or ": no reason given")[2:])
    if external:
        yield Line("next", "known not done: retry_external_action sends it again")
        return
    saga = facts["sagas"].get(action_id)
    if saga:
        yield Line("next", f"explain_agent_run('{saga['run_id']}') tells what was done and undone")
        return
    below = facts["below"].get(action_id, [])
    wrong = [step for step in below if _delivered(facts, step).get("status") == "failed"]
    if wrong:
        yield Line("next", f"what it did stands: retry_external_action on {wrong[0]}")
    elif below:
        yield Line("next", "what it did stands; a step that was cancelled is asked for anew")
    elif other.get("holds_key"):
        yield Line("next", "nothing was done; ask again with another idempotency key")
    else:
        yield Line("next", "nothing was done; ask again once the cause is gone")


def _because(source: Facts) -> str:
    code, message = source.get("error_code"), source.get("error_message") or source.get("message")
    return "".join(f": {clean(part)}" for part in (code, message) if part)
