"""Parameters of plan nodes: the configuration and the parameters a handler is given.

Both are described by a `ParameterInfo` (reference/plans.md, A.6) and resolved in the reference's
order, each layer merged deeply over the one before: InheritFrom, Values, Dynamic, ParentExitData,
ForEach. Values are data: nothing in them is ever read as a path, a pattern or a template. Nothing
is changed in place; what is merged shares the parts that stay.

Where this differs from the original:
* `Uri` is refused, for the database does no I/O; `Crypto` too, for a secret does not belong into a
  definition; and `Xml`, whose paths are another language.
* `Parse` reads JSON: the server's Python has no YAML. Values are JSON, whatever `Type` says, except
  under `Unspecified`, where they are plain text and layers are put behind one another.
* An index out of range appends, and what the rest of the path names is created in the new element
  (the original appends the plain value even when the path goes on).
* A set that nobody has registered yet is an error, not an empty one: an action is not performed
  with half of its parameters.
* `DataType`, where given, converts: JSON tells 5 from "5", and so do contracts.
"""

from __future__ import annotations

import base64
import itertools
import math
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from synapsor_plpython import canonical
from synapsor_plpython.reading import PROSE, Findings, Reader, Shape, a_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Matches = Callable[[str, str], bool]
    """matches(pattern, text): whether the pattern is found anywhere in the text."""

    Replace = Callable[[str, str, str], str]
    """replace(pattern, text, replacement): the text with every match, whatever its case, replaced
    by exactly the replacement; no `\\1` in it means anything."""

TYPES: Final = ("Yaml", "Json", "Unspecified")
ENCODINGS: Final = ("None", "Base64")
PARENT: Final = "ParentExitData"
"""The word that stands for the parent's exit data where a set may be named."""

MAX_DEPTH: Final = 100
"""Most objects and arrays around each other, in what is given and in what is made."""
MAX_INSTANCES: Final = 10_000
"""Most instances of one node, unless the request says otherwise."""
MAX_CHARACTERS: Final = 2**25
"""Most characters of all instances together: ten thousand copies of a long text are refused."""
MAX_REPLACED: Final = 2**26
"""Most characters that one Replace could make, were every character of its text a match."""
MAX_LISTED: Final = 10_000
"""Most values listed by one ForEach of a definition."""
_SHOWN: Final = 100

_KEYS: Final = (
    *("Name", "Type", "InheritFrom", "Uri", "Values", "Dynamic", "ParentExitData", "ForEach"),
    "Crypto",
)
_PATCH_KEYS: Final = ("Source", "Target", "Parse", "Replace", "Encode")
_DYNAMIC_KEYS: Final = (
    *(*_PATCH_KEYS, "Description", "DataType", "Validation", "RestrictToOptions", "Default"),
    "Options",
)
_FOR_EACH_KEYS: Final = ("ParameterSource", "Target", "Replace", "Encode", "Values")

_PATH: Final = Shape(500)
_REGEX: Final = Shape(1000, lines=True)
_STEP: Final = re.compile(r"([^:\[\]]*)((?:\[[0-9]{1,9}\])*)")

_INTEGERS: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "SByte": (-(2**7), 2**7 - 1),
        "Byte": (0, 2**8 - 1),
        "Int16": (-(2**15), 2**15 - 1),
        "UInt16": (0, 2**16 - 1),
        "Int32": (-(2**31), 2**31 - 1),
        "UInt32": (0, 2**32 - 1),
        "Int64": (-(2**63), 2**63 - 1),
        "UInt64": (0, 2**64 - 1),
    }
)
_REALS: Final[Mapping[str, Decimal]] = MappingProxyType(
    {
        "Single": Decimal("3.4028235e38"),
        "Double": Decimal("1.7976931348623157e308"),
        "Decimal": Decimal(2**96 - 1),
    }
)
"""The greatest magnitude of each."""
DATA_TYPES: Final = ("String", "Object", "Boolean", "Char", *_INTEGERS, *_REALS, "DateTime")
"""The .NET TypeCodes a value can have."""
_NUMBER: Final = re.compile(
    r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?"
)


