"""Pictures of runs and actions: collected facts in, a tree of text out.

The facts are what the views showed to whoever asks; payloads arrive as short previews. Lines say
where a thing stands, why, and what comes next. Times are relative: once something is over its
picture no longer changes, so that two pictures can be compared with diff.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from synapsor_plpython import diagram
from synapsor_plpython.diagram import WIDTH as BOX_WIDTH
from synapsor_plpython.diagram import Arrow, Box

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH: Final = 100
"""Columns of the widest line."""

_LABEL: Final = 10
"""Columns of a label with the blank behind it."""

_LEVELS: Final = 10
"""Levels drawn above a step; a deeper one is told its depth by a number."""

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
_SECOND: Final = 1000  # milliseconds
_PLAIN: Final[Mapping[int, str]] = str.maketrans({
    "├": "|", "└": "`", "─": "-", "│": "|", "·": "-", "…": "~", "✓": "+", "✗": "x", "→": ">",
})  # fmt: skip

_DRAWING: Final = re.compile("[\u2500-\u257f]")
"""The strokes pictures are drawn with: nobody else's text may hold them."""

_NARROW: Final = re.compile("[\x00-\u02ff\u2010-\u2027\u2190-\u21ff\u2500-\u25ff✓✗]*")
"""Text without wide or combining characters: most of it, told without looking at each."""

_BLANKS: Final = re.compile(" {2,}")

_LONGEST_KEY: Final = 48
"""Columns of a recorded step's key or name: its kind and status behind them must stay in sight."""

_DIAGRAMS: Final[Mapping[str, Callable[[list[Box], list[Arrow]], str]]] = {
    "mermaid": diagram.mermaid,
    "dot": diagram.dot,
}
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
})  # fmt: skip
"""The remarks that stand in a box."""

_TOLD_LINES: Final = 4

_Facts: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Line:
    """A labelled remark below a step; a payload is cut to one line, a sentence is wrapped."""

    label: str
    text: str
    payload: bool = False


def explain_json(document: str) -> str:
    """Draw the facts of a run (key `run`) or of an action (key `action`).

    `format` is text, or for a run mermaid or dot. Answers {"text": the picture in it, "why": {step
    key or action id: [{"label", "text"}]}}.
    """
    facts = json.loads(document)
    for kind in ("approvals", "policies", "domain_events", "history"):
        facts[kind] = _by_action(facts[kind])
    now = _instant(facts["now"]) or datetime.max.replace(tzinfo=UTC)
    why: dict[str, list[_Line]] = {}
    if "run" in facts:
        facts["refused"] = [_as_step(attempt) for attempt in facts["refused"]]
        for step in facts["steps"]:
            why[step["step_key"]] = list(_step_lines(facts, step, now))
        for attempt in facts["refused"]:
            why[attempt["step_key"]] = list(_step_lines(facts, attempt, now))
        if facts.get("format") in _DIAGRAMS:
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
            "text": text.translate(_plain(facts.get("format"))) if facts.get("plain") else text,
            "why": {
                key: [{"label": line.label, "text": _clean(line.text)} for line in remarks]
                for key, remarks in why.items()
            },
        },
        ensure_ascii=False,
    )


def _plain(language: str | None) -> Mapping[int, str]:
    """Return what stands for our marks where the database's encoding may not have them."""
    return {one: f"#{one};" for one in _PLAIN} if language == "mermaid" else _PLAIN


def _by_action(listed: Iterable[_Facts]) -> dict[str, list[_Facts]]:
    grouped: dict[str, list[_Facts]] = {}
    for one in listed:
        grouped.setdefault(one["action_id"], []).append(one)
    return grouped


# Pictures


def _run_picture(facts: _Facts, why: Mapping[str, list[_Line]], now: datetime) -> Iterator[str]:
    run = facts["run"]
    steps = facts["steps"]
    started = _instant(run["started_at"])
    named = _join(run["workflow"] or run["plan"], run["version"])
    state = _words(run["state"]) + _lasting(run["started_at"], run["finished_at"], now)
    yield _fit(" · ".join(filter(None, [f"run {run['run_id']}", named, state])), WIDTH)

    about = [_Line("started", f"by {_clean(run['principal'])} of {_clean(run['tenant_id'])}")]
    if started:
        moment = started.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        about = [_Line("started", f"{moment} {about[0].text}")]
    if steps:
        about.append(_Line("steps", _tally(steps)))
    if facts["refusals"]:
        attempts = "1 attempt" if facts["refusals"] == 1 else f"{facts['refusals']} attempts"
        about.append(_Line("refused", f"{attempts}, no step"))
    steps = [*steps, *facts["refused"]]
    if run["input"]:
        about.append(_Line("input", _clean(run["input"]), payload=True))
    if run["output"]:
        about.append(_Line("output", _clean(run["output"]), payload=True))
    for line in about:
        yield from _remark("│ " if steps else "  ", line)

    yield from _tree(facts, steps, why, now)


