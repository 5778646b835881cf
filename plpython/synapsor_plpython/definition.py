"""Contract definitions: what `declare_action` accepts, with every default filled in.

The keys are those of design.md section 4, "Contract definition". All reasons against a definition
are collected. An absent `kind` is `external`: a contract that names no handler and no plan can be
nothing else. A key that means nothing for a kind is refused, not ignored.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from synapsor_plpython import canonical, fields, schema, template
from synapsor_plpython.reading import (
    CONDITION,
    NAME,
    PROSE,
    Check,
    Findings,
    Reader,
    Reason,
    Shape,
    a_kind,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

KINDS: Final = ("external", "atomic", "saga")
ACTOR_TYPES: Final = (
    "natural_person",
    "agent",
    "system",
    "service_account",
    "external_system",
    "integration",
)

MAX_PRIORITY: Final = 1440
"""Priority shifts the due time by minutes, at most a day either way."""

# The identifiers of reference/pipeline.md, B.3.
ACTION: Final = Shape(
    128,
    re.compile(r"[a-z][a-z0-9-]*\.[a-z][a-z0-9_]*"),
    told="is named namespace.verb, such as billing.issue_refund",
)
_POLICY: Final = Shape(128, re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*\.v[0-9]+"))
_TYPE: Final = Shape(128, re.compile(r"[A-Z][a-zA-Z0-9]*"))
_TEMPLATE: Final = Shape(template.MAX_LENGTH)
# A table is named with its schema, as SQL writes it; a column as the catalogue has it.
_IDENTIFIER: Final = r'([a-z_][a-z0-9_$]*|"([^"]|"")+")'
_TABLE: Final = Shape(140, re.compile(rf"{_IDENTIFIER}\.{_IDENTIFIER}"))
_COLUMN: Final = Shape(63)

_KEYS: Final = (
    *("action", "kind", "description", "label", "args", "args_schema", "hidden"),
    *("provider", "account", "operation", "queue", "idempotency", "approval", "retry", "lease"),
    *("priority", "ordering_key", "redact", "require_claim_token", "poison_after", "reconcile"),
    *("limits", "policies", "required_roles", "required_permissions", "actor_types"),
    *("require_run", "deliver_within", "emits_events", "mutates_domain", "handler"),
    *("state_machine", "adapter_steps", "plan", "compensate_with"),
)
_KIND_OF_KEY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "provider": "external",
        "account": "external",
        "operation": "external",
        "queue": "external",
        "reconcile": "external",
        "deliver_within": "external",
        "handler": "atomic",
        "state_machine": "atomic",
        "adapter_steps": "atomic",
        "plan": "saga",
    }
)
_STEP_ROOTS: Final = frozenset({"parameters", "hidden", "result"})


def check_action(definition: object) -> tuple[dict[str, Any], list[Reason], list[Check]]:
    """Return the normalised definition, every reason against it, and what remains to be checked.

    The definition is fit for `binding.compile_contract` only if there are no reasons. It is a
    fixpoint: checking it again returns it unchanged. Numbers come as int or Decimal.
    """
    found = Findings()
    if not isinstance(definition, dict):
        found.refuse("definition", f"is {a_kind(definition)}, not an object")
        return {}, found.reasons, found.checks
    try:
        canonical.canonicalize(definition)
    except canonical.CanonicalError as error:
        found.refuse("definition", f"has no canonical JSON: {error}")
        return {}, found.reasons, found.checks
    normalised = _read_action(Reader(found, definition, "", _KEYS))
    return normalised, found.reasons, found.checks


def check_action_json(text: str) -> str:
    """Check a definition given as JSON text; the face of `check_action` for SQL.

    Returns `{"definition", "reasons": [{"path", "reason"}], "checks": [{"path", "kind", "value"}],
    "key_is_sensitive", "ordering_key_is_sensitive"}`. `definition` is null when there are reasons.
    The last two tell whether a template uses a HIDDEN or a `redact` field, so that the key it
    makes is to be redacted with it.
    """
    try:
        normalised, reasons, checks = check_action(canonical.loads(text))
    except canonical.CanonicalError as error:
        normalised, reasons, checks = {}, [Reason("definition", f"is unreadable: {error}")], []
    sound = not reasons
    rest = json.dumps(
        {
            "reasons": [asdict(reason) for reason in reasons],
            "checks": [asdict(check) for check in checks],
            "key_is_sensitive": sound and reveals(normalised, normalised["idempotency"]["key"]),
            "ordering_key_is_sensitive": sound and reveals(normalised, normalised["ordering_key"]),
        }
    )
    accepted = canonical.canonicalize(normalised) if sound else "null"
    return '{"definition": ' + accepted + ", " + rest[1:]


def reveals(normalised: Mapping[str, Any], source: str | None) -> bool:
    """Tell whether a key's template uses a HIDDEN field or one of `redact`."""
    if source is None:
        return False
    secret = {*normalised["hidden"], *normalised["redact"]}
    return not template.parse(source).names.isdisjoint(secret)


