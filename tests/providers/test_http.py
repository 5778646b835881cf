"""Generic HTTP: what a file may say, and what no caller can make of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from client.test_handlers import a_delivery
from hypothesis import given, settings
from hypothesis import strategies as st
from providers.deliveries import ACTION_ID, deliver, examples, perform, verdict
from providers.fake import Fake, Reply, Request
from synapsor_pg import Delivery, Outcome, Registry
from synapsor_pg.providers import ConfigurationError, http, provider_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from client.workshop import Workshop

TOKEN = "t0p-secret-token"


class Crm(Fake):
    """Keeps contacts; honours Idempotency-Key as the IETF's draft says."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, Reply] = {}
        self.contacts: dict[str, Any] = {}

    def reply(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Reply({"ok": False, "error": {"code": "unauthorized"}}, 401)
        if request.method == "GET":
            asked = request.query["external_id"]
            found = [each for each in self.contacts.values() if each["source"].endswith(asked)]
            return Reply({"ok": True, "contacts": found})
        structured = re.fullmatch(r'"([ -~]*)"', request.headers.get("idempotency-key", ""))
        if structured is None:
            return Reply({"error": {"code": "no_key", "message": "send a key"}}, 400)
        key = structured[1]
        if key not in self.answers:
            self.effects[key] += 1
            contact = {"id": f"c-{len(self.effects)}", "source": "", **request.json}
            self.contacts[request.path] = contact
            self.answers[key] = Reply({"ok": True, "contact": contact})
        return self.answers[key]


@pytest.fixture
def crm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crm]:
    monkeypatch.setenv("SYNAPSOR_CRM_API_KEY", TOKEN)
    with Crm() as fake:
        yield fake


def documented(address: str) -> str:
    """The file of the module's documentation, for a provider elsewhere."""
    assert http.__doc__ is not None
    found = re.search(r"\n(    \[providers\.crm\].*?)\n\nand the contract", http.__doc__, re.DOTALL)
    assert found is not None
    text = re.sub("^    ", "", found[1], flags=re.MULTILINE)
    text = text.replace("https://api.crm.example", address)
    return text.replace("# timeout = 20, connect", "timeout = 0.8 # connect")


def registered(tmp_path: Path, text: str) -> Registry:
    path = tmp_path / "http.toml"
    path.write_text(text)
    path.chmod(0o600)
    registry = Registry()
    http.load(path, registry)
    return registry


@pytest.fixture
def registry(crm: Crm, tmp_path: Path) -> Registry:
    return registered(tmp_path, documented(crm.address))


ARGUMENTS = {"contact": "c/1 ä?#", "name": 'Ann "\n{x}', "tag": None, "tenant_id": "acme"}


def update(registry: Registry, arguments: dict[str, Any] | None = None, **facts: Any) -> Outcome:
    given = ARGUMENTS if arguments is None else arguments
    return deliver("crm", "contacts.update", given, registry=registry, **facts)


def test_the_documented_operation_is_sent_as_described(crm: Crm, registry: Registry) -> None:
    outcome = update(registry, ARGUMENTS | {"notify": True})

    [request] = crm.requests
    assert (verdict(outcome), outcome.provider_request_id) == ("succeeded", "c-1")
    assert (request.method, request.path) == ("PUT", "/v1/contacts/c%2F1%20%C3%A4%3F%23")
    assert request.query == {"notify": "true"}
    assert request.json == {
        "name": 'Ann "\n{x}',
        "tags": [None],
        "source": f"synapsor {ACTION_ID}",
    }
    key = provider_key(a_delivery(action_id=ACTION_ID))
    assert request.headers["idempotency-key"] == f'"{key}"'
    assert request.headers["content-type"] == "application/json"


def test_what_is_missing_is_left_out_or_refused(crm: Crm, registry: Registry) -> None:
    assert verdict(update(registry, {"contact": "c1"})) == "succeeded"
    assert crm.requests[0].json == {"tags": [], "source": f"synapsor {ACTION_ID}"}
    assert crm.requests[0].query == {}

    for wrong in ({}, {"contact": None}, {"contact": ""}, {"contact": {"a": 1}}, {"contact": [1]}):
        outcome = update(registry, wrong)
        assert (verdict(outcome), outcome.error_code) == ("rejected", "invalid_request")
    assert len(crm.requests) == 1


