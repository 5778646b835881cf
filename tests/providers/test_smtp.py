"""E-mail through a real mail server on loopback, and through one that has bad days."""

from __future__ import annotations

import contextlib
import email
import socket
import ssl
import threading
import time
from email.policy import default as modern
from typing import TYPE_CHECKING, Any, Self

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from client.test_handlers import a_delivery
from hypothesis import given
from hypothesis import strategies as st
from providers.deliveries import again, deliver, examples, perform, verdict
from providers.fake import CERTIFICATE
from synapsor_pg import Delivery, Outcome
from synapsor_pg.providers import smtp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from types import TracebackType

    from aiosmtpd import smtp as protocol
    from aiosmtpd.smtp import Envelope, Session
    from client.workshop import Workshop

PASSWORD = "hunter2-secret"


class Mailbox:
    """What a mail server does with what it gets."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.refuse: dict[str, str] = {}
        self.answer = "250 OK queued as 42"

    async def handle_RCPT(  # noqa: N802
        self,
        _server: protocol.SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: Any,
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, _server: protocol.SMTP, _session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        if self.answer.startswith("250"):
            mail = email.message_from_bytes(envelope.content, policy=modern)
            self.mails.append((list(envelope.rcpt_tos), mail))  # type: ignore[arg-type]
        return self.answer


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    configure(monkeypatch, controller.port)
    yield mailbox
    controller.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port: int = unused.getsockname()[1]
        return port


def configure(monkeypatch: pytest.MonkeyPatch, port: int, **settings: str) -> None:
    for name, value in {
        "host": "127.0.0.1",
        "port": str(port),
        "sender": "robot@example.com",
        "tls": "none",
        "timeout": "0.8",
        **settings,
    }.items():
        monkeypatch.setenv(f"SYNAPSOR_SMTP_{name.upper()}", value)


MAIL = {"to": "ada@example.com", "subject": "Grüße ✓", "text": "Hello\n.\n..dots\nFrom here\n" * 3}


def send(arguments: dict[str, Any] | None = None, **facts: Any) -> Outcome:
    return deliver("smtp", "messages.send", MAIL | (arguments or {}), **facts)


def test_a_mail_arrives_as_it_was_meant(mailbox: Mailbox) -> None:
    outcome = send(
        {
            "to": ["ada@example.com", "bob@example.com"],
            "cc": "carl@example.com",
            "bcc": "dora@example.com",
            "reply_to": "desk@example.com",
            "html": "<p>Hello</p>",
        }
    )

    [(recipients, mail)] = mailbox.mails
    assert verdict(outcome) == "succeeded"
    assert recipients == [f"{who}@example.com" for who in ("ada", "bob", "carl", "dora")]
    assert mail["Subject"] == MAIL["subject"]
    assert (mail["To"], mail["Cc"]) == ("ada@example.com, bob@example.com", "carl@example.com")
    assert (mail["From"], mail["Reply-To"]) == ("robot@example.com", "desk@example.com")
    assert "dora" not in mail.as_string()
    assert mail["Date"] == "Fri, 28 Nov 2025 08:48:50 +0000"
    text, html = mail.iter_parts()
    assert text.get_content().replace("\r\n", "\n") == MAIL["text"]
    assert html.get_content().strip() == "<p>Hello</p>"
    assert outcome.provider_request_id == mail["Message-ID"]
    assert "queued as 42" in outcome.response["reply"]


def test_a_mail_is_the_same_on_every_try(mailbox: Mailbox) -> None:
    digests: list[str | None] = []
    arguments = MAIL | {"html": "<b>x</b>"}
    for attempt in (1, 2):
        claim = a_delivery(begun=False, attempt=attempt, arguments=arguments).claim
        smtp.send_message(
            Delivery(claim, lambda _delivery, digest: digests.append(digest), deadline=0.0)
        )

    assert digests[0] == digests[1] is not None
    assert len({mail["Message-ID"] for _to, mail in mailbox.mails}) == 1
    assert len({mail.as_bytes() for _to, mail in mailbox.mails}) == 1
    send(tenant_id="globex")
    assert len({mail["Message-ID"] for _to, mail in mailbox.mails}) == 2


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.com\r\nRCPT TO:<eve@example.com>",
        "ada@example.com\nBcc: eve@example.com",
        "ada@example.com>\r\nDATA",
        "ada@example.com, eve@example.com",
        "Ada <ada@example.com>",
        "<ada@example.com>",
        "ada@example.com ",
        "ada @example.com",
        "ada@example..com",
        "ada..b@example.com",
        ".ada@example.com",
        "ada.@example.com",
        "ada@",
        "@example.com",
        "ada",
        "",
        "ada@[127.0.0.1]",
        "ada@example.com\x00",
        "ädä@example.com",
        '"a b"@example.com',
        "@relay:ada@example.com",
        "a" * 65 + "@example.com",
        "a@" + "b" * 64 + ".com",
        7,
        None,
        {"a": 1},
        [["ada@example.com"]],
        ["ada@example.com", "x\r\n@example.com"],
        [],
    ],
)
@pytest.mark.parametrize("name", ["to", "reply_to"])
def test_an_address_is_one_plain_address(mailbox: Mailbox, name: str, address: object) -> None:
    outcome = send({name: address})

    if name == "reply_to" and address in (None, []):
        assert verdict(outcome) == "succeeded"
    else:
        assert (verdict(outcome), outcome.error_code) == ("rejected", "invalid_recipient")
        assert not mailbox.mails


@pytest.mark.parametrize(
    "subject",
    ["a\r\nBcc: eve@example.com", "a\nb", "a\rb", "a\x00b", "a\x85b", "a\u2028b", None, 7, "\x1b"],
)
def test_a_subject_is_one_line(mailbox: Mailbox, subject: object) -> None:
    outcome = send({"subject": subject})

    assert (verdict(outcome), outcome.error_code) == ("rejected", "invalid_request")
    assert not mailbox.mails


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_becomes_a_header(subject: str, text: str) -> None:
    delivery = a_delivery(arguments={"to": "a@b.example", "subject": subject, "text": text})
    try:
        rendered = smtp.render(delivery, "robot@example.com")
    except ValueError:
        return
    content = rendered.as_bytes(policy=smtp.MAIL)
    assert content.isascii()
    read = email.message_from_bytes(content, policy=modern)
    assert {name.lower() for name in read} <= {
        *("from", "to", "subject", "message-id", "x-synapsor-action-id", "mime-version"),
        *("content-type", "content-transfer-encoding"),
    }
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert b"\n.\r\n" not in smtp._stuffed(content)[:-5]  # noqa: SLF001 - nothing ends it early


def test_a_mail_without_text_is_none(mailbox: Mailbox) -> None:
    assert verdict(send({"text": None})) == "rejected"
    assert verdict(send({"text": None, "html": "<p>only</p>"})) == "succeeded"
    assert mailbox.mails[0][1].get_content_type() == "text/html"
    assert verdict(send({"text": "\ud800"})) == "rejected"


def test_a_refused_recipient_stops_the_mail(mailbox: Mailbox) -> None:
    both = {"to": ["ada@example.com", "bob@example.com"]}
    for code, first in (("550 No such user", "rejected"), ("451 Greylisted", "retryable")):
        mailbox.refuse = {"bob@example.com": code}
        outcome = send(both)
        assert (verdict(outcome), outcome.error_code) == (first, "recipient_refused")
        assert outcome.response == {"refused": {"to[1]": code}}
    mailbox.refuse["ada@example.com"] = "550 No such user"
    assert verdict(send(both)) == "rejected"
    assert not mailbox.mails


def test_a_recipient_is_named_by_its_place(mailbox: Mailbox) -> None:
    """A contract may hide an address; the server's words must not show it."""
    mailbox.refuse = {"eve@example.com": "550 5.1.1 <EVE@example.com>: unknown"}
    refusal = send({"bcc": "eve@example.com"})
    mailbox.refuse = {}
    mailbox.answer = "250 delivered to ada@example.com"
    success = send()

    assert "eve@" not in repr(refusal).lower()
    assert refusal.error_message == "the mail server says 550 5.1.1 <bcc[0]>: unknown"
    assert success.response["reply"] == "250 delivered to to[0]"


