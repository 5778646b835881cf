"""The way out for HTTP: where a request may go, how long, how much, and whether it was sent.

* **Where**: only to the origins (scheme, host, port) that the operator named, and there only to
  addresses that are public, unless the operator named their network too. The address is checked
  after the name was resolved and is the one connected to, so that a name cannot answer twice
  differently. An address that carries another one (IPv4 in IPv6) is judged by that one too. Each
  redirect, of those that are allowed at all, is judged like the first request. Proxies of the
  environment are not used: they would resolve names themselves.
* **How long**: one deadline for everything, however slowly an answer drips; and it ends at once
  when the delivery is cancelled, as it is before its lease ends.
* **How much**: an answer is read up to a limit, and never decompressed.
* **Whether**: an error says if any byte of the request was handed to the connection. If not, it is
  known not done.

Each request has a connection of its own: one that was kept open may be closed by the other side
just when a request is written to it, and then nobody knows.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import json
import re
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpcore
import httpx

from synapsor_pg.handlers import RetryableError, UnknownOutcomeError
from synapsor_pg.providers.credentials import ConfigurationError, number, setting
from synapsor_pg.providers.sending import refused, retry_after_of, text_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping

    from synapsor_pg.handlers import Delivery

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SLICE: Final = 0.2
"""How long, in seconds, a read waits before it looks whether the delivery is cancelled."""

PART: Final = 16 * 1024

NEVER_OURS: Final = frozenset({"connection", "content-length", "host", "transfer-encoding"})
"""Headers that the protocol writes."""

SAME_METHOD: Final = frozenset({307, 308})

_PORTS: Final = {None, *range(1, 65536)}
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.ip_network("::/96")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. ``complete`` is false when the rest was too long, too late or cut off."""

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool

    @property
    def retry_after(self) -> float | None:
        """The seconds that the provider wants us to wait."""
        return retry_after_of(self.headers.get("retry-after"))

    def json(self) -> Any:
        """Return the body as JSON; raises ValueError when it is none, or not all of it."""
        if not self.complete:
            raise ValueError("the answer is incomplete")
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("the answer nests too deep") from None

    def evidence(self, limit: int = 8192) -> dict[str, Any]:
        """Return what is worth keeping of it: the status, and its JSON or the start of its text."""
        try:
            body = self.json() if len(self.body) <= limit else None
        except ValueError:
            body = None
        if body is None and self.body:
            body = self.body[:limit].decode("utf-8", "replace")
        return {"status": self.status, "body": body} | (
            {} if self.complete else {"incomplete": True}
        )


@dataclass(slots=True)
class _Exchange:
    """One request on its way."""

    delivery: Delivery
    deadline: float
    sent: bool = False

    def left(self, timeout: float | None, late: type[Exception]) -> float:
        """Return how long an operation may take; raises when the time is over."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise late("the time is over")
        if self.delivery.cancelled.is_set():
            raise late(self.delivery.cancelled_because or "the delivery was cancelled")
        return left if timeout is None else min(left, timeout)


class _ForbiddenAddressError(Exception):
    """The name leads to an address that nobody allowed."""


def unwrapped(address: Address) -> list[Address]:
    """Return an address and those it carries: IPv4 in IPv6 in all its forms."""
    found: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64 or address in _COMPATIBLE:
            carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        found += [each for each in carried if each is not None]
    return found


def is_public(address: Address) -> bool:
    """Return whether an address belongs to the public internet, in every form it can be read."""
    return all(
        each.is_global
        and not each.is_multicast
        and not each.is_reserved
        and not getattr(each, "is_site_local", False)
        for each in unwrapped(address)
        # a mapped address is no address of its own
        if not (isinstance(each, ipaddress.IPv6Address) and each.ipv4_mapped)
    )


def network_of(text: str) -> Network:
    """Return the network that an operator wrote; raises ConfigurationError."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ConfigurationError(f"{text!r} is no network, such as 10.1.0.0/16") from None


