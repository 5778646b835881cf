"""Act four: two providers, one failing. Its breaker opens, the other flows, and it recovers."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pty
import secrets
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from fcntl import ioctl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from select import select
from termios import TIOCSWINSZ
from typing import TYPE_CHECKING

import pyte
from demo.stage import (
    SCRATCH,
    expect,
    paint,
    running,
    show_rows,
    show_statement,
    stop_gently,
    tell,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.demo import Stage
    from demo.stage import Row

ALERTS = 6
LINES, COLUMNS = 24, 105
TOP_OF_IT = 5
CONTRACT = """
{ "action": "alerts.tell_customer", "kind": "external", "args": { "number": {"type": "integer"} },
  "provider": "webhook", "operation": "messages.send", "queue": "alerts",
  "idempotency": {"key": "alert:{number}", "idempotent": true},
  "retry": {"max_attempts": 20, "initial": "200 ms", "max": "1 s"} }
""".strip()
LIMITS = """
{ "provider": "webhook", "concurrency": {"max": 2},
  "breaker": {"failure_rate_threshold": 50, "minimum_calls": 4, "window": 4,
              "wait_open": "3 s", "half_open_calls": 2} }
""".strip()
CONFIG = """
dsn = { env = "SYNAPSOR_DSN" }
poll = 0.2
[[queues]]
name = "billing_external_actions"
weight = 3
[[queues]]
name = "alerts"
""".strip()
HEALTH = """
select provider, breaker_state, failure_rate, calls, in_flight,
       round(extract(epoch from opens_until - clock_timestamp()), 1) as opens_in
from synapsor.synapsor_provider_health where provider = 'webhook' and tenant_id is null
""".strip()


class Receiver:
    """A service that takes webhooks: down at first, then up; it remembers whom it has heard."""

    def __init__(self) -> None:
        self.is_up = False
        self.refused = 0
        self.heard: Counter[str] = Counter()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.is_up:
                    receiver.heard[self.headers["webhook-id"]] += 1
                    time.sleep(0.1)
                else:
                    receiver.refused += 1
                self.send_response(204 if receiver.is_up else 503)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                """The demo tells what is of interest."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hooks"

    @contextlib.contextmanager
    def listening(self) -> Iterator[Receiver]:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()


def act(stage: Stage) -> None:
    """One worker, two providers: what fails stops itself and nothing else."""
    for function, text in (("declare_provider", LIMITS), ("declare_action", CONTRACT)):
        statement = f"select synapsor.{function}('\n{text}')"
        show_statement("admin", statement)
        stage["admin"].ask(statement)
    with Receiver().listening() as receiver, worker(stage, receiver):
        fail(stage, receiver)
        watch(stage)
        recover(stage, receiver)


def fail(stage: Stage, receiver: Receiver) -> None:
    """The receiver is down: the breaker opens, and the other provider is not held up."""
    with stage.transaction(seen=False) as app:
        app.ask(
            "select from synapsor.propose_external_actions('alerts.tell_customer',"
            " array(select jsonb_build_object('number', n) from generate_series(1, %s) as n))",
            ALERTS,
        )
    tell(f"{ALERTS} alerts are proposed, and the receiver answers 503:")
    wait_until(lambda: health(stage)["breaker_state"] == "OPEN", "the breaker opens")
    wait_until(lambda: health(stage)["in_flight"] == 0, "what was under way has ended")
    refused = receiver.refused
    show_health(stage)
    with stage.transaction(seen=False) as app:
        (refund,) = app.ask(
            "select action_id from synapsor.propose_external_action('billing.issue_refund', %s)",
            json.dumps({"charge_id": stage.charges["INV-1002"], "amount_cents": 300}),
        )
    began = time.monotonic()
    wait_until(lambda: status_of(stage, refund["action_id"]) == "succeeded", "the refund flows")
    took = time.monotonic() - began
    tell(f"A refund proposed now, behind that backlog, is done at Stripe in {took * 1000:.0f} ms.")
    (waiting,) = stage["auditor"].ask(
        "select action_id from synapsor.synapsor_external_actions"
        " where queue = 'alerts' and status = 'queued' and attempts = 0 limit 1"
    )
    told = stage["auditor"].one("select synapsor.explain_action(%s)", waiting["action_id"])
    (why,) = [line for line in told["explain_action"].splitlines() if "breaker" in line]
    tell("Why an alert waits, explain_action says:")
    tell(f"  {' '.join(why.split())}")
    expect(receiver.refused == refused, "an open breaker lets nothing through")


