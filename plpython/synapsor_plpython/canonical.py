"""One spelling per JSON value: RFC 8785, the JSON Canonicalization Scheme (JCS).

Digests are taken over these texts, so that equal values have equal digests whatever blanks, key
order or number spelling a caller used.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SAFE_INTEGER: Final = 2**53 - 1
"""Largest integer up to which every integer is an IEEE 754 double (RFC 7493 section 2.2)."""

_MANY_DIGITS: Final = 1000
"""Integers with more characters are read as Decimal: int() refuses above 4300 and is quadratic."""


class CanonicalError(ValueError):
    """A value that JSON, or the canonical form, cannot spell. Its text never holds the value."""


def canonicalize(value: object) -> str:
    """Return the canonical JSON text of a value (RFC 8785 section 3.2).

    Accepts dict with str keys, list, str, int, float, Decimal, bool and None, no subclasses. Keys
    are sorted by UTF-16 code units, numbers are spelled as ECMAScript spells the double.

    Raises CanonicalError for lone surrogates, NaN and infinities, for an int or Decimal that no
    double holds without loss (see `is_double`), for any other type, and for nesting that exceeds
    the interpreter's stack.
    """
    try:
        text = _write(value)
    except RecursionError:
        raise CanonicalError("nested too deeply") from None
    except UnicodeEncodeError:
        raise CanonicalError("contains a lone surrogate") from None
    if not text.isascii() and not is_unicode(text):
        raise CanonicalError("contains a lone surrogate")
    return text


def loads(text: str) -> Any:
    """Return the value of a JSON text: integers as int, other numbers as Decimal, exactly.

    An integer of more than 1000 characters comes as Decimal too. Of duplicate keys the last one
    wins, as in jsonb. Raises CanonicalError for anything that is not JSON (RFC 8259), for NaN and
    Infinity, and for nesting that exceeds the interpreter's stack.
    """
    try:
        try:
            return _decode(text)
        except (CanonicalError, json.JSONDecodeError):
            raise
        except ValueError:  # int() refused the length
            return _decode_long(text)
    except RecursionError:
        raise CanonicalError("nested too deeply") from None
    except InvalidOperation:
        raise CanonicalError("contains a number beyond any range") from None
    except json.JSONDecodeError as error:
        raise CanonicalError(f"not JSON: {error.msg} at character {error.pos + 1}") from None


def dumps(value: object) -> str:
    """Return a JSON text that `loads` reads back as the same value, numbers to the last digit.

    Not canonical: keys stay in order and numbers in their spelling. Takes what `loads` returns.
    """
    if isinstance(value, dict):
        members = [f"{encode_basestring(key)}: {dumps(member)}" for key, member in value.items()]
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join([dumps(item) for item in value]) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


def sha256_hex(text: str) -> str:
    """Return the SHA-256 of the text's UTF-8 bytes as 64 lower-case hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_bytes(text: str) -> bytes:
    """Return the SHA-256 of the text's UTF-8 bytes as 32 bytes."""
    return hashlib.sha256(text.encode()).digest()


def quote(text: str) -> str:
    """Return the JSON string of a text (RFC 8785 section 3.2.2.2), surrogates unchecked."""
    return encode_basestring(text)


def is_unicode(text: str) -> bool:
    """Tell whether a text has no lone surrogate, that is, can be encoded as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_double(value: float | Decimal) -> bool:
    """Tell whether a number is a finite IEEE 754 double without loss.

    Without loss means: the shortest decimal that reads back as the double equals the number, so
    0.1 is one and 0.1000000000000000055 is not.
    """
    try:
        double = float(value)
    except OverflowError:
        return False
    if double - double != 0:
        return False
    return isinstance(value, float) or Decimal(repr(double)) == value


def _refuse_constant(_name: str) -> object:
    raise CanonicalError("contains NaN or an infinity")


def _read_integer(digits: str) -> int | Decimal:
    return Decimal(digits) if len(digits) > _MANY_DIGITS else int(digits)


_decode = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant).decode
_decode_long = json.JSONDecoder(
    parse_float=Decimal,
    parse_int=_read_integer,
    parse_constant=_refuse_constant,
).decode


def _write(value: object) -> str:
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise CanonicalError(f"{type(value).__name__} is no JSON type")
    return writer(value)


def _write_integer(value: int) -> str:
    return str(value) if -SAFE_INTEGER <= value <= SAFE_INTEGER else _write_exact(value)


def _write_array(value: list[Any]) -> str:
    return "[" + ",".join([_write(item) for item in value]) + "]"


def _write_object(value: dict[Any, Any]) -> str:
    try:
        ascii_keys = "".join(value).isascii()
    except TypeError:
        raise CanonicalError("an object key is not a string") from None
    # Code points and UTF-16 code units sort alike below U+E000.
    keys = sorted(value) if ascii_keys else sorted(value, key=_utf16)
    return "{" + ",".join([encode_basestring(key) + ":" + _write(value[key]) for key in keys]) + "}"


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")


def _write_exact(value: int | Decimal) -> str:
    if not is_double(value):
        raise CanonicalError("a number is no finite double without loss")
    return _write_double(float(value))


def _write_double(value: float) -> str:
    """Spell a double as ECMAScript does (ECMA-262, Number::toString)."""
    if value - value != 0:
        raise CanonicalError("contains NaN or an infinity")
    if value == 0:
        return "0"
    text = float.__repr__(value)
    if "e" not in text:
        return text.removesuffix(".0")
    sign, text = ("-", text[1:]) if text[0] == "-" else ("", text)
    mantissa, exponent_text = text.split("e")
    digits = mantissa.replace(".", "").rstrip("0")
    point = int(exponent_text) + 1  # the value is 0.digits times ten to this
    if len(digits) <= point <= 21:  # noqa: PLR2004  # the bounds of ECMA-262
        return sign + digits + "0" * (point - len(digits))
    if -6 < point <= 0:  # noqa: PLR2004
        return sign + "0." + "0" * -point + digits
    fraction = "." + digits[1:] if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{point - 1:+d}"


_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    str: encode_basestring,
    int: _write_integer,
    Decimal: _write_exact,
    float: _write_double,
    bool: lambda value: "true" if value else "false",
    type(None): lambda _value: "null",
    dict: _write_object,
    list: _write_array,
}