def _run_diagram(facts: _Facts, why: Mapping[str, list[_Line]], now: datetime) -> str:
    """Draw a run as boxes and arrows, in which stands what the text says shortest."""
    run = facts["run"]
    named = _join(run["workflow"] or run["plan"], run["version"])
    state = _words(run["state"]) + _lasting(run["started_at"], run["finished_at"], now)
    about = [f"run {run['run_id']}", named, state, f"by {_clean(run['principal'])}"]
    boxes = [_box("", filter(None, about), _LOOKS[_mark({**run, "status": run["state"]})])]
    steps = [*facts["steps"], *facts["refused"]]
    for step in steps:
        lines = [_headed(facts, step), _standing(step, now)]
        told = [line for line in why[step["step_key"]] if line.label in _TOLD]
        lines += [f"{line.label} {line.text}" for line in told[:_TOLD_LINES]]
        boxes.append(_box(f"/{step['step_key']}", lines, _LOOKS[_mark(step)]))
    arrows = [
        Arrow(f"/{edge['from_step_key']}", f"/{edge['to_step_key']}", edge["edge"])
        for edge in facts["edges"]
    ]
    below = {arrow.end for arrow in arrows if arrow.kind in _BELOW}
    roots = [Arrow("", box.key, "root") for box in boxes[1:] if box.key not in below]
    return _DIAGRAMS[facts["format"]](boxes, [*roots, *arrows])


def _box(key: str, lines: Iterable[str], look: str) -> Box:
    return Box(key, [_fit(_clean(line), BOX_WIDTH) for line in lines], look)


def _tree(
    facts: _Facts,
    steps: list[_Facts],
    why: Mapping[str, list[_Line]],
    now: datetime,
    indent: str = "",
) -> Iterator[str]:
    for step, more, depth, has_children in _walk(steps):
        above = "".join("│  " if one else "   " for one in more[:-1][-_LEVELS:])
        told = f"{depth} levels down … " if depth > _LEVELS + 1 else ""
        branch = "├─ " if more[-1] else "└─ "
        start = indent + told + above + branch
        yield start + _fit(_headline(facts, step, now), WIDTH - len(start))
        margin = indent + " " * len(told) + above
        margin += ("│  " if more[-1] else "   ") + ("│ " if has_children else "  ")
        for line in why[step["step_key"]]:
            yield from _remark(margin, line)


def _action_picture(facts: _Facts, why: Mapping[str, list[_Line]], now: datetime) -> Iterator[str]:
    action = facts["action"]
    named = f"{_clean(action['action'])} v{action['version']}"
    yield _fit(f"action {action['action_id']} · {named} · {_standing(action, now)}", WIDTH)
    started = _instant(action["started_at"])
    moment = started.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC ") if started else ""
    about = f"{moment}by {_clean(action['actor'])} of {_clean(action['tenant_id'])}"
    asked = "proposed" if action["kind"] == "external" else "invoked"
    yield from _remark("  ", _Line(asked, about))
    if action["run_id"]:
        about = _join(action["run_id"], action["step_key"] and f"step {_clean(action['step_key'])}")
        yield from _remark("  ", _Line("run", about))
    if action["causation_id"]:
        yield from _remark("  ", _Line("cause", _clean(action["causation_id"])))
    for line in why[action["action_id"]]:
        if line.label != "action":
            yield from _remark("  ", line)
    for skipped in facts["skipped"]:
        about = f"step {skipped['place']}, {_clean(skipped['action'])}: by its condition or input"
        yield from _remark("  ", _Line("skipped", about))
    if facts["steps"]:
        yield "  steps"
        yield from _tree(facts, facts["steps"], why, now, "  ")
    if facts["story"]:
        yield "  story"
    for event in facts["story"]:
        yield from _remark("    ", _told(event, action["started_at"]))


