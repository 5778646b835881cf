from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plpython.samples import SESSION, json_values, no_pattern, refund, small
from synapsor_plpython import binding, canonical, definition
from synapsor_plpython.reading import why_not_strict


def reasons(source: object) -> list[tuple[str, str]]:
    _, found, _ = definition.check_action(source)
    return [(reason.path, reason.reason) for reason in found]


def paths(source: object) -> list[str]:
    return [path for path, _ in reasons(source)]


def normalised(source: dict[str, Any]) -> dict[str, Any]:
    result, found, _ = definition.check_action(source)
    assert found == []
    return result


def with_arg(**spec: Any) -> dict[str, Any]:
    return small(args={"x": spec})


BINDING = {
    "entity_type": "Invoice",
    "table": "app.invoices",
    "id_column": "id",
    "state_column": "state",
    "entity_id": "{id}",
    "target_state": "refunded",
}


SOUND = [
    refund(),
    small(),
    small(kind="atomic", handler="billing.apply(jsonb, jsonb)"),
    small(
        kind="atomic",
        handler="billing.apply(jsonb, jsonb)",
        args={"id": {"type": "string"}, "to": {"type": "string"}},
        state_machine={**BINDING, "target_state": "{to}"},
        adapter_steps=[
            {
                "action": "billing.stripe_refund",
                "input": {"charge_id": "{result.charge_id}", "n": ["{parameters.id}", 1, None]},
                "retry": {"max_attempts": 9},
                "when": "$.result.refund == true",
            },
            {"action": "mail.send", "input": "{result.mail}"},
        ],
        compensate_with="billing.undo_refund",
    ),
    small(kind="saga", plan="refunds", compensate_with={"action": "a.b", "input": "{result.x}"}),
    small(args_schema={"type": "object", "properties": {"a": {"type": ["integer", "null"]}}}),
    small(
        args={
            "lines": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"sku": {"type": "string", "required": True, "pattern": "^x"}},
                },
            },
            "free": {"type": "object"},
            "currency": {"type": "string", "enum": ["eur", "usd"], "default": "eur"},
            "ratio": {"type": "number", "minimum": Decimal("0.5"), "const": 1},
        }
    ),
]


@pytest.mark.parametrize("source", SOUND)
def test_sound_definitions_are_a_fixpoint_and_compile(source: dict[str, Any]) -> None:
    result = normalised(source)
    again, found, _ = definition.check_action(result)
    assert found == []
    assert canonical.canonicalize(again) == canonical.canonicalize(result)
    contract = binding.compile_contract(result["action"], 1, result)
    binding.bind(contract, "{}", SESSION, "k", lambda _pattern, _value: True)


def test_every_key_has_its_default() -> None:
    assert normalised(small()) == {
        "action": "billing.issue_refund",
        "kind": "external",
        "description": None,
        "label": None,
        "args": {},
        "args_schema": None,
        "hidden": {},
        "provider": "billing",
        "account": "default",
        "operation": "issue_refund",
        "queue": "billing_external_actions",
        "idempotency": {"key": None, "idempotent": False, "window": None},
        "approval": {
            "required": False,
            "role": None,
            "approvals": 1,
            "separate_duties": False,
            "expires_after": None,
            "unless": None,
        },
        "retry": {
            "max_attempts": 3,
            "initial": "100 ms",
            "multiplier": 2,
            "max": "1 s",
            "jitter": "full",
        },
        "lease": "60 s",
        "priority": 0,
        "ordering_key": None,
        "redact": [],
        "require_claim_token": False,
        "poison_after": 5,
        "reconcile": None,
        "limits": [],
        "policies": [],
        "required_roles": [],
        "required_permissions": [],
        "actor_types": list(definition.ACTOR_TYPES),
        "require_run": False,
        "deliver_within": None,
        "emits_events": [],
        "mutates_domain": False,
        "handler": None,
        "state_machine": None,
        "adapter_steps": [],
        "plan": None,
        "compensate_with": None,
    }


def test_null_is_not_given() -> None:
    assert normalised(dict.fromkeys(refund(), None) | small()) == normalised(small())


