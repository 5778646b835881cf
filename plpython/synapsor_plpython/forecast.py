"""What a plan would do: which of its nodes would run, with what, and what is certain to fail.

Nothing is performed. A handler's outcome is not known before it has run, so a node has a set of
statuses it may end with, and what is below it runs always, perhaps or never. Parameters are
resolved as far as they depend on nothing that only a run can tell: exit data and named sets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from synapsor_plpython import canonical, parameters, plan

Node: TypeAlias = Mapping[str, Any]
"""A row of plan_nodes, with the contract that serves it where there is one."""

ALWAYS: Final = "always"
PERHAPS: Final = "perhaps"
NEVER: Final = "never"

_ANY: Final = frozenset(plan.STATUSES)
_SUCCESS: Final = ("Complete", "CompletedWithErrors")
_SUCCESSES: Final[Mapping[str | None, tuple[str, ...]]] = {
    "pass": ("Complete",),
    "warn": ("CompletedWithErrors",),
}
"""What success is called after what the policies said."""

_KINDS: Final = ("config", "parameters")


@dataclass(slots=True)
class Foreseen:
    """What is known of a node before it runs.

    `known` names which of config and parameters are certain; `instances` is None where only the
    run can tell how many there are.
    """

    errors: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    instances: int | None = 1
    for_each: bool = False
    config: Any = None
    parameters: Any = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a node runs, the statuses its case may be compared with, those it may end with."""

    runs: str
    asked: list[str]
    statuses: list[str]


def foresee_json(
    document: str,
    matches: Callable[[str, str], bool],
    replace: Callable[[str, str, str], str],
) -> str:
    """Resolve the parameters of a plan's nodes as far as that is possible; for SQL.

    `document`: {"nodes": [rows of plan_nodes], "parameters": the caller's, "automatic": …}.
    Answers a list, in the order of the nodes, of {"node", "errors", "known", "instances",
    "for_each", "config", "parameters", "run_as"}: values are those of the first instance, run_as is
    the member under whose session the node runs.
    """
    facts = canonical.loads(document)
    sets = _sets(facts["nodes"])
    common = {"dynamic": facts["parameters"], "automatic": facts["automatic"]}
    answer = []
    for node in facts["nodes"]:
        found = _foresee(node, sets, common, matches, replace)
        answer.append({
            "node": node["node"],
            "errors": found.errors,
            "known": sorted(found.known),
            "instances": found.instances,
            "for_each": found.for_each,
            "config": found.config,
            "parameters": found.parameters,
            "run_as": (node["run_as"] or {}).get("UserName"),
        })  # fmt: skip
    return canonical.dumps(answer)


def _sets(nodes: list[Node]) -> dict[str, set[str]]:
    """Return the names under which anything is ever registered, by kind."""
    sets: dict[str, set[str]] = {kind: set() for kind in _KINDS}
    for node in nodes:
        for kind, saved in (("config", "save_config_as"), ("parameters", "save_parameters_as")):
            sets[kind].update({(node[kind] or {}).get("Name"), node[saved]} - {None})
    return sets


def _foresee(
    node: Node,
    sets: Mapping[str, set[str]],
    common: Mapping[str, Any],
    matches: Callable[[str, str], bool],
    replace: Callable[[str, str, str], str],
) -> Foreseen:
    found = Foreseen()
    counts: list[int | None] = []
    for kind in _KINDS:
        info = node[kind]
        if not info:
            found.known.add(kind)
            continue
        is_certain = not _depends(info, is_root=node["parent"] is None)
        found.errors += _missing(info, kind, sets)
        asked = info if is_certain else _certain_part(info)
        answer = parameters.resolve({kind: asked, "only_first": True, **common}, matches, replace)
        if answer["error"]:
            found.errors.append(answer["error"])
        found.for_each = found.for_each or bool(info.get("ForEach"))
        counts.append(answer["count"] if is_certain else None)
        if is_certain and not answer["error"]:
            found.known.add(kind)
            if answer["instances"]:
                setattr(found, kind, answer["instances"][0][kind])
    if found.for_each:
        found.instances = _product(counts)
        limit = parameters.MAX_INSTANCES
        if found.instances is not None and found.instances > limit:
            found.errors.append(
                f"ForEach makes {found.instances} instances, more than the limit of {limit}."
            )
    if found.errors:
        found.instances = 1
    return found


def _product(counts: list[int | None]) -> int | None:
    product = 1
    for count in counts:
        if count is None:
            return None
        product *= count
    return product


def _depends(info: Mapping[str, Any], *, is_root: bool) -> bool:
    """Tell whether a ParameterInfo needs what only a run has. A root's parent has no exit data."""
    names = [
        (entry.get("ParameterSource") or {}).get("Name") for entry in info.get("ForEach") or ()
    ]
    return bool(
        info.get("InheritFrom")
        or (info.get("ParentExitData") and not is_root)
        or any(name and not (is_root and name == parameters.PARENT) for name in names)
    )


def _missing(info: Mapping[str, Any], kind: str, sets: Mapping[str, set[str]]) -> list[str]:
    """Tell which sets are asked for that no node of the plan ever makes."""
    reasons = []
    inherited = info.get("InheritFrom")
    if inherited and inherited not in sets[kind]:
        reasons.append(f"InheritFrom names the set [{inherited[:100]}], which no node makes.")
    everything = {parameters.PARENT}.union(*sets.values())
    for entry in info.get("ForEach") or ():
        name = (entry.get("ParameterSource") or {}).get("Name")
        if name and name not in everything:
            reasons.append(f"ForEach names the set [{name[:100]}], which no node makes.")
    return reasons