def _told(event: _Facts, since: str) -> _Line:
    status = _clean(event["status"])
    text = f"{_clean(event['event_type'])} → {status}, by {_clean(event['actor'])}"
    if event["attempt"]:
        text += f", attempt {event['attempt']}"
    for extra in (event["worker_label"], event["provider_request_id"], event["error_code"]):
        if extra:
            text += f", {_clean(extra)}"
    if event["note"]:
        text += f": {_quoted(event['note'])}"
    return _Line(_passed(since, event["occurred_at"]) or "at once", text)


def _as_step(attempt: _Facts) -> _Facts:
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


def _as_child(step: _Facts) -> _Facts:
    """Draw an adapter step below its action; two of one contract are told apart by their ids."""
    return {
        **step,
        "step_key": step["action_id"],
        "shown_key": step["action"],
        "name": step["action"],
        "parent_step_key": None,
        "relation": "root",
    }


def _walk(steps: list[_Facts]) -> Iterator[tuple[_Facts, tuple[bool, ...], int, bool]]:
    """Yield each step below its parent with, per level drawn, whether a sibling follows."""
    children: dict[str | None, list[_Facts]] = {}
    known = {step["step_key"] for step in steps}
    for step in steps:
        parent = step["parent_step_key"]
        children.setdefault(parent if parent in known else None, []).append(step)
    roots = children.get(None, [])
    # A stack of our own: plans may be deeper than Python's.
    stack: list[tuple[_Facts, tuple[bool, ...], int]] = [
        (step, (step is not roots[-1],), 1) for step in reversed(roots)
    ]
    while stack:
        step, more, depth = stack.pop()
        # Once each: a hand-made document may name a step twice; each copy would double its tree.
        below = children.pop(step["step_key"], [])
        yield step, more, depth, bool(below)
        stack.extend(
            (child, (*more[-_LEVELS:], child is not below[-1]), depth + 1)
            for child in reversed(below)
        )


def _headline(facts: _Facts, step: _Facts, now: datetime) -> str:
    return f"{_headed(facts, step)} · {_standing(step, now)}"


def _headed(facts: _Facts, step: _Facts) -> str:
    key, name = _clean(step.get("shown_key") or step["step_key"]), _clean(step["name"])
    version = step.get("version") or _delivered(facts, step["action_id"]).get("version")
    if version:
        name = f"{name} v{version}"
    elif not step["action_id"]:
        kind = _clean(step["kind"])
        name = kind if name == key else f"{kind} {name}"
    if version and name.startswith(f"{key} v"):
        key, name = name, ""
    if not step["action_id"]:
        key, name = _fit(key, _LONGEST_KEY), _fit(name, _LONGEST_KEY)
    relation = step["relation"] if step["relation"] in {"group", "instance"} else ""
    parts = [key, "" if name == key else name, relation]
    return f"{_mark(step)} " + " · ".join(filter(None, parts))


def _mark(subject: _Facts) -> str:
    status = str(subject["status"] or "").lower()
    if status in _DONE:
        return "✓"
    if status in _WRONG:
        return "✗"
    if status == "unknown":
        return "?"
    if status == "warned":
        return "!"
    if subject.get("state") == "finished" or subject["finished_at"]:
        return "-"
    return "…"


def _standing(subject: _Facts, now: datetime) -> str:
    status = _words(subject["status"] or subject.get("state") or "")
    return status + _lasting(subject["started_at"], subject["finished_at"], now)


def _tally(steps: list[_Facts]) -> str:
    finished = sum(step["state"] == "finished" for step in steps)
    tally = f"{finished} of {len(steps)} finished"
    for state in ("waiting", "running"):
        keys = [_clean(step["step_key"]) for step in steps if step["state"] == state]
        if keys:
            shown = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if keys[3:] else "")
            tally += f"; {state}: {shown}"
    return tally


# Remarks


def _step_lines(facts: _Facts, step: _Facts, now: datetime) -> Iterator[_Line]:
    if step["action_id"]:
        yield from _action_lines(facts, step["action_id"], step, now)
        return
    if step["message"]:
        yield _Line("reason", _quoted(step["message"]))
    if step["risk"]:
        yield _Line("risk", _clean(step["risk"]))
    for label, key in (("input", "input"), ("output", "exit_data"), ("evidence", "evidence")):
        if step[key]:
            yield _Line(label, _clean(step[key]), payload=True)
    if step["input_tokens"] is not None or step["output_tokens"] is not None:
        read, wrote = step["input_tokens"] or 0, step["output_tokens"] or 0
        yield _Line("tokens", f"{read} in, {wrote} out")
    if step["state"] != "finished":
        yield from _unfinished(facts["run"], step)


