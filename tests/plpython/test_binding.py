from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plpython.samples import PARAMETERS, SESSION, compiled, json_values, matches, refund, small
from synapsor_plpython import binding, canonical

if TYPE_CHECKING:
    from synapsor_plpython.binding import Bound

REFUND = compiled(refund())
FREE = compiled(
    small(
        args={"x": {"type": "object"}, "note": {"type": "string"}, "id": {"type": "string"}},
        hidden={"tenant_id": {}, "maybe": {"required": False}},
        idempotency={"key": "{id}"},
        ordering_key="{note}",
    )
)


def bind(
    parameters: object = None,
    *,
    contract: binding.Contract = REFUND,
    session: dict[str, object] | None = None,
    key: str | None = None,
) -> Bound:
    text = parameters if isinstance(parameters, str) else json.dumps(parameters)
    if parameters is None:
        text = PARAMETERS
    return binding.bind(contract, text, SESSION if session is None else session, key, matches)


def broken(bound: Bound) -> list[tuple[str, str, str]]:
    assert bound[3:7] == (None, None, None, None)
    return [(one["code"], one["path"], one["rule"]) for one in bound.violations]


# What a sound proposal becomes


def test_the_intent_is_canonical_json_of_five_keys() -> None:
    bound = bind()
    assert bound.error_code is None
    assert bound.violations == []
    assert bound.intent == canonical.canonicalize(
        {
            "action": "billing.issue_refund",
            "arguments": {"charge_id": "ch_123", "amount_cents": 2500},
            "hidden": {"tenant_id": "acme", "principal": "alice", "customer": "cus_1"},
            "idempotency_key": "acme:refund:ch_123:2500",
            "version": 1,
        }
    )
    assert bound.digest == hashlib.sha256(bound.intent.encode()).digest()


def test_the_payload_digest_knows_neither_version_nor_key() -> None:
    bound = bind()
    payload = canonical.canonicalize(
        {
            "action": "billing.issue_refund",
            "arguments": json.loads(bound.arguments or ""),
            "hidden": json.loads(bound.hidden or ""),
        }
    )
    assert bound.payload_digest == hashlib.sha256(payload.encode()).digest()
    other = bind(contract=compiled(refund(), version=7), key="k")
    assert other.payload_digest == bound.payload_digest
    assert other.digest != bound.digest


def test_key_order_blanks_and_number_spelling_do_not_matter() -> None:
    bound = bind('{ "amount_cents" : 2.500e3,\n "charge_id":"ch\\u005f123" }')
    assert bound == bind()


def test_hidden_values_are_copied_from_the_session_under_their_names() -> None:
    session = {**SESSION, "current_customer_id": {"id": 5, "tags": ["a", None, 1.5]}}
    bound = bind(session=session)
    hidden = json.loads(bound.hidden or "")
    assert hidden["customer"] == {"id": 5, "tags": ["a", None, 1.5]}


@given(json_values(), json_values())
def test_the_intent_reads_back_as_what_was_bound(value: Any, hidden: Any) -> None:
    arguments = {"x": {"y": value}, "id": "1", "note": "n"}
    session = {"tenant_id": "acme", "maybe": hidden}
    text = json.dumps(arguments, default=str)
    arguments = canonical.loads(text)
    bound = binding.bind(FREE, text, session, None, matches)
    if bound.error_code is None:
        assert bound.intent is not None
        intent = canonical.loads(bound.intent)
        assert canonical.canonicalize(intent) == bound.intent
        assert canonical.canonicalize(intent["hidden"]["maybe"]) == canonical.canonicalize(hidden)
        assert canonical.canonicalize(intent["arguments"]) == canonical.canonicalize(arguments)
    else:
        assert {one["rule"] for one in bound.violations} <= {"integer_range", "number", "unicode"}


def test_defaults_are_filled_in() -> None:
    contract = compiled(small(args={"currency": {"type": "string", "default": "eur"}}))
    assert json.loads(bind({}, contract=contract).arguments or "") == {"currency": "eur"}
    assert bind({}, contract=contract).intent == bind({"currency": "eur"}, contract=contract).intent
    assert broken(bind({"currency": None}, contract=contract)) == [("SY003", "currency", "type")]


