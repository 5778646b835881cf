"""Session tokens: whether a JWT is one of ours, and the session it asserts.

HS256 only (RFC 7515, 7518, 7519). No answer repeats any part of a token or a secret: an answer ends
up in error messages and logs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import re
from typing import NoReturn

MAXIMUM_BYTES = 8192
SKEW_SECONDS = 30
LONGEST_LIFE_SECONDS = 24 * 60 * 60
RESERVED = ("tenant_id", "principal", "actor_type", "roles", "tenants")

_SEGMENTS = 3  # header, payload, signature
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_FORM_HINT = "Pass a JWT in compact form: header.payload.signature, each base64url without padding."
_KEY_HINT = "Compare the token's kid and the issuer's secret with what add_session_key was given."
_SCOPE_HINT = "Ask for less, or add a key whose scope allows it (add_session_key)."
_TIME_HINT = "Issue a new token, and compare the issuer's clock with the database's."
_CLAIM_HINT = "Correct the claim where the token is issued."


class _RefusedError(Exception):
    """The token is refused; `detail` and `hint` are sentences that repeat nothing of it."""

    def __init__(self, detail: str, hint: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


def key_id(token: str | None) -> str:
    """Return `{"kid": …}`, the key a token names, or `{"detail": …, "hint": …}`, as JSON text."""
    try:
        header = _header(_segments(token)[0])
    except _RefusedError as refused:
        return _answer(detail=refused.detail, hint=refused.hint)
    return _answer(kid=header["kid"])


def verify(token: str | None, secret: str | None, scope: str | None, now: float) -> str:
    """Return `{"session": …}` or `{"detail": …, "hint": …}`, as JSON text.

    `secret` and `scope` belong to the key that `key_id` named, both None when there is no such key;
    `scope` has its defaults filled in. `now` is in seconds since 1970.
    """
    try:
        session = _session(token, secret, scope, now)
    except _RefusedError as refused:
        return _answer(detail=refused.detail, hint=refused.hint)
    return _answer(session=session)


def _session(
    token: str | None, secret: str | None, scope: str | None, now: float
) -> dict[str, object]:
    header, payload, signature = _segments(token)
    _header(header)
    # An unknown key costs as much as a wrong signature, and is told the same.
    expected = hmac.new(
        (secret or "").encode("utf-8"), f"{header}.{payload}".encode("ascii"), hashlib.sha256
    ).digest()
    genuine = hmac.compare_digest(expected, _bytes(signature, "signature"))
    if not genuine or not secret or scope is None:
        raise _RefusedError("No session key verifies its signature.", _KEY_HINT)
    claims = _object(payload, "payload")
    allowed = json.loads(scope)
    _check_times(claims, now)
    _check_audience(claims, allowed)
    return _asserted(claims, allowed)


def _asserted(claims: dict[str, object], scope: dict[str, object]) -> dict[str, object]:
    """Build the session from the claims, within the scope of the key."""
    further = claims.get("ctx", {})
    if not isinstance(further, dict):
        _refuse_claim("ctx must be an object.")
    if any(name in further for name in RESERVED):
        _refuse_claim("ctx must not hold " + ", ".join(RESERVED[:-1]) + f" or {RESERVED[-1]}.")
    session = dict(further)
    session["principal"] = _text(claims, "sub")

    if "tenant_id" in claims:
        session["tenant_id"] = _text(claims, "tenant_id")
        tenants = scope["tenants"]
        if tenants != "*" and not _holds(tenants, session["tenant_id"]):
            raise _RefusedError("The key may not assert that tenant.", _SCOPE_HINT)

    actor_type = _text(claims, "actor_type") if "actor_type" in claims else "natural_person"
    if not _holds(scope["actor_types"], actor_type):
        raise _RefusedError("The key may not assert that actor_type.", _SCOPE_HINT)
    session["actor_type"] = actor_type

    roles = claims.get("roles", [])
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        _refuse_claim("roles must be an array of texts.")
    if not all(_holds(scope["roles"], role) for role in roles):
        raise _RefusedError("The key may not assert all of these roles.", _SCOPE_HINT)
    session["roles"] = roles
    return session


def _check_times(claims: dict[str, object], now: float) -> None:
    if "exp" not in claims:
        _refuse_claim("exp is required.")
    expires = _seconds(claims["exp"], "exp")
    if expires <= now - SKEW_SECONDS:
        raise _RefusedError("It has expired.", _TIME_HINT)
    if expires > now + LONGEST_LIFE_SECONDS + SKEW_SECONDS:
        raise _RefusedError("It expires more than 24 hours ahead.", _TIME_HINT)
    if "nbf" in claims and _seconds(claims["nbf"], "nbf") > now + SKEW_SECONDS:
        raise _RefusedError("It is not valid yet.", _TIME_HINT)


def _check_audience(claims: dict[str, object], scope: dict[str, object]) -> None:
    """RFC 7519, 4.1.3: who is not among the audience a token names must refuse it."""
    wanted = scope.get("audience")
    if "aud" not in claims:
        if wanted is not None:
            raise _RefusedError("It names no audience, and its key requires one.", _CLAIM_HINT)
        return
    named = claims["aud"]
    audiences = named if isinstance(named, list) else [named]
    if not all(isinstance(audience, str) for audience in audiences):
        _refuse_claim("aud must be a text or an array of texts.")
    if wanted is None or wanted not in audiences:
        raise _RefusedError("It is meant for another audience.", _CLAIM_HINT)


def _segments(token: str | None) -> list[str]:
    if token is None:
        raise _RefusedError("There is no token.", _FORM_HINT)
    if len(token) > MAXIMUM_BYTES or len(token.encode("utf-8", "replace")) > MAXIMUM_BYTES:
        raise _RefusedError("It is larger than 8 KiB.", "Keep the session's values few.")
    segments = token.split(".")
    if len(segments) != _SEGMENTS or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise _RefusedError("It does not consist of three base64url segments.", _FORM_HINT)
    return segments


def _header(segment: str) -> dict[str, object]:
    header = _object(segment, "header")
    if header.get("alg") != "HS256":
        raise _RefusedError("Its algorithm is not HS256.", "Sign with HMAC-SHA-256, alg HS256.")
    if "crit" in header:
        raise _RefusedError(
            "Its header names critical extensions, and none is understood.", "Leave crit out."
        )
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise _RefusedError("Its header names no key (kid).", _KEY_HINT)
    return header


def _bytes(segment: str, part: str) -> bytes:
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        decoded = b""
    # Bits left over at the end must be zero, so that a token has one spelling only.
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode("ascii") != segment:
        raise _RefusedError(f"Its {part} is not base64url.", _FORM_HINT)
    return decoded


def _object(segment: str, part: str) -> dict[str, object]:
    try:
        value = json.loads(
            _bytes(segment, part).decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
        _check_characters(json.dumps(value, ensure_ascii=False))
    except (ValueError, RecursionError):
        raise _RefusedError(
            f"Its {part} is not a JSON object in UTF-8 without duplicate keys.", _FORM_HINT
        ) from None
    if not isinstance(value, dict):
        raise _RefusedError(f"Its {part} is not a JSON object.", _FORM_HINT)
    return value


def _check_characters(text: str) -> None:
    """Raise on what jsonb cannot hold, and would print in its error: NUL, lone surrogates."""
    text.encode("utf-8")
    if "\\u0000" in text:
        raise ValueError


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError
    return number


def _no_constant(_name: str) -> NoReturn:
    raise ValueError


def _seconds(value: object, claim: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 2**53:
        _refuse_claim(f"{claim} must be a number of seconds since 1970.")
    return float(value)


def _text(claims: dict[str, object], claim: str) -> str:
    value = claims.get(claim)
    if not isinstance(value, str) or not value:
        _refuse_claim(f"{claim} must be a text that is not empty.")
    return value


def _holds(names: object, name: object) -> bool:
    return isinstance(names, list) and name in names


def _refuse_claim(detail: str) -> NoReturn:
    raise _RefusedError(detail, _CLAIM_HINT)


def _answer(**members: object) -> str:
    return json.dumps(members)