def test_a_state_machine_is_bound_by_six_texts() -> None:
    args = {"id": {"type": "string"}}

    def bound(**changes: Any) -> list[tuple[str, str]]:
        binding = {**BINDING, **changes}
        return reasons(small(kind="atomic", handler="f", args=args, state_machine=binding))

    assert bound() == []
    assert bound(table='app."In.voices""2"', id_column="Id", target_state="{id}") == []
    for key in BINDING:
        assert bound(**{key: None}) == [(f"state_machine.{key}", "is required")]
        assert [path for path, _ in bound(**{key: 1})] == [f"state_machine.{key}"]
    for table in ("invoices", "a.b.c", "App.invoices", "app.", "app.x y", 'app."', "app.x; drop"):
        assert [path for path, _ in bound(table=table)] == ["state_machine.table"], table
    assert bound(entity_id="{nobody}") == [
        (
            "state_machine.entity_id",
            "names {nobody}, which is neither an argument nor a hidden value",
        )
    ]
    assert [path for path, _ in bound(state_column="x" * 64)] == ["state_machine.state_column"]


def test_other_kinds_have_no_target() -> None:
    atomic = normalised(small(kind="atomic", handler="f()"))
    assert [atomic[key] for key in ("provider", "account", "operation", "queue")] == [None] * 4


@pytest.mark.parametrize(
    ("source", "path"),
    [
        (refund(colour=1), "colour"),
        (small(hidden={"a": {"form": "x"}}), "hidden.a.form"),
        (small(idempotency={"keys": 1}), "idempotency.keys"),
        (small(approval={"roles": 1}), "approval.roles"),
        (small(retry={"attempts": 1}), "retry.attempts"),
        (small(reconcile={"operation": "x", "often": 1}), "reconcile.often"),
        (small(limits=[{"max": 1, "per": "day", "total": 1}]), "limits[0].total"),
        (with_arg(type="string", maxLength=1), "args.x.maxLength"),
        (with_arg(type="array", items={"type": "null", "min": 1}), "args.x.items.min"),
        (
            small(args_schema={"properties": {"a": {"$ref": "#"}}}),
            'args_schema.properties.a["$ref"]',
        ),
        (small(args_schema={"anyOf": [{"if": True}]}), "args_schema.anyOf[0].if"),
        (
            small(kind="saga", plan="p", compensate_with={"action": "a.b", "x": 1}),
            "compensate_with.x",
        ),
        (
            small(kind="atomic", handler="f", adapter_steps=[{"action": "a.b", "then": 1}]),
            "adapter_steps[0].then",
        ),
        (
            small(
                kind="atomic",
                handler="f",
                state_machine={**BINDING, "entity_id": "1", "y": 1},
            ),
            "state_machine.y",
        ),
    ],
)
def test_an_unknown_key_is_named_with_its_path(source: dict[str, Any], path: str) -> None:
    (found,) = reasons(source)
    assert found[0] == path
    assert found[1].startswith("is not a known key")