class ParameterError(ValueError):
    """Why the parameters of a node cannot be resolved."""


@dataclass(frozen=True, slots=True)
class _Patch:
    """A value on its way to a place."""

    value: Any
    target: tuple[str | int, ...]
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class _Resolver:
    """What one node's parameters are resolved from."""

    dynamic: Mapping[str, Any]
    parent_exit_data: Any
    matches: Matches
    replace: Replace


@dataclass(frozen=True, slots=True)
class _Resolved:
    """One ParameterInfo, resolved up to its ForEach, whose choices are still apart."""

    values: Any
    is_text: bool
    choices: tuple[list[_Patch], ...]


# Resolution


def resolve_json(request: str, matches: Matches, replace: Replace) -> str:
    """Resolve the configuration and the parameters of one node; the face of `resolve` for SQL."""
    try:
        resolved = resolve(canonical.loads(request), matches, replace)
    except canonical.CanonicalError as error:
        resolved = _failed(f"What it is resolved from is unreadable: {error}.")
    return canonical.dumps(resolved)


def resolve(request: Mapping[str, Any], matches: Matches, replace: Replace) -> dict[str, Any]:
    """Resolve the configuration and the parameters of one node.

    `request`: {"config": ParameterInfo or None, "parameters": likewise, "registries": {"config":
    {name: value}, "parameters": …}, "dynamic": {name: value}, "automatic": {name: value},
    "parent_exit_data": any, "max_instances": int, "only_first": bool}. Answers {"instances":
    [{"config", "parameters"}] (every configuration with all parameters, one where nothing iterates,
    none where a list is empty; on request only the first), "count": of all of them, "for_each":
    bool, "named": {"config": {name: value}, "parameters": …} (the sets that carry a Name, before
    their ForEach), "error": None or the reason}.
    """
    registries = request.get("registries") or {}
    resolver = _Resolver(
        # What the engine says of the run is never overridden by what a caller passes.
        {**_by_folded_name(request.get("dynamic")), **_by_folded_name(request.get("automatic"))},
        request.get("parent_exit_data"),
        matches,
        replace,
    )
    named: dict[str, dict[str, Any]] = {"config": {}, "parameters": {}}
    resolved: dict[str, _Resolved] = {}
    errors = []
    for kind, other in (("config", "parameters"), ("parameters", "config")):
        info = request.get(kind) or None
        own = registries.get(kind) or {}
        # A source that is named is looked for among the sets of its own kind first.
        sources = {**(registries.get(other) or {}), **own}
        try:
            resolved[kind] = _resolve_info(info, own, sources, resolver)
        except ParameterError as error:
            errors.append(str(error))
            continue
        if info and info.get("Name"):
            named[kind][info["Name"]] = resolved[kind].values
    if errors:
        return _failed(" ".join(errors))
    limit = request.get("max_instances") or MAX_INSTANCES
    try:
        count = _count(resolved["config"], resolved["parameters"], limit)
        pairs = _pairs(resolved["config"], resolved["parameters"], replace)
        instances = list(itertools.islice(pairs, 1 if request.get("only_first") else None))
    except ParameterError as error:
        return _failed(str(error))
    return {
        "instances": instances,
        "count": count,
        "for_each": any(one.choices for one in resolved.values()),
        "named": named,
        "error": None,
    }


def _failed(reason: str) -> dict[str, Any]:
    nothing: dict[str, Any] = {"config": {}, "parameters": {}}
    return {"instances": [], "count": 0, "for_each": False, "named": nothing, "error": reason}