def origin_of(url: httpx.URL) -> str:
    """Return scheme, host and port as one word, always with the port."""
    port = url.port or {"http": 80, "https": 443}.get(url.scheme, 0)
    host = url.raw_host.decode("ascii").lower().rstrip(".")
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def url_of(text: str) -> httpx.URL:
    """Return a web address that names a host, no user and no fragment; raises ValueError."""
    if not re.fullmatch(r"[!-~]+", text) or "\\" in text:
        raise ValueError("a web address consists of visible ASCII characters without \\")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise ValueError("it is no web address") from None
    if url.scheme not in {"http", "https"} or not url.host or url.port not in _PORTS:
        raise ValueError("only http:// and https:// lead somewhere")
    authority = re.match(r"[a-zA-Z]+://([^/?#]*)", text)
    if url.userinfo or authority is None or "@" in authority[1]:
        raise ValueError("a user name in a web address hides where it leads")
    if url.fragment:
        raise ValueError("a fragment is never sent")
    return url


@functools.lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    return httpx.create_ssl_context()


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """Where requests may go and what they may cost.

    An origin whose host is an address allows that address; a name never leads there by that.
    """

    origins: frozenset[str]
    private_networks: tuple[Network, ...] = ()
    timeout: float = 20.0
    connect_timeout: float = 5.0
    max_response: int = 64 * 1024
    redirects: int = 0

    def permits(self, address: Address) -> bool:
        """Return whether this is an address to connect to."""
        if is_public(address):
            return True
        for each in unwrapped(address):
            if any(each.version == net.version and each in net for net in self.private_networks):
                return True
        return False

    def send(  # noqa: PLR0913 - a request has that many sides
        self,
        delivery: Delivery,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes = b"",
        confidential: Iterable[str] = (),
    ) -> Answer:
        """Send one request and return the answer.

        ``confidential`` headers do not follow a redirect to another origin. Raises RetryableError
        when nothing was sent, RejectedError when it may not be sent, and UnknownOutcomeError.
        """
        exchange = _Exchange(delivery, time.monotonic() + self.timeout)
        rest = dict(headers)
        for _ in range(self.redirects + 1):
            try:
                target = url_of(url)
            except ValueError as error:
                raise refused(delivery, "invalid_address", str(error)) from None
            origin = origin_of(target)
            if origin not in self.origins:
                raise refused(
                    delivery, "forbidden_address", f"{origin} is not among the allowed origins"
                )
            answer = self._exchange(exchange, method, target, rest, content)
            location = answer.headers.get("location")
            follow = answer.status in SAME_METHOD or (
                method == "GET" and answer.status in {301, 302}
            )
            if not follow or location is None:
                return answer
            try:
                url = str(target.join(location))
                if origin_of(url_of(url)) != origin:
                    rest = {k: v for k, v in rest.items() if k not in set(confidential)}
            except (httpx.InvalidURL, ValueError):
                return answer
            exchange.sent = False  # a redirect says that it was not done there
        return answer

    def _exchange(
        self,
        exchange: _Exchange,
        method: str,
        target: httpx.URL,
        headers: dict[str, str],
        content: bytes,
    ) -> Answer:
        delivery = exchange.delivery
        try:
            return self._talk(exchange, method, target, headers, content)
        except _ForbiddenAddressError as error:
            raise refused(delivery, "forbidden_address", str(error)) from None
        except (httpcore.LocalProtocolError, UnicodeEncodeError) as error:
            if not exchange.sent:
                # the error shows the header, which may be a credential
                raise refused(
                    delivery, "invalid_request", "a header has what HTTP does not allow"
                ) from None
            raise UnknownOutcomeError(type(error).__name__, _words(error)) from None
        except Exception as error:  # noqa: BLE001 - whatever it is: was anything sent?
            if exchange.sent:
                raise UnknownOutcomeError(type(error).__name__, _words(error)) from None
            raise RetryableError("not_sent", _words(error)) from None

    def _talk(
        self,
        exchange: _Exchange,
        method: str,
        target: httpx.URL,
        headers: dict[str, str],
        content: bytes,
    ) -> Answer:
        host = target.raw_host.decode("ascii").rstrip(".")
        default = {"http": 80, "https": 443}[target.scheme]
        authority = f"[{host}]" if ":" in host else host
        if target.port not in {None, default}:
            authority += f":{target.port}"
        lines = [
            ("Host", authority),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
            *((name, value) for name, value in headers.items() if name.lower() not in NEVER_OURS),
        ]
        if content or method in {"POST", "PUT", "PATCH"}:
            lines.append(("Content-Length", str(len(content))))
        with httpcore.ConnectionPool(
            ssl_context=_trust() if target.scheme == "https" else None,
            max_connections=1,
            http2=False,
            network_backend=_Backend(self, exchange),
        ) as pool:
            # a name that ends in a dot is the same host, but in no certificate
            address = httpcore.URL(
                scheme=target.raw_scheme,
                host=host.encode(),
                port=target.port,
                target=target.raw_path,
            )
            request = httpcore.Request(
                method,
                address,
                headers=[(k.encode("ascii"), v.encode("ascii")) for k, v in lines],
                content=content,
                extensions={"timeout": {"connect": self.connect_timeout}},
            )
            response = pool.handle_request(request)
            body, complete = self._read(response)
        return Answer(
            status=response.status,
            headers={
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in response.headers
            },
            body=body,
            complete=complete,
        )

    def _read(self, response: httpcore.Response) -> tuple[bytes, bool]:
        """Read the body; what breaks now cannot take back the status that was read."""
        body = bytearray()
        try:
            for chunk in response.iter_stream():
                body += chunk
                if len(body) > self.max_response:
                    return bytes(body[: self.max_response]), False
        except (httpcore.ProtocolError, httpcore.NetworkError, httpcore.TimeoutException, OSError):
            return bytes(body), False
        finally:
            response.close()
        return bytes(body), True