def _unfinished(run: _Facts, step: _Facts) -> Iterator[_Line]:
    if run["finished_at"]:
        yield _Line("left", "open when the run ended")
    elif step["kind"] == "interrupt":
        yield _Line("waiting", "for an answer from outside")
        yield _Line("next", "record_agent_step with this step_key and the answer finishes it")
    elif step["status"] == "waiting_approval":
        yield _Line("waiting", "for an approval that is given elsewhere")


def _action_lines(
    facts: _Facts, action_id: str, subject: _Facts, now: datetime, *, whole: bool = False
) -> Iterator[_Line]:
    """Tell about an action; in a run, or of a step, only what is worth it there."""
    external = facts["external"].get(action_id, {})
    yield _Line("action", action_id)
    if subject["input"]:
        yield _Line("asked", _clean(subject["input"]), payload=True)
    if whole and subject["bound"]:
        yield _bound(subject["bound"])
    yield from _policy_lines(facts["policies"].get(action_id, []), whole=whole)
    for approval in facts["approvals"].get(action_id, []):
        yield _verdict(approval, subject)
    yield from _incidents(facts["history"].get(action_id, []), subject["started_at"])
    if external.get("worker_principal"):
        yield _Line("worker", _delivery(external))
    if external.get("provider_request_id"):
        yield _Line("provider", _clean(external["provider_request_id"]))
    yield from _event_lines(facts["domain_events"].get(action_id, []), whole=whole)
    yield from _outlook(facts, action_id, subject, now)


def _delivered(facts: _Facts, action_id: str | None) -> _Facts:
    """Find what is known of an action beside its step: its delivery, else its invocation."""
    delivery: _Facts = facts["external"].get(action_id) or facts["others"].get(action_id) or {}
    return delivery


def _bound(hidden: _Facts) -> _Line:
    """Name what came from the session; its values only where the views showed them."""
    if all(value == "[redacted]" for value in hidden.values()):
        return _Line("bound", f"{', '.join(map(_clean, sorted(hidden)))} from the session")
    return _Line("bound", _clean(json.dumps(hidden, ensure_ascii=False)), payload=True)


def _policy_lines(evaluations: list[_Facts], *, whole: bool) -> Iterator[_Line]:
    first: dict[str, str] = {}
    for evaluation in evaluations:
        policy = evaluation["policy"]
        since = first.setdefault(policy, evaluation["evaluated_at"])
        is_shadow = evaluation["mode"] == "shadow"
        if not whole and (is_shadow or evaluation["result"] == "pass"):
            continue
        text = _clean(policy)
        if since != evaluation["evaluated_at"]:
            text += f" again after {_passed(since, evaluation['evaluated_at'])}"
        text += f": {evaluation['result']}"
        how = _decided(evaluation["evidence"])
        text += f", {how}" if how else ""
        yield _Line("shadow" if is_shadow else "policy", text)
        if is_shadow:
            yield _Line("", "recorded only, a shadow decides nothing")
        if evaluation["reason"]:
            yield _Line("reason", _quoted(evaluation["reason"]))
        if evaluation["guidance"]:
            yield _Line("guidance", _quoted(evaluation["guidance"]))


def _decided(evidence: _Facts) -> str:
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
        parts.append(f"then {_clean(fallback['policy'])} on {_words(fallback['trigger'])}")
    if code.get("registered") is False:
        parts.append("not registered")
    elif code.get("evaluator"):
        parts.append(f"evaluator {_clean(code['evaluator'])}")
    parts.extend(
        f"{_clean(error.get('path') or '')} {_clean(error.get('reason') or '')}".strip()
        for error in (evidence.get("errors") or [])[:1]
    )
    return ", ".join(parts)


def _leaf(leaf: _Facts) -> str:
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
    return _clean(text if leaf["held"] else f"not {text}")


