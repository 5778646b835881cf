"""What stands between a client and the server on a bad day: a proxy that cuts and freezes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, Self

from support.cluster import PORT

if TYPE_CHECKING:
    from types import TracebackType

    from support.database import Database

LINGER_NOT = struct.pack("ii", 1, 0)


class Wire:
    """A TCP proxy in front of a database's socket; ``dsn(login)`` leads through it.

    ``cut`` resets every connection. ``freeze`` makes them half-open: the peer's kernel goes on
    acknowledging, and nothing ever comes back; connections made later are not touched by it.
    ``transactions`` counts those that have ended; a connection's first counts its beginning.
    """

    def __init__(self, database: Database) -> None:
        """Listen on a free port of loopback."""
        self._database = database
        self._target = str(database.cluster.socket / f".s.PGSQL.{PORT}")
        self._lock = threading.Lock()
        self._open: list[tuple[socket.socket, socket.socket, threading.Event]] = []
        self.transactions = 0
        self._refusing = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def dsn(self, user: str) -> str:
        """Return a connection string through the wire."""
        port = self._listener.getsockname()[1]
        return (
            f"host=127.0.0.1 port={port} user={user} dbname={self._database.name}"
            " sslmode=disable gssencmode=disable"
        )

    def freeze(self) -> int:
        """Let nothing more through the connections that are open; return how many these are."""
        with self._lock:
            for _near, _far, frozen in self._open:
                frozen.set()
            return len(self._open)

    def cut(self, *, refuse: bool = False) -> None:
        """Reset all connections; with ``refuse`` every later one too, until ``mend``."""
        self._refusing = refuse
        with self._lock:
            pairs, self._open = self._open, []
        for near, far, _frozen in pairs:
            self._end(near, far)

    def mend(self) -> None:
        """Let new connections through again."""
        self._refusing = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        self.cut(refuse=True)

    def _accept(self) -> None:
        while True:
            try:
                near, _address = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            if self._refusing:
                self._end(near, far)
                continue
            try:
                far.connect(self._target)
            except OSError:
                self._end(near, far)
                continue
            frozen = threading.Event()
            with self._lock:
                self._open.append((near, far, frozen))
            for source, target in ((near, far), (far, near)):
                threading.Thread(
                    target=self._pump, args=(source, target, frozen), daemon=True
                ).start()

    def _pump(self, source: socket.socket, target: socket.socket, frozen: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if frozen.is_set():
                    continue  # read, and lost
                if source.family == socket.AF_UNIX:
                    self.transactions += data.count(b"Z\0\0\0\5I")  # ReadyForQuery, idle
                target.sendall(data)
        if not frozen.is_set():
            with self._lock:
                self._open = [each for each in self._open if each[2] is not frozen]
            self._end(source, target)

    @staticmethod
    def _end(*ends: socket.socket) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                if end.family == socket.AF_INET:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
                end.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                end.close()
