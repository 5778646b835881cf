"""Plans: trees of actions. Reads a definition in the document's own shape into a list of nodes.

`reference/plans.md` has the semantics. The walk itself happens in the database, node by node; what
it needs to know of a node without looking at the tree again is found here.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from synapsor_plpython import canonical, definition, parameters
from synapsor_plpython.reading import PROSE, Findings, Reader, Shape, a_kind

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_NODES: Final = 20_000
"""Most nodes of a plan."""

MAX_DEPTH: Final = 200
"""Most levels of a plan; a root is on level 1."""

STATUSES: Final[Mapping[str, int]] = {
    "None": 0,
    "New": 1,
    "Initializing": 2,
    "Running": 4,
    "Waiting": 8,
    "Cancelling": 16,
    "Zombie": 32,
    "Complete": 128,
    "CompletedWithErrors": 256,
    "Failed": 512,
    "Cancelled": 1024,
    "Tombstoned": 2048,
}
"""The statuses in their order (reference/plans.md, A.1)."""

SYNONYMS: Final[Mapping[str, str]] = {
    "Success": "Complete",
    "SuccessWithErrors": "CompletedWithErrors",
}

DEFAULT_HANDLER: Final = "Synapse.Handlers.CommandLine:CommandHandler"
"""What runs an action that names no handler in a plan that names none either."""

_NAME: Final = Shape(200)
_CASES: Final = (*STATUSES, *SYNONYMS, "Any")
_PLAN_KEYS: Final = (
    *("Name", "UniqueName", "Label", "Description", "IsActive", "DefaultHandlerType", "Actions"),
    *("RunAs", "Crypto", "StartInfo", "Result", "InstanceId", "LastModified", "Signature"),
)
_ACTION_KEYS: Final = (
    *("Name", "Description", "Proxy", "ExecuteCase", "SaveExitDataAs", "Handler", "RunAs"),
    *("Parameters", "ActionGroup", "Actions", "Result", "InstanceId", "ParentInstanceId"),
    "Compensation",
)
_RUN_AS_KEYS: Final = ("UserName", "IsInheritable", "BlockInheritance")
# The document's other keys of a security context: secrets, and what leads to them.
_RUN_AS_REFUSED: Final = ("Domain", "Password", "Provider", "Config", "Crypto", "Parameters")
_ACTION_NAME: Final = re.compile(r"[a-z][a-z0-9-]*\.[a-z][a-z0-9_]*")
_PROXY: Final = Shape(
    200, re.compile(r"queue://[A-Za-z0-9_.:-]{1,128}"), told="names no queue (queue://name)"
)
_CORE_LIBRARIES: Final = re.compile(r"(Synapse(\.[A-Za-z0-9_]+)*)?")


@dataclass(slots=True)
class Node:
    """One action of a plan, and where it hangs."""

    node: int
    parent: int | None
    relation: str
    name: str
    segment: str
    execute_case: list[str] | None
    handler: dict[str, Any]
    config: dict[str, Any] | None
    parameters: dict[str, Any] | None
    config_sets: list[str]
    parameter_sets: list[str]
    save_config_as: str | None
    save_parameters_as: str | None
    run_as: dict[str, Any] | None
    proxy: str | None
    compensation: dict[str, Any] | None
    has_group: bool = False
    has_actions: bool = False


@dataclass(slots=True)
class _Plan:
    """What is being read: the findings, the nodes so far, and what a node falls back on."""

    found: Findings
    default_handler: str
    run_as: dict[str, Any] | None
    nodes: list[Node] = field(default_factory=list)
    is_too_large: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the next action is read from, and where it hangs."""

    value: Any
    path: str
    parent: int | None
    relation: str
    depth: int


def check_plan_json(text: str) -> str:
    """Check a plan given as JSON text.

    Returns `{"plan", "name", "label", "is_active", "run_as", "start_info", "nodes", "reasons":
    [{"path", "reason"}], "checks": [{"path", "kind", "value"}]}`: the nodes in document order, a
    group before the actions beside it, each with the number of its parent. Without nodes when
    there are reasons.
    """
    found = Findings()
    try:
        value = canonical.loads(text)
    except canonical.CanonicalError as error:
        found.refuse("definition", f"is unreadable: {error}")
        value = {}
    result: dict[str, Any] = (
        {} if found.reasons else _read_plan(Reader(found, value, "", _PLAN_KEYS))
    )
    result["reasons"] = [asdict(reason) for reason in found.reasons]
    result["checks"] = [asdict(check) for check in found.checks]
    if found.reasons:
        result["nodes"] = []
    return canonical.dumps(result)


def status_name(text: str) -> str | None:
    """Return the one name of a status, whichever of its names is given; None for no status."""
    name = SYNONYMS.get(text, text)
    return name if name in STATUSES else None