def _by_folded_name(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the values by name in lower case: names of dynamic values ignore it.

    Of two spellings of one name the first in order of characters counts, so that the same request
    always means the same.
    """
    folded: dict[str, Any] = {}
    for name in sorted(values or {}):
        folded.setdefault(name.casefold(), (values or {})[name])
    return folded


def _resolve_info(
    info: Mapping[str, Any] | None,
    own: Mapping[str, Any],
    sources: Mapping[str, Any],
    resolver: _Resolver,
) -> _Resolved:
    if info is None:
        return _Resolved(None, is_text=False, choices=())
    is_text = info.get("Type") == "Unspecified"
    values: Any = None
    inherited = info.get("InheritFrom")
    if inherited:
        if inherited not in own:
            raise ParameterError(
                f"InheritFrom names the set [{_cut(inherited)}], which is not there."
            )
        values = own[inherited]
    patches = [_Patch(info["Values"], ())] if info.get("Values") is not None else []
    patches.extend(_dynamic_patches(info.get("Dynamic") or (), resolver))
    exit_data = resolver.parent_exit_data
    rules = info.get("ParentExitData") or ()
    if rules:
        _check_depth(exit_data, "the parent's exit data")
        exit_data = _transform(rules, exit_data, resolver)
        patches.extend(_copies(rules, exit_data))
    for patch in patches:
        values = _apply(values, patch, resolver.replace, is_text=is_text)
    if values is None:
        values = "" if is_text else {}
    _check_depth(values, "what it resolves to")
    choices = tuple(
        _choices(entry, values, sources, exit_data) for entry in info.get("ForEach") or ()
    )
    return _Resolved(values, is_text, choices)


def _count(config: _Resolved, parameters: _Resolved, limit: int) -> int:
    """Return how many instances there are, before one is built."""
    choices = (*config.choices, *parameters.choices)
    count = math.prod(map(len, choices))
    if count > limit:
        raise ParameterError(f"ForEach makes {count} instances, more than the limit of {limit}.")
    if choices and count * _characters(config.values, parameters.values) > MAX_CHARACTERS:
        raise ParameterError(
            f"ForEach makes {count} instances of more than the limit of {MAX_CHARACTERS}"
            " characters together."
        )
    return count


def _pairs(config: _Resolved, parameters: _Resolved, replace: Replace) -> Iterator[dict[str, Any]]:
    """Yield every configuration with all parameters; the first ForEach changes slowest."""
    is_bounded = bool(config.choices or parameters.choices)
    left = MAX_CHARACTERS
    for configured in _variants(config, replace):
        for parameter in _variants(parameters, replace):
            if is_bounded:
                left -= _characters(configured, parameter)
            if left < 0:
                raise ParameterError(
                    f"The instances of ForEach have more than the limit of {MAX_CHARACTERS}"
                    " characters together."
                )
            yield {"config": configured, "parameters": parameter}


def _variants(resolved: _Resolved, replace: Replace) -> Iterator[Any]:
    for chosen in itertools.product(*resolved.choices):
        values = resolved.values
        for patch in chosen:
            values = _apply(values, patch, replace, is_text=resolved.is_text)
        if chosen:
            _check_depth(values, "what it resolves to")
        yield values


def _characters(*values: Any) -> int:
    return sum(len(canonical.dumps(value)) for value in values)


# Dynamic values


def _dynamic_patches(rules: Iterable[Mapping[str, Any]], resolver: _Resolver) -> Iterator[_Patch]:
    """Yield what the caller's values become; all that are refused are told together."""
    refused: list[str] = []
    patches: list[_Patch] = []
    for rule in rules:
        try:
            patches.extend(_dynamic_patch(rule, resolver))
        except ParameterError as error:
            refused.append(str(error))
    if refused:
        raise ParameterError(" ".join(refused))
    yield from patches


def _dynamic_patch(rule: Mapping[str, Any], resolver: _Resolver) -> Iterator[_Patch]:
    source = rule["Source"]
    value = resolver.dynamic.get(source.casefold())
    if _is_blank(value):
        value = _default(rule)
    if _is_blank(value):
        if (rule.get("Default") or {}).get("AllowNull"):
            yield _Patch(None, parse_path(rule.get("Target")))
        return
    _check_depth(value, f"the value of [{_cut(source)}]")
    value = _typed(rule, value)
    _validate(rule, value, resolver.matches)
    if rule.get("Parse"):
        value = _parsed(value, f"The value of parameter [{_cut(source)}]")
    yield _patch(rule, value, rule.get("Target"))


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _default(rule: Mapping[str, Any]) -> Any:
    """Return the default, else the option that is marked as such."""
    value = (rule.get("Default") or {}).get("Value")
    if _is_blank(value):
        marked = (option for option in rule.get("Options") or () if option.get("IsDefault"))
        value = next((option.get("Value") for option in marked), None)
    return value


def _validate(rule: Mapping[str, Any], value: Any, matches: Matches) -> None:
    text = _as_text(value)
    pattern = rule.get("Validation")
    if pattern and not matches(pattern, text):
        raise _invalid(rule, value, f"[{pattern}]")
    options = rule.get("Options") or ()
    restricted = rule.get("RestrictToOptions")
    if options and (restricted is None or restricted):
        allowed = {_as_text(option.get("Value")).casefold() for option in options}
        if text.casefold() not in allowed:
            raise _invalid(rule, value, "[RestrictToOptions]")


def _typed(rule: Mapping[str, Any], value: Any) -> Any:
    """Return the value in its DataType. Without one a JSON value is what it is."""
    data_type = rule.get("DataType")
    if not data_type or data_type == "Object":
        return value
    converted = None if isinstance(value, (dict, list)) else _converted(data_type, value)
    if converted is None:
        raise _invalid(rule, value, f"type requirement of [{data_type}]")
    return converted


def _converted(data_type: str, value: Any) -> Any:
    """Return a scalar as that type, None where it is no such thing."""
    text = _as_text(value)
    converted: Any = None
    if data_type == "String":
        converted = text
    elif data_type == "Char":
        converted = text if len(text) == 1 else None
    elif data_type == "Boolean":
        converted = {"true": True, "false": False}.get(text.strip().lower())
    elif data_type == "DateTime":
        # ISO 8601: what .NET reads beyond it depends on where the server stands.
        try:
            datetime.fromisoformat(text.strip())
        except ValueError:
            return None
        converted = text.strip()
    elif not isinstance(value, bool) and _NUMBER.fullmatch(text.strip()):
        converted = _number(data_type, Decimal(text.strip()))
    return converted


def _number(data_type: str, number: Decimal) -> int | Decimal | None:
    whole = int(number) if number == number.to_integral_value() else None
    if data_type in _REALS:
        if number.copy_abs() > _REALS[data_type]:
            return None
        return number if whole is None else whole
    low, high = _INTEGERS[data_type]
    return whole if whole is not None and low <= whole <= high else None


def _invalid(rule: Mapping[str, Any], value: Any, demand: str) -> ParameterError:
    return ParameterError(
        f"DynamicValue [{_cut(_as_text(value))}] failed validation rule {demand}"
        f" for parameter [{_cut(rule['Source'])}]."
    )


# The parent's exit data, and lists to iterate over


def _transform(rules: Iterable[Mapping[str, Any]], exit_data: Any, resolver: _Resolver) -> Any:
    """Return the exit data with every TransformInPlace done, one after the other."""
    for rule in rules:
        transform = rule.get("TransformInPlace")
        if transform is None:
            continue
        source = transform.get("Source")
        value = find(exit_data, parse_path(source))
        if value is None:
            continue
        if transform.get("Parse"):
            value = _parsed(value, f"ParentExitData [{_cut(source or '')}]")
        target = transform.get("Target")
        # Without a place of its own it stays where it is.
        place = source if target is None else target
        exit_data = _apply(exit_data, _patch(transform, value, place), resolver.replace)
        _check_depth(exit_data, "the transformed exit data")
    return exit_data


def _copies(rules: Iterable[Mapping[str, Any]], exit_data: Any) -> Iterator[_Patch]:
    for rule in rules:
        copy = rule.get("CopyToValues")
        if copy is None:
            continue
        source = copy.get("Source")
        if source is None:
            transform = rule.get("TransformInPlace") or {}
            source = transform.get("Target")
            source = transform.get("Source") if source is None else source
        value = find(exit_data, parse_path(source))
        if value is None:
            continue
        if copy.get("Parse"):
            value = _parsed(value, f"ParentExitData [{_cut(source or '')}]")
        yield _patch(copy, value, copy.get("Target"))


def _choices(
    entry: Mapping[str, Any], values: Any, sources: Mapping[str, Any], exit_data: Any
) -> list[_Patch]:
    """Return what one ForEach puts into its place, one for each instance."""
    listed = entry.get("Values")
    if listed is None:
        source = entry.get("ParameterSource") or {}
        listed = _source_list(source, values, sources, exit_data)
    target = entry.get("Target")
    return [_patch(entry, value, target) for value in listed]


def _source_list(
    source: Mapping[str, Any], values: Any, sources: Mapping[str, Any], exit_data: Any
) -> list[Any]:
    name = source.get("Name")
    path = source.get("Source")
    if not name:
        origin, told = values, "its own values"
    elif name in sources:
        origin, told = sources[name], f"the set [{_cut(name)}]"
    elif name == PARENT:
        origin, told = exit_data, "the parent's exit data"
    else:
        raise ParameterError(f"ForEach names the set [{_cut(name)}], which is not there.")
    _check_depth(origin, told)
    found = find(origin, parse_path(path))
    if source.get("Parse"):
        found = _parsed(found, f"The source of ForEach, [{_cut(path or '')}] of {told},")
    listed = _first_list(found)
    if listed is None:
        raise ParameterError(f"ForEach finds no list at [{_cut(path or '')}] of {told}.")
    return listed


def _first_list(value: Any) -> list[Any] | None:
    """Return the value if it is a list, else the first one in it, depth first."""
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, list):
            return one
        if isinstance(one, dict):
            stack.extend(reversed(one.values()))
    return None


