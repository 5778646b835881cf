"""E-mail through a mail server.

Settings of an account: ``host``; ``sender``, the address that mails come from; ``port``, default
587; ``tls``: ``starttls`` (default), ``tls`` (from the first byte, port 465) or ``none``, which
then takes no password; ``username`` and ``password``; ``ca_file``, for a certificate of your own;
``helo``, our name, default the sender's domain; ``timeout``, seconds for the whole conversation,
30; ``partial``: ``accept`` sends to those recipients whom the server takes, instead of to nobody
when it refuses one.

The operation is ``messages.send`` with ``to``, ``cc``, ``bcc`` (an address or a list), ``subject``,
``text``, ``html`` (at least one of the two) and ``reply_to``. ``Message-ID`` is made of tenant,
action and idempotency key: the same on every try, so that a receiver can recognise a second copy.
But a mail server does not have to, and nobody can be asked: contracts say that it is not
idempotent, and a lost outcome waits for a person::

    {"action": "mail.welcome", "kind": "external",
     "args": {"to": {"type": "string", "required": true, "max_length": 254},
              "subject": {"type": "string", "required": true, "max_length": 200},
              "text": {"type": "string", "required": true}},
     "hidden": {"tenant_id": {}},
     "provider": "smtp", "operation": "messages.send", "queue": "mail",
     "idempotency": {"key": "{tenant_id}:welcome:{to}", "idempotent": false}}

What is known: until the message itself is sent (no connection, no login, sender or a recipient
refused) nothing was done, 4xx is worth another try and 5xx is not. Its final reply says the same;
without that reply the outcome is unknown.
"""

from __future__ import annotations

import contextlib
import re
import smtplib
import socket
import ssl
import threading
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as MAIL
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Final

