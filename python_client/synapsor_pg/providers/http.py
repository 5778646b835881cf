"""Generic HTTP: operations described in a file that the worker's operator owns.

``SYNAPSOR_HTTP_CONFIG`` names a TOML or JSON file; importing this module registers its operations,
``load`` does the same for a program. It is read once; credentials are read for each delivery.

The file says everything about where requests go; the database only names an operation, and fills
its templates with an action's arguments, so that no caller can aim one. Others may not write it::

    [providers.crm]
    origins = ["https://api.crm.example"]   # the only places its requests go to
    # private_networks = ["10.1.0.0/16"]    # allowed although they are not on the internet
    # timeout = 20, connect_timeout = 5, max_response = 65536, redirects = 0

    [providers.crm.operations."contacts.update"]
    method = "PUT"
    url = "https://api.crm.example/v1/contacts/{contact}"
    query = { notify = "{notify}" }
    headers = { Authorization = "Bearer {secret.api_key}" }
    json = { name = "{name}", tags = ["{tag}"], source = "synapsor {delivery.action_id}" }
    idempotency_header = "Idempotency-Key"
    provider_id = "contact.id"              # where the answer has the provider's own id
    error_code = "error.code"               # where a refusal says why
    error_message = "error.message"
    success = { status = [200, 201], path = "ok", equals = true }
    rules = [ { status = [409], path = "error.code", equals = "exists", outcome = "succeeded" },
              { status = [400, 422], outcome = "rejected" } ]

    [providers.crm.operations."contacts.find"]        # for a contract's reconcile
    find = true
    url = "https://api.crm.example/v1/contacts?external_id={delivery.action_id}"
    headers = { Authorization = "Bearer {secret.api_key}" }
    success = { path = "contacts.0.id" }
    provider_id = "contacts.0.id"

and the contract that uses them::

    {"action": "crm.update_contact", "kind": "external",
     "args": {"contact": {"type": "string", "required": true}, "name": {"type": "string"}},
     "hidden": {"tenant_id": {}},
     "provider": "crm", "operation": "contacts.update", "queue": "crm",
     "idempotency": {"key": "{tenant_id}:{contact}:{name}", "idempotent": true,
                     "window": "24 hours"},
     "reconcile": {"operation": "contacts.find", "after": "30 s", "max_attempts": 5}}

**Templates.** ``{name}`` and ``{address.city}`` are arguments, ARG or HIDDEN; ``{delivery.x}`` is
its action_id, action, tenant_id, account, idempotency_key, key (the derived one) or correlation_id;
``{secret.x}``, in headers only, is the credential x of the provider's account. ``{{`` and ``}}``
are braces. In a URL a value is percent-encoded, stands behind the host, and is never a step of a
path by itself (``..``); in ``json`` a text that is exactly one template keeps the value's JSON
type. ``form`` is sent url-encoded. What is exactly one template is left out of ``json``, ``query``
and ``form`` where the argument is missing. A value that is missing elsewhere, or that its place
cannot hold, is a refusal before anything is sent.

**The idempotency header** carries a structured string (the IETF's draft): ``"syn_…"``, made of
tenant, action and idempotency key, the same on every try.

**What is known afterwards**: the first of the ``rules`` that fits (``outcome``: succeeded,
rejected, retryable, unknown); then ``success``; a 2xx that does not meet it is unknown; then the
table in ``synapsor_pg.providers.sending``. Paths are names and list positions joined by dots. A
``find`` changes nothing and expects JSON: what meets ``success`` was done; a 404 and any other 2xx
say that it was not (a rule may say ``unknown``, or ``rejected``: not done, and not to be done).
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from synapsor_pg.handlers import HandlerError, Outcome, failed, succeeded, unknown
from synapsor_pg.providers.credentials import ConfigurationError, check_owner, secret
from synapsor_pg.providers.egress import (
    NEVER_OURS,
    Answer,
    Egress,
    network_of,
    origin_of,
    url_of,
)
from synapsor_pg.providers.sending import (
    by_status,
    digest_of,
    provider_key,
    provides,
    refused,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from synapsor_pg.handlers import Delivery, Registry

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
OUTCOMES: Final = frozenset({"succeeded", "rejected", "retryable", "unknown"})

_REFERENCE = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_.-]*)\}|[{}]")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MISSING: Final = object()


class TemplateError(ValueError):
    """A template has no value, or one that does not fit its place."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text with references: literals and names in turn, starting with a literal."""

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, where: str) -> Template:
        """Read a template; raises ConfigurationError."""
        parts = [""]
        end = 0
        for found in _REFERENCE.finditer(text):
            parts[-1] += text[end : found.start()]
            end = found.end()
            if found[1] is not None:
                parts += [found[1], ""]
            elif found[0] in {"{{", "}}"}:
                parts[-1] += found[0][0]
            else:
                raise ConfigurationError(f"{where}: a single brace; write two")
        parts[-1] += text[end:]
        return cls(tuple(parts))

    @property
    def names(self) -> tuple[str, ...]:
        """The names it refers to."""
        return self.parts[1::2]

    @property
    def only(self) -> str | None:
        """The name, when the text is nothing else."""
        lone = len(self.parts) == 3 and not self.parts[0] and not self.parts[2]  # noqa: PLR2004
        return self.parts[1] if lone else None

    def render(self, value_of: Callable[[str], Any]) -> str:
        """Fill it in."""
        filled = list(self.parts)
        for index in range(1, len(filled), 2):
            filled[index] = as_text(value_of(filled[index]), filled[index])
        return "".join(filled)


