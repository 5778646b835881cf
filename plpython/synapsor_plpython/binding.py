"""Binding: what a caller asked for, made one with what the session is trusted for.

The rules are those of design.md section 5, rules 1 to 3. `compile_contract` is called once per
contract version and database session, `bind` once per proposal.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from synapsor_plpython import canonical, schema, template

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES: Final = 64 * 1024
"""Largest caller JSON, in UTF-8 bytes of the text as given (jsonb::text writes blanks, too)."""

MAX_PARSED_BYTES: Final = 1024 * 1024
"""Above this a caller JSON is not even read; between the two its names are still judged."""

MAX_KEY_LENGTH: Final = 250
"""Longest idempotency key, ordering key and account, in characters."""

MAX_VIOLATIONS: Final = 1000
"""Most violations listed; a last one with rule `more` counts the rest."""

VALIDATION_FAILED: Final = "SY003"
HIDDEN_OVERRIDE: Final = "SY004"
SESSION_VALUE_MISSING: Final = "SY005"

_PRECEDENCE: Final = (HIDDEN_OVERRIDE, VALIDATION_FAILED, SESSION_VALUE_MISSING)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_WIDEST: Final = 4  # UTF-8 bytes of a character


class Hidden(NamedTuple):
    """A HIDDEN field: its name, the session key it is copied from, whether that must be there."""

    name: str
    source: str
    required: bool


@dataclass(frozen=True, slots=True)
class Contract:
    """A compiled action contract. Whatever does not depend on the proposal is computed here."""

    action: str
    version: int
    arguments: schema.Validator
    hidden: tuple[Hidden, ...]
    hidden_names: frozenset[str]
    arg_names: frozenset[str]
    defaults: Mapping[str, object]
    key: template.Template | None
    ordering_key: template.Template | None
    account: template.Template | str | None
    key_reveals: bool
    """The idempotency key's template uses a HIDDEN or a `redact` field."""
    ordering_key_reveals: bool
    """The same of the ordering key's."""
    head: str
    """The canonical text of an intent up to its arguments."""
    tail: str
    """The canonical text of an intent from its version on."""


class Bound(NamedTuple):
    """The result of `bind`: either an error with violations, or all of the rest."""

    error_code: str | None
    """SY003, SY004 or SY005; None on success."""
    error_message: str | None
    """The fact, lower case, no full stop."""
    violations: list[dict[str, Any]]
    """Each `{"code", "path", "rule", "kind"}` and perhaps `"expected"`, `"name"`."""
    intent: str | None
    """Canonical JSON of action, arguments, hidden, idempotency_key and version."""
    digest: bytes | None
    """SHA-256 of the intent's bytes."""
    payload_digest: bytes | None
    """SHA-256 of the canonical JSON of action, arguments and hidden."""
    idempotency_key: str | None
    key_from_template: bool
    """The contract's template made the key, so that `Contract.key_reveals` says if it is secret."""
    ordering_key: str | None
    account: str | None
    arguments: str | None
    """Canonical JSON of the ARG values, defaults filled in."""
    hidden: str | None
    """Canonical JSON of the HIDDEN values; one that is not required and missing is null."""


def compile_contract(action: str, version: int, definition: Mapping[str, Any]) -> Contract:
    """Compile a definition as `definition.check_action` returned it, without reasons."""
    hidden = tuple(
        Hidden(name, spec["from"], spec["required"]) for name, spec in definition["hidden"].items()
    )
    hidden_names = frozenset(field.name for field in hidden)
    args_schema = definition.get("args_schema")
    if args_schema is None:
        args = definition["args"]
        args_schema = schema.schema_of_args(args)
        defaults = {name: spec["default"] for name, spec in args.items() if "default" in spec}
    else:
        defaults = {}
    arg_names = frozenset(args_schema.get("properties", {}))
    # The names are judged by `bind`, which knows HIDDEN from undeclared.
    args_schema = {**args_schema, "additionalProperties": True}
    key = _parse(definition["idempotency"]["key"])
    ordering_key = _parse(definition["ordering_key"])
    account = _parse(definition["account"])
    secret = hidden_names | frozenset(definition["redact"])
    return Contract(
        action=action,
        version=version,
        arguments=schema.compile_schema(args_schema),
        hidden=hidden,
        hidden_names=hidden_names,
        arg_names=arg_names,
        defaults=defaults,
        key=key,
        ordering_key=ordering_key,
        account=account.render({}) if account is not None and not account.names else account,
        key_reveals=key is not None and not key.names.isdisjoint(secret),
        ordering_key_reveals=ordering_key is not None and not ordering_key.names.isdisjoint(secret),
        head='{"action":' + canonical.quote(action) + ',"arguments":',
        tail=',"version":' + str(version) + "}",
    )