def _event_lines(events: list[_Facts], *, whole: bool) -> Iterator[_Line]:
    """Tell the transition, then what else the action said has happened."""
    others = []
    for event in events:
        subject = f"{_clean(event['subject_type'])} {_clean(event['subject_id'])}"
        if event["event_type"] == "StateTransitioned":
            states = f"from {_clean(event['from'] or '')} to {_clean(event['to'] or '')}"
            yield _Line("moved", f"{subject} {states}")
        if event["event_type"] not in _PLATFORM_EVENTS:
            others.append((_clean(event["event_type"]), f"{subject}, number {event['sequence']}"))
    if whole:
        for event_type, subject in others:
            yield _Line("event", f"{event_type} of {subject}")
    elif others:
        yield _Line("events", ", ".join(event_type for event_type, _ in others), payload=True)
    hidden = events[-1]["emitted"] - len(events) if events else 0
    if hidden > 0:
        yield _Line("", f"and {hidden} more in synapsor_events")


def _verdict(approval: _Facts, subject: _Facts) -> _Line:
    passed = _passed(subject["started_at"], approval["decided_at"])
    text = f"by {_clean(approval['reviewer'])}" + (f" after {passed}" if passed else "")
    if approval["voided_at"]:
        text += ", no longer counted"
    if approval["note"]:
        text += f": {_quoted(approval['note'])}"
    return _Line(_clean(approval["verdict"]), text)


def _incidents(history: list[_Facts], since: str) -> Iterator[_Line]:
    """Tell what went otherwise than claimed, sent and confirmed."""
    claims = {event["claim_token"]: event for event in history if event["event_type"] == "Claimed"}
    told: list[_Line] = []
    successor: _Facts | None = None
    for event in reversed(history):
        kind = event["event_type"]
        if kind == "Claimed":
            successor = event
        elif kind in _LOSSES:
            told.append(_lost(event, claims.get(event["claim_token"], {}), successor, since))
        elif kind in {"LateConfirmation", "ApprovalVoided", "Retried", "Settled", "Quarantined"}:
            told.append(_incident(event))
    if told[_INCIDENTS:]:
        yield _Line("earlier", f"{len(told) - _INCIDENTS} more in synapsor_external_action_events")
    yield from reversed(told[:_INCIDENTS])


def _lost(event: _Facts, claim: _Facts, successor: _Facts | None, since: str) -> _Line:
    text = _worker(event)
    if claim.get("note") == "to reconcile":
        text += " while asking the provider"
    else:
        text += " after delivery began" if event["began"] else " before delivery began"
    if event["event_type"] == "Released":
        text += f", given back {_clock(event['occurred_at'], since)}"
        text += f" ({_clean(event['error_code'])})" if event["error_code"] else ""
    elif event["lease_expires_at"]:
        text += f", lease ended {_clock(event['lease_expires_at'], since)}"
    else:
        text += f", lease ended before {_clock(event['occurred_at'], since)}"
    if event["status"] == "unknown":
        text += "; the outcome is unknown"
    elif successor and _worker(successor) == _worker(event):
        text += "; claimed again by the same"
    elif successor:
        text += f"; taken over by {_worker(successor)}"
    else:
        text += "; nobody has taken over"
    return _Line("lost", text)


def _incident(event: _Facts) -> _Line:
    kind, note = event["event_type"], event["note"]
    said = f": {_quoted(note)}" if note else ""
    if kind == "LateConfirmation":
        text = f"{_worker(event)} reported {event['confirmed'] or 'an outcome'}"
        text += "".join(f" {_clean(one)}" for one in (event["provider_request_id"],) if one)
        text += f" too late ({_clean(event['error_code'])})" if event["error_code"] else " too late"
        return _Line("late", text + "; kept as evidence")
    if kind == "ApprovalVoided":
        return _Line("voided", "the intent is not what was approved: it has to be approved anew")
    if kind == "Retried":
        return _Line("retried", f"by {_clean(event['actor'])}{said}")
    if kind == "Settled":
        return _Line("settled", f"as {_clean(event['status'])} by {_clean(event['actor'])}{said}")
    return _Line("restored", f"an earlier database, as {_clean(event['actor'])} declared{said}")


def _worker(event: _Facts) -> str:
    text = _clean(event["worker_principal"] or event["actor"])
    if event["worker_label"] and event["worker_label"] != event["worker_principal"]:
        text += f" ({_clean(event['worker_label'])})"
    return text


def _delivery(external: _Facts) -> str:
    text = _worker(external)
    if external["attempts"]:
        text += f", attempt {external['attempts']}"
        if external["max_attempts"]:
            text += f" of {external['max_attempts']}"
    if external["provider"]:
        text += f", {_clean(external['provider'])} {_clean(external['operation'] or '')}".rstrip()
    return text