def as_text(value: Any, name: str) -> str:
    """Return a scalar as it stands in a text."""
    if value is _MISSING or value is None:
        raise TemplateError(f"{name} is missing")
    if isinstance(value, (dict, list)):
        raise TemplateError(f"{name} is no single value")
    return value if isinstance(value, str) else json.dumps(value)


def at(document: Any, path: str) -> Any:
    """Return what is at a path of names and positions."""
    for step in path.split("."):
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and re.fullmatch(r"[0-9]{1,6}", step):
            position = int(step)
            document = document[position] if position < len(document) else _MISSING
        else:
            return _MISSING
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What an answer must be like, and what it then means."""

    outcome: str
    statuses: frozenset[int] | None = None
    path: str | None = None
    equals: Any = _MISSING

    @classmethod
    def parse(cls, given: Any, where: str, *, outcome: str | None = None) -> Rule:
        """Read a rule; raises ConfigurationError."""
        known = {"status", "path", "equals"} | (set() if outcome else {"outcome"})
        rule = _table(given, where, known)
        status = rule.get("status")
        if status is not None and not (
            isinstance(status, list) and all(type(each) is int for each in status)
        ):
            raise ConfigurationError(f"{where}.status is no list of numbers")
        meaning = outcome or rule.get("outcome")
        if meaning not in OUTCOMES:
            raise ConfigurationError(f"{where}.outcome is none of {', '.join(sorted(OUTCOMES))}")
        if "equals" in rule and "path" not in rule:
            raise ConfigurationError(f"{where}.equals needs a path")
        if status is None and "path" not in rule:
            raise ConfigurationError(f"{where} needs a status or a path")
        return cls(
            outcome=meaning,
            statuses=None if status is None else frozenset(status),
            path=_text(rule, "path", where, required=False),
            equals=rule.get("equals", _MISSING),
        )

    def fits(self, status: int, document: Any) -> bool:
        """Return whether the answer is like this; without statuses, a 2xx of any kind."""
        if self.statuses is None and not 200 <= status < 300:  # noqa: PLR2004
            return False
        if self.statuses is not None and status not in self.statuses:
            return False
        if self.path is None:
            return True
        found = at(document, self.path)
        if self.equals is _MISSING:
            return found is not _MISSING and found is not None
        return type(found) is type(self.equals) and bool(found == self.equals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the file."""

    provider: str
    name: str
    egress: Egress
    method: str
    origin: str
    path: Template
    query: tuple[tuple[str, Template], ...]
    headers: tuple[tuple[str, Template], ...]
    body: Any
    form: tuple[tuple[str, Template], ...] | None
    idempotency_header: str | None
    provider_id: str | None
    error_code: str | None
    error_message: str | None
    success: Rule | None
    rules: tuple[Rule, ...]
    find: bool

    def perform(self, delivery: Delivery) -> Outcome:
        """Send the request that this operation makes of an action."""
        try:
            url, headers, content = self.render(delivery)
        except TemplateError as error:
            raise refused(delivery, "invalid_request", str(error)) from None
        if self.find:
            return self._look(delivery, url, headers)
        confidential = {
            name
            for name, template in self.headers
            if any(each.startswith("secret.") for each in template.names)
        }
        named = {name: value for name, value in headers.items() if name not in confidential}
        delivery.begin(digest_of(self.method, url, named, content.decode()))
        answer = self.egress.send(
            delivery, self.method, url, headers=headers, content=content, confidential=confidential
        )
        return self.judge(delivery, answer)

    def _look(self, delivery: Delivery, url: str, headers: dict[str, str]) -> Outcome:
        try:
            answer = self.egress.send(
                delivery, "GET", url, headers=headers, confidential=tuple(headers)
            )
            document = answer.json()
        except (HandlerError, ValueError) as error:
            return unknown("cannot_ask", text_of(str(error)))
        facts: dict[str, Any] = {"response": answer.evidence()}
        found = self.success or Rule(outcome="succeeded")
        absent = Rule(outcome="retryable", statuses=frozenset({*range(200, 300), 404}))
        for rule in (*self.rules, found, absent):
            if not rule.fits(answer.status, document):
                continue
            if rule.outcome == "succeeded":
                return succeeded(provider_request_id=self._identifier(document), **facts)
            if rule.outcome == "unknown":
                break
            why = f"{self.provider} does not have it: not done"
            return failed("not_found", why, retryable=rule.outcome == "retryable", **facts)
        return unknown(
            "cannot_ask",
            f"{self.provider} answers {answer.status}",
            retry_after=answer.retry_after,
            **facts,
        )

    def render(self, delivery: Delivery) -> tuple[str, dict[str, str], bytes]:
        """Return URL, headers and body, the same on every try; raises TemplateError."""

        def value_of(name: str) -> Any:
            return _value(self.provider, delivery, name)

        url = self.origin + _rendered_path(self.path, value_of)
        pairs = _pairs(self.query, value_of)
        if pairs:
            url += ("&" if "?" in url else "?") + pairs
        headers = {name: _header(template, value_of) for name, template in self.headers}
        lowered = {name.lower() for name in headers}
        if self.idempotency_header is not None:
            headers[self.idempotency_header] = f'"{provider_key(delivery)}"'
        if "user-agent" not in lowered:
            headers["User-Agent"] = "synapsor-pg"
        content = b""
        kind = None
        if self.form is not None:
            kind = "application/x-www-form-urlencoded"
            content = _pairs(self.form, value_of).encode()
        elif self.body is not None:
            kind = "application/json"
            filled = _filled(self.body, value_of)
            if filled is _MISSING:
                raise TemplateError("the body is missing")
            content = json.dumps(filled, sort_keys=True, separators=(",", ":")).encode()
        if kind is not None and "content-type" not in lowered:
            headers["Content-Type"] = kind
        return url, headers, content

    def judge(self, delivery: Delivery, answer: Answer) -> Outcome:
        """Return what the answer says about the effect."""
        document: Any = None
        readable = True
        try:
            document = answer.json()
        except ValueError:
            readable = False
        facts: dict[str, Any] = {
            "response": answer.evidence(),
            "provider_request_id": self._identifier(document),
        }
        code = self._said(document, self.error_code) or f"http_{answer.status}"
        message = self._said(document, self.error_message) or (
            f"{self.provider} answers {answer.status}"
        )
        wait = answer.retry_after
        for rule in (*self.rules, *([self.success] if self.success else [])):
            if not rule.fits(answer.status, document):
                continue
            if rule.outcome == "succeeded":
                return succeeded(**facts)
            if rule.outcome == "unknown":
                return unknown(code, message, retry_after=wait, **facts)
            again = rule.outcome == "retryable" or delivery.sent_before
            return failed(code, message, retryable=again, retry_after=wait, **facts)
        if 200 <= answer.status < 300 and self.success is not None:  # noqa: PLR2004
            why = "is not what counts as success" if readable else "cannot be read"
            if not answer.complete:
                why = f"is incomplete, or longer than max_response ({self.egress.max_response})"
            code = self._said(document, self.error_code) or "unexpected_answer"
            return unknown(code, f"the answer {answer.status} {why}", **facts)
        return by_status(
            delivery, answer.status, message, error_code=code, retry_after=wait, **facts
        )

    def _identifier(self, document: Any) -> str | None:
        return self._said(document, self.provider_id)

    @staticmethod
    def _said(document: Any, path: str | None) -> str | None:
        found = _MISSING if path is None else at(document, path)
        if isinstance(found, bool) or not isinstance(found, (str, int)):
            return None
        return text_of(str(found), 255) or None


