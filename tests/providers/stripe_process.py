"""Start, steer and stop `stripe_server.py` from tests and from the demo (standard library only)."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

SERVER = Path(__file__).with_name("stripe_server.py")


class StripeProcess:
    """A context manager: the server runs inside it, on a free port of 127.0.0.1.

    The process leaves when its standard input closes, our end of a pipe: it cannot outlive us.
    """

    def __init__(self, *, python: str = sys.executable, start_within: float = 15.0) -> None:
        self.process = subprocess.Popen(
            [python, str(SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self.base_address = f"http://{self._read_address(start_within)}"
        except BaseException:
            self.stop()
            raise

    def _read_address(self, seconds: float) -> str:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(seconds) else ""
        head, _, address = line.strip().rpartition(" ")
        if head != "listening on":
            raise RuntimeError(f"the provider did not start within {seconds} s: {line!r}")
        return address

    def stop(self) -> None:
        """Close its standard input; kill this one process if it does not leave."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # -- the control face -----------------------------------------------------------------------

    def _control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"{self.base_address}/_control/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            raise ValueError(refusal.read().decode()) from refusal

    def refunds(self, charge: str | None = None) -> list[dict[str, Any]]:
        """The refunds that exist at the provider, of one charge or all."""
        query = "" if charge is None else "?" + urlencode({"charge": charge})
        return list(self._control("GET", "refunds" + query))

    def requests(self, path: str = "/v1/refunds", method: str = "POST") -> list[dict[str, Any]]:
        """The log lines of one endpoint, in order of arrival."""
        log = self._control("GET", "requests")
        return [line for line in log if (line["path"], line["method"]) == (path, method)]

    def inject(self, kind: str, stage: str = "before", **details: Any) -> None:
        """Plan a fault for the next POST to /v1/refunds; see `stripe_server.Fault`."""
        self._control("POST", "faults", {"kind": kind, "stage": stage, **details})

    def release(self) -> None:
        """Let go what a `hold` keeps."""
        self._control("POST", "release", {})

    def forget_keys(self) -> None:
        """Drop every stored answer, as Stripe does after 24 hours."""
        self._control("POST", "forget", {})

    def reset(self) -> None:
        """Empty: no objects, no keys, no log, no faults."""
        self._control("POST", "reset", {})

    def wait_for_requests(self, count: int, within: float = 10.0) -> list[dict[str, Any]]:
        """The refund requests, once there are `count` of them."""
        return wait_for(self.requests, count, within)

    def wait_for_refunds(self, count: int, within: float = 10.0) -> list[dict[str, Any]]:
        """The refunds, once there are `count` of them."""
        return wait_for(self.refunds, count, within)


def wait_for(
    read: Callable[[], list[dict[str, Any]]], count: int, within: float
) -> list[dict[str, Any]]:
    """What `read` returns, once it returns `count` rows."""
    end = time.monotonic() + within
    while len(found := read()) < count:
        if time.monotonic() > end:
            raise TimeoutError(f"{len(found)} of {count} after {within} s")
        time.sleep(0.02)
    return found
