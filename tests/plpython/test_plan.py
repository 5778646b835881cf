from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plpython.samples import json_values
from synapsor_plpython import canonical, plan

DOCUMENT: dict[str, Any] = {
    "Name": "ExecuteCasePlan",
    "Description": "ExecuteCase Example",
    "DefaultHandlerType": "Synapse.Core:EchoHandler",
    "Actions": [
        {
            "Name": "MyRoot",
            "Parameters": {"Values": {"MyValue": "Action_Value0"}},
            "ActionGroup": {
                "Name": "Group0",
                "ExecuteCase": "Any",
                "Actions": [
                    {"Name": "Group0_Child0", "ExecuteCase": "Failed"},
                    {"Name": "Group0_Child1", "ExecuteCase": "Complete"},
                ],
            },
            "Actions": [
                {"Name": "MyRoot_Child0", "ExecuteCase": "Failed"},
                {"Name": "MyRoot_Child1", "ExecuteCase": "Complete"},
            ],
        }
    ],
}


def checked(definition: object) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(plan.check_plan_json(json.dumps(definition)))
    return result


def nodes(definition: object) -> list[dict[str, Any]]:
    result = checked(definition)
    assert result["reasons"] == []
    found: list[dict[str, Any]] = result["nodes"]
    return found


def action(**keys: Any) -> dict[str, Any]:
    return {"Name": "P", "Actions": [{"Name": "A", **keys}]}


def only(**keys: Any) -> dict[str, Any]:
    [node] = nodes(action(**keys))
    return node


def paths(definition: object) -> list[str]:
    return [reason["path"] for reason in checked(definition)["reasons"]]


def test_the_documents_own_plan() -> None:
    found = nodes(DOCUMENT)
    assert [
        (node["name"], node["parent"], node["relation"], node["execute_case"]) for node in found
    ] == [
        ("MyRoot", None, "root", None),
        ("Group0", 1, "group", ["Any"]),
        ("Group0_Child0", 2, "child", ["Failed"]),
        ("Group0_Child1", 2, "child", ["Complete"]),
        ("MyRoot_Child0", 1, "child", ["Failed"]),
        ("MyRoot_Child1", 1, "child", ["Complete"]),
    ]
    assert {node["handler"]["kind"] for node in found} == {"echo"}
    assert [node["has_group"] for node in found] == [True, False, False, False, False, False]
    assert [node["has_actions"] for node in found] == [True, True, False, False, False, False]


def test_the_documents_sample_action_with_its_empty_objects() -> None:
    node = only(
        Description="Sample Action friendly description.",
        ExecuteCase="Complete",
        SaveExitDataAs={"Config": "ConfigSet Name", "Parameters": "ParameterSet Name"},
        Handler={},
        RunAs={},
        Parameters={},
        ActionGroup={},
        Result={},
    )
    assert (node["save_config_as"], node["save_parameters_as"]) == (
        "ConfigSet Name",
        "ParameterSet Name",
    )
    assert (node["run_as"], node["parameters"], node["has_group"]) == (None, None, False)
    assert node["handler"]["type"] == plan.DEFAULT_HANDLER


@pytest.mark.parametrize(
    ("case", "meant"),
    [
        (None, None),
        ([], None),
        ("None", ["None"]),
        ("Success", ["Complete"]),
        ("SuccessWithErrors", ["CompletedWithErrors"]),
        ("Success, Failed", ["Complete", "Failed"]),
        (["Success", "Complete", "Any"], ["Complete", "Any"]),
    ],
)
def test_execute_cases(case: object, meant: object) -> None:
    assert only(ExecuteCase=case)["execute_case"] == meant


@pytest.mark.parametrize("case", ["complete", "Done", 128, True, {"a": 1}, [1], ["Failed", None]])
def test_what_is_no_execute_case(case: object) -> None:
    [path] = paths(action(ExecuteCase=case))
    assert path.startswith("Actions[0].ExecuteCase")


