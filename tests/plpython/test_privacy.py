"""The six methods, where a path leads, and what a redaction must not do to a document."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from synapsor_plpython import privacy

SALT = "pepper"


def redact(document: object, rules: list[dict[str, str]], salt: str) -> Any:
    """Redact a document by way of its JSON, as the database does."""
    return json.loads(privacy.redact_json(json.dumps(document), json.dumps(rules), salt))


def shown(value: object, method: str, path: str = "field") -> Any:
    """Return what is left of a document {"field": value}."""
    return redact({"field": value, "kept": 1}, [{"path": path, "method": method}], SALT)


@pytest.mark.parametrize(
    ("method", "value", "wanted"),
    [
        ("nullify", "secret", None),
        ("nullify", {"a": 1}, None),
        ("nullify", False, None),
        ("mask", "1234567890", "******7890"),  # the example of the reference
        ("mask", "12345678", "****5678"),
        ("mask", "1234567", "*******"),
        ("mask", "12", "**"),
        ("mask", "", ""),
        ("mask", 1234567890, "******7890"),
        ("mask", True, "****"),
        ("mask", {"pan": "1234567890"}, "*" * 20),
        ("mask", ["1234567890"], "*" * 14),
        ("mask", "ÄÖÜäöüß€", "****öüß€"),
        ("hash", "secret", "sha256_" + sha256(b"secret").hexdigest()),
        ("hash", "é", "sha256_" + sha256("é".encode()).hexdigest()),
        ("hash", 5, "sha256_" + sha256(b"5").hexdigest()),
        ("hash", {"b": 1, "a": 2}, "sha256_" + sha256(b'{"a":2,"b":1}').hexdigest()),
        ("generalize", "1984-05-17", "1984"),  # birthDate → birthYear
        ("generalize", "1984-05", "1984"),
        ("generalize", "1984-05-17T10:00:00Z", "1984"),
        ("generalize", "1984-05-17 10:00", "1984"),
        ("generalize", "Smith", "S…"),
        ("generalize", "S", "S"),
        ("generalize", "", ""),
        ("generalize", 48213, 40000),
        ("generalize", -48213, -40000),
        ("generalize", 7, 7),
        ("generalize", 1000, 1000),
        ("generalize", 999, 900),
        ("generalize", 0, 0),
        ("generalize", True, None),
        ("generalize", None, None),
        ("generalize", {"a": 1}, None),
    ],
)
def test_methods(method: str, value: object, wanted: object) -> None:
    assert shown(value, method) == {"field": wanted, "kept": 1}


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        ("0.0482", "0.04"),
        ("1.50", "1"),
        ("-9.99", "-9"),
        ("9007199254740993", "9000000000000000"),
        ("0." + "0" * 400 + "57", "0." + "0" * 400 + "5"),
        ("3" + "7" * 5000, "3" + "0" * 5000),
        ("0.00", "0"),
    ],
)
def test_every_number_of_jsonb_is_generalized(number: str, wanted: str) -> None:
    rules = '[{"path": "field", "method": "generalize"}]'
    assert privacy.redact_json(f'{{"field": {number}}}', rules, SALT) == f'{{"field":{wanted}}}'


@pytest.mark.parametrize("number", ["9007199254740993", "1" + "0" * 5000, "0.1000000000000000055"])
def test_numbers_that_are_not_redacted_stay_as_they_are(number: str) -> None:
    rules = '[{"path": "field", "method": "hash"}]'
    assert privacy.redact_json(f'{{"kept": {number}}}', rules, SALT) == f'{{"kept":{number}}}'


def test_equal_numbers_have_equal_hashes() -> None:
    rules = '[{"path": "field", "method": "hash"}]'
    hashes = {
        privacy.redact_json(f'{{"field": {number}}}', rules, SALT)
        for number in ("10.5", "10.50", "10.500")
    }
    assert len(hashes) == 1
    assert privacy.redact_json('{"field": 10}', rules, SALT) != privacy.redact_json(
        '{"field": 100}', rules, SALT
    )


def test_a_document_too_deep_is_not_shown() -> None:
    deep = "[" * 5000 + "]" * 5000
    rules = '[{"path": "field", "method": "drop"}]'
    assert privacy.redact_json(f'{{"field": 1, "deep": {deep}}}', rules, SALT) == '"[redacted]"'


def test_dropped_fields_are_gone() -> None:
    assert shown("secret", "drop") == {"kept": 1}


@pytest.mark.parametrize("value", [None, "", 0, False, [], {}])
def test_drop_needs_no_value(value: object) -> None:
    assert shown(value, "drop") == {"kept": 1}


def test_tokens_are_stable_and_salted() -> None:
    first = shown("secret", "tokenize")["field"]
    assert first == shown("secret", "tokenize")["field"]
    assert first != shown("Secret", "tokenize")["field"]
    assert first.startswith("tok_")
    assert "secret" not in first
    other = redact({"field": "secret"}, [{"path": "field", "method": "tokenize"}], "salt")
    assert other != {"field": first}
    assert first != "tok_" + sha256(b"secret").hexdigest()[:32]


@pytest.mark.parametrize("method", sorted(privacy.METHODS))
@pytest.mark.parametrize("path", ["absent", "field.absent", "kept.absent", "field.a.b.c", "Field"])
def test_a_path_that_leads_nowhere_changes_nothing(method: str, path: str) -> None:
    document = {"field": {"a": {"b": None}}, "kept": "x"}
    assert redact(document, [{"path": path, "method": method}], SALT) == document


@pytest.mark.parametrize("document", [None, "field", 5, True, [], {}, [1, "field"]])
def test_documents_without_fields(document: object) -> None:
    assert redact(document, [{"path": "field", "method": "drop"}], SALT) == document


def test_arrays_on_the_way_stand_for_their_elements() -> None:
    document = {"cards": [{"pan": "1"}, {"other": 2}, "text", [{"pan": "3"}]]}
    rules = [{"path": "cards.pan", "method": "nullify"}]
    assert redact(document, rules, SALT) == {
        "cards": [{"pan": None}, {"other": 2}, "text", [{"pan": None}]]
    }
    rules = [{"path": "cards.pan", "method": "drop"}]
    assert redact(document, rules, SALT) == {"cards": [{}, {"other": 2}, "text", [{}]]}


def test_arrays_at_the_root_and_at_the_end() -> None:
    rules = [{"path": "pan", "method": "mask"}]
    assert redact([{"pan": "12"}], rules, SALT) == [{"pan": "**"}]
    assert redact({"pan": ["1234567890", "12"]}, rules, SALT) == {"pan": "*" * 19}


def test_an_array_whose_elements_are_dropped_is_dropped() -> None:
    rules = [{"path": "pans", "method": "drop"}]
    assert redact({"pans": ["1", ["2"]], "kept": 1}, rules, SALT) == {"kept": 1}
    assert privacy.redact_json('{"pans": ["1"]}', json.dumps(rules), SALT) == "{}"


def test_rules_apply_one_after_the_other() -> None:
    rules = [
        {"path": "a.b", "method": "mask"},
        {"path": "a.c", "method": "drop"},
        {"path": "d", "method": "nullify"},
    ]
    document = {"a": {"b": "12", "c": 1, "e": 2}, "d": 3}
    assert redact(document, rules, SALT) == {"a": {"b": "**", "e": 2}, "d": None}


def test_json_in_json_out() -> None:
    rules = '[{"path": "a", "method": "hash"}]'
    shown = json.loads(privacy.redact_json('{"a": "x", "n": 1.50, "u": "ü"}', rules, SALT))
    assert shown == {"a": "sha256_" + sha256(b"x").hexdigest(), "n": 1.5, "u": "ü"}
