"""Validation of JSON values against a contract's ARG specifications or its `args_schema`.

Both are one thing: ARG specifications are translated to the JSON Schema subset, and a schema is
compiled once into closures. A check lists every violation and never repeats the caller's value.
`format` is asserted. Patterns are matched by a function handed in: PostgreSQL's engine can be
cancelled, Python's cannot.

A violation is `{"path", "rule", "kind"}` and, where the contract states one, `"expected"`.
`path` is `$` or such as `lines[2].sku`; `kind` is the JSON type of the value, or `absent`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from synapsor_plpython import canonical
from synapsor_plpython.formats import FORMATS

MAX_DEPTH: Final = 32
"""Most objects and arrays around each other; the outermost counts as 1."""

TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")

Violation: TypeAlias = dict[str, Any]
Matches: TypeAlias = Callable[[str, str], bool]
"""matches(pattern, value): whether the pattern is found anywhere in the value."""

Check: TypeAlias = Callable[[Any, str, Matches, list[Violation]], None]

ARG_KEYWORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "type": "type",
        "enum": "enum",
        "const": "const",
        "minimum": "minimum",
        "maximum": "maximum",
        "exclusive_minimum": "exclusiveMinimum",
        "exclusive_maximum": "exclusiveMaximum",
        "min_length": "minLength",
        "max_length": "maxLength",
        "pattern": "pattern",
        "format": "format",
        "min_items": "minItems",
        "max_items": "maxItems",
    }
)
"""Keys of an ARG specification and their JSON Schema keywords."""

_LONGEST_NAME: Final = 63
_SHOWN_CHOICES: Final = 20
_ROOT: Final = "$"


@dataclass(frozen=True, slots=True)
class Validator:
    """A compiled schema."""

    check: Check

    def violations(self, value: object, matches: Matches) -> list[Violation]:
        """Return every violation, those of `inspect` first; empty for a value that fits.

        Where `inspect` finds any, the schema is not applied: numbers no double holds have no
        agreed meaning, and unbounded nesting has no bounded cost.
        """
        found = inspect(value)
        if not found:
            self.check(value, _ROOT, matches, found)
        return found


def compile_schema(schema: Mapping[str, Any] | bool) -> Validator:
    """Compile a schema of the subset; it must have passed `definition.check_action`."""
    return Validator(_compile(schema))


def schema_of_args(args: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return ARG specifications as the JSON Schema of the object that holds them."""
    return {
        "type": "object",
        "properties": {name: schema_of_arg(spec) for name, spec in args.items()},
        "required": [name for name, spec in args.items() if spec.get("required")],
        "additionalProperties": False,
    }


