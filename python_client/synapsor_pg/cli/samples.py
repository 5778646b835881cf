"""Sample plans: what a handler's configuration and parameters look like."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapsor_pg.cli.documents import read_yaml, write_yaml
from synapsor_pg.cli.shared import UsageError, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import psycopg

Layout = dict[str, Any]

EXAMPLES: dict[str, Any] = {
    "string": "text",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "object": {},
    "array": [],
    "null": None,
}
FORMATS = {
    "date": "2026-11-28",
    "date-time": "2026-11-28T12:00:00Z",
    "email": "somebody@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
DEEPEST = 8
REQUIRED = "(required)"  # no key of a schema


@dataclass(slots=True)
class Sample:
    """A handler as the sample shows it, and remarks to its parts (`parameters.amount`)."""

    kind: str
    config: Any = None
    parameters: Any = None
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def has_layout(self) -> bool:
        """Whether it says what the handler takes."""
        return self.config is not None or self.parameters is not None


BUILT_IN = {
    "EchoHandler": Sample(
        "Synapse.Core:EchoHandler",
        {"any": "value"},
        {"any": "value"},
        {"": "returns Complete, and what it was started with as its exit data"},
    ),
    "EmptyHandler": Sample(
        "Synapse.Core:EmptyHandler",
        {"ReturnStatus": "Complete", "ExitData": {"any": "value"}, "SleepMilliseconds": 0},
        None,
        {
            "": "does nothing",
            "config.ReturnStatus": "the status it returns; without it, None",
            "config.ExitData": "what it returns; ParentExitData of its children",
            "config.SleepMilliseconds": "how long it waits before",
        },
    ),
}
CORE = "Synapse.Core"


def samples_of(
    handlers: Sequence[str],
    served: Callable[[], Mapping[str, Sample]],
    connection: Callable[[], psycopg.Connection[Any]],
) -> list[Sample]:
    """Return the samples of handlers; `lib:all` means all that we know of a library."""
    return [each for handler in handlers for each in _of(handler, served, connection)]


def _of(
    handler: str,
    served: Callable[[], Mapping[str, Sample]],
    connection: Callable[[], psycopg.Connection[Any]],
) -> Iterator[Sample]:
    library, _, name = handler.rpartition(":")
    if library == "action":
        yield from _of_actions(name, connection())
        return
    if library in {"", CORE}:
        if name == "all":
            yield from BUILT_IN.values()
            return
        built_in = BUILT_IN.get(name if name.endswith("Handler") else f"{name}Handler")
        if built_in is not None:
            yield built_in
            return
    here = served()
    names = [
        key for key in here if key == handler or (name == "all" and key.startswith(f"{library}:"))
    ]
    found: list[Sample] = []
    for key in names or [handler]:
        known = here.get(key)
        if known is not None and known.has_layout:
            found.append(known)
        else:
            found += list(_of_contracts(key, connection())) or ([known] if known else [])
    if not found:
        known_here = ", ".join([*BUILT_IN, "action:<namespace.verb>", *here])
        raise UsageError(f"there is no handler {handler}; known are {known_here}")
    yield from found


CONTRACTS = """
select distinct on (action) action, definition from synapsor.synapsor_action_contracts
where retired_at is null and {condition}
order by action, version desc
"""


def _of_actions(name: str, connection: psycopg.Connection[Any]) -> Iterator[Sample]:
    """Yield an action of ours, or all of a namespace: `action:billing.all`."""
    namespace, _, verb = name.rpartition(".")
    condition = "action = %(name)s"
    if verb == "all":
        condition = "starts_with(action, %(namespace)s || '.')"
    rows = fetch(
        connection,
        CONTRACTS.format(condition=condition),
        {"name": name, "namespace": namespace},
    )
    if not rows:
        raise UsageError(f"there is no action {name} in use")
    for row in rows:
        yield _of_contract(f"action:{row['action']}", row["definition"])


def _of_contracts(handler: str, connection: psycopg.Connection[Any]) -> Iterator[Sample]:
    """Yield what a worker serves: the operation of a contract whose provider is `plan`."""
    condition = "definition ->> 'provider' = 'plan' and definition ->> 'operation' = any(%(names)s)"
    library, colon, name = handler.rpartition(":")
    short = name.removesuffix("Handler")
    names = [handler, f"{library}{colon}{short}", f"{library}{colon}{short}Handler"]
    rows = fetch(connection, CONTRACTS.format(condition=condition), {"names": names})
    for row in rows:
        yield _of_handler(handler, row["definition"])


def _of_handler(kind: str, definition: Layout) -> Sample:
    """Return the sample of a handler: its contract is told `config` and `parameters` apart."""
    sample = Sample(kind)
    if definition.get("description"):
        sample.remarks[""] = _line(definition["description"])
    told = _schema_of(definition)["properties"]
    if "config" in told:
        sample.config = _example(told["config"], "config", sample.remarks)
    if "parameters" in told:
        sample.parameters = _example(told["parameters"], "parameters", sample.remarks)
    return sample


def _of_contract(kind: str, definition: Layout) -> Sample:
    sample = Sample(kind)
    if definition.get("description"):
        sample.remarks[""] = _line(definition["description"])
    sample.parameters = _example(_schema_of(definition), "parameters", sample.remarks)
    return sample


def _schema_of(definition: Layout) -> Layout:
    """Return what a contract says of its arguments, as a schema."""
    schema = definition.get("args_schema")
    if isinstance(schema, dict):
        return {"properties": {}, **schema}
    arguments = definition.get("args") or {}
    return {
        "type": "object",
        "properties": arguments,
        "required": [name for name, of in arguments.items() if of.get("required")],
    }


def _example(schema: Any, path: str, remarks: dict[str, str], depth: int = 0) -> Any:
    """Return a value that the schema allows, and remark what it demands."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return None
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if depth:
        remarks[path] = _demands(schema, kind)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    if kind == "object":
        required = schema.get("required")
        found = {}
        for name, part in (schema.get("properties") or {}).items():
            at = f"{path}.{name}"
            is_required = isinstance(required, list) and name in required
            marked = {**part, REQUIRED: is_required} if isinstance(part, dict) else part
            found[name] = _example(marked, at, remarks, depth + 1)
        return found
    if kind == "array":
        item = _example(schema.get("items", {}), f"{path}[0]", {}, depth + 1)
        return [item] * max(1, int(schema.get("minItems") or schema.get("min_items") or 1))
    return _scalar(schema, kind)


