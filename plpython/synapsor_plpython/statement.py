"""Statements: what `execute` understands, as a grammar, and what a statement asks for.

The grammar is data: `GRAMMAR` below is read once and interpreted by a small parser that looks one
token ahead, remembers how far it came, and what it would have taken there. Nothing in it nests, so
no text can make the parser recurse, and it takes every token a bounded number of times.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NoReturn

from synapsor_plpython import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_LENGTH: Final = 1_000_000
"""Longest statement, in characters."""

GRAMMAR: Final = """
# WORD: a keyword, in any case.  '(': that character.  label:item: kept under that name.
# [a]: a or nothing.  {a}: any number.  a | b: the first that fits.  a!: once among its repeats.

statement       = create_action | create_workflow | approve | reject | cancel | retry | settle
                | explain_run | explain_action | show | describe_action | describe_workflow | drop

create_action   = CREATE EXTERNAL ACTION action:name
                  { version! | description! | arg | hidden | provider! | account! | operation!
                  | queue! | idempotency! | idempotent! | approval! | policies! | attempts!
                  | lease! | priority! | ordering_key! | deliver_within! | reconcile! | limit
                  | required_roles! | require_run! | require_token! | redact! }
version         = VERSION label:string
description     = DESCRIPTION description:string
arg             = ARG name:name type
                  { arg_required! | arg_min! | arg_max! | arg_pattern! | arg_enum! }
type            = type:VARCHAR [ '(' length:integer ')' ] | type:TEXT | type:INT64
                | type:INTEGER | type:BIGINT | type:NUMERIC | type:DOUBLE [ PRECISION ]
                | type:BOOLEAN | type:JSON | type:TIMESTAMP | type:DATE | type:UUID
arg_required    = REQUIRED
arg_min         = MIN value:number
arg_max         = MAX value:number
arg_pattern     = PATTERN value:string
arg_enum        = ENUM '(' value:literal { ',' value:literal } ')'
hidden          = HIDDEN name:name [ FROM SESSION from:text ] { optional! | arg_required! }
optional        = OPTIONAL
provider        = PROVIDER provider:text
account         = ACCOUNT account:string
operation       = OPERATION operation:text
queue           = QUEUE queue:text
idempotency     = IDEMPOTENCY KEY key:string
idempotent      = IDEMPOTENT [ FOR window:string ]
approval        = APPROVAL approval_required { role! | quorum! | expires! | unless! | separate! }
approval_required = REQUIRED
role            = ROLE role:text
quorum          = QUORUM approvals:integer
expires         = EXPIRES AFTER expires_after:string
unless          = UNLESS unless:string
separate        = SEPARATE DUTIES
policies        = POLICIES names
attempts        = RETRY { max_attempts! | initial! | max! | multiplier! | jitter! }
max_attempts    = MAX ATTEMPTS max_attempts:integer
initial         = INITIAL initial:string
max             = MAX max:string
multiplier      = MULTIPLIER multiplier:number
jitter          = JITTER jitter:text
lease           = LEASE lease:string
priority        = PRIORITY priority:integer
ordering_key    = ORDERING KEY ordering_key:string
deliver_within  = DELIVER WITHIN deliver_within:string
reconcile       = RECONCILE OPERATION operation:text { after! | max_attempts! }
after           = AFTER after:string
limit           = LIMIT limited MAX max:number PER per:text [ BY names ] { on_exceed! }
limited         = COUNT | SUM sum:name
on_exceed       = ON EXCEED on_exceed:text
required_roles  = ROLES names
require_run     = REQUIRE RUN
require_token   = REQUIRE CLAIM TOKEN
redact          = REDACT names
names           = '(' [ item:text { ',' item:text } ] ')'

# Two dialects, in one: clauses, or lines up to END.
create_workflow = CREATE AGENT WORKFLOW workflow:text
                  { version! | description! | session! | capabilities! | actions! | capability
                  | action | entry! | evidence! | checkpoint! | branch! | risk | any_risk!
                  | max_steps! | max_calls! | max_input! | max_output! | retention! | context! }
                  [ END ]