# Paths and merging


def parse_path(path: str | None) -> tuple[str | int, ...]:
    """Return the names and indexes of a path such as `a:b[0]:c`; none stands for the whole."""
    if not path:
        return ()
    steps: list[str | int] = []
    for position, part in enumerate(path.split(":")):
        found = _STEP.fullmatch(part)
        if found is None or not (found[1] or (found[2] and position == 0)):
            raise ParameterError(f"[{_cut(path)}] is no path such as a:b[0]:c.")
        if found[1]:
            steps.append(found[1])
        steps.extend(int(index) for index in re.findall(r"[0-9]+", found[2]))
    if len(steps) > MAX_DEPTH:
        raise ParameterError(f"The path [{_cut(path)}] has more than {MAX_DEPTH} steps.")
    return tuple(steps)


def find(value: Any, steps: tuple[str | int, ...]) -> Any:
    """Return what is at a path, None where there is nothing."""
    for step in steps:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _patch(rule: Mapping[str, Any], value: Any, target: str | None) -> _Patch:
    if rule.get("Encode") == "Base64" and value is not None:
        value = base64.b64encode(_as_text(value).encode()).decode()
    return _Patch(value, parse_path(target), rule.get("Replace") or None)


def _apply(values: Any, patch: _Patch, replace: Replace, *, is_text: bool = False) -> Any:
    if is_text:
        before, after = _as_text(values), _as_text(patch.value)
        return _replaced(patch.pattern, before, after, replace) if patch.pattern else before + after
    return _put(values, patch.target, patch, replace)


