"""What a plan would do: certain parameters, possible statuses, and the picture of both."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plpython.test_parameters import matches, replace
from synapsor_plpython import forecast, outlook, plan


def empty(name: str, status: str | None = None, **rest: Any) -> dict[str, Any]:
    config = {} if status is None else {"Config": {"Values": {"ReturnStatus": status}}}
    return {"Name": name, "Handler": {"Type": "EmptyHandler", **config}, **rest}


def acting(name: str, action: str = "billing.refund", **rest: Any) -> dict[str, Any]:
    return {"Name": name, "Handler": {"Type": f"action:{action}"}, **rest}


def contract(**changed: Any) -> dict[str, Any]:
    return {
        "action": "billing.refund",
        "version": 3,
        "kind": "external",
        "provider": "stripe",
        "operation": "refunds.create",
        "queue": "billing",
        "approval": {"required": False, "role": None, "approvals": 1, "unless": None},
        "policies": [],
    } | changed


def outlined(*actions: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Read a plan, foresee its parameters, and return the document that is drawn."""
    definition = {"Name": "p", "Actions": list(actions), **changed.pop("definition", {})}
    read = json.loads(plan.check_plan_json(json.dumps(definition)))
    assert read["reasons"] == []
    contracts = changed.pop("contracts", {})
    nodes = [{**node, "contract": contracts.get(node["handler"]["type"])} for node in read["nodes"]]
    document = {
        "plan": {"plan": "p", "version": 2, "label": None, "name": "p"},
        "members": [],
        "nodes": nodes,
        "parameters": {},
        "automatic": {},
        "previews": {},
        "format": "text",
        "plain": False,
    } | changed
    document["foreseen"] = json.loads(forecast.foresee_json(json.dumps(document), matches, replace))
    return document