def _value(provider: str, delivery: Delivery, name: str) -> Any:
    head, _, rest = name.partition(".")
    if head == "secret":
        return secret(provider, rest, delivery.account)
    if head == "delivery":
        claim = delivery.claim
        return {
            "action_id": claim.action_id,
            "action": claim.action,
            "tenant_id": claim.tenant_id,
            "account": delivery.account,
            "idempotency_key": claim.idempotency_key,
            "key": provider_key(delivery),
            "correlation_id": claim.correlation_id,
        }[rest]
    return at(delivery.arguments, name)


DELIVERY_NAMES: Final = frozenset(
    {"action_id", "action", "tenant_id", "account", "idempotency_key", "key", "correlation_id"}
)


def _encoded(text: str) -> str:
    try:
        return quote(text, safe="", errors="strict")
    except UnicodeEncodeError:
        raise TemplateError("a value is no text") from None


def _pairs(templates: tuple[tuple[str, Template], ...], value_of: Callable[[str], Any]) -> str:
    pairs = []
    for name, template in templates:
        if template.only is not None:
            value = value_of(template.only)
            if value is _MISSING or value is None:
                continue
        pairs.append(f"{quote(name, safe='')}={_encoded(template.render(value_of))}")
    return "&".join(pairs)


def _path_value(text: str) -> str:
    if not text:
        raise TemplateError("a value in the path is empty")
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise TemplateError("a value in the path has control characters")
    if any(step in {".", ".."} for step in re.split(r"[/\\]", text)):
        raise TemplateError("a value in the path would lead elsewhere")
    return _encoded(text)