@pytest.mark.parametrize(
    "value",
    [
        "..",
        ".",
        "../admin",
        "a/../../admin",
        "..\\admin",
        "a/..",
        "\n",
        "a\r\nHost: x",
        "a\x00b",
        "\x7f",
    ],
)
def test_a_value_never_leads_to_another_path(crm: Crm, registry: Registry, value: str) -> None:
    outcome = update(registry, {"contact": value})

    assert (verdict(outcome), outcome.error_code) == ("rejected", "invalid_request")
    assert not crm.requests


@given(st.text(min_size=1))
@settings(max_examples=200)
def test_a_value_stays_one_step_of_the_path(value: str) -> None:
    [operation, _find] = http.parse(as_document(documented("https://api.crm.example")))
    delivery = a_delivery(arguments={"contact": value})
    try:
        url, _headers, _content = operation.render(delivery)
    except ConfigurationError:
        url = ""  # there is no key here
    except http.TemplateError:
        return
    rendered = url or "https://api.crm.example" + http._rendered_path(  # noqa: SLF001
        operation.path, lambda name: {"contact": value}[name]
    )
    assert re.fullmatch(r"https://api\.crm\.example/v1/contacts/[A-Za-z0-9%._~-]+", rendered)
    assert not rendered.endswith(("/.", "/.."))


def as_document(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text)


def test_a_header_takes_no_second_line(crm: Crm, tmp_path: Path) -> None:
    registry = registered(
        tmp_path,
        documented(crm.address).replace(
            "headers = { Auth", 'headers = { X-Contact = "{contact}", Auth', 1
        ),
    )

    for value in ("a\r\nX-Evil: 1", "a\nb", "é", "a\x00"):
        outcome = update(registry, {"contact": value})
        assert (verdict(outcome), outcome.error_code) == ("rejected", "invalid_request")
    assert not crm.requests
    assert verdict(update(registry, {"contact": "plain"})) == "succeeded"
    assert crm.requests[0].headers["x-contact"] == "plain"


