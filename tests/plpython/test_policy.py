from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plpython.samples import json_values
from synapsor_plpython import canonical, policy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Never

CONTEXT = {
    "tenant_id": "acme",
    "space_id": None,
    "action_id": "act_1",
    "action": "billing.refund",
    "mode": "execute",
    "now": "2026-01-01T00:00:00+00:00",
}
ALWAYS = {"kind": "always"}
NEVER = {"kind": "not", "condition": ALWAYS}


def readable(_check: object) -> None:
    return None


def no_judge(_path: str) -> Never:
    raise AssertionError("nothing to judge")


def parameter(path: str, operator: str, *value: object) -> dict[str, object]:
    condition: dict[str, object] = {"kind": "parameter", "path": path, "operator": operator}
    return condition | ({"value": value[0]} if value else {})


def comparison(left: str, operator: str, right: str) -> dict[str, object]:
    return {"kind": "comparison", "left": left, "operator": operator, "right": right}


def data(*whens: object, **changes: Any) -> dict[str, Any]:
    """Return a data policy that blocks where any of the conditions holds."""
    return {
        "policy": "billing.limit.v1",
        "kind": "data",
        "conditions": [{"when": when, "result": "block"} for when in whens],
        **changes,
    }


def rules(*rules: tuple[object, str], **changes: Any) -> dict[str, Any]:
    return data(
        conditions=[
            {"when": when, "result": result, "reason": f"{result} {position}"}
            for position, (when, result) in enumerate(rules)
        ],
        **changes,
    )


def hybrid(*rules_of_it: tuple[object, str], **fallback: Any) -> dict[str, Any]:
    return rules(*rules_of_it, kind="hybrid", fallback={"policy": "billing.code.v1", **fallback})


def reasons_of(definition: object) -> list[str]:
    _, reasons, _ = policy.check_policy(definition)
    return [f"{reason.path} {reason.reason}" for reason in reasons]


def compiled(definition: Mapping[str, Any]) -> policy.Policy:
    return policy.compile_policy("billing.limit.v1", definition["kind"], definition, readable)


def outcome(
    definition: Mapping[str, Any], parameters: object = None, judge: policy.Judge = no_judge
) -> policy.Outcome:
    assert reasons_of(definition) == []
    facts = {"args": parameters or {}, "hidden": {"secret": "s3cret"}, "context": CONTEXT}
    return policy.evaluate_json(compiled(definition), json.dumps(facts), judge)


def holds(when: object, parameters: object = None, judge: policy.Judge = no_judge) -> bool:
    return outcome(data(when), parameters, judge).result == "block"


# ---- definitions ---------------------------------------------------------------------------------


def test_defaults_are_filled_in_and_the_normalised_definition_is_a_fixpoint() -> None:
    given_definition = data(
        parameter("parameters.a", "not_equals", None),
        {"kind": "jsonpath", "path": "$.args.a == 1"},
        {"kind": "any", "conditions": [NEVER, comparison("action", "equals", "mode")]},
    )
    normalised, reasons, checks = policy.check_policy(given_definition)
    assert reasons == []
    assert normalised == {
        "policy": "billing.limit.v1",
        "kind": "data",
        "mode": "enforce",
        "description": None,
        "reason": None,
        "guidance": None,
        "default": "pass",
        "conditions": [
            {
                "when": when,
                "result": "block",
                "reason": None,
                "guidance": None,
                "require_approval": None,
            }
            for when in (
                parameter("parameters.a", "notEquals", None),
                {"kind": "jsonpath", "path": "strict $.args.a == 1"},
                {"kind": "any", "conditions": [NEVER, comparison("action", "equals", "mode")]},
            )
        ],
    }
    assert [(check.path, check.kind, check.value) for check in checks] == [
        ("conditions[1].when.path", "jsonpath", "strict $.args.a == 1")
    ]
    assert policy.check_policy(normalised)[:2] == (normalised, [])


def test_code_and_hybrid_have_their_own_keys() -> None:
    code = {"policy": "a.v1", "kind": "code", "evaluator": "app.check(jsonb)"}
    normalised, reasons, _ = policy.check_policy(code)
    assert not reasons
    assert normalised["preview_safe"] is False
    assert policy.check_policy(normalised)[:2] == (normalised, [])
    normalised, reasons, _ = policy.check_policy(hybrid((ALWAYS, "warn")))
    assert not reasons
    assert normalised["fallback"] == {
        "policy": "billing.code.v1",
        "on_results": ["warn", "block"],
        "triggers": ["missing", "invalid", "data_result"],
    }
    assert policy.check_policy(normalised)[:2] == (normalised, [])


