"""The worker's HTTP endpoints: ``/metrics``, ``/healthz`` and ``/readyz``.

``/healthz`` answers while the process lives and asks nobody. ``/readyz`` says whether the worker
does its work: it has reached the database within the last minute and is not stopping. Nothing here
takes input or changes anything; bind it to loopback or to a network of your own all the same.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from synapsor_pg.observer import WorkerStatus

READY_WITHIN = 60.0
"""How long ago, in seconds, a ready worker may have reached the database."""

PATIENCE = 10.0
"""How long, in seconds, a client may take to ask."""

PLAIN = "text/plain; charset=utf-8"


class Endpoints:
    """Serves one worker's endpoints; ``metrics`` gives a content type and a page, if any."""

    def __init__(
        self,
        address: tuple[str, int],
        status: Callable[[], WorkerStatus],
        metrics: Callable[[], tuple[str, bytes]] | None = None,
    ) -> None:
        """Bind the address; ``OSError`` when it is taken."""

        class Handler(BaseHTTPRequestHandler):
            timeout = PATIENCE
            server_version = "synapsor-pg"
            sys_version = ""

            def do_GET(self) -> None:
                code, kind, page = answer(self.path.partition("?")[0])
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_arguments: Any) -> None:
                """Scrapes are no news."""

        def answer(path: str) -> tuple[int, str, bytes]:
            if path == "/healthz":
                return 200, PLAIN, b"ok\n"
            if path == "/readyz":
                return readiness(status())
            if path == "/metrics" and metrics is not None:
                return 200, *metrics()
            return 404, PLAIN, b"there are /healthz, /readyz and /metrics\n"

        self._server = ThreadingHTTPServer(address, Handler)
        self._server.daemon_threads = True

    @property
    def port(self) -> int:
        """The port; of use where 0 was asked for."""
        return int(self._server.server_address[1])

    @contextlib.contextmanager
    def serving(self) -> Iterator[Endpoints]:
        """Serve until the block ends."""
        thread = threading.Thread(
            target=self._server.serve_forever, name="synapsor-endpoints", daemon=True
        )
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(1.0)


def readiness(status: WorkerStatus) -> tuple[int, str, bytes]:
    """Return the answer of ``/readyz``."""
    reached = status.reached_database_at
    ago = None if reached is None else time.monotonic() - reached
    ready = not status.stopping and ago is not None and ago <= READY_WITHIN
    told = {
        "ready": ready,
        "label": status.label,
        "queues": status.queues,
        "held": status.held,
        "stopping": status.stopping,
        "listening": status.listening,
        "seconds_since_database": None if ago is None else round(ago, 1),
    }
    return 200 if ready else 503, "application/json", json.dumps(told).encode() + b"\n"