def _read_plan(reader: Reader) -> dict[str, Any]:
    reader.require("Name", "Actions")
    name = reader.text("Name", shape=_NAME)
    _refuse_crypto(reader)
    reader.text("Description", shape=PROSE)
    start = reader.part("StartInfo", ("RequestNumber", "RequestUser"))
    plan = _Plan(
        reader.found,
        reader.text("DefaultHandlerType", shape=_NAME) or DEFAULT_HANDLER,
        _effective(None, _read_run_as(reader)),
    )
    result: dict[str, Any] = {
        "plan": reader.text("UniqueName", shape=_NAME) or name,
        "name": name,
        "label": reader.text("Label"),
        "is_active": reader.flag("IsActive", default=True),
        "run_as": plan.run_as,
        "start_info": {
            "RequestNumber": start.text("RequestNumber", shape=_NAME),
            "RequestUser": start.text("RequestUser", shape=_NAME),
        },
        "nodes": [],
    }
    if reader.value.get("Actions") == []:
        reader.refuse("Actions", "is empty")
    # A work list, not recursion: siblings are pushed in reverse, so that nodes come in order.
    work = _below(reader, None, 1)
    while work and not plan.is_too_large:
        place = work.pop()
        number, below = _read_action(plan, place)
        work.extend(_below(below, number, place.depth + 1))
    _name_segments(plan.nodes)
    result["nodes"] = [asdict(node) for node in plan.nodes]
    return result


def _below(reader: Reader, parent: int | None, depth: int) -> list[_Place]:
    """Return the places below a plan or an action, the first one last."""
    places: list[_Place] = []
    relation = "root" if parent is None else "child"
    actions = reader.value.get("Actions")
    if isinstance(actions, list):
        path = reader.at("Actions")
        places += [
            _Place(value, f"{path}[{position}]", parent, relation, depth)
            for position, value in enumerate(actions)
        ]
    elif actions is not None:
        reader.refuse("Actions", f"is {a_kind(actions)}, not an array")
    group = reader.value.get("ActionGroup")
    # The document's own sample has empty objects for what is not there.
    if group is not None and group != {} and parent is not None:
        places.insert(0, _Place(group, reader.at("ActionGroup"), parent, "group", depth))
    places.reverse()
    return places


def _read_action(plan: _Plan, place: _Place) -> tuple[int, Reader]:
    number = len(plan.nodes) + 1
    if place.depth > MAX_DEPTH or number > MAX_NODES:
        limit = f"{MAX_NODES} actions" if number > MAX_NODES else f"{MAX_DEPTH} levels"
        plan.found.refuse(place.path, f"is beyond the {limit} a plan may have")
        plan.is_too_large = number > MAX_NODES
        return number - 1, Reader(plan.found, {}, place.path, ())
    reader = Reader(plan.found, place.value, place.path, _ACTION_KEYS)
    if isinstance(place.value, dict):
        reader.require("Name")
    reader.text("Description", shape=PROSE)
    handler = reader.part("Handler", ("Type", "Config", "StartInfo"))
    saved = reader.part("SaveExitDataAs", ("Config", "Parameters"))
    config, config_sets = _read_info(handler, "Config")
    given, parameter_sets = _read_info(reader, "Parameters")
    above = plan.nodes[place.parent - 1] if place.parent is not None else None
    proxy = (reader.text("Proxy", shape=_PROXY) or "").removeprefix("queue://") or None
    node = Node(
        node=number,
        parent=place.parent,
        relation=place.relation,
        name=reader.text("Name", shape=_NAME) or "",
        segment="",
        execute_case=_read_case(reader),
        handler=_read_handler(handler, plan.default_handler),
        config=config,
        parameters=given,
        config_sets=config_sets,
        parameter_sets=parameter_sets,
        save_config_as=saved.text("Config", shape=_NAME),
        save_parameters_as=saved.text("Parameters", shape=_NAME),
        run_as=_effective(above.run_as if above else plan.run_as, _read_run_as(reader)),
        proxy=proxy or (above.proxy if above else None),
        compensation=_read_compensation(reader),
        has_group=reader.value.get("ActionGroup") not in (None, {}),
        has_actions=reader.value.get("Actions") not in (None, []),
    )
    plan.nodes.append(node)
    return number, reader


def _read_case(reader: Reader) -> list[str] | None:
    """Read the statuses a node asks for; None is the default, which always matches."""
    value = reader.value.get("ExecuteCase")
    if value is None or value == []:
        return None
    names: list[str] = []
    listed = value if isinstance(value, list) else str(value).split(",")
    for position, item in enumerate(listed):
        path = reader.at("ExecuteCase") + (f"[{position}]" if isinstance(value, list) else "")
        if not isinstance(item, str) or (not isinstance(value, (str, list))):
            reader.found.refuse(path, f"is {a_kind(item)}, not the name of a status")
        elif item.strip() not in _CASES:
            reader.found.refuse(path, "is none of " + ", ".join(_CASES))
        else:
            name = SYNONYMS.get(item.strip(), item.strip())
            names += [] if name in names else [name]
    return names