@pytest.mark.parametrize(
    "name", ["a.v1", "a.v0", "billing.refund_limit.v12", "a-b.c_d.e.v1", "v1.v1", "a1.v007"]
)
def test_policy_ids(name: str) -> None:
    assert reasons_of(data(policy=name)) == []


@pytest.mark.parametrize(
    "name", ["", "a", "v1", "A.v1", "a.v", "a.v1.b", "a..v1", "1a.v1", "a.v1 ", "a.v1\n", "a.vé", 5]
)
def test_other_policy_ids_are_refused(name: object) -> None:
    assert [line.split()[0] for line in reasons_of(data(policy=name))] == ["policy"]


@pytest.mark.parametrize(
    ("definition", "reasons"),
    [
        (5, ["definition is a number, not an object"]),
        ({}, ["policy is required", "kind is required"]),
        (data(kind="opa"), ["kind is none of data, code, hybrid"]),
        (data(mode="monitor"), ["mode is none of enforce, shadow"]),
        (data(default="allow"), ["default is none of pass, warn, block"]),
        (data(conditons=[]), ["conditons is not a known key (did you mean conditions?)"]),
        (data(conditions=None), ["conditions is required"]),
        (data(conditions={}), ["conditions is an object, not an array"]),
        (data(evaluator="a.b(jsonb)"), ["evaluator is for kind code, not data"]),
        (data(preview_safe=True), ["preview_safe is for kind code, not data"]),
        (data(fallback={"policy": "a.v1"}), ["fallback is for kind hybrid, not data"]),
        (
            data(kind="code"),
            ["conditions is for kind data and hybrid, not code", "evaluator is required"],
        ),
        (data("x"), ["conditions[0].when is a string, not an object"]),
        (data(conditions=[{}]), ["conditions[0].when is required", "conditions[0].result is"]),
        (
            data(conditions=[ALWAYS]),
            ["conditions[0].kind is not", "conditions[0].when is", "conditions[0].result is"],
        ),
        (data({}), ["conditions[0].when.kind is required"]),
        (data({"kind": "regex"}), ["conditions[0].when.kind is none of always, parameter,"]),
        (data({"kind": ["all"]}), ["conditions[0].when.kind is none of always, parameter,"]),
        (data({**ALWAYS, "value": 1}), ["conditions[0].when.value is not a known key"]),
        (data({"kind": "not"}), ["conditions[0].when.condition is required"]),
        (data({"kind": "all"}), ["conditions[0].when.conditions is required"]),
        (data({"kind": "any", "conditions": []}), ["conditions[0].when.conditions is empty"]),
        (data({"kind": "jsonpath"}), ["conditions[0].when.path is required"]),
        (
            data({"kind": "jsonpath", "path": "$.args.items[*].price > 5"}),
            ["conditions[0].when.path uses a wildcard"],
        ),
        (
            data({"kind": "jsonpath", "path": "lax $.args.a == 1"}),
            ["conditions[0].when.path says lax"],
        ),
        (
            data(parameter("parameters.a", "matches", "x")),
            ["conditions[0].when.operator is none of exists, equals, notEquals, gt, gte, lt, lte"],
        ),
        (data(parameter("parameters.a", "equals")), ["conditions[0].when.value is required"]),
        (data(parameter("parameters.a", "exists", 1)), ["conditions[0].when.value is not for"]),
        (data(parameter("parameters.a", "equals", {})), ["conditions[0].when.value is an object,"]),
        (data(parameter("parameters.a", "equals", [1])), ["conditions[0].when.value is an array,"]),
        (
            data(parameter("parameters.a", "gt", True)),
            ["conditions[0].when.value is a boolean, wh"],
        ),
        (data(parameter("parameters.a", "lte", None)), ["conditions[0].when.value is null, which"]),
        (
            data(comparison("parameters.a", "exists", "parameters.b")),
            ["conditions[0].when.operator is exists"],
        ),
        (hybrid(policy=None), ["fallback.policy is required"]),
        (hybrid(policy="billing.limit.v1"), ["fallback.policy names the policy itself"]),
        (hybrid(policy="x"), ["fallback.policy does not match"]),
        (hybrid(triggers=["always"]), ["fallback.triggers[0] is none of missing, invalid, data_"]),
        (hybrid(on_results=["error"]), ["fallback.on_results[0] is none of pass, warn, block"]),
        (data(kind="hybrid"), ["fallback is required"]),
        ({"policy": "a.v1", "kind": "code"}, ["evaluator is required"]),
        (
            data(
                conditions=[
                    {"when": ALWAYS, "result": "block", "require_approval": {"approvals": 2}}
                ]
            ),
            ["conditions[0].require_approval is for result warn, not block"],
        ),
        (
            data(
                conditions=[
                    {"when": ALWAYS, "result": "warn", "require_approval": {"approvals": 11}}
                ]
            ),
            ["conditions[0].require_approval.approvals is not an integer from 1 to 10"],
        ),
    ],
)
def test_refused_with_the_reason(definition: object, reasons: list[str]) -> None:
    found = reasons_of(definition)
    assert len(found) == len(reasons), found
    for line, expected in zip(found, reasons, strict=True):
        assert line.startswith(expected)