def bind(
    contract: Contract,
    parameters_text: str,
    session: Mapping[str, object],
    idempotency_key: str | None,
    matches: schema.Matches,
) -> Bound:
    """Bind a caller's JSON text and the session to a contract.

    Lists every violation. Never raises for any text, session or key; exceptions of `matches` pass
    through. A violation never holds a value, and of a HIDDEN field not even the kind.
    """
    found: list[dict[str, Any]] = []
    arguments = _read_arguments(contract, parameters_text, found, matches)
    hidden = _read_hidden(contract, session, found)
    if idempotency_key is not None:
        _check_key(idempotency_key, "idempotency_key", found)
    if found or arguments is None:
        return _refused(contract, found)

    arguments_text = canonical.canonicalize(arguments)
    try:
        hidden_text = canonical.canonicalize(hidden)
    except canonical.CanonicalError:
        return _refused(contract, _unspeakable(hidden))
    payload = contract.head + arguments_text + ',"hidden":' + hidden_text
    payload_digest = sha256((payload + "}").encode())

    values = {**arguments, **hidden}
    key = idempotency_key
    if key is None:
        if contract.key is None:
            key = "auto:" + payload_digest.hexdigest()
        else:
            key = _render(contract, contract.key, "idempotency.key", values, found)
    ordering_key = _render(contract, contract.ordering_key, "ordering_key", values, found)
    account = contract.account
    if isinstance(account, template.Template):
        account = _render(contract, account, "account", values, found)
    if found or key is None:
        return _refused(contract, found)

    intent = payload + ',"idempotency_key":' + canonical.quote(key) + contract.tail
    return Bound(
        None,
        None,
        [],
        intent,
        sha256(intent.encode()).digest(),
        payload_digest.digest(),
        key,
        idempotency_key is None and contract.key is not None,
        ordering_key,
        account,
        arguments_text,
        hidden_text,
    )


def violations_json(violations: list[dict[str, Any]]) -> str:
    """Return violations as a JSON array, ASCII only."""
    return json.dumps(violations, default=_plain_number)


def _parse(source: str | None) -> template.Template | None:
    return None if source is None else template.parse(source)


def _read_arguments(
    contract: Contract, text: str, found: list[dict[str, Any]], matches: schema.Matches
) -> dict[str, object] | None:
    """Return the ARG values, or None where there are none to speak of."""
    size = len(text)
    if size * _WIDEST > MAX_BYTES:
        size = len(text.encode(errors="replace"))
        if size > MAX_BYTES:
            _refuse_argument(found, "$", "size", "text", MAX_BYTES)
        if size > MAX_PARSED_BYTES:
            return None
    try:
        parameters = canonical.loads(text)
    except canonical.CanonicalError:
        _refuse_argument(found, "$", "json", "text")
        return None
    if not isinstance(parameters, dict):
        _refuse_argument(found, "$", "type", schema.kind_of(parameters), "object")
        return None

    if not contract.arg_names.issuperset(parameters):
        _check_names(contract, parameters, found)
    if size > MAX_BYTES:
        return parameters
    violations = contract.arguments.violations(parameters, matches)
    found += [{"code": VALIDATION_FAILED, **violation} for violation in violations]
    for name, value in contract.defaults.items():
        parameters.setdefault(name, value)
    return parameters


def _check_names(
    contract: Contract, parameters: dict[str, object], found: list[dict[str, Any]]
) -> None:
    """Refuse the caller's names that are HIDDEN or undeclared, and leave them out of the rest."""
    for name in [name for name in parameters if name not in contract.arg_names]:
        value = parameters.pop(name)
        hidden = name in contract.hidden_names
        found.append(
            {
                "code": HIDDEN_OVERRIDE if hidden else VALIDATION_FAILED,
                "path": schema.child_path("$", name),
                "rule": "hidden" if hidden else "undeclared",
                "kind": schema.kind_of(value),
            }
        )


