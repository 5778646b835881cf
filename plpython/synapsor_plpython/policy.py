"""Policies: what `declare_policy` accepts, and what a data policy decides and why.

Kinds, bounds and aggregation are those of reference/pipeline.md, B.4, and design.md section 6.
A condition tree is compiled once and evaluated many times; only the condition that decided is
walked a second time, for the evidence. Evidence names paths, operators, kinds and the literals of
the definition, never a value of a caller or of a session.
"""

from __future__ import annotations

import json
import operator
import re
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from synapsor_plpython import canonical, schema
from synapsor_plpython.reading import (
    CONDITION,
    PROSE,
    Check,
    Findings,
    Reader,
    Reason,
    Shape,
    a_kind,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Judge = Callable[[str], bool]
    """Tells whether a SQL/JSON path is exactly true of the facts: PostgreSQL's engine."""

KINDS: Final = ("data", "code", "hybrid")
MODES: Final = ("enforce", "shadow")
RESULTS: Final = ("pass", "warn", "block")
TRIGGERS: Final = ("missing", "invalid", "data_result")
ROOTS: Final = ("parameters", "tenant_id", "space_id", "action_id", "action", "mode")

MAX_DEPTH: Final = 5
"""The condition of the top list counts as 1, leaves count too."""
MAX_MEMBERS: Final = 20
"""Of a group and of the top list."""
MAX_CONDITIONS: Final = 100
"""In one policy, groups and leaves."""
MAX_SEGMENTS: Final = 12
"""Of a path, its root word included."""
MAX_LITERAL: Final = 500
"""Characters of a text literal, and of a path."""
MAX_APPROVALS: Final = 10

_POLICY: Final = Shape(128, re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*\.v[0-9]+"))
_PATH: Final = Shape(MAX_LITERAL)

_KEYS: Final = (
    *("policy", "kind", "mode", "description", "reason", "guidance", "default", "conditions"),
    *("evaluator", "preview_safe", "fallback"),
)
_KINDS_OF_KEY: Final[Mapping[str, tuple[str, ...]]] = {
    "default": ("data", "hybrid"),
    "conditions": ("data", "hybrid"),
    "evaluator": ("code",),
    "preview_safe": ("code",),
    "fallback": ("hybrid",),
}
_KEYS_OF_CONDITION: Final[Mapping[str, tuple[str, ...]]] = {
    "always": ("kind",),
    "parameter": ("kind", "path", "operator", "value"),
    "comparison": ("kind", "left", "operator", "right"),
    "all": ("kind", "conditions"),
    "any": ("kind", "conditions"),
    "not": ("kind", "condition"),
    "jsonpath": ("kind", "path"),
}
_EVERY_KEY: Final = tuple(
    dict.fromkeys(key for keys in _KEYS_OF_CONDITION.values() for key in keys)
)

_ORDERED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_ORDERABLE: Final = (int, str, Decimal)
_MANY_DIGITS: Final = 16
_OPERATORS: Final = ("exists", "equals", "notEquals", *_ORDERED)
_SPELLINGS: Final[Mapping[str, str]] = {"not_equals": "notEquals"}

REDACTED: Final = "[redacted]"
_LOOKS_ELSEWHERE: Final = re.compile(r"\$(?!\s*\.\s*(?:args|context)\b)")

_DATA_PART: Final = re.compile(r"(conditions|default|reason|guidance)\b")


# ---- definitions ---------------------------------------------------------------------------------


def check_policy(definition: object) -> tuple[dict[str, Any], list[Reason], list[Check]]:
    """Return the normalised definition, every reason against it, and what remains to be checked.

    It is fit for `compile_policy` only if there are no reasons, and a fixpoint: checking it again
    returns it unchanged. Numbers come as int or Decimal.
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
    return _read_policy(Reader(found, definition, "", _KEYS)), found.reasons, found.checks


def check_policy_json(text: str) -> str:
    """Check a definition given as JSON text; the face of `check_policy` for SQL.

    Returns `{"definition", "reasons": [{"path", "reason"}], "checks": [{"path", "kind",
    "value"}]}`. `definition` is null when there are reasons.
    """
    try:
        normalised, reasons, checks = check_policy(canonical.loads(text))
    except canonical.CanonicalError as error:
        normalised, reasons, checks = {}, [Reason("definition", f"is unreadable: {error}")], []
    rest = json.dumps(
        {
            "reasons": [asdict(reason) for reason in reasons],
            "checks": [asdict(check) for check in checks],
        }
    )
    accepted = "null" if reasons else canonical.canonicalize(normalised)
    return '{"definition": ' + accepted + ", " + rest[1:]


def _read_policy(reader: Reader) -> dict[str, Any]:
    reader.require("policy", "kind")
    kind = reader.choice("kind", "", KINDS)
    for key, owners in _KINDS_OF_KEY.items():
        if kind and reader.has(key) and kind not in owners:
            reader.refuse(key, f"is for kind {' and '.join(owners)}, not {kind}")
    normalised: dict[str, Any] = {
        "policy": reader.text("policy", "", _POLICY),
        "kind": kind,
        "mode": reader.choice("mode", "enforce", MODES),
        "description": reader.text("description", shape=PROSE),
        "reason": reader.text("reason", shape=PROSE),
        "guidance": reader.text("guidance", shape=PROSE),
    }
    if kind == "code":
        reader.require("evaluator")
        normalised["evaluator"] = reader.text("evaluator", shape=CONDITION)
        normalised["preview_safe"] = reader.flag("preview_safe", default=False)
    else:
        normalised["default"] = reader.choice("default", "pass", RESULTS)
        normalised["conditions"] = _read_rules(reader, required=kind == "data")
    if kind == "hybrid":
        reader.require("fallback")
        normalised["fallback"] = _read_fallback(reader)
    return normalised


def _read_rules(reader: Reader, *, required: bool) -> list[dict[str, Any]] | None:
    """Read the top list. Without one, the data part of a hybrid policy is missing."""
    if not reader.has("conditions"):
        if required:
            reader.require("conditions")
        return None
    items = reader.items("conditions")
    if len(items) > MAX_MEMBERS:
        reader.refuse("conditions", f"has more than {MAX_MEMBERS} conditions")
        return []
    budget = _Budget()
    rules = []
    for path, value in items:
        rule = Reader(
            reader.found, value, path, ("when", "result", "reason", "guidance", "require_approval")
        )
        rule.require("when", "result")
        result = rule.choice("result", "block", RESULTS)
        when = rule.value.get("when")
        rules.append(
            {
                "when": None
                if when is None
                else _read_condition(reader.found, when, f"{path}.when", 1, budget),
                "result": result,
                "reason": rule.text("reason", shape=PROSE),
                "guidance": rule.text("guidance", shape=PROSE),
                "require_approval": _read_approval(rule, result),
            }
        )
    if budget.spent > MAX_CONDITIONS:
        reader.refuse("conditions", f"has more than {MAX_CONDITIONS} conditions in all")
    return rules


def _read_approval(rule: Reader, result: str) -> dict[str, Any] | None:
    if not rule.has("require_approval"):
        return None
    if result != "warn":
        rule.refuse("require_approval", f"is for result warn, not {result}")
    approval = rule.part("require_approval", ("role", "approvals"))
    return {
        "role": approval.text("role"),
        "approvals": approval.integer("approvals", 1, 1, MAX_APPROVALS),
    }


def _read_fallback(reader: Reader) -> dict[str, Any]:
    fallback = reader.part("fallback", ("policy", "on_results", "triggers"))
    if reader.has("fallback"):
        fallback.require("policy")
    named = fallback.text("policy", shape=_POLICY)
    if named is not None and named == reader.value.get("policy"):
        fallback.refuse("policy", "names the policy itself")
    return {
        "policy": named,
        "on_results": fallback.texts("on_results", choices=RESULTS)
        if fallback.has("on_results")
        else ["warn", "block"],
        "triggers": fallback.texts("triggers", choices=TRIGGERS)
        if fallback.has("triggers")
        else list(TRIGGERS),
    }


@dataclass(slots=True)
class _Budget:
    """How many conditions were read so far."""

    spent: int = 0


def _read_condition(
    found: Findings, value: object, path: str, depth: int, budget: _Budget
) -> dict[str, Any]:
    budget.spent += 1
    if depth > MAX_DEPTH:
        found.refuse(path, f"is nested deeper than {MAX_DEPTH} conditions")
        return {}
    if budget.spent > MAX_CONDITIONS:  # said once, for the whole list
        return {}
    kind = value.get("kind") if isinstance(value, dict) else None
    known = _KEYS_OF_CONDITION.get(kind) if isinstance(kind, str) else None
    reader = Reader(found, value, path, _EVERY_KEY if known is None else known)
    if known is None:
        if isinstance(value, dict):
            reader.require("kind")
            reader.choice("kind", "", tuple(_KEYS_OF_CONDITION))
        return {}
    if kind in ("all", "any"):
        return {"kind": kind, "conditions": _read_members(reader, depth, budget)}
    if kind == "not":
        reader.require("condition")
        member = reader.value.get("condition")
        if member is not None:
            member = _read_condition(found, member, reader.at("condition"), depth + 1, budget)
        return {"kind": kind, "condition": member}
    return {"kind": kind, **_read_leaf(reader, str(kind))}


def _read_leaf(reader: Reader, kind: str) -> dict[str, Any]:
    if kind == "parameter":
        return _read_parameter(reader)
    if kind == "comparison":
        reader.require("left", "operator", "right")
        read = {
            "left": _read_path(reader, "left"),
            "operator": _read_operator(reader),
            "right": _read_path(reader, "right"),
        }
        if read["operator"] == "exists":
            reader.refuse("operator", "is exists, which asks about one path: use kind parameter")
        return read
    if kind == "jsonpath":
        reader.require("path")
        return {"path": reader.condition("path")}
    return {}


def _read_parameter(reader: Reader) -> dict[str, Any]:
    reader.require("path", "operator")
    read: dict[str, Any] = {
        "path": _read_path(reader, "path"),
        "operator": _read_operator(reader),
    }
    given = "value" in reader.value
    value = reader.value.get("value")
    if read["operator"] == "exists":
        if given:
            reader.refuse("value", "is not for operator exists")
        return read
    if not given:
        reader.refuse("value", "is required")
    elif isinstance(value, (dict, list)):
        reader.refuse("value", f"is {a_kind(value)}, not a string, number, boolean or null")
    elif isinstance(value, str) and len(value) > MAX_LITERAL:
        reader.refuse("value", f"is longer than {MAX_LITERAL} characters")
    elif read["operator"] in _ORDERED and (value is None or isinstance(value, bool)):
        reader.refuse("value", f"is {a_kind(value)}, which {read['operator']} cannot order")
    return {**read, "value": value}


def _read_members(reader: Reader, depth: int, budget: _Budget) -> list[dict[str, Any]]:
    reader.require("conditions")
    items = reader.items("conditions")
    if len(items) > MAX_MEMBERS:
        reader.refuse("conditions", f"has more than {MAX_MEMBERS} conditions")
        return []
    if reader.value.get("conditions") == []:
        reader.refuse("conditions", "is empty")
    return [_read_condition(reader.found, item, path, depth + 1, budget) for path, item in items]


def _read_operator(reader: Reader) -> str:
    given = reader.value.get("operator")
    if isinstance(given, str) and given in _SPELLINGS:
        return _SPELLINGS[given]
    return reader.choice("operator", "", _OPERATORS)


def _read_path(reader: Reader, key: str) -> str | None:
    path = reader.text(key, shape=_PATH)
    if path is None:
        return None
    root, *segments = path.split(".")
    if root not in ROOTS:
        reader.refuse(key, "begins with none of parameters., " + ", ".join(ROOTS[1:]))
    elif root == "parameters" and not segments:
        reader.refuse(key, "names no parameter")
    elif root != "parameters" and segments:
        reader.refuse(key, f"goes into {root}, which has no parts")
    elif not all(segments):
        reader.refuse(key, "has an empty segment")
    elif len(segments) + 1 > MAX_SEGMENTS:
        reader.refuse(key, f"has more than {MAX_SEGMENTS} segments")
    return path


# ---- compiled policies ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition, ready to be asked. `at` is its place in the definition."""

    at: str
    kind: str
    operator: str = ""
    left: tuple[str, ...] = ()
    right: tuple[str, ...] = ()
    value: object = None
    path: str = ""
    members: tuple[Condition, ...] = ()
    evidence: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """An entry of the top list: what it results in when its condition holds."""

    when: Condition
    result: str
    reason: str | None
    guidance: str | None
    require_approval: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy, ready to be evaluated. `status` is `valid`, `invalid` or `missing`."""

    policy: str
    kind: str
    status: str
    errors: tuple[Mapping[str, str], ...] = ()
    rules: tuple[Rule, ...] = ()
    default: str = "pass"
    reason: str | None = None
    guidance: str | None = None
    evaluator: str | None = None
    preview_safe: bool = False
    fallback: str | None = None
    on_results: frozenset[str] = frozenset()
    triggers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy decided without code, or which code is to decide.

    `evaluator` is the signature to call (code), `fallback` the code policy to ask instead (hybrid);
    the other fields hold what stands when it is not asked.
    """

    result: str
    reason: str | None
    guidance: str | None
    require_approval: Mapping[str, object] | None
    evidence: dict[str, Any]
    evaluator: str | None = None
    preview_safe: bool = False
    fallback: str | None = None


def compile_policy(
    policy: str, kind: str, definition: object, unreadable: Callable[[Check], str | None]
) -> Policy:
    """Compile a stored definition, which is validated again: rules may have changed since.

    `unreadable` tells why the database cannot read a value, or None. Never raises; what is
    wrong is in `errors`, and of a hybrid policy whose data part alone is wrong the fallback stays.
    """
    normalised, reasons, checks = check_policy(definition)
    for check in checks:
        why = unreadable(check)
        if why is not None:
            reasons.append(Reason(check.path, why))
    if normalised and (normalised["policy"], normalised["kind"]) != (policy, kind):
        reasons.append(Reason("policy", f"is not the definition of the {kind} policy {policy}"))
    errors = tuple(asdict(reason) for reason in reasons)
    rest: dict[str, Any] = {}
    if kind == "hybrid" and all(_DATA_PART.match(reason.path) for reason in reasons):
        fallback = normalised["fallback"]
        rest = {
            "fallback": fallback["policy"],
            "on_results": frozenset(fallback["on_results"]),
            "triggers": frozenset(fallback["triggers"]),
        }
    if reasons:
        return Policy(policy, kind, "invalid", errors, **rest)
    if kind == "code":
        rest = {key: normalised[key] for key in ("evaluator", "preview_safe")}
    elif normalised["conditions"] is None:
        return Policy(policy, kind, "missing", **rest)
    else:
        rest["default"] = normalised["default"]
        rest["rules"] = tuple(
            Rule(
                _compile(rule["when"], f"conditions[{position}].when"),
                rule["result"],
                rule["reason"],
                rule["guidance"],
                rule["require_approval"],
            )
            for position, rule in enumerate(normalised["conditions"])
        )
    return Policy(
        policy,
        kind,
        "valid",
        reason=normalised["reason"],
        guidance=normalised["guidance"],
        **rest,
    )


def _compile(condition: Mapping[str, Any], at: str) -> Condition:
    kind = condition["kind"]
    if kind in ("all", "any"):
        members = tuple(
            _compile(member, f"{at}.conditions[{position}]")
            for position, member in enumerate(condition["conditions"])
        )
        return Condition(at, kind, members=members)
    if kind == "not":
        return Condition(at, kind, members=(_compile(condition["condition"], f"{at}.condition"),))
    evidence = _shown(condition)
    if kind == "parameter":
        left = tuple(condition["path"].split("."))
        value = condition.get("value")
        return Condition(at, kind, condition["operator"], left, value=value, evidence=evidence)
    if kind == "comparison":
        left, right = (tuple(condition[side].split(".")) for side in ("left", "right"))
        return Condition(at, kind, condition["operator"], left, right, evidence=evidence)
    return Condition(at, kind, path=condition.get("path", ""), evidence=evidence)


def _shown(condition: Mapping[str, Any]) -> dict[str, object]:
    """Return what evidence may show of a leaf.

    That a condition on a HIDDEN value held tells the value where its literal is told: where one is
    looked at, `at` has to do.
    """
    shown: dict[str, object] = {}
    for key, value in condition.items():
        # check_policy proved the number to be a double
        shown[key] = float(value) if isinstance(value, Decimal) else value
    if condition["kind"] == "jsonpath":
        if _LOOKS_ELSEWHERE.search(condition["path"]):
            shown["path"] = REDACTED
    elif "value" in condition and condition["path"] == "space_id":
        shown["value"] = REDACTED
    return shown


# ---- evaluation ----------------------------------------------------------------------------------


class _UndecidableError(Exception):
    """A comparison that has no answer. Its text never holds a value."""

    def __init__(self, at: str, reason: str) -> None:
        super().__init__(reason)
        self.at = at
        self.reason = reason


def evaluate_json(policy: Policy, facts: str, judge: Judge) -> Outcome:
    """Evaluate over `{"args", "hidden", "context"}` as JSON text; see `evaluate`."""
    if policy.kind == "code":
        return evaluate(policy, {}, {}, judge)
    try:
        read = canonical.loads(facts)
        return evaluate(policy, read["args"], read["context"], judge)
    except canonical.CanonicalError as error:
        return _settle(policy, _undecided(policy, [], "$", f"cannot be read: {error}"))


def evaluate(
    policy: Policy, parameters: object, context: Mapping[str, Any], judge: Judge
) -> Outcome:
    """Decide, or say which code is to decide.

    The first rule that blocks, else the first that warns, else pass where a rule passes, else the
    default. Rules are asked in order, up to the first that blocks. What is missing or invalid
    blocks, and so does an ordered comparison of different types. Never raises for any parameters;
    exceptions of `judge` pass through.
    """
    if policy.kind == "code":
        return _evaluate_code(policy)
    if policy.status != "valid":
        reason = (
            f"policy {policy.policy} has no data definition"
            if policy.status == "missing"
            else f"the definition of policy {policy.policy} is invalid"
        )
        return _settle(
            policy, Outcome("block", reason, policy.guidance, None, _evidence(policy, ["data"]))
        )
    facts = {name: context[name] for name in ROOTS[1:] if context.get(name) is not None}
    facts["parameters"] = parameters
    return _settle(policy, _evaluate_rules(policy, facts, _Memory(judge)))


def _evaluate_code(policy: Policy) -> Outcome:
    evidence = _evidence(policy, ["code"])
    if policy.status == "valid":
        return Outcome(
            "block",
            policy.reason,
            policy.guidance,
            None,
            evidence,
            evaluator=policy.evaluator,
            preview_safe=policy.preview_safe,
        )
    return Outcome(
        "block", f"the definition of policy {policy.policy} is invalid", None, None, evidence
    )


def _evaluate_rules(policy: Policy, facts: Mapping[str, Any], judge: Judge) -> Outcome:
    matched: list[int] = []
    position = 0
    try:
        for position, rule in enumerate(policy.rules):
            if _holds(rule.when, facts, judge):
                matched.append(position)
                if rule.result == "block":
                    break
        decider = _decider(policy, matched)
        leaves = [] if decider is None else list(_leaves(policy.rules[decider].when, facts, judge))
    except _UndecidableError as error:
        return _undecided(policy, matched, error.at, error.reason, position)
    except RecursionError:
        at = policy.rules[position].when.at
        return _undecided(policy, matched, at, "compares values nested too deeply", position)
    evidence = _evidence(policy, ["data"])
    evidence["matched"] = matched
    evidence["default_applied"] = decider is None
    evidence["decided_by"] = decider
    evidence["conditions"] = leaves
    if decider is None:
        gives = policy.default != "pass"
        return Outcome(
            policy.default,
            policy.reason if gives else None,
            policy.guidance if gives else None,
            None,
            evidence,
        )
    rule = policy.rules[decider]
    gives = rule.result != "pass"
    return Outcome(
        rule.result,
        rule.reason or (policy.reason if gives else None),
        rule.guidance or (policy.guidance if gives else None),
        rule.require_approval,
        evidence,
    )


def _decider(policy: Policy, matched: list[int]) -> int | None:
    for result in ("block", "warn", "pass"):
        for position in matched:
            if policy.rules[position].result == result:
                return position
    return None


def _evidence(policy: Policy, dispatch_path: list[str]) -> dict[str, Any]:
    return {
        "requested_policy_id": policy.policy,
        "dispatch_path": dispatch_path,
        "definition_status": policy.status,
        "errors": list(policy.errors[:MAX_MEMBERS]),
    }


def _undecided(
    policy: Policy, matched: list[int], at: str, reason: str, position: int | None = None
) -> Outcome:
    """Block where a condition has no answer."""
    evidence = _evidence(policy, ["data"])
    evidence["errors"] = [{"path": at, "reason": reason}]
    evidence["matched"] = matched
    evidence["default_applied"] = False
    evidence["decided_by"] = position
    evidence["conditions"] = []
    return Outcome(
        "block",
        f"policy {policy.policy} cannot be decided: {at} {reason}",
        policy.guidance,
        None,
        evidence,
    )


def _settle(policy: Policy, outcome: Outcome) -> Outcome:
    """Name the fallback of a hybrid policy where one of its triggers is on."""
    if policy.fallback is None:
        return outcome
    trigger: str = policy.status
    if policy.status == "valid":
        if outcome.result not in policy.on_results:
            return outcome
        trigger = "data_result"
    if trigger not in policy.triggers:
        return outcome
    evidence = dict(outcome.evidence)
    evidence["fallback"] = {
        "trigger": trigger,
        "policy": policy.fallback,
        "data_result": outcome.result if policy.status == "valid" else None,
    }
    return Outcome(
        outcome.result,
        outcome.reason,
        outcome.guidance,
        outcome.require_approval,
        evidence,
        fallback=policy.fallback,
    )


_MISSING: Final = object()


class _Memory:
    """Asks for each path once: evidence is built from the same answers."""

    __slots__ = ("answers", "judge")

    def __init__(self, judge: Judge) -> None:
        self.answers: dict[str, bool] = {}
        self.judge = judge

    def __call__(self, path: str) -> bool:
        answer = self.answers.get(path)
        if answer is None:
            answer = self.answers[path] = self.judge(path)
        return answer


def _holds(condition: Condition, facts: Mapping[str, Any], judge: Judge) -> bool:
    kind = condition.kind
    if condition.left:
        return _is_met(condition, facts)
    if kind == "all":
        return all(_holds(member, facts, judge) for member in condition.members)
    if kind == "any":
        return any(_holds(member, facts, judge) for member in condition.members)
    if kind == "not":
        return not _holds(condition.members[0], facts, judge)
    return kind == "always" or judge(condition.path)


def _is_met(condition: Condition, facts: Mapping[str, Any]) -> bool:
    """Tell whether a path's value fits. What is missing fits nothing."""
    left = _find(facts, condition.left)
    if left is _MISSING or condition.operator == "exists":
        return left is not _MISSING
    right = _find(facts, condition.right) if condition.right else condition.value
    return right is not _MISSING and _compare(condition, left, right)


def _leaves(
    condition: Condition, facts: Mapping[str, Any], judge: Judge
) -> Iterator[dict[str, object]]:
    """Yield the leaves that made a condition what it is, with what each of them was."""
    if not condition.members:
        held = _holds(condition, facts, judge)
        yield {"at": condition.at, **condition.evidence, "held": held}
        return
    # One member settles an `any` that holds and an `all` that does not; else all of them did.
    settles = condition.kind == "any"
    members = condition.members
    if condition.kind != "not":
        settling = next(
            (member for member in members if _holds(member, facts, judge) is settles), None
        )
        members = members if settling is None else (settling,)
    for member in members:
        yield from _leaves(member, facts, judge)


def _find(facts: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = facts
    for segment in path:
        if isinstance(found, dict):
            found = found.get(segment, _MISSING)
        elif isinstance(found, list) and segment.isdecimal() and segment.isascii():
            position = int(segment) if len(segment) < _MANY_DIGITS else len(found)
            found = found[position] if position < len(found) else _MISSING
        else:
            return _MISSING
    return found


def _compare(condition: Condition, left: Any, right: Any) -> bool:
    orders = _ORDERED.get(condition.operator)
    if orders is None:
        return _same(left, right) is (condition.operator == "equals")
    if type(left) is not type(right) or type(left) not in _ORDERABLE:
        kind, other = schema.kind_of(left), schema.kind_of(right)
        if kind != other:
            raise _UndecidableError(condition.at, f"orders {a_kind(left)} against {a_kind(right)}")
        if kind not in ("string", "number"):
            raise _UndecidableError(condition.at, f"orders {kind}s, which have no order")
    return orders(left, right)


def _same(left: Any, right: Any) -> bool:
    """Tell whether two JSON values are equal: by type, then by value; 1 is 1.0."""
    kind = schema.kind_of(left)
    if kind != schema.kind_of(right):
        return False
    if kind == "object":
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if kind == "array":
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)
