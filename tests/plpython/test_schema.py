from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plpython.samples import json_values, matches, no_pattern
from synapsor_plpython import canonical, fields, schema
from synapsor_plpython.reading import Findings

TYPES = st.sampled_from(schema.TYPES)
SMALL = st.integers(0, 4)
NAMES = st.sampled_from(["a", "b", "c"])
NUMBERS = st.integers(-5, 5) | st.sampled_from([Decimal("0.5"), Decimal("1.0"), Decimal("-2.50")])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.sampled_from(["", "a", "ab", "abc", "€", "𝄞𝄞"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def _keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
            "enum": st.lists(VALUES, min_size=1, max_size=4),
            "const": VALUES,
            "minimum": NUMBERS,
            "maximum": NUMBERS,
            "exclusiveMinimum": NUMBERS,
            "exclusiveMaximum": NUMBERS,
            "minLength": SMALL,
            "maxLength": SMALL,
            "pattern": st.sampled_from(["^a", "b$", "[a-b]{2}"]),
            "minItems": SMALL,
            "maxItems": SMALL,
            "items": inner,
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "required": st.lists(NAMES, unique=True, max_size=2),
            "additionalProperties": inner,
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
        },
    )


SCHEMAS = st.recursive(st.booleans() | _keywords(st.booleans()), _keywords, max_leaves=4)


def violations(rules: dict[str, Any] | bool, value: object) -> list[dict[str, Any]]:
    return schema.compile_schema(rules).violations(value, matches)


def rules_broken(rules: dict[str, Any] | bool, value: object) -> list[tuple[str, str]]:
    return [(found["path"], found["rule"]) for found in violations(rules, value)]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCHEMAS, VALUES)
