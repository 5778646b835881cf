"""Where requests may go, how long and how much; and whether anything was sent."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from client.test_handlers import a_delivery
from hypothesis import given
from hypothesis import strategies as st
from providers.deliveries import again
from providers.fake import CERTIFICATE, TWO_MEGABYTES, Fake, Reply, Request
from synapsor_pg import RejectedError, RetryableError, UnknownOutcomeError
from synapsor_pg.providers import ConfigurationError, egress
from synapsor_pg.providers.egress import (
    Answer,
    Egress,
    egress_of,
    is_public,
    network_of,
    origin_of,
    url_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def fake() -> Iterator[Fake]:
    with Fake() as provider:
        yield provider


def out_to(*addresses: str, **options: Any) -> Egress:
    origins = frozenset(origin_of(url_of(each)) for each in addresses)
    return Egress(origins=origins, **({"timeout": 0.4, "connect_timeout": 0.3} | options))


def post(way: Egress, url: str, **facts: Any) -> Answer:
    return way.send(a_delivery(**facts), "POST", url, headers={"X-Key": "k"}, content=b"{}")


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%lo",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
    ],
)
def test_an_address_that_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    assert not out_to("https://api.example").permits(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "::ffff:1.1.1.1", "2606:4700::1111", "8.8.8.8"])
def test_an_address_that_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_every_form(address: ipaddress.IPv4Address) -> None:
    mapped = ipaddress.ip_address(f"::ffff:{address}")

    assert is_public(mapped) == is_public(address)
    if not is_public(address):
        assert not is_public(ipaddress.ip_address(f"64:ff9b::{address}"))
        assert not is_public(ipaddress.IPv6Address((0x2002 << 112) | (int(address) << 80)))


def test_a_named_network_is_allowed_and_no_other() -> None:
    way = out_to("https://api.example", private_networks=(network_of("10.1.0.0/16"),))

    assert way.permits(ipaddress.ip_address("10.1.2.3"))
    assert way.permits(ipaddress.ip_address("::ffff:10.1.2.3"))
    assert not way.permits(ipaddress.ip_address("10.2.0.1"))
    assert not way.permits(ipaddress.ip_address("127.0.0.1"))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://api.example/",
        "file:///etc/passwd",
        "//api.example/",
        "api.example",
        "https://",
        "https:///path",
        "https://user@api.example/",
        "https://api.example:443@10.0.0.1/",
        "https://:@api.example/",
        "https://@api.example/",
        "https://api.example\\@10.0.0.1/",
        "https://api.example/#there",
        "https://api.example/ there",
        "https://api.example/\nHost: other",
        "https://ⓐpi.example/",
        "https://api.example:99999/",
        "https://[::1/",
        "http://api.example:0x50/",
    ],
)
def test_what_is_no_address_of_a_service(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        url_of(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/",
        "http://api.example/",
        "https://api.example:8443/",
        "https://api.example.evil.example/",
        "https://sub.api.example/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.0.0.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://%61pi.example/",
    ],
)
def test_only_the_named_origins(url: str) -> None:
    with pytest.raises(RejectedError) as refusal:
        post(out_to("https://api.example"), url)
    assert refusal.value.error_code in {"forbidden_address", "invalid_address"}
    with pytest.raises(RetryableError):
        post(out_to("https://api.example"), url, **again())


def test_an_origin_has_one_spelling() -> None:
    assert {
        origin_of(url_of(each))
        for each in ("https://API.example", "https://api.example:443/x", "https://api.example./")
    } == {"https://api.example:443"}
    assert origin_of(url_of("http://[::1]:80/")) == "http://[::1]:80"


def test_a_request_arrives_as_it_was_made(fake: Fake) -> None:
    answer = post(out_to(fake.address), f"{fake.address}/a%2Fb?c=d")

    assert answer.json() == {"id": "id-1"}
    [request] = fake.requests
    assert (request.method, request.path, request.query) == ("POST", "/a%2Fb", {"c": "d"})
    assert request.headers["host"] == f"127.0.0.1:{fake.port}"
    assert request.headers["x-key"] == "k"
    assert request.headers["accept-encoding"] == "identity"


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: str | list[str]) -> list[tuple[Any, ...]]:
    """Let names resolve to these, one answer after the other; the questions asked."""
    asked: list[tuple[Any, ...]] = []
    left = list(answers)
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            asked.append((host, port))
            given = left.pop(0) if len(left) > 1 else left[0]
            return [
                found
                for each in ([given] if isinstance(given, str) else given)
                for found in real(each, port, *rest, **options)
            ]
        return real(host, port, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def test_a_name_that_leads_to_a_private_address_is_refused(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        resolving(monkeypatch, address)
        name = f"http://rebound.example:{fake.port}"
        with pytest.raises(RejectedError, match="not public") as refusal:
            post(out_to(name), f"{name}/")
        assert refusal.value.error_code == "forbidden_address"
    assert fake.connections == 0


def test_the_address_that_was_checked_is_the_one_connected_to(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public when asked first, and private when asked again."""
    asked = resolving(monkeypatch, "192.0.2.1", "127.0.0.1")
    monkeypatch.setattr(egress, "is_public", lambda address: str(address) == "192.0.2.1")
    name = f"http://rebound.example:{fake.port}"

    with pytest.raises(RetryableError) as failure:
        post(out_to(name), f"{name}/")
    assert failure.value.error_code == "not_sent"
    assert len(asked) == 1
    assert fake.connections == 0


