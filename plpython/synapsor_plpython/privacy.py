"""Redaction of documents when they are shown (reference/pipeline.md, B.9).

A rule names a field by its path from the root of the document, names joined by dots; an array on
the way stands for each of its elements. Six methods make a value less telling; the stored document
is never touched.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256

_DATE = re.compile(r"(\d{4})-\d{2}(?:-\d{2})?(?:[T ].*)?", re.DOTALL)
_SHOWN = 4

_Method = Callable[[object, bytes], object]


class _Drop:
    """Stands for a field that is to be left out."""


DROP = _Drop()


class _Number(str):
    """A JSON number as it is written: jsonb holds more of them than Python's numbers do."""

    __slots__ = ()


def redact_json(document: str, rules: str, salt: str) -> str:
    """Return the document with every rule applied: `{"path", "method"}` each.

    A path that names nothing changes nothing. `salt` makes the surrogates of `tokenize` this
    database's own. A document too deep to be looked through is not shown at all: one document must
    not make a view unreadable.
    """
    try:
        shown = json.loads(document, parse_int=_Number, parse_float=_Number)
        for rule in json.loads(rules):
            shown = _apply(shown, rule["path"].split("."), METHODS[rule["method"]], salt.encode())
        return _write(shown)
    except RecursionError:
        return '"[redacted]"'


def _write(value: object) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        members = (f"{_write(name)}:{_write(value[name])}" for name in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _apply(value: object, path: Sequence[str], method: _Method, salt: bytes) -> object:
    if not path:
        return method(value, salt)
    if isinstance(value, list):
        return [_apply(element, path, method, salt) for element in value]
    if not isinstance(value, dict) or path[0] not in value:
        return value
    changed = _apply(value[path[0]], path[1:], method, salt)
    if changed is DROP:
        return {name: kept for name, kept in value.items() if name != path[0]}
    return {**value, path[0]: changed}


def _mask(value: object, _salt: bytes) -> object:
    """Hide all but the last four characters, and those too where they would be half of it."""
    text = _text(value)
    tells = len(text) >= 2 * _SHOWN and not isinstance(value, list | dict)
    shown = text[-_SHOWN:] if tells else ""
    return "*" * (len(text) - len(shown)) + shown


def _hash(value: object, _salt: bytes) -> object:
    return "sha256_" + sha256(_text(value).encode()).hexdigest()


def _tokenize(value: object, salt: bytes) -> object:
    return "tok_" + hmac.new(salt, _text(value).encode(), sha256).hexdigest()[:32]


def _generalize(value: object, _salt: bytes) -> object:
    """Keep the year of a date, the first digit of a number, the first letter of a text."""
    if isinstance(value, _Number):
        number = Decimal(value)
        if number == 0:
            return _Number("0")
        sign, digits, _exponent = number.as_tuple()
        return _Number(format(Decimal((sign, digits[:1], number.adjusted())), "f"))
    if isinstance(value, str):
        date = _DATE.fullmatch(value)
        return date[1] if date else value[:1] + "…" * (len(value) > 1)
    return None


def _text(value: object) -> str:
    # Equal numbers must be equal to `hash` and `tokenize`.
    if isinstance(value, _Number) and "." in value and "e" not in value.lower():
        return value.rstrip("0").rstrip(".")
    return value if isinstance(value, str) else _write(value)


METHODS: Mapping[str, _Method] = {
    "nullify": lambda _value, _salt: None,
    "mask": _mask,
    "hash": _hash,
    "tokenize": _tokenize,
    "generalize": _generalize,
    "drop": lambda _value, _salt: DROP,
}
