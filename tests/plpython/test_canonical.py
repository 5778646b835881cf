from __future__ import annotations

import hashlib
import json
import math
import struct
from decimal import Decimal
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from plpython.samples import json_values
from synapsor_plpython import canonical
from synapsor_plpython.canonical import CanonicalError, canonicalize, loads

# RFC 8785 appendix B: the bits of a double, and its text.
RFC_NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]


@pytest.mark.parametrize(("bits", "text"), RFC_NUMBERS)
def test_numbers_are_spelled_as_in_the_rfc(bits: str, text: str) -> None:
    (double,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonicalize(double) == text


def test_the_example_of_the_rfc() -> None:
    source = r"""{
        "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals": [null, true, false]
    }"""
    value = json.loads(source)
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonicalize(value) == expected


def test_keys_are_sorted_by_utf16_code_units() -> None:
    value = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    names = [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]
    assert list(json.loads(canonicalize(value)).values()) == names


@given(
    json_values(
        numbers=st.integers(-(2**53) + 1, 2**53 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
    )
)
def test_agrees_with_the_rfc8785_package(value: Any) -> None:
    assert canonicalize(value).encode() == rfc8785.dumps(value)


@given(json_values())
def test_canonical_text_reads_back_as_itself(value: Any) -> None:
    text = canonicalize(value)
    assert canonicalize(loads(text)) == text
    assert canonicalize(loads(json.dumps(loads(text), default=float))) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_keeps_its_value(value: float) -> None:
    assert float(canonicalize(value)) == value
    assert canonicalize(Decimal(repr(value))) == canonicalize(value)


def test_equal_numbers_have_one_spelling() -> None:
    spellings = ["100", "100.0", "1e2", "1E+2", "100.00000"]
    assert {canonicalize(loads(text)) for text in spellings} == {"100"}
    assert canonicalize(10**21) == "1e+21"


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        Decimal("NaN"),
        Decimal("Infinity"),
        2**53 + 1,
        10**400,
        Decimal("0.1000000000000000055"),
        Decimal("1e400"),
        Decimal("1e-400"),
        Decimal("1e999999999"),
        "\ud800",
        ["\udfff"],
        {"\ud800": 1},
        {1: 2},
        {"a": 1, None: 2},
        (1, 2),
        b"bytes",
        object(),
    ],
)
def test_refuses_what_json_or_a_double_cannot_hold(value: object) -> None:
    with pytest.raises(CanonicalError):
        canonicalize(value)


def test_refuses_bottomless_nesting() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(CanonicalError, match="nested too deeply"):
        canonicalize(value)
    with pytest.raises(CanonicalError, match="nested too deeply"):
        loads("[" * 100_000)


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[Infinity]", "-Infinity", "{'a':1}", "01", '"\n"', "1e99999999999999999999"],
)
def test_loads_refuses_what_is_not_json(text: str) -> None:
    with pytest.raises(CanonicalError):
        loads(text)


def test_loads_reads_integers_as_int_and_the_rest_exactly() -> None:
    value = loads('{"a": 1, "b": 0.1, "c": 1e2, "a": 2}')
    assert value == {"a": 2, "b": Decimal("0.1"), "c": Decimal(100)}
    assert [type(part) for part in value.values()] == [int, Decimal, Decimal]


def test_loads_survives_numbers_that_int_refuses() -> None:
    assert loads("[" + "7" * 5000 + "]") == [Decimal("7" * 5000)]
    with pytest.raises(CanonicalError):
        loads("[" + "7" * 5000 + ", 1e99999999999999999999]")
    with pytest.raises(CanonicalError, match="not JSON"):
        loads("[" + "7" * 5000)


def test_an_error_never_holds_the_value() -> None:
    with pytest.raises(CanonicalError) as caught:
        canonicalize({"a": 4111111111111111111111})
    assert "4111" not in str(caught.value)


def test_digests_are_of_the_utf8_bytes() -> None:
    assert canonical.sha256_hex("€") == hashlib.sha256("€".encode()).hexdigest()
    assert canonical.sha256_bytes("€").hex() == canonical.sha256_hex("€")


@given(json_values())
def test_dumps_is_what_loads_reads(value: Any) -> None:
    read = canonical.loads(canonical.dumps(value))
    assert json.loads(canonical.dumps(value)) == json.loads(json.dumps(value, default=float))
    assert canonical.loads(canonical.dumps(read)) == read


def test_dumps_keeps_order_and_digits() -> None:
    text = '{"b": [1.50, 12345678901234567890, 1E+400], "a": "\\n/\\u0000é"}'
    assert canonical.dumps(canonical.loads(text)) == text