def test_all_reasons_at_once() -> None:
    found = reasons_of(
        data(parameter("actor", "is", "x"), parameter("parameters.a", "gt"), mode="x", typo=1)
    )
    assert [line.split()[0] for line in found] == [
        "typo",
        "mode",
        "conditions[0].when.path",
        "conditions[0].when.operator",
        "conditions[1].when.value",
    ]


@pytest.mark.parametrize("path", ["actorType", "actor_type", "tenantId", "now", "hidden.a", "args"])
def test_no_other_path_is_allowed(path: str) -> None:
    assert reasons_of(data(parameter(path, "exists")))[0].startswith(
        "conditions[0].when.path begins with none of parameters., tenant_id, space_id"
    )


@pytest.mark.parametrize(
    "path", ["parameters", "parameters.", "parameters..a", "parameters.a.", "tenant_id.x", "mode.a"]
)
def test_paths_have_a_shape(path: str) -> None:
    assert reasons_of(data(parameter(path, "exists")))[0].startswith("conditions[0].when.path ")


# ---- bounds --------------------------------------------------------------------------------------


def _nested(depth: int) -> dict[str, Any]:
    condition: dict[str, Any] = dict(ALWAYS)
    for _ in range(depth - 1):
        condition = {"kind": "not", "condition": condition}
    return condition


def test_depth_5_and_6() -> None:
    assert reasons_of(data(_nested(5))) == []
    assert reasons_of(data(_nested(6))) == [
        "conditions[0].when" + ".condition" * 5 + " is nested deeper than 5 conditions"
    ]
    assert len(reasons_of(data(_nested(400)))) == 1


@pytest.mark.parametrize("depth", [5, 6])
def test_depth_counts_groups_too(depth: int) -> None:
    condition: dict[str, Any] = ALWAYS
    for _ in range(depth - 1):
        condition = {"kind": "all", "conditions": [condition]}
    assert len(reasons_of(data(condition))) == depth - 5


def test_20_and_21_in_the_top_list() -> None:
    assert reasons_of(data(*[ALWAYS] * 20)) == []
    assert reasons_of(data(*[ALWAYS] * 21)) == ["conditions has more than 20 conditions"]
    assert reasons_of(data(*[ALWAYS] * 201)) == ["conditions has more than 200 items"]


@pytest.mark.parametrize("kind", ["all", "any"])
def test_20_and_21_in_a_group(kind: str) -> None:
    assert reasons_of(data({"kind": kind, "conditions": [ALWAYS] * 20})) == []
    assert reasons_of(data({"kind": kind, "conditions": [ALWAYS] * 21})) == [
        "conditions[0].when.conditions has more than 20 conditions"
    ]


def test_100_and_101_in_all() -> None:
    group = {"kind": "any", "conditions": [ALWAYS] * 19}
    assert reasons_of(data(*[group] * 5)) == []
    assert reasons_of(data(*[group] * 5, ALWAYS)) == [
        "conditions has more than 100 conditions in all"
    ]
    assert reasons_of(data(*[group] * 20)) == ["conditions has more than 100 conditions in all"]


def test_12_and_13_segments() -> None:
    twelve = "parameters" + ".a" * 11
    assert reasons_of(data(parameter(twelve, "exists"))) == []
    assert reasons_of(data(comparison(twelve, "equals", twelve))) == []
    too_long = "has more than 12 segments"
    assert reasons_of(data(parameter(twelve + ".a", "exists"))) == [
        f"conditions[0].when.path {too_long}"
    ]
    assert reasons_of(data(comparison("mode", "equals", twelve + ".a"))) == [
        f"conditions[0].when.right {too_long}"
    ]


