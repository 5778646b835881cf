"""The string formats of JSON Schema 2020-12 that contracts may ask for, read strictly.

Each reader looks at every character a bounded number of times: there is no pattern that could
backtrack. ASCII only, as the RFCs have it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DIGITS: Final = frozenset("0123456789")
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_UNRESERVED: Final = _LETTERS | _DIGITS | frozenset("-._~")
_SUB_DELIMITERS: Final = frozenset("!$&'()*+,;=")
_PATH: Final = _UNRESERVED | _SUB_DELIMITERS | frozenset(":@/")
_QUERY: Final = _PATH | frozenset("?")
_USER: Final = _UNRESERVED | _SUB_DELIMITERS | frozenset(":")
_HOST: Final = _UNRESERVED | _SUB_DELIMITERS
_SCHEME: Final = _LETTERS | _DIGITS | frozenset("+-.")
_ATOM: Final = _LETTERS | _DIGITS | frozenset("!#$%&'*+-/=?^_`{|}~")
_LABEL: Final = _LETTERS | _DIGITS | frozenset("-")

_MONTH_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MAX_EMAIL: Final = 254
_MAX_LOCAL: Final = 64
_MAX_DOMAIN: Final = 253
_MAX_LABEL: Final = 63
_MAX_PORT: Final = 65535
_IPV6_GROUPS: Final = 8
_LEAP_SECOND: Final = 60
_DAY_MINUTES: Final = 1440


def is_date(text: str) -> bool:
    """Tell whether this is a full-date of RFC 3339: `2026-11-22`, a day of the calendar."""
    if len(text) != 10 or text[4] != "-" or text[7] != "-":  # noqa: PLR2004  # yyyy-mm-dd
        return False
    year, month, day = _number(text[:4]), _number(text[5:7]), _number(text[8:])
    if year is None or month is None or day is None or not 1 <= month <= len(_MONTH_DAYS):
        return False
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)  # noqa: PLR2004
    return 1 <= day <= _MONTH_DAYS[month - 1] + leap


def is_time(text: str) -> bool:
    """Tell whether this is a full-time of RFC 3339: `09:30:00Z`, `09:30:00.5+01:00`.

    The offset is required; second 60 only where UTC has 23:59.
    """
    if len(text) < len("00:00:00Z") or text[2] != ":" or text[5] != ":":
        return False
    hour, minute, second = _number(text[:2]), _number(text[3:5]), _number(text[6:8])
    if hour is None or minute is None or second is None:
        return False
    rest = text[8:]
    if rest[0] == ".":
        fraction = _digits_at(rest, 1)
        if fraction == 1:
            return False
        rest = rest[fraction:]
    offset = _offset(rest)
    if offset is None or hour > 23 or minute > 59 or second > _LEAP_SECOND:  # noqa: PLR2004
        return False
    last_minute = (hour * 60 + minute - offset) % _DAY_MINUTES == _DAY_MINUTES - 1
    return second < _LEAP_SECOND or last_minute


def is_date_time(text: str) -> bool:
    """Tell whether this is a date-time of RFC 3339, with `T` between date and time."""
    return (
        len(text) > len("2026-11-22T")
        and text[10] in "Tt"
        and is_date(text[:10])
        and is_time(text[11:])
    )


def is_email(text: str) -> bool:
    """Tell whether this is `local@domain`: a dot-atom of RFC 5321 and a host name of RFC 1123.

    No quoted local parts, no address literals; the lengths of RFC 5321 section 4.5.3.
    """
    local, at, domain = text.rpartition("@")
    if not at or len(text) > _MAX_EMAIL or not 1 <= len(local) <= _MAX_LOCAL:
        return False
    if not all(atom and _ATOM.issuperset(atom) for atom in local.split(".")):
        return False
    return _is_host_name(domain)


def is_uuid(text: str) -> bool:
    """Tell whether this is a UUID of RFC 4122: hex digits in groups of 8, 4, 4, 4 and 12."""
    groups = text.split("-")
    return [len(group) for group in groups] == [8, 4, 4, 4, 12] and all(
        _HEX.issuperset(group) for group in groups
    )


def is_ipv4(text: str) -> bool:
    """Tell whether this is a dotted quad of RFC 2673: no leading zeros, nothing above 255."""
    parts = text.split(".")
    return len(parts) == 4 and all(_is_octet(part) for part in parts)  # noqa: PLR2004


def is_ipv6(text: str) -> bool:
    """Tell whether this is an IPv6 address of RFC 4291 section 2.2, without a zone."""
    head, gap, tail = text.partition("::")
    if "::" in tail or tail.startswith(":"):
        return False
    groups = (head.split(":") if head else []) + (tail.split(":") if tail else [])
    if not groups:
        return bool(gap)
    count = len(groups)
    if "." in groups[-1] and not (gap and not tail):
        if not is_ipv4(groups.pop()):
            return False
        count += 1
    if not all(1 <= len(group) <= 4 and _HEX.issuperset(group) for group in groups):  # noqa: PLR2004
        return False
    return count < _IPV6_GROUPS if gap else count == _IPV6_GROUPS


def is_uri(text: str) -> bool:
    """Tell whether this is an absolute URI of RFC 3986: a scheme, allowed characters only."""
    scheme, colon, rest = text.partition(":")
    if not colon or not scheme or scheme[0] not in _LETTERS or not _SCHEME.issuperset(scheme):
        return False
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    if not _is_encoded(fragment, _QUERY) or not _is_encoded(query, _QUERY):
        return False
    if not rest.startswith("//"):
        return _is_encoded(rest, _PATH)
    authority, slash, path = rest[2:].partition("/")
    return _is_authority(authority) and _is_encoded(slash + path, _PATH)


FORMATS: Final[Mapping[str, Callable[[str], bool]]] = MappingProxyType(
    {
        "date": is_date,
        "date-time": is_date_time,
        "email": is_email,
        "ipv4": is_ipv4,
        "ipv6": is_ipv6,
        "time": is_time,
        "uri": is_uri,
        "uuid": is_uuid,
    }
)
"""Every format a contract may name."""


def _number(text: str) -> int | None:
    return int(text) if text and _DIGITS.issuperset(text) else None


def _digits_at(text: str, start: int) -> int:
    """Return the index behind the digits that begin at start."""
    end = start
    while end < len(text) and text[end] in _DIGITS:
        end += 1
    return end


def _offset(text: str) -> int | None:
    """Return the minutes east of UTC of `Z` or `+hh:mm`."""
    if text in ("Z", "z"):
        return 0
    if len(text) != len("+00:00") or text[0] not in "+-" or text[3] != ":":
        return None
    hours, minutes = _number(text[1:3]), _number(text[4:])
    if hours is None or minutes is None or hours > 23 or minutes > 59:  # noqa: PLR2004
        return None
    east = hours * 60 + minutes
    return east if text[0] == "+" else -east


def _is_octet(text: str) -> bool:
    if not 1 <= len(text) <= 3 or not _DIGITS.issuperset(text):  # noqa: PLR2004
        return False
    return (text == "0" or text[0] != "0") and int(text) <= 255  # noqa: PLR2004


def _is_host_name(text: str) -> bool:
    return 1 <= len(text) <= _MAX_DOMAIN and all(
        1 <= len(label) <= _MAX_LABEL
        and _LABEL.issuperset(label)
        and label[0] != "-"
        and label[-1] != "-"
        for label in text.split(".")
    )


def _is_encoded(text: str, allowed: frozenset[str]) -> bool:
    """Tell whether all characters are allowed or are `%` and two hex digits."""
    head, *escaped = text.split("%")
    return allowed.issuperset(head) and all(
        len(part) >= 2 and _HEX.issuperset(part[:2]) and allowed.issuperset(part[2:])  # noqa: PLR2004
        for part in escaped
    )


def _is_authority(text: str) -> bool:
    user, at, host = text.rpartition("@")
    if at and not _is_encoded(user, _USER):
        return False
    if host.startswith("["):
        address, bracket, port = host[1:].partition("]")
        if not bracket or not is_ipv6(address):
            return False
        return not port or (port[0] == ":" and _is_port(port[1:]))
    host, colon, port = host.partition(":")
    return _is_encoded(host, _HOST) and (not colon or _is_port(port))


def _is_port(text: str) -> bool:
    if not text:
        return True
    return len(text) <= 5 and _DIGITS.issuperset(text) and int(text) <= _MAX_PORT  # noqa: PLR2004
