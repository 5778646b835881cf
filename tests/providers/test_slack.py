"""The Slack handlers against a Slack on loopback, through the official library."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from client.test_handlers import a_delivery
from providers.deliveries import ACTION_ID, again, deliver, examples, now_id, perform, verdict
from providers.fake import Fake, Reply, Request
from synapsor_pg import Delivery, Outcome
from synapsor_pg.providers import slack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from client.workshop import Workshop

TOKEN = "xoxb-1234-abcdefgh"


class Slack(Fake):
    """One workspace with one channel, its messages and files."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []
        self.files: dict[str, dict[str, Any]] = {}
        self.shared: list[dict[str, Any]] = []
        self.says: dict[str, str] = {}
        self.upload_to = self.address
        self.shows_metadata = True
        self.page_size = 200

    def refusal(self, status: int, retry_after: int | None = None) -> Reply:
        reply = super().refusal(status, retry_after)
        reply.body = {"ok": False, "error": "ratelimited" if status == 429 else "fatal_error"}
        return reply

    def reply(self, request: Request) -> Reply:
        if request.path.startswith("/upload/"):
            file = self.files[request.path.removeprefix("/upload/")]
            assert len(request.body) == int(file["length"])
            file["content"] = request.body
            return Reply(b"OK - 5", headers={"Content-Type": "text/plain"})
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Reply({"ok": False, "error": "invalid_auth"})
        method = request.path.removeprefix("/api/")
        if method in self.says:
            return Reply({"ok": False, "error": self.says[method]})
        if request.headers.get("content-type", "").startswith("application/json"):
            given = request.json
        else:
            given = request.form | request.query
        return Reply({"ok": True, **getattr(self, method.replace(".", "_"))(given)})

    def chat_postMessage(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if given["channel"] != "C1":
            return {"ok": False, "error": "channel_not_found"}
        message = given | {"ts": f"{time.time():.6f}"}
        self.messages.append(message)
        self.effects[given["metadata"]["event_payload"]["action_id"]] += 1
        return {"channel": "C1", "ts": message["ts"], "message": message}

    def conversations_history(self, given: dict[str, Any]) -> dict[str, Any]:
        start = int(given.get("cursor") or 0)
        found = [
            {key: value for key, value in each.items() if self.shows_metadata or key != "metadata"}
            for each in self.messages
            if float(each["ts"]) >= float(given["oldest"])
        ]
        after = start + self.page_size
        return {
            "messages": found[start:after],
            "response_metadata": {"next_cursor": str(after) if after < len(found) else ""},
        }

    def conversations_replies(self, given: dict[str, Any]) -> dict[str, Any]:
        found = [each for each in self.messages if each.get("thread_ts") == given["ts"]]
        return {"messages": found, "response_metadata": {}}

    def files_getUploadURLExternal(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        file_id = f"F{len(self.files) + 1}"
        self.files[file_id] = given
        return {"file_id": file_id, "upload_url": f"{self.upload_to}/upload/{file_id}"}

    def files_completeUploadExternal(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        [file] = json.loads(given["files"])
        name = self.files[file["id"]]["filename"]
        self.shared.append(file | {"channel": given["channel_id"], "name": name})
        return {"files": [{"id": file["id"], "title": file["title"]}]}

    def files_list(self, given: dict[str, Any]) -> dict[str, Any]:
        found = [each for each in self.shared if each["channel"] == given["channel"]]
        return {"files": found, "paging": {"pages": 1}}


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slack]:
    with Slack() as fake:
        monkeypatch.setenv("SYNAPSOR_SLACK_BOT_TOKEN", TOKEN)
        monkeypatch.setenv("SYNAPSOR_SLACK_API_BASE", f"{fake.address}/api")
        monkeypatch.setenv("SYNAPSOR_SLACK_UPLOAD_ORIGIN", fake.address)
        monkeypatch.setenv("SYNAPSOR_SLACK_TIMEOUT", "0.8")
        yield fake


def post(text: str = "Hello", *, channel: str = "C1", **facts: Any) -> Outcome:
    arguments = {"channel": channel, "text": text, "tenant_id": "acme"}
    return deliver("slack", "chat.postMessage", arguments, **facts)


def upload(**facts: Any) -> Outcome:
    arguments = {"channel": "C1", "filename": "a.txt", "content": "héllo", "initial_comment": "see"}
    return deliver("slack", "files.upload", arguments, **facts)


def test_a_message_is_posted_with_its_actions_id(workspace: Slack) -> None:
    outcome = post()

    [message] = workspace.messages
    assert (verdict(outcome), outcome.provider_request_id) == ("succeeded", f"C1:{message['ts']}")
    assert message["text"] == "Hello"
    assert "tenant_id" not in message
    assert message["metadata"]["event_payload"] == {"action_id": ACTION_ID}


@pytest.mark.parametrize(
    ("said", "first", "later"),
    [
        ("channel_not_found", "rejected", "retryable"),
        ("not_in_channel", "rejected", "retryable"),
        ("invalid_auth", "retryable", "retryable"),
        ("ratelimited", "retryable", "retryable"),
        ("internal_error", "unknown", "unknown"),
        ("fatal_error", "unknown", "unknown"),
        ("service_unavailable", "unknown", "unknown"),
        ("something_new", "unknown", "unknown"),
    ],
)
def test_what_slack_says_is_classified(workspace: Slack, said: str, first: str, later: str) -> None:
    workspace.says["chat.postMessage"] = said

    outcome = post()
    assert (verdict(outcome), outcome.error_code) == (first, said)
    assert verdict(post(**again())) == later


def test_a_rate_limit_brings_slacks_wish(workspace: Slack) -> None:
    workspace.plan("busy")

    outcome = post()
    assert (verdict(outcome), outcome.error_code) == ("retryable", "ratelimited")
    assert outcome.retry_after is not None
    assert outcome.retry_after.total_seconds() == 7


def find(action_id: str = ACTION_ID, **arguments: Any) -> Outcome:
    where = {"channel": "C1", "text": "Hello"} | arguments
    return deliver("slack", "chat.find", where, action_id=action_id, purpose="reconcile")


def test_a_lost_message_is_found_and_not_posted_again(workspace: Slack) -> None:
    assert find().error_code == "not_found"
    workspace.plan("cut_after")
    assert verdict(post()) == "unknown"
    ts = workspace.messages[0]["ts"]
    assert (verdict(find()), find().provider_request_id) == ("succeeded", f"C1:{ts}")
    assert verdict(post(**again())) == "succeeded"
    assert workspace.effects[ACTION_ID] == 1
    assert verdict(find(now_id(7))) == "retryable"


def test_a_message_is_looked_for_on_every_page_and_in_its_thread(workspace: Slack) -> None:
    workspace.page_size = 2
    for number in range(5):
        post(f"Message {number}", action_id=f"act_{number}")
    post(action_id=ACTION_ID)
    assert verdict(find()) == "succeeded"

    workspace.messages[-1]["thread_ts"] = "1.5"
    assert verdict(find(thread_ts="1.5")) == "succeeded"
    assert verdict(find(thread_ts="2.5")) == "retryable"


def test_a_message_that_may_be_ours_is_left_to_a_person(workspace: Slack) -> None:
    """A workspace whose messages come without their metadata."""
    post("a < b")
    workspace.shows_metadata = False

    outcome = find(text="a &lt; b")
    assert (verdict(outcome), outcome.error_code) == ("parked", "needs_a_person")


@pytest.mark.parametrize("operation", ["chat.find", "files.find"])
@pytest.mark.parametrize(
    "fault", ["hang", "cut_before", "error_before", "busy", "garbage", "flood", "redirect"]
)
def test_a_slack_that_cannot_be_asked_leaves_it_unknown(
    workspace: Slack, operation: str, fault: str
) -> None:
    workspace.plan(fault)
    where = {"channel": "C1", "text": "x", "filename": "a.txt"}

    assert verdict(deliver("slack", operation, where)) == "unknown"


def test_a_missing_scope_is_no_answer_to_the_question(workspace: Slack) -> None:
    workspace.says["conversations.history"] = "missing_scope"

    assert verdict(find()) == "unknown"
    assert verdict(post(**again())) == "unknown"
    assert not workspace.messages


def test_a_file_is_shared(workspace: Slack) -> None:
    outcome = upload()

    assert (verdict(outcome), outcome.provider_request_id) == ("succeeded", "F1")
    assert workspace.files["F1"]["content"] == "héllo".encode()
    assert workspace.shared[0]["channel"] == "C1"


@pytest.mark.parametrize("path", ["/api/files.getUploadURLExternal", "/upload/"])
@pytest.mark.parametrize(
    "fault", ["hang", "cut_before", "cut_after", "error_after", "busy", "closed"]
)
def test_a_file_that_was_not_completed_is_known_not_done(
    workspace: Slack, path: str, fault: str
) -> None:
    workspace.plan(fault, path=path)

    outcome = upload()
    assert verdict(outcome) == "retryable"
    assert not workspace.shared


@pytest.mark.parametrize("fault", ["hang", "cut_after", "error_after", "garbage", "flood"])
def test_a_file_that_may_be_completed_is_unknown(workspace: Slack, fault: str) -> None:
    workspace.plan(fault, path="/api/files.complete")

    assert verdict(upload()) == "unknown"
    assert verdict(upload(**again())) == "parked"
    assert len(workspace.shared) == 1


def test_a_file_is_put_nowhere_but_at_slack(workspace: Slack) -> None:
    with Fake() as trap:
        workspace.upload_to = trap.address
        outcome = upload()

    assert (verdict(outcome), outcome.error_code) == ("rejected", "forbidden_address")
    assert trap.connections == 0


def test_a_file_has_a_name_and_content(workspace: Slack) -> None:
    for wrong in (
        {"channel": "C1", "content": "x"},
        {"filename": "a", "content": "x"},
        {"channel": "C1", "filename": "a"},
        {"channel": "C1", "filename": "a", "content_base64": "no base64!"},
        {"channel": "C1", "filename": "a", "content_base64": 7},
    ):
        outcome = deliver("slack", "files.upload", wrong)
        assert (verdict(outcome), outcome.error_code) == ("rejected", "invalid_request")
    assert not workspace.requests


def test_the_token_is_nowhere(workspace: Slack, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    outcomes = [post()]
    for fault in ("garbage", "flood", "error_after", "cut_after"):
        workspace.plan(fault)
        outcomes.append(post())

    assert TOKEN not in repr(outcomes) + caplog.text


def test_the_request_is_the_same_on_every_try(workspace: Slack) -> None:
    digests: list[str | None] = []
    arguments = {"channel": "C1", "filename": "a.txt", "content": "x", "text": "y"}
    for function in (slack.post_message, slack.upload_file):
        for attempt in (1, 2):
            claim = a_delivery(begun=False, attempt=attempt, arguments=arguments).claim
            function(
                Delivery(claim, lambda _delivery, digest: digests.append(digest), deadline=0.0)
            )
    assert digests[0] == digests[1] != digests[2] == digests[3]
    assert len(workspace.messages) == 2


def test_the_documented_contracts_work_end_to_end(workspace: Slack, workshop: Workshop) -> None:
    notify, share = examples(slack)
    workspace.plan("cut_before")

    lost, posted = perform(
        workshop, notify, {"channel": "C1", "text": "a"}, {"channel": "C1", "text": "b"}
    )
    [shared] = perform(workshop, share, {"channel": "C1", "filename": "a.txt", "content": "x"})

    assert sorted([lost["status"], posted["status"]]) == ["succeeded", "unknown"]
    assert len(workspace.messages) == 1
    assert (shared["status"], shared["provider_request_id"]) == ("succeeded", "F1")