def _put(values: Any, steps: tuple[str | int, ...], patch: _Patch, replace: Replace) -> Any:
    """Return the values with the patch at its place; what is missing on the way is created."""
    if not steps:
        return _merge(values, patch.value, patch.pattern, replace)
    step, rest = steps[0], steps[1:]
    if isinstance(step, int):
        items = list(values) if isinstance(values, list) else []
        if step < len(items):
            items[step] = _put(items[step], rest, patch, replace)
        else:
            items.append(_put(None, rest, patch, replace))
        return items
    members = dict(values) if isinstance(values, dict) else {}
    members[step] = _put(members.get(step), rest, patch, replace)
    return members


def _merge(target: Any, patch: Any, pattern: str | None, replace: Replace) -> Any:
    """Return the target with the patch over it: objects recursively, all else replaced."""
    if isinstance(patch, dict) and isinstance(target, dict):
        merged = dict(target)
        for name, value in patch.items():
            merged[name] = _merge(merged.get(name), value, pattern, replace)
        return merged
    if pattern is None or target is None:
        return patch
    if isinstance(patch, (dict, list)) or isinstance(target, (dict, list)):
        return patch
    return _replaced(pattern, _as_text(target), _as_text(patch), replace)


def _replaced(pattern: str, text: str, replacement: str, replace: Replace) -> str:
    if (len(text) + 1) * len(replacement) > MAX_REPLACED:
        raise ParameterError(f"Replace could make more than {MAX_REPLACED} characters of a text.")
    return replace(pattern, text, replacement)


