"""Pictures of plans that have not run: what would run, with what, and what is certain to fail."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from synapsor_plpython import canonical, diagram, forecast
from synapsor_plpython.diagram import Arrow
from synapsor_plpython.drawing import (
    WIDTH,
    Facts,
    Line,
    clean,
    fit,
    join,
    plain_marks,
    remark,
    tree,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MARKS: Final = {forecast.ALWAYS: "→", forecast.PERHAPS: "?", forecast.NEVER: "-"}
_VERDICTS: Final = {
    forecast.ALWAYS: "runs",
    forecast.PERHAPS: "may run",
    forecast.NEVER: "never runs",
}
_LOOKS: Final = {forecast.ALWAYS: "open", forecast.PERHAPS: "unknown", forecast.NEVER: "idle"}
_TOLD: Final = frozenset({"case", "failed", "approval", "each"})
"""The remarks that stand in a box."""

_TOLD_LINES: Final = 4
_MOST_STATUSES: Final = 3
_LONGEST_PAYLOAD: Final = 400


def outlook_json(document: str) -> str:
    """Draw a plan from what is known of its nodes.

    `document`: {"plan": {"plan", "version", "label", "name"}, "parameters", "members", "nodes"
    (rows of plan_nodes with their contracts), "foreseen" (forecast.foresee_json's answer),
    "previews": {node: {"preview" or "refusal"}}, "format", "plain"}. Answers {"text": the picture
    in that format, "nodes": [each node with all that is known of it], "counts"}.
    """
    facts = canonical.loads(document)
    known = {one["node"]: one for one in facts["foreseen"]}
    members = frozenset(facts["members"])
    for number, preview in facts["previews"].items():
        known[int(number)].update(preview)
    verdicts = forecast.forecast(facts["nodes"], known, members)
    keys = _step_keys(facts["nodes"])
    steps: list[Facts] = []
    why: dict[str, list[Line]] = {}
    for node in facts["nodes"]:
        number = node["node"]
        step = {
            **node,
            "step_key": keys[number],
            "parent_step_key": keys.get(node["parent"]),
            "runs": verdicts[number].runs,
            "statuses": verdicts[number].statuses,
            "errors": forecast.failures(node, known[number], members),
            **{key: known[number][key] for key in ("instances", "config", "parameters", "run_as")},
            "preview": known[number].get("preview"),
            "is_known": known[number]["known"],
        }
        steps.append(step)
        why[step["step_key"]] = list(_lines(step, verdicts[number].asked))
    if facts["format"] in diagram.LANGUAGES:
        text = _diagram(facts, steps, why)
    else:
        text = "\n".join(line.rstrip() for line in _picture(facts, steps, why))
    if facts["plain"]:
        text = text.translate(plain_marks(facts["format"]))
    return canonical.dumps({
        "text": text,
        "nodes": [_told(step, why) for step in steps],
        "counts": _counts(steps),
    })  # fmt: skip


def _step_keys(nodes: list[Facts]) -> dict[int, str]:
    """Return the path of names of each node, as a run would call it."""
    keys: dict[int, str] = {}
    for node in nodes:  # in document order: a parent comes first
        above = keys.get(node["parent"])
        keys[node["node"]] = f"{above}/{node['segment']}" if above else node["segment"]
    return keys


def _told(step: Facts, why: Mapping[str, list[Line]]) -> dict[str, Any]:
    kept = (
        *("node", "step_key", "parent_step_key", "relation", "name", "execute_case", "handler"),
        *("runs", "statuses", "errors", "instances", "config", "parameters", "contract", "preview"),
        *("run_as", "proxy", "compensation", "save_config_as", "save_parameters_as"),
    )
    remarks = [{"label": line.label, "text": clean(line.text)} for line in why[step["step_key"]]]
    return {**{key: step[key] for key in kept}, "why": remarks}


def _counts(steps: list[Facts]) -> dict[str, int]:
    runs = Counter(step["runs"] for step in steps)
    alive = [step for step in steps if step["runs"] != forecast.NEVER]
    return {
        "nodes": len(steps),
        **{verdict: runs[verdict] for verdict in _VERDICTS},
        "failing": sum(bool(step["errors"]) for step in alive),
        "approvals": sum(bool(_approval(step)) for step in alive),
    }


# Pictures


def _picture(facts: Facts, steps: list[Facts], why: Mapping[str, list[Line]]) -> Iterator[str]:
    yield fit(" · ".join(_headings(facts)), WIDTH)
    lines = [Line("nodes", _summary(steps))]
    if facts["parameters"]:
        lines.append(Line("given", clean(_short(facts["parameters"])), payload=True))
    for line in lines:
        yield from remark("│ ", line)
    yield from tree(steps, why, _headline)


def _diagram(facts: Facts, steps: list[Facts], why: Mapping[str, list[Line]]) -> str:
    boxes = [diagram.box("", [*_headings(facts), _summary(steps)], "open")]
    arrows = []
    for step in steps:
        told = [line for line in why[step["step_key"]] if line.label in _TOLD][:_TOLD_LINES]
        lines = [_headline(step), *(f"{line.label} {line.text}" for line in told)]
        look = "wrong" if step["errors"] else _LOOKS[step["runs"]]
        boxes.append(diagram.box(f"/{step['step_key']}", lines, look))
        parent = step["parent_step_key"]
        start = "" if parent is None else f"/{parent}"
        arrows.append(Arrow(start, f"/{step['step_key']}", step["relation"]))
    return diagram.LANGUAGES[facts["format"]](boxes, arrows)


def _headings(facts: Facts) -> list[str]:
    plan = facts["plan"]
    named = f"plan {clean(plan['plan'])} version {plan['version']}"
    return [named, *([clean(plan["label"])] if plan["label"] else []), "not started"]


def _summary(steps: list[Facts]) -> str:
    counts = _counts(steps)
    parts = [f"{counts['nodes']}: {counts['always']} run"]
    for verdict, said in ((forecast.PERHAPS, "may run"), (forecast.NEVER, "never run")):
        if counts[verdict]:
            parts.append(f"{counts[verdict]} {said}")
    if counts["approvals"]:
        parts.append(f"{counts['approvals']} with an approval")
    if counts["failing"]:
        parts.append(f"{counts['failing']} certain to fail")
    return ", ".join(parts)


def _headline(step: Facts) -> str:
    kind = step["handler"]["type"].removeprefix("Synapse.Core:")
    relation = "group" if step["relation"] == "group" else ""
    parts = [clean(step["name"]), clean(kind), relation, _VERDICTS[step["runs"]]]
    return f"{_MARKS[step['runs']]} " + " · ".join(filter(None, parts))


# Remarks


def _lines(step: Facts, asked: list[str]) -> Iterator[Line]:
    if step["execute_case"] is not None:
        yield Line("case", _case(step, asked))
    yield from (Line("failed", clean(reason)) for reason in step["errors"])
    yield from _handler(step)
    yield from _instances(step)
    if step["contract"]:
        yield from _policies(step)
    approval = _approval(step)
    if approval:
        yield Line("approval", approval)
    if step["compensation"]:
        yield Line("undone", f"by {clean(step['compensation']['action'])}")
    for kind, key in (("configuration", "save_config_as"), ("parameters", "save_parameters_as")):
        if step[key]:
            yield Line("saved", f"its exit data, as {kind} {clean(step[key])}")


def _case(step: Facts, asked: list[str]) -> str:
    wanted = " or ".join(step["execute_case"])
    above = "the plan" if step["parent"] is None else "the action above"
    if len(asked) > _MOST_STATUSES:
        return wanted
    return f"{wanted}; {above} is {' or '.join(asked)}"


def _instances(step: Facts) -> Iterator[Line]:
    if step["run_as"]:
        yield Line("as", clean(step["run_as"]))
    if step["instances"] is None:
        yield Line("each", "as many instances as ForEach finds values")
    elif step["instances"] != 1:
        yield Line("each", f"{step['instances']} instances of ForEach")
    if step["handler"]["kind"] in {"action", "worker"} and "parameters" in step["is_known"]:
        given = (step["preview"] or {}).get("arguments", step["parameters"])
        if given:
            yield Line("asked", clean(_short(given)), payload=True)


def _handler(step: Facts) -> Iterator[Line]:
    contract = step["contract"]
    if contract:
        queue = step["proxy"] or contract["queue"]
        parts = [f"{clean(contract['action'])} v{contract['version']}", clean(contract["kind"])]
        if contract["kind"] == "external":
            parts.append(join(contract["provider"], contract["operation"], "on queue", queue))
        elif contract["kind"] == "saga":
            parts.append(f"plan {clean(contract['plan'])}, which explain_plan tells")
        yield Line("action", ", ".join(parts))
    elif step["handler"]["kind"] == "empty" and len(step["statuses"]) == 1 and not step["errors"]:
        yield Line("returns", step["statuses"][0])


def _policies(step: Facts) -> Iterator[Line]:
    decided = (step["preview"] or {}).get("policy") or {}
    for policy in step["contract"]["policies"]:
        name = clean(policy["policy"])
        if policy["kind"] is None:
            yield Line("policy", f"{name}: not registered, which blocks")
        else:
            shadow = ", a shadow: it decides nothing" if policy["mode"] == "shadow" else ""
            yield Line("policy", f"{name}: {policy['kind']}{shadow}")
    if decided:
        by = f" by {clean(decided['policy'])}" if decided.get("policy") else ""
        reason = f": {clean(decided['reason'])}" if decided.get("reason") else ""
        yield Line("decided", f"{decided['result']}{by}, as asked now{reason}")


def _approval(step: Facts) -> str:
    """Tell whose approval a node waits for; nothing where it needs none, or never gets there."""
    contract, preview = step["contract"], step["preview"] or {}
    if not contract or step["errors"]:
        return ""
    asked = preview.get("approval")
    rule = contract["approval"]
    if asked is not None:
        if not asked["required"]:
            return ""
        return _by(asked.get("role"), asked.get("approvals") or 1)
    if not rule["required"]:
        return ""
    unless = f", unless {clean(rule['unless'])}" if rule["unless"] else ""
    return _by(rule["role"], rule["approvals"]) + unless


def _by(role: str | None, approvals: int) -> str:
    by = f"by role {clean(role)}" if role else "by any approver"
    return by if approvals == 1 else f"{approvals} approvals, {by}"


def _short(value: Any) -> str:
    return canonical.dumps(value)[:_LONGEST_PAYLOAD]
