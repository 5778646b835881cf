"""What a contract may say about its fields: ARG specifications and the JSON Schema subset."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from synapsor_plpython import canonical, schema
from synapsor_plpython.formats import FORMATS
from synapsor_plpython.reading import CONDITION, MAX_ITEMS, PROSE, Findings, Reader, a_kind, is_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FIELD_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")

MAX_CHOICES: Final = 1000
"""Most values of an enum."""
MAX_DEPTH: Final = 16
"""Deepest nesting of ARG specifications and schemas."""
MAX_LENGTH: Final = 64 * 1024
"""Largest length or item count a field may state: arguments hold no more bytes."""

_ARG_KEYS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "string": frozenset({"min_length", "max_length", "pattern", "format"}),
        "integer": frozenset({"minimum", "maximum", "exclusive_minimum", "exclusive_maximum"}),
        "number": frozenset({"minimum", "maximum", "exclusive_minimum", "exclusive_maximum"}),
        "array": frozenset({"items", "min_items", "max_items"}),
        "object": frozenset({"properties", "additional_properties"}),
        "boolean": frozenset[str](),
        "null": frozenset[str](),
    }
)
_COMMON_ARG_KEYS: Final = frozenset({"type", "description", "enum", "const", "required", "default"})
_ALL_ARG_KEYS: Final = _COMMON_ARG_KEYS.union(*_ARG_KEYS.values())

_BOUNDS: Final = ("minimum", "maximum", "exclusive_minimum", "exclusive_maximum")
_COUNTS: Final = ("min_length", "max_length", "min_items", "max_items")
_PAIRS: Final = (
    ("minimum", "maximum"),
    ("min_length", "max_length"),
    ("min_items", "max_items"),
)

_ANNOTATIONS: Final = frozenset(
    {"$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated"}
)


def read_arg(
    found: Findings, value: object, path: str, depth: int = 1, *, top: bool = True
) -> dict[str, Any]:
    """Return one ARG specification with `required` spelled out; reasons go to `found`.

    Keys: type, description, required, enum, const, default, and those that apply to the type. An
    object without `properties` is free-form; with them, undeclared names are refused unless
    `additional_properties` is true. Only ARGs themselves (`top`) have a default, which `bind`
    fills in; it must fit, and excludes `required`.
    """
    if depth > MAX_DEPTH:
        found.refuse(path, f"is nested deeper than {MAX_DEPTH}")
        return {}
    before = len(found.reasons)
    reader = Reader(found, value, path, _ALL_ARG_KEYS)
    if isinstance(value, dict):
        reader.require("type")
    kind = reader.choice("type", "", schema.TYPES)
    if not kind:
        return {}
    for key in reader.value:
        if key in _ALL_ARG_KEYS - _COMMON_ARG_KEYS - _ARG_KEYS[kind] and reader.has(key):
            reader.refuse(key, f"does not apply to type {kind}")
    spec: dict[str, Any] = {"type": kind, "required": reader.flag("required", default=False)}
    if reader.has("description"):
        spec["description"] = reader.text("description", shape=PROSE)
    _read_bounds(reader, spec)
    _read_text_rules(reader, spec)
    _read_contents(reader, spec, depth)
    _read_values(reader, spec)
    if len(found.reasons) == before:
        _judge_values(reader, spec)
    if reader.has("default") and not top:
        reader.refuse("default", "is for ARGs only, not for what they contain")
    return spec


def check_args_schema(found: Findings, value: object, path: str) -> dict[str, str | None]:
    """Check an `args_schema` and return its properties with their types, None where not one.

    It describes an object, and its `additionalProperties` may only be false: an undeclared name
    of a caller is refused in any case.
    """
    if not isinstance(value, dict):
        found.refuse(path, f"is {a_kind(value)}, not an object")
        return {}
    _check_schema(found, value, path, 1)
    if value.get("type", "object") != "object":
        found.refuse(f"{path}.type", "is not object, which arguments are")
    if value.get("additionalProperties", False) is not False:
        found.refuse(
            f"{path}.additionalProperties", "is not false, but undeclared names are refused"
        )
    types: dict[str, str | None] = {}
    properties = value.get("properties")
    for name, part in properties.items() if isinstance(properties, dict) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        types[name] = kind if isinstance(kind, str) else None
    required = value.get("required")
    for name in required if isinstance(required, list) else ():
        if isinstance(name, str) and name not in types:
            found.refuse(f"{path}.required", f"names {name}, which is not among the properties")
    return types


def _read_bounds(reader: Reader, spec: dict[str, Any]) -> None:
    for key in _BOUNDS:
        if reader.has(key):
            spec[key] = reader.number(key, 0, -canonical.SAFE_INTEGER, canonical.SAFE_INTEGER)
    for key in _COUNTS:
        if reader.has(key):
            spec[key] = reader.integer(key, 0, 0, MAX_LENGTH)
    for low, high in _PAIRS:
        if low in spec and high in spec and spec[low] > spec[high]:
            reader.refuse(low, f"is above {high}")


def _read_text_rules(reader: Reader, spec: dict[str, Any]) -> None:
    if reader.has("pattern"):
        spec["pattern"] = reader.text("pattern", shape=CONDITION)
        if spec["pattern"] is not None:
            reader.found.defer(reader.at("pattern"), "regex", spec["pattern"])
    if reader.has("format"):
        spec["format"] = reader.choice("format", "", FORMATS)


def _read_contents(reader: Reader, spec: dict[str, Any], depth: int) -> None:
    if reader.has("items"):
        items = reader.value["items"]
        path = reader.at("items")
        if isinstance(items, dict) and items.get("required"):
            reader.found.refuse(f"{path}.required", "is for ARGs and properties, not for items")
        spec["items"] = read_arg(reader.found, items, path, depth + 1, top=False)
    if reader.has("properties"):
        spec["properties"] = {
            name: read_arg(reader.found, value, path, depth + 1, top=False)
            for name, path, value in reader.members("properties", FIELD_NAME)
        }
    if spec["type"] == "object":
        spec["additional_properties"] = reader.flag(
            "additional_properties", default="properties" not in spec
        )


def _read_values(reader: Reader, spec: dict[str, Any]) -> None:
    if reader.has("enum"):
        choices = reader.value["enum"]
        if isinstance(choices, list) and 1 <= len(choices) <= MAX_CHOICES:
            spec["enum"] = choices
        else:
            reader.refuse("enum", f"is not an array of 1 to {MAX_CHOICES} values")
    for key in ("const", "default"):
        if reader.has(key):
            spec[key] = reader.value[key]
    if reader.has("default") and spec["required"]:
        reader.refuse("default", "is given, but the ARG is required")


def _judge_values(reader: Reader, spec: Mapping[str, Any]) -> None:
    """Refuse values of enum, const and default that the specification itself would refuse."""
    bare = {key: value for key, value in spec.items() if key not in ("enum", "const")}
    for position, choice in enumerate(spec.get("enum", ())):
        if not _fits(bare, choice):
            reader.refuse("enum", f"has at position {position + 1} a value that does not fit")
    if "const" in spec and not _fits(bare, spec["const"]):
        reader.refuse("const", "does not fit the other keys")
    if "default" in spec and not _fits(spec, spec["default"]):
        reader.refuse("default", "does not fit the other keys")


def _fits(spec: Mapping[str, Any], value: object) -> bool:
    """Tell whether a value satisfies a specification; patterns are left to the database."""
    validator = schema.compile_schema(schema.schema_of_arg(spec))
    return not validator.violations(value, lambda _pattern, _value: True)


# The JSON Schema subset: each keyword has a function that checks its value, which is kept as is.


def _check_schema(found: Findings, value: object, path: str, depth: int) -> None:
    if isinstance(value, bool):
        return
    if depth > MAX_DEPTH:
        found.refuse(path, f"is nested deeper than {MAX_DEPTH}")
        return
    reader = Reader(found, value, path, _SCHEMA_KEYS)
    for key, member in reader.value.items():
        check = _KEYWORDS.get(key)
        if check is not None:
            check(found, reader.at(key), member, depth)


def _check_type(found: Findings, path: str, value: Any, _depth: int) -> None:
    names = value if isinstance(value, list) else [value]
    known = bool(names) and all(isinstance(name, str) and name in schema.TYPES for name in names)
    if not known or len(set(names)) < len(names):
        found.refuse(path, "is neither one nor an array of " + ", ".join(schema.TYPES))


def _check_enum(found: Findings, path: str, value: Any, _depth: int) -> None:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_CHOICES:
        found.refuse(path, f"is not an array of 1 to {MAX_CHOICES} values")


def _check_bound(found: Findings, path: str, value: Any, _depth: int) -> None:
    if schema.kind_of(value) != "number":
        found.refuse(path, f"is {a_kind(value)}, not a number")


def _check_count(found: Findings, path: str, value: Any, _depth: int) -> None:
    if schema.kind_of(value) != "number" or not 0 <= value <= MAX_LENGTH or value != int(value):
        found.refuse(path, f"is not an integer from 0 to {MAX_LENGTH}")


def _check_pattern(found: Findings, path: str, value: Any, _depth: int) -> None:
    if is_text(found, path, value, CONDITION):
        found.defer(path, "regex", value)


def _check_format(found: Findings, path: str, value: Any, _depth: int) -> None:
    if not isinstance(value, str) or value not in FORMATS:
        found.refuse(path, "is none of " + ", ".join(FORMATS))


def _check_required(found: Findings, path: str, value: Any, _depth: int) -> None:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        found.refuse(path, "is not an array of names")
    elif len(set(value)) < len(value):
        found.refuse(path, "names a property twice")


def _check_properties(found: Findings, path: str, value: Any, depth: int) -> None:
    if not isinstance(value, dict):
        found.refuse(path, f"is {a_kind(value)}, not an object")
    elif len(value) > MAX_ITEMS:
        found.refuse(path, f"has more than {MAX_ITEMS} fields")
    else:
        for name, member in value.items():
            _check_schema(found, member, schema.child_path(path, name), depth + 1)


def _check_list(found: Findings, path: str, value: Any, depth: int) -> None:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_ITEMS:
        found.refuse(path, f"is not an array of 1 to {MAX_ITEMS} schemas")
        return
    for position, member in enumerate(value):
        _check_schema(found, member, f"{path}[{position}]", depth + 1)


def _check_part(found: Findings, path: str, value: Any, depth: int) -> None:
    _check_schema(found, value, path, depth + 1)


_KEYWORDS: Final[Mapping[str, Callable[[Findings, str, Any, int], None]]] = MappingProxyType(
    {
        "type": _check_type,
        "enum": _check_enum,
        "minimum": _check_bound,
        "maximum": _check_bound,
        "exclusiveMinimum": _check_bound,
        "exclusiveMaximum": _check_bound,
        "minLength": _check_count,
        "maxLength": _check_count,
        "minItems": _check_count,
        "maxItems": _check_count,
        "pattern": _check_pattern,
        "format": _check_format,
        "required": _check_required,
        "properties": _check_properties,
        "items": _check_part,
        "additionalProperties": _check_part,
        "not": _check_part,
        "allOf": _check_list,
        "anyOf": _check_list,
        "oneOf": _check_list,
    }
)
_SCHEMA_KEYS: Final = _ANNOTATIONS | {"const"} | frozenset(_KEYWORDS)