from synapsor_pg.handlers import RetryableError, failed, succeeded, unknown
from synapsor_pg.providers.credentials import ConfigurationError, number, secret, setting
from synapsor_pg.providers.sending import (
    MEND_WITHIN,
    digest_of,
    proposed_at,
    provider_key,
    provides,
    refused,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synapsor_pg.handlers import Delivery, Outcome

MOST_RECIPIENTS: Final = 100
LONGEST_LINE: Final = 4096
LONGEST_REPLY: Final = 50

_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@"
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A mail server and how to talk to it."""

    host: str
    port: int
    tls: str
    sender: str
    username: str | None
    password: str | None
    ca_file: str | None
    timeout: float
    helo: str
    partial: bool

    @classmethod
    def of(cls, account: str) -> Server:
        """Return an account's server; raises ConfigurationError."""

        def needed(name: str) -> str:
            value = setting("smtp", name, account)
            if value is None:
                raise ConfigurationError(
                    f"smtp's account {account} has no {name}: set SYNAPSOR_SMTP_{name.upper()}"
                )
            return value

        tls = setting("smtp", "tls", account) or "starttls"
        if tls not in {"starttls", "tls", "none"}:
            raise ConfigurationError(f"tls of smtp's account {account}: starttls, tls or none")
        partial = setting("smtp", "partial", account) or "refuse"
        if partial not in {"accept", "refuse"}:
            raise ConfigurationError(f"partial of smtp's account {account}: accept or refuse")
        username = setting("smtp", "username", account)
        if username is not None and tls == "none":
            raise ConfigurationError(f"smtp's account {account} would show its password: use tls")
        sender = needed("sender")
        if not is_address(sender):
            raise ConfigurationError(f"sender of smtp's account {account} is no address")
        return cls(
            host=needed("host"),
            port=int(number("smtp", "port", 465 if tls == "tls" else 587, account)),
            tls=tls,
            sender=sender,
            username=username,
            password=None if username is None else secret("smtp", "password", account),
            ca_file=setting("smtp", "ca_file", account),
            timeout=number("smtp", "timeout", 30.0, account),
            helo=setting("smtp", "helo", account) or sender.rpartition("@")[2],
            partial=partial == "accept",
        )


def is_address(text: Any) -> bool:
    """Return whether this is one plain address: nothing in it can be a header or a command."""
    return (
        isinstance(text, str)
        and len(text) <= 254  # noqa: PLR2004
        and _ADDRESS.fullmatch(text) is not None
        and text[0] != "."
        and not any(each in text for each in ("..", ".@"))
    )


@provides("smtp", "messages.send")
def send_message(delivery: Delivery) -> Outcome:
    """Send one mail."""
    server = Server.of(delivery.account)
    recipients = _recipients(delivery)
    try:
        message = render(delivery, server.sender)
    except ValueError as error:
        raise refused(delivery, "invalid_request", text_of(str(error))) from None
    content = message.as_bytes(policy=MAIL)
    with _conversation(delivery, server) as talk:
        delivery.begin(digest_of("smtp", server.sender, [*recipients], content.decode("ascii")))
        return talk.send(recipients, content, str(message["Message-ID"]))


def _recipients(delivery: Delivery) -> dict[str, str]:
    """Return the recipients and what they are called in outcomes: a hidden address stays hidden."""
    found: dict[str, str] = {}
    for name in ("to", "cc", "bcc"):
        for position, each in enumerate(_addresses(delivery, name)):
            found.setdefault(each, f"{name}[{position}]")
    if not 0 < len(found) <= MOST_RECIPIENTS:
        raise refused(
            delivery, "invalid_recipient", f"a mail has 1 to {MOST_RECIPIENTS} recipients"
        )
    return found


def _addresses(delivery: Delivery, name: str) -> list[str]:
    value = delivery.arguments.get(name)
    given = value if isinstance(value, list) else [] if value is None else [value]
    if not all(is_address(each) for each in given):
        raise refused(
            delivery, "invalid_recipient", f"{name} has something that is no plain address"
        )
    return [str(each) for each in given]


def render(delivery: Delivery, sender: str) -> EmailMessage:
    """Return the mail, the same on every try; raises ValueError for what no mail can hold."""
    arguments = delivery.arguments
    text, html, subject = arguments.get("text"), arguments.get("html"), arguments.get("subject")
    if not isinstance(text, str) and not isinstance(html, str):
        raise ValueError("a mail needs text or html")  # noqa: TRY004 - not our type error
    if not isinstance(subject, str) or not subject.isprintable():
        raise ValueError("subject is no single line of text")
    key = provider_key(delivery)
    message = EmailMessage(policy=MAIL)
    message["From"] = Address(addr_spec=sender)
    for name in ("to", "cc"):
        if addresses := _addresses(delivery, name):
            message[name.capitalize()] = [Address(addr_spec=each) for each in addresses]
    if "To" not in message and "Cc" not in message:
        message["To"] = "undisclosed-recipients:;"
    if replies := _addresses(delivery, "reply_to"):
        message["Reply-To"] = [Address(addr_spec=each) for each in replies]
    message["Subject"] = subject
    proposed = proposed_at(delivery)
    if proposed is not None:
        message["Date"] = format_datetime(proposed)
    message["Message-ID"] = f"<{key}@{sender.rpartition('@')[2]}>"
    message["X-Synapsor-Action-Id"] = delivery.action_id
    if isinstance(text, str):
        message.set_content(text, cte="quoted-printable")
        if isinstance(html, str):
            message.add_alternative(html, subtype="html", cte="quoted-printable")
            message.set_boundary(key)
    else:
        message.set_content(html, subtype="html", cte="quoted-printable")
    return message


class _Talk:
    """One conversation with a mail server, up to the reply that matters."""

    def __init__(self, delivery: Delivery, server: Server, client: smtplib.SMTP) -> None:
        self._delivery = delivery
        self._server = server
        self._client = client
        self._recipients: dict[str, str] = {}
        self._refusals: dict[str, tuple[int, bytes]] = {}

    def send(self, recipients: dict[str, str], content: bytes, identifier: str) -> Outcome:
        """Hand the mail over and return what the server says."""
        self._recipients = recipients
        try:
            refusal = self._announce(recipients, len(content))
        except (smtplib.SMTPException, OSError) as error:
            return failed("not_sent", _words(error), retryable=True)
        if refusal is not None:
            return refusal
        try:
            self._client.send(_stuffed(content))
            code, words = _last_reply(self._client)
        except (smtplib.SMTPException, OSError) as error:
            return unknown(
                "reply_lost",
                f"no word on the mail that was sent: {_words(error)}",
                provider_request_id=identifier,
            )
        if 400 <= code < 600:  # noqa: PLR2004
            return self._said(code, words, "message_refused")
        if not 200 <= code < 300:  # noqa: PLR2004
            why = f"the mail server says {self._line(code, words)}"
            return unknown("unexpected_reply", why, provider_request_id=identifier)
        with contextlib.suppress(smtplib.SMTPException, OSError):
            self._client.putcmd("quit")
        response: dict[str, Any] = {"message_id": identifier, "reply": self._line(code, words)}
        if self._refusals:
            response["refused"] = self._shown()
        return succeeded(response, identifier)

    def _announce(self, recipients: dict[str, str], size: int) -> Outcome | None:
        """Say from whom and to whom, up to the server's wish to hear the mail; or its refusal."""
        options = [f"size={size}"] if self._client.has_extn("size") else []
        code, words = self._client.mail(self._server.sender, options)
        if code != 250:  # noqa: PLR2004
            return self._said(code, words, "sender_refused")
        self._refusals = self._name(recipients)
        everybody = len(self._refusals) == len(recipients)
        if self._refusals and (everybody or not self._server.partial):
            # one that is refused for good would be refused again with the whole mail
            worst = max(self._refusals.values(), key=lambda each: each[0])
            outcome = self._said(*worst, "recipient_refused")
            return replace(outcome, response={"refused": self._shown()})
        code, words = self._client.docmd("DATA")
        return None if code == 354 else self._said(code, words, "data_refused")  # noqa: PLR2004

    def _shown(self) -> dict[str, str]:
        return {
            self._recipients[each]: self._line(code, words)
            for each, (code, words) in self._refusals.items()
        }

    def _line(self, code: int, words: bytes) -> str:
        """Return a reply without the addresses that it repeats."""
        line = _line(code, words)
        for address, name in self._recipients.items():
            line = re.sub(re.escape(address), name, line, flags=re.IGNORECASE)
        return line

    def _name(self, recipients: dict[str, str]) -> dict[str, tuple[int, bytes]]:
        """Name the recipients; return those whom the server refuses."""
        refusals = {}
        for each in recipients:
            code, words = self._client.rcpt(each)
            if code == 421:  # noqa: PLR2004
                raise smtplib.SMTPServerDisconnected(_line(code, words))
            if code not in {250, 251}:
                refusals[each] = (code, words)
        return refusals

    def _said(self, code: int, words: bytes, error_code: str) -> Outcome:
        """Return what a refusal means: nothing was done, for now or for good."""
        for_good = 500 <= code < 600  # noqa: PLR2004
        return failed(
            error_code,
            f"the mail server says {self._line(code, words)}",
            retryable=not for_good or self._delivery.sent_before,
        )


@contextlib.contextmanager
def _conversation(delivery: Delivery, server: Server) -> Iterator[_Talk]:
    """Connect, encrypt and log in; whatever fails here is known not done."""
    over = threading.Event()
    client: smtplib.SMTP | None = None
    try:
        client = _greeted(delivery, server, over)
    except smtplib.SMTPAuthenticationError as error:
        raise RetryableError(
            "authentication",
            _line(error.smtp_code, error.smtp_error),
            retry_after=timedelta(seconds=MEND_WITHIN),
        ) from None
    except smtplib.SMTPNotSupportedError as error:
        raise ConfigurationError(f"{server.host}: {text_of(str(error))}") from None
    except (smtplib.SMTPException, OSError) as error:
        over.set()
        raise RetryableError("not_sent", _words(error)) from None
    try:
        yield _Talk(delivery, server, client)
    finally:
        over.set()
        client.close()


def _greeted(delivery: Delivery, server: Server, over: threading.Event) -> smtplib.SMTP:
    deadline = time.monotonic() + server.timeout
    trust = ssl.create_default_context(cafile=server.ca_file)
    client = (
        smtplib.SMTP_SSL(local_hostname=server.helo, timeout=server.timeout, context=trust)
        if server.tls == "tls"
        else smtplib.SMTP(local_hostname=server.helo, timeout=server.timeout)
    )
    client._host = server.host  # type: ignore[attr-defined]  # noqa: SLF001 - the name TLS checks
    try:
        _watch(delivery, client, deadline, over)
        code, words = client.connect(server.host, server.port)
        if code != 220:  # noqa: PLR2004
            raise smtplib.SMTPConnectError(code, words)  # noqa: TRY301
        client.ehlo_or_helo_if_needed()
        if server.tls == "starttls":
            client.starttls(context=trust)
            client.ehlo()
        if server.username is not None and server.password is not None:
            client.login(server.username, server.password)
    except BaseException:
        over.set()
        client.close()
        raise
    return client


def _watch(
    delivery: Delivery, client: smtplib.SMTP, deadline: float, over: threading.Event
) -> None:
    """End the conversation at its deadline or when the delivery is cancelled, drip or not."""

    def watch() -> None:
        while not over.wait(0.05):
            if time.monotonic() >= deadline or delivery.cancelled.is_set():
                with contextlib.suppress(OSError, AttributeError):
                    client.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]

    threading.Thread(target=watch, name="synapsor-smtp", daemon=True).start()


def _stuffed(content: bytes) -> bytes:
    """Return the message as DATA wants it: dots doubled at line starts, and its end."""
    lines = re.sub(rb"(?m)^\.", b"..", content)
    return (lines if lines.endswith(b"\r\n") else lines + b"\r\n") + b".\r\n"


def _last_reply(client: smtplib.SMTP) -> tuple[int, bytes]:
    """Read the reply that matters; smtplib would take one that was cut off for a whole one."""
    file = client.file or client.sock.makefile("rb")  # type: ignore[union-attr]
    words = b""
    for _ in range(LONGEST_REPLY):
        line = file.readline(LONGEST_LINE)
        found = re.fullmatch(rb"([0-9]{3})(?:([ -])(.*))?\r?\n", line, re.DOTALL)
        if found is None:
            raise smtplib.SMTPServerDisconnected("the reply is cut off, or none")
        words += (found[3] or b"") + b" "
        if found[2] != b"-":
            return int(found[1]), words.strip()
    raise smtplib.SMTPServerDisconnected("the reply does not end")


def _line(code: int, words: bytes | str) -> str:
    said = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return text_of(f"{code} {said}", 300)


def _words(error: BaseException) -> str:
    return text_of(f"{type(error).__name__}: {error}", 300)
