"""Resolution of plan parameters, by the reference's rules (reference/plans.md, A.6)."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plpython.samples import json_values
from synapsor_plpython import canonical, parameters

LONG = 10**6


def matches(pattern: str, text: str) -> bool:
    return re.search(pattern, text) is not None


def replace(pattern: str, text: str, replacement: str) -> str:
    return re.sub(pattern, lambda _: replacement, text, flags=re.IGNORECASE)


def resolve(**request: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(
        parameters.resolve_json(json.dumps(request), matches, replace)
    )
    return answer


def values_of(info: dict[str, Any] | None, **request: Any) -> Any:
    """Resolve one set of parameters that has one instance and no error."""
    answer = resolve(parameters=info, **request)
    assert answer["error"] is None
    assert [list(one) for one in answer["instances"]] == [["config", "parameters"]]
    return answer["instances"][0]["parameters"]


def error_of(info: dict[str, Any], **request: Any) -> str:
    answer = resolve(parameters=info, **request)
    assert answer["instances"] == []
    assert answer["named"] == {"config": {}, "parameters": {}}
    assert isinstance(answer["error"], str)
    return answer["error"]


def iterated(info: dict[str, Any], **request: Any) -> list[Any]:
    answer = resolve(parameters=info, **request)
    assert answer["error"] is None
    assert answer["for_each"] is True
    return [one["parameters"] for one in answer["instances"]]


# Layers


def test_nothing_described_is_one_instance_without_anything() -> None:
    assert resolve() == {
        "instances": [{"config": None, "parameters": None}],
        "count": 1,
        "for_each": False,
        "named": {"config": {}, "parameters": {}},
        "error": None,
    }


def test_a_description_without_values_is_an_empty_object() -> None:
    assert values_of({"Name": "x"}) == {}


def test_values_come_as_they_are() -> None:
    values = {"s": "{a} $b ${c} {{d}} \\1", "n": [1, None, {"x": True}]}
    assert values_of({"Values": values}) == values


@given(json_values())
def test_any_values_survive(value: Any) -> None:
    text = canonical.dumps({"parameters": {"Values": value}})
    answer = canonical.loads(parameters.resolve_json(text, matches, replace))
    expected = {} if value is None else canonical.loads(canonical.dumps(value))
    assert answer["instances"][0]["parameters"] == expected


def test_numbers_keep_every_digit() -> None:
    text = '{"parameters": {"Values": [12345678901234567890123, 0.10000000000000000555, 1E+400]}}'
    answer = canonical.loads(parameters.resolve_json(text, matches, replace))
    assert answer["instances"][0]["parameters"] == [
        12345678901234567890123,
        Decimal("0.10000000000000000555"),
        Decimal("1E+400"),
    ]


def test_layers_go_over_one_another_in_the_reference_s_order() -> None:
    info = {
        "InheritFrom": "base",
        "Values": {"b": "values", "c": "values", "d": "values", "e": "values"},
        "Dynamic": [
            {"Source": "p", "Target": "c"},
            {"Source": "p", "Target": "d"},
            {"Source": "p", "Target": "e"},
        ],
        "ParentExitData": [
            {"CopyToValues": {"Source": "x", "Target": "d"}},
            {"CopyToValues": {"Source": "x", "Target": "e"}},
        ],
        "ForEach": [{"Target": "e", "Values": ["each"]}],
    }
    assert iterated(
        info,
        registries={"parameters": {"base": dict.fromkeys("abcde", "inherited")}},
        dynamic={"p": "dynamic"},
        parent_exit_data={"x": "parent"},
    ) == [{"a": "inherited", "b": "values", "c": "dynamic", "d": "parent", "e": "each"}]


def test_objects_merge_recursively_and_lists_and_scalars_replace() -> None:
    base = {"o": {"keep": 1, "deep": {"x": 1, "y": 1}}, "l": [1, 2, 3], "s": 1, "t": {"gone": 1}}
    patch = {"o": {"deep": {"y": 2}, "new": []}, "l": [9], "s": {"now": "object"}, "t": None}
    assert values_of(
        {"InheritFrom": "base", "Values": patch}, registries={"parameters": {"base": base}}
    ) == {
        "o": {"keep": 1, "deep": {"x": 1, "y": 2}, "new": []},
        "l": [9],
        "s": {"now": "object"},
        "t": None,
    }


@given(json_values(), json_values())
def test_merging_changes_nothing_in_place(base: Any, patch: Any) -> None:
    before = canonical.dumps([base, patch])
    request = {
        "parameters": {
            "InheritFrom": "base",
            "Values": patch,
            "Dynamic": [{"Source": "p", "Target": "a:b[0]:c"}],
        },
        "registries": {"parameters": {"base": base}},
        "dynamic": {"p": patch},
    }
    parameters.resolve(request, matches, replace)
    assert canonical.dumps([base, patch]) == before


def test_a_set_inherits_from_the_registry_of_its_kind() -> None:
    registries = {"config": {"s": {"of": "config"}}, "parameters": {"s": {"of": "parameters"}}}
    answer = resolve(
        config={"InheritFrom": "s"}, parameters={"InheritFrom": "s"}, registries=registries
    )
    assert answer["instances"] == [{"config": {"of": "config"}, "parameters": {"of": "parameters"}}]


@pytest.mark.parametrize("registries", [{}, None, {"parameters": {"S": 1}}, {"config": {"s": 1}}])
def test_a_set_that_is_not_there_is_an_error(registries: Any) -> None:
    assert error_of({"InheritFrom": "s"}, registries=registries) == (
        "InheritFrom names the set [s], which is not there."
    )


def test_named_sets_are_handed_back_before_their_for_each() -> None:
    answer = resolve(
        config={"Name": "c", "Values": {"x": 1}},
        parameters={"Name": "p", "Values": {"y": 1}, "ForEach": [{"Target": "y", "Values": [7]}]},
    )
    assert answer["named"] == {"config": {"c": {"x": 1}}, "parameters": {"p": {"y": 1}}}
    assert answer["instances"] == [{"config": {"x": 1}, "parameters": {"y": 7}}]


def test_errors_of_both_are_told_together() -> None:
    answer = resolve(config={"InheritFrom": "a"}, parameters={"InheritFrom": "b"})
    assert answer["error"] == (
        "InheritFrom names the set [a], which is not there."
        " InheritFrom names the set [b], which is not there."
    )


def test_plain_text_is_put_behind_what_is_inherited() -> None:
    info = {
        "Type": "Unspecified",
        "InheritFrom": "t",
        "Values": " and more",
        "Dynamic": [
            {"Source": "who", "Replace": "NAME"},
            {"Source": "tail"},
        ],
    }
    assert (
        values_of(
            info,
            registries={"parameters": {"t": "Dear name"}},
            dynamic={"who": "Ann", "tail": 7},
        )
        == "Dear Ann and more7"
    )
    assert values_of({"Type": "Unspecified"}) == ""


# Paths


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", {"a": 1}),
        ("a:b:c", {"a": {"b": {"c": 1}}}),
        ("a:b[0]:c", {"a": {"b": [{"c": 1}]}}),
        ("a[0][0]", {"a": [[1]]}),
        ("[0]:a", [{"a": 1}]),
        ("a[999999999]", {"a": [1]}),
        ("b[0]:a", {"b": [{"a": 1}]}),
        ("with blank.and-more", {"with blank.and-more": 1}),
    ],
)
def test_a_missing_target_is_created(path: str, expected: Any) -> None:
    assert values_of({"Dynamic": [{"Source": "p", "Target": path}]}, dynamic={"p": 1}) == expected


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("b[1]:c", 9, {"b": [{"c": 1}, {"c": 9}], "s": 1}),
        ("b[1]", {"d": 9}, {"b": [{"c": 1}, {"c": 2, "d": 9}], "s": 1}),
        ("b[1]", [9], {"b": [{"c": 1}, [9]], "s": 1}),
        ("b[2]:c", 9, {"b": [{"c": 1}, {"c": 2}, {"c": 9}], "s": 1}),
        ("b[7]", 9, {"b": [{"c": 1}, {"c": 2}, 9], "s": 1}),
        ("b", [9], {"b": [9], "s": 1}),
        ("b:c", 9, {"b": {"c": 9}, "s": 1}),
        ("s:t", 9, {"b": [{"c": 1}, {"c": 2}], "s": {"t": 9}}),
        ("s[0]", 9, {"b": [{"c": 1}, {"c": 2}], "s": [9]}),
        ("S", 9, {"b": [{"c": 1}, {"c": 2}], "s": 1, "S": 9}),
    ],
)
def test_a_target_that_is_there_is_merged_into(path: str, value: Any, expected: Any) -> None:
    info = {
        "Values": {"b": [{"c": 1}, {"c": 2}], "s": 1},
        "Dynamic": [{"Source": "p", "Target": path}],
    }
    assert values_of(info, dynamic={"p": value}) == expected


@pytest.mark.parametrize(
    "path", [":", "a:", ":a", "a::b", "a[", "a]", "a[]", "a[-1]", "a[x]", "a[0]b", "a:[0]", "a[0][",
             "a[9999999999]", ":".join("a" * 101)],
)  # fmt: skip
def test_what_is_no_path_is_an_error(path: str) -> None:
    assert "path" in error_of({"Dynamic": [{"Source": "p", "Target": path}]}, dynamic={"p": 1})
    (reason,) = parameters.check_info({"Dynamic": [{"Source": "p", "Target": path}]}, "P")
    assert reason == {
        "path": "P.Dynamic[0].Target",
        "reason": "is no path such as a:b[0]:c of at most 100 steps",
    }


@given(
    st.lists(st.one_of(st.text("abc ", min_size=1).map(str.strip), st.integers(0, 3)), max_size=6)
)
def test_what_is_put_at_a_path_is_found_there(steps: list[str | int]) -> None:
    steps = [step for step in steps if step != ""]
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += "[0]"
        else:
            path += f":{step}" if path else step
    wanted = tuple(0 if isinstance(step, int) else step for step in steps)
    assert parameters.parse_path(path) == wanted
    if wanted:
        values = values_of({"Dynamic": [{"Source": "p", "Target": path}]}, dynamic={"p": "v"})
        assert parameters.find(values, wanted) == "v"


@given(st.text("a:[]0 ", max_size=8))
def test_a_path_is_read_or_refused(path: str) -> None:
    try:
        steps = parameters.parse_path(path)
    except parameters.ParameterError:
        return
    assert (steps == ()) == (path == "")


# Replace and Encode


def dynamic(value: Any, target: Any, **rule: Any) -> Any:
    info = {"Values": {"t": target}, "Dynamic": [{"Source": "p", "Target": "t", **rule}]}
    return values_of(info, dynamic={"p": value})["t"]


@pytest.mark.parametrize(
    ("value", "target", "expected"),
    [
        ("Ann", "Dear NAME, dear name.", "Dear Ann, dear Ann."),
        ("\\1 $1 \\& \\g<0>", "name", "\\1 $1 \\& \\g<0>"),
        (7, "no. name", "no. 7"),
        (True, "it is name", "it is true"),
        ("Ann", "nobody", "nobody"),
        ("Ann", None, "Ann"),
        ("Ann", ["name"], "Ann"),
        (["x"], "name", ["x"]),
        ({"a": "Ann"}, {"a": "hi name", "b": "name"}, {"a": "hi Ann", "b": "name"}),
    ],
)
def test_replace_changes_the_matched_part_of_the_target(
    value: Any, target: Any, expected: Any
) -> None:
    assert dynamic(value, target, Replace="name") == expected


def test_replace_sees_numbers_as_text() -> None:
    assert dynamic("9", 1234, Replace="2") == "1934"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("ä\n", "w6QK"), (5, "NQ=="), ({"a": 1}, "eyJhIjogMX0="), (True, "dHJ1ZQ==")],
)
def test_base64_encodes_what_comes(value: Any, expected: str) -> None:
    assert dynamic(value, "old", Encode="Base64") == expected


def test_encoding_comes_before_replacing() -> None:
    assert dynamic("a", "Basic X", Encode="Base64", Replace="X") == "Basic YQ=="
    assert dynamic("a", "old", Encode="None") == "a"


# Dynamic values


def test_names_of_dynamic_values_ignore_case() -> None:
    info = {"Dynamic": [{"Source": "customerid", "Target": "c"}]}
    assert values_of(info, dynamic={"CustomerID": "x"}) == {"c": "x"}


def test_of_two_spellings_always_the_same_one_counts() -> None:
    info = {"Dynamic": [{"Source": "ab", "Target": "c"}]}
    assert values_of(info, dynamic={"ab": 1, "AB": 2}) == {"c": 2}
    assert values_of(info, dynamic={"AB": 2, "ab": 1}) == {"c": 2}


def test_what_the_engine_says_of_the_run_cannot_be_overridden() -> None:
    info = {"Dynamic": [{"Source": "PlanStartInfo_RequestUser", "Target": "who"}]}
    assert values_of(
        info,
        dynamic={"planstartinfo_requestuser": "root"},
        automatic={"PlanStartInfo_RequestUser": "alice"},
    ) == {"who": "alice"}


@pytest.mark.parametrize("blank", [None, "", " \t\n"])
def test_blank_is_absent(blank: Any) -> None:
    rule: dict[str, Any] = {"Source": "p", "Target": "t"}
    for given_values in ({}, {"p": blank}):
        assert values_of({"Dynamic": [rule]}, dynamic=given_values) == {}
        assert values_of(
            {"Dynamic": [{**rule, "Default": {"Value": "d"}}]}, dynamic=given_values
        ) == {"t": "d"}
        assert values_of(
            {"Dynamic": [{**rule, "Default": {"Value": " ", "AllowNull": True}}]},
            dynamic=given_values,
        ) == {"t": None}
        assert values_of(
            {"Dynamic": [{**rule, "Default": {"AllowNull": True}, "Validation": "x"}]},
            dynamic=given_values,
        ) == {"t": None}


@pytest.mark.parametrize("value", [0, False, [], {}])
def test_empty_is_not_blank(value: Any) -> None:
    info = {"Dynamic": [{"Source": "p", "Target": "t", "Default": {"Value": "d"}}]}
    assert values_of(info, dynamic={"p": value}) == {"t": value}


def test_the_option_marked_as_default_is_one() -> None:
    options = [{"Value": "a"}, {"Value": "b", "IsDefault": True}]
    info = {"Dynamic": [{"Source": "p", "Target": "t", "Options": options}]}
    assert values_of(info) == {"t": "b"}
    info["Dynamic"][0]["Default"] = {"Value": "a"}  # type: ignore[assignment]
    assert values_of(info) == {"t": "a"}


def test_a_default_is_validated_too() -> None:
    info = {
        "Dynamic": [{"Source": "p", "Target": "t", "Default": {"Value": "d"}, "Validation": "x"}]
    }
    assert error_of(info) == "DynamicValue [d] failed validation rule [x] for parameter [p]."


def test_validation_is_unanchored_and_sees_case() -> None:
    assert dynamic("xabcx", "", Validation="abc") == "xabcx"
    info = {"Dynamic": [{"Source": "p", "Target": "t", "Validation": "^abc$"}]}
    for value in ("ABC", "xabc"):
        assert error_of(info, dynamic={"p": value}) == (
            f"DynamicValue [{value}] failed validation rule [^abc$] for parameter [p]."
        )


def test_options_restrict_and_ignore_case() -> None:
    rule: dict[str, Any] = {"Options": [{"Key": "k", "Value": "Small"}, {"Value": 5}]}
    assert dynamic("sMALL", "", **rule) == "sMALL"
    assert dynamic("5", "", **rule) == "5"
    assert dynamic("else", "", **rule, RestrictToOptions=False) == "else"
    assert dynamic("else", "", Options=[]) == "else"
    info = {"Dynamic": [{"Source": "p", "Target": "t", **rule}]}
    for value in ("k", "smal", "Small "):
        assert error_of(info, dynamic={"p": value}) == (
            f"DynamicValue [{value}] failed validation rule [RestrictToOptions] for parameter [p]."
        )


@pytest.mark.parametrize(
    ("data_type", "value", "expected"),
    [
        ("String", 5, "5"),
        ("String", "x", "x"),
        ("Object", [1], [1]),
        ("Boolean", " TRUE ", True),
        ("Boolean", False, False),
        ("Char", "é", "é"),
        ("Byte", "255", 255),
        ("SByte", "-128", -128),
        ("Int16", "+32767", 32767),
        ("Int32", " 12 ", 12),
        ("Int32", 12.0, 12),
        ("Int64", "9223372036854775807", 2**63 - 1),
        ("UInt64", "18446744073709551615", 2**64 - 1),
        ("Double", "2.5e3", 2500),
        ("Double", ".25", 0.25),
        ("Single", "-1.5", -1.5),
        ("Decimal", "79228162514264337593543950335", 2**96 - 1),
        ("DateTime", "2026-11-28T09:00:00Z", "2026-11-28T09:00:00Z"),
        ("DateTime", "2026-11-28", "2026-11-28"),
    ],
)
def test_a_data_type_converts(data_type: str, value: Any, expected: Any) -> None:
    converted = dynamic(value, None, DataType=data_type)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("data_type", "value"),
    [
        ("String", {"a": 1}),
        ("Boolean", "1"),
        ("Boolean", "yes"),
        ("Char", "ab"),
        ("Byte", "256"),
        ("Byte", "-1"),
        ("SByte", "128"),
        ("Int16", "32768"),
        ("UInt16", "65536"),
        ("Int32", "2147483648"),
        ("Int32", "1.5"),
        ("Int32", "one"),
        ("Int32", "\u0661"),
        ("Int32", True),
        ("Int32", "1_000"),
        ("UInt32", "4294967296"),
        ("Int64", "9223372036854775808"),
        ("UInt64", "1e999"),
        ("Int32", "9" * 10_000),
        ("Double", "NaN"),
        ("Double", "Infinity"),
        ("Double", "1e309"),
        ("Single", "1e39"),
        ("Decimal", "79228162514264337593543950336"),
        ("DateTime", "yesterday"),
        ("DateTime", "2026-02-30"),
    ],
)
def test_what_is_not_of_its_type_is_refused(data_type: str, value: Any) -> None:
    info = {"Dynamic": [{"Source": "p", "Target": "t", "DataType": data_type}]}
    reason = error_of(info, dynamic={"p": value})
    assert reason.startswith("DynamicValue [")
    assert reason.endswith(
        f"] failed validation rule type requirement of [{data_type}] for parameter [p]."
    )
    assert len(reason) < 250


def test_all_refused_values_are_told_at_once() -> None:
    info = {
        "Dynamic": [
            {"Source": "a", "Target": "a", "DataType": "Int32"},
            {"Source": "b", "Target": "b"},
            {"Source": "c", "Target": "c", "Validation": "^y"},
        ]
    }
    assert error_of(info, dynamic={"a": "x", "b": "x", "c": "x"}) == (
        "DynamicValue [x] failed validation rule type requirement of [Int32] for parameter [a]."
        " DynamicValue [x] failed validation rule [^y] for parameter [c]."
    )


def test_a_dynamic_text_can_be_parsed_as_json() -> None:
    assert dynamic('{"a": [1, 2]}', None, Parse=True) == {"a": [1, 2]}
    assert dynamic('{"a": [1, 2]}', None, Parse=False) == '{"a": [1, 2]}'
    assert dynamic({"a": 1}, None, Parse=True) == {"a": 1}
    info = {"Dynamic": [{"Source": "p", "Target": "t", "Parse": True}]}
    assert error_of(info, dynamic={"p": "a: b"}).startswith(
        "The value of parameter [p] cannot be parsed: not JSON"
    )


def test_a_value_is_never_a_path_a_pattern_or_a_template() -> None:
    evil = "a:b[0] {parameters.x} (((((.*)*)*)* %s \\1 ${x}"
    assert dynamic(evil, "t", Replace="t") == evil
    assert dynamic({evil: evil}, {}) == {evil: evil}
    assert iterated({"ForEach": [{"Target": "x", "Values": [evil]}]}) == [{"x": evil}]


# The parent's exit data


def test_exit_data_is_copied() -> None:
    info = {
        "Values": {"o": {"keep": 1}},
        "ParentExitData": [
            {"CopyToValues": {"Source": "a:b[1]", "Target": "o:x"}},
            {"CopyToValues": {"Source": "missing", "Target": "o:keep"}},
            {"CopyToValues": {"Source": "n", "Target": "o:keep"}},
        ],
    }
    assert values_of(info, parent_exit_data={"a": {"b": [1, {"c": 2}]}, "n": None}) == {
        "o": {"keep": 1, "x": {"c": 2}}
    }


def test_without_a_source_all_of_it_without_a_target_into_all() -> None:
    info = {"Values": {"a": 1}, "ParentExitData": [{"CopyToValues": {}}]}
    assert values_of(info, parent_exit_data={"b": 2}) == {"a": 1, "b": 2}
    info = {"ParentExitData": [{"CopyToValues": {"Target": "all"}}]}
    assert values_of(info, parent_exit_data=[1]) == {"all": [1]}
    assert values_of(info, parent_exit_data=None) == {}


def test_every_transformation_comes_before_the_first_copy() -> None:
    info = {
        "ParentExitData": [
            {"CopyToValues": {"Source": "late", "Target": "x"}},
            {"TransformInPlace": {"Source": "a", "Target": "late"}},
        ]
    }
    assert values_of(info, parent_exit_data={"a": 1}) == {"x": 1}


def test_a_copy_takes_what_its_transformation_made() -> None:
    info = {
        "ParentExitData": [
            {
                "TransformInPlace": {"Source": "raw", "Target": "parsed", "Parse": True},
                "CopyToValues": {"Target": "values"},
            }
        ]
    }
    assert values_of(info, parent_exit_data={"raw": '{"k": [1]}'}) == {"values": {"k": [1]}}


def test_a_transformation_without_a_target_is_in_place() -> None:
    info = {
        "ParentExitData": [
            {
                "TransformInPlace": {"Source": "raw", "Encode": "Base64"},
                "CopyToValues": {"Target": "v"},
            }
        ]
    }
    assert values_of(info, parent_exit_data={"raw": "a"}) == {"v": "YQ=="}


def test_text_as_exit_data_can_be_parsed_whole() -> None:
    info = {
        "ParentExitData": [
            {"TransformInPlace": {"Parse": True}},
            {"CopyToValues": {"Source": "a[0]", "Target": "v"}},
        ]
    }
    assert values_of(info, parent_exit_data='{"a": [5]}') == {"v": 5}
    assert error_of(info, parent_exit_data="<a/>").startswith(
        "ParentExitData [] cannot be parsed: not JSON"
    )


def test_transformations_stay_inside_the_copy() -> None:
    exit_data = {"a": {"b": 1}}
    request = {
        "parameters": {
            "ParentExitData": [{"TransformInPlace": {"Source": "a:b", "Target": "a:c[0]"}}]
        },
        "parent_exit_data": exit_data,
    }
    parameters.resolve(request, matches, replace)
    assert exit_data == {"a": {"b": 1}}


def test_a_copy_can_parse_replace_and_encode() -> None:
    info = {
        "Values": {"greeting": "Dear NAME"},
        "ParentExitData": [
            {"CopyToValues": {"Source": "who", "Target": "greeting", "Replace": "name"}},
            {"CopyToValues": {"Source": "list", "Target": "l", "Parse": True}},
            {"CopyToValues": {"Source": "who", "Target": "e", "Encode": "Base64"}},
        ],
    }
    assert values_of(info, parent_exit_data={"who": "Ann", "list": "[1]"}) == {
        "greeting": "Dear Ann",
        "l": [1],
        "e": "QW5u",
    }


# ForEach


def test_one_instance_for_each_value_in_order() -> None:
    info = {"Values": {"k": 0}, "ForEach": [{"Target": "o:x", "Values": [3, "a", {"b": 1}, None]}]}
    assert iterated(info) == [
        {"k": 0, "o": {"x": 3}},
        {"k": 0, "o": {"x": "a"}},
        {"k": 0, "o": {"x": {"b": 1}}},
        {"k": 0, "o": {"x": None}},
    ]


def test_entries_multiply_and_the_first_changes_slowest() -> None:
    info = {
        "ForEach": [{"Target": "a", "Values": [1, 2]}, {"Target": "b", "Values": ["x", "y"]}],
    }
    assert iterated(info) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]


def test_every_configuration_meets_all_parameters() -> None:
    answer = resolve(
        config={"ForEach": [{"Target": "c", "Values": [1, 2]}]},
        parameters={"ForEach": [{"Target": "p", "Values": [1, 2, 3]}]},
    )
    assert answer["for_each"] is True
    assert [(one["config"]["c"], one["parameters"]["p"]) for one in answer["instances"]] == [
        (1, 1),
        (1, 2),
        (1, 3),
        (2, 1),
        (2, 2),
        (2, 3),
    ]


def test_instances_do_not_see_one_another() -> None:
    info = {"Values": {"l": [0]}, "ForEach": [{"Target": "l[1]", "Values": [1, 2]}]}
    assert iterated(info) == [{"l": [0, 1]}, {"l": [0, 2]}]


def test_a_value_merges_replaces_and_encodes_like_any_other() -> None:
    info = {
        "Values": {"o": {"keep": 1}, "s": "hello X"},
        "ForEach": [
            {"Target": "o", "Values": [{"n": 1}]},
            {"Target": "s", "Values": ["a"], "Encode": "Base64", "Replace": "x"},
        ],
    }
    assert iterated(info) == [{"o": {"keep": 1, "n": 1}, "s": "hello YQ=="}]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"Source": "own"}, [1, 2]),
        ({"Source": "wrapped"}, [8]),
        ({}, [1, 2]),
        ({"Source": "text", "Parse": True}, [5]),
        ({"Name": "set", "Source": "l"}, ["p"]),
        ({"Name": "other"}, ["c"]),
        ({"Name": "ParentExitData", "Source": "rows"}, ["r"]),
        ({"Source": "empty"}, []),
    ],
)
def test_the_list_comes_from_a_source(source: dict[str, Any], expected: list[Any]) -> None:
    info = {
        "Values": {
            "own": [1, 2],
            "wrapped": {"a": 1, "b": {"c": {"d": [8]}}, "z": [9]},
            "text": "[5]",
            "empty": [],
        },
        "ForEach": [{"Target": "own", "ParameterSource": source}],
    }
    found = iterated(
        info,
        registries={
            "config": {"set": {"l": ["wrong"]}, "other": {"x": ["c"]}},
            "parameters": {"set": {"l": ["p"]}},
        },
        parent_exit_data={"rows": ["r"]},
    )
    assert [one["own"] for one in found] == expected


def test_the_parent_s_exit_data_is_iterated_over_as_transformed() -> None:
    info = {
        "ParentExitData": [{"TransformInPlace": {"Source": "raw", "Parse": True}}],
        "ForEach": [
            {"Target": "x", "ParameterSource": {"Name": "ParentExitData", "Source": "raw"}}
        ],
    }
    assert iterated(info, parent_exit_data={"raw": "[1, 2]"}) == [{"x": 1}, {"x": 2}]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"Source": "a"}, "ForEach finds no list at [a] of its own values."),
        ({"Name": "p"}, "ForEach names the set [p], which is not there."),
        (
            {"Name": "ParentExitData", "Source": "x"},
            "ForEach finds no list at [x] of the parent's exit data.",
        ),
        (
            {"Source": "s", "Parse": True},
            (
                "The source of ForEach, [s] of its own values, cannot be parsed:"
                " not JSON: Expecting value at character 1."
            ),
        ),
    ],
)
def test_a_source_without_a_list_is_an_error(source: dict[str, Any], reason: str) -> None:
    info = {"Values": {"a": 1, "s": "x"}, "ForEach": [{"Target": "t", "ParameterSource": source}]}
    assert error_of(info) == reason


# Bounds


def test_a_million_instances_are_refused_before_one_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("an instance was made")

    monkeypatch.setattr(parameters, "_variants", never)
    info = {"ForEach": [{"Target": name, "Values": [*range(100)]} for name in "abc"]}
    assert error_of(info) == ("ForEach makes 1000000 instances, more than the limit of 10000.")


def test_the_limit_is_the_request_s_and_counts_configurations_too() -> None:
    info = {"ForEach": [{"Target": "a", "Values": [1, 2, 3]}]}
    assert resolve(config=info, parameters=info, max_instances=9)["error"] is None
    assert resolve(config=info, parameters=info, max_instances=8)["error"] == (
        "ForEach makes 9 instances, more than the limit of 8."
    )


def test_many_copies_of_a_long_text_are_refused() -> None:
    info = {
        "Values": {"long": "x" * LONG},
        "ForEach": [{"Target": "a", "Values": [*range(100)]}],
    }
    assert "more than the limit of 33554432 characters" in error_of(info)
    grows = {"ForEach": [{"Target": "a", "Values": ["x" * LONG] * 40}]}
    assert "more than the limit of 33554432 characters" in error_of(grows)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_depth_is_bounded_in_all_that_comes_in() -> None:
    assert values_of({"Values": nested(100)}) == nested(100)
    deep = nested(101)
    rule = {"Source": "p", "Target": "t"}
    assert "deeper" in error_of({"Values": deep})
    assert "deeper" in error_of({"Dynamic": [rule]}, dynamic={"p": deep})
    assert "deeper" in error_of({"Dynamic": [{**rule, "Parse": True}]}, dynamic={"p": str(deep)})
    assert "deeper" in error_of({"Dynamic": [rule]}, dynamic={"p": nested(100)})
    assert "deeper" in error_of(
        {"ParentExitData": [{"CopyToValues": {"Target": "t"}}]}, parent_exit_data=deep
    )
    assert "deeper" in error_of({"ForEach": [{"Target": "t", "Values": [nested(100)]}]})


def test_exit_data_that_nobody_asks_for_may_be_deep() -> None:
    assert values_of({"Values": {"a": 1}}, parent_exit_data=nested(300)) == {"a": 1}


def test_what_python_cannot_read_is_an_error_not_an_exception() -> None:
    request = '{"parent_exit_data": ' + "[" * 100_000 + "]" * 100_000 + "}"
    answer = json.loads(parameters.resolve_json(request, matches, replace))
    assert answer["error"] == "What it is resolved from is unreadable: nested too deeply."
    assert answer["instances"] == []


# Definitions

FULL: dict[str, Any] = {
    "Name": "all",
    "Type": "Json",
    "InheritFrom": "base",
    "Uri": "",
    "Values": {"a": {"b": [1]}},
    "Dynamic": [
        {
            "Source": "any [name]: works",
            "Target": "a:b[0]:c",
            "Parse": False,
            "Replace": "x",
            "Encode": "None",
            "Description": "What it is.\nAnd why.",
            "DataType": "Int32",
            "Validation": "^[0-9]+$",
            "RestrictToOptions": True,
            "Default": {"Value": "1", "AllowNull": False},
            "Options": [{"Key": "one", "Value": "1", "Description": "One", "IsDefault": True}],
        }
    ],
    "ParentExitData": [
        {
            "TransformInPlace": {"Source": "x", "Target": "y", "Parse": True, "Encode": "Base64"},
            "CopyToValues": {"Source": "y", "Target": "z", "Replace": "y"},
        }
    ],
    "ForEach": [
        {"Target": "t", "Values": [*range(1000)], "Replace": "z", "Encode": "Base64"},
        {
            "Target": "u",
            "ParameterSource": {"Name": "ParentExitData", "Source": "l", "Parse": True},
        },
    ],
    "Crypto": {},
}


def test_a_sound_definition_leaves_its_expressions_to_the_database() -> None:
    assert parameters.check_info(None, "Parameters") == []
    assert parameters.check_info({}, "Parameters") == []
    found = parameters.check_info(FULL, "Actions[0].Parameters")
    at = "Actions[0].Parameters"
    assert sorted(found, key=lambda one: one["path"]) == [
        {"path": f"{at}.Dynamic[0].Replace", "kind": "regex", "value": "x"},
        {"path": f"{at}.Dynamic[0].Validation", "kind": "regex", "value": "^[0-9]+$"},
        {"path": f"{at}.ForEach[0].Replace", "kind": "regex", "value": "z"},
        {"path": f"{at}.ParentExitData[0].CopyToValues.Replace", "kind": "regex", "value": "y"},
    ]


@pytest.mark.parametrize(
    ("info", "path", "reason"),
    [
        ([], "P", "is an array, not an object"),
        ({"Value": {}}, "P.Value", "is not a known key (did you mean Values?)"),
        ({"Name": 5}, "P.Name", "is a number, not a string"),
        ({"Type": "Yml"}, "P.Type", "is none of Yaml, Json, Unspecified"),
        (
            {"Type": "Xml"},
            "P.Type",
            "is not supported: values are JSON and paths are such as a:b[0]:c",
        ),
        (
            {"Uri": "file:///etc/passwd"},
            "P.Uri",
            "is refused, for the database reads no files: use Values or Dynamic",
        ),
        (
            {"Crypto": {"Elements": ["a"]}},
            "P.Crypto",
            "is refused: a secret does not belong into a definition",
        ),
        ({"Values": nested(101)}, "P.Values", "is nested deeper than 100"),
        ({"Type": "Unspecified", "Values": {}}, "P.Values", "is an object, not a string"),
        ({"Dynamic": {}}, "P.Dynamic", "is an object, not an array"),
        ({"Dynamic": [{"Target": "a"}]}, "P.Dynamic[0].Source", "is required"),
        ({"Dynamic": [{"Source": "a"}]}, "P.Dynamic[0].Target", "is required"),
        (
            {"Dynamic": [{"Source": "a", "Target": "a", "DataType": "Int"}]},
            "P.Dynamic[0].DataType",
            "is none of " + ", ".join(parameters.DATA_TYPES),
        ),
        (
            {"Dynamic": [{"Source": "a", "Target": "a", "Encode": "Hex"}]},
            "P.Dynamic[0].Encode",
            "is none of None, Base64",
        ),
        (
            {"Dynamic": [{"Source": "a", "Target": "a", "Options": [{"Key": "x"}]}]},
            "P.Dynamic[0].Options[0].Value",
            "is required",
        ),
        (
            {"Dynamic": [{"Source": "a", "Target": "a", "Options": [{"Value": []}]}]},
            "P.Dynamic[0].Options[0].Value",
            "is an array, not a scalar",
        ),
        (
            {"Dynamic": [{"Source": "a", "Target": "a", "Default": {"Value": nested(101)}}]},
            "P.Dynamic[0].Default.Value",
            "is nested deeper than 100",
        ),
        (
            {"ParentExitData": [{"CopyToValues": {"Source": "a["}}]},
            "P.ParentExitData[0].CopyToValues.Source",
            "is no path such as a:b[0]:c of at most 100 steps",
        ),
        (
            {"ParentExitData": [{"TransformInPlace": {"Parse": "yes"}}]},
            "P.ParentExitData[0].TransformInPlace.Parse",
            "is a string, not a boolean",
        ),
        ({"ForEach": [{"Values": [1]}]}, "P.ForEach[0].Target", "is required"),
        ({"ForEach": [{"Target": "t"}]}, "P.ForEach[0].Values", "is required, or ParameterSource"),
        (
            {"ForEach": [{"Target": "t", "Values": [1], "ParameterSource": {}}]},
            "P.ForEach[0].ParameterSource",
            "is given beside Values; give one of them",
        ),
        (
            {"ForEach": [{"Target": "t", "Values": {"a": 1}}]},
            "P.ForEach[0].Values",
            "is an object, not an array",
        ),
        (
            {"ForEach": [{"Target": "t", "Values": [1] * 10_001}]},
            "P.ForEach[0].Values",
            "has more than 10000 items",
        ),
        (
            {"Type": "Unspecified", "ForEach": [{"Target": "t", "Values": ["x"]}]},
            "P.ForEach[0].Target",
            "is a place in plain text, which has none (Type Unspecified)",
        ),
    ],
)
def test_each_mistake_is_told_at_its_path(info: Any, path: str, reason: str) -> None:
    assert parameters.check_info(info, "P") == [{"path": path, "reason": reason}]


@given(
    st.dictionaries(
        st.sampled_from(sorted(FULL)), st.one_of(json_values(), st.sampled_from([*FULL.values()]))
    )
)
def test_what_is_accepted_resolves_or_says_why_not(info: dict[str, Any]) -> None:
    if any("reason" in one for one in parameters.check_info(info, "P")):
        return
    request = {"config": info, "parameters": info, "dynamic": {"any [name]: works": "1"}}
    answer = parameters.resolve(request, matches, replace)
    assert isinstance(answer["error"], str) or answer["instances"] is not None
    json.loads(canonical.dumps(answer))


def test_of_many_instances_the_first_is_enough_to_foresee() -> None:
    info = {"ForEach": [{"Target": name, "Values": [*range(100)]} for name in "ab"]}
    answer = resolve(config=info, only_first=True)
    assert answer["count"] == 10_000
    assert answer["instances"] == [{"config": {"a": 0, "b": 0}, "parameters": None}]
    assert resolve(config=info)["count"] == len(resolve(config=info)["instances"]) == 10_000


def test_a_replacement_is_bounded_before_it_is_made() -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("it was made")

    request = {
        "parameters": {
            "Values": {"t": "x" * 100_000},
            "Dynamic": [{"Source": "p", "Target": "t", "Replace": "x?"}],
        },
        "dynamic": {"p": "y" * 1000},
    }
    assert parameters.resolve(request, matches, never)["error"] == (
        "Replace could make more than 67108864 characters of a text."
    )