def test_account_and_ordering_key_are_rendered() -> None:
    contract = compiled(
        small(
            args={"n": {"type": "number"}},
            hidden={"region": {}},
            account="acct_{region}",
            ordering_key="{n}/{region}",
        )
    )
    bound = bind({"n": 1.5}, contract=contract, session={"region": "eu"})
    assert (bound.account, bound.ordering_key) == ("acct_eu", "1.5/eu")
    assert bind().account == "default"
    assert bind({}, contract=compiled(small(account="{{x}}"))).account == "{x}"
    assert bind({}, contract=compiled(small())).ordering_key is None


# Idempotency keys


def test_the_callers_key_wins_over_the_template() -> None:
    bound = bind(key="my key")
    assert (bound.idempotency_key, bound.key_from_template) == ("my key", False)
    assert bind().key_from_template


def test_without_a_template_the_key_is_the_payload_digest() -> None:
    bound = bind({}, contract=compiled(small()))
    assert bound.payload_digest is not None
    assert bound.idempotency_key == "auto:" + bound.payload_digest.hex()
    assert not bound.key_from_template


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("", "min_length"),
        ("x" * 251, "max_length"),
        ("a\nb", "control_character"),
        ("a\x85b", "control_character"),
        ("\x7f", "control_character"),
        ("\ud800", "unicode"),
    ],
)
def test_a_key_has_1_to_250_characters_and_no_control_characters(key: str, rule: str) -> None:
    assert broken(bind(key=key)) == [("SY003", "idempotency_key", rule)]
    if rule in ("min_length", "max_length"):
        session: dict[str, object] = {"tenant_id": "acme"}
        made = bind({"id": key, "note": "n"}, contract=FREE, session=session)
        assert broken(made) == [("SY003", "idempotency.key", rule)]


@pytest.mark.parametrize("key", ["x" * 250, " padded ", "é€𝄞", "a\u00a0b\u200b"])
def test_a_key_is_taken_verbatim(key: str) -> None:
    assert bind(key=key).idempotency_key == key


def test_a_template_without_its_value_is_a_violation() -> None:
    session: dict[str, object] = {"tenant_id": "acme"}
    missing = bind({}, contract=FREE, session=session)
    assert broken(missing) == [
        ("SY003", "idempotency.key", "template"),
        ("SY003", "ordering_key", "template"),
    ]
    assert missing.violations[0]["name"] == "id"
    # A key of the caller's makes the template unnecessary.
    assert bind({"note": "n"}, contract=FREE, session=session, key="k").error_code is None


def test_a_hidden_template_value_that_is_missing_is_the_sessions_fault() -> None:
    contract = compiled(small(hidden={"a": {"required": False}}, ordering_key="{a}"))
    bound = bind({}, contract=contract, session={"a": ["secret"]})
    assert broken(bound) == [("SY005", "ordering_key", "template")]
    assert "secret" not in json.dumps(bound.violations)


@pytest.mark.parametrize(
    ("source", "redact", "reveals"),
    [
        ("{tenant_id}", [], True),
        ("{charge_id}", [], False),
        ("{charge_id}", ["charge_id"], True),
        ("{amount_cents}", ["charge_id"], False),
        (None, ["charge_id"], False),
    ],
)
def test_tells_whether_a_key_reveals_a_secret(
    source: str | None, redact: list[str], reveals: bool
) -> None:
    contract = compiled(refund(idempotency={"key": source}, redact=redact, ordering_key=source))
    assert contract.key_reveals is reveals
    assert contract.ordering_key_reveals is reveals


# Refusals


def test_a_hidden_name_is_refused_even_with_an_equal_value() -> None:
    bound = bind({"charge_id": "ch_123", "amount_cents": 2500, "tenant_id": "acme"})
    assert (bound.error_code, broken(bound)) == ("SY004", [("SY004", "tenant_id", "hidden")])
    assert bound.error_message is not None
    assert bound.error_message.startswith("tenant_id of billing.issue_refund comes from")


@pytest.mark.parametrize(
    "name",
    ["Tenant_id", "tenant_id ", "tenantId", "x", "", "\uff34enant_id", "current_customer_id"],
)
def test_any_other_name_is_undeclared(name: str) -> None:
    bound = bind({"charge_id": "ch_123", "amount_cents": 2500, name: "acme"})
    assert (bound.error_code, broken(bound)[0][2]) == ("SY003", "undeclared")