def _read_hidden(
    contract: Contract, session: Mapping[str, object], found: list[dict[str, Any]]
) -> dict[str, object]:
    hidden: dict[str, object] = {}
    for name, source, required in contract.hidden:
        value = session.get(source)
        if value is None and required:
            found.append(
                {
                    "code": SESSION_VALUE_MISSING,
                    "path": name,
                    "rule": "required",
                    "kind": "absent",
                    "name": source,
                }
            )
        hidden[name] = value
    return hidden


def _unspeakable(hidden: Mapping[str, object]) -> list[dict[str, Any]]:
    """List the HIDDEN fields whose session value has no canonical JSON."""
    found: list[dict[str, Any]] = []
    for name, value in hidden.items():
        try:
            canonical.canonicalize(value)
        except canonical.CanonicalError:
            found.append(
                {"code": SESSION_VALUE_MISSING, "path": name, "rule": "canonical", "kind": "value"}
            )
    if not found:  # each for itself is within the interpreter's stack, all together are not
        found.append(
            {"code": SESSION_VALUE_MISSING, "path": "$", "rule": "nesting", "kind": "value"}
        )
    return found


def _render(
    contract: Contract,
    source: template.Template | None,
    path: str,
    values: Mapping[str, object],
    found: list[dict[str, Any]],
) -> str | None:
    if source is None:
        return None
    try:
        text = source.render(values)
    except template.RenderError as error:
        hidden = error.name in contract.hidden_names
        found.append(
            {
                "code": SESSION_VALUE_MISSING if hidden else VALIDATION_FAILED,
                "path": path,
                "rule": "template",
                "kind": "value" if hidden else error.kind,
                "name": error.name,
            }
        )
        return None
    _check_key(text, path, found)
    return text


def _check_key(text: str, path: str, found: list[dict[str, Any]]) -> None:
    """Refuse an empty key, one above 250 characters, and control characters (Unicode's Cc)."""
    if text.isprintable() and 0 < len(text) <= MAX_KEY_LENGTH:
        return
    if not text:
        _refuse_argument(found, path, "min_length", "string", 1)
    if len(text) > MAX_KEY_LENGTH:
        _refuse_argument(found, path, "max_length", "string", MAX_KEY_LENGTH)
    if _CONTROL.search(text) is not None:
        _refuse_argument(found, path, "control_character", "string")
    if not canonical.is_unicode(text):
        _refuse_argument(found, path, "unicode", "string")


def _refuse_argument(
    found: list[dict[str, Any]], path: str, rule: str, kind: str, expected: object = None
) -> None:
    violation: dict[str, Any] = {
        "code": VALIDATION_FAILED,
        "path": path,
        "rule": rule,
        "kind": kind,
    }
    if expected is not None:
        violation["expected"] = expected
    found.append(violation)


def _refused(contract: Contract, found: list[dict[str, Any]]) -> Bound:
    codes = {violation["code"] for violation in found}
    code = next(code for code in _PRECEDENCE if code in codes)
    message = _message(contract.action, code, [one for one in found if one["code"] == code])
    if len(found) > MAX_VIOLATIONS:
        rest = len(found) - MAX_VIOLATIONS + 1
        found = found[: MAX_VIOLATIONS - 1]
        found.append(
            {"code": code, "path": "$", "rule": "more", "kind": "violations", "expected": rest}
        )
    return Bound(code, message, found, None, None, None, None, False, None, None, None, None)


def _message(action: str, code: str, found: list[dict[str, Any]]) -> str:
    count = len({violation["path"] for violation in found})
    if code == HIDDEN_OVERRIDE:
        if count == 1:
            return f"{found[0]['path']} of {action} comes from the session, not from the caller"
        return f"{count} arguments of {action} come from the session, not from the caller"
    if code == SESSION_VALUE_MISSING:
        if count == 1 and "name" in found[0]:
            return f"the session has no {found[0]['name']}, which {action} needs"
        return f"the session lacks {count} values that {action} needs"
    if found[0]["path"] == "$":
        reasons = {
            "size": "are larger than 64 KiB",
            "json": "are not JSON",
            "type": "are not a JSON object",
        }
        if found[0]["rule"] in reasons:
            return f"the arguments of {action} {reasons[found[0]['rule']]}"
    return (
        f"{count} argument{'s' * (count != 1)} of {action} {'are' if count != 1 else 'is'} invalid"
    )


def _plain_number(value: object) -> float:
    """Spell a bound of the contract, which `check_action` proved to be a double."""
    return float(str(value))