def drawn(document: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(outlook.outlook_json(json.dumps(document)))
    return answer


def runs(*actions: dict[str, Any], **changed: Any) -> dict[str, tuple[str, list[str]]]:
    answer = drawn(outlined(*actions, **changed))
    return {node["step_key"]: (node["runs"], node["statuses"]) for node in answer["nodes"]}


def errors(*actions: dict[str, Any], **changed: Any) -> dict[str, list[str]]:
    answer = drawn(outlined(*actions, **changed))
    return {node["name"]: node["errors"] for node in answer["nodes"] if node["errors"]}


def test_what_is_certain_of_the_worked_example() -> None:
    def example(root: str, group: str) -> dict[str, Any]:
        return empty(
            "MyRoot",
            root,
            ActionGroup=empty(
                "Group0",
                group,
                ExecuteCase="Any",
                Actions=[
                    empty("Group0_Child0", "Complete", ExecuteCase="Failed"),
                    empty("Group0_Child1", "Failed", ExecuteCase="Complete"),
                ],
            ),
            Actions=[
                empty("MyRoot_Child0", "Complete", ExecuteCase="Failed"),
                empty("MyRoot_Child1", "CompletedWithErrors", ExecuteCase="Complete"),
            ],
        )

    def running(root: str, group: str) -> set[str]:
        verdicts = runs(example(root, group))
        assert {verdict for verdict, _ in verdicts.values()} <= {"always", "never"}
        return {
            key.rpartition("/")[2] for key, (verdict, _) in verdicts.items() if verdict == "always"
        }

    assert running("Complete", "Complete") == {"MyRoot", "Group0", "Group0_Child1", "MyRoot_Child1"}
    assert running("Complete", "Failed") == {"MyRoot", "Group0", "Group0_Child0", "MyRoot_Child0"}
    assert running("Failed", "Complete") == {"MyRoot", "Group0", "Group0_Child1", "MyRoot_Child0"}


def test_roots_are_compared_with_the_plan_which_is_none() -> None:
    verdicts = runs(
        empty("plain"),
        empty("any", ExecuteCase="Any"),
        empty("none", ExecuteCase=["None", "Failed"]),
        empty("complete", ExecuteCase="Complete", Actions=[empty("below")]),
    )
    assert {key: verdict for key, (verdict, _) in verdicts.items()} == {
        "plain": "always",
        "any": "always",
        "none": "always",
        "complete": "never",
        "complete/below": "never",
    }


def test_what_hangs_on_an_action_may_run() -> None:
    actions = acting(
        "act",
        Actions=[
            empty("all", "Complete", Actions=[empty("below", ExecuteCase="Complete")]),
            empty("good", "Complete", ExecuteCase=["Complete", "CompletedWithErrors"],
                  Actions=[empty("after", ExecuteCase="Complete")]),
            empty("zombie", ExecuteCase="Zombie"),
        ],
    )  # fmt: skip
    verdicts = runs(actions, contracts={"action:billing.refund": contract()})
    assert verdicts == {
        "act": ("always", ["Complete", "CompletedWithErrors", "Failed", "Cancelled"]),
        "act/all": ("always", ["Complete"]),
        "act/all/below": ("always", ["None"]),
        "act/good": ("perhaps", ["Complete"]),
        "act/good/after": ("perhaps", ["None"]),
        "act/zombie": ("never", ["None"]),
    }


@pytest.mark.parametrize(
    ("result", "possible"),
    [
        ("pass", ["Complete", "Failed", "Cancelled"]),
        ("warn", ["CompletedWithErrors", "Failed", "Cancelled"]),
    ],
)
def test_what_policies_say_narrows_what_may_come(result: str, possible: list[str]) -> None:
    previews = {"1": {"preview": {"valid": True, "policy": {"result": result}}}}
    used = {"action:billing.refund": contract()}
    assert runs(acting("act"), contracts=used, previews=previews)["act"] == ("always", possible)


def test_a_group_raises_and_only_by_its_own_status() -> None:
    def compared(group: dict[str, Any]) -> str:
        actions = [empty("failed", ExecuteCase="Failed"), empty("complete", ExecuteCase="Complete")]
        verdicts = runs(empty("root", "Complete", ActionGroup=group, Actions=actions))
        return f"{verdicts['root/failed'][0]} {verdicts['root/complete'][0]}"

    assert compared(empty("group", "Failed")) == "always never"
    assert compared(empty("group", "Running")) == "never always"
    assert compared(empty("group", "Failed", ExecuteCase="Failed")) == "never always"
    below = [empty("below", "Failed")]
    assert compared(empty("group", "Complete", Actions=below)) == "never always"
    nested = empty("group", "Complete", ActionGroup=empty("nested", "Failed"))
    assert compared(nested) == "never always"
    several = {"ForEach": [{"Target": "ReturnStatus", "Values": ["Complete", "Failed"]}]}
    for_each = {"Name": "group", "Handler": {"Type": "EmptyHandler", "Config": several}}
    assert compared(for_each) == "perhaps perhaps"


STATUSES = sorted(plan.STATUSES)


@given(
    st.sampled_from(STATUSES),
    st.sampled_from(STATUSES),
    st.sampled_from([None, "Any", *STATUSES]),
    st.lists(st.sampled_from(["Any", *STATUSES]), min_size=1, max_size=3),
)
def test_the_forecast_is_what_the_walk_does(
    root: str, group: str, group_case: str | None, case: list[str]
) -> None:
    """The reference's rule for q, spelled out for one group and one action."""
    value = plan.STATUSES.__getitem__
    fits = group_case in {None, "Any", "None", root}
    query = max(root, group, key=value) if fits else root
    wanted = "always" if {"Any", "None", query} & {*case} else "never"
    hanging = empty("group", group, **({"ExecuteCase": group_case} if group_case else {}))
    verdicts = runs(
        empty("root", root, ActionGroup=hanging, Actions=[empty("child", ExecuteCase=case)])
    )
    assert verdicts["root/group"][0] == ("always" if fits else "never")
    assert verdicts["root/child"][0] == wanted


def test_errors_that_are_certain_are_told() -> None:
    dynamic = {"Dynamic": [{"Source": "n", "Target": "n", "DataType": "Int32"}]}
    found = errors(
        empty("type", Parameters=dynamic),
        empty("late type", Parameters={**dynamic, "InheritFrom": "made"}),
        empty("nowhere", Parameters={"InheritFrom": "gone"}),
        empty("each nowhere", Parameters={
            "ForEach": [{"Target": "t", "ParameterSource": {"Name": "gone"}}]}),
        empty("no list", Parameters={
            "ForEach": [{"Target": "t", "ParameterSource": {"Source": "x"}}]}),
        empty("too many", Parameters={"ForEach": [
            {"Target": name, "Values": [*range(100)]} for name in "abc"]}),
        empty("maker", Parameters={"Name": "made", "Values": {}}),
        empty("saver", SaveExitDataAs={"Config": "saved"}),
        empty("fine", Parameters={"InheritFrom": "made"}),
        empty("each saved", Parameters={
            "ForEach": [{"Target": "t", "ParameterSource": {"Name": "saved"}}]}),
        empty("of a root's parent", Parameters={
            "ParentExitData": [{"CopyToValues": {"Source": "x", "Target": "y"}}]}),
        empty("below", Actions=[empty("exit data", Parameters={
            "ForEach": [{"Target": "t", "ParameterSource": {"Name": "ParentExitData"}}]})]),
        empty("each of no parent", Parameters={
            "ForEach": [{"Target": "t", "ParameterSource": {"Name": "ParentExitData"}}]}),
        empty("odd", "Perhaps"),
        parameters={"n": "one"},
    )  # fmt: skip
    type_error = (
        "DynamicValue [one] failed validation rule type requirement of [Int32] for parameter [n]."
    )
    assert found == {
        "type": [type_error],
        "late type": [type_error],
        "nowhere": ["InheritFrom names the set [gone], which no node makes."],
        "each nowhere": ["ForEach names the set [gone], which no node makes."],
        "no list": ["ForEach finds no list at [x] of its own values."],
        "too many": ["ForEach makes 1000000 instances, more than the limit of 10000."],
        "each of no parent": ["ForEach finds no list at [] of the parent's exit data."],
        "odd": ["ReturnStatus is no status: " + ", ".join(plan.STATUSES) + "."],
    }


def test_configurations_and_parameters_multiply_to_more_than_the_limit() -> None:
    each = {"ForEach": [{"Target": name, "Values": [*range(101)]} for name in "a"]}
    twice = {"Name": "n", "Handler": {"Type": "EmptyHandler", "Config": each}, "Parameters": each}
    assert errors(twice) == {"n": ["ForEach makes 10201 instances, more than the limit of 10000."]}


def test_handlers_and_members_that_are_not_there_are_told() -> None:
    found = errors(
        {"Name": "worker", "Handler": {"Type": "Lib:Thing"}},
        acting("action"),
        empty("stranger", RunAs={"UserName": "mallory"}),
        empty("member", RunAs={"UserName": "rita"}),
        members=["rita"],
    )
    assert found == {
        "worker": ["The handler Lib:Thing is unknown: nobody serves it."],
        "action": [
            "The handler action:billing.refund is unknown: no action of this name is in use."
        ],
        "stranger": ["RunAs: mallory is no member of the tenant."],
    }


def test_security_contexts_are_inherited_as_the_reference_says() -> None:
    def users(*actions: dict[str, Any], of_plan: Any = None) -> dict[str, str | None]:
        document = outlined(*actions, definition={"RunAs": of_plan} if of_plan else {})
        return {
            node["name"]: known["run_as"]
            for node, known in zip(document["nodes"], document["foreseen"], strict=True)
        }

    below = [
        empty("plain"),
        empty("own", RunAs={"UserName": "own"}),
        empty("open", RunAs={"UserName": "own", "BlockInheritance": False}),
        empty("no user", RunAs={"IsInheritable": True}),
        empty("blocking", RunAs={"BlockInheritance": True}),
    ]
    assert users(empty("root", RunAs={"UserName": "rita"}, Actions=below)) == {
        "root": "rita",
        "plain": "rita",
        "own": "own",
        "open": "rita",
        "no user": "rita",
        "blocking": None,
    }
    inheriting = {"UserName": "own", "BlockInheritance": False, "IsInheritable": False}
    nested = empty("middle", RunAs=inheriting, Actions=[empty("leaf")])
    assert users(empty("root", RunAs={"UserName": "rita"}, Actions=[nested])) == {
        "root": "rita",
        "middle": "rita",
        "leaf": "rita",  # what inherits passes on
    }
    private = {"UserName": "rita", "IsInheritable": False}
    assert users(empty("root", RunAs=private, Actions=below[:3])) == {
        "root": "rita",
        "plain": None,
        "own": "own",
        "open": "own",
    }
    assert users(empty("root", Actions=below[:2]), of_plan={"UserName": "plan"}) == {
        "root": "plan",
        "plain": "plan",
        "own": "own",
    }


def test_previews_are_answers_too() -> None:
    used = {"action:billing.refund": contract()}
    assert errors(
        acting("refused"),
        acting("blocked"),
        contracts=used,
        previews={
            "1": {"refusal": "SY007: not for you"},
            "2": {"preview": {"valid": False, "error_message": "does not fit"},
                  "violations": "amount is too small"},
        },
    ) == {
        "refused": ["SY007: not for you"],
        "blocked": ["does not fit: amount is too small"],
    }  # fmt: skip


def test_a_picture() -> None:
    used = contract(
        approval={"required": True, "role": "reviewer", "approvals": 2, "unless": "$.args.n < 5"},
        policies=[
            {"policy": "billing.limit.v1", "kind": "data", "mode": "enforce"},
            {"policy": "billing.draft.v1", "kind": "code", "mode": "shadow"},
            {"policy": "billing.gone.v1", "kind": None, "mode": None},
        ],
    )
    document = outlined(
        empty(
            "start",
            "Complete",
            ActionGroup=empty("check", "Complete"),
            Actions=[
                acting(
                    "refund",
                    ExecuteCase=["Complete", "CompletedWithErrors"],
                    Parameters={
                        "Dynamic": [{"Source": "amount", "Target": "n"}],
                        "ForEach": [{"Target": "t", "Values": ["a", "b"]}],
                    },
                    Compensation="billing.undo",
                    Proxy="queue://far",
                    RunAs={"UserName": "rita"},
                    SaveExitDataAs={"Parameters": "refunds"},
                ),
                empty("alarm", "Failed", ExecuteCase="Failed"),
                empty("each", Parameters={"ForEach": [
                    {"Target": "t", "ParameterSource": {"Name": "refunds"}}]}),
            ],
        ),
        contracts={"action:billing.refund": used},
        parameters={"amount": 7},
        members=["rita"],
    )  # fmt: skip
    document["plan"]["label"] = "2026-11"
    assert drawn(document)["text"] == (
        "plan p version 2 · 2026-11 · not started\n"
        "│ nodes     5: 4 run, 1 never run, 1 with an approval\n"
        '│ given     {"amount": 7}\n'
        "└─ → start · EmptyHandler · runs\n"
        "   │ returns   Complete\n"
        "   ├─ → check · EmptyHandler · group · runs\n"
        "   │    returns   Complete\n"
        "   ├─ → refund · action:billing.refund · runs\n"
        "   │    case      Complete or CompletedWithErrors; the action above is Complete\n"
        "   │    action    billing.refund v3, external, stripe refunds.create on queue far\n"
        "   │    as        rita\n"
        "   │    each      2 instances of ForEach\n"
        '   │    asked     {"n": 7, "t": "a"}\n'
        "   │    policy    billing.limit.v1: data\n"
        "   │    policy    billing.draft.v1: code, a shadow: it decides nothing\n"
        "   │    policy    billing.gone.v1: not registered, which blocks\n"
        "   │    approval  2 approvals, by role reviewer, unless $.args.n < 5\n"
        "   │    undone    by billing.undo\n"
        "   │    saved     its exit data, as parameters refunds\n"
        "   ├─ - alarm · EmptyHandler · never runs\n"
        "   │    case      Failed; the action above is Complete\n"
        "   │    returns   Failed\n"
        "   └─ → each · EmptyHandler · runs\n"
        "        each      as many instances as ForEach finds values"
    )


def test_what_a_preview_says_of_approval_wins() -> None:
    rule = {"required": True, "role": "reviewer", "approvals": 1, "unless": "$.args.n < 5"}
    used = {"action:billing.refund": contract(approval=rule)}

    def approvals(asked: dict[str, Any] | None) -> list[str]:
        preview = {"valid": True, "approval": asked, "policy": {"result": "pass"}}
        answer = drawn(outlined(acting("a"), contracts=used, previews={"1": {"preview": preview}}))
        why = answer["nodes"][0]["why"]
        assert answer["counts"]["approvals"] == len([x for x in why if x["label"] == "approval"])
        return [line["text"] for line in why if line["label"] == "approval"]

    assert approvals({"required": False}) == []
    assert approvals({"required": True, "role": "boss", "approvals": 3}) == [
        "3 approvals, by role boss"
    ]
    assert approvals({"required": True}) == ["by any approver"]
    assert approvals(None) == ["by role reviewer, unless $.args.n < 5"]


@pytest.mark.parametrize("language", ["mermaid", "dot"])
def test_diagrams(language: str) -> None:
    group = empty('evil"] --> n9[<b>', "Failed")
    document = outlined(
        empty(
            "root", "Complete", ActionGroup=group, Actions=[empty("child", ExecuteCase="Failed")]
        ),
        format=language,
    )
    text = drawn(document)["text"]
    boxes = [line for line in text.split("\n") if re.match(r"    n[0-9]+ ?\[", line)]
    assert len(boxes) == 4
    arrows = {
        "mermaid": '    n1 ==>|"group"| n2',
        "dot": '    n1 -> n2 [style="bold", label="group"];',
    }
    assert arrows[language] in text.split("\n")
    assert drawn({**document, "plain": True})["text"].isascii()


def test_a_hundred_levels_and_a_thousand_nodes() -> None:
    deep = empty("bottom")
    for level in range(99):
        deep = empty(f"level {level}", "Complete", Actions=[deep])
    wide = empty("wide", Actions=[empty(f"n{number}") for number in range(1000)])
    answer = drawn(outlined(deep, wide))
    assert answer["counts"]["always"] == 1101
    assert max(map(len, answer["text"].splitlines())) <= 100
    assert len(set(itertools.chain(node["step_key"] for node in answer["nodes"]))) == 1101


def test_what_only_a_run_can_tell_may_fail() -> None:
    made = empty("maker", "Complete", Parameters={"Name": "made", "Values": {}})
    late = empty("late", "Complete", Parameters={"InheritFrom": "made"})
    assert runs(made, late)["late"] == ("always", ["Complete", "Failed"])


def test_a_root_has_no_parent_to_wait_for() -> None:
    info = {
        "Values": {"ReturnStatus": "Complete"},
        "ParentExitData": [{"CopyToValues": {"Source": "status", "Target": "ReturnStatus"}}],
    }
    action = {"Name": "n", "Handler": {"Type": "EmptyHandler", "Config": info}}
    verdicts = runs({**action, "Actions": [action]})
    assert verdicts["n"] == ("always", ["Complete"])
    assert set(verdicts["n/n"][1]) == set(plan.STATUSES)


def test_what_fails_waits_for_nobody() -> None:
    rule = {"required": True, "role": "reviewer", "approvals": 1, "unless": None}
    used = {"action:billing.refund": contract(approval=rule)}
    failing = acting("a", Parameters={"InheritFrom": "nowhere"})
    answer = drawn(outlined(failing, contracts=used))
    assert answer["counts"]["approvals"] == 0
    assert "approval" not in {line["label"] for line in answer["nodes"][0]["why"]}


def test_a_saga_names_its_plan() -> None:
    used = contract(kind="saga", provider=None, operation=None, queue=None, plan="settle")
    answer = drawn(outlined(acting("a"), contracts={"action:billing.refund": used}))
    assert answer["nodes"][0]["why"][0] == {
        "label": "action",
        "text": "billing.refund v3, saga, plan settle, which explain_plan tells",
    }