def test_hidden_names_below_the_top_level_are_the_schemas_business() -> None:
    bound = bind({"x": {"tenant_id": 1}, "id": "1", "note": "n"}, contract=FREE)
    assert bound.error_code is None


def test_missing_and_mistyped_arguments_are_all_listed() -> None:
    bound = bind({"charge_id": "x" * 65})
    assert bound.error_code == "SY003"
    assert bound.error_message == "2 arguments of billing.issue_refund are invalid"
    assert bound.violations == [
        {
            "code": "SY003",
            "path": "charge_id",
            "rule": "max_length",
            "kind": "string",
            "expected": 64,
        },
        {"code": "SY003", "path": "amount_cents", "rule": "required", "kind": "absent"},
    ]
    assert bind({"charge_id": "x"}).error_message == (
        "1 argument of billing.issue_refund is invalid"
    )


@pytest.mark.parametrize("missing", [{}, {"current_customer_id": None}])
def test_a_required_session_value_that_is_missing_or_null(missing: dict[str, object]) -> None:
    session = {"tenant_id": "acme", "principal": "alice", **missing}
    bound = bind(session=session)
    assert broken(bound) == [("SY005", "customer", "required")]
    assert bound.violations[0]["name"] == "current_customer_id"
    assert bound.error_message == (
        "the session has no current_customer_id, which billing.issue_refund needs"
    )


def test_a_value_that_is_not_required_is_bound_as_null() -> None:
    bound = bind({"id": "1", "note": "n"}, contract=FREE)
    assert json.loads(bound.hidden or "") == {"tenant_id": "acme", "maybe": None}


def test_override_beats_validation_beats_session_and_all_are_listed() -> None:
    everything = bind({"tenant_id": 1, "charge_id": 5}, session={})
    assert everything.error_code == "SY004"
    assert {code for code, _, _ in broken(everything)} == {"SY003", "SY004", "SY005"}
    assert bind({"charge_id": 5}, session={}).error_code == "SY003"
    assert bind(session={}).error_code == "SY005"


@pytest.mark.parametrize(
    ("text", "rule", "words"),
    [
        ("[]", "type", "not a JSON object"),
        ("null", "type", "not a JSON object"),
        ('"text"', "type", "not a JSON object"),
        ("{", "json", "not JSON"),
        ('{"amount_cents": NaN}', "json", "not JSON"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "json", "not JSON"),
    ],
)
def test_arguments_are_an_object(text: str, rule: str, words: str) -> None:
    bound = bind(text)
    assert broken(bound) == [("SY003", "$", rule)]
    assert words in (bound.error_message or "")


def test_deep_nesting_is_a_violation() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = {"a": deep}
    bound = bind({"x": deep, "id": "1", "note": "n"}, contract=FREE)
    assert [rule for _, _, rule in broken(bound)] == ["nesting"]


@pytest.mark.parametrize("number", ["9007199254740992", "1e400", "-1e30", "9" * 5000])
def test_numbers_out_of_range_are_violations(number: str) -> None:
    bound = bind(f'{{"charge_id": "ch", "amount_cents": {number}}}')
    assert broken(bound) == [("SY003", "amount_cents", "integer_range")]


def test_patterns_are_matched_by_the_function_handed_in() -> None:
    contract = compiled(small(args={"a": {"type": "string", "pattern": "^ch_"}}))
    assert bind({"a": "ch_1"}, contract=contract).error_code is None
    assert broken(bind({"a": "x"}, contract=contract)) == [("SY003", "a", "pattern")]


# Size


