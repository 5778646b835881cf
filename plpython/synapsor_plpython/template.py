"""Templates of contracts: text in which `{name}` stands for a value.

In contract keys (idempotency key, ordering key, account) a name is one ARG or HIDDEN value:
`{tenant_id}:refund:{charge_id}`. In the inputs of adapter steps and compensations a name starts
with a root: `{parameters.x}`, `{hidden.x}`, `{result.x}`, and may go deeper: `{result.refund.id}`.
`{{` and `}}` are literal braces.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from synapsor_plpython import canonical

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

MAX_LENGTH: Final = 1000
"""Longest template text, in characters."""

MAX_SEGMENTS: Final = 12
"""Most segments of a rooted name, the root included (the bound of data-policy paths)."""

_TOKENS: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


class TemplateError(ValueError):
    """A text that is no template; its message says why and where (characters from 1)."""


class RenderError(ValueError):
    """A reference that has no text. It carries the name and the kind of the value, never the value.

    kind is `absent`, `null`, `object`, `array`, or `number` (one that no double holds).
    """

    def __init__(self, name: str, kind: str) -> None:
        """Remember what was referred to, and what it was."""
        super().__init__(f"{name} is {kind}")
        self.name = name
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Reference:
    """A name in braces: its text as written, and the segments that lead to the value."""

    name: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: literal texts and references in order."""

    source: str
    parts: tuple[str | Reference, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        """Every reference, in order, repeated ones too."""
        return tuple(part for part in self.parts if isinstance(part, Reference))

    @property
    def names(self) -> frozenset[str]:
        """The distinct names referred to, as written."""
        return frozenset(reference.name for reference in self.references)

    def render(self, values: Mapping[str, object]) -> str:
        """Return the text: strings verbatim, integers decimal, booleans `true` and `false`.

        Other numbers are spelled canonically (RFC 8785). `values` maps the first segment of each
        reference. Raises RenderError for the first reference without a text.
        """
        texts: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                texts.append(part)
                continue
            value = values.get(part.name)  # a rooted name is never a key
            texts.append(value if type(value) is str else _text(part, values))
        return "".join(texts)

    def render_value(self, values: Mapping[str, object]) -> object:
        """Return the value itself if the template is exactly one reference, else the text.

        A single reference keeps its JSON type: objects, arrays and null included. Raises
        RenderError when it is absent.
        """
        if len(self.parts) == 1:
            (part,) = self.parts
            if isinstance(part, Reference):
                found, value = _look_up(part, values)
                if not found:
                    raise RenderError(part.name, "absent")
                return value
        return self.render(values)


def parse(text: str, *, roots: AbstractSet[str] | None = None) -> Template:
    """Return the parsed template.

    Without `roots` a reference is one plain name; with `roots` it is one of them, a dot and a path
    of at most 12 segments in all. Raises TemplateError.
    """
    return _parse(text, lambda name, position: _reference(name, position, roots))


def render_json(document: object, named: Mapping[str, object]) -> str:
    """Return a JSON document with every reference in its strings filled, as JSON text.

    A reference is a name of `named`, or a path into it: `{name}`, `{root.path.to.value}`. A string
    that is exactly one reference becomes the value itself, null where there is none. Within text a
    reference must have a text: TemplateError names the first that has not. Names of members are no
    templates.
    """
    if isinstance(document, str):
        return _render_string(document, named)
    if isinstance(document, Mapping):
        members = (
            f"{canonical.quote(name)}:{render_json(value, named)}"
            for name, value in document.items()
        )
        return "{" + ",".join(members) + "}"
    if isinstance(document, list):
        return "[" + ",".join(render_json(item, named) for item in document) + "]"
    return _write(document)


def _render_string(text: str, named: Mapping[str, object]) -> str:
    if "{" not in text and "}" not in text:
        return canonical.quote(text)
    parsed = _parse_path(text)
    try:
        return _write(parsed.render_value(named))
    except RenderError as error:
        if len(parsed.parts) == 1 and error.kind == "absent":
            return "null"
        raise TemplateError(f"{{{error.name}}} is {error.kind}") from None


def _write(value: object) -> str:
    """Return the JSON text of a value; numbers keep every digit."""
    if isinstance(value, str):
        return canonical.quote(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{canonical.quote(k)}:{_write(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


@lru_cache(maxsize=1024)
def _parse_path(text: str) -> Template:
    return _parse(text, _path)


def _parse(text: str, reference: Callable[[str, int], Reference]) -> Template:
    if len(text) > MAX_LENGTH:
        raise TemplateError(f"is longer than {MAX_LENGTH} characters")
    parts: list[str | Reference] = []
    literal = ""
    for token in _TOKENS.finditer(text):
        lexeme, name = token.group(), token.group(1)
        if name is not None:
            if literal:
                parts.append(literal)
                literal = ""
            parts.append(reference(name, token.start() + 1))
        elif lexeme in ("{", "}"):
            raise TemplateError(
                f"has an unpaired {lexeme} at character {token.start() + 1}"
                f" (write {lexeme * 2} for a brace)"
            )
        elif lexeme in ("{{", "}}"):
            literal += lexeme[0]
        else:
            literal += lexeme
    if literal:
        parts.append(literal)
    return Template(text, tuple(parts))


def _reference(name: str, position: int, roots: AbstractSet[str] | None) -> Reference:
    if roots is None:
        if _NAME.fullmatch(name) is None:
            raise TemplateError(f"has no name between the braces at character {position}")
        return Reference(name, (name,))
    path = tuple(name.split("."))
    if path[0] not in roots or len(path) == 1:
        expected = ", ".join(f"{{{root}.…}}" for root in sorted(roots))
        raise TemplateError(f"refers at character {position} to none of {expected}")
    if len(path) > MAX_SEGMENTS:
        raise TemplateError(f"has more than {MAX_SEGMENTS} segments at character {position}")
    if not all(_SEGMENT.fullmatch(segment) for segment in path):
        raise TemplateError(f"has a malformed path at character {position}")
    return Reference(name, path)


def _path(name: str, position: int) -> Reference:
    path = tuple(name.split("."))
    if len(path) > MAX_SEGMENTS:
        raise TemplateError(f"has more than {MAX_SEGMENTS} segments at character {position}")
    if not all(_SEGMENT.fullmatch(segment) for segment in path):
        raise TemplateError(f"has no name or path between the braces at character {position}")
    return Reference(name, path)


def _look_up(reference: Reference, values: Mapping[str, object]) -> tuple[bool, object]:
    value: object = values
    for segment in reference.path:
        if not isinstance(value, Mapping) or segment not in value:
            return False, None
        value = value[segment]
    return True, value


def _text(reference: Reference, values: Mapping[str, object]) -> str:
    found, value = _look_up(reference, values)
    if not found:
        raise RenderError(reference.name, "absent")
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float, Decimal)):
        try:
            return canonical.canonicalize(value)
        except canonical.CanonicalError:
            raise RenderError(reference.name, "number") from None
    raise RenderError(reference.name, _kind(value))


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return "array" if isinstance(value, list) else "object"