def test_an_unknown_key_gets_a_suggestion() -> None:
    assert reasons(with_arg(type="string", maxLength=1)) == [
        ("args.x.maxLength", "is not a known key (did you mean max_length?)")
    ]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"action": None}, "action"),
        ({"action": "refund"}, "action"),
        ({"action": "Billing.refund"}, "action"),
        ({"action": "billing.issue-refund"}, "action"),
        ({"action": "billing.issue_refund\n"}, "action"),
        ({"action": 5}, "action"),
        ({"kind": "sync"}, "kind"),
        ({"kind": ["external"]}, "kind"),
        ({"label": ""}, "label"),
        ({"label": "x" * 129}, "label"),
        ({"description": "a\0"}, "description"),
        ({"args": []}, "args"),
        ({"args": {"a b": {"type": "string"}}}, 'args["a b"]'),
        ({"hidden": {"x": None}}, "hidden.x"),
        ({"hidden": {"x": {"from": 5}}}, "hidden.x.from"),
        ({"hidden": {"x": {"required": "yes"}}}, "hidden.x.required"),
        ({"args": {"x": {"type": "string"}}, "hidden": {"x": {}}}, "hidden.x"),
        ({"args_schema": {"properties": {"x": {}}}, "hidden": {"x": {}}}, "hidden.x"),
        ({"args": {}, "args_schema": {}}, "args_schema"),
        ({"provider": " stripe"}, "provider"),
        ({"queue": ""}, "queue"),
        ({"account": "{x}", "args": {"x": {"type": "string"}}}, "account"),
        ({"account": "{nobody}"}, "account"),
        ({"ordering_key": "{nobody}"}, "ordering_key"),
        ({"ordering_key": "{"}, "ordering_key"),
        ({"ordering_key": "{x}", "args": {"x": {"type": "array"}}}, "ordering_key"),
        ({"idempotency": {"key": "{nobody}"}}, "idempotency.key"),
        ({"idempotency": {"idempotent": 1}}, "idempotency.idempotent"),
        ({"idempotency": {"window": 24}}, "idempotency.window"),
        ({"idempotency": []}, "idempotency"),
        ({"approval": {"approvals": 0}}, "approval.approvals"),
        ({"approval": {"approvals": 11}}, "approval.approvals"),
        ({"approval": {"required": "yes"}}, "approval.required"),
        ({"approval": {"unless": "lax $.a == 1"}}, "approval.unless"),
        ({"retry": {"max_attempts": 0}}, "retry.max_attempts"),
        ({"retry": {"max_attempts": 101}}, "retry.max_attempts"),
        ({"retry": {"max_attempts": Decimal("1.5")}}, "retry.max_attempts"),
        ({"retry": {"max_attempts": True}}, "retry.max_attempts"),
        ({"retry": {"multiplier": Decimal("0.5")}}, "retry.multiplier"),
        ({"retry": {"jitter": "some"}}, "retry.jitter"),
        ({"lease": 60}, "lease"),
        ({"priority": 1441}, "priority"),
        ({"priority": -1441}, "priority"),
        ({"poison_after": 0}, "poison_after"),
        ({"poison_after": 1001}, "poison_after"),
        ({"redact": ["x"]}, "redact"),
        ({"redact": "x"}, "redact"),
        ({"reconcile": {}}, "reconcile.operation"),
        ({"reconcile": {"operation": "x", "max_attempts": 0}}, "reconcile.max_attempts"),
        ({"limits": [{"per": "day"}]}, "limits[0].max"),
        ({"limits": [{"max": -1, "per": "day"}]}, "limits[0].max"),
        ({"limits": [{"max": 1}]}, "limits[0].per"),
        ({"limits": [{"max": 1, "per": "week"}]}, "limits[0].per"),
        ({"limits": [{"max": 1, "per": "day", "sum": "x"}]}, "limits[0].sum"),
        ({"limits": [{"max": 1, "per": "day", "by": ["x"]}]}, "limits[0].by"),
        ({"limits": [{"max": 1, "per": "day", "on_exceed": "x"}]}, "limits[0].on_exceed"),
        ({"policies": ["billing.limit"]}, "policies[0]"),
        ({"policies": ["a.v1", "a.v1"]}, "policies[1]"),
        ({"required_roles": [1]}, "required_roles[0]"),
        ({"actor_types": ["robot"]}, "actor_types[0]"),
        ({"actor_types": []}, "actor_types"),
        ({"require_run": 1}, "require_run"),
        ({"emits_events": ["refund_requested"]}, "emits_events[0]"),
        ({"mutates_domain": True}, "emits_events"),
        ({"handler": "f()"}, "handler"),
        ({"plan": "p"}, "plan"),
        ({"adapter_steps": [{"action": "a.b"}]}, "adapter_steps"),
        ({"kind": "atomic"}, "handler"),
        ({"kind": "atomic", "handler": "f()", "provider": "x"}, "provider"),
        ({"kind": "atomic", "handler": "f()", "plan": "p"}, "plan"),
        ({"kind": "saga"}, "plan"),
        ({"kind": "saga", "plan": "p", "handler": "f()"}, "handler"),
        ({"compensate_with": "undo"}, "compensate_with.action"),
        ({"compensate_with": {"action": "a.b", "input": "x{result.y}"}}, "compensate_with.input"),
        ({"compensate_with": {"action": "a.b", "input": {"k": "{y}"}}}, "compensate_with.input.k"),
        (
            {"compensate_with": {"action": "a.b", "input": {"k": "{parameters.y}"}}},
            "compensate_with.input.k",
        ),
    ],
)
def test_each_rule_refuses_with_the_path_of_its_key(changes: dict[str, Any], path: str) -> None:
    assert path in paths(small(**changes))


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({}, "args.x.type"),
        ({"type": "text"}, "args.x.type"),
        ({"type": "string", "minimum": 1}, "args.x.minimum"),
        ({"type": "integer", "max_length": 1}, "args.x.max_length"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "args.x.minimum"),
        ({"type": "integer", "minimum": "1"}, "args.x.minimum"),
        ({"type": "integer", "minimum": 2**53}, "args.x.minimum"),
        ({"type": "string", "max_length": -1}, "args.x.max_length"),
        ({"type": "string", "min_length": 5, "max_length": 4}, "args.x.min_length"),
        ({"type": "string", "format": "phone"}, "args.x.format"),
        ({"type": "string", "pattern": 5}, "args.x.pattern"),
        ({"type": "string", "enum": []}, "args.x.enum"),
        ({"type": "string", "enum": ["a", 1]}, "args.x.enum"),
        ({"type": "string", "const": 1}, "args.x.const"),
        ({"type": "string", "default": 1}, "args.x.default"),
        ({"type": "string", "default": "a", "required": True}, "args.x.default"),
        ({"type": "string", "default": "b", "enum": ["a"]}, "args.x.default"),
        ({"type": "array", "items": {"type": "string", "required": True}}, "args.x.items.required"),
        ({"type": "array", "items": {"type": "string", "default": "a"}}, "args.x.items.default"),
        ({"type": "object", "properties": {"1": {"type": "null"}}}, 'args.x.properties["1"]'),
    ],
)
def test_arg_specifications_are_checked(spec: dict[str, Any], path: str) -> None:
    assert path in paths(with_arg(**spec))


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ([], "args_schema"),
        ({"type": "array"}, "args_schema.type"),
        ({"additionalProperties": True}, "args_schema.additionalProperties"),
        ({"required": ["a"]}, "args_schema.required"),
        ({"required": "a"}, "args_schema.required"),
        ({"required": ["a", "a"], "properties": {"a": {}}}, "args_schema.required"),
        ({"properties": []}, "args_schema.properties"),
        ({"properties": {"a": 1}}, "args_schema.properties.a"),
        ({"properties": {"a": {"type": "text"}}}, "args_schema.properties.a.type"),
        ({"properties": {"a": {"type": []}}}, "args_schema.properties.a.type"),
        ({"properties": {"a": {"minLength": -1}}}, "args_schema.properties.a.minLength"),
        (
            {"properties": {"a": {"minLength": Decimal("1.5")}}},
            "args_schema.properties.a.minLength",
        ),
        ({"properties": {"a": {"maximum": "1"}}}, "args_schema.properties.a.maximum"),
        ({"properties": {"a": {"format": "phone"}}}, "args_schema.properties.a.format"),
        ({"properties": {"a": {"enum": []}}}, "args_schema.properties.a.enum"),
        ({"anyOf": []}, "args_schema.anyOf"),
    ],
)
def test_schemas_are_checked(source: object, path: str) -> None:
    assert path in paths(small(args_schema=source))


