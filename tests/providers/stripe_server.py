"""The Stripe API on loopback: `localstripe` behind the idempotency layer that Stripe documents.

`localstripe` (PyPI) answers the API but ignores `Idempotency-Key`: asked twice, it refunds twice.
That makes it an honest judge of "exactly one", once the documented layer stands in front of it
(https://docs.stripe.com/api/idempotent_requests, https://docs.stripe.com/error-low-level):

* a POST with a key stores status and body of the first answer, errors of a begun endpoint included;
* the same key with the same parameters: the stored answer and `Idempotent-Replayed: true`;
* the same key with other parameters, or at another address: 400 `idempotency_error`;
* the same key while the first request is still executing: 409 `idempotency_key_in_use`;
* what never reached an endpoint (400, 401, 404, 409, 429) is not stored and may be asked again;
* keys have at most 255 characters, belong to one API key, and mean nothing on GET and DELETE.

Beside the API there is a face for tests and demos under `/_control`: what was asked, what exists,
and which faults to inject (see `Fault`). As a process (`stripe_process.StripeProcess` starts it) it
binds a port of 127.0.0.1, prints `listening on 127.0.0.1:PORT` and ends with its standard input,
that is, with its parent, however that one ends.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from localstripe import resources, server  # type: ignore[import-untyped]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_KEY_LENGTH = 255
NEVER_EXECUTED = frozenset({400, 401, 403, 404, 405, 409, 429})
REFUND_FIELDS = ("id", "charge", "amount", "status", "metadata")
STAGES = {
    "delay": {"before", "after"},
    "hold": {"before", "after"},
    "cut": {"before", "after"},
    "rate_limit": {"before"},
    "server_error": {"before", "during", "after"},
    "redirect": {"before"},
    "garbage": {"after"},
    "flood": {"after"},
    "twice": {"after"},
}
TWO_MEGABYTES = 2 * 1024 * 1024


@dataclass
class Fault:
    """Something that goes wrong, `times` times, for POST requests to `path`.

    delay         wait `seconds`, before the effect or between the effect and its answer
    hold          the same until released through the control face
    cut           drop the connection before or after the effect: the caller cannot know which
    rate_limit    429 with `Retry-After: retry_after`, in front of the idempotency layer
    server_error  500. Before: the endpoint was not reached, nothing is stored, a retry succeeds.
                  During: the endpoint failed without effect. After: it failed although the effect
                  happened. Both are stored: the key replays its 500 for ever.
    redirect      307 to `location`, in front of the idempotency layer
    garbage       the effect, and an answer that is no JSON; the key stores the right one
    flood         the effect, and an answer of two megabytes; the key stores the right one
    twice         the effect, and its answer twice
    """

    kind: str
    stage: str = "before"
    times: int = 1
    seconds: float = 0.0
    retry_after: int = 1
    location: str = ""
    path: str = "/v1/refunds"

    def __post_init__(self) -> None:
        if self.stage not in STAGES.get(self.kind, set()):
            raise ValueError(f"no such fault: {self.kind} {self.stage}")


@dataclass
class LoggedRequest:
    """One API request as it came and as it was answered."""

    number: int
    at: float
    method: str
    path: str
    idempotency_key: str | None
    parameters: dict[str, str]
    user_agent: str
    status: int | None = None  # None: no answer (yet)
    executed: bool = False
    replayed: bool = False
    fault: str | None = None
    object_id: str | None = None


@dataclass
class StoredAnswer:
    """What a key holds; `status` is None while its first request executes."""

    path: str
    parameters: dict[str, str]
    request_id: str
    status: int | None = None
    body: bytes = b""


class ConnectionCutError(Exception):
    """The transport is gone; there is nobody left to answer."""


@dataclass
class Provider:
    """What we remember beside localstripe's own store."""

    log: list[LoggedRequest] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    answers: dict[tuple[str, str], StoredAnswer] = field(default_factory=dict)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, request: web.Request, parameters: dict[str, str]) -> LoggedRequest:
        line = LoggedRequest(
            number=len(self.log) + 1,
            at=time.time(),
            method=request.method,
            path=request.path,
            idempotency_key=request.headers.get("Idempotency-Key"),
            parameters=parameters,
            user_agent=request.headers.get("User-Agent", ""),
        )
        self.log.append(line)
        return line

    def take_fault(self, line: LoggedRequest, kinds: set[str], stage: str) -> Fault | None:
        """The next planned fault of these kinds that fits this request; uses it up."""
        for fault in self.faults:
            if fault.kind in kinds and (fault.stage, fault.path) == (stage, line.path):
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                line.fault = f"{fault.kind} {fault.stage}"
                return fault
        return None

    def release(self) -> None:
        """Let go what is held now; a later `hold` holds again."""
        self.released.set()
        self.released = asyncio.Event()

    def reset(self) -> None:
        self.log.clear()
        self.faults.clear()
        self.answers.clear()
        self.release()
        resources.store.clear()

    def refunds(self, charge: str | None) -> list[dict[str, Any]]:
        """The refunds that exist, oldest first; of one charge, or all."""
        refunds = [value for key, value in resources.store.items() if key.startswith("refund:")]
        return [
            {name: getattr(refund, name) for name in REFUND_FIELDS}
            for refund in refunds
            if charge in (None, refund.charge)
        ]

    # -- the API side ---------------------------------------------------------------------------

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """One API request, through faults and the idempotency layer to localstripe."""
        parameters = await parameters_of(request)
        line = self.note(request, parameters)
        if request.method != "POST":
            response = await self.list_since(request, handler)
        else:
            response = await self.answer_post(request, line, handler)
        line.status = response.status
        return response

    async def list_since(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A GET; of two lists also with the documented filters that localstripe does not know."""
        if request.path not in {"/v1/customers", "/v1/payment_intents"}:
            return await handler(request)
        query = dict(request.query)
        since = int(query.pop("created[gte]", "0"))
        customer = query.pop("customer", None)
        status, body = await call(request.clone(rel_url=request.rel_url.with_query(query)), handler)
        if status == 200:
            answer = json.loads(body)
            answer["data"] = [
                each
                for each in answer["data"]
                if each["created"] >= since and customer in {None, each.get("customer")}
            ]
            body = json.dumps(answer).encode()
        return web.Response(status=status, body=body, content_type="application/json")

    async def answer_post(
        self, request: web.Request, line: LoggedRequest, handler: Handler
    ) -> web.Response:
        limit = self.take_fault(line, {"rate_limit"}, "before")
        if limit:
            refusal = error(429, "invalid_request_error", "Too many requests.", "rate_limit")
            refusal.headers["Retry-After"] = str(limit.retry_after)
            return refusal

        elsewhere = self.take_fault(line, {"redirect"}, "before")
        if elsewhere:
            return web.Response(status=307, headers={"Location": elsewhere.location})

        key, request_id = line.idempotency_key, f"req_{secrets.token_hex(7)}"
        if key is None:
            status, body = await self.execute(request, line, handler)
            return reply(status, body, request_id)
        if not 0 < len(key) <= MAX_KEY_LENGTH:
            return error(
                400,
                "invalid_request_error",
                f"An Idempotency-Key has 1 to {MAX_KEY_LENGTH} characters, not {len(key)}.",
            )

        scope = (api_key_of(request), key)
        stored = self.answers.get(scope)
        if stored is not None:
            return self.replay(stored, line, key, request_id)

        stored = self.answers[scope] = StoredAnswer(line.path, line.parameters, request_id)
        try:
            status, body = await self.execute(request, line, handler, stored)
        finally:
            if stored.status is None and self.answers.get(scope) is stored:
                del self.answers[scope]
        return reply(status, body, request_id, key)

    def replay(
        self, stored: StoredAnswer, line: LoggedRequest, key: str, request_id: str
    ) -> web.Response:
        if stored.path != line.path:
            return error(
                400,
                "idempotency_error",
                "Keys for idempotent requests can only be used for the same endpoint they were "
                f"first used for ('{line.path}' vs '{stored.path}').",
            )
        if stored.parameters != line.parameters:
            return error(
                400,
                "idempotency_error",
                "Keys for idempotent requests can only be used with the same parameters they were "
                f"first used with ('{key}').",
            )
        if stored.status is None:
            return error(
                409,
                "idempotency_error",
                f"Another request with the idempotency key '{key}' is in progress.",
                "idempotency_key_in_use",
            )
        line.replayed = True
        line.object_id = object_id_of(stored.body)
        response = reply(stored.status, stored.body, request_id, key)
        response.headers["Idempotent-Replayed"] = "true"
        response.headers["Original-Request"] = stored.request_id
        return response

    async def execute(
        self,
        request: web.Request,
        line: LoggedRequest,
        handler: Handler,
        stored: StoredAnswer | None = None,
    ) -> tuple[int, bytes]:
        """Have localstripe do it, with the planned misfortunes before, during and after."""
        await self.misfortune(request, line, "before")
        if self.take_fault(line, {"server_error"}, "before"):
            return 500, error_body("api_error", "injected: the endpoint was not reached")

        if self.take_fault(line, {"server_error"}, "during"):
            status, body = 500, error_body("api_error", "injected: failed without an effect")
        else:
            status, body = await call(request, handler)
            line.object_id = object_id_of(body)
        line.executed = status not in NEVER_EXECUTED
        if line.executed and self.take_fault(line, {"server_error"}, "after"):
            status, body = 500, error_body("api_error", "injected: failed after the effect")

        if stored is not None and line.executed:
            stored.status, stored.body = status, body
        await self.misfortune(request, line, "after")
        return status, self.garbled(request, line, body)

    def garbled(self, request: web.Request, line: LoggedRequest, body: bytes) -> bytes:
        """The answer as it gets to the caller; what the key stores is whole."""
        fault = self.take_fault(line, {"garbage", "flood", "twice"}, "after")
        if fault is None:
            return body
        if fault.kind == "twice" and request.transport is not None:
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
            request.transport.write(head.encode() + body)
        elif fault.kind == "flood":
            return json.dumps({"id": "re_flood", "padding": "x" * TWO_MEGABYTES}).encode()
        elif fault.kind == "garbage":
            return b'{"id": "re_'
        return body

    async def misfortune(self, request: web.Request, line: LoggedRequest, stage: str) -> None:
        fault = self.take_fault(line, {"delay", "hold", "cut"}, stage)
        if fault is None:
            return
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        elif fault.kind == "hold":
            await self.released.wait()
        else:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionCutError

    # -- the control side -----------------------------------------------------------------------

    async def control(self, request: web.Request) -> web.Response:
        """GET refunds, requests, keys; POST faults, release, forget, reset."""
        match (request.method, request.path.removeprefix("/_control/")):
            case ("GET", "refunds"):
                return web.json_response(self.refunds(request.query.get("charge")))
            case ("GET", "requests"):
                return web.json_response([asdict(line) for line in self.log])
            case ("GET", "keys"):
                return web.json_response(sorted(key for _, key in self.answers))
            case ("POST", "faults"):
                try:
                    self.faults.append(Fault(**await request.json()))
                except (TypeError, ValueError) as problem:
                    return web.json_response({"error": str(problem)}, status=400)
            case ("POST", "release"):
                self.release()
            case ("POST", "forget"):  # as Stripe does with keys older than 24 hours
                self.answers.clear()
            case ("POST", "reset"):
                self.reset()
            case _:
                return web.json_response({"error": "no such control"}, status=404)
        return web.json_response({"done": True})


async def parameters_of(request: web.Request) -> dict[str, str]:
    if request.content_type == "application/json":
        return {"": await request.text()}
    body = await request.text() if request.method == "POST" else request.query_string
    return dict(sorted(parse_qsl(body, keep_blank_values=True)))


def api_key_of(request: web.Request) -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme == "Basic":
        return base64.b64decode(value).decode().partition(":")[0]
    return value


async def call(request: web.Request, handler: Handler) -> tuple[int, bytes]:
    """Localstripe's answer; a crash in it is a 500, as a crash of Stripe would be."""
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        return refusal.status, error_body("invalid_request_error", refusal.reason)
    except Exception as crash:  # noqa: BLE001 (whatever it was, the API answers)
        return 500, error_body("api_error", f"localstripe failed: {crash!r}")
    body = getattr(response, "body", b"")
    return response.status, body if isinstance(body, bytes) else b""


def object_id_of(body: bytes) -> str | None:
    try:
        found = json.loads(body)["id"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def reply(status: int, body: bytes, request_id: str, key: str | None = None) -> web.Response:
    headers = {"Request-Id": request_id}
    if key is not None:
        headers["Idempotency-Key"] = key
    if key is not None and status >= 500 and status not in NEVER_EXECUTED:
        headers["Stripe-Should-Retry"] = "false"  # a stored failure would only be replayed
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def error_body(kind: str, message: str, code: str | None = None) -> bytes:
    fault = {"type": kind, "message": message} | ({"code": code} if code else {})
    return json.dumps({"error": fault}).encode()


def error(status: int, kind: str, message: str, code: str | None = None) -> web.Response:
    return reply(status, error_body(kind, message, code), f"req_{secrets.token_hex(7)}")


def build_application(provider: Provider) -> web.Application:
    """Localstripe's application with ours in front of it."""

    @web.middleware
    async def in_front(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/_control/"):
            return await provider.control(request)
        try:
            return await provider.answer(request, handler)
        except ConnectionCutError:
            return web.Response()  # goes nowhere

    # localstripe pickles its store into /tmp on every write; several of ours may run at once.
    resources.Store.dump_to_disk = lambda _: None
    application: web.Application = server.app
    application.middlewares.insert(0, in_front)
    return application


async def serve(port: int) -> None:
    runner = web.AppRunner(build_application(Provider()), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    print(f"listening on 127.0.0.1:{runner.addresses[0][1]}", flush=True)
    try:
        await end_of_standard_input()
    finally:
        await runner.cleanup()


async def end_of_standard_input() -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0: any free one (the default)")
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