def test_who_is_taken_gets_it_where_the_operator_says_so(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNAPSOR_SMTP_PARTIAL", "accept")
    mailbox.refuse = {"bob@example.com": "550 No such user"}
    outcome = send({"to": ["ada@example.com", "bob@example.com"]})

    assert verdict(outcome) == "succeeded"
    assert outcome.response["refused"] == {"to[1]": "550 No such user"}
    assert mailbox.mails[0][0] == ["ada@example.com"]
    assert verdict(send({"to": "bob@example.com"})) == "rejected"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("451 Try later", "retryable"), ("552 Too big", "rejected"), ("399 What", "unknown")],
)
def test_the_last_reply_says_what_became_of_it(
    mailbox: Mailbox, answer: str, expected: str
) -> None:
    mailbox.answer = answer

    assert verdict(send()) == expected


@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_the_way_is_encrypted_and_the_password_shown_to_nobody_else(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    seen: list[bytes] = []

    def judge(
        _server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any
    ) -> AuthResult:
        assert isinstance(given, LoginPassword)
        seen.append(given.password)
        return AuthResult(success=given.password == PASSWORD.encode(), handled=False)

    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(CERTIFICATE, CERTIFICATE.with_name("key.pem"))
    mailbox = Mailbox()
    options: dict[str, Any] = {"authenticator": judge}
    if mode == "starttls":
        options |= {"tls_context": trust, "require_starttls": True, "auth_required": True}
    else:
        options |= {"ssl_context": trust, "auth_require_tls": False}
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        configure(
            monkeypatch,
            controller.port,
            tls=mode,
            ca_file=str(CERTIFICATE),
            username="robot",
            password=PASSWORD,
            timeout="3",
        )
        assert verdict(send()) == "succeeded"
        assert seen == [PASSWORD.encode()]
        monkeypatch.setenv("SYNAPSOR_SMTP_PASSWORD", "wrong-password")
        outcome = send()
        assert (verdict(outcome), outcome.error_code) == ("retryable", "authentication")
        assert "wrong-password" not in repr(outcome)
        monkeypatch.delenv("SYNAPSOR_SMTP_CA_FILE")
        outcome = send()
        assert (verdict(outcome), outcome.error_code) == ("retryable", "not_sent")
        assert set(seen) == {PASSWORD.encode(), b"wrong-password"}
    finally:
        controller.stop()


def test_a_server_without_encryption_gets_no_password(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNAPSOR_SMTP_TLS", "starttls")
    outcome = send()
    assert (verdict(outcome), outcome.error_code) == ("retryable", "configuration")

    monkeypatch.setenv("SYNAPSOR_SMTP_TLS", "none")
    monkeypatch.setenv("SYNAPSOR_SMTP_USERNAME", "robot")
    monkeypatch.setenv("SYNAPSOR_SMTP_PASSWORD", PASSWORD)
    outcome = send()
    assert (verdict(outcome), outcome.error_code) == ("retryable", "configuration")
    assert not mailbox.mails


class BadServer:
    """Speaks from a script: what it says to each command; None cuts the connection."""

    def __init__(self, **script: bytes | None) -> None:
        self.script: dict[str, bytes | None] = {
            "hello": b"220 hi\r\n",
            "EHLO": b"250 me\r\n",
            "MAIL": b"250 ok\r\n",
            "RCPT": b"250 ok\r\n",
            "DATA": b"354 go on\r\n",
            "mail": b"250 done\r\n",
            **script,
        }
        self.mails = 0
        self.over = threading.Event()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join()

    def _serve(self) -> None:
        while not self.over.is_set():
            try:
                peer, _address = self.server.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError):
                self._talk(peer)

    def _talk(self, peer: socket.socket) -> None:
        reader = peer.makefile("rb")
        with reader:
            if not self._say(peer, "hello"):
                return
            while line := reader.readline():
                word = line[:4].decode().strip().upper()
                if not self._say(peer, word):
                    return
                if word == "DATA" and self.script["DATA"] == b"354 go on\r\n":
                    while (line := reader.readline()) not in {b".\r\n", b""}:
                        pass
                    self.mails += line != b""
                    if not self._say(peer, "mail"):
                        return

    def _say(self, peer: socket.socket, word: str) -> bool:
        said = self.script.get(word, b"250 ok\r\n")
        if said is None:
            return False
        if said == b"drip":
            while not self.over.wait(0.05):
                peer.sendall(b"2")
        peer.sendall(said)
        return True


@pytest.mark.parametrize(
    ("stage", "said", "expected"),
    [
        ("hello", None, "retryable"),
        ("hello", b"", "retryable"),
        ("hello", b"drip", "retryable"),
        ("hello", b"554 not you\r\n", "retryable"),
        ("hello", b"421 busy\r\n", "retryable"),
        ("EHLO", None, "retryable"),
        ("MAIL", b"", "retryable"),
        ("MAIL", None, "retryable"),
        ("MAIL", b"451 later\r\n", "retryable"),
        ("MAIL", b"550 no\r\n", "rejected"),
        ("RCPT", None, "retryable"),
        ("RCPT", b"421 bye\r\n", "retryable"),
        ("RCPT", b"550 no\r\n", "rejected"),
        ("DATA", None, "retryable"),
        ("DATA", b"", "retryable"),
        ("DATA", b"554 no\r\n", "rejected"),
        ("DATA", b"x" * 2_000_000 + b"\r\n", "retryable"),
        ("mail", None, "unknown"),
        ("mail", b"", "unknown"),
        ("mail", b"drip", "unknown"),
        ("mail", b"250", "unknown"),
        ("mail", b"250 do", "unknown"),
        ("mail", b"250-done\r\n", "unknown"),
        ("mail", b"250-done\r\n250 really\r\n", "succeeded"),
        ("mail", b"250-again\r\n" * 1000, "unknown"),
        ("mail", b"garbage\r\n", "unknown"),
        ("mail", b"x" * 2_000_000 + b"\r\n", "unknown"),
        ("mail", b"250 done\r\n250 done\r\n", "succeeded"),
        ("mail", b"450 later\r\n", "retryable"),
        ("mail", b"554 no\r\n", "rejected"),
        ("QUIT", None, "succeeded"),
        ("QUIT", b"", "succeeded"),
    ],
)
def test_a_bad_day_of_a_mail_server(
    monkeypatch: pytest.MonkeyPatch, stage: str, said: bytes | None, expected: str
) -> None:
    with BadServer(**{stage: said}) as server:
        configure(monkeypatch, server.server.getsockname()[1], timeout="0.3")
        started = time.monotonic()
        outcome = send()

        assert verdict(outcome) == expected
        assert time.monotonic() - started < 2
        assert server.mails == (1 if stage in {"mail", "QUIT"} else 0)
        assert len(outcome.error_message or "") < 600
        if expected == "rejected":
            assert verdict(send(**again())) == "retryable"


def test_nobody_there_is_known_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, free_port())

    outcome = send()
    assert (verdict(outcome), outcome.error_code) == ("retryable", "not_sent")