def watch(stage: Stage) -> None:
    """What an operator sees at that moment."""
    tell(f"{paint('$ ', '36')}synapsor-pg top   # as auditor")
    for line in recording(stage)[:TOP_OF_IT]:
        tell(line)
    tell("  … approvals waiting, what is stuck, what failed lately; keys decide")


def recover(stage: Stage, receiver: Receiver) -> None:
    """The receiver is back: a probe at a time, then everything."""

    def open_for_a_while() -> Row | None:
        now = health(stage)
        return now if now["breaker_state"] == "OPEN" and now["opens_in"] > 0.5 else None

    # A slow terminal may outlast the first wait; a failed probe then opens it anew.
    seen = [wait_until(open_for_a_while, "the breaker is open")]
    receiver.is_up = True
    tell("The receiver is up again. The breaker finds out by itself, one probe at a time:")

    def closed() -> bool:
        now = health(stage)
        if now["breaker_state"] != seen[-1]["breaker_state"]:
            seen.append(now)
        return bool(now["breaker_state"] == "CLOSED")

    wait_until(closed, "the breaker closes again", pause=0.005)
    show_rows(seen)
    expect(
        [row["breaker_state"] for row in seen] == ["OPEN", "HALF_OPEN", "CLOSED"],
        "open, half open, closed",
    )
    wait_until(lambda: done(stage) == ALERTS, "every alert is delivered")
    tell(
        f"Alerts delivered: {done(stage)} of {ALERTS}, each taken by the receiver "
        f"{max(receiver.heard.values())} time."
    )
    expect(set(receiver.heard.values()) == {1}, "each alert was taken once")
    expect(len(receiver.heard) == ALERTS, "every alert was taken")


@contextlib.contextmanager
def worker(stage: Stage, receiver: Receiver) -> Iterator[None]:
    """One daemon for both queues, from a file."""
    file = SCRATCH / "worker.toml"
    file.write_text(CONFIG + "\n")
    tell(f"{paint('$ ', '36')}synapsor-pg worker --config {file}   # as worker_1")
    for line in CONFIG.splitlines():
        tell("  " + paint(line, "2"))
    environment = stage.worker_environment("worker_1") | {
        "SYNAPSOR_WEBHOOK_URL": receiver.url,
        "SYNAPSOR_WEBHOOK_SECRET": "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode(),
        "SYNAPSOR_WEBHOOK_PRIVATE_NETWORKS": "127.0.0.0/8",
    }
    command = [str(program()), "worker", "--config", str(file)]
    with running(command, environment) as process:
        yield
        expect(stop_gently(process) == 0, "the worker ends well on SIGTERM")


def recording(stage: Stage) -> list[str]:
    """Return the screen of `synapsor-pg top`, run in a terminal of its own."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [program(), "top", "--interval", "0.5"],
        env=os.environ
        | {"SYNAPSOR_DSN": stage["auditor"].dsn, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        end = time.monotonic() + 10
        while not any("OPEN" in line for line in screen.display):
            expect(time.monotonic() < end, "top shows the open breaker")
            if select([ours], [], [], 0.1)[0]:
                stream.feed(os.read(ours, 65536))
        settle = time.monotonic() + 0.3
        while time.monotonic() < settle:
            if select([ours], [], [], 0.05)[0]:
                stream.feed(os.read(ours, 65536))
        shown = [line.rstrip() for line in screen.display]
        os.write(ours, b"q")
        with contextlib.suppress(OSError):  # the other side is gone
            while select([ours], [], [], 2.0)[0] and os.read(ours, 65536):
                pass
        process.wait(5)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return [line for line in shown if line]


def program() -> Path:
    """The command, as it is installed beside this interpreter."""
    return Path(sys.executable).with_name("synapsor-pg")


def health(stage: Stage) -> Row:
    """How the account is, asked of the view."""
    return stage["auditor"].one(HEALTH)


def show_health(stage: Stage) -> None:
    """Show the question too."""
    stage["auditor"].types(HEALTH)


def status_of(stage: Stage, action_id: str) -> str:
    """Where an action stands."""
    found = stage["auditor"].one(
        "select status from synapsor.synapsor_external_actions where action_id = %s", action_id
    )
    return str(found["status"])


def done(stage: Stage) -> int:
    """How many alerts have been delivered."""
    found = stage["auditor"].one(
        "select count(*) from synapsor.synapsor_external_actions"
        " where queue = 'alerts' and status = 'succeeded'"
    )
    return int(found["count"])
