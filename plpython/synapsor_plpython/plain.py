"""Binding of plain proposals: flat objects of texts, integers and booleans that fit.

A short cut of `binding`, never another opinion: it accepts only what `binding.bind` accepts, with
the same result, and has nothing to say (None) about all else, refusals included. It needs no more
of the standard library than JSON's and SHA-256's C code, so that a new database session proposes
at once.
"""

from __future__ import annotations

from _json import encode_basestring, make_scanner
from hashlib import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final, TypeAlias

    Parts: TypeAlias = tuple[tuple[str, bool], ...]
    Field: TypeAlias = tuple[str, str, type, int, int, object]
    PlainBound: TypeAlias = tuple[str, bytes, bytes, str, bool, str | None, str | None, bool]
    """intent, digest, payload_digest, idempotency_key, key_from_template, ordering_key, account;
    and whether the arguments are those given, with no default among them."""

MAX_CHARACTERS: Final = 16 * 1024
"""Longer parameters may exceed 64 KiB."""

MAX_KEY_LENGTH: Final = 250

SAFE_INTEGER: Final = 2**53 - 1

_TYPES: Final = {"string": str, "integer": int, "boolean": bool}
_KEYWORDS: Final = frozenset(
    {"type", "description", "required", "default"}
    | {"min_length", "max_length", "minimum", "maximum"}
)
_ABSENT: Final = object()


class Plain:
    """A contract whose proposals may be plain."""

    __slots__ = ("account", "fields", "head", "hidden", "key", "ordering_key", "tail")

    def __init__(self, action: str, version: int, definition: Mapping[str, Any]) -> None:
        """Compile a definition that is plain; _NotPlainError if it is not."""
        args = definition.get("args")
        if args is None or definition.get("args_schema") is not None:
            raise _NotPlainError
        hidden = definition["hidden"]
        names = {*args, *hidden}
        # In canonical order: name, its canonical text and a colon, type, bounds of the value or of
        # its length, and what stands for it where it is absent.
        self.fields: tuple[Field, ...] = tuple(_field(name, args[name]) for name in sorted(args))
        self.hidden: tuple[tuple[str, str, str], ...] = tuple(
            (name, encode_basestring(name) + ":", hidden[name]["from"]) for name in sorted(hidden)
        )
        # Templates are their literals and (true) names in order.
        self.key = _template(definition["idempotency"]["key"], names)
        self.ordering_key = _template(definition["ordering_key"], names)
        self.account = _template(definition["account"], names)
        self.head = '{"action":' + encode_basestring(action) + ',"arguments":{'
        self.tail = ',"version":' + str(version) + "}"


class _NotPlainError(ValueError):
    pass


def _not_plain(_text: str) -> object:
    raise _NotPlainError


class _Reading:
    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = _not_plain
    parse_int = int
    parse_constant = _not_plain
    memo: Final[dict[str, str]] = {}


class _ReadingAll(_Reading):
    parse_float = float


_scan: Final = make_scanner(_Reading)  # type: ignore[arg-type]
_scan_all: Final = make_scanner(_ReadingAll)  # type: ignore[arg-type]


def loads(text: str) -> Any:
    """Return the value of a JSON text of ours, its fractions as float."""
    return _scan_all(text, 0)[0]


def compile_plain(action: str, version: int, definition: Mapping[str, Any]) -> Plain | None:
    """Compile a definition as `definition.check_action` returned it; None if it is not plain."""
    try:
        return Plain(action, version, definition)
    except _NotPlainError:
        return None