def _scalar(schema: Layout, kind: str) -> Any:
    if kind == "string":
        text = FORMATS.get(schema.get("format", ""), EXAMPLES["string"])
        text = text.ljust(int(schema.get("minLength") or schema.get("min_length") or 0), "x")
        longest = schema.get("maxLength", schema.get("max_length"))
        return text if longest is None else text[: int(longest)]
    if kind in {"integer", "number"}:
        return schema.get("minimum", min(EXAMPLES[kind], schema.get("maximum", EXAMPLES[kind])))
    return EXAMPLES.get(kind)


def _demands(schema: Layout, kind: str) -> str:
    skipped = {"type", "required", "properties", "items", "description", "title"}
    words = [kind, "required"] if schema.get(REQUIRED) else [kind]
    for name, value in schema.items():
        if name not in skipped and not isinstance(value, (dict, bool)):
            told = " | ".join(map(str, value)) if isinstance(value, list) else value
            words.append(f"{name.replace('_', ' ')} {told}")
    described = schema.get("description")
    return _line(", ".join(words) + (f": {described}" if described else ""))


def _line(text: str) -> str:
    return " ".join(str(text).split())[:200]


# the plan


def sample_plan(samples: Sequence[Sample], *, verbose: bool) -> str:
    """Return a plan with an action for each sample, as YAML with remarks."""
    remarks: dict[tuple[str | int, ...], str] = {}
    plan: Layout = {
        "Name": "Sample",
        "Description": "Shows how handlers are configured and called.",
        **(PLAN_OPTIONS if verbose else {}),
        "Actions": [],
    }
    if verbose:
        remarks |= {tuple(key.split(".")): text for key, text in PLAN_REMARKS.items()}
    for position, each in enumerate(samples):
        place = ("Actions", position)
        plan["Actions"].append(_action(each, position, place, remarks, verbose=verbose))
    return _remarked(write_yaml(plan), remarks)


def _action(
    sample: Sample,
    position: int,
    place: tuple[str | int, ...],
    remarks: dict[tuple[str | int, ...], str],
    *,
    verbose: bool,
) -> Layout:
    handler: Layout = {"Type": sample.kind}
    config: Layout = {} if sample.config is None else {"Values": sample.config}
    parameters: Layout = {} if sample.parameters is None else {"Values": sample.parameters}
    name = sample.kind.rpartition(":")[2]
    if config or verbose:
        handler["Config"] = config
    action: Layout = {"Name": name, "Handler": handler}
    if parameters or verbose:
        action["Parameters"] = parameters
    values = {"parameters": ("Parameters", "Values"), "config": ("Handler", "Config", "Values")}
    for path, text in sample.remarks.items():
        first, *rest = path.split(".")
        at = (*values[first], *rest) if path else ("Name",)
        remarks[*place, *at] = text
    if not verbose:
        return action
    handler["Config"] = {"Name": f"{name}-config-{position}", "Type": "Yaml", **config}
    action["Parameters"] = {
        "Name": f"{name}-parameters-{position}",
        "Type": "Yaml",
        **parameters,
        **PARAMETER_OPTIONS,
    }
    for path, text in PARAMETER_REMARKS.items():
        words = [int(word) if word.isdecimal() else word for word in path.split(".")]
        remarks[*place, "Parameters", *words] = text
    for path, text in ACTION_REMARKS.items():
        remarks[*place, *path.split(".")] = text
    return {**action, **ACTION_OPTIONS}


