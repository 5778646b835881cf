from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synapsor_plpython.template import RenderError, TemplateError, parse

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