def _outlook(facts: _Facts, action_id: str, subject: _Facts, now: datetime) -> Iterator[_Line]:
    """Say why the action is where it is and what happens next."""
    external = facts["external"].get(action_id, {})
    status = subject["status"]
    if status in {"proposed", "waiting_for_approval"}:
        yield from _awaiting_approval(facts["pending"].get(action_id, {}), now)
    elif status == "queued":
        yield from _queued(facts, action_id, now)
    elif status == "claimed":
        yield from _claimed(external, now)
    elif status == "running":
        yield from _awaiting_steps(facts, action_id)
    elif status == "unknown":
        yield _Line("unknown", "the provider may have done it, nobody knows" + _because(external))
        yield from _suspended(facts["context"].get(action_id, {}))
        yield from _unknown(facts, action_id)
    else:
        yield from _ended(facts, action_id, subject)


def _awaiting_steps(facts: _Facts, action_id: str) -> Iterator[_Line]:
    """Tell which adapter steps a performed action waits for."""
    below = facts["below"].get(action_id)
    if not below:
        return
    stands = {step: _delivered(facts, step).get("status") or "purged" for step in below}
    open_steps = [step for step, status in stands.items() if status in _OPEN]
    if not open_steps:
        yield _Line("waiting", f"for run_due_steps: {_steps(len(below))} ended")
        yield _Line("next", "run_due_steps, which workers call, completes it")
        return
    text = f"for {len(open_steps)} of {_steps(len(below))}: "
    text += ", ".join(f"{step} {_words(stands[step])}" for step in open_steps[:3])
    yield _Line("waiting", text + (f" and {len(open_steps) - 3} more" if open_steps[3:] else ""))
    lost = next((step for step in open_steps if stands[step] == "unknown"), None)
    if lost:
        yield from _unknown(facts, lost)
    else:
        yield _Line("next", "it completes once its steps have ended")


def _unknown(facts: _Facts, action_id: str) -> Iterator[_Line]:
    """Tell who finds out what became of it: a worker only where it still may ask."""
    context = facts["context"].get(action_id)
    if context is None:
        yield _Line("next", f"explain_action('{_clean(action_id)}') tells how it is settled")
    elif context.get("is_reconcilable"):
        yield _Line("next", "a worker reconciles it, or a person calls settle_external_action")
    else:
        settle = f"settle_external_action('{_clean(action_id)}', 'succeeded' | 'failed' | 'queued')"
        yield _Line("next", f"ask the provider, then {settle}")


def _steps(count: int) -> str:
    return "1 adapter step" if count == 1 else f"{count} adapter steps"


def _awaiting_approval(pending: _Facts, now: datetime) -> Iterator[_Line]:
    required = pending.get("approvals_required") or 1
    given = pending.get("approvals_given") or 0
    wanted = "an approval" if required == 1 else f"{required - given} of {required} approvals"
    role = pending.get("required_role")
    text = f"for {wanted} by " + (f"role {_clean(role)}" if role else "any approver")
    left = _passed(now, pending.get("expires_at"))
    if left:
        text += f", {left} left"
    elif pending.get("expires_at"):
        text += "; the time for it is over"
    yield _Line("waiting", text)
    if pending.get("reason"):
        yield _Line("because", _clean(pending["reason"]))
    if pending.get("risk"):
        yield _Line("risk", _clean(pending["risk"]))
    if pending.get("expires_at") and not left:
        yield _Line("next", "expire_approvals ends it")
    else:
        yield _Line("next", "approve_external_action or reject_external_action")


def _queued(facts: _Facts, action_id: str, now: datetime) -> Iterator[_Line]:
    external = facts["external"].get(action_id, {})
    context = facts["context"].get(action_id, {})
    if external.get("attempts") and external.get("error_code"):
        attempt = f"attempt {external['attempts']}"
        if _gave_back(facts["history"].get(action_id, [])):
            yield _Line("unknown", f"how {attempt} ended{_because(external)}")
        else:
            yield _Line("failed", attempt + _because(external))
    suspended = list(_suspended(context))
    if suspended:
        yield from suspended
        return
    if context.get("waits_behind"):
        yield _Line("waiting", f"behind {context['waits_behind']}, which has the same ordering key")
        yield _Line("next", "a worker may claim it once that one has ended")
        return
    until = _passed(now, external.get("available_at"))
    if until:
        # A number that shrinks: an attempt to come is the one thing worth a moving picture.
        again = "the next attempt, due" if external.get("attempts") else "its time, due"
        yield _Line("waiting", f"for {again} in {until}")
        return
    due = _passed(external.get("available_at"), now)
    queue = _clean(external.get("queue") or "")
    yield _Line("waiting", f"for a worker on queue {queue}" + (f", due for {due}" if due else ""))
    seen = _instant(context.get("worker_seen_at"))
    if seen is None:
        yield _Line("note", f"no worker has ever reported on queue {queue}")
    elif (now - seen).total_seconds() > _SILENCE:
        yield _Line("note", f"the last worker of queue {queue} reported {_passed(seen, now)} ago")