def test_schemas_nest_16_deep() -> None:
    rules: dict[str, Any] = {}
    for _ in range(15):
        rules = {"not": rules}
    assert paths(small(args_schema=rules)) == []
    assert paths(small(args_schema={"not": rules})) == ["args_schema" + ".not" * 16]
    spec: dict[str, Any] = {"type": "null"}
    for _ in range(16):
        spec = {"type": "array", "items": spec}
    assert paths(with_arg(**spec)) == ["args.x" + ".items" * 16]


def test_all_reasons_at_once() -> None:
    source = refund(action="x", priority="high", lease=5, colour=1, redact=["nobody"])
    assert set(paths(source)) == {"action", "priority", "lease", "colour", "redact"}


def test_what_the_database_must_judge_is_handed_back() -> None:
    _, _, checks = definition.check_action(
        refund(
            args={
                "charge_id": {"type": "string", "pattern": "^ch_"},
                "amount_cents": {"type": "integer"},
            }
        )
    )
    assert {(check.path, check.kind, check.value) for check in checks} == {
        ("args.charge_id.pattern", "regex", "^ch_"),
        ("approval.expires_after", "interval", "24 hours"),
        ("approval.unless", "jsonpath", "strict $.args.amount_cents <= 2500"),
        ("deliver_within", "interval", "2 hours"),
        ("idempotency.window", "interval", "24 hours"),
        ("lease", "interval", "60 s"),
        ("reconcile.after", "interval", "30 s"),
        ("retry.initial", "interval", "100 ms"),
        ("retry.max", "interval", "1 s"),
    }
    _, _, nested = definition.check_action(
        small(args_schema={"properties": {"a": {"items": {"pattern": "x"}}}})
    )
    assert [(check.path, check.kind) for check in nested] == [
        ("args_schema.properties.a.items.pattern", "regex")
    ]