def _certain_part(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what can be checked of a ParameterInfo that waits for a run."""
    listed = [entry for entry in info.get("ForEach") or () if entry.get("Values") is not None]
    rest = {"Type": info.get("Type"), "Dynamic": info.get("Dynamic"), "ForEach": listed}
    return {key: value for key, value in rest.items() if value}


# Statuses


def failures(node: Node, known: Node, members: frozenset[str]) -> list[str]:
    """Return why a node is certain to fail if it runs.

    `known` is what `foresee_json` answered, with `preview` (of its action; `violations` in a line)
    or `refusal` (what asking for it raises) where its action could be previewed.
    """
    reasons = list(known["errors"])
    kind = node["handler"]["kind"]
    if kind in {"action", "worker"} and not node["contract"]:
        what = "no action of this name is in use" if kind == "action" else "nobody serves it"
        reasons.append(f"The handler {node['handler']['type'][:200]} is unknown: {what}.")
    if known["run_as"] and known["run_as"] not in members:
        reasons.append(f"RunAs: {known['run_as'][:200]} is no member of the tenant.")
    if known.get("refusal"):
        reasons.append(known["refusal"])
    preview = known.get("preview") or {}
    if preview.get("valid") is False:
        told = (preview.get("error_message"), known.get("violations"))
        reasons.append(": ".join(filter(None, told)) or "Its action is refused.")
    if kind == "empty" and not reasons and not _emptied(node, known):
        reasons.append(f"ReturnStatus is no status: {', '.join(plan.STATUSES)}.")
    return reasons


def forecast(
    nodes: list[Node], foreseen: Mapping[int, Node], members: frozenset[str]
) -> dict[int, Verdict]:
    """Return the verdict on each node."""
    below: dict[int | None, list[Node]] = defaultdict(list)
    for node in nodes:
        below[node["parent"]].append(node)
    verdicts: dict[int, Verdict] = {}
    work: list[tuple[Node, str, frozenset[str]]] = [
        (root, ALWAYS, frozenset({"None"})) for root in below[None]
    ]
    while work:
        node, parent_runs, asked = work.pop()
        known = foreseen[node["node"]]
        runs = _least(parent_runs, _fits(node["execute_case"], asked))
        if known["for_each"] and known["instances"] == 0:
            runs = NEVER
        own = _outcomes(node, known, members)
        verdicts[node["node"]] = Verdict(runs, _in_order(asked), _in_order(own))
        # What a group ends with raises what the actions beside it are compared with.
        compared = own
        for child in below[node["node"]]:
            work.append((child, runs, own if child["relation"] == "group" else compared))
            if child["relation"] == "group":
                compared = _raised(own, child, _outcomes(child, foreseen[child["node"]], members))
    return verdicts


def _in_order(statuses: frozenset[str]) -> list[str]:
    return sorted(statuses, key=plan.STATUSES.__getitem__)


def _outcomes(node: Node, known: Node, members: frozenset[str]) -> frozenset[str]:
    """Return the statuses a node may end with, if it runs."""
    kind = node["handler"]["kind"]
    possible = set(_ANY)
    if failures(node, known, members):
        possible = {"Failed"}
    elif known["for_each"] and known["instances"] == 0:
        possible = {"None"}
    elif kind == "echo":
        possible = {"Complete"}
    elif kind == "empty":
        possible = _emptied(node, known)
    elif kind == "action":
        policy = ((known.get("preview") or {}).get("policy") or {}).get("result")
        possible = {*_SUCCESSES.get(policy, _SUCCESS), "Failed", "Cancelled"}
    if len(known["known"]) < len(_KINDS):
        possible.add("Failed")  # where what only the run can tell does not resolve
    if known["for_each"] and known["instances"] is None and node["relation"] == "group":
        possible.add("None")  # of its container, where the list is empty
    return frozenset(possible)


def _emptied(node: Node, known: Node) -> set[str]:
    """Return what EmptyHandler ends with: what it is told to, if that is known and one for all."""
    if "config" not in known["known"] or (node["config"] or {}).get("ForEach"):
        return set(_ANY)
    config = known["config"] if isinstance(known["config"], dict) else {}
    status = config.get("ReturnStatus")
    name = plan.status_name("None" if status is None else str(status))
    return {name} if name else set()


def _fits(case: list[str] | None, asked: frozenset[str]) -> str:
    if case is None or "Any" in case or "None" in case:
        return ALWAYS
    fitting = asked.intersection(case)
    return NEVER if not fitting else ALWAYS if fitting == asked else PERHAPS


def _least(one: str, other: str) -> str:
    return max(one, other, key=(ALWAYS, PERHAPS, NEVER).index)


def _raised(own: frozenset[str], group: Node, ended: frozenset[str]) -> frozenset[str]:
    raised: set[str] = set()
    for status in own:
        if _fits(group["execute_case"], frozenset({status})) == NEVER:
            raised.add(status)
        else:
            raised.update(max(status, other, key=plan.STATUSES.__getitem__) for other in ended)
    return frozenset(raised)
