"""Settings and credentials of providers: from the environment or from files, never elsewhere.

A setting of a provider's account, ``api_key`` of Stripe's account ``eu-west`` say, is looked for in
this order:

1. the variable ``SYNAPSOR_STRIPE_API_KEY_EU_WEST``;
2. the file that ``SYNAPSOR_STRIPE_API_KEY_EU_WEST_FILE`` names;
3. for the account ``default``: both without ``_<ACCOUNT>``;
4. the file ``stripe.eu-west.api_key`` of the folder that ``SYNAPSOR_CREDENTIALS_DIRECTORY``, or
   systemd's ``CREDENTIALS_DIRECTORY``, names.

An account never falls back to another one's. In a variable's name ``-`` is ``_`` and ``_`` is
``__``, so that no two accounts share one; an account with other characters (capitals too) needs a
file. A file that belongs to somebody else, that others may read, or that anybody but its owner may
write, is refused.

What a delivery reads with ``secret`` is remembered until its end, and ``cleaned`` takes it out of
whatever its handler says: a provider that echoes our key in an error message does not get it into
the database.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import stat
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus

from synapsor_pg.handlers import HandlerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synapsor_pg.handlers import Outcome

LARGEST: Final = 64 * 1024
"""How many bytes a file of a credential may have."""

DEEPEST: Final = 100
"""How deep an answer may nest; deeper values are left out."""

SHORTEST: Final = 8
"""How many characters a secret must have to be looked for: shorter ones would be found anywhere."""

MASK: Final = "[secret]"

_IN_VARIABLES = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
_IN_FILES = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

_known: ContextVar[dict[str, None] | None] = ContextVar("synapsor_secrets", default=None)


class ConfigurationError(HandlerError):
    """The operator has to mend something; nothing was sent."""

    def __init__(self, message: str) -> None:
        """Say what has to be mended, without any value of it."""
        super().__init__("configuration", message)


def setting(provider: str, name: str, account: str = "default") -> str | None:
    """Return a setting of a provider's account, None when there is none."""
    for each in _variables(provider, name, account):
        if value := os.environ.get(each):
            return value
        if path := os.environ.get(f"{each}_FILE"):
            return _read(Path(path))
    folder = os.environ.get("SYNAPSOR_CREDENTIALS_DIRECTORY") or os.environ.get(
        "CREDENTIALS_DIRECTORY"
    )
    if folder and all(_IN_FILES.fullmatch(each) for each in (provider, account, name)):
        path_of_it = Path(folder, f"{provider}.{account}.{name}")
        if path_of_it.exists():
            return _read(path_of_it)
    return None


def secret(provider: str, name: str, account: str = "default") -> str:
    """Return a credential; raises ConfigurationError when there is none."""
    value = setting(provider, name, account)
    if value is None:
        wanted = " or ".join(_variables(provider, name, account)) or (
            f"the file {provider}.{account}.{name} in SYNAPSOR_CREDENTIALS_DIRECTORY"
        )
        raise ConfigurationError(f"no {name} for {provider}'s account {account}: set {wanted}")
    remember(value)
    if not value.isprintable():
        raise ConfigurationError(f"{name} of {provider}'s account {account} is more than one line")
    return value


def number(provider: str, name: str, default: float, account: str = "default") -> float:
    """Return a setting that is a positive number; it may be the default account's."""
    value = setting(provider, name, account) or setting(provider, name)
    with contextlib.suppress(ValueError):
        found = default if value is None else float(value)
        if 0 < found < float("inf"):
            return found
    raise ConfigurationError(f"{name} of {provider}'s account {account} is not a positive number")


def _variables(provider: str, name: str, account: str) -> list[str]:
    base = f"SYNAPSOR_{re.sub(r'[^A-Za-z0-9]', '_', provider)}_{name}".upper()
    names = []
    # …_FILE is where a value is, not whose it is
    if _IN_VARIABLES.fullmatch(account) and not account.endswith(("-file", "_file")):
        spelled = account.replace("_", "__").replace("-", "_")
        names.append(f"{base}_{spelled.upper()}")
    if account == "default":
        names.append(base)
    return names


def check_owner(path: Path, descriptor: int, *, forbidden: int) -> None:
    """Raise ConfigurationError unless an open file is ours or root's, and has no such mode."""
    facts = os.fstat(descriptor)
    mode = stat.S_IMODE(facts.st_mode)
    if not stat.S_ISREG(facts.st_mode):
        raise ConfigurationError(f"{path} is no regular file")
    if facts.st_uid not in {0, os.geteuid()}:
        raise ConfigurationError(f"{path} belongs to somebody else (user {facts.st_uid})")
    if mode & forbidden:
        right = "go-w" if forbidden == stat.S_IWGRP | stat.S_IWOTH else "600"
        raise ConfigurationError(
            f"{path} is open to others (mode {mode:04o}): chmod {right} {path}"
        )


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            check_owner(path, file.fileno(), forbidden=stat.S_IRWXO | stat.S_IWGRP)
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ConfigurationError(f"{path} has more than {LARGEST} bytes")
        return content.decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        # the error of a decoder shows what it could not decode
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigurationError(f"cannot read {path}: {why}") from None


@contextlib.contextmanager
def remembering() -> Iterator[None]:
    """Remember what is read with ``secret`` until the end of the block; blocks may nest."""
    token = _known.set({**(_known.get() or {})})
    try:
        yield
    finally:
        _known.reset(token)


def remember(value: str) -> None:
    """Take this value, and what it looks like in a header or a URL, out of all that is said."""
    known = _known.get()
    if known is None or len(value) < SHORTEST:
        return
    encoded = base64.b64encode(value.encode()).decode()
    for each in (value, encoded, quote(value, safe=""), quote_plus(value)):
        known[each] = None


def _mask(text: str) -> str:
    # the longest first: one secret may be a part of another
    for each in sorted(_known.get() or (), key=len, reverse=True):
        text = text.replace(each, MASK)
    return text


def masked(value: Any, depth: int = 0) -> Any:
    """Return a JSON value without the credentials that this delivery has read."""
    if isinstance(value, str):
        return _mask(value)
    if isinstance(value, (dict, list, tuple)) and depth >= DEEPEST:
        return "[too deep]"
    if isinstance(value, dict):
        return {_mask(str(key)): masked(each, depth + 1) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(each, depth + 1) for each in value]
    return value


def cleaned(outcome: Outcome) -> Outcome:
    """Return an outcome whose words and evidence hold no credential."""
    return replace(
        outcome,
        response=masked(outcome.response),
        provider_request_id=masked(outcome.provider_request_id),
        error_code=masked(outcome.error_code),
        error_message=masked(outcome.error_message),
    )