def bind_plain(  # noqa: C901, PLR0911, PLR0912, PLR0915  # calls would cost more than they do
    contract: Plain, text: str, session: Mapping[str, object], idempotency_key: str | None
) -> PlainBound | None:
    """Bind a caller's JSON text and the session, or return None: then `binding.bind` decides."""
    if len(text) > MAX_CHARACTERS:
        return None
    try:
        parameters, end = _scan(text, 0)
    except (ValueError, StopIteration, RecursionError):
        return None
    if end != len(text) or type(parameters) is not dict:
        return None

    members = []
    values: dict[str, object] = {}
    given = 0
    for name, head, kind, low, high, otherwise in contract.fields:
        value: Any = parameters.get(name, _ABSENT)
        if value is _ABSENT:
            if otherwise is None:
                continue
            if otherwise is _ABSENT:
                return None
            value = otherwise
        else:
            given += 1
            if type(value) is not kind:
                return None
        if kind is str:
            if not low <= len(value) <= high or "\0" in value:
                return None
            members.append(head + encode_basestring(value))
        elif kind is int:
            if not low <= value <= high:
                return None
            members.append(head + str(value))
        else:
            members.append(head + ("true" if value else "false"))
        values[name] = value
    if given != len(parameters):
        return None

    hidden = []
    for name, head, source in contract.hidden:
        value = session.get(source)
        if type(value) is not str:
            return None
        hidden.append(head + encode_basestring(value))
        values[name] = value

    payload = contract.head + ",".join(members) + '},"hidden":{' + ",".join(hidden) + "}"
    try:
        payload_digest = sha256((payload + "}").encode())
    except UnicodeEncodeError:
        return None
    key = idempotency_key
    from_template = False
    if key is None:
        if contract.key is None:
            key = "auto:" + payload_digest.hexdigest()
        else:
            key = _render(contract.key, values)
            from_template = True
    if not _is_key(key):
        return None
    ordering_key = account = None
    if contract.ordering_key is not None:
        ordering_key = _render(contract.ordering_key, values)
        if not _is_key(ordering_key):
            return None
    if contract.account is not None:
        account = _render(contract.account, values)
        if not _is_key(account):
            return None
    intent = payload + ',"idempotency_key":' + encode_basestring(key) + contract.tail
    return (
        intent,
        sha256(intent.encode()).digest(),
        payload_digest.digest(),
        key,
        from_template,
        ordering_key,
        account,
        given == len(members),
    )


def _field(name: str, spec: Mapping[str, Any]) -> Field:
    kind = _TYPES.get(spec["type"]) if isinstance(spec["type"], str) else None
    if kind is None or not name.isascii() or not _KEYWORDS.issuperset(spec):
        raise _NotPlainError
    least, most = ("minimum", "maximum") if kind is int else ("min_length", "max_length")
    low = spec.get(least, -SAFE_INTEGER if kind is int else 0)
    high = spec.get(most, SAFE_INTEGER if kind is int else MAX_CHARACTERS)
    otherwise = spec.get("default", _ABSENT if spec.get("required") else None)
    sound = type(low) is int and type(high) is int
    if not sound or (otherwise not in (None, _ABSENT) and type(otherwise) is not kind):
        raise _NotPlainError
    if "default" in spec and otherwise is None:
        raise _NotPlainError
    if kind is int:
        low, high = max(low, -SAFE_INTEGER), min(high, SAFE_INTEGER)
    return name, encode_basestring(name) + ":", kind, low, high, otherwise


def _template(source: str | None, names: set[str]) -> Parts | None:
    """Split a template; whatever is not text and plain references is left to `template`."""
    if source is None:
        return None
    literal, *rest = source.split("{")
    parts = [(literal, False)] if literal else []
    for piece in rest:
        name, brace, literal = piece.partition("}")
        if not brace or name not in names or "}" in literal:
            raise _NotPlainError
        parts.append((name, True))
        if literal:
            parts.append((literal, False))
    if "}" in source.partition("{")[0]:
        raise _NotPlainError
    return tuple(parts)


def _render(parts: Parts, values: Mapping[str, object]) -> str:
    texts = []
    for part, is_name in parts:
        if not is_name:
            texts.append(part)
            continue
        value = values.get(part)
        if type(value) is str:
            texts.append(value)
        elif type(value) is int:
            texts.append(str(value))
        elif type(value) is bool:
            texts.append("true" if value else "false")
        else:
            return ""
    return "".join(texts)


def _is_key(text: str) -> bool:
    return 0 < len(text) <= MAX_KEY_LENGTH and text.isprintable()