def _read_action(reader: Reader) -> dict[str, Any]:
    reader.require("action")
    action = reader.text("action", "", ACTION) or ""
    kind = reader.choice("kind", "external", KINDS)
    _check_kind(reader, kind)
    args, args_schema, types = _read_fields(reader)
    hidden = _read_hidden(reader, types)
    # What a template may name, with its JSON type where the contract fixes it.
    names: dict[str, str | None] = {**types, **dict.fromkeys(hidden)}
    return {
        "action": action,
        "kind": kind,
        "description": reader.text("description", shape=PROSE),
        "label": reader.text("label"),
        "args": args,
        "args_schema": args_schema,
        "hidden": hidden,
        **_read_target(reader, action if kind == "external" else None, names, hidden),
        **_read_delivery(reader, names),
        **_read_admission(reader),
        "limits": _read_limits(reader, types, names),
        "redact": _read_redact(reader, names),
        **_read_performance(reader, names),
    }


def _check_kind(reader: Reader, kind: str) -> None:
    for key, owner in _KIND_OF_KEY.items():
        if reader.value.get(key) not in (None, []) and kind != owner:
            reader.refuse(key, f"is for kind {owner}, not {kind}")
    if kind == "atomic":
        reader.require("handler")
    if kind == "saga":
        reader.require("plan")


def _read_fields(
    reader: Reader,
) -> tuple[dict[str, Any] | None, dict[str, Any] | None, dict[str, str | None]]:
    """Return `args` and `args_schema`, one of them null, and the ARGs' names with their types."""
    if not reader.has("args_schema"):
        args = {
            name: fields.read_arg(reader.found, value, path)
            for name, path, value in reader.members("args", fields.FIELD_NAME)
        }
        return args, None, {name: spec.get("type") for name, spec in args.items()}
    if reader.has("args"):
        reader.refuse("args_schema", "is given beside args; give one of them")
    args_schema = reader.value["args_schema"]
    return (
        None,
        args_schema,
        fields.check_args_schema(reader.found, args_schema, reader.at("args_schema")),
    )


def _read_hidden(reader: Reader, args: Collection[str]) -> dict[str, Any]:
    hidden: dict[str, Any] = {}
    for name, path, value in reader.members("hidden", fields.FIELD_NAME):
        if name in args:
            reader.found.refuse(path, "is declared as an ARG too")
        part = Reader(reader.found, value, path, ("from", "required"))
        hidden[name] = {
            "from": part.text("from", name),
            "required": part.flag("required", default=True),
        }
    return hidden


def _read_target(
    reader: Reader,
    external_action: str | None,
    names: Mapping[str, str | None],
    hidden: Collection[str],
) -> dict[str, Any]:
    """Read where an external action goes; null for the other kinds."""
    account = _key_template(reader, "account", names, NAME)
    if account is not None and not template.parse(account).names.issubset(hidden):
        reader.refuse("account", "names an ARG, but callers may not choose the account")
    target: dict[str, Any] = {
        "provider": reader.text("provider"),
        "account": account,
        "operation": reader.text("operation"),
        "queue": reader.text("queue"),
    }
    if external_action is not None:
        namespace, _, verb = external_action.partition(".")
        target["provider"] = target["provider"] or namespace
        target["account"] = account or "default"
        target["operation"] = target["operation"] or verb
        target["queue"] = target["queue"] or f"{namespace}_external_actions"
    return target


