"""Session tokens: what is believed, what is refused, and that no answer repeats a token."""

from __future__ import annotations

import base64
import hmac
import json
import random
from typing import Any

import pytest
from synapsor_plpython import jwt

NOW = 1_800_000_000.0
SECRET = "a secret of thirty-two bytes or more"
SCOPE = {"tenants": "*", "roles": [], "actor_types": ["natural_person", "agent"]}
CLAIMS = {"sub": "alice", "tenant_id": "acme", "exp": NOW + 3600}


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def signed(
    payload: str | bytes, header: object = None, secret: str = SECRET, hashed: str = "sha256"
) -> str:
    if header is None:
        header = {"alg": "HS256", "kid": "main"}
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = payload if isinstance(payload, bytes) else payload.encode()
    text = f"{encoded(head)}.{encoded(body)}"
    return f"{text}.{encoded(hmac.new(secret.encode(), text.encode(), hashed).digest())}"


def token(**changes: object) -> str:
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    return signed(json.dumps(claims))


def verdict(text: str | None, scope: dict[str, Any] | None = None) -> dict[str, Any]:
    key = {**SCOPE, **(scope or {})}
    answer: dict[str, Any] = json.loads(jwt.verify(text, SECRET, json.dumps(key), NOW))
    return answer


def session(text: str, scope: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = verdict(text, scope)
    assert "session" in answer, answer
    found: dict[str, Any] = answer["session"]
    return found


def refusal(text: str | None, scope: dict[str, Any] | None = None) -> str:
    answer = verdict(text, scope)
    assert sorted(answer) == ["detail", "hint"], answer
    detail: str = answer["detail"]
    return detail


def test_a_token_becomes_a_session() -> None:
    assert session(token(actor_type="agent", ctx={"current_customer_id": "c1", "n": [1.5]})) == {
        "principal": "alice",
        "tenant_id": "acme",
        "actor_type": "agent",
        "roles": [],
        "current_customer_id": "c1",
        "n": [1.5],
    }


def test_tenant_actor_type_and_roles_may_be_left_out() -> None:
    assert session(token(tenant_id=None)) == {
        "principal": "alice",
        "actor_type": "natural_person",
        "roles": [],
    }


def test_unknown_claims_say_nothing() -> None:
    asserted = session(token(iss="x", jti="y", tenants="*", principal="eve", run_id="run_1"))
    assert asserted == session(token())


def test_the_header_names_the_key() -> None:
    assert json.loads(jwt.key_id(token())) == {"kid": "main"}


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        ({"alg": "none", "kid": "main"}, "Its algorithm is not HS256."),
        ({"alg": "None", "kid": "main"}, "Its algorithm is not HS256."),
        ({"alg": "hs256", "kid": "main"}, "Its algorithm is not HS256."),
        ({"alg": "HS512", "kid": "main"}, "Its algorithm is not HS256."),
        ({"alg": "RS256", "kid": "main"}, "Its algorithm is not HS256."),
        ({"alg": ["HS256"], "kid": "main"}, "Its algorithm is not HS256."),
        ({"kid": "main"}, "Its algorithm is not HS256."),
        ({"alg": "HS256", "kid": "main", "crit": []}, "Its header names critical extensions, and"),
        ({"alg": "HS256"}, "Its header names no key (kid)."),
        ({"alg": "HS256", "kid": ""}, "Its header names no key (kid)."),
        ({"alg": "HS256", "kid": 1}, "Its header names no key (kid)."),
        ([], "Its header is not a JSON object."),
        (b'{"alg":"HS256","alg":"HS256","kid":"main"}', "Its header is not a JSON object in UTF-8"),
        (b'{"alg":"HS256","kid":"m\xff"}', "Its header is not a JSON object in UTF-8"),
    ],
)
def test_headers_that_are_refused(header: object, detail: str) -> None:
    text = signed(json.dumps(CLAIMS), header)
    assert refusal(text).startswith(detail)
    assert json.loads(jwt.key_id(text))["detail"].startswith(detail)


def test_without_signature() -> None:
    head, body, _ = token().split(".")
    assert refusal(f"{head}.{body}.") == "It does not consist of three base64url segments."
    unsigned = encoded(b'{"alg":"none","kid":"main"}')
    assert refusal(f"{unsigned}.{body}.").startswith("It does not consist")


@pytest.mark.parametrize("hashed", ["sha512", "sha1"])
def test_another_hash(hashed: str) -> None:
    text = signed(json.dumps(CLAIMS), hashed=hashed)
    assert refusal(text) == "No session key verifies its signature."