@pytest.mark.parametrize(
    "path", ["$.a == 1", " strict $.a == 1", "STRICT $.a == 1", "strict\n$.a == 1"]
)
def test_conditions_come_back_strict(path: str) -> None:
    approval = normalised(small(approval={"unless": path}))["approval"]
    assert approval["unless"].startswith("strict ")
    assert approval["unless"].lower().count("strict") == 1


@pytest.mark.parametrize(
    "path",
    [
        "$.args.a * 2 <= 10",
        '$.args.a == "*" && $.args."lax" == "[*]"',
        '$.args.to == 1 && $.args.lax == 2 && $.args."keyvalue" == 3',
        '$.args.items[0].a == "x \\" .*"',
        "/* lax .* */ $.args.a == 1",
        "$.args.items[last].a > 1",
        '$.args.name like_regex "^a.*b$"',
        "exists($.args.a)",
    ],
)
def test_single_valued_conditions_pass(path: str) -> None:
    assert why_not_strict(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "lax $.args.a == 1",
        " /* x */ LAX $.args.a == 1",
        "$.args.* == 1",
        "$.args . * == 1",
        "$.args./**/* == 1",
        "$.args.items[*].a <= 1",
        "$.args.items[ * ].a <= 1",
        "$.** == 1",
        "$.args.items[0 to 3] == 1",
        "$.args.items[0 TO last] == 1",
        "$.args.items[0, 1] == 1",
        "$.args.items[0 \\u0074o 3] == 1",
        "$.args.KeyValue().value == 1",
    ],
)
def test_conditions_over_several_values_are_refused(path: str) -> None:
    assert why_not_strict(path) is not None


@pytest.mark.parametrize("source", [None, [], "x", 5, True])
def test_a_definition_is_an_object(source: object) -> None:
    assert paths(source) == ["definition"]


def test_the_face_for_sql() -> None:
    answer = json.loads(definition.check_action_json(json.dumps(refund())))
    assert sorted(answer) == [
        "checks",
        "definition",
        "key_is_sensitive",
        "ordering_key_is_sensitive",
        "reasons",
    ]
    assert answer["definition"]["provider"] == "stripe"
    assert answer["reasons"] == []
    assert (answer["key_is_sensitive"], answer["ordering_key_is_sensitive"]) == (True, True)
    refused = json.loads(definition.check_action_json('{"action": "é"}'))
    assert refused["definition"] is None
    assert refused["reasons"][0]["path"] == "action"
    assert json.loads(definition.check_action_json("{"))["reasons"][0]["path"] == "definition"
    plain = json.loads(definition.check_action_json(json.dumps(refund(redact=[]))))
    assert (plain["key_is_sensitive"], plain["ordering_key_is_sensitive"]) == (True, False)


def test_numbers_of_a_definition_stay_exact() -> None:
    text = '{"action": "a.b", "args": {"x": {"type": "number", "minimum": 0.10, "maximum": 1e2}}}'
    spec = json.loads(definition.check_action_json(text))["definition"]["args"]["x"]
    assert (spec["minimum"], spec["maximum"]) == (0.1, 100)
    lossy = '{"action": "a.b", "args": {"x": {"type": "number", "minimum": 0.1000000000000000055}}}'
    assert json.loads(definition.check_action_json(lossy))["reasons"]


KEYS = sorted(refund())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SOUND), st.dictionaries(st.sampled_from(KEYS), json_values(), max_size=3))
def test_any_definition_is_judged_and_what_passes_compiles(
    base: dict[str, Any], changes: dict[str, Any]
) -> None:
    answer = json.loads(definition.check_action_json(json.dumps(base | changes, default=float)))
    if not answer["reasons"]:
        result = canonical.loads(json.dumps(answer["definition"]))
        contract = binding.compile_contract(result["action"], 1, result)
        binding.bind(contract, "{}", {}, None, no_pattern)
        assert definition.check_action(result)[1] == []
