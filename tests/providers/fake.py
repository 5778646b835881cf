"""A provider on a real socket that can have every kind of bad day, once or several times.

A subclass (or ``reply``) says what the provider does and answers; ``plan`` says what goes wrong
with the next requests. ``effects`` counts what was done, by idempotency key: the judge of "once".
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

FAULTS = frozenset(
    {
        "busy",  # 429 with Retry-After, in front of everything
        "closed",  # 503 with Retry-After
        "cut_after",  # the connection is cut when it is done
        "cut_before",  # or before
        "drip",  # one byte of the head at a time, for ever
        "error_after",  # 500 although it is done
        "error_before",  # 500, nothing was done
        "flood",  # two megabytes
        "garbage",  # what is no JSON
        "hang",  # no answer at all
        "redirect",  # 307 to a private address
        "slow",  # an answer after a while
        "twice",  # two answers
    }
)
CERTIFICATE = Path(__file__).with_name("certificate") / "certificate.pem"
"""Of localhost, with its key beside it."""

TWO_MEGABYTES = 2 * 1024 * 1024
DONE_BEFORE = frozenset({"cut_after", "drip", "error_after", "flood", "garbage", "hang", "slow"})
"""Faults after which it is done all the same, although the caller may not learn it."""


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    query_text: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass
class Reply:
    """What the provider answers."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Fake:
    """A context manager: the server runs inside it, on a free port of 127.0.0.1."""

    redirect_status = 307
    retry_after = 7

    def __init__(
        self, reply: Callable[[Request], Reply] | None = None, *, tls: bool = False
    ) -> None:
        self.requests: list[Request] = []
        self.effects: Counter[str] = Counter()
        self.connections = 0
        self.faults: list[tuple[str, str]] = []
        self.redirect_to = "http://127.0.0.1:9/"
        self.lock = threading.RLock()
        self._reply = reply
        self._over = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                fake.connections += 1
                with contextlib.suppress(OSError):  # who asked has gone
                    super().handle()

            def serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                parts = urlsplit(self.path)
                fake.serve(
                    self,
                    Request(
                        self.command,
                        parts.path,
                        dict(parse_qsl(parts.query, keep_blank_values=True)),
                        {name.lower(): value for name, value in self.headers.items()},
                        self.rfile.read(length),
                        parts.query,
                    ),
                )

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve  # noqa: N815

            def log_message(self, *_words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            trust.load_cert_chain(CERTIFICATE, CERTIFICATE.with_name("key.pem"))
            self._server.socket = trust.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.refuse_connections()

    def refuse_connections(self) -> None:
        """Stop: from now on nobody listens."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def plan(self, fault: str, *, times: int = 1, path: str = "") -> None:
        """Let the next requests (of a path) go wrong."""
        assert fault in FAULTS, fault
        self.faults += [(fault, path)] * times

    def reply(self, request: Request) -> Reply:
        """What the provider does and says; an override counts its effects."""
        if self._reply is not None:
            return self._reply(request)
        key = request.headers.get("idempotency-key", "none")
        self.effects[key] += 1
        return Reply({"id": f"id-{len(self.effects)}"})

    def refusal(self, status: int, retry_after: int | None = None) -> Reply:
        """What this provider says when it is busy or broken."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        return Reply({"error": {"code": f"said_{status}", "message": "not now"}}, status, headers)

    def serve(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        with self.lock:
            self.requests.append(request)
            fault = next((each for each in self.faults if request.path.startswith(each[1])), None)
            if fault is not None:
                self.faults.remove(fault)
        kind = "" if fault is None else fault[0]
        reply = self._instead(kind)
        if reply is None and kind != "cut_before":
            with self.lock:
                reply = self.reply(request)
        self._over.wait({"slow": 0.1, "hang": 20}.get(kind, 0))
        if reply is None or kind in {"hang", "cut_after"}:
            self._cut(handler)
        else:
            self._answer(handler, kind, self.refusal(500) if kind == "error_after" else reply)

    def _instead(self, kind: str) -> Reply | None:
        """What is answered although nothing was done."""
        match kind:
            case "busy":
                return self.refusal(429, self.retry_after)
            case "closed":
                return self.refusal(503, self.retry_after)
            case "error_before":
                return self.refusal(500)
            case "redirect":
                return Reply({}, self.redirect_status, {"Location": self.redirect_to})
        return None

    def _answer(self, handler: BaseHTTPRequestHandler, kind: str, reply: Reply) -> None:
        content = {
            "flood": json.dumps({"padding": "x" * TWO_MEGABYTES}).encode(),
            "garbage": b'{"ok": tru\xff\x00',
        }.get(kind) or reply.content()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **reply.headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        raw = f"HTTP/1.1 {reply.status} Said\r\n{head}\r\n".encode() + content
        if kind == "drip":
            for byte in raw:
                handler.wfile.write(bytes([byte]))
                if self._over.wait(0.05):
                    return
        handler.wfile.write(raw * (2 if kind == "twice" else 1))
        handler.close_connection = True

    @staticmethod
    def _cut(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        # a reset instead of a polite end
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
