"""Reading a definition key by key, with every reason against it collected on the way.

A key that is null counts as not given; a key nobody knows is a reason. What only PostgreSQL can
judge (intervals, SQL/JSON paths, regular expressions) is collected as checks.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from synapsor_plpython import schema

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_ITEMS: Final = 200
"""Most entries of a list and fields of an object."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CAPITAL: Final = re.compile(r"[A-Z]")
_STRICT: Final = re.compile(r"\s*strict\b\s*", re.IGNORECASE)
_JSONPATH_TOKEN: Final = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*") | (?P<comment>/\*.*?\*/) | (?P<word>[^\W\d]\w*) | \s+ | .""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a definition is refused: the path of the key, and a phrase that continues it."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Check:
    """A value only the database can judge; kind is `interval`, `jsonpath` or `regex`."""

    path: str
    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What a reader found so far."""

    reasons: list[Reason] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    def refuse(self, path: str, reason: str) -> None:
        """Add a reason."""
        self.reasons.append(Reason(path, reason))

    def defer(self, path: str, kind: str, value: str) -> None:
        """Leave a value to the database."""
        self.checks.append(Check(path, kind, value))


class Shape(NamedTuple):
    """What a text may be: so many characters, a pattern and its words, line breaks and margins."""

    longest: int
    pattern: re.Pattern[str] | None = None
    lines: bool = False
    told: str | None = None


NAME: Final = Shape(128)
PROSE: Final = Shape(4000, lines=True)
CONDITION: Final = Shape(2000, lines=True)


class Reader:
    """One object of a definition. Its keys are read with a default; null is not given."""

    __slots__ = ("found", "path", "value")

    def __init__(self, found: Findings, value: object, path: str, known: Collection[str]) -> None:
        """Refuse anything but an object, and every key that is not known."""
        self.found = found
        self.path = path
        self.value: dict[str, Any] = {}
        if not isinstance(value, dict):
            found.refuse(path, f"is {a_kind(value)}, not an object")
            return
        self.value = value
        for key in value:
            if key not in known:
                found.refuse(self.at(key), "is not a known key" + _suggestion(key, known))

    def at(self, key: str) -> str:
        """Return the path of a key."""
        return schema.child_path(self.path or "$", key)

    def has(self, key: str) -> bool:
        """Tell whether a key is given."""
        return self.value.get(key) is not None

    def part(self, key: str, known: Collection[str]) -> Reader:
        """Return a reader for the object at a key, an empty one where there is none."""
        value = self.value.get(key)
        return Reader(self.found, {} if value is None else value, self.at(key), known)

    def refuse(self, key: str, reason: str) -> None:
        """Add a reason against a key."""
        self.found.refuse(self.at(key), reason)

    def require(self, *keys: str) -> None:
        """Add a reason against each key that is not given."""
        for key in keys:
            if not self.has(key):
                self.refuse(key, "is required")

    def text(self, key: str, default: str | None = None, shape: Shape = NAME) -> str | None:
        """Read a text."""
        if not self.has(key):
            return default
        value = self.value[key]
        return str(value) if is_text(self.found, self.at(key), value, shape) else default

    def choice(self, key: str, default: str, choices: Collection[str]) -> str:
        """Read one of several texts."""
        if not self.has(key):
            return default
        value = self.value[key]
        if isinstance(value, str) and value in choices:
            return value
        self.refuse(key, "is none of " + ", ".join(choices))
        return default

    def number(self, key: str, default: int, low: int, high: int) -> int | Decimal:
        """Read a number from low to high, exactly; one without a fraction comes as int."""
        if not self.has(key):
            return default
        value = self.value[key]
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
            self.refuse(key, f"is {a_kind(value)}, not a number")
        elif not low <= value <= high:
            self.refuse(key, f"is not from {low} to {high}")
        else:
            exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
            return int(exact) if exact == int(exact) else exact
        return default

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        """Read an integer from low to high; 3.0 is one."""
        if not self.has(key):
            return default
        value = self.value[key]
        if schema.kind_of(value) == "number" and low <= value <= high and value == int(value):
            return int(value)
        self.refuse(key, f"is not an integer from {low} to {high}")
        return default

    def flag(self, key: str, *, default: bool) -> bool:
        """Read a boolean."""
        if not self.has(key):
            return default
        value = self.value[key]
        if isinstance(value, bool):
            return value
        self.refuse(key, f"is {a_kind(value)}, not a boolean")
        return default

    def interval(self, key: str, default: str | None) -> str | None:
        """Read a PostgreSQL interval, in any unit; the database checks it."""
        value = self.text(key)
        if value is None:
            return default
        self.found.defer(self.at(key), "interval", value)
        return value

    def condition(self, key: str) -> str | None:
        """Read a SQL/JSON path predicate; it comes back beginning with `strict `."""
        value = self.text(key, shape=CONDITION)
        if value is None:
            return None
        reason = why_not_strict(value)
        if reason is not None:
            self.refuse(key, reason)
        value = "strict " + _STRICT.sub("", value, 1) if _STRICT.match(value) else f"strict {value}"
        self.found.defer(self.at(key), "jsonpath", value)
        return value

    def texts(self, key: str, shape: Shape = NAME, choices: Collection[str] = ()) -> list[str]:
        """Read a list of distinct texts."""
        kept: list[str] = []
        for path, value in self.items(key):
            if not is_text(self.found, path, value, shape):
                continue
            if choices and value not in choices:
                self.found.refuse(path, "is none of " + ", ".join(choices))
            elif value in kept:
                self.found.refuse(path, "is named twice")
            else:
                kept.append(value)
        return kept

    def items(self, key: str) -> list[tuple[str, Any]]:
        """Return the items of a list with their paths."""
        value = self.value.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.refuse(key, f"is {a_kind(value)}, not an array")
            return []
        if len(value) > MAX_ITEMS:
            self.refuse(key, f"has more than {MAX_ITEMS} items")
            return []
        return [(f"{self.at(key)}[{position}]", item) for position, item in enumerate(value)]

    def members(self, key: str, names: re.Pattern[str]) -> list[tuple[str, str, Any]]:
        """Return the members of an object by name with their paths; bad names are reasons."""
        value = self.value.get(key)
        if value is None:
            return []
        if not isinstance(value, dict):
            self.refuse(key, f"is {a_kind(value)}, not an object")
            return []
        if len(value) > MAX_ITEMS:
            self.refuse(key, f"has more than {MAX_ITEMS} fields")
            return []
        kept: list[tuple[str, str, Any]] = []
        for name, member in value.items():
            path = schema.child_path(self.at(key), name)
            if names.fullmatch(name):
                kept.append((name, path, member))
            else:
                self.found.refuse(path, f"is no field name (^{names.pattern}$)")
        return kept


def is_text(found: Findings, path: str, value: object, shape: Shape = NAME) -> bool:
    """Tell whether the value is a text of that shape, else add a reason."""
    if not isinstance(value, str):
        found.refuse(path, f"is {a_kind(value)}, not a string")
    elif not value.strip():
        found.refuse(path, "is empty")
    elif len(value) > shape.longest:
        found.refuse(path, f"is longer than {shape.longest} characters")
    elif _CONTROL.search(re.sub(r"[\t\r\n]", "", value) if shape.lines else value):
        found.refuse(path, "contains a control character")
    elif not shape.lines and value != value.strip():
        found.refuse(path, "has blanks around it")
    elif shape.pattern is not None and shape.pattern.fullmatch(value) is None:
        found.refuse(path, shape.told or f"does not match ^{shape.pattern.pattern}$")
    else:
        return True
    return False


def a_kind(value: object) -> str:
    """Return the JSON type of a value with its article, for messages."""
    kind = schema.kind_of(value)
    if kind == "null":
        return kind
    return f"an {kind}" if kind[0] in "ao" else f"a {kind}"


def why_not_strict(path: str) -> str | None:
    """Tell why a SQL/JSON path is no strict single-valued predicate, or return None.

    `lax`, wildcards, ranges, several subscripts and keyvalue() make a predicate true as soon as
    any one of several values fits: an approval would be waived by the smallest of them.
    PostgreSQL reads these words in any case, and escapes in them, so escapes are refused.
    """
    depth = 0
    before = ""
    for token in _JSONPATH_TOKEN.finditer(path):
        lexeme = token.group().lower()
        if lexeme.isspace() or token.lastgroup == "comment":
            continue
        depth += (lexeme == "[") - (lexeme == "]")
        reason = _why_several(lexeme, before, subscript=depth > 0)
        if reason is not None:
            return reason
        before = lexeme
    return None


def _why_several(lexeme: str, before: str, *, subscript: bool) -> str | None:
    reason: str | None = None
    if lexeme == "\\":
        reason = "uses an escape outside a string"
    elif lexeme == "lax" and not before:
        reason = "says lax, but conditions are strict"
    elif lexeme == "keyvalue" and before == ".":
        reason = "uses keyvalue(), which stands for several values"
    elif lexeme == "*" and before in (".", "["):
        reason = "uses a wildcard, which stands for several values"
    elif subscript and lexeme == "to" and before != ".":
        reason = "uses a range, which stands for several values"
    elif subscript and lexeme == ",":
        reason = "uses several subscripts, which stand for several values"
    return reason


def _suggestion(key: str, known: Collection[str]) -> str:
    """Return a hint at the key that was perhaps meant; `maxLength` is taken for `max_length`."""
    snake = _CAPITAL.sub(lambda letter: "_" + letter.group().lower(), key[:64])
    close = difflib.get_close_matches(snake, sorted(known), 1, 0.75) or difflib.get_close_matches(
        key[:64], sorted(known), 1, 0.75
    )
    return f" (did you mean {close[0]}?)" if close else ""
