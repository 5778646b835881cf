from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plpython.samples import json_values
from synapsor_plpython import canonical
from synapsor_plpython.template import RenderError, TemplateError, parse, render_json

ROOTS = frozenset({"parameters", "hidden", "result"})


def test_renders_scalars() -> None:
    values = {"s": "a b", "i": -3, "t": True, "f": False, "n": Decimal("2.50"), "e": 1e21}
    assert parse("{s}|{i}|{t}|{f}|{n}|{e}").render(values) == "a b|-3|true|false|2.5|1e+21"


def test_doubled_braces_are_literal() -> None:
    parsed = parse("{{{a}}}-{{b}}")
    assert parsed.render({"a": 1}) == "{1}-{b}"
    assert parsed.names == {"a"}


def test_lists_its_references_in_order() -> None:
    parsed = parse("{b}:{a}:{b}")
    assert [reference.name for reference in parsed.references] == ["b", "a", "b"]
    assert parsed.names == {"a", "b"}


@given(st.text())
def test_any_text_is_a_template_once_its_braces_are_doubled(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")
    if len(doubled) <= 1000:
        assert parse(doubled).render({}) == text


@given(st.text(alphabet="{}ab.", max_size=12))
def test_parses_or_says_why_not(text: str) -> None:
    try:
        parsed = parse(text)
    except TemplateError:
        return
    parsed.render(dict.fromkeys(parsed.names, "x"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a{", "unpaired { at character 2"),
        ("a}b", "unpaired } at character 2"),
        ("{a", "unpaired {"),
        ("{}", "no name between the braces at character 1"),
        ("{a.b}", "no name"),
        ("{a b}", "no name"),
        ("{1a}", "no name"),
        ("{é}", "no name"),
        ("x" * 1001, "longer than 1000"),
    ],
)
def test_refuses_malformed_templates(text: str, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason):
        parse(text)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "null"), ({}, "object"), ([], "array"), (2**60 + 1, "number")],
)
def test_a_value_without_text_is_named_but_not_shown(value: object, kind: str) -> None:
    with pytest.raises(RenderError) as caught:
        parse("x:{a}").render({"a": value})
    assert (caught.value.name, caught.value.kind) == ("a", kind)


def test_an_absent_value_is_named() -> None:
    with pytest.raises(RenderError) as caught:
        parse("{a}").render({})
    assert (caught.value.name, caught.value.kind) == ("a", "absent")


def test_rooted_references_go_deep() -> None:
    values = {"result": {"refund": {"id": "re_1"}}, "parameters": {"x": 1}, "hidden": {}}
    assert parse("{result.refund.id}/{parameters.x}", roots=ROOTS).render(values) == "re_1/1"


@pytest.mark.parametrize("value", [1, "a", None, True, [1], {"a": {}}, Decimal("1.5")])
def test_a_single_reference_keeps_its_type(value: Any) -> None:
    rendered = parse("{result.x}", roots=ROOTS).render_value({"result": {"x": value}})
    assert rendered == value
    assert type(rendered) is type(value)


def test_more_than_a_reference_is_text() -> None:
    assert parse("{result.x} ", roots=ROOTS).render_value({"result": {"x": 1}}) == "1 "
    assert parse("literal", roots=ROOTS).render_value({}) == "literal"
    with pytest.raises(RenderError):
        parse("{result.x}", roots=ROOTS).render_value({"result": {}})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{x}", "to none of {hidden.…}, {parameters.…}, {result.…}"),
        ("{result}", "to none of"),
        ("{other.x}", "to none of"),
        ("{result..x}", "malformed"),
        ("{result.a b}", "malformed"),
        ("{result." + ".".join("abcdefghijkl") + "}", "more than 12 segments"),
    ],
)
def test_refuses_malformed_rooted_references(text: str, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason):
        parse(text, roots=ROOTS)


NAMED: dict[str, object] = {
    "id": "inv_1",
    "n": 3,
    "nothing": None,
    "result": {"refund": {"id": "re_1", "amount": 2500, "lines": [1, {"a": None}]}, "ok": True},
}


@pytest.mark.parametrize(
    ("document", "rendered"),
    [
        ("{id}", "inv_1"),
        ("{n}", 3),
        ("{nothing}", None),
        ("{missing}", None),
        ("{result.missing.deep}", None),
        ("{id.deeper}", None),
        ("{result.refund}", {"id": "re_1", "amount": 2500, "lines": [1, {"a": None}]}),
        ("{result.refund.id}/{n} {{{result.ok}}}", "re_1/3 {true}"),
        ("plain", "plain"),
        ({"{id}": "{id}", "b": ["{n}", {"c": "x{n}"}], "d": 1.5}, None),
        ([None, True, False, 0, "", [], {}], [None, True, False, 0, "", [], {}]),
    ],
)
def test_a_document_is_filled(document: object, rendered: object) -> None:
    if rendered is None and isinstance(document, dict):
        rendered = {"{id}": "inv_1", "b": [3, {"c": "x3"}], "d": 1.5}
    assert json.loads(render_json(document, NAMED)) == rendered


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("x{missing}", "{missing} is absent"),
        ({"a": ["x{result.refund}"]}, "{result.refund} is object"),
        ("{nothing}!", "{nothing} is null"),
        ("a{", "unpaired { at character 2"),
        ("{a b}", "no name or path between the braces at character 1"),
        ("{}", "no name or path"),
        ("{a..b}", "no name or path"),
        ("{" + ".".join("abcdefghijklm") + "}", "more than 12 segments"),
    ],
)
def test_what_cannot_be_filled_is_named(document: object, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason):
        render_json(document, NAMED)


@given(json_values())
def test_any_value_comes_through_a_reference_unchanged(value: object) -> None:
    assert canonical.loads(render_json("{a.b}", {"a": {"b": value}})) == canonical.loads(
        canonical.canonicalize(value)
    )


def test_numbers_keep_every_digit() -> None:
    text = '{"a": 9007199254740993, "b": 0.1000000000000000055, "c": 1E+400, "d": 1.50}'
    rendered = render_json({"x": "{v}"}, {"v": canonical.loads(text)})
    assert canonical.loads(rendered)["x"] == canonical.loads(text)
    assert "9007199254740993" in rendered
    assert "0.1000000000000000055" in rendered
