"""The short cut of binding agrees with binding, wherever it has an opinion."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plpython.samples import SESSION, matches, small
from synapsor_plpython import binding, canonical, definition, plain

ARGS: dict[str, Any] = {
    "text": {"type": "string", "required": True, "min_length": 1, "max_length": 9},
    "count": {"type": "integer", "minimum": -3, "maximum": 12},
    "flag": {"type": "boolean"},
    "note": {"type": "string", "description": "free", "default": "none"},
    "free": {"type": "integer"},
}


def contracts(**changes: Any) -> tuple[plain.Plain, binding.Contract]:
    made = small(
        **{"args": ARGS, "hidden": {"tenant_id": {}, "who": {"from": "principal"}}} | changes
    )
    normalised, reasons, _ = definition.check_action(made)
    assert not reasons
    text = json.dumps(normalised)
    compiled = plain.compile_plain(normalised["action"], 3, plain.loads(text))
    assert compiled is not None
    return compiled, binding.compile_contract(normalised["action"], 3, canonical.loads(text))


CONTRACTS = [
    contracts(),
    contracts(idempotency={"key": "{tenant_id}:x{text}y:{count}{flag}"}, ordering_key="{note}"),
    contracts(
        account="{who}",
        idempotency={"key": "{who}{text}"},
        ordering_key="{text}/{count}",
        args={"text": ARGS["text"], "count": ARGS["count"] | {"default": 5}},
    ),
]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 14),
    st.sampled_from([2**53 - 1, 2**53, -(2**53), 10**30, 1.0, 1.5, 1e3]),
    st.text(max_size=11),
    st.sampled_from(["", "\0", "\ud800", "\x7f", "é", "\U0001f600", "a" * 300, "\u2028", '"\\']),
    st.lists(st.none(), max_size=1),
)
objects = st.dictionaries(
    st.sampled_from([*ARGS, "tenant_id", "who", "other"]), scalars, max_size=7
)
sound = st.fixed_dictionaries(
    {"text": st.text(min_size=1, max_size=9)},
    optional={
        "count": st.integers(-3, 12),
        "flag": st.booleans(),
        "note": st.text(max_size=30),
        "free": st.integers(),
    },
)
keys = st.none() | st.text(max_size=5) | st.sampled_from(["k" * 250, "k" * 251, "a\nb", "\ud800"])
sessions = st.sampled_from(
    [
        SESSION,
        SESSION | {"principal": "é\u2029"},
        SESSION | {"principal": 7},
        SESSION | {"principal": "\ud800"},
        {"tenant_id": "acme"},
    ]
)


def agree(text: str, session: dict[str, object], key: str | None, number: int) -> bool:
    short, full = CONTRACTS[number]
    made = plain.bind_plain(short, text, session, key)
    if made is None:
        return False
    bound = binding.bind(full, text, session, key, matches)
    assert bound.error_code is None
    assert made == (
        bound.intent,
        bound.digest,
        bound.payload_digest,
        bound.idempotency_key,
        bound.key_from_template,
        bound.ordering_key,
        bound.account,
        json.loads(bound.intent)["arguments"] == json.loads(text),
    )
    return True


@settings(max_examples=1500, deadline=None)
@given(objects, sessions, keys, st.integers(0, 2), st.booleans())
def test_whatever_it_accepts_binding_accepts_with_the_same_result(
    parameters: dict[str, Any],
    session: dict[str, object],
    key: str | None,
    number: int,
    escaped: bool,
) -> None:
    agree(json.dumps(parameters, ensure_ascii=escaped), session, key, number)


@settings(max_examples=500, deadline=None)
@given(sound, st.integers(0, 2))
def test_sound_proposals_too(parameters: dict[str, Any], number: int) -> None:
    agree(json.dumps(parameters), SESSION, None, number)


@pytest.mark.parametrize("number", [0, 1])
def test_it_has_an_opinion_about_ordinary_proposals(number: int) -> None:
    text = '{"flag":true,"text":"é","count":12}'
    assert agree(text, SESSION, None, number)
    assert agree(text, SESSION, "mine", number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        '{"text":"a"} ',
        '{"text":"a"}{}',
        '{"text":"a","count":1.0}',
        '{"text":"a","count":1e2}',
        '{"text":"a","count":NaN}',
        '{"text":"a","count":true}',
        '{"text":"a","flag":1}',
        '{"text":1}',
        '{"text":"a","other":1}',
        '{"text":"a","tenant_id":"acme"}',
        '{"text":""}',
        '{"text":"0123456789"}',
        '{"text":"a","count":13}',
        '{"text":"a","free":9007199254740992}',
        '{"text":"a","free":' + "9" * 5000 + "}",
        '{"text":"a\\u0000"}',
        '{"text":"\\ud800"}',
        '{"count":1}',
        '{"text":"a","note":"' + "n" * 17000 + '"}',
        "[" * 100000,
    ],
)
def test_all_else_it_leaves_to_binding(text: str) -> None:
    assert plain.bind_plain(CONTRACTS[0][0], text, SESSION, None) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"args": {"x": {"type": "number"}}},
        {"args": {"x": {"type": "string", "pattern": "a"}}},
        {"args": {"x": {"type": "string", "format": "date"}}},
        {"args": {"x": {"type": "string", "enum": ["a"]}}},
        {"args": {"x": {"type": "integer", "minimum": 0.5}}},
        {"args": {"x": {"type": "integer", "exclusive_minimum": 0}}},
        {"args": {"x": {"type": "object"}}},
        {"args": {}, "args_schema": {"type": "object"}},
        {"args": {"x": {"type": "string"}}, "idempotency": {"key": "{{{x}"}},
        {"args": {"x": {"type": "string"}}, "ordering_key": "}}{x}"},
    ],
)
def test_contracts_that_it_does_not_know_are_left_to_binding(changes: dict[str, Any]) -> None:
    if "args_schema" in changes:
        changes.pop("args")
    normalised, reasons, _ = definition.check_action(small(**changes))
    assert not reasons
    assert plain.compile_plain("a.b", 1, plain.loads(json.dumps(normalised, default=float))) is None