@pytest.mark.parametrize(
    ("given_type", "kind"),
    [
        ("Synapse.Core:EchoHandler", "echo"),
        ("Synapse.Core:Synapse.Core.Runtime.EchoHandler", "echo"),
        ("Synapse.Core:Echo", "echo"),
        ("EchoHandler", "echo"),
        ("Echo", "echo"),
        ("Synapse.Core.Runtime.EmptyHandler, Synapse.Core, Version=1.0", "empty"),
        ("Empty", "empty"),
        ("MyLibrary:EmptyHandler", "worker"),
        ("Files:Copy", "worker"),
        ("action:billing.issue_refund", "action"),
    ],
)
def test_spellings_of_a_handler(given_type: str, kind: str) -> None:
    assert only(Handler={"Type": given_type})["handler"]["kind"] == kind


def test_a_workers_handler_is_found_with_and_without_its_suffix() -> None:
    assert only(Handler={"Type": "Files:Name.Space.Copy"})["handler"]["operations"] == [
        "Files:Name.Space.Copy",
        "Files:CopyHandler",
        "Files:Copy",
    ]


def test_segments_are_unique_beside_each_other_whatever_the_names() -> None:
    names = ["A", "A", "A#2", "A", "A/B", "A%2FB", "A[1]"]
    found = nodes({"Name": "P", "Actions": [{"Name": name} for name in names]})
    segments = [node["segment"] for node in found]
    assert segments == ["A", "A#2", "A#2#2", "A#3", "A%2FB", "A%2FB#2", "A%5B1]"]
    assert [node["name"] for node in found] == names


@given(st.lists(st.sampled_from(["A", "A#2", "A#3", "A#2#2", "/", "%2F", "["]), max_size=12))
def test_no_two_siblings_share_a_segment(names: list[str]) -> None:
    found = checked({"Name": "P", "Actions": [{"Name": name} for name in names]})["nodes"]
    segments = [node["segment"] for node in found]
    assert len(set(segments)) == len(segments)
    assert not any("/" in segment or "[" in segment for segment in segments)


def test_run_as_is_inherited_as_the_reference_has_it() -> None:
    own = {"UserName": "u"}
    definition = {
        "Name": "P",
        "RunAs": {"UserName": "plan"},
        "Actions": [
            {"Name": "inherits"},
            {
                "Name": "own",
                "RunAs": own,
                "Actions": [
                    {"Name": "below"},
                    {"Name": "overruled", "RunAs": {"UserName": "v", "BlockInheritance": False}},
                ],
            },
            {
                "Name": "private",
                "RunAs": own | {"IsInheritable": False},
                "Actions": [{"Name": "host"}, {"Name": "again", "RunAs": {"IsInheritable": True}}],
            },
        ],
    }
    found = {node["name"]: node["run_as"] for node in nodes(definition)}
    assert {name: run_as and run_as["UserName"] for name, run_as in found.items()} == {
        "inherits": "plan",
        "own": "u",
        "below": "u",
        "overruled": "u",
        "private": "u",
        "host": None,
        "again": None,
    }
    assert found["below"]["IsInherited"]
    assert not found["own"]["IsInherited"]


def test_a_proxy_serves_its_subtree() -> None:
    found = nodes(
        action(
            Proxy="queue://north",
            Actions=[{"Name": "B"}, {"Name": "C", "Proxy": "queue://south"}],
        )
    )
    assert [node["proxy"] for node in found] == ["north", "north", "south"]


def test_the_sets_a_node_takes_from() -> None:
    node = only(
        Handler={"Type": "Echo", "Config": {"InheritFrom": "c"}},
        Parameters={
            "InheritFrom": "p",
            "ForEach": [
                {"Target": "x", "ParameterSource": {"Name": "list", "Source": "a"}},
                {"Target": "y", "Values": [1]},
            ],
        },
    )
    assert (node["config_sets"], node["parameter_sets"]) == (["c"], ["list", "p"])