def test_500_and_501_characters() -> None:
    assert reasons_of(data(parameter("parameters.a", "equals", "€" * 500))) == []
    assert reasons_of(data(parameter("parameters.a", "equals", "€" * 501))) == [
        "conditions[0].when.value is longer than 500 characters"
    ]
    assert reasons_of(data(parameter("parameters." + "a" * 489, "exists"))) == []
    assert reasons_of(data(parameter("parameters." + "a" * 490, "exists"))) == [
        "conditions[0].when.path is longer than 500 characters"
    ]


# ---- conditions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "literal", "value", "held"),
    [
        ("equals", 5, 5, True),
        ("equals", 5, 5.0, True),
        ("equals", 5, 6, False),
        ("equals", 5, "5", False),
        ("equals", 1, True, False),
        ("equals", 0, False, False),
        ("equals", "a", "a", True),
        ("equals", "a", "A", False),
        ("equals", True, True, True),
        ("equals", None, None, True),
        ("equals", None, False, False),
        ("equals", "", [], False),
        ("notEquals", 5, 6, True),
        ("notEquals", 5, 5.0, False),
        ("notEquals", 5, "5", True),
        ("notEquals", None, 1, True),
        ("not_equals", "a", "b", True),
        ("gt", 5, 6, True),
        ("gt", 5, 5, False),
        ("gt", 5, 5.0001, True),
        ("gte", 5, 5, True),
        ("gte", 5, 4.9999, False),
        ("lt", 5, 4, True),
        ("lt", 5, 5, False),
        ("lte", 5, 5, True),
        ("lte", 5, 6, False),
        ("gt", "a", "b", True),
        ("lt", "a", "Z", True),  # by code point, as collation "C"
        ("gte", "é", "é", True),
        ("exists", ..., None, True),
        ("exists", ..., 0, True),
    ],
)
def test_operators(operator: str, literal: object, value: object, held: bool) -> None:
    when = parameter("parameters.a", operator, *([] if literal is ... else [literal]))
    assert holds(when, {"a": value}) is held
    if literal is not ...:
        other = comparison("parameters.a", operator, "parameters.b")
        assert holds(other, {"a": value, "b": literal}) is held


@pytest.mark.parametrize("operator", ["equals", "notEquals", "gt", "gte", "lt", "lte"])
def test_a_missing_path_makes_a_condition_false(operator: str) -> None:
    assert not holds(parameter("parameters.a", operator, 5))
    assert not holds(parameter("parameters.a.b", operator, 5), {"a": 7})
    assert not holds(comparison("parameters.a", operator, "parameters.b"), {"a": 1})
    assert not holds(comparison("parameters.b", operator, "parameters.a"), {"a": 1})
    assert not holds(parameter("space_id", operator, "x"))
    assert holds({"kind": "not", "condition": parameter("parameters.a", operator, 5)})


def test_exists() -> None:
    assert holds(parameter("parameters.a", "exists"), {"a": None})
    assert not holds(parameter("parameters.a", "exists"), {"b": 1})
    assert holds(parameter("tenant_id", "exists"))
    assert not holds(parameter("space_id", "exists"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("tenant_id", "acme"),
        ("action_id", "act_1"),
        ("action", "billing.refund"),
        ("mode", "execute"),
        ("parameters.a.b", 1),
        ("parameters.list.0", "x"),
        ("parameters.list.1.c", 2),
        ("parameters.odd key", 3),
        ("parameters.0", 4),
    ],
)
def test_paths(path: str, value: object) -> None:
    parameters = {"a": {"b": 1}, "list": ["x", {"c": 2}], "odd key": 3, "0": 4}
    assert holds(parameter(path, "equals", value), parameters)


@pytest.mark.parametrize("segment", ["2", "-1", "x", "\u0660", "9" * 400])
def test_no_such_item(segment: str) -> None:
    assert not holds(parameter(f"parameters.list.{segment}", "exists"), {"list": [1, 2]})


def test_a_parameter_named_like_the_context_is_not_the_context() -> None:
    parameters = {"tenant_id": "other", "parameters": {"a": 1}}
    assert holds(parameter("tenant_id", "equals", "acme"), parameters)
    assert holds(parameter("parameters.tenant_id", "equals", "other"), parameters)
    assert not holds(parameter("parameters.a", "exists"), parameters)