def _read_delivery(reader: Reader, names: Mapping[str, str | None]) -> dict[str, Any]:
    idempotency = reader.part("idempotency", ("key", "idempotent", "window"))
    return {
        # An undeclared provider cannot be trusted to deduplicate: one attempt.
        "idempotency": {
            "key": _key_template(idempotency, "key", names),
            "idempotent": idempotency.flag("idempotent", default=False),
            "window": idempotency.interval("window", None),
        },
        "retry": _read_retry(reader),
        "lease": reader.interval("lease", "60 s"),
        "priority": reader.integer("priority", 0, -MAX_PRIORITY, MAX_PRIORITY),
        "ordering_key": _key_template(reader, "ordering_key", names),
        "require_claim_token": reader.flag("require_claim_token", default=False),
        "poison_after": reader.integer("poison_after", 5, 1, 1000),
        "reconcile": _read_reconcile(reader),
        "deliver_within": reader.interval("deliver_within", None),
    }


def _read_retry(reader: Reader) -> dict[str, Any]:
    retry = reader.part("retry", ("max_attempts", "initial", "multiplier", "max", "jitter"))
    return {
        "max_attempts": retry.integer("max_attempts", 3, 1, 100),
        "initial": retry.interval("initial", "100 ms"),
        "multiplier": retry.number("multiplier", 2, 1, 100),
        "max": retry.interval("max", "1 s"),
        "jitter": retry.choice("jitter", "full", ("full", "none")),
    }


def _read_reconcile(reader: Reader) -> dict[str, Any] | None:
    if not reader.has("reconcile"):
        return None
    reconcile = reader.part("reconcile", ("operation", "after", "max_attempts"))
    reconcile.require("operation")
    return {
        "operation": reconcile.text("operation"),
        "after": reconcile.interval("after", "30 s"),
        "max_attempts": reconcile.integer("max_attempts", 5, 1, 100),
    }


def _read_admission(reader: Reader) -> dict[str, Any]:
    """Read who may ask, and who has to agree."""
    approval = reader.part(
        "approval",
        ("required", "role", "approvals", "separate_duties", "expires_after", "unless"),
    )
    if reader.value.get("actor_types") == []:
        reader.refuse("actor_types", "is empty, so that nobody could ask")
    return {
        "approval": {
            "required": approval.flag("required", default=False),
            "role": approval.text("role"),
            "approvals": approval.integer("approvals", 1, 1, 10),
            "separate_duties": approval.flag("separate_duties", default=False),
            "expires_after": approval.interval("expires_after", None),
            "unless": approval.condition("unless"),
        },
        "policies": reader.texts("policies", _POLICY),
        "required_roles": reader.texts("required_roles"),
        "required_permissions": reader.texts("required_permissions"),
        "actor_types": reader.texts("actor_types", choices=ACTOR_TYPES) or list(ACTOR_TYPES),
        "require_run": reader.flag("require_run", default=False),
    }


def _read_limits(
    reader: Reader, types: Mapping[str, str | None], names: Collection[str]
) -> list[dict[str, Any]]:
    limits = []
    for path, value in reader.items("limits"):
        limit = Reader(reader.found, value, path, ("sum", "max", "per", "by", "on_exceed"))
        limit.require("max", "per")
        total = limit.text("sum")
        if total is not None and types.get(total) not in ("integer", "number"):
            limit.refuse("sum", f"names {total}, which is no ARG of type integer or number")
        by = limit.texts("by")
        for name in by:
            if name not in names and name not in ("tenant_id", "principal"):
                limit.refuse("by", f"names {name}, which is neither an argument nor a hidden value")
        limits.append(
            {
                "sum": total,
                "max": limit.number("max", 0, 0, canonical.SAFE_INTEGER),
                "per": limit.choice("per", "day", ("hour", "day", "month")),
                "by": by,
                "on_exceed": limit.choice("on_exceed", "block", ("block", "approve")),
            }
        )
    return limits


def _read_redact(reader: Reader, names: Collection[str]) -> list[str]:
    redact = reader.texts("redact")
    for name in redact:
        if name not in names:
            reader.refuse(
                "redact", f"names {name}, which is neither an argument nor a hidden value"
            )
    return redact


def _read_performance(reader: Reader, names: Mapping[str, str | None]) -> dict[str, Any]:
    """Read what the action does here, and what undoes it."""
    emits_events = reader.texts("emits_events", _TYPE)
    mutates_domain = reader.flag("mutates_domain", default=False)
    if mutates_domain and not emits_events:
        reader.refuse("emits_events", "is empty, but mutates_domain is true")
    return {
        "emits_events": emits_events,
        "mutates_domain": mutates_domain,
        "handler": reader.text("handler", shape=CONDITION),
        "state_machine": _read_state_machine(reader, names),
        "adapter_steps": [
            _read_step(
                Reader(reader.found, value, path, ("action", "input", "retry", "when")), names
            )
            for path, value in reader.items("adapter_steps")
        ],
        "plan": reader.text("plan"),
        "compensate_with": _read_compensation(reader, names),
    }