def test_wrong_key_and_unknown_key_are_told_the_same() -> None:
    forged = signed(json.dumps(CLAIMS), secret="another secret of 32 bytes or more.")
    assert refusal(forged) == "No session key verifies its signature."
    for secret in (SECRET, ""):
        unknown = jwt.verify(signed(json.dumps(CLAIMS), secret=secret), None, None, NOW)
        assert json.loads(unknown) == verdict(forged)
    empty = jwt.verify(signed(json.dumps(CLAIMS), secret=""), "", json.dumps(SCOPE), NOW)
    assert json.loads(empty) == verdict(forged)


def test_every_changed_letter_is_noticed() -> None:
    text = token()
    for place, letter in enumerate(text):
        if letter != ".":
            changed = text[:place] + ("A" if letter != "A" else "B") + text[place + 1 :]
            assert "detail" in verdict(changed), place


@pytest.mark.parametrize("text", [None, "", ".", "..", "a.b", "a.b.c.d", "é.é.é", "a b.c.d", "\0"])
def test_what_is_no_token(text: str | None) -> None:
    assert "detail" in verdict(text)
    assert "detail" in json.loads(jwt.key_id(text))


def test_padding_line_ends_and_spare_bits() -> None:
    head, body, signature = token().split(".")
    for spelling in (f"{signature}=", f"{signature}\n", f"{signature[:-1]} "):
        assert refusal(f"{head}.{body}.{spelling}").startswith("It does not consist")
    # 32 bytes leave two spare bits in the last letter: only one of four spellings is right.
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = letters[letters.index(signature[-1]) ^ 1]
    assert refusal(f"{head}.{body}.{signature[:-1]}{other}") == "Its signature is not base64url."
    assert refusal(f"{head}.{body}.A") == "Its signature is not base64url."


def test_the_limit_of_8_kib() -> None:
    def sized(size: int) -> str:
        text = token(ctx={"a": "x" * size})
        return text if len(text) >= 8192 else sized(size + 1)

    text = sized(5900)
    assert len(text) in (8192, 8193)
    assert session(text if len(text) == 8192 else token(ctx={"a": "x" * 5000}))
    assert refusal(token(ctx={"a": "x" * 6100})) == "It is larger than 8 KiB."
    assert refusal("x" * 10_000_000) == "It is larger than 8 KiB."
    assert refusal("é" * 4097) == "It is larger than 8 KiB."


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b"\xff{}",
        b'{"sub":"a\xc3"}',
        b'{"sub":"alice","sub":"eve","exp":1800003600}',
        b'{"sub":"alice","exp":1800003600,"ctx":{"a":1,"a":2}}',
        b'{"sub":"alice","exp":NaN}',
        b'{"sub":"alice","exp":Infinity}',
        b'{"sub":"alice","exp":1e999}',
        b'{"sub":"alice\\u0000","exp":1800003600}',
        b'{"sub":"alice","exp":1800003600,"ctx":{"\\ud800":1}}',
        b'{"sub":"alice","exp":' + b"9" * 5000 + b"}",
        b"[" * 5000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
    ],
)
def test_payloads_that_are_no_clean_json(payload: bytes) -> None:
    assert refusal(signed(payload)).startswith("Its payload is not a JSON object in UTF-8")


@pytest.mark.parametrize("payload", ["[]", '"x"', "1", "null", "true"])
def test_payloads_that_are_no_object(payload: str) -> None:
    assert refusal(signed(payload)) == "Its payload is not a JSON object."


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"exp": None}, "exp is required."),
        ({"exp": "1800003600"}, "exp must be a number of seconds since 1970."),
        ({"exp": True}, "exp must be a number of seconds since 1970."),
        ({"exp": 10**30}, "exp must be a number of seconds since 1970."),
        ({"exp": NOW - 30}, "It has expired."),
        ({"exp": -1}, "It has expired."),
        ({"exp": NOW + 86_431}, "It expires more than 24 hours ahead."),
        ({"nbf": NOW + 31}, "It is not valid yet."),
        ({"nbf": "soon"}, "nbf must be a number of seconds since 1970."),
        ({"sub": None}, "sub must be a text that is not empty."),
        ({"sub": ""}, "sub must be a text that is not empty."),
        ({"sub": 7}, "sub must be a text that is not empty."),
        ({"tenant_id": ""}, "tenant_id must be a text that is not empty."),
        ({"tenant_id": ["acme"]}, "tenant_id must be a text that is not empty."),
        ({"actor_type": 1}, "actor_type must be a text that is not empty."),
        ({"roles": "admin"}, "roles must be an array of texts."),
        ({"roles": [1]}, "roles must be an array of texts."),
        ({"ctx": []}, "ctx must be an object."),
        ({"aud": 7}, "aud must be a text or an array of texts."),
        ({"aud": [7]}, "aud must be a text or an array of texts."),
    ],
)
def test_claims_that_are_refused(changes: dict[str, object], detail: str) -> None:
    assert refusal(token(**changes)) == detail