def test_values_compare_whole() -> None:
    equal = comparison("parameters.a", "equals", "parameters.b")
    assert holds(equal, {"a": {"x": [1, {"y": None}]}, "b": {"x": [1.0, {"y": None}]}})
    assert not holds(equal, {"a": {"x": [1]}, "b": {"x": [True]}})
    assert not holds(equal, {"a": {"x": 1}, "b": {"x": 1, "y": 1}})
    assert not holds(equal, {"a": [1, 2], "b": [2, 1]})
    assert not holds(equal, {"a": [1], "b": [1, 2]})


def test_groups() -> None:
    yes, no = ALWAYS, NEVER
    for kind, members, held in [
        ("all", [yes, yes], True),
        ("all", [yes, no], False),
        ("all", [no, no], False),
        ("any", [yes, no], True),
        ("any", [no, no], False),
    ]:
        group = {"kind": kind, "conditions": members}
        assert holds(group) is held
        assert holds({"kind": "not", "condition": group}) is not held


def test_jsonpath_is_judged_by_somebody_else_once() -> None:
    asked = []

    def judge(path: str) -> bool:
        asked.append(path)
        return True

    when = {"kind": "jsonpath", "path": "$.args.a == 1"}
    decided = outcome(data({"kind": "all", "conditions": [when, when]}), {"a": 1}, judge)
    assert decided.result == "block"
    assert asked == ["strict $.args.a == 1"]
    assert not holds(when, {}, lambda _path: False)


def test_what_a_judge_raises_passes_through() -> None:
    def judge(_path: str) -> bool:
        raise KeyError

    with pytest.raises(KeyError):
        outcome(data({"kind": "jsonpath", "path": "$.args.a == 1"}), {}, judge)


# ---- ordered comparisons of different types ------------------------------------------------------


@pytest.mark.parametrize("operator", ["gt", "gte", "lt", "lte"])
@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("5", "orders a string against a number"),
        (True, "orders a boolean against a number"),
        (None, "orders null against a number"),
        ([], "orders an array against a number"),
        ({}, "orders an object against a number"),
    ],
)
def test_different_types_block_and_the_evidence_says_so(
    operator: str, value: object, complaint: str
) -> None:
    decided = outcome(
        rules(
            (ALWAYS, "warn"),
            ({"kind": "not", "condition": parameter("parameters.a", operator, 5)}, "pass"),
            default="pass",
        ),
        {"a": value},
    )
    assert decided.result == "block"
    assert decided.evidence["errors"] == [
        {"path": "conditions[1].when.condition", "reason": complaint}
    ]
    assert decided.evidence["decided_by"] == 1
    assert decided.evidence["matched"] == [0]


@pytest.mark.parametrize("value", [True, None, [1], {"x": 1}])
def test_types_without_order_block(value: object) -> None:
    decided = outcome(
        data(comparison("parameters.a", "gt", "parameters.b")), {"a": value, "b": value}
    )
    assert decided.result == "block"
    assert "no order" in decided.evidence["errors"][0]["reason"]


def test_a_guard_spares_the_comparison() -> None:
    guarded = {
        "kind": "all",
        "conditions": [
            parameter("parameters.kind", "equals", "n"),
            parameter("parameters.a", "gt", 5),
        ],
    }
    assert outcome(data(guarded), {"kind": "s", "a": "text"}).result == "pass"


# ---- aggregation ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_rules", "default", "result", "reason", "decided_by"),
    [
        ([], "pass", "pass", None, None),
        ([], "warn", "warn", "general", None),
        ([], "block", "block", "general", None),
        ([(NEVER, "block")], "block", "block", "general", None),
        ([(ALWAYS, "warn"), (ALWAYS, "block")], "pass", "block", "block 1", 1),
        ([(ALWAYS, "block"), (ALWAYS, "block")], "pass", "block", "block 0", 0),
        ([(NEVER, "block"), (ALWAYS, "warn"), (ALWAYS, "warn")], "pass", "warn", "warn 1", 1),
        ([(ALWAYS, "pass"), (ALWAYS, "warn")], "block", "warn", "warn 1", 1),
        ([(ALWAYS, "pass")], "block", "pass", "pass 0", 0),
        ([(NEVER, "pass")], "block", "block", "general", None),
    ],
)
def test_first_block_then_first_warn_then_pass_then_default(
    given_rules: list[tuple[object, str]],
    default: str,
    result: str,
    reason: str | None,
    decided_by: int | None,
) -> None:
    decided = outcome(rules(*given_rules, default=default, reason="general"))
    assert (decided.result, decided.reason) == (result, reason)
    assert decided.evidence["decided_by"] == decided_by
    assert decided.evidence["default_applied"] is (decided_by is None)