def _rendered_path(template: Template, value_of: Callable[[str], Any]) -> str:
    """Fill in what follows the origin: a path, and perhaps a query."""
    rendered = ""
    for index, part in enumerate(template.parts):
        if index % 2 == 0:
            rendered += part
        else:
            encode = _encoded if "?" in rendered else _path_value
            rendered += encode(as_text(value_of(part), part))
    path = rendered.partition("?")[0]
    if any(step in {".", ".."} for step in path.split("/")):
        raise TemplateError("a value in the path would lead elsewhere")
    return rendered


def _header(template: Template, value_of: Callable[[str], Any]) -> str:
    value = template.render(value_of).strip()
    if not value.isascii() or not value.isprintable():
        raise TemplateError(f"a header cannot hold {' '.join(template.names) or 'that'}")
    return value


def _filled(body: Any, value_of: Callable[[str], Any]) -> Any:
    if isinstance(body, Template):
        if body.only is None:
            return body.render(value_of)
        return value_of(body.only)
    if isinstance(body, dict):
        filled = {name: _filled(each, value_of) for name, each in body.items()}
        return {name: each for name, each in filled.items() if each is not _MISSING}
    if isinstance(body, list):
        return [each for each in (_filled(one, value_of) for one in body) if each is not _MISSING]
    return body


# reading the file