def test_of_several_addresses_only_a_permitted_one_is_used(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, ["10.255.255.1", "127.0.0.1"])
    name = f"http://two.example:{fake.port}"
    way = out_to(name, private_networks=(network_of("127.0.0.0/8"),))

    assert post(way, f"{name}/").status == 200
    assert fake.requests[0].headers["host"] == f"two.example:{fake.port}"


def test_an_address_that_is_an_origin_is_no_address_for_names(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "127.0.0.1")
    name = f"http://rebound.example:{fake.port}"
    way = out_to(name, fake.address)

    assert post(way, fake.address).status == 200
    with pytest.raises(RejectedError, match="not public"):
        post(way, name)
    assert fake.connections == 1


def test_a_certificate_is_for_the_name_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection goes to the address that was checked, and TLS still judges the name."""
    resolving(monkeypatch, "127.0.0.1")
    local = (network_of("127.0.0.0/8"),)
    with Fake(tls=True) as secure:
        right, wrong = (f"https://{name}:{secure.port}" for name in ("localhost", "other.example"))
        egress._trust.cache_clear()  # noqa: SLF001
        with pytest.raises(RetryableError, match="CERTIFICATE_VERIFY_FAILED"):
            post(out_to(right, private_networks=local), right)
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        egress._trust.cache_clear()  # noqa: SLF001
        assert post(out_to(right, private_networks=local), right).status == 200
        with pytest.raises(RetryableError, match="not valid for") as failure:
            post(out_to(wrong, private_networks=local), wrong)
        egress._trust.cache_clear()  # noqa: SLF001

    assert failure.value.error_code == "not_sent"
    assert len(secure.requests) == 1


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_not_used(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")

    assert post(out_to(fake.address), fake.address).status == 200


def test_a_redirect_is_an_answer_like_any_other(fake: Fake) -> None:
    with Fake() as trap:
        fake.redirect_to = f"{trap.address}/"
        fake.plan("redirect")

        assert post(out_to(fake.address), fake.address).status == 307
        assert trap.connections == 0


def test_a_redirect_is_judged_like_the_first_request(fake: Fake) -> None:
    with Fake() as trap:
        for place in (f"{trap.address}/", "http://169.254.169.254/latest", "file:///etc/passwd"):
            fake.redirect_to = place
            fake.plan("redirect")
            try:
                answer = post(out_to(fake.address, redirects=3), fake.address)
            except RejectedError as refusal:
                assert refusal.error_code == "forbidden_address"  # noqa: PT017
            else:
                assert answer.status == 307
        assert trap.connections == 0


def test_an_allowed_redirect_takes_no_credential_to_another_origin(fake: Fake) -> None:
    with Fake() as other:
        fake.redirect_to = f"{other.address}/there"
        fake.plan("redirect")
        way = out_to(fake.address, other.address, redirects=1)
        way.send(
            a_delivery(),
            "POST",
            fake.address,
            headers={"Authorization": "Bearer x", "Idempotency-Key": '"k"'},
            content=b"{}",
            confidential={"Authorization"},
        )

        [request] = other.requests
        assert (request.method, request.path) == ("POST", "/there")
        assert "authorization" not in request.headers
        assert request.headers["idempotency-key"] == '"k"'


def test_redirects_end(fake: Fake) -> None:
    fake.redirect_to = f"{fake.address}/"
    fake.plan("redirect", times=10)

    assert post(out_to(fake.address, redirects=3), fake.address).status == 307
    assert len(fake.requests) == 4


def test_a_see_other_is_not_followed(fake: Fake) -> None:
    fake.redirect_status = 303
    fake.redirect_to = f"{fake.address}/"
    fake.plan("redirect")

    assert post(out_to(fake.address, redirects=3), fake.address).status == 303


def test_a_long_answer_is_read_up_to_the_limit(fake: Fake) -> None:
    fake.plan("flood")
    answer = post(out_to(fake.address, max_response=1000), fake.address)

    assert (answer.status, len(answer.body), answer.complete) == (200, 1000, False)
    with pytest.raises(ValueError, match="incomplete"):
        answer.json()
    assert len(str(answer.evidence())) < 20_000 < TWO_MEGABYTES


def test_an_answer_without_end_is_cut() -> None:
    def endless(request: Request) -> Reply:
        del request
        return Reply(b"x" * 100, headers={"Content-Length": "100000"})

    with Fake(endless) as fake:
        answer = post(out_to(fake.address), fake.address)
    assert (answer.status, answer.complete) == (200, False)


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_deadline_is_for_everything(fake: Fake, fault: str) -> None:
    fake.plan(fault)
    started = time.monotonic()

    with pytest.raises(UnknownOutcomeError):
        post(out_to(fake.address, timeout=0.3), fake.address)
    assert time.monotonic() - started < 1.5


def test_a_cancelled_delivery_does_not_wait(fake: Fake) -> None:
    fake.plan("hang")
    delivery = a_delivery()
    threading.Timer(0.1, delivery.cancelled.set).start()
    started = time.monotonic()

    with pytest.raises(UnknownOutcomeError, match="cancelled"):
        out_to(fake.address, timeout=10).send(delivery, "POST", fake.address, headers={})
    assert time.monotonic() - started < 2


def test_nothing_is_sent_for_a_delivery_that_is_cancelled(fake: Fake) -> None:
    delivery = a_delivery()
    delivery.cancelled.set()

    with pytest.raises(RetryableError):
        out_to(fake.address).send(delivery, "POST", fake.address, headers={})
    assert fake.connections == 0


def nobody_listens() -> str:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


def no_tls(fake: Fake) -> str:
    return fake.address.replace("http:", "https:")


@pytest.mark.parametrize(
    "place", [lambda _fake: nobody_listens(), no_tls, lambda _fake: "http://nowhere.invalid/"]
)
def test_what_was_never_sent_is_known_not_done(fake: Fake, place: Callable[[Fake], str]) -> None:
    url = place(fake)

    with pytest.raises(RetryableError) as failure:
        post(out_to(url), url)
    assert failure.value.error_code == "not_sent"
    assert not fake.effects


@pytest.mark.parametrize("fault", ["cut_before", "cut_after", "hang"])
def test_what_was_sent_may_be_done(fake: Fake, fault: str) -> None:
    fake.plan(fault)

    with pytest.raises(UnknownOutcomeError):
        post(out_to(fake.address), fake.address)


def test_a_header_that_would_become_two_is_not_sent(fake: Fake) -> None:
    for value in ("a\r\nX-Other: b", "a\nb", "a\x00b", "é"):
        with pytest.raises(RejectedError):
            out_to(fake.address).send(a_delivery(), "POST", fake.address, headers={"X-A": value})
    assert not fake.requests


def test_answers_nobody_can_read_are_evidence_all_the_same() -> None:
    for body in (b"[" * 100_000, b"\xff\xfe", b'{"a": NaN}', b"1" * 5000, b""):
        answer = Answer(status=200, headers={}, body=body, complete=True)
        assert answer.evidence()["status"] == 200


def test_an_accounts_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNAPSOR_CRM_PRIVATE_NETWORKS_EU", "10.0.0.0/8 fd00::/8")
    monkeypatch.setenv("SYNAPSOR_CRM_TIMEOUT", "3")

    way = egress_of("crm", "eu", "https://crm.example/x")
    assert way.origins == {"https://crm.example:443"}
    assert (len(way.private_networks), way.timeout) == (2, 3)
    assert not egress_of("crm", "us", "https://crm.example").private_networks
    monkeypatch.setenv("SYNAPSOR_CRM_PRIVATE_NETWORKS_EU", "10.0.0.1/8")
    with pytest.raises(ConfigurationError, match="no network"):
        egress_of("crm", "eu", "https://crm.example/x")