def test_a_rule_without_words_takes_the_policys() -> None:
    words = {"reason": "general", "guidance": "ask"}
    decided = outcome(data(ALWAYS, **words))
    assert (decided.reason, decided.guidance) == ("general", "ask")
    passed = outcome(data(conditions=[{"when": ALWAYS, "result": "pass"}], **words))
    assert (passed.reason, passed.guidance) == (None, None)


def test_a_warning_may_demand_approval() -> None:
    rule = {"when": ALWAYS, "result": "warn", "require_approval": {"role": "boss", "approvals": 2}}
    assert outcome(data(conditions=[rule])).require_approval == {"role": "boss", "approvals": 2}
    rule["require_approval"] = {}
    assert outcome(data(conditions=[rule])).require_approval == {"role": None, "approvals": 1}


# ---- evidence ------------------------------------------------------------------------------------


def test_evidence_of_a_decision() -> None:
    limit = parameter("parameters.amount", "gt", Decimal("50000.5"))
    decided = outcome(
        rules(
            (parameter("parameters.amount", "exists"), "warn"),
            ({"kind": "any", "conditions": [NEVER, limit, ALWAYS]}, "block"),
            (ALWAYS, "block"),
        ),
        {"amount": 60000},
    )
    assert decided.evidence == {
        "requested_policy_id": "billing.limit.v1",
        "dispatch_path": ["data"],
        "definition_status": "valid",
        "errors": [],
        "matched": [0, 1],
        "default_applied": False,
        "decided_by": 1,
        "conditions": [
            {"at": "conditions[1].when.conditions[1]", **limit, "value": 50000.5, "held": True}
        ],
    }
    json.dumps(decided.evidence)


def test_evidence_lists_every_leaf_that_was_needed() -> None:
    both = {"kind": "all", "conditions": [ALWAYS, parameter("parameters.a", "exists")]}
    neither = {
        "kind": "not",
        "condition": {"kind": "any", "conditions": [NEVER, parameter("parameters.b", "exists")]},
    }
    leaves = outcome(data({"kind": "all", "conditions": [both, neither]}), {"a": 1}).evidence
    assert [(leaf["at"], leaf["held"]) for leaf in leaves["conditions"]] == [
        ("conditions[0].when.conditions[0].conditions[0]", True),
        ("conditions[0].when.conditions[0].conditions[1]", True),
        ("conditions[0].when.conditions[1].condition.conditions[0].condition", True),
        ("conditions[0].when.conditions[1].condition.conditions[1]", False),
    ]


def test_evidence_never_tells_a_hidden_value() -> None:
    """That `secret == "s3cret"` held would tell the secret."""
    shown = []
    for path in (
        '$.hidden.secret == "s3cret"',
        '$ ? (@.hidden.secret == "s3cret").args.a == 1',
        '$."hidden".secret == "s3cret"',
        '$["hidden"].secret == "s3cret"',
        "$.args.a == 1 && $.context.mode == $.hidden.secret",
        '$ .args.a == 1 || $.context.mode == "execute"',
    ):
        decided = outcome(data({"kind": "jsonpath", "path": path}), {}, lambda _path: True)
        shown.append(decided.evidence["conditions"][0]["path"])
    assert shown[:5] == ["[redacted]"] * 5
    assert shown[5].startswith("strict $ .args")
    facts = {"args": {}, "hidden": {}, "context": {**CONTEXT, "space_id": "s3cret"}}
    equal = compiled(data(parameter("space_id", "equals", "s3cret")))
    decided = policy.evaluate_json(equal, json.dumps(facts), no_judge)
    assert decided.result == "block"
    assert "s3cret" not in json.dumps(decided.evidence)


# ---- missing, invalid, hybrid --------------------------------------------------------------------


def test_a_stored_definition_that_no_longer_validates_blocks() -> None:
    broken = policy.compile_policy("billing.limit.v1", "data", data({"kind": "regex"}), readable)
    decided = policy.evaluate(broken, {}, CONTEXT, no_judge)
    assert decided.result == "block"
    assert decided.evidence["definition_status"] == "invalid"
    assert decided.evidence["errors"][0]["path"] == "conditions[0].when.kind"