def _gave_back(history: list[_Facts]) -> bool:
    """Whether the last attempt was given back with a reason, its outcome unknown."""
    ends = [event for event in history if event["event_type"] != "Claimed"]
    return bool(ends) and ends[-1]["event_type"] == "Released" and bool(ends[-1]["error_code"])


def _suspended(context: _Facts) -> Iterator[_Line]:
    kind = context.get("suspended_kind")
    if not kind:
        return
    what = (
        "delivery of everything" if kind == "all" else f"{kind} {_clean(context['suspended_name'])}"
    )
    yield _Line("suspended", f"{what}: {_quoted(context['suspended_reason'])}")
    yield _Line("next", "an administrator or approver calls resume")


def _claimed(external: _Facts, now: datetime) -> Iterator[_Line]:
    sent = external.get("delivery_started_at")
    text = "for the worker to send it"
    if sent:
        passed = _passed(sent, now)
        text = "for the provider's answer, sent " + (f"{passed} ago" if passed else "just now")
    left = _passed(now, external.get("lease_expires_at"))
    text += f"; the claim ends in {left}" if left else "; the claim has run out"
    yield _Line("waiting", text)
    if sent:
        yield _Line(
            "next",
            "the worker confirms; if the claim runs out, it is sent again with the same key where"
            " the contract allows that, else it becomes unknown",
        )
    else:
        yield _Line(
            "next", "the worker sends and confirms; if the claim runs out, it is offered again"
        )


def _ended(facts: _Facts, action_id: str, subject: _Facts) -> Iterator[_Line]:
    status = subject["status"]
    external = facts["external"].get(action_id, {})
    other = facts["others"].get(action_id, {})
    if status == "cancelled" and subject.get("error_code") in _CANCELLATIONS:
        status = subject["error_code"]
    if status == "purged":
        yield _Line("purged", "the action's rows were removed after it was over")
    elif status == "failed":
        yield from _failed(facts, action_id, subject)
    elif status == "expired":
        waited = not external or external["approvals_given"] < external["approvals_required"]
        yield _Line("expired", "nobody approved it in time" if waited else "not sent in time")
    elif status == "cancelled":
        told = (
            event for event in reversed(facts["history"].get(action_id, []))
            if event["event_type"] == "Cancelled"
        )  # fmt: skip
        last = next(told, {"actor": None, "note": None})
        text = f"by {_clean(last['actor'])}" if last["actor"] else "before it was performed"
        yield _Line("cancelled", text + (f": {_quoted(last['note'])}" if last["note"] else ""))
    elif status == "blocked_by_policy":
        because = _because(other) or _because(subject)
        yield _Line("blocked", (because or ": no reason given")[2:])
        yield _Line("next", "nothing was done; ask for what the policy allows")
    elif status == "validation_failed":
        because = _because(other) or _because(subject)
        yield _Line("refused", (because or ": no reason given")[2:])
        violations = subject.get("violations") or other.get("violations")
        if violations:
            yield _Line("", _clean(violations))
        yield _Line("next", "nothing was done; correct the input and ask again")
    if subject.get("exit_data"):
        yield _Line("answer", _clean(subject["exit_data"]), payload=True)


def _failed(facts: _Facts, action_id: str, subject: _Facts) -> Iterator[_Line]:
    external = facts["external"].get(action_id, {})
    other = facts["others"].get(action_id, {})
    because = _because(external) or _because(other) or _because(subject)
    yield _Line("failed", (because or ": no reason given")[2:])
    if external:
        yield _Line("next", "known not done: retry_external_action sends it again")
        return
    below = facts["below"].get(action_id, [])
    wrong = [step for step in below if _delivered(facts, step).get("status") == "failed"]
    if wrong:
        yield _Line("next", f"what it did stands: retry_external_action on {wrong[0]}")
    elif below:
        yield _Line("next", "what it did stands; a step that was cancelled is asked for anew")
    elif other.get("holds_key"):
        yield _Line("next", "nothing was done; ask again with another idempotency key")
    else:
        yield _Line("next", "nothing was done; ask again once the cause is gone")