session         = SESSION REQUIRE item:text { ',' item:text }
capabilities    = ALLOWED CAPABILITIES names
actions         = ALLOWED EXTERNAL ACTIONS names
capability      = ALLOW CAPABILITY item:text
action          = ALLOW EXTERNAL ACTION item:text
entry           = ENTRY CAPABILITY entry_capability:text
evidence        = EVIDENCE REQUIRED | REQUIRE EVIDENCE
checkpoint      = CHECKPOINT checkpoint_when
checkpoint_when = when:EVERY STEP | when:NONE | when:PROPOSAL ONLY
branch          = AUTO BRANCH ON PROPOSAL
risk            = ON RISK risk:text REQUIRE APPROVAL ROLE role:text
any_risk        = APPROVAL REQUIRED ROLE role:text
max_steps       = MAX STEPS max_steps:integer
max_calls       = MAX TOOL CALLS max_tool_calls:integer
max_input       = MAX INPUT TOKENS max_input_tokens:integer
max_output      = MAX OUTPUT TOKENS max_output_tokens:integer
retention       = RETENTION kept { ',' kept }
kept            = what:RUNS days:integer days_word | what:EVIDENCE days:integer days_word
days_word       = DAYS | DAY
context         = USING CONTEXT context:text

approve         = APPROVE EXTERNAL ACTION id:string { note! | digest! }
reject          = REJECT EXTERNAL ACTION id:string { note! }
cancel          = CANCEL EXTERNAL ACTION id:string { note! }
retry           = RETRY EXTERNAL ACTION id:string { note! }
settle          = SETTLE EXTERNAL ACTION id:string AS outcome { note! }
outcome         = status:SUCCEEDED | status:FAILED | status:QUEUED
note            = NOTE note:string
digest          = DIGEST digest:string
explain_run     = EXPLAIN AGENT RUN id:string [ FORMAT format:text ]
explain_action  = EXPLAIN EXTERNAL ACTION id:string [ FORMAT format:text ]
show            = SHOW shown
shown           = what:EXTERNAL ACTIONS | what:WORKFLOWS | what:RUNS | what:PENDING APPROVALS
                | what:QUEUES | what:CONTRACTS