def test_a_cancelled_delivery_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with BadServer(mail=b"") as server:
        configure(monkeypatch, server.server.getsockname()[1], timeout="20")
        delivery = a_delivery(begun=False, arguments=MAIL)
        threading.Timer(0.1, delivery.cancelled.set).start()
        started = time.monotonic()

        assert verdict(smtp.send_message(delivery)) == "unknown"
        assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOST", ""),
        ("SENDER", ""),
        ("SENDER", "robot@example.com\r\nX: y"),
        ("TLS", "maybe"),
        ("PARTIAL", "yes"),
        ("PORT", "x"),
    ],
)
def test_a_configuration_is_checked(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"SYNAPSOR_SMTP_{name}", value)

    outcome = send()
    assert (verdict(outcome), outcome.error_code) == ("retryable", "configuration")
    assert not mailbox.mails


def test_the_documented_contract_works_end_to_end(mailbox: Mailbox, workshop: Workshop) -> None:
    [contract] = examples(smtp)
    mailbox.refuse = {"nobody@example.com": "550 No such user"}

    rows = perform(
        workshop,
        contract,
        {"to": "ada@example.com", "subject": "Welcome", "text": "Hello"},
        {"to": "nobody@example.com", "subject": "Welcome", "text": "Hello"},
    )

    assert [row["status"] for row in rows] == ["succeeded", "failed"]
    assert [to for to, _mail in mailbox.mails] == [["ada@example.com"]]
    assert rows[0]["provider_request_id"] == mailbox.mails[0][1]["Message-ID"]