def _read_state_machine(reader: Reader, names: Mapping[str, str | None]) -> dict[str, Any] | None:
    """Read which entity goes to which state (reference/pipeline.md, B.5)."""
    if not reader.has("state_machine"):
        return None
    keys = ("entity_type", "table", "id_column", "state_column", "entity_id", "target_state")
    binding = reader.part("state_machine", keys)
    binding.require(*keys)
    return {
        "entity_type": binding.text("entity_type", shape=_TYPE),
        "table": binding.text("table", shape=_TABLE),
        "id_column": binding.text("id_column", shape=_COLUMN),
        "state_column": binding.text("state_column", shape=_COLUMN),
        "entity_id": _key_template(binding, "entity_id", names),
        "target_state": _key_template(binding, "target_state", names),
    }


def _read_step(reader: Reader, names: Collection[str]) -> dict[str, Any]:
    reader.require("action")
    return {
        "action": reader.text("action", shape=ACTION),
        "input": _read_input(reader, names),
        "retry": _read_retry(reader) if reader.has("retry") else None,
        "when": reader.condition("when"),
    }


def _read_compensation(reader: Reader, names: Collection[str]) -> dict[str, Any] | None:
    """Read the action that undoes this one: its id, or an object with its input."""
    if not reader.has("compensate_with"):
        return None
    value, path = reader.value["compensate_with"], reader.at("compensate_with")
    if isinstance(value, str):
        value = {"action": value}
    part = Reader(reader.found, value, path, ("action", "input"))
    part.require("action")
    return {"action": part.text("action", shape=ACTION), "input": _read_input(part, names)}


def _read_input(reader: Reader, names: Collection[str]) -> Any:
    """Read an input: an object whose texts are templates, or one reference."""
    if not reader.has("input"):
        return {}
    value = reader.value["input"]
    check_input(reader.found, value, reader.at("input"), names)
    return value


def check_input(
    found: Findings, value: object, path: str, names: Collection[str] | None = None
) -> None:
    """Refuse what is no input; without names its references may name any field."""
    if isinstance(value, dict):
        _check_input(found, value, path, names)
    elif isinstance(value, str):
        parsed = _step_template(found, path, value, names)
        if parsed is not None and not (parsed.references and len(parsed.parts) == 1):
            found.refuse(path, "is neither an object nor exactly one reference")
    else:
        found.refuse(path, f"is {a_kind(value)}, not an object")


def _check_input(
    found: Findings, value: object, path: str, names: Collection[str] | None, depth: int = 1
) -> None:
    if depth > fields.MAX_DEPTH:
        found.refuse(path, f"is nested deeper than {fields.MAX_DEPTH}")
    elif isinstance(value, str):
        _step_template(found, path, value, names)
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_input(found, member, schema.child_path(path, name), names, depth + 1)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            _check_input(found, item, f"{path}[{position}]", names, depth + 1)


def _step_template(
    found: Findings, path: str, source: str, names: Collection[str] | None
) -> template.Template | None:
    try:
        parsed = template.parse(source, roots=_STEP_ROOTS)
    except template.TemplateError as error:
        found.refuse(path, str(error))
        return None
    for reference in parsed.references:
        if names is not None and reference.path[0] != "result" and reference.path[1] not in names:
            found.refuse(path, f"names {{{reference.name}}}, which is not declared")
    return parsed


def _key_template(
    reader: Reader, key: str, names: Mapping[str, str | None], shape: Shape = _TEMPLATE
) -> str | None:
    """Read a template over ARG and HIDDEN names; None where absent or refused."""
    source = reader.text(key, shape=shape)
    if source is None:
        return None
    try:
        parsed = template.parse(source)
    except template.TemplateError as error:
        reader.refuse(key, str(error))
        return None
    for name in sorted(parsed.names):
        if name not in names:
            reader.refuse(key, f"names {{{name}}}, which is neither an argument nor a hidden value")
        elif names[name] in ("object", "array", "null"):
            reader.refuse(key, f"names {{{name}}}, which is of type {names[name]} and has no text")
    return source