def test_a_compensation_keeps_its_templates() -> None:
    given_input = {"id": "{result.id}", "who": "{hidden.principal}", "n": ["{parameters.n}", 1]}
    node = only(Compensation={"action": "a.undo", "parameters": given_input})
    assert node["compensation"] == {"action": "a.undo", "input": given_input}
    assert only(Compensation="a.undo")["compensation"] == {"action": "a.undo", "input": {}}


def test_every_mistake_is_told_at_once_with_its_path() -> None:
    definition = {
        "UniqueName": 7,
        "Foo": 1,
        "RunAs": {"UserName": "u", "Password": "hush"},
        "Crypto": {"Key": {}},
        "Actions": [
            {"Nmae": "A", "ExecuteCase": "Fine", "Proxy": "http://host:1/node"},
            {
                "Name": "B",
                "Handler": {"Type": "action:Nope", "Config": {"Uri": "file:///etc/passwd"}},
                "ActionGroup": {"Name": "G", "Actions": [{"Name": ""}, 5]},
                "Parameters": {"ForEach": [{"Target": "a"}]},
                "Compensation": {"action": "x", "parameters": {"a": "{who.x}"}},
                "Actions": {"Name": "C"},
            },
        ],
    }
    found = paths(definition)
    assert sorted(found) == sorted(
        [
            "Foo",
            "Name",
            "Crypto",
            "UniqueName",
            "RunAs.Password",
            "Actions[0].Nmae",
            "Actions[0].Name",
            "Actions[0].ExecuteCase",
            "Actions[0].Proxy",
            "Actions[1].Handler.Type",
            "Actions[1].Handler.Config.Uri",
            "Actions[1].Parameters.ForEach[0].Values",
            "Actions[1].Compensation.action",
            "Actions[1].Compensation.parameters.a",
            "Actions[1].Actions",
            "Actions[1].ActionGroup.Actions[0].Name",
            "Actions[1].ActionGroup.Actions[1]",
        ]
    )
    assert "hush" not in json.dumps(checked(definition)["reasons"])


@pytest.mark.parametrize("value", [{"Name": "P"}, {"Name": "P", "Actions": []}, [], 5, "x", None])
def test_what_is_no_plan(value: object) -> None:
    assert paths(value) != []


def test_a_plan_as_deep_and_one_as_wide_as_allowed() -> None:
    deep: dict[str, Any] = {"Name": "N"}
    for _ in range(plan.MAX_DEPTH - 1):
        deep = {"Name": "N", "Actions": [deep]}
    assert len(nodes({"Name": "P", "Actions": [deep]})) == plan.MAX_DEPTH
    [path] = paths({"Name": "P", "Actions": [{"Name": "N", "Actions": [deep]}]})
    assert path == ".".join(["Actions[0]"] * (plan.MAX_DEPTH + 1))

    wide = [{"Name": "N"}] * plan.MAX_NODES
    assert len(nodes({"Name": "P", "Actions": wide})) == plan.MAX_NODES
    assert paths({"Name": "P", "Actions": [*wide, *wide]}) == [f"Actions[{plan.MAX_NODES}]"]


def test_absurd_depth_is_a_reason_and_no_crash() -> None:
    depth = 100_000
    text = '{"Name": "P", "Actions": [' + '{"Name": "N", "Actions": [' * depth + "]}" * depth + "]}"
    [reason] = json.loads(plan.check_plan_json(text))["reasons"]
    assert "deep" in reason["reason"]


def test_statuses_and_their_order() -> None:
    values = list(plan.STATUSES.values())
    assert values == sorted(values)
    assert plan.status_name("Success") == "Complete"
    assert plan.status_name("Tombstoned") == "Tombstoned"
    assert plan.status_name("Any") is None


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(["Name", "Actions", "RunAs", "Handler"]), json_values()))
def test_no_definition_crashes_the_check(value: dict[str, Any]) -> None:
    plan.check_plan_json(canonical.dumps(value))
    plan.check_plan_json(canonical.dumps({"Name": "P", "Actions": [value]}))