@pytest.mark.parametrize("claim", ["exp", "nbf", "sub", "tenant_id", "actor_type", "roles", "ctx"])
def test_a_null_claim_is_no_claim_left_out(claim: str) -> None:
    assert "detail" in verdict(signed(json.dumps({**CLAIMS, claim: None})))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - 29},
        {"exp": NOW + 86_430},
        {"exp": NOW + 0.5},
        {"nbf": NOW + 30},
        {"nbf": 0},
    ],
)
def test_30_seconds_of_skew(changes: dict[str, object]) -> None:
    assert session(token(**changes))["principal"] == "alice"


@pytest.mark.parametrize("name", ["tenant_id", "principal", "actor_type", "roles", "tenants"])
def test_ctx_may_not_hold_what_the_claims_say(name: str) -> None:
    assert refusal(token(ctx={name: "x"})).startswith("ctx must not hold tenant_id")


@pytest.mark.parametrize(
    ("scope", "changes", "detail"),
    [
        ({"tenants": ["acme"]}, {"tenant_id": "globex"}, "The key may not assert that tenant."),
        ({"tenants": []}, {}, "The key may not assert that tenant."),
        ({"tenants": "acme"}, {}, "The key may not assert that tenant."),
        ({}, {"roles": ["reviewer"]}, "The key may not assert all of these roles."),
        (
            {"roles": ["reviewer"]},
            {"roles": ["reviewer", "admin"]},
            "The key may not assert all of these roles.",
        ),
        ({}, {"actor_type": "system"}, "The key may not assert that actor_type."),
        ({"actor_types": ["agent"]}, {}, "The key may not assert that actor_type."),
    ],
)
def test_beyond_the_scope_of_the_key(
    scope: dict[str, Any], changes: dict[str, object], detail: str
) -> None:
    assert refusal(token(**changes), scope) == detail


def test_within_the_scope_of_the_key() -> None:
    scope = {"tenants": ["acme"], "roles": ["a", "b"], "actor_types": ["system"]}
    asserted = session(token(roles=["b"], actor_type="system"), scope)
    assert (asserted["roles"], asserted["actor_type"]) == (["b"], "system")


@pytest.mark.parametrize(
    ("wanted", "named", "accepted"),
    [
        (None, None, True),
        (None, "us", False),
        (None, [], False),
        ("us", None, False),
        ("us", "us", True),
        ("us", ["them", "us"], True),
        ("us", "them", False),
        ("us", [], False),
        ("us", "usa", False),
    ],
)
def test_audience(wanted: str | None, named: object, *, accepted: bool) -> None:
    scope = {} if wanted is None else {"audience": wanted}
    assert ("session" in verdict(token(aud=named), scope)) is accepted


def test_no_answer_repeats_the_token() -> None:
    marker = "Wombat7"
    texts = [
        token(**{claim: value})
        for claim in ("sub", "tenant_id", "actor_type", "roles", "aud", "exp", "nbf", "ctx")
        for value in (marker, [marker], {marker: marker}, [{marker: marker}])
    ]
    texts += [marker, f"{marker}.{marker}.{marker}", signed(marker), signed(marker * 2000)]
    texts += [signed("{}", {"alg": marker, "kid": marker}), signed("{}", {"kid": marker})]
    answers = [
        jwt.verify(text, secret, json.dumps({**SCOPE, "tenants": []}), NOW)
        for text in texts
        for secret in (SECRET, f"{marker * 8}")
    ]
    answers += [jwt.key_id(text) for text in texts if "kid" not in json.loads(jwt.key_id(text))]
    assert not [answer for answer in answers if marker in answer]


def test_noise_is_always_answered() -> None:
    noise = random.Random(1)
    letters = '{}[]",:.-_\\u0eE9aAbBnN \n'
    for _ in range(3000):
        text = "".join(noise.choices(letters, k=noise.randrange(60)))
        for trial in (text, signed(text), signed(f'{{"sub":{text}}}'), signed("{}", text.encode())):
            assert "detail" in verdict(trial)