def _because(source: _Facts) -> str:
    code, message = source.get("error_code"), source.get("error_message") or source.get("message")
    return "".join(f": {_clean(part)}" for part in (code, message) if part)


# Words, times, columns


def _words(status: str) -> str:
    return _clean(status).replace("_", " ")


def _join(*parts: str | None) -> str:
    return " ".join(_clean(part) for part in parts if part)


def _quoted(text: str) -> str:
    """Quote so that the text cannot seem to end before it does."""
    return _clean(json.dumps(text, ensure_ascii=False))


def _clean(text: str) -> str:
    """Escape what could move the cursor, hide text, forge a line or draw a branch."""
    if "  " in text:
        text = _BLANKS.sub(" ", text)  # padding draws columns that are not there
    if text.isprintable() and not _DRAWING.search(text):
        return text
    return "".join(
        json.dumps(one)[1:-1]
        if ord(one) < ord(" ")
        else one
        if one.isprintable() and not _DRAWING.match(one)
        else _escaped(one)
        for one in text
    )


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"


def _instant(value: object) -> datetime | None:
    """Read a timestamp as PostgreSQL writes it; None also for years that Python does not have."""
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def _passed(since: object, until: object) -> str:
    """Tell the time between two moments; nothing when there is none, or it runs backwards."""
    start, end = _instant(since), _instant(until)
    if start is None or end is None:
        return ""
    return _duration((end - start).total_seconds())


def _clock(value: object, since: object) -> str:
    """Tell a moment in UTC; its day only where that is not the day of what is told."""
    moment, start = _instant(value), _instant(since)
    if moment is None:
        return "at a time unknown"
    moment = moment.astimezone(UTC)
    if start is not None and start.astimezone(UTC).date() == moment.date():
        return f"{moment:%H:%M:%S}"
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _lasting(started: object, finished: object, now: datetime) -> str:
    if finished:
        passed = _passed(started, finished)
        return f" after {passed}" if passed else ""
    passed = _passed(started, now)
    return f", {passed} so far" if passed else ""


def _duration(seconds: float) -> str:
    milliseconds = int(seconds * 1000)
    if milliseconds <= 0:
        return ""
    if milliseconds < _SECOND:
        return f"{milliseconds} ms"
    if milliseconds < 10 * _SECOND:
        return f"{milliseconds // 100 / 10:g} s"
    for unit, name, smaller, small_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= unit:
            rest = int(seconds % unit) // smaller
            return f"{int(seconds // unit)} {name}" + (f" {rest} {small_name}" if rest else "")
    return f"{int(seconds)} s"


def _columns(text: str) -> int:
    if _NARROW.fullmatch(text):
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in "FW")
        for one in text
    )


def _fit(text: str, width: int) -> str:
    """Cut to a width, the cut told by an ellipsis."""
    if len(text) <= width and _columns(text) <= width:
        return text
    if _NARROW.fullmatch(text):
        return text[: width - 1] + "…"
    taken = 0
    for index, one in enumerate(text):
        taken += _columns(one)
        if taken > width - 1:
            return text[:index] + "…"
    return text


def _remark(margin: str, line: _Line) -> Iterator[str]:
    width = WIDTH - _columns(margin) - _LABEL
    said = _clean(line.text)
    rows = [_fit(said, width)] if line.payload else _wrapped(said, width)
    for row, text in enumerate(rows):
        yield margin + (line.label if row == 0 else "").ljust(_LABEL - 1) + " " + text


def _wrapped(text: str, width: int, rows: int = 3) -> Iterable[str]:
    """Break at blanks; what is left after the last row is cut."""
    lines: list[str] = []
    while len(lines) < rows - 1 and _columns(text) > width:
        cut = len(_fit(text, width)) - 1
        blank = text.rfind(" ", 0, cut + 1)
        if blank > 0:
            cut = blank
        lines.append(text[:cut])
        text = text[cut:].lstrip()
    return [*lines, _fit(text, width)]