@pytest.mark.parametrize(
    "stored", [None, 5, [], {}, data(policy="other.v1"), {"policy": "a.v1", "kind": "code"}]
)
@pytest.mark.parametrize("kind", policy.KINDS)
def test_anything_may_be_stored(stored: object, kind: str) -> None:
    broken = policy.compile_policy("billing.limit.v1", kind, stored, readable)
    decided = policy.evaluate(broken, {}, CONTEXT, no_judge)
    assert (broken.status, decided.result, decided.fallback) == ("invalid", "block", None)
    assert decided.evidence["errors"]


def test_what_the_database_cannot_read_any_more_is_invalid() -> None:
    definition = data({"kind": "jsonpath", "path": "$.args.a == 1"})
    broken = policy.compile_policy(
        "billing.limit.v1", "data", definition, lambda check: f"is no {check.kind}"
    )
    assert broken.status == "invalid"
    assert broken.errors == ({"path": "conditions[0].when.path", "reason": "is no jsonpath"},)


def test_errors_in_evidence_are_bounded() -> None:
    definition = data(*[{"kind": "x"}] * 20, **{f"key{number}": 1 for number in range(50)})
    broken = policy.compile_policy("billing.limit.v1", "data", definition, readable)
    assert len(policy.evaluate(broken, {}, CONTEXT, no_judge).evidence["errors"]) == 20


TRIGGERS = [[], ["missing"], ["invalid"], ["data_result"], ["missing", "invalid", "data_result"]]
STATES = ["missing", "invalid", "pass", "warn", "block"]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("triggers", TRIGGERS)
@pytest.mark.parametrize("on_results", [[], ["pass"], ["warn"], ["block"], ["warn", "block"]])
def test_hybrid(state: str, triggers: list[str], on_results: list[str]) -> None:
    definition = hybrid((ALWAYS, state), triggers=triggers, on_results=on_results)
    if state == "missing":
        definition["conditions"] = None
    elif state == "invalid":
        definition["conditions"] = [{"when": {"kind": "gone"}, "result": "block"}]
    decided = policy.evaluate(compiled(definition), {}, CONTEXT, no_judge)
    if state in ("missing", "invalid"):
        trigger = state if state in triggers else None
        assert decided.result == "block"
        assert decided.evidence["definition_status"] == state
    else:
        trigger = "data_result" if "data_result" in triggers and state in on_results else None
        assert decided.result == state
        assert decided.evidence["definition_status"] == "valid"
    assert decided.fallback == (None if trigger is None else "billing.code.v1")
    if trigger is None:
        assert "fallback" not in decided.evidence
    else:
        assert decided.evidence["fallback"] == {
            "trigger": trigger,
            "policy": "billing.code.v1",
            "data_result": None if trigger == state else state,
        }


def test_the_defaults_of_a_fallback() -> None:
    for result, falls_back in (("pass", False), ("warn", True), ("block", True)):
        decided = outcome(hybrid((ALWAYS, result)))
        assert (decided.fallback is not None) is falls_back


def test_an_undecidable_hybrid_falls_back_as_a_block_does() -> None:
    definition = hybrid((parameter("parameters.a", "gt", 5), "warn"), on_results=["block"])
    assert outcome(definition, {"a": "x"}).fallback == "billing.code.v1"


def test_a_broken_fallback_is_none() -> None:
    definition = hybrid((ALWAYS, "warn"), policy="nonsense")
    decided = policy.evaluate(compiled(definition), {}, CONTEXT, no_judge)
    assert (decided.result, decided.fallback) == ("block", None)


def test_code_is_left_to_the_database() -> None:
    definition = {
        "policy": "billing.limit.v1",
        "kind": "code",
        "evaluator": "app.check(jsonb)",
        "preview_safe": True,
        "reason": "general",
    }
    decided = policy.evaluate_json(compiled(definition), "not even read", no_judge)
    assert decided.evaluator == "app.check(jsonb)"
    assert decided.preview_safe
    assert decided.evidence["dispatch_path"] == ["code"]


# ---- whatever comes ------------------------------------------------------------------------------


def test_facts_that_cannot_be_read_block() -> None:
    limit = compiled(data(parameter("parameters.a", "gt", 5)))
    deep = '{"args": ' + "[" * 3000 + "]" * 3000 + ', "context": {}}'
    assert policy.evaluate_json(limit, deep, no_judge).result == "block"