describe_action   = DESCRIBE EXTERNAL ACTION name:text [ VERSION version:version_name ]
describe_workflow = DESCRIBE [ AGENT ] WORKFLOW name:text [ VERSION version:version_name ]
drop            = DROP EXTERNAL ACTION name:text [ VERSION version:integer ]
"""

HINT: Final = "COMMENT ON FUNCTION synapsor.execute names the statements and their clauses."

# What a token may be, by the name that the grammar has for it.
_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "name": ("name",),
    "string": ("string",),
    "text": ("name", "string"),
    "integer": ("integer",),
    "number": ("integer", "number"),
    "literal": ("string", "integer", "number"),
    "version_name": ("string", "integer"),
}
_ARTICLES: Final = {
    "name": "a name",
    "string": "a string in quotes",
    "integer": "an integer",
    "number": "a number",
}
_TYPES: Final[Mapping[str, dict[str, str]]] = {
    "VARCHAR": {"type": "string"},
    "TEXT": {"type": "string"},
    "INT64": {"type": "integer"},
    "INTEGER": {"type": "integer"},
    "BIGINT": {"type": "integer"},
    "NUMERIC": {"type": "number"},
    "DOUBLE": {"type": "number"},
    "BOOLEAN": {"type": "boolean"},
    "JSON": {"type": "object"},
    "TIMESTAMP": {"type": "string", "format": "date-time"},
    "DATE": {"type": "string", "format": "date"},
    "UUID": {"type": "string", "format": "uuid"},
}


class StatementError(ValueError):
    """A text that is no statement: the fact, and where (characters from 0), found and expected."""

    def __init__(self, fact: str, place: int, found: str, expected: list[str]) -> None:
        """Remember all of it."""
        super().__init__(fact)
        self.fact = fact
        self.place = place
        self.found = found
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text: its kind, what it means, and where it begins."""

    kind: str
    value: str
    place: int


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of the grammar: its kind, its word, its parts, its label, and whether once only."""

    kind: str
    word: str = ""
    parts: tuple[Item, ...] = ()
    label: str | None = None
    once: bool = False


@dataclass(slots=True)
class Node:
    """What a rule took: the tokens it labels, and the rules within."""

    rule: str
    place: int
    tokens: dict[str, list[Token]] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def text(self, label: str) -> str:
        """Return the value of a labelled token."""
        return self.tokens[label][0].value

    def all(self, rule: str) -> Iterator[Node]:
        """Return the nodes of a rule within."""
        return (node for node in self.nodes if node.rule == rule)

    def has(self, rule: str) -> bool:
        """Tell whether the rule is within."""
        return any(node.rule == rule for node in self.nodes)

    def refuse(self, name: str) -> NoReturn:
        """Refuse the name that one of its tokens gives a second time."""
        labelled = [token for tokens in self.tokens.values() for token in tokens]
        place = next((token.place for token in labelled if token.value == name), self.place)
        shown = _shortened(name)
        raise StatementError(f"{shown} is given twice", place, shown, ["another name"])


def parse_json(text: str | None) -> str:
    """Return what a statement asks for, as JSON, or why it is none.

    `{"verb", "arguments", "notices"}`; or `{"error": {"message", "detail", "hint"}}`.
    """
    text = text or ""
    try:
        asked = parse(text)
    except StatementError as error:
        return json.dumps({"error": describe(text, error)})
    return canonical.dumps(asked)


def parse(text: str) -> dict[str, Any]:
    """Return what a statement asks for: the verb, its arguments, and what is to be noticed."""
    if len(text) > MAX_LENGTH:
        fact = f"a statement has at most {MAX_LENGTH} characters"
        raise StatementError(fact, MAX_LENGTH, "more", ["the end of the statement"])
    node = _Parser(_tokens(text)).parse().nodes[0]
    return _VERBS[node.rule](node)


def describe(text: str, error: StatementError) -> dict[str, str]:
    """Return message, detail and hint of an error: where, what was found, what was expected."""
    before = text[: error.place]
    line = before.count("\n") + 1
    start = before.rfind("\n") + 1
    column = error.place - start + 1
    end = text.find("\n", error.place)
    # A long line is shown around the place.
    left = max(start, error.place - 60)
    shown = text[left : min(len(text) if end < 0 else end, error.place + 40)]
    shown = re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", shown)
    prefix = f"LINE {line}: " + ("..." if left > start else "")
    return {
        "message": error.fact,
        "detail": (
            f"Line {line}, column {column}: found {error.found}, "
            f"expected {_listed(error.expected)}.\n"
            f"{prefix}{shown}\n{' ' * (len(prefix) + error.place - left)}^"
        ),
        "hint": HINT,
    }


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


# -- tokens ---------------------------------------------------------------------------------------

_BLANK: Final = re.compile(r"\s+|--[^\n]*")
_COMMENT: Final = re.compile(r"/\*|\*/")
# A name may have several segments: billing.issue_refund, billing.refund_limit.v1.
_NAME: Final = re.compile(r"[^\W\d][\w$]*(?:[.-](?!-)[\w$]+)*")
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_INTEGER: Final = re.compile(r"[+-]?\d+", re.ASCII)
_LONGEST_NUMBER: Final = 100
_LONGEST_SHOWN: Final = 64


def _tokens(text: str) -> Iterator[Token]:
    place = 0
    while True:
        place, open_comment = _skip(text, place)
        if open_comment is not None:
            yield Token("unterminated", "comment", open_comment)
            return
        if place >= len(text):
            yield Token("end", "", place)
            return
        token, place = _token(text, place)
        yield token
        if token.kind == "unterminated":
            return


def _skip(text: str, place: int) -> tuple[int, int | None]:
    """Return the place after blanks and comments, and where an open comment begins."""
    while True:
        if blank := _BLANK.match(text, place):
            place = blank.end()
        elif text.startswith("/*", place):
            depth = 0
            for mark in _COMMENT.finditer(text, place):
                depth += 1 if mark.group() == "/*" else -1
                if depth == 0:
                    break
            else:
                return place, place
            place = mark.end()
        else:
            return place, None


def _token(text: str, place: int) -> tuple[Token, int]:
    first = text[place]
    if first in "'\"":
        return _quoted(text, place, first)
    if name := _NAME.match(text, place):
        return Token("name", name.group(), place), name.end()
    if number := _NUMBER.match(text, place):
        value = number.group()
        kind = "integer" if _INTEGER.fullmatch(value) else "number"
        return Token(kind if len(value) <= _LONGEST_NUMBER else "long number", value, place), (
            number.end()
        )
    return Token("character", first, place), place + 1


def _quoted(text: str, start: int, quote: str) -> tuple[Token, int]:
    place = start + 1
    while True:
        place = text.find(quote, place)
        if place < 0:
            what = "string" if quote == "'" else "name in quotes"
            return Token("unterminated", what, start), len(text)
        if not text.startswith(quote, place + 1):
            break
        place += 2
    value = text[start + 1 : place].replace(quote * 2, quote)
    # A name in quotes is never a keyword.
    return Token("string" if quote == "'" else "quoted name", value, start), place + 1


# -- the grammar, read ----------------------------------------------------------------------------

_GRAMMAR_TOKEN: Final = re.compile(r"'[^']'|[\[\]{}|()!:]|[A-Z][A-Z0-9_]*|[a-z_]+")


def _read_grammar(source: str) -> dict[str, Item]:
    text = re.sub(r"(?m)^#.*$", "", source)
    rules: dict[str, Item] = {}
    for rule in re.split(r"\n(?=[a-z_]+ *=)", text.strip()):
        name, _, body = rule.partition("=")
        words = _GRAMMAR_TOKEN.findall(body)
        item, rest = _read_choice(words, 0)
        if rest != len(words):
            raise ValueError(f"the rule {name} of the grammar is unreadable")
        rules[name.strip()] = item
    return rules


def _read_choice(words: list[str], place: int) -> tuple[Item, int]:
    choices: list[Item] = []
    parts: list[Item] = []
    while place < len(words) and words[place] not in ("]", "}"):
        if words[place] == "|":
            choices.append(Item("all", parts=tuple(parts)))
            parts = []
            place += 1
            continue
        part, place = _read_part(words, place)
        parts.append(part)
    choices.append(Item("all", parts=tuple(parts)))
    return (Item("any", parts=tuple(choices)) if len(choices) > 1 else choices[0]), place


def _read_part(words: list[str], place: int) -> tuple[Item, int]:
    word = words[place]
    if word in ("[", "{"):
        inner, place = _read_choice(words, place + 1)
        return Item("maybe" if word == "[" else "repeat", parts=(inner,)), place + 1
    label = None
    if words[place + 1 : place + 2] == [":"]:
        label = word
        word = words[place + 2]
        place += 2
    once = words[place + 1 : place + 2] == ["!"]
    if word[0] == "'":
        kind, word = "symbol", word[1]
    elif word.isupper():
        kind = "keyword"
    else:
        kind = "token" if word in _KINDS else "rule"
    return Item(kind, word, label=label, once=once), place + 1 + once


RULES: Final = _read_grammar(GRAMMAR)


# -- parsing --------------------------------------------------------------------------------------


class _Parser:
    """Takes one statement from tokens; every item is tried at one place and takes, or does not."""

    def __init__(self, tokens: Iterator[Token]) -> None:
        self.source = tokens
        self.tokens: list[Token] = []
        self.place = 0
        self.farthest = 0
        self.expected: list[str] = []
        self.repeated: Token | None = None

    def parse(self) -> Node:
        root = Node("root", 0)
        if not self.take(Item("rule", "statement"), root, set()):
            self.fail()
        self.accept("symbol", ";", None, root)
        if not self.accept("end", "the end of the statement", None, root):
            after = self.tokens[self.place - 1]
            if after.kind == "character" and after.value == ";":
                self.fail("there is more than one statement")
            self.fail()
        return root.nodes[0]

    def token(self) -> Token:
        """Return the token at this place; no more of the text is read than that takes."""
        while self.place >= len(self.tokens):
            self.tokens.append(next(self.source))
        return self.tokens[self.place]

    def take(self, item: Item, node: Node, seen: set[str]) -> bool:
        """Take an item at this place; when it does not fit, nothing is taken."""
        match item.kind:
            case "all":
                return self.take_all(item, node, seen)
            case "any":
                return any(self.take(part, node, seen) for part in item.parts)
            case "maybe":
                self.take(item.parts[0], node, seen)
                return True
            case "repeat":
                inner: set[str] = set()
                while self.take(item.parts[0], node, inner):
                    pass
                return True
            case "rule":
                return self.take_rule(item, node, seen)
            case _:
                return self.accept(item.kind, item.word, item.label, node)

    def take_all(self, item: Item, node: Node, seen: set[str]) -> bool:
        place = self.place
        for part in item.parts:
            if not self.take(part, node, seen):
                self.place = place
                return False
        return True

    def take_rule(self, item: Item, node: Node, seen: set[str]) -> bool:
        token = self.token()
        inner = Node(item.word, token.place)
        if item.word in seen:
            expected, farthest, place = list(self.expected), self.farthest, self.place
            if self.take(RULES[item.word], inner, set()):
                self.repeated = token
            self.expected, self.farthest, self.place = expected, farthest, place
            return False
        if not self.take(RULES[item.word], inner, set()):
            return False
        node.nodes.append(inner)
        if item.once:
            seen.add(item.word)
        return True

    def accept(self, kind: str, word: str, label: str | None, node: Node) -> bool:
        """Take one token, or remember that it was expected here."""
        token = self.token()
        if _fits(token, kind, word):
            if label is not None:
                kept = Token(token.kind, word, token.place) if kind == "keyword" else token
                node.tokens.setdefault(label, []).append(kept)
            if kind != "end":
                self.place += 1
            return True
        if self.place > self.farthest:
            self.farthest = self.place
            self.expected = []
        if self.place == self.farthest:
            for expected in _expectations(kind, word):
                if expected not in self.expected:
                    self.expected.append(expected)
        return False

    def fail(self, fact: str | None = None) -> NoReturn:
        token = self.tokens[self.farthest]
        if self.repeated is token:
            fact = f"the clause {token.value.upper()} is given twice"
        if token.kind == "unterminated":
            fact = f"a {token.value} does not end"
        elif fact is None and token.kind == "end":
            fact = "the statement ends too early"
        elif fact is None:
            fact = f"the statement is not understood at {_found(token)}"
        raise StatementError(fact, token.place, _found(token), self.expected)


def _fits(token: Token, kind: str, word: str) -> bool:
    match kind:
        case "keyword":
            return token.kind == "name" and token.value.upper() == word
        case "symbol":
            return token.kind == "character" and token.value == word
        case "end":
            return token.kind == "end"
        case _:
            return token.kind.removeprefix("quoted ") in _KINDS[word]


def _expectations(kind: str, word: str) -> list[str]:
    match kind:
        case "token":
            return [_ARTICLES[part] for part in _KINDS[word]]
        case "symbol":
            return [f'"{word}"']
        case _:
            return [word]


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def _found(token: Token) -> str:
    match token.kind:
        case "end":
            return "the end of the text"
        case "unterminated":
            return f"a {token.value} without an end"
        case "string":
            return "a string"
        case "name" | "quoted name" | "integer" | "number":
            return _shortened(token.value)
        case "long number":
            return "a number of too many digits"
        case _:
            return f'"{token.value}"'


# -- what a statement asks for --------------------------------------------------------------------


def _number(token: Token) -> int | Decimal:
    return int(token.value) if token.kind == "integer" else Decimal(token.value)


def _value(token: Token) -> Any:
    return token.value if token.kind in ("name", "quoted name", "string") else _number(token)


def _values(node: Node) -> dict[str, Any]:
    """Return the labelled tokens of a node by their labels, each the one it has."""
    return {label: _value(tokens[0]) for label, tokens in node.tokens.items()}


def _gathered(nodes: list[Node]) -> dict[str, Any]:
    return {key: value for node in nodes for key, value in _values(node).items()}


def _items(node: Node) -> list[Any]:
    return [token.value for names in node.all("names") for token in names.tokens.get("item", [])]


def _asked(
    verb: str, arguments: dict[str, Any], notices: list[str] | None = None
) -> dict[str, Any]:
    return {"verb": verb, "arguments": arguments, "notices": notices or []}


def _add(definition: dict[str, Any], part: dict[str, Any], clause: Node) -> None:
    """Add what a clause says: lists grow, objects too, and no name is said twice."""
    for key, value in part.items():
        if isinstance(value, list):
            definition.setdefault(key, []).extend(value)
        elif isinstance(value, dict):
            known = definition.setdefault(key, {})
            for name, member in value.items():
                if name in known:
                    clause.refuse(name)
                known[name] = member
        else:
            definition[key] = value


_ACTION_CLAUSES: Final[Mapping[str, Callable[[Node], dict[str, Any]]]] = {
    "arg": lambda clause: {"args": {clause.text("name"): _arg(clause)}},
    "hidden": lambda clause: {"hidden": {clause.text("name"): _hidden(clause)}},
    "idempotency": lambda clause: {"idempotency": _values(clause)},
    "idempotent": lambda clause: {"idempotency": {"idempotent": True} | _values(clause)},
    "approval": lambda clause: {"approval": _approval(clause)},
    "attempts": lambda clause: {"retry": _gathered(clause.nodes)},
    "reconcile": lambda clause: {"reconcile": _values(clause) | _gathered(clause.nodes)},
    "limit": lambda clause: {"limits": [_limit(clause)]},
    "policies": lambda clause: {"policies": _items(clause)},
    "redact": lambda clause: {"redact": _items(clause)},
    "required_roles": lambda clause: {"required_roles": _items(clause)},
    "require_run": lambda _: {"require_run": True},
    "require_token": lambda _: {"require_claim_token": True},
}


def _create_action(node: Node) -> dict[str, Any]:
    definition: dict[str, Any] = {
        "action": node.text("action"),
        "kind": "external",
        "args": {},
        "hidden": {},
    }
    for clause in node.nodes:
        _add(definition, _ACTION_CLAUSES.get(clause.rule, _values)(clause), clause)
    return _asked("declare_action", {"definition": definition})


def _arg(clause: Node) -> dict[str, Any]:
    declared = next(clause.all("type"))
    spec: dict[str, Any] = dict(_TYPES[declared.text("type")])
    if "length" in declared.tokens:
        spec["max_length"] = _number(declared.tokens["length"][0])
    for option in clause.nodes:
        match option.rule:
            case "arg_required":
                spec["required"] = True
            case "arg_min":
                spec["minimum"] = _number(option.tokens["value"][0])
            case "arg_max":
                spec["maximum"] = _number(option.tokens["value"][0])
            case "arg_pattern":
                spec["pattern"] = option.text("value")
            case "arg_enum":
                spec["enum"] = [_value(token) for token in option.tokens["value"]]
    return spec


def _hidden(clause: Node) -> dict[str, Any]:
    bound: dict[str, Any] = {"from": clause.tokens.get("from", clause.tokens["name"])[0].value}
    if clause.has("optional"):
        bound["required"] = False
    return bound


def _approval(clause: Node) -> dict[str, Any]:
    approval = {"required": True} | _gathered(clause.nodes)
    if clause.has("separate"):
        approval["separate_duties"] = True
    return approval


def _limit(clause: Node) -> dict[str, Any]:
    limit = _values(clause) | _gathered(list(clause.all("limited")) + list(clause.all("on_exceed")))
    for key in ("per", "on_exceed"):
        if key in limit:
            limit[key] = str(limit[key]).lower()
    if by := _items(clause):
        limit["by"] = by
    return limit


_WORKFLOW_CLAUSES: Final[Mapping[str, Callable[[Node], dict[str, Any]]]] = {
    "session": lambda clause: {
        "session_requirements": [token.value for token in clause.tokens["item"]]
    },
    "capabilities": lambda clause: {"allowed_capabilities": _items(clause)},
    "actions": lambda clause: {"allowed_actions": _items(clause)},
    "capability": lambda clause: {"allowed_capabilities": [clause.text("item")]},
    "action": lambda clause: {"allowed_actions": [clause.text("item")]},
    "evidence": lambda _: {"evidence_required": True},
    "checkpoint": lambda clause: {
        "checkpoint_every_step": next(clause.all("checkpoint_when")).text("when") == "EVERY"
    },
    "branch": lambda _: {"auto_branch_on_proposal": True},
    "risk": lambda clause: {
        "risk_policy": {clause.text("risk"): {"approval_role": clause.text("role")}}
    },
    "any_risk": lambda clause: {"risk_policy": {"any": {"approval_role": clause.text("role")}}},
    "retention": lambda clause: {"retention": _retention(clause)},
    "context": lambda _: {},
}


def _create_workflow(node: Node) -> dict[str, Any]:
    definition: dict[str, Any] = {"workflow": node.text("workflow")}
    for clause in node.nodes:
        _add(definition, _WORKFLOW_CLAUSES.get(clause.rule, _values)(clause), clause)
    notices = ["USING CONTEXT is read and has no effect here"] if node.has("context") else []
    return _asked("declare_workflow", {"definition": definition}, notices)


def _retention(clause: Node) -> dict[str, Any]:
    retention: dict[str, Any] = {}
    for kept in clause.all("kept"):
        _add(retention, {"days": {kept.text("what"): _number(kept.tokens["days"][0])}}, kept)
    return {f"{what.lower()}_days": days for what, days in retention["days"].items()}


def _decide(verb: str, note: str) -> Callable[[Node], dict[str, Any]]:
    def ask(node: Node) -> dict[str, Any]:
        given = _gathered(node.nodes)
        arguments = {"action_id": node.text("id"), note: given.get("note")}
        if "digest" in given:
            arguments["expected_digest"] = given["digest"]
        if "status" in given:
            arguments["status"] = given["status"].lower()
        return _asked(verb, arguments)

    return ask


def _explain(verb: str, key: str) -> Callable[[Node], dict[str, Any]]:
    def ask(node: Node) -> dict[str, Any]:
        asked = node.tokens.get("format")
        how = asked[0].value.lower() if asked else "text"
        return _asked(verb, {key: node.text("id"), "format": how})

    return ask


def _show(node: Node) -> dict[str, Any]:
    return _asked("show", {"what": next(node.all("shown")).text("what").lower()})


def _named(verb: str) -> Callable[[Node], dict[str, Any]]:
    def ask(node: Node) -> dict[str, Any]:
        asked = node.tokens.get("version")
        return _asked(verb, {"name": node.text("name"), "version": asked and asked[0].value})

    return ask


_VERBS: Final[Mapping[str, Callable[[Node], dict[str, Any]]]] = {
    "create_action": _create_action,
    "create_workflow": _create_workflow,
    "approve": _decide("approve_external_action", "note"),
    "reject": _decide("reject_external_action", "note"),
    "cancel": _decide("cancel_external_action", "reason"),
    "retry": _decide("retry_external_action", "note"),
    "settle": _decide("settle_external_action", "note"),
    "explain_run": _explain("explain_agent_run", "run_id"),
    "explain_action": _explain("explain_action", "action_id"),
    "show": _show,
    "describe_action": _named("describe_action"),
    "describe_workflow": _named("describe_workflow"),
    "drop": _named("retire_action"),
}