def _read_handler(reader: Reader, default: str) -> dict[str, Any]:
    """Read what runs the node: an action, a built-in, or what a worker serves."""
    given = reader.text("Type", shape=_NAME) or default
    if given.startswith("action:"):
        action = given.removeprefix("action:").strip()
        if not _ACTION_NAME.fullmatch(action):
            reader.refuse("Type", "names no action (action:namespace.verb)")
        return {"type": given, "kind": "action", "action": action}
    library, short = _split_type(given)
    if short in ("EchoHandler", "EmptyHandler") and _CORE_LIBRARIES.fullmatch(library):
        return {
            "type": f"Synapse.Core:{short}",
            "kind": "echo" if short == "EchoHandler" else "empty",
        }
    prefix = f"{library}:" if library else ""
    spellings = [given, prefix + short, prefix + short.removesuffix("Handler")]
    return {"type": given, "kind": "worker", "operations": list(dict.fromkeys(spellings))}


def _split_type(given: str) -> tuple[str, str]:
    """Return library and class, `Handler` at its end, of any spelling (reference/plans.md, A.5)."""
    library, class_name = "", given
    if "," in given:
        class_name, library = (part.strip() for part in given.split(",")[:2])
    elif ":" in given:
        library, _, class_name = given.rpartition(":")
    short = class_name.rpartition(".")[2].strip()
    return library.strip(), short if short.endswith("Handler") else f"{short}Handler"


def _read_info(reader: Reader, key: str) -> tuple[dict[str, Any] | None, list[str]]:
    """Read a ParameterInfo, and the named sets it takes from."""
    info = reader.value.get(key)
    if info is None or info == {}:
        return None, []
    for finding in parameters.check_info(info, reader.at(key)):
        if "reason" in finding:
            reader.found.refuse(finding["path"], finding["reason"])
        else:
            reader.found.defer(finding["path"], finding["kind"], finding["value"])
    if not isinstance(info, dict):
        return None, []
    sets = [info.get("InheritFrom")]
    each = info.get("ForEach")
    for item in each if isinstance(each, list) else []:
        source = item.get("ParameterSource") if isinstance(item, dict) else None
        sets.append(source.get("Name") if isinstance(source, dict) else None)
    return info, sorted({name for name in sets if isinstance(name, str)})


def _read_run_as(reader: Reader) -> dict[str, Any] | None:
    """Read a security context; a node without one inherits (reference/plans.md, A.7)."""
    value = reader.value.get("RunAs")
    if value is None or value == {}:
        return None
    part = reader.part("RunAs", (*_RUN_AS_KEYS, *_RUN_AS_REFUSED))
    for key in _RUN_AS_REFUSED:
        if part.has(key):
            part.refuse(key, "is refused: a plan names a member of the tenant, and keeps no secret")
    user = part.text("UserName", shape=Shape(255))
    return {
        "UserName": user,
        "IsInheritable": part.flag("IsInheritable", default=True),
        "BlockInheritance": part.flag("BlockInheritance", default=user is not None),
    }


def _effective(
    inherited: dict[str, Any] | None, own: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Return the security context a node runs under; None is that of whoever started the plan.

    What is inherited wins, unless it is not inheritable or the node blocks inheritance, which a
    UserName of its own does by default (reference/plans.md, A.7).
    """
    is_blocked = own is not None and own["BlockInheritance"]
    if inherited is not None and inherited["IsInheritable"] and not is_blocked:
        return {**inherited, "IsInherited": True}
    return None if own is None else {**own, "IsInherited": False}


def _read_compensation(reader: Reader) -> dict[str, Any] | None:
    """Read the action that undoes this node."""
    if not reader.has("Compensation"):
        return None
    value = reader.value["Compensation"]
    if isinstance(value, str):
        value = {"action": value}
    part = Reader(reader.found, value, reader.at("Compensation"), ("action", "parameters"))
    part.require("action")
    action = part.text("action", shape=Shape(128, _ACTION_NAME))
    given = part.value.get("parameters")
    if given is not None:
        definition.check_input(reader.found, given, part.at("parameters"))
    return {"action": action, "input": {} if given is None else given}


def _refuse_crypto(reader: Reader) -> None:
    if reader.value.get("Crypto"):
        reader.refuse("Crypto", "is refused: a secret does not belong into a definition")


def _name_segments(nodes: list[Node]) -> None:
    """Give each node its part of the step key, unique beside its siblings."""
    taken: set[tuple[int | None, str]] = set()
    numbers: dict[tuple[int | None, str], int] = {}
    for node in nodes:
        base = node.name.replace("/", "%2F").replace("[", "%5B")
        segment, number = base, numbers.get((node.parent, base), 1)
        while (node.parent, segment) in taken:
            number += 1
            segment = f"{base}#{number}"
        numbers[node.parent, base] = number
        taken.add((node.parent, segment))
        node.segment = segment


__all__ = ["MAX_DEPTH", "MAX_NODES", "STATUSES", "SYNONYMS", "check_plan_json", "status_name"]