def test_agrees_with_the_jsonschema_package(rules: Any, value: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    plain_rules = json.loads(json.dumps(rules, default=float))
    plain_value = json.loads(json.dumps(value, default=float))
    oracle = jsonschema.Draft202012Validator(plain_rules)
    assert (not violations(rules, value)) == oracle.is_valid(plain_value)


@settings(max_examples=100, deadline=None)
@given(SCHEMAS)
def test_every_schema_of_the_subset_is_accepted(rules: Any) -> None:
    found = Findings()
    fields.check_args_schema(found, {"properties": {"x": rules}}, "args_schema")
    assert found.reasons == []


@given(json_values(numbers=st.integers() | st.floats() | st.decimals()), st.booleans())
def test_inspection_never_raises(value: Any, wrapped: bool) -> None:
    schema.inspect({"x": value} if wrapped else value)


def test_lists_all_violations_with_paths() -> None:
    rules = {
        "type": "object",
        "properties": {
            "lines": {
                "type": "array",
                "maxItems": 1,
                "items": {
                    "type": "object",
                    "properties": {"sku": {"type": "string", "minLength": 2}},
                    "required": ["sku", "count"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["total"],
        "additionalProperties": False,
    }
    assert violations(rules, {"lines": [{"sku": "x"}, {"odd name": 1, "sku": 5}], "y": None}) == [
        {"path": "lines", "rule": "max_items", "kind": "array", "expected": 1},
        {"path": "lines[0].sku", "rule": "min_length", "kind": "string", "expected": 2},
        {"path": "lines[0].count", "rule": "required", "kind": "absent"},
        {"path": 'lines[1]["odd name"]', "rule": "undeclared", "kind": "number"},
        {"path": "lines[1].sku", "rule": "type", "kind": "number", "expected": "string"},
        {"path": "lines[1].count", "rule": "required", "kind": "absent"},
        {"path": "y", "rule": "undeclared", "kind": "null"},
        {"path": "total", "rule": "required", "kind": "absent"},
    ]


@pytest.mark.parametrize("value", [1, Decimal("1.0"), Decimal("1E+2"), 2**53 - 1, -(2**53) + 1])
def test_integers_may_be_spelled_with_a_fraction_of_zero(value: object) -> None:
    assert rules_broken({"type": "integer"}, value) == []


@pytest.mark.parametrize("value", [Decimal("1.5"), True, "1", None, Decimal("1e-7")])
def test_what_is_no_integer(value: object) -> None:
    assert rules_broken({"type": "integer"}, value) == [("$", "type")]


@pytest.mark.parametrize(
    "value", [2**53, -(2**53), 10**400, Decimal("1e300"), Decimal("1e99999999")]
)
@pytest.mark.parametrize("kind", ["integer", "number"])
def test_numbers_beyond_the_safe_integers_are_refused(value: object, kind: str) -> None:
    assert rules_broken({"type": kind}, value) == [("$", "integer_range")]


@pytest.mark.parametrize(
    "text", ["0.1000000000000000055", "1e-400", "1e-99999999", "1." + "0" * 40 + "1"]
)
def test_numbers_that_lose_digits_are_refused(text: str) -> None:
    assert rules_broken({}, {"x": [Decimal(text)]}) == [("x[0]", "number")]


def test_nesting_is_bounded() -> None:
    value: Any = 1
    for _ in range(32):
        value = [value]
    assert rules_broken({}, value) == []
    broken = rules_broken({}, [value])
    assert [rule for _, rule in broken] == ["nesting"]


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_texts_are_unicode_without_nul(text: str) -> None:
    assert rules_broken({}, {"x": text}) == [("x", "unicode")]
    assert rules_broken({}, {text: 1}) == [("$", "unicode")]


def test_lengths_count_code_points() -> None:
    assert rules_broken({"maxLength": 2}, "𝄞𝄞") == []
    assert rules_broken({"maxLength": 1}, "𝄞𝄞") == [("$", "max_length")]


def test_patterns_are_asked_of_the_function_and_only_for_texts_that_could_fit() -> None:
    asked: list[tuple[str, str]] = []

    def remember(pattern: str, value: str) -> bool:
        asked.append((pattern, value))
        return False

    check = schema.compile_schema({"pattern": "^a+$", "maxLength": 3})
    assert [found["rule"] for found in check.violations("aaa", remember)] == ["pattern"]
    assert [found["rule"] for found in check.violations("aaaa", remember)] == ["max_length"]
    assert check.violations(5, remember) == []
    assert asked == [("^a+$", "aaa")]


def test_formats_are_asserted() -> None:
    assert rules_broken({"format": "date"}, "2026-02-30") == [("$", "format")]
    assert rules_broken({"format": "date"}, 5) == []


@pytest.mark.parametrize(
    ("rules", "value", "rule"),
    [
        ({"enum": [1, "a", None]}, True, "enum"),
        ({"enum": [[1]]}, [Decimal("1.5")], "enum"),
        ({"const": 1}, True, "const"),
        ({"const": {"a": 1}}, {"a": 2}, "const"),
        ({"minimum": Decimal("0.5")}, 0, "minimum"),
        ({"maximum": 1}, 2, "maximum"),
        ({"exclusiveMinimum": 1}, 1, "exclusive_minimum"),
        ({"exclusiveMaximum": 1}, Decimal("1.0"), "exclusive_maximum"),
        ({"minItems": 1}, [], "min_items"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, "any_of"),
        ({"oneOf": [{}, {}]}, 1, "one_of"),
        ({"not": {}}, 1, "not"),
        ({"allOf": [{"type": "string"}]}, 1, "type"),
        (False, 1, "not_allowed"),
    ],
)
def test_each_rule_has_its_name(rules: Any, value: object, rule: str) -> None:
    assert rules_broken(rules, value) == [("$", rule)]


@pytest.mark.parametrize(
    ("rules", "value"),
    [
        ({"enum": [1, "a"]}, Decimal("1.0")),
        ({"const": {"a": 1, "b": 2}}, {"b": Decimal("2.00"), "a": 1}),
        ({"minimum": 0.1}, Decimal("0.1")),
        (True, object),
    ],
)
def test_equal_values_are_equal(rules: Any, value: Any) -> None:
    assert violations(rules, None if value is object else value) == []


def test_arg_specifications_are_a_schema() -> None:
    args = {
        "note": {"type": "string", "required": False, "max_length": 5},
        "lines": {
            "type": "array",
            "required": True,
            "min_items": 1,
            "items": {
                "type": "object",
                "required": False,
                "additional_properties": False,
                "properties": {"sku": {"type": "string", "required": True}},
            },
        },
        "extra": {"type": "object", "required": False, "additional_properties": True},
    }
    translated = schema.schema_of_args(args)
    assert (translated["required"], translated["additionalProperties"]) == (["lines"], False)
    check = schema.compile_schema(schema.schema_of_args(args))
    fine = {"lines": [{"sku": "a"}], "extra": {"anything": [1]}}
    assert check.violations(fine, no_pattern) == []
    assert [found["rule"] for found in check.violations({"lines": [{"x": 1}]}, no_pattern)] == [
        "undeclared",
        "required",
    ]


def test_no_violation_repeats_a_value() -> None:
    secret = "4111-1111"
    rules = {
        "properties": {
            name: {"type": "integer", "enum": [1], "const": 2, "maxLength": 1, "pattern": "^x$"}
            for name in ("a", "b")
        }
    }
    found = violations(rules, {"a": secret, "b": [secret, {"c": secret}]})
    assert found
    assert secret not in json.dumps(found)


@given(st.text(max_size=100))
def test_paths_are_readable(name: str) -> None:
    path = schema.child_path("$", name)
    assert len(path if path == name else json.loads(path)[0]) <= 64
    assert path.isascii()
    assert re.search(r"[\x00-\x1f]", path) is None


@given(VALUES)
def test_kinds_are_json_types(value: Any) -> None:
    names = {"string", "boolean", "null", "object", "array", "number"}
    assert schema.kind_of(value) in names
    assert canonical.canonicalize(value)