def test_the_digest_is_the_same_on_every_try_and_without_the_credential(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests: list[str | None] = []
    registration = registry.get("crm", "contacts.update")
    assert registration is not None

    def digest(arguments: dict[str, Any], attempt: int) -> str | None:
        claim = a_delivery(begun=False, attempt=attempt, arguments=arguments).claim
        delivery = Delivery(claim, lambda _delivery, found: digests.append(found), deadline=0.0)
        registration.function(delivery)
        return digests[-1]

    first = digest({"contact": "a", "name": "b"}, 1)
    monkeypatch.setenv("SYNAPSOR_CRM_API_KEY", "rotated meanwhile")
    assert digest({"name": "b", "contact": "a"}, 2) == first is not None
    assert digest({"contact": "a", "name": "c"}, 1) != first


def test_rules_say_what_an_answer_means(tmp_path: Path) -> None:
    answers: list[Reply] = []
    with Fake(lambda _request: answers.pop()) as fake:
        text = documented(fake.address).replace("Bearer {secret.api_key}", "none")
        registry = registered(tmp_path, text)
        for reply, expected, code in (
            (Reply({"ok": True, "contact": {"id": 7}}), "succeeded", None),
            (Reply({"ok": True}, 201), "succeeded", None),
            (Reply({"ok": False}), "unknown", "unexpected_answer"),
            (Reply({"ok": 1}), "unknown", "unexpected_answer"),
            (Reply({"ok": False, "error": {"code": "odd"}}), "unknown", "odd"),
            (Reply({"ok": True}, 202), "unknown", "unexpected_answer"),
            (Reply(b"<html>"), "unknown", "unexpected_answer"),
            (Reply({"error": {"code": "exists"}}, 409), "succeeded", None),
            (Reply({"error": {"code": "other"}}, 409), "unknown", "other"),
            (Reply({"error": {"code": "bad", "message": "no"}}, 422), "rejected", "bad"),
            (Reply({"error": "bad"}, 400), "rejected", "http_400"),
            (Reply([], 500), "unknown", "http_500"),
            (Reply({}, 429, {"Retry-After": "3"}), "retryable", "http_429"),
        ):
            answers.append(reply)
            outcome = update(registry, {"contact": "c"})
            assert (verdict(outcome), outcome.error_code) == (expected, code), reply


def test_a_find_asks_and_begins_nothing(crm: Crm, registry: Registry) -> None:
    def find(**facts: Any) -> Outcome:
        return deliver("crm", "contacts.find", {}, registry=registry, purpose="reconcile", **facts)

    nothing = find()
    update(registry)
    found = find()

    assert (verdict(nothing), nothing.error_code) == ("retryable", "not_found")
    assert (verdict(found), found.provider_request_id) == ("succeeded", "c-1")
    assert crm.requests[0].query_text == f"external_id={ACTION_ID}"
    for fault in ("hang", "cut_before", "error_before", "busy", "garbage", "flood", "redirect"):
        crm.plan(fault)
        assert verdict(find()) == "unknown", fault


def test_what_a_find_may_conclude(tmp_path: Path) -> None:
    answers: list[Reply] = []
    with Fake(lambda _request: answers.pop()) as fake:
        text = documented(fake.address).replace("Bearer {secret.api_key}", "none")
        text += """\nrules = [ { path = "busy", equals = true, outcome = "unknown" },
                             { status = [410], outcome = "rejected" } ]"""
        registry = registered(tmp_path, text)
        for reply, expected in (
            (Reply({"contacts": [{"id": 5}]}), "succeeded"),
            (Reply({"contacts": []}), "retryable"),
            (Reply({"error": "none"}, 404), "retryable"),
            (Reply(b"<html>Not found", 404), "unknown"),  # an address that is wrong, a proxy
            (Reply({"busy": True, "contacts": []}), "unknown"),
            (Reply({"gone": True}, 410), "rejected"),
            (Reply({}, 400), "unknown"),
            (Reply({}, 302), "unknown"),
        ):
            answers.append(reply)
            outcome = deliver("crm", "contacts.find", {}, registry=registry)
            assert verdict(outcome) == expected, reply


def test_a_find_without_a_credential_knows_nothing(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNAPSOR_CRM_API_KEY")

    assert verdict(deliver("crm", "contacts.find", {}, registry=registry)) == "unknown"


def test_an_echo_of_our_credential_is_not_kept(tmp_path: Path, crm: Crm) -> None:
    del crm
    with Fake(lambda request: Reply({"ok": True, "you": dict(request.headers)})) as echo:
        outcome = update(registered(tmp_path, documented(echo.address)), {"contact": "c"})

    assert verdict(outcome) == "succeeded"
    assert TOKEN not in repr(outcome)
    assert outcome.response["body"]["you"]["authorization"] == "Bearer [secret]"


def test_a_form_is_url_encoded(tmp_path: Path, crm: Crm) -> None:
    text = documented(crm.address).replace(
        'json = { name = "{name}", tags = ["{tag}"], source = "synapsor {delivery.action_id}" }',
        'form = { name = "{name}", left = "{nothing}", at = "{tenant_id}&{{x}}" }',
    )
    with Fake() as other:
        text = text.replace(crm.address, other.address)
        update(registered(tmp_path, text), {"contact": "c", "name": "a&b=c\n", "tenant_id": "t"})

    [request] = other.requests
    assert request.form == {"name": "a&b=c\n", "at": "t&{x}"}
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"


MINIMAL: dict[str, Any] = {
    "origins": ["https://api.example"],
    "operations": {"do": {"url": "https://api.example/x"}},
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"origins": []}, "origins"),
        ({"origins": ["https://api.example/path"]}, "has a path"),
        ({"origins": ["https://user@api.example"]}, "user name"),
        ({"origins": ["*"]}, "origins"),
        ({"private_networks": ["10.0.0.1/8"]}, "no network"),
        ({"timeout": 0}, "between"),
        ({"timeout": "1"}, "no number"),
        ({"timeout": float("nan")}, "between"),
        ({"redirects": -1}, "between"),
        ({"proxy": "x"}, "unknown"),
        ({"operations": {}}, "no operations"),
    ],
)
def test_a_provider_of_a_file_is_checked(change: dict[str, Any], reason: str) -> None:
    assert http.parse({"providers": {"x": MINIMAL}})
    with pytest.raises(ConfigurationError, match=reason):
        http.parse({"providers": {"x": MINIMAL | change}})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"url": "https://other.example/x"}, "not among the origins"),
        ({"url": "https://{host}/x"}, "host"),
        ({"url": "https://api.example{x}/"}, "host"),
        ({"url": "https://api.example:{port}/"}, "host"),
        ({"url": "https://u:p@api.example/"}, "user name"),
        ({"url": "https://api.example@evil.example/"}, "user name"),
        ({"url": "{url}"}, "host"),
        ({"url": "ftp://api.example/"}, "host"),
        ({"url": "https://api.example/#x"}, "host|fragment"),
        ({"url": "https://api.example/{secret.token}"}, "headers only"),
        ({"url": "https://api.example/{a"}, "single brace"),
        ({"json": {"a": "{secret.token}"}}, "headers only"),
        ({"json": {"a": "{delivery.claim_token}"}}, "has no"),
        ({"json": {}, "form": {}}, "choose one"),
        ({"headers": {"Host": "x"}}, "no header to set"),
        ({"headers": {"Content-Length": "1"}}, "no header to set"),
        ({"headers": {"Bad Name": "x"}}, "no header to set"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "twice"),
        ({"headers": {"A": "x"}, "idempotency_header": "a"}, "twice"),
        ({"idempotency_header": "A:\r\nB"}, "no header to set"),
        ({"method": "get"}, "method"),
        ({"method": "POST", "find": True}, "method"),
        ({"find": "yes"}, "find"),
        ({"retries": 3}, "unknown"),
        ({"rules": [{"status": [400], "outcome": "perhaps"}]}, "outcome"),
        ({"rules": [{"status": 400, "outcome": "rejected"}]}, "list of numbers"),
        ({"rules": [{"outcome": "rejected"}]}, "needs a status"),
        ({"rules": [{"equals": 1, "status": [1], "outcome": "rejected"}]}, "needs a path"),
        ({"success": {"statuses": [200]}}, "unknown"),
    ],
)
def test_an_operation_of_a_file_is_checked(change: dict[str, Any], reason: str) -> None:
    operation = MINIMAL["operations"]["do"] | change
    with pytest.raises(ConfigurationError, match=reason):
        http.parse({"providers": {"x": MINIMAL | {"operations": {"do": operation}}}})


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "http.json"
    path.write_text(json.dumps({"providers": {"x": MINIMAL}}))
    path.chmod(0o644)
    assert http.load(path, Registry()) == [("x", "do")]
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=r"chmod go-w"):
        http.read(path)