def _remarked(text: str, remarks: Mapping[tuple[str | int, ...], str]) -> str:
    """Write each remark behind the line of its key."""
    lines = text.splitlines()
    of = read_yaml(Path("sample"), text)[0].lines
    for place, remark in remarks.items():
        line = of.get(place)
        if line is not None and remark:
            lines[line - 1] += f"  # {remark}"
    return "\n".join(lines) + "\n"


# every option, with a value that makes sense

PLAN_OPTIONS: Layout = {
    "UniqueName": "sample-plan",
    "Label": "2026-11",
    "IsActive": True,
    "DefaultHandlerType": "Synapse.Core:EchoHandler",
    "RunAs": {"UserName": "ada", "IsInheritable": True, "BlockInheritance": False},
    "StartInfo": {"RequestNumber": "CHG-1", "RequestUser": "ada"},
}
PLAN_REMARKS = {
    "UniqueName": "versions are counted by this; default: Name",
    "Label": "a name of this version",
    "DefaultHandlerType": "the handler of actions that name none",
    "RunAs": "a member of the tenant, under whose roles the actions are invoked",
    "RunAs.IsInheritable": "whether the actions below take it over",
    "RunAs.BlockInheritance": "whether it takes over nothing from above",
}
ACTION_OPTIONS: Layout = {
    "Description": "Says what this action is for.",
    "ExecuteCase": "Any",
    "SaveExitDataAs": {"Config": "saved-config", "Parameters": "saved-parameters"},
    "RunAs": {"UserName": "grace", "IsInheritable": True, "BlockInheritance": True},
    "Proxy": "queue://remote",
    "Compensation": {"action": "billing.undo_refund", "parameters": {"reason": "rolled back"}},
    "ActionGroup": {
        "Name": "Group",
        "ExecuteCase": "Any",
        "Handler": {
            "Type": "Synapse.Core:EmptyHandler",
            "Config": {"Values": {"ReturnStatus": "Complete"}},
        },
        "Actions": [
            {
                "Name": "InGroup",
                "ExecuteCase": "Complete",
                "Handler": {"Type": "Synapse.Core:EchoHandler"},
            }
        ],
    },
    "Actions": [
        {
            "Name": "Child",
            "ExecuteCase": ["Failed", "CompletedWithErrors"],
            "Handler": {"Type": "Synapse.Core:EchoHandler"},
            "Parameters": {"InheritFrom": "saved-parameters"},
        }
    ],
}
ACTION_REMARKS = {
    "ExecuteCase": "the status, or a list of them, of its parent; a root's has none",
    "SaveExitDataAs": "keeps the exit data as sets, for InheritFrom and ForEach",
    "Proxy": "the queue on which external actions from here on are offered",
    "Compensation": "what undoes it, when a saga fails later",
    "ActionGroup": "finishes before Actions; its status counts for their ExecuteCase",
    "Actions": "run in parallel, as far as their ExecuteCase says",
}
PARAMETER_OPTIONS: Layout = {
    "InheritFrom": "another-set",
    "Dynamic": [
        {
            "Source": "amount",
            "Target": "order:lines[0]:amount",
            "Description": "What the starter of the plan may give.",
            "DataType": "Int32",
            "Validation": "^[0-9]+$",
            "RestrictToOptions": True,
            "Parse": False,
            "Default": {"Value": "1", "AllowNull": False},
            "Options": [
                {"Key": "one", "Value": "1", "Description": "A single one.", "IsDefault": True},
                {"Key": "two", "Value": "2", "Description": "A pair.", "IsDefault": False},
            ],
        }
    ],
    "ParentExitData": [
        {
            "TransformInPlace": {
                "Source": "result:id",
                "Target": "id",
                "Parse": False,
                "Replace": "^old-",
                "Encode": "Base64",
            },
            "CopyToValues": {"Source": "id", "Target": "order:id", "Encode": "None"},
        }
    ],
    "ForEach": [
        {"Target": "order:country", "Values": ["nl", "de"]},
        {
            "ParameterSource": {"Name": "ParentExitData", "Source": "result:items"},
            "Target": "order:item",
        },
    ],
}
PARAMETER_REMARKS = {
    "Name": "others may InheritFrom this set",
    "InheritFrom": "begins as a copy of that set",
    "Dynamic": "values given to start_plan",
    "ParentExitData": "values taken from what the parent returned",
    "ForEach": "one instance for each combination",
    "Dynamic.0.Target": "a path: keys by colons, positions in brackets",
    "Dynamic.0.Validation": "a regular expression",
    "Dynamic.0.Parse": "whether the text is JSON",
    "ParentExitData.0.TransformInPlace.Replace": "only the part that matches is replaced",
}
