from __future__ import annotations

import ipaddress
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synapsor_plpython.formats import FORMATS

GOOD = {
    "date": ["2026-11-22", "2024-02-29", "2000-02-29", "0000-01-01"],
    "time": ["09:30:00Z", "23:59:60Z", "23:59:59.123456789+01:00", "00:59:60+01:00", "09:30:00z"],
    "date-time": ["2026-11-22T09:30:00Z", "2026-11-22t09:30:00.5-23:59"],
    "email": ["a@b", "first.last+tag@mail.example.org", "o'neil@example.org"],
    "uuid": ["2eb8aa08-aa98-11ea-b4aa-73b441d16380", "00000000-0000-0000-0000-000000000000"],
    "uri": [
        "https://example.org/a?b=c#d",
        "urn:isbn:0451450523",
        "mailto:a@b.org",
        "http://[::1]:8080/",
        "ftp://user:pw@host:21/x%20y",
        "file:///etc",
        "tel:+1-816-555-1212",
        "a:",
    ],
    "ipv4": ["0.0.0.0", "255.255.255.255", "192.168.1.10"],
    "ipv6": ["::", "::1", "1::", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4", "1:2::3.4.5.6", "1::8"],
}
BAD = {
    "date": [
        "2026-13-01",
        "2026-02-29",
        "1900-02-29",
        "2026-1-01",
        "20261122",
        "2026-11-2\uff12",
        "",
    ],
    "time": [
        *("09:30:00", "24:00:00Z", "09:60:00Z", "09:30:60Z", "09:30:00.Z", "09:30:00+24:00"),
        *("9:30:00Z", "09:30:00+0100", "09:30Z", "", "09:30:00 Z", "22:59:60+02:00"),
    ],
    "date-time": ["2026-11-22 09:30:00Z", "2026-11-22T09:30:00", "2026-11-22", "", "T"],
    "email": [
        *("", "a", "@b", "a@", "a@@b", ".a@b", "a.@b", "a..b@c", "a b@c", "a@-b", "a@b-", "a@b..c"),
        *('"a"@b', "a@[1.2.3.4]", "é@b", "a@é", "x" * 65 + "@b", "a@" + "x" * 64, "a@b_c"),
    ],
    "uuid": [
        *("", "2eb8aa08aa9811eab4aa73b441d16380", "2eb8aa08-aa98-11ea-b4aa-73b441d1638g"),
        *("{2eb8aa08-aa98-11ea-b4aa-73b441d16380}", "2eb8aa08-aa98-11eab4aa-73b441d16380"),
    ],
    "uri": [
        *("", "/a", "//host/a", "1a:b", "a b:c", "http://a b", "http://a/\\", "http://a/%2", "a:é"),
        *("http://a/%gg", "http://a:99999/", "http://a:b/", "http://[::1", "http://[x]/", ":a"),
        *("http://a/#b#c", "http://a/<b>", "http://[::1]x/", "http://u[@h/"),
    ],
    "ipv4": [
        "",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "256.1.1.1",
        "1.2.3.",
        "1.2.3.-4",
        "\uff11.2.3.4",
    ],
    "ipv6": [
        *("", ":", ":::", "1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "g::"),
        *(
            "::1%eth0",
            "1:2:3:4:5:6:7::8:9",
            ":1",
            "1:",
            "::1.2.3",
            "1.2.3.4::",
            "1::2:",
            "::01.2.3.4",
        ),
        *("1:2:3:4:5:6:7:1.2.3.4", " ::1"),
    ],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in GOOD for text in GOOD[name]])
def test_accepts(name: str, text: str) -> None:
    assert FORMATS[name](text)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in BAD for text in BAD[name]])
def test_refuses(name: str, text: str) -> None:
    assert not FORMATS[name](text)


@given(st.ip_addresses(v=4), st.ip_addresses(v=6), st.uuids(), st.datetimes())
def test_accepts_what_others_write(
    ipv4: object, ipv6: object, identifier: object, moment: object
) -> None:
    assert FORMATS["ipv4"](str(ipv4))
    assert FORMATS["ipv6"](str(ipv6))
    assert FORMATS["uuid"](str(identifier))
    assert FORMATS["date-time"](moment.isoformat() + "Z")  # type: ignore[attr-defined]


@given(st.text(alphabet="0123af:.%g", max_size=24))
def test_agrees_with_ipaddress(text: str) -> None:
    assert (FORMATS["ipv6"](text) == _is(ipaddress.IPv6Address, text) and "%" not in text) or (
        "%" in text and not FORMATS["ipv6"](text)
    )
    assert FORMATS["ipv4"](text) == _is(ipaddress.IPv4Address, text)


@given(st.text(alphabet="0f-", min_size=36, max_size=36))
def test_a_uuid_is_one_for_the_library_too(text: str) -> None:
    if FORMATS["uuid"](text):
        assert str(uuid.UUID(text)) == text


@given(st.sampled_from(sorted(FORMATS)), st.text())
def test_never_raises(name: str, text: str) -> None:
    FORMATS[name](text)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_takes_linear_time(name: str) -> None:
    began = time.perf_counter()
    for piece in ("a", "1", ".", ":", "a@", "%20", "0:", "a:"):
        FORMATS[name](piece * 200_000)
    assert time.perf_counter() - began < 5


def _is(kind: type, text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True
