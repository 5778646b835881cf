"""The Zendesk handlers against a Zendesk on loopback, as its documentation describes it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from client.test_handlers import a_delivery
from providers.deliveries import ACTION_ID, again, deliver, examples, perform, verdict
from providers.fake import Fake, Reply, Request
from synapsor_pg import Delivery, Outcome
from synapsor_pg.providers import zendesk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from client.workshop import Workshop

TOKEN = "zd-api-token-42"
BASIC = "Basic " + base64.b64encode(f"bot@example.com/token:{TOKEN}".encode()).decode()


class Zendesk(Fake):
    """Tickets, audits with custom metadata, and the keys of created tickets."""

    def __init__(self) -> None:
        super().__init__()
        self.tickets: dict[int, dict[str, Any]] = {}
        self.audits: dict[int, list[dict[str, Any]]] = {}
        self.keys: dict[str, tuple[bytes, Reply]] = {}
        self.page_size = 100

    def refusal(self, status: int, retry_after: int | None = None) -> Reply:
        reply = super().refusal(status, retry_after)
        words = "Number of allowed API requests per minute exceeded"
        reply.body = {"error": "TooManyRequests", "description": words}
        return reply

    def reply(self, request: Request) -> Reply:
        if request.headers.get("authorization") != BASIC:
            return Reply({"error": "Couldn't authenticate you"}, 401)
        parts = request.path.strip("/").split("/")
        assert parts[:3] == ["api", "v2", "tickets"]
        if request.method == "POST":
            return self.create(request)
        if len(parts) == 3:
            asked = request.query["external_id"]
            found = [each for each in self.tickets.values() if each["external_id"] == asked]
            return Reply({"tickets": found, "next_page": None, "count": len(found)})
        number = int(parts[3])
        if number not in self.tickets:
            return Reply({"error": "RecordNotFound", "description": "Not found"}, 404)
        if request.method == "PUT":
            return self.change(number, request)
        return self.list_audits(number, request)

    def create(self, request: Request) -> Reply:
        key = request.headers["idempotency-key"]
        if key in self.keys:
            body, reply = self.keys[key]
            if body != request.body:
                words = "The request parameters do not match"
                return Reply({"error": "IdempotentRequestError", "description": words}, 400)
            reply.headers["x-idempotency-lookup"] = "hit"
            return reply
        ticket = request.json["ticket"]
        if not ticket["comment"]["body"]:
            details = {"comment": [{"description": "Description: cannot be blank"}]}
            return Reply(
                {"error": "RecordInvalid", "description": "Record errors", "details": details}, 422
            )
        self.effects[key] += 1
        number = len(self.tickets) + 1
        self.tickets[number] = ticket | {"id": number, "status": "new"}
        self.audits[number] = [{"id": number * 100, "metadata": {"system": {}}}]
        reply = Reply({"ticket": self.tickets[number]}, 201, {"x-idempotency-lookup": "miss"})
        self.keys[key] = (request.body, reply)
        return reply

    def change(self, number: int, request: Request) -> Reply:
        change = request.json["ticket"]
        custom = change.pop("metadata", {})
        self.effects[custom["synapsor_action_id"]] += 1
        self.tickets[number] |= change
        audits = self.audits[number]
        audits.append({"id": number * 100 + len(audits), "metadata": {"custom": custom}})
        return Reply({"ticket": self.tickets[number], "audit": audits[-1]})

    def list_audits(self, number: int, request: Request) -> Reply:
        start = int(request.query.get("page[after]", "0"))
        audits = self.audits[number]
        after = start + self.page_size
        return Reply(
            {
                "audits": audits[start:after],
                "meta": {"has_more": after < len(audits)},
                # as another host: a page must not lead anywhere else
                "links": {"next": f"https://169.254.169.254{request.path}?page[after]={after}"},
            }
        )


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zendesk]:
    with Zendesk() as fake:
        monkeypatch.setenv("SYNAPSOR_ZENDESK_URL", fake.address)
        monkeypatch.setenv("SYNAPSOR_ZENDESK_EMAIL", "bot@example.com")
        monkeypatch.setenv("SYNAPSOR_ZENDESK_API_TOKEN", TOKEN)
        monkeypatch.setenv("SYNAPSOR_ZENDESK_TIMEOUT", "0.8")
        yield fake


TICKET = {
    "subject": "Printer",
    "body": "It burns",
    "requester_email": "ada@example.com",
    "priority": "high",
    "tags": ["fire"],
    "tenant_id": "acme",
}


def create(arguments: dict[str, Any] | None = None, **facts: Any) -> Outcome:
    return deliver("zendesk", "tickets.create", arguments or TICKET, **facts)


def comment(number: object = 1, **facts: Any) -> Outcome:
    arguments = {"ticket_id": number, "body": "On its way", "public": False}
    return deliver("zendesk", "tickets.comment", arguments, **facts)


def test_a_ticket_is_created(desk: Zendesk) -> None:
    outcome = create()

    assert (verdict(outcome), outcome.provider_request_id) == ("succeeded", "1")
    assert desk.requests[0].json == {
        "ticket": {
            "subject": "Printer",
            "priority": "high",
            "tags": ["fire"],
            "external_id": ACTION_ID,
            "comment": {"body": "It burns", "public": True},
            "requester": {"email": "ada@example.com", "name": "ada@example.com"},
        }
    }


def test_the_same_key_creates_once_and_another_request_is_for_a_person(desk: Zendesk) -> None:
    assert create().provider_request_id == create(**again()).provider_request_id
    assert len(desk.tickets) == 1

    other = create(TICKET | {"subject": "Other"})
    assert (verdict(other), other.error_code) == ("parked", "IdempotentRequestError")


def test_an_invalid_ticket_is_rejected_with_zendesks_words(desk: Zendesk) -> None:
    del desk
    outcome = create({"subject": "Empty"})

    assert (verdict(outcome), outcome.error_code) == ("rejected", "RecordInvalid")
    assert "cannot be blank" in str(outcome.error_message)


def test_a_conflict_is_no_word_on_the_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNAPSOR_ZENDESK_OAUTH_TOKEN", "oauth-token")
    with Fake(lambda _request: Reply({"error": "Conflict"}, 409)) as fake:
        monkeypatch.setenv("SYNAPSOR_ZENDESK_URL", fake.address)
        assert verdict(create()) == "unknown"
        assert fake.requests[0].headers["authorization"] == "Bearer oauth-token"


def test_a_ticket_is_changed_and_commented(desk: Zendesk) -> None:
    create()
    changed = deliver(
        "zendesk",
        "tickets.update",
        {"ticket_id": "1", "status": "solved"},
        action_id="act_update",
    )
    said = comment(action_id="act_comment")

    assert (verdict(changed), verdict(said)) == ("succeeded", "succeeded")
    assert desk.tickets[1]["status"] == "solved"
    assert desk.tickets[1]["comment"] == {"body": "On its way", "public": False}


@pytest.mark.parametrize("number", ["../users/1", "1/../2", "", None, True, 1.5, [1], "\u0661"])
def test_a_ticket_id_is_a_number(desk: Zendesk, number: object) -> None:
    outcome = comment(number)

    assert (verdict(outcome), outcome.error_code) == ("rejected", "invalid_id")
    assert not desk.requests


def test_a_lost_ticket_is_found(desk: Zendesk) -> None:
    def find(action_id: str) -> Outcome:
        return deliver("zendesk", "tickets.find", TICKET, action_id=action_id, purpose="reconcile")

    assert find(ACTION_ID).error_code == "not_found"
    desk.plan("cut_after")
    assert verdict(create()) == "unknown"
    assert find(ACTION_ID).provider_request_id == "1"
    assert verdict(find("act_other")) == "retryable"


def test_a_lost_comment_is_found_and_not_made_again(desk: Zendesk) -> None:
    create()
    desk.plan("cut_after", path="/api/v2/tickets/1")
    lost = comment(action_id="act_2")
    found = deliver(
        "zendesk", "tickets.changed", {"ticket_id": 1}, action_id="act_2", purpose="reconcile"
    )
    next_try = comment(action_id="act_2", **again())

    assert verdict(lost) == "unknown"
    assert (verdict(found), verdict(next_try)) == ("succeeded", "succeeded")
    assert desk.effects["act_2"] == 1
    desk.plan("hang")
    assert verdict(comment(action_id="act_3", **again())) == "unknown"
    assert desk.effects["act_3"] == 0


def test_audits_are_looked_through_page_by_page_at_our_own_host(desk: Zendesk) -> None:
    create()
    desk.page_size = 2
    for number in range(5):
        comment(action_id=f"act_{number}")

    where = {"ticket_id": 1}
    found = deliver("zendesk", "tickets.changed", where, action_id="act_4")
    other = deliver("zendesk", "tickets.changed", where, action_id="act_9")
    assert (verdict(found), verdict(other)) == ("succeeded", "retryable")


@pytest.mark.parametrize("operation", ["tickets.find", "tickets.changed"])
@pytest.mark.parametrize(
    "fault", ["hang", "cut_before", "error_before", "busy", "garbage", "flood", "redirect"]
)
def test_a_desk_that_cannot_be_asked_leaves_it_unknown(
    desk: Zendesk, operation: str, fault: str
) -> None:
    desk.plan(fault)

    assert verdict(deliver("zendesk", operation, {"ticket_id": 1})) == "unknown"


def test_no_credentials_are_said_before_the_beginning(
    desk: Zendesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EMAIL", "API_TOKEN", "URL"):
        with monkeypatch.context() as patch:
            patch.delenv(f"SYNAPSOR_ZENDESK_{name}")
            outcome = create()
        assert (verdict(outcome), outcome.error_code) == ("retryable", "configuration")
    assert not desk.requests


def test_the_request_is_the_same_on_every_try(desk: Zendesk) -> None:
    del desk
    digests: list[str | None] = []
    for attempt in (1, 2):
        claim = a_delivery(begun=False, attempt=attempt, arguments=TICKET).claim
        zendesk.create_ticket(
            Delivery(claim, lambda _delivery, digest: digests.append(digest), deadline=0.0)
        )
    assert digests[0] == digests[1] is not None


def test_the_documented_contracts_work_end_to_end(desk: Zendesk, workshop: Workshop) -> None:
    desk.plan("cut_after")
    desk.plan("error_before")
    opening, commenting = examples(zendesk)

    tickets = perform(
        workshop, opening, {"subject": "A", "body": "a"}, {"subject": "B", "body": "b"}
    )
    [said] = perform(workshop, commenting, {"ticket_id": 1, "body": "c"})

    assert [row["status"] for row in tickets] == ["succeeded"] * 2
    assert {each["external_id"] for each in desk.tickets.values()} == {
        row["action_id"] for row in tickets
    }
    assert said["status"] == "succeeded"
    assert desk.effects[said["action_id"]] == 1
    desk.plan("cut_after")
    [lost] = perform(workshop, commenting, {"ticket_id": 1, "body": "d"})
    assert (lost["status"], desk.effects[lost["action_id"]]) == ("unknown", 1)
    kept = workshop.read("select * from synapsor.synapsor_external_action_events")
    assert TOKEN not in json.dumps(kept, default=str)