def test_values_nested_too_deeply_to_compare_block() -> None:
    def deep() -> object:
        value: object = 1
        for _ in range(5000):
            value = [value]
        return value

    same = compiled(data(comparison("parameters.a", "equals", "parameters.b"), default="pass"))
    decided = policy.evaluate(same, {"a": deep(), "b": deep()}, CONTEXT, no_judge)
    assert decided.result == "block"
    assert decided.evidence["errors"][0]["path"] == "conditions[0].when"


SEGMENTS = st.sampled_from(["a", "b", "0", "1", "x y"])
PATHS = st.sampled_from(["tenant_id", "space_id", "action", "mode", "action_id"]) | st.lists(
    SEGMENTS, min_size=1, max_size=4
).map(lambda segments: ".".join(["parameters", *segments]))
LITERALS = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=3)
ORDERABLE = st.integers(-9, 9) | st.text("ab", max_size=3)
ORDERS = st.sampled_from(["gt", "gte", "lt", "lte"])
EQUALITIES = st.sampled_from(["equals", "notEquals"])
LEAVES = st.one_of(
    st.just(ALWAYS),
    st.builds(lambda path: parameter(path, "exists"), PATHS),
    st.builds(parameter, PATHS, EQUALITIES, LITERALS),
    st.builds(parameter, PATHS, ORDERS, ORDERABLE),
    st.builds(comparison, PATHS, EQUALITIES | ORDERS, PATHS),
    st.just({"kind": "jsonpath", "path": "$.args.a == 1"}),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(
            lambda kind, members: {"kind": kind, "conditions": members},
            st.sampled_from(["all", "any"]),
            st.lists(inner, min_size=1, max_size=3),
        )
        | st.builds(lambda member: {"kind": "not", "condition": member}, inner)
    ),
    max_leaves=6,
)
RULES = st.lists(st.tuples(CONDITIONS, st.sampled_from(policy.RESULTS)), max_size=4)
NAMED = st.dictionaries(SEGMENTS, json_values(), max_size=4)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(RULES, NAMED | json_values(), st.booleans())
def test_never_raises_and_evidence_agrees_with_the_decision(
    given_rules: list[tuple[dict[str, Any], str]], parameters: object, judged: bool
) -> None:
    definition = rules(*given_rules)
    normalised, reasons, _ = policy.check_policy(definition)
    if reasons:
        assert all("nested deeper" in reason.reason for reason in reasons)
        return
    limit = policy.compile_policy("billing.limit.v1", "data", normalised, readable)
    facts = canonical.canonicalize({"args": parameters, "context": CONTEXT, "hidden": {}})
    decided = policy.evaluate_json(limit, facts, lambda _path: judged)
    assert decided.result in policy.RESULTS
    json.dumps(decided.evidence)
    if decided.evidence["errors"]:
        assert decided.result == "block"
    elif decided.evidence["default_applied"]:
        assert decided.evidence["matched"] == []
        assert decided.result == "pass"
    else:
        assert decided.evidence["decided_by"] in decided.evidence["matched"]
        assert given_rules[decided.evidence["decided_by"]][1] == decided.result
        assert decided.evidence["conditions"]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(json_values())
def test_any_json_may_be_declared(definition: object) -> None:
    checked = json.loads(policy.check_policy_json(json.dumps(definition, default=float)))
    assert (checked["definition"] is None) is bool(checked["reasons"])


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(["conditions", "fallback", "policy", "mode"]), json_values())
def test_any_part_may_be_broken(key: str, part: object) -> None:
    definition = hybrid((ALWAYS, "warn"))
    checked = json.loads(
        policy.check_policy_json(json.dumps({**definition, key: part}, default=float))
    )
    assert (checked["definition"] is None) is bool(checked["reasons"])
    broken = policy.compile_policy(
        "billing.limit.v1", "hybrid", {**definition, key: part}, readable
    )
    assert policy.evaluate(broken, {}, CONTEXT, no_judge).result in policy.RESULTS


def test_json_face() -> None:
    checked = json.loads(
        policy.check_policy_json(json.dumps(data({"kind": "jsonpath", "path": "$.args.a == 1"})))
    )
    assert checked["reasons"] == []
    assert checked["definition"]["policy"] == "billing.limit.v1"
    assert checked["checks"] == [
        {"path": "conditions[0].when.path", "kind": "jsonpath", "value": "strict $.args.a == 1"}
    ]
    refused = json.loads(policy.check_policy_json("nonsense"))
    assert refused["definition"] is None
    assert refused["reasons"][0]["path"] == "definition"