def schema_of_arg(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return one ARG specification as a JSON Schema."""
    schema: dict[str, Any] = {
        keyword: spec[key] for key, keyword in ARG_KEYWORDS.items() if key in spec
    }
    if "items" in spec:
        schema["items"] = schema_of_arg(spec["items"])
    if "properties" in spec:
        schema.update(schema_of_args(spec["properties"]))
        schema["additionalProperties"] = spec.get("additional_properties", False)
    return schema


def inspect(value: object) -> list[Violation]:
    """Return what no schema allows.

    Rules: `nesting` (deeper than 32), `integer_range` (a number of a magnitude above 2^53 - 1, RFC
    7493), `number` (no finite double without loss), `unicode` (U+0000, which jsonb cannot hold, or
    a lone surrogate, in a text or a name).
    """
    found: list[Violation] = []
    _inspect(value, _ROOT, 1, found)
    return found


def kind_of(value: object) -> str:
    """Return the JSON type of a value: integers are numbers too."""
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "boolean"
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    return "number"


def child_path(path: str, name: str) -> str:
    """Return the path of a member; names that are no identifiers, or long, are quoted and cut."""
    if not (name.isidentifier() and name.isascii()) or len(name) > _LONGEST_NAME:
        shown = name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"
        return f"{'' if path == _ROOT else path}[{json.dumps(shown)}]"
    return name if path == _ROOT else f"{path}.{name}"


def _violation(path: str, rule: str, value: object, expected: object = None) -> Violation:
    found: Violation = {"path": path, "rule": rule, "kind": kind_of(value)}
    if expected is not None:
        found["expected"] = expected
    return found


def _inspect(value: object, path: str, depth: int, found: list[Violation]) -> None:
    if isinstance(value, str):
        if not _is_clean(value):
            found.append(_violation(path, "unicode", value))
    elif isinstance(value, (dict, list)):
        if depth > MAX_DEPTH:
            found.append(_violation(path, "nesting", value, MAX_DEPTH))
        elif isinstance(value, dict):
            _inspect_members(value, path, depth, found)
        else:
            for position, item in enumerate(value):
                _inspect(item, f"{'' if path == _ROOT else path}[{position}]", depth + 1, found)
    elif isinstance(value, (int, float, Decimal)):
        rule = _why_no_number(value)
        if rule is not None:
            expected = canonical.SAFE_INTEGER if rule == "integer_range" else None
            found.append(_violation(path, rule, value, expected))


def _inspect_members(value: dict[str, Any], path: str, depth: int, found: list[Violation]) -> None:
    for name, member in value.items():
        if not _is_clean(name):
            found.append(_violation(path, "unicode", name))
        kind = type(member)
        # Most members are sound texts and integers, which need no path.
        if kind is str and _is_clean(member):
            continue
        if kind is not int or _why_no_number(member) is not None:
            _inspect(member, child_path(path, name), depth + 1, found)


def _is_clean(text: str) -> bool:
    return (text.isascii() or canonical.is_unicode(text)) and "\0" not in text


def _why_no_number(value: float | Decimal) -> str | None:
    if isinstance(value, Decimal) and value.is_nan():
        return "number"  # it does not compare
    if value > canonical.SAFE_INTEGER or value < -canonical.SAFE_INTEGER:
        return "integer_range"
    return None if isinstance(value, int) or canonical.is_double(value) else "number"


def _number(value: float | Decimal) -> int | Decimal:
    """Return a bound of the contract exactly."""
    if isinstance(value, float):
        return Decimal(repr(value))
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, Decimal, float)) and not isinstance(value, bool)


def _is_integer(value: object) -> bool:
    if type(value) is int:
        return True
    if isinstance(value, Decimal):
        return value.is_finite() and value == value.to_integral_value()
    return isinstance(value, float) and value.is_integer()


_IS_TYPE: Final[Mapping[str, Callable[[Any], bool]]] = MappingProxyType(
    {
        "array": lambda value: isinstance(value, list),
        "boolean": lambda value: isinstance(value, bool),
        "integer": _is_integer,
        "null": lambda value: value is None,
        "number": _is_number,
        "object": lambda value: isinstance(value, dict),
        "string": lambda value: isinstance(value, str),
    }
)


def _compile(schema: Mapping[str, Any] | bool) -> Check:
    if schema is True:
        return _accept
    if schema is False:
        return _refuse
    checks = [
        compiler(schema[keyword], schema)
        for keyword, compiler in _COMPILERS.items()
        if keyword in schema
    ]
    if not {"properties", "required", "additionalProperties"}.isdisjoint(schema):
        checks.append(_compile_members(schema))
    return _all(checks)


def _all(checks: list[Check]) -> Check:
    if not checks:
        return _accept
    if len(checks) == 1:
        return checks[0]

    def check(value: Any, path: str, matches: Matches, found: list[Violation]) -> None:
        for part in checks:
            part(value, path, matches, found)

    return check


def _accept(_value: Any, _path: str, _matches: Matches, _found: list[Violation]) -> None:
    return


def _refuse(value: Any, path: str, _matches: Matches, found: list[Violation]) -> None:
    found.append(_violation(path, "not_allowed", value))


def _compile_type(expected: Any, _schema: Mapping[str, Any]) -> Check:
    if expected == "string":
        return _check_string
    if expected == "integer":
        return _check_integer
    if isinstance(expected, str):
        is_type = _IS_TYPE[expected]
    else:
        tests = [_IS_TYPE[name] for name in expected]

        def is_type(value: Any) -> bool:
            return any(test(value) for test in tests)

    def check(value: Any, path: str, _matches: Matches, found: list[Violation]) -> None:
        if not is_type(value):
            found.append(_violation(path, "type", value, expected))

    return check


def _check_string(value: Any, path: str, _matches: Matches, found: list[Violation]) -> None:
    if not isinstance(value, str):
        found.append(_violation(path, "type", value, "string"))


def _check_integer(value: Any, path: str, _matches: Matches, found: list[Violation]) -> None:
    if type(value) is not int and not _is_integer(value):
        found.append(_violation(path, "type", value, "integer"))


def _key(value: object) -> str | None:
    """Return what equal values have in common: 1 and 1.0 are equal, 1 and true are not."""
    try:
        return canonical.canonicalize(value)
    except canonical.CanonicalError:
        return None


def _compile_enum(choices: Any, _schema: Mapping[str, Any]) -> Check:
    keys = frozenset(_key(choice) for choice in choices) - {None}
    scalars = not any(isinstance(choice, (dict, list)) for choice in choices)
    shown = choices if scalars and len(choices) <= _SHOWN_CHOICES else None

    def check(value: Any, path: str, _matches: Matches, found: list[Violation]) -> None:
        if _key(value) not in keys:
            found.append(_violation(path, "enum", value, shown))

    return check


def _compile_const(constant: Any, _schema: Mapping[str, Any]) -> Check:
    key = _key(constant)
    shown = None if isinstance(constant, (dict, list)) else constant

    def check(value: Any, path: str, _matches: Matches, found: list[Violation]) -> None:
        if key is None or _key(value) != key:
            found.append(_violation(path, "const", value, shown))

    return check


def _compile_bound(rule: str, fails: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Check]:
    def compiler(bound: Any, _schema: Mapping[str, Any]) -> Check:
        limit = _number(bound)

        def check(value: Any, path: str, _matches: Matches, found: list[Violation]) -> None:
            if _is_number(value) and fails(value, limit):
                found.append(_violation(path, rule, value, bound))

        return check

    return compiler


def _compile_size(
    rule: str, kind: type, fails: Callable[[int, int], bool]
) -> Callable[[Any, Any], Check]:
    def compiler(limit: Any, _schema: Mapping[str, Any]) -> Check:
        bound = int(limit)

        def check(value: Any, path: str, _matches: Matches, found: list[Violation]) -> None:
            if isinstance(value, kind) and fails(len(value), bound):  # type: ignore[arg-type]
                found.append(_violation(path, rule, value, bound))

        return check

    return compiler


def _compile_pattern(pattern: Any, schema: Mapping[str, Any]) -> Check:
    longest = schema.get("maxLength")

    def check(value: Any, path: str, matches: Matches, found: list[Violation]) -> None:
        # A text that is too long anyway is not worth matching.
        if not isinstance(value, str) or (longest is not None and len(value) > longest):
            return
        if not matches(pattern, value):
            found.append(_violation(path, "pattern", value, pattern))

    return check


def _compile_format(name: Any, _schema: Mapping[str, Any]) -> Check:
    fits = FORMATS[name]

    def check(value: Any, path: str, _matches: Matches, found: list[Violation]) -> None:
        if isinstance(value, str) and not fits(value):
            found.append(_violation(path, "format", value, name))

    return check


def _compile_items(items: Any, _schema: Mapping[str, Any]) -> Check:
    item_check = _compile(items)

    def check(value: Any, path: str, matches: Matches, found: list[Violation]) -> None:
        if isinstance(value, list):
            prefix = "" if path == _ROOT else path
            for position, item in enumerate(value):
                item_check(item, f"{prefix}[{position}]", matches, found)

    return check


def _compile_members(schema: Mapping[str, Any]) -> Check:
    """Compile properties, required and additionalProperties, which look at each other."""
    checks = {name: _compile(part) for name, part in schema.get("properties", {}).items()}
    required = tuple(schema.get("required", ()))
    additional = schema.get("additionalProperties", True)
    additional_check = None if additional is True or additional is False else _compile(additional)
    root_paths = {name: child_path(_ROOT, name) for name in checks}

    def check(value: Any, path: str, matches: Matches, found: list[Violation]) -> None:
        if not isinstance(value, dict):
            return
        for name, member in value.items():
            member_check = checks.get(name)
            if member_check is not None:
                inner = root_paths[name] if path == _ROOT else child_path(path, name)
                member_check(member, inner, matches, found)
            elif additional_check is not None:
                additional_check(member, child_path(path, name), matches, found)
            elif additional is False:
                found.append(_violation(child_path(path, name), "undeclared", member))
        missing = [name for name in required if name not in value]
        found += [
            {"path": child_path(path, name), "rule": "required", "kind": "absent"}
            for name in missing
        ]

    return check


def _fits(check: Check, value: Any, matches: Matches) -> bool:
    found: list[Violation] = []
    check(value, _ROOT, matches, found)
    return not found


def _compile_all_of(parts: Any, _schema: Mapping[str, Any]) -> Check:
    return _all([_compile(part) for part in parts])


def _compile_any_of(parts: Any, _schema: Mapping[str, Any]) -> Check:
    checks = [_compile(part) for part in parts]

    def check(value: Any, path: str, matches: Matches, found: list[Violation]) -> None:
        if not any(_fits(part, value, matches) for part in checks):
            found.append(_violation(path, "any_of", value))

    return check


def _compile_one_of(parts: Any, _schema: Mapping[str, Any]) -> Check:
    checks = [_compile(part) for part in parts]

    def check(value: Any, path: str, matches: Matches, found: list[Violation]) -> None:
        if sum(_fits(part, value, matches) for part in checks) != 1:
            found.append(_violation(path, "one_of", value))

    return check


def _compile_not(part: Any, _schema: Mapping[str, Any]) -> Check:
    inner = _compile(part)

    def check(value: Any, path: str, matches: Matches, found: list[Violation]) -> None:
        if _fits(inner, value, matches):
            found.append(_violation(path, "not", value))

    return check


_COMPILERS: Final[Mapping[str, Callable[[Any, Mapping[str, Any]], Check]]] = MappingProxyType(
    {
        "type": _compile_type,
        "enum": _compile_enum,
        "const": _compile_const,
        "minimum": _compile_bound("minimum", lambda value, limit: value < limit),
        "maximum": _compile_bound("maximum", lambda value, limit: value > limit),
        "exclusiveMinimum": _compile_bound(
            "exclusive_minimum", lambda value, limit: value <= limit
        ),
        "exclusiveMaximum": _compile_bound(
            "exclusive_maximum", lambda value, limit: value >= limit
        ),
        "minLength": _compile_size("min_length", str, lambda length, bound: length < bound),
        "maxLength": _compile_size("max_length", str, lambda length, bound: length > bound),
        "pattern": _compile_pattern,
        "format": _compile_format,
        "minItems": _compile_size("min_items", list, lambda length, bound: length < bound),
        "maxItems": _compile_size("max_items", list, lambda length, bound: length > bound),
        "items": _compile_items,
        "allOf": _compile_all_of,
        "anyOf": _compile_any_of,
        "oneOf": _compile_one_of,
        "not": _compile_not,
    }
)