@pytest.mark.parametrize("content", [b"[", b"\xff", b"providers = 1", b""])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "http.toml"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError):
        http.read(path)
    with pytest.raises(ConfigurationError, match="cannot read"):
        http.read(tmp_path / "missing.toml")


def test_the_documented_contract_works_end_to_end(
    crm: Crm, registry: Registry, workshop: Workshop
) -> None:
    crm.plan("cut_after")
    crm.plan("error_before")
    [contract] = examples(http)

    rows = perform(
        workshop,
        contract,
        {"contact": "c1", "name": "Ann"},
        {"contact": "c2", "name": "Bob"},
        registry=registry,
    )

    assert [row["status"] for row in rows] == ["succeeded"] * 2
    assert sorted(crm.effects.values()) == [1, 1]
    assert {each["source"] for each in crm.contacts.values()} == {
        f"synapsor {row['action_id']}" for row in rows
    }
    assert TOKEN not in repr(rows) + repr(
        workshop.read("select * from synapsor.synapsor_external_action_events")
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PRINTED = st.text(st.characters(exclude_categories=["Cs"]))


@given(value=JSON, text=PRINTED)
@settings(max_examples=200)
def test_a_value_is_a_value_whatever_is_in_it(value: Any, text: str) -> None:
    """No quote, brace, ampersand or line break makes more of a value than it was."""
    described: dict[str, Any] = {
        "url": "https://api.example/x?a={text}",
        "query": {"b": "<{text}>"},
        "json": {"only": "{value}", "list": ["{value}", "-{text}-"], "{text}": 1},
    }
    form = {"url": "https://api.example/x", "form": {"a": "{text}", "b&": "1={text}"}}
    as_json, as_form = http.parse(
        {"providers": {"x": MINIMAL | {"operations": {"json": described, "form": form}}}}
    )
    delivery = a_delivery(arguments={"value": value, "text": text})

    url, _headers, content = as_json.render(delivery)
    assert json.loads(content) == {"only": value, "list": [value, f"-{text}-"], "{text}": 1}
    query = parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert query == [("a", text), ("b", f"<{text}>")]
    _url, _headers, content = as_form.render(delivery)
    fields = parse_qsl(content.decode(), keep_blank_values=True, strict_parsing=True)
    assert fields == [("a", text), ("b&", f"1={text}")]


def test_a_daemon_does_not_start_with_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "http.toml"
    path.write_text("[providers.crm]\n")
    path.chmod(0o600)
    command = ["-m", "synapsor_pg", "worker", "--dsn", "host=127.0.0.1 port=9", "--queue", "q"]
    for more in ([], ["--handlers", "synapsor_pg.providers.http"]):
        done = subprocess.run(
            [sys.executable, *command, *more],
            check=False,
            env={**os.environ, "SYNAPSOR_HTTP_CONFIG": str(path), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == 2
        assert "providers.crm.origins lists where its requests may go" in done.stderr
        assert "Traceback" not in done.stderr
