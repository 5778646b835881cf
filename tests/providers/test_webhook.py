"""Signed webhooks, received by a service that verifies them as the documentation shows."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from client.test_handlers import a_delivery
from providers.deliveries import deliver, examples, perform, verdict
from providers.fake import Fake, Reply, Request
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from synapsor_pg import Delivery
from synapsor_pg.providers import webhook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from client.workshop import Workshop

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEXT_SECRET = "whsec_aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8="


def receiver_of_the_documentation() -> dict[str, Any]:
    """What the module's documentation tells a receiver to write."""
    assert webhook.__doc__ is not None
    found = re.search(r"\n(    from standardwebhooks.*?)\n\n2xx", webhook.__doc__, re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {"SECRET": SECRET}
    program = re.sub("^    ", "", found[1], flags=re.MULTILINE)
    exec(compile(program, "webhook.py", "exec"), names)
    return names


class Receiver(Fake):
    """Verifies what it gets, and acts once per webhook-id."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.messages: list[tuple[str, Any]] = []
        self._names = receiver_of_the_documentation()
        self._names["act_on"] = lambda kind, data: self.messages.append((kind, data))

    def reply(self, request: Request) -> Reply:
        before = len(self.messages)
        try:
            status = self._names["receive"](request.headers, request.body.decode(), self.seen)
        except WebhookVerificationError:
            return Reply({"error": "not signed"}, 401)
        self.effects[request.headers["webhook-id"]] += len(self.messages) - before
        return Reply(b"", status)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver() as fake:
        monkeypatch.setenv("SYNAPSOR_WEBHOOK_URL", f"{fake.address}/hook?token=t0psecret")
        monkeypatch.setenv("SYNAPSOR_WEBHOOK_SECRET", SECRET)
        monkeypatch.setenv("SYNAPSOR_WEBHOOK_TIMEOUT", "0.8")
        yield fake


def send(**facts: Any) -> Any:
    return deliver("webhook", "messages.send", {"order_id": "o-1", "text": "é\n\u2028"}, **facts)


def test_a_message_is_signed_and_understood(receiver: Receiver) -> None:
    outcome = send()

    assert verdict(outcome) == "succeeded"
    assert receiver.messages == [("crm.update_contact", {"order_id": "o-1", "text": "é\n\u2028"})]
    [request] = receiver.requests
    assert request.json["timestamp"].startswith("2025-11-28T")
    assert outcome.provider_request_id == request.headers["webhook-id"]
    assert re.fullmatch(r"msg_[0-9a-f]{48}", request.headers["webhook-id"])


def test_a_message_that_somebody_changed_is_not_accepted(receiver: Receiver) -> None:
    send()
    [request] = receiver.requests

    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body + b" ", request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body, request.headers | {"webhook-id": "msg_other"})


def test_a_wrong_secret_is_refused_and_shown_nowhere(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNAPSOR_WEBHOOK_SECRET", NEXT_SECRET)
    outcome = send()

    assert (verdict(outcome), outcome.error_code) == ("retryable", "http_401")
    assert not receiver.messages
    for value in ("whsec_not*base64!!", "whsec_"):
        monkeypatch.setenv("SYNAPSOR_WEBHOOK_SECRET", value)
        outcome = send()
        assert (verdict(outcome), outcome.error_code) == ("retryable", "configuration")
        assert "not*base64" not in repr(outcome)


def test_while_a_secret_is_rotated_both_sign(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNAPSOR_WEBHOOK_SECRET", f"{NEXT_SECRET} {SECRET}")

    assert verdict(send()) == "succeeded"
    [request] = receiver.requests
    assert Webhook(NEXT_SECRET).verify(request.body, request.headers)["type"]


def test_a_message_is_the_same_on_every_try(receiver: Receiver) -> None:
    digests: list[str | None] = []
    for attempt in (1, 2):
        claim = a_delivery(begun=False, attempt=attempt, arguments={"b": 1, "a": [None]}).claim
        delivery = Delivery(claim, lambda _delivery, digest: digests.append(digest), deadline=0.0)
        webhook.send_message(delivery)

    assert digests[0] == digests[1] is not None
    assert len({(each.body, each.headers["webhook-id"]) for each in receiver.requests}) == 1
    assert len(receiver.messages) == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [(410, "rejected"), (404, "rejected"), (400, "rejected"), (500, "unknown"), (302, "parked")],
)
def test_what_a_receiver_answers(
    monkeypatch: pytest.MonkeyPatch, status: int, expected: str
) -> None:
    monkeypatch.setenv("SYNAPSOR_WEBHOOK_SECRET", SECRET)
    with Fake(lambda _request: Reply({}, status)) as fake:
        monkeypatch.setenv("SYNAPSOR_WEBHOOK_URL", fake.address)
        outcome = send()

    assert (verdict(outcome), outcome.error_code) == (expected, f"http_{status}")


def test_the_address_of_a_receiver_is_a_secret(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.plan("cut_after")

    assert "t0psecret" not in repr(send())
    with Fake(
        lambda request: Reply({"you": f"http://{request.headers['host']}/t0psecret"})
    ) as echo:
        monkeypatch.setenv("SYNAPSOR_WEBHOOK_URL", f"{echo.address}/t0psecret")
        outcome = send()
    assert outcome.response["body"] == {"you": "[secret]"}


@pytest.mark.parametrize("url", ["http://localhost:{}/", "http://[::ffff:127.0.0.1]:1/x"])
def test_a_name_that_leads_inside_is_refused_unless_allowed(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("SYNAPSOR_WEBHOOK_URL", url.format(receiver.port))
    if "localhost" in url:
        assert verdict(send()) == "rejected"
        assert receiver.connections == 0
        monkeypatch.setenv("SYNAPSOR_WEBHOOK_PRIVATE_NETWORKS", "127.0.0.0/8 ::1/128")
        assert verdict(send()) == "succeeded"
    else:
        assert verdict(send()) == "retryable"  # the operator wrote the address itself


def test_the_documented_contract_works_end_to_end(receiver: Receiver, workshop: Workshop) -> None:
    receiver.plan("cut_after")
    receiver.plan("closed")
    receiver.retry_after = 0
    [contract] = examples(webhook)

    rows = perform(workshop, contract, {"order_id": "o-1"}, {"order_id": "o-2"})

    assert [row["status"] for row in rows] == ["succeeded"] * 2
    kinds = Counter((kind, data["order_id"]) for kind, data in receiver.messages)
    assert kinds == {("orders.shipped", "o-1"): 1, ("orders.shipped", "o-2"): 1}
    assert {data["tenant_id"] for _kind, data in receiver.messages} == {"acme"}
