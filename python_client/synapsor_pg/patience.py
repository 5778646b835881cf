"""How long a connection may keep its caller waiting.

The server's time-outs end what the server hears, and TCP's what nobody acknowledges. A pooler that
hangs or a proxy with a dead server behind it acknowledges everything and answers nothing: a thread
that reads from it waits for ever, unless another ends the connection.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg


class Patience:
    """Connections in use and until when; ``end_overdue`` is to be called every now and then."""

    def __init__(self) -> None:
        """Watch nothing yet."""
        self._lock = threading.Lock()
        self._until: dict[int, float] = {}

    @contextlib.contextmanager
    def limited(self, connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
        """End the connection if the block lasts longer; what waits in there raises."""
        # A descriptor of our own: the connection's may be closed, and its number be another's.
        descriptor = os.dup(connection.fileno())
        try:
            with self._lock:
                self._until[descriptor] = time.monotonic() + seconds
            yield
        finally:
            with self._lock:
                del self._until[descriptor]
                os.close(descriptor)

    def end_overdue(self) -> int:
        """End what is overdue; return how many connections. Never waits."""
        now = time.monotonic()
        with self._lock:
            overdue = [each for each, until in self._until.items() if until <= now]
            for descriptor in overdue:
                self._until[descriptor] = float("inf")
                with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as end:
                    end.shutdown(socket.SHUT_RDWR)
        return len(overdue)