def _of_size(size: int, character: str = "x") -> str:
    width = len(character.encode())
    return '{"id":"' + character * ((size - 9) // width) + '"}'


def test_64_kib_is_the_limit_and_counted_in_bytes() -> None:
    contract = compiled(small(args={"id": {"type": "string"}}))
    fits, beyond = _of_size(65536), _of_size(65537)
    assert len(fits.encode()) == 65536
    assert bind(fits, contract=contract).error_code is None
    bound = bind(beyond, contract=contract)
    assert broken(bound) == [("SY003", "$", "size")]
    assert bound.violations[0]["expected"] == 65536
    assert bound.error_message == "the arguments of billing.issue_refund are larger than 64 KiB"
    assert broken(bind(_of_size(65536 + 12, "€"), contract=contract)) == [("SY003", "$", "size")]


def test_names_are_judged_up_to_1_mib_and_nothing_above() -> None:
    large = '{"tenant_id": 1, "id": "' + "x" * 100_000 + '"}'
    assert broken(bind(large, contract=FREE)) == [
        ("SY003", "$", "size"),
        ("SY004", "tenant_id", "hidden"),
    ]
    huge = '{"tenant_id": 1, "id": "' + "x" * (1024 * 1024) + '"}'
    assert broken(bind(huge, contract=FREE)) == [("SY003", "$", "size")]
    assert broken(bind("[" * (2 * 1024 * 1024))) == [("SY003", "$", "size")]


def test_a_thousand_violations_are_listed_and_the_rest_counted() -> None:
    bound = bind({f"n{position}": 1 for position in range(1500)})
    assert len(bound.violations) == 1000
    assert bound.violations[-1] == {
        "code": "SY003",
        "path": "$",
        "rule": "more",
        "kind": "violations",
        "expected": 503,
    }
    assert bound.error_message == "1502 arguments of billing.issue_refund are invalid"


# Whatever comes in


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=30)
    | json_values(numbers=st.integers() | st.floats() | st.decimals()).map(
        lambda value: json.dumps(value, default=str)
    )
    | st.dictionaries(
        st.sampled_from(["charge_id", "amount_cents", "tenant_id", "x", "\0", "\ud800"]),
        json_values(numbers=st.integers() | st.floats() | st.decimals()),
    ).map(lambda value: json.dumps(value, default=str)),
    st.dictionaries(
        st.sampled_from(["tenant_id", "principal", "current_customer_id"]),
        json_values(numbers=st.integers() | st.floats() | st.decimals()),
    ),
    st.none() | st.text(),
)
def test_binding_never_raises(text: str, session: dict[str, Any], key: str | None) -> None:
    bound = binding.bind(REFUND, text, session, key, matches)
    assert (bound.error_code is None) == (bound.intent is not None) == (not bound.violations)
    assert bound.error_code in (None, "SY003", "SY004", "SY005")
    assert json.loads(binding.violations_json(bound.violations)) is not None


SECRET = "s3cr3t-of-the-session"


@given(
    st.recursive(
        st.just(SECRET), lambda inner: st.lists(inner) | st.dictionaries(st.just(SECRET), inner)
    ),
    st.booleans(),
)
def test_a_violation_never_holds_a_hidden_value(value: Any, surrogate: bool) -> None:
    session = dict.fromkeys(["tenant_id", "principal", "current_customer_id"], value)
    if surrogate:
        session["principal"] = SECRET + "\ud800"
    contract = compiled(refund(ordering_key="{customer}", account="{principal}"))
    caller = {"tenant_id": SECRET, "charge_id": [SECRET], "amount_cents": SECRET}
    for parameters in (None, caller):
        bound = bind(parameters, contract=contract, session=session)
        if bound.error_code is not None:
            assert SECRET not in json.dumps([bound.violations, bound.error_message])


def test_a_session_value_without_json_is_refused() -> None:
    for value in (10**400, float("nan"), "\ud800", object()):
        bound = bind(session={**SESSION, "current_customer_id": value})
        assert broken(bound) == [("SY005", "customer", "canonical")]


def test_bounds_of_any_number_type_reach_sql() -> None:
    contract = compiled(small(args={"n": {"type": "number", "minimum": Decimal("0.5")}}))
    found = bind({"n": 0}, contract=contract).violations
    assert json.loads(binding.violations_json(found))[0]["expected"] == 0.5


def test_an_args_schema_declares_its_properties() -> None:
    contract = compiled(
        small(
            args_schema={
                "properties": {"a": {"type": "integer"}, "b": True},
                "required": ["a"],
                "anyOf": [{"required": ["b"]}, {"properties": {"a": {"minimum": 5}}}],
            },
            hidden={"tenant_id": {}},
        )
    )
    assert bind({"a": 5}, contract=contract).error_code is None
    assert broken(bind({"a": 1}, contract=contract)) == [("SY003", "$", "any_of")]
    assert broken(bind({"a": 5, "c": 1}, contract=contract)) == [("SY003", "c", "undeclared")]
    assert broken(bind({"a": 5, "tenant_id": 1}, contract=contract)) == [
        ("SY004", "tenant_id", "hidden")
    ]