class _Backend(httpcore.NetworkBackend):
    """Connects to permitted addresses only."""

    def __init__(self, egress: Egress, exchange: _Exchange) -> None:
        self._egress = egress
        self._exchange = exchange
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        error: Exception | None = None
        for address in self._addresses(host, port):
            wait = self._exchange.left(timeout, httpcore.ConnectTimeout)
            try:
                stream = self._backend.connect_tcp(
                    address, port, wait, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as problem:
                error = problem
            else:
                return _Stream(stream, self._exchange)
        raise error or httpcore.ConnectError(f"{host} has no address")

    def _addresses(self, host: str, port: int) -> list[str]:
        with contextlib.suppress(ValueError):
            # the operator named the address itself, or it would not be an origin
            return [str(ipaddress.ip_address(host))]
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as problem:
            raise httpcore.ConnectError(f"no address of {host}: {problem}") from problem
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        permitted = [each for each in addresses if self._egress.permits(ipaddress.ip_address(each))]
        if addresses and not permitted:
            raise _ForbiddenAddressError(f"{host} is {addresses[0]}, which is not public")
        return permitted


class _Stream(httpcore.NetworkStream):
    """A connection that knows its deadline and whether anything was sent."""

    def __init__(self, stream: httpcore.NetworkStream, exchange: _Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            wait = min(SLICE, self._exchange.left(timeout, httpcore.ReadTimeout))
            try:
                return self._stream.read(max_bytes, wait)
            except httpcore.ReadTimeout:
                continue

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # in parts, so that a slow reader cannot stretch the deadline
        for start in range(0, len(buffer), PART):
            wait = self._exchange.left(timeout, httpcore.WriteTimeout)
            self._exchange.sent = True
            self._stream.write(buffer[start : start + PART], wait)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        wait = self._exchange.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, wait), self._exchange)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _words(error: BaseException) -> str:
    name = type(error).__name__
    said = text_of(str(error))
    return f"{name}: {said}" if said else name


def egress_of(provider: str, account: str, *urls: str, **options: Any) -> Egress:
    """Return the way out to an account's own addresses.

    Its settings: ``private_networks`` (networks, separated by blanks), ``timeout`` and
    ``connect_timeout`` (seconds).
    """
    try:
        origins = frozenset(origin_of(url_of(url)) for url in urls)
    except ValueError as error:
        raise ConfigurationError(f"an address of {provider}'s account {account}: {error}") from None
    networks = (setting(provider, "private_networks", account) or "").split()
    return Egress(
        origins=origins,
        private_networks=tuple(network_of(each) for each in networks),
        **{
            "timeout": number(provider, "timeout", 20.0, account),
            "connect_timeout": number(provider, "connect_timeout", 5.0, account),
            **options,
        },
    )