def _parsed(value: Any, told: str) -> Any:
    """Return the value of a JSON text; anything else than a text is a value already."""
    if not isinstance(value, str):
        return value
    try:
        parsed = canonical.loads(value)
    except canonical.CanonicalError as error:
        raise ParameterError(f"{told} cannot be parsed: {error}.") from None
    _check_depth(parsed, told)
    return parsed


def _as_text(value: Any) -> str:
    """Return a text as it is, null as nothing, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical.dumps(value)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _depth(value: Any) -> int:
    """Return how many objects and arrays are around each other, without a stack of calls."""
    depth = 0
    level = [value] if isinstance(value, (dict, list)) else []
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    return depth


def _check_depth(value: Any, told: str) -> None:
    if _depth(value) > MAX_DEPTH:
        raise ParameterError(f"{told[0].upper()}{told[1:]} is nested deeper than {MAX_DEPTH}.")


# Definitions


def check_info(info: Any, path: str) -> list[dict[str, Any]]:
    """Return what is wrong with one ParameterInfo of a definition, and what the database checks.

    A reason is {"path", "reason"}, a regular expression to be checked {"path", "kind": "regex",
    "value"}. null is no ParameterInfo, and nothing is wrong with it.
    """
    if info is None:
        return []
    found = Findings()
    _check(Reader(found, info, path, _KEYS))
    return [*map(asdict, found.reasons), *map(asdict, found.checks)]


def _check(reader: Reader) -> None:
    reader.text("Name")
    reader.text("InheritFrom")
    is_text = reader.value.get("Type") == "Unspecified"
    if reader.value.get("Type") in ("Xml", "Html"):
        reader.refuse("Type", "is not supported: values are JSON and paths are such as a:b[0]:c")
    else:
        reader.choice("Type", TYPES[0], TYPES)
    # Empty is as good as absent: the document's own samples have them so.
    if reader.value.get("Uri"):
        reader.refuse("Uri", "is refused, for the database reads no files: use Values or Dynamic")
    if reader.value.get("Crypto"):
        reader.refuse("Crypto", "is refused: a secret does not belong into a definition")
    if is_text and not isinstance(reader.value.get("Values"), (str, type(None))):
        reader.refuse("Values", f"is {a_kind(reader.value['Values'])}, not a string")
    if _depth(reader.value.get("Values")) > MAX_DEPTH:
        reader.refuse("Values", f"is nested deeper than {MAX_DEPTH}")
    for path, rule in reader.items("Dynamic"):
        _check_dynamic(Reader(reader.found, rule, path, _DYNAMIC_KEYS), is_text=is_text)
    for path, rule in reader.items("ParentExitData"):
        pair = Reader(reader.found, rule, path, ("TransformInPlace", "CopyToValues"))
        transform = pair.part("TransformInPlace", _PATCH_KEYS)
        _check_path(transform, "Source")
        _check_patch(transform)
        copy = pair.part("CopyToValues", _PATCH_KEYS)
        _check_path(copy, "Source")
        _check_patch(copy, is_text=is_text)
    for path, rule in reader.items("ForEach"):
        _check_for_each(Reader(reader.found, rule, path, _FOR_EACH_KEYS), is_text=is_text)


def _check_patch(reader: Reader, *, is_text: bool = False) -> None:
    _check_path(reader, "Target")
    if is_text and reader.has("Target"):
        reader.refuse("Target", "is a place in plain text, which has none (Type Unspecified)")
    reader.flag("Parse", default=False)
    _check_regex(reader, "Replace")
    reader.choice("Encode", ENCODINGS[0], ENCODINGS)


def _check_path(reader: Reader, key: str) -> None:
    text = reader.text(key, shape=_PATH)
    try:
        parse_path(text)
    except ParameterError:
        reader.refuse(key, f"is no path such as a:b[0]:c of at most {MAX_DEPTH} steps")


def _check_regex(reader: Reader, key: str) -> None:
    text = reader.text(key, shape=_REGEX)
    if text is not None:
        reader.found.defer(reader.at(key), "regex", text)


def _check_dynamic(reader: Reader, *, is_text: bool) -> None:
    # The source of a dynamic value is the name of a parameter, no path.
    reader.require("Source")
    reader.text("Source")
    if not is_text:
        reader.require("Target")
    _check_patch(reader, is_text=is_text)
    reader.text("Description", shape=PROSE)
    reader.choice("DataType", DATA_TYPES[0], DATA_TYPES)
    _check_regex(reader, "Validation")
    reader.flag("RestrictToOptions", default=True)
    default = reader.part("Default", ("Value", "AllowNull"))
    default.flag("AllowNull", default=False)
    if _depth(default.value.get("Value")) > MAX_DEPTH:
        default.refuse("Value", f"is nested deeper than {MAX_DEPTH}")
    for path, value in reader.items("Options"):
        option = Reader(reader.found, value, path, ("Key", "Value", "Description", "IsDefault"))
        option.text("Key")
        option.text("Description", shape=PROSE)
        option.flag("IsDefault", default=False)
        option.require("Value")
        if isinstance(option.value.get("Value"), (dict, list)):
            option.refuse("Value", f"is {a_kind(option.value['Value'])}, not a scalar")


def _check_for_each(reader: Reader, *, is_text: bool) -> None:
    if not is_text:
        reader.require("Target")
    _check_patch(reader, is_text=is_text)
    if reader.has("Values") and reader.has("ParameterSource"):
        reader.refuse("ParameterSource", "is given beside Values; give one of them")
    elif not reader.has("Values") and not reader.has("ParameterSource"):
        reader.refuse("Values", "is required, or ParameterSource")
    values = reader.value.get("Values")
    if isinstance(values, list):
        if len(values) > MAX_LISTED:
            reader.refuse("Values", f"has more than {MAX_LISTED} items")
        if _depth(values) > MAX_DEPTH:
            reader.refuse("Values", f"is nested deeper than {MAX_DEPTH}")
    elif values is not None:
        reader.refuse("Values", f"is {a_kind(values)}, not an array")
    source = reader.part("ParameterSource", ("Name", "Source", "Parse"))
    source.text("Name")
    _check_path(source, "Source")
    source.flag("Parse", default=False)