def _table(given: Any, where: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ConfigurationError(f"{where} is no table")
    for name in given:
        if name not in known:
            raise ConfigurationError(
                f"{where}.{name} is unknown; known are {', '.join(sorted(known))}"
            )
    return given


def _text(table: dict[str, Any], name: str, where: str, *, required: bool = True) -> str | None:
    value = table.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{where}.{name} is no text")
    return value


def _templates(
    given: Any, where: str, *, secrets: bool = False
) -> tuple[tuple[str, Template], ...]:
    if not isinstance(given, dict):
        raise ConfigurationError(f"{where} is no table")
    return tuple(
        (name, _template(value, f"{where}.{name}", secrets=secrets))
        for name, value in given.items()
    )


def _template(value: Any, where: str, *, secrets: bool = False) -> Template:
    if isinstance(value, (bool, int, float)):
        value = json.dumps(value)
    if not isinstance(value, str):
        raise ConfigurationError(f"{where} is no text")
    template = Template.parse(value, where)
    for name in template.names:
        head, _, rest = name.partition(".")
        if head == "secret" and (not secrets or not re.fullmatch(r"[a-z0-9_]+", rest)):
            raise ConfigurationError(f"{where}: {{secret.name}} stands in headers only")
        if head == "delivery" and rest not in DELIVERY_NAMES:
            raise ConfigurationError(f"{where}: a delivery has no {rest}")
    return template


def _body(value: Any, where: str) -> Any:
    if isinstance(value, str):
        return _template(value, where)
    if isinstance(value, dict):
        return {name: _body(each, f"{where}.{name}") for name, each in value.items()}
    if isinstance(value, list):
        return [_body(each, f"{where}[{index}]") for index, each in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise ConfigurationError(f"{where} is nothing that JSON has")


def _egress(table: dict[str, Any], where: str) -> Egress:
    origins = table.get("origins")
    if not isinstance(origins, list) or not origins:
        raise ConfigurationError(f"{where}.origins lists where its requests may go")
    allowed = []
    for each in origins:
        try:
            url = url_of(each if isinstance(each, str) else "")
        except ValueError as error:
            raise ConfigurationError(f"{where}.origins: {error}") from None
        if url.raw_path not in {b"", b"/"}:
            raise ConfigurationError(f"{where}.origins: {each} has a path")
        allowed.append(origin_of(url))
    options: dict[str, Any] = {}
    for name, largest in (
        ("timeout", 600),
        ("connect_timeout", 60),
        ("max_response", 16 * 1024 * 1024),
        ("redirects", 10),
    ):
        if name in table:
            value = table[name]
            least = 0 if name == "redirects" else 0.001
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ConfigurationError(f"{where}.{name} is no number")
            if not least <= value <= largest:
                raise ConfigurationError(f"{where}.{name} is not between {least} and {largest}")
            options[name] = int(value) if name in {"max_response", "redirects"} else value
    networks = table.get("private_networks", [])
    if not isinstance(networks, list):
        raise ConfigurationError(f"{where}.private_networks is no list")
    return Egress(
        origins=frozenset(allowed),
        private_networks=tuple(network_of(str(each)) for each in networks),
        **options,
    )


def _operation(provider: str, name: str, egress: Egress, given: Any) -> Operation:
    where = f"providers.{provider}.operations.{name}"
    table = _table(
        given,
        where,
        {
            *("method", "url", "query", "headers", "json", "form", "idempotency_header"),
            *("provider_id", "error_code", "error_message", "success", "rules", "find"),
        },
    )
    find = table.get("find", False)
    if not isinstance(find, bool):
        raise ConfigurationError(f"{where}.find is not true or false")
    method = table.get("method", "GET" if find else "POST")
    if method not in METHODS or (find and method != "GET"):
        raise ConfigurationError(f"{where}.method: {method!r} is none of its methods")
    if "json" in table and "form" in table:
        raise ConfigurationError(f"{where} has json and form: choose one")
    if find and ("json" in table or "form" in table):
        raise ConfigurationError(f"{where}: a find has no body")
    address = str(_text(table, "url", where))
    origin, path = _split(address, where, egress)
    headers = _templates(table.get("headers", {}), f"{where}.headers", secrets=True)
    key_header = _text(table, "idempotency_header", where, required=False)
    names = [header for header, _template in headers] + [key_header or "Idempotency-Key"]
    for header in names:
        if not _TOKEN.fullmatch(header) or header.lower() in NEVER_OURS:
            raise ConfigurationError(f"{where}: {header!r} is no header to set")
    if len({each.lower() for each in names}) < len(names):
        raise ConfigurationError(f"{where}: a header is there twice")
    rules = table.get("rules", [])
    if not isinstance(rules, list):
        raise ConfigurationError(f"{where}.rules is no list")
    return Operation(
        provider=provider,
        name=name,
        egress=egress,
        method=method,
        origin=origin,
        path=path,
        query=_templates(table.get("query", {}), f"{where}.query"),
        headers=headers,
        body=_body(table["json"], f"{where}.json") if "json" in table else None,
        form=_templates(table["form"], f"{where}.form") if "form" in table else None,
        idempotency_header=key_header,
        provider_id=_text(table, "provider_id", where, required=False),
        error_code=_text(table, "error_code", where, required=False),
        error_message=_text(table, "error_message", where, required=False),
        success=(
            Rule.parse(table["success"], f"{where}.success", outcome="succeeded")
            if "success" in table
            else None
        ),
        rules=tuple(
            Rule.parse(each, f"{where}.rules[{index}]") for index, each in enumerate(rules)
        ),
        find=find,
    )


def _split(address: str, where: str, egress: Egress) -> tuple[str, Template]:
    """Split a URL template behind its host, which no value may touch."""
    found = re.match(r"(https?://[^/?#{}\\]+)(.*)", address, re.DOTALL)
    if found is None or (found[2] and found[2][0] not in "/?"):
        raise ConfigurationError(f"{where}.url is no http(s) address whose host stands there")
    path = _template(found[2] if found[2].startswith("/") else f"/{found[2]}", f"{where}.url")
    try:
        url = url_of(found[1])
        url_of(found[1] + "".join(path.parts[::2]))
    except ValueError as error:
        raise ConfigurationError(f"{where}.url: {error}") from None
    if origin_of(url) not in egress.origins:
        raise ConfigurationError(f"{where}.url: {origin_of(url)} is not among the origins")
    return found[1], path


def parse(document: Mapping[str, Any]) -> list[Operation]:
    """Return the operations of a configuration; raises ConfigurationError."""
    providers = _table(document, "the file", {"providers"}).get("providers")
    if not isinstance(providers, dict):
        raise ConfigurationError("the file has no providers")
    operations = []
    for provider, given in providers.items():
        where = f"providers.{provider}"
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", provider):
            raise ConfigurationError(f"{where}: letters, digits, - and _ make a provider's name")
        table = _table(
            given,
            where,
            {
                *("origins", "private_networks", "timeout", "connect_timeout"),
                *("max_response", "redirects", "operations"),
            },
        )
        egress = _egress(table, where)
        described = table.get("operations")
        if not isinstance(described, dict) or not described:
            raise ConfigurationError(f"{where} has no operations")
        operations += [_operation(provider, name, egress, each) for name, each in described.items()]
    return operations


def read(path: str | Path) -> list[Operation]:
    """Return the operations of a file; raises ConfigurationError."""
    try:
        with Path(path).open("rb") as file:
            # it says where requests go
            check_owner(Path(path), file.fileno(), forbidden=stat.S_IWGRP | stat.S_IWOTH)
            content = file.read().decode("utf-8")
        document = json.loads(content) if str(path).endswith(".json") else tomllib.loads(content)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    return parse(document)


def load(path: str | Path, registry: Registry | None = None) -> list[tuple[str, str]]:
    """Register the operations of a file; return their (provider, operation)."""
    operations = read(path)
    for each in operations:
        provides(each.provider, each.name, asks=each.find, registry=registry)(each.perform)
    return [(each.provider, each.name) for each in operations]


if _path := os.environ.get("SYNAPSOR_HTTP_CONFIG"):
    load(_path)
