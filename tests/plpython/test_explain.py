from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies
from synapsor_plpython import explain

ACTION = "act_01JDQ4ZK3MTN5XV8Q2B7C9D0EF"
RUN = "run_01JDQ4ZK3MTN5XV8Q2B7C9D0EF"


def at(minute: int, second: float = 0) -> str:
    return f"2026-11-22T11:{minute:02d}:{second:09.6f}+00:00"


def a_step(key: str = "look", parent: str | None = None, **changed: Any) -> dict[str, Any]:
    return {
        "step_key": key,
        "parent_step_key": parent,
        "relation": "child" if parent else "root",
        "kind": "capability",
        "name": key,
        "state": "finished",
        "status": "completed",
        "branch_status": None,
        "input": None,
        "exit_data": None,
        "message": None,
        "risk": None,
        "evidence": None,
        "action_id": None,
        "input_tokens": None,
        "output_tokens": None,
        "started_at": at(0),
        "finished_at": at(0, 1.25),
    } | changed


def an_action_step(status: str, **changed: Any) -> dict[str, Any]:
    over = status not in {"proposed", "queued", "claimed", "unknown"}
    return a_step(
        "refund",
        kind="external_action",
        name="billing.issue_refund",
        state="finished" if over else "running",
        status=status,
        action_id=ACTION,
        finished_at=at(3, 12) if over else None,
        **changed,
    )


def external(**changed: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "provider": "stripe",
        "account": "default",
        "operation": "refunds.create",
        "queue": "billing",
        "approvals_required": 1,
        "approvals_given": 0,
        "scheduled_at": None,
        "attempts": 0,
        "max_attempts": 3,
        "available_at": at(0),
        "worker_principal": None,
        "worker_label": None,
        "lease_expires_at": None,
        "delivery_started_at": None,
        "provider_request_id": None,
        "error_code": None,
        "error_message": None,
        "queued_at": at(1),
    } | changed


def a_run(*steps: dict[str, Any], **changed: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "now": at(12),
        "plain": False,
        "run": {
            "run_id": RUN,
            "tenant_id": "acme",
            "workflow": "support.refund_flow",
            "plan": None,
            "version": "2026-11",
            "state": "open",
            "principal": "agent-7",
            "input": None,
            "output": None,
            "started_at": at(0),
            "finished_at": None,
        },
        "steps": list(steps),
        "external": {},
        "pending": {},
        "approvals": [],
        "last": {},
        "context": {},
        "refusals": 0,
        "refused": [],
    }
    return document | changed


def drawn(document: dict[str, Any]) -> str:
    text = json.loads(explain.explain_json(json.dumps(document)))["text"]
    assert isinstance(text, str)
    return text


def remarks(document: dict[str, Any], key: str = "refund") -> dict[str, str]:
    why = json.loads(explain.explain_json(json.dumps(document)))["why"][key]
    return {line["label"]: line["text"] for line in why}


def test_a_run_is_a_tree_a_person_understands() -> None:
    document = a_run(
        a_step("read_invoice", input='{"invoice": 4711}', input_tokens=120, output_tokens=30),
        an_action_step(
            "succeeded", input='{"charge_id": "ch_1"}', exit_data='{"status": "succeeded"}'
        ),
        a_step("tell", "refund", kind="interrupt", state="waiting", status="waiting",
               message="who tells the customer?", finished_at=None),
        a_step("audit"),
        external={
            ACTION: external(
                approvals_given=1,
                attempts=2,
                worker_principal="fleet",
                worker_label="worker-1",
                provider_request_id="re_123",
            )
        },
        approvals=[{
            "action_id": ACTION,
            "reviewer": "rita",
            "verdict": "approved",
            "note": "looks right",
            "decided_at": at(2, 3),
        }],
    )  # fmt: skip
    assert drawn(document) == (
        f"run {RUN} · support.refund_flow 2026-11 · open, 12 min so far\n"
        "│ started   2026-11-22 11:00:00 UTC by agent-7 of acme\n"
        "│ steps     3 of 4 finished; waiting: tell\n"
        "├─ ✓ read_invoice · capability · completed after 1.2 s\n"
        '│    input     {"invoice": 4711}\n'
        "│    tokens    120 in, 30 out\n"
        "├─ ✓ refund · billing.issue_refund v1 · succeeded after 3 min 12 s\n"
        f"│  │ action    {ACTION}\n"
        '│  │ asked     {"charge_id": "ch_1"}\n'
        '│  │ approved  by rita after 2 min 3 s: "looks right"\n'
        "│  │ worker    fleet (worker-1), attempt 2 of 3, stripe refunds.create\n"
        "│  │ provider  re_123\n"
        '│  │ answer    {"status": "succeeded"}\n'
        "│  └─ … tell · interrupt · waiting, 12 min so far\n"
        '│       reason    "who tells the customer?"\n'
        "│       waiting   for an answer from outside\n"
        "│       next      record_agent_step with this step_key and the answer finishes it\n"
        "└─ ✓ audit · capability · completed after 1.2 s"
    )


def test_a_run_without_steps_is_drawn() -> None:
    assert drawn(a_run()).splitlines()[1].startswith("  started")


def test_a_proposal_says_whose_approval_it_waits_for_and_until_when() -> None:
    pending = {
        "required_role": "billing_reviewer",
        "reason": "above the limit",
        "risk": "high",
        "expires_at": at(42),
    }
    document = a_run(
        an_action_step("proposed"),
        external={ACTION: external(approvals_required=2, approvals_given=1)},
        pending={ACTION: pending},
    )
    assert remarks(document) == {
        "action": ACTION,
        "waiting": "for 1 of 2 approvals by role billing_reviewer, 30 min left",
        "because": "above the limit",
        "risk": "high",
        "next": "approve_external_action or reject_external_action",
    }
    pending["expires_at"] = at(11)
    assert remarks(document)["waiting"].endswith("; the time for it is over")
    assert remarks(document)["next"] == "expire_approvals ends it"


@pytest.mark.parametrize(
    ("context", "changed", "label", "said"),
    [
        ({}, {}, "waiting", "for a worker on queue billing, due for 12 min"),
        ({}, {}, "note", "no worker has ever reported on queue billing"),
        ({"worker_seen_at": at(7)}, {}, "note", "the last worker of queue billing reported 5 min"),
        ({"waits_behind": "act_1"}, {}, "waiting", "behind act_1, which has the same ordering key"),
        ({}, {"available_at": at(17)}, "waiting", "for its time, due in 5 min"),
        (
            {},
            {"available_at": at(12, 2), "attempts": 1},
            "waiting",
            "for the next attempt, due in 2 s",
        ),
        (
            {},
            {"attempts": 1, "error_code": "rate_limited", "error_message": "slow down"},
            "failed",
            "attempt 1: rate_limited: slow down",
        ),
        (
            {"suspended_kind": "queue", "suspended_name": "billing", "suspended_reason": "audit"},
            {},
            "suspended",
            'queue billing: "audit"',
        ),
        (
            {"suspended_kind": "all", "suspended_name": "", "suspended_reason": "audit"},
            {},
            "suspended",
            'delivery of everything: "audit"',
        ),
    ],
)
def test_a_queued_action_says_why_it_is_not_running(
    context: dict[str, Any], changed: dict[str, Any], label: str, said: str
) -> None:
    document = a_run(
        an_action_step("queued"),
        external={ACTION: external(**changed)},
        context={ACTION: context},
    )
    assert remarks(document)[label].startswith(said)


def test_a_worker_that_reports_is_not_worth_a_word() -> None:
    document = a_run(
        an_action_step("queued"),
        external={ACTION: external()},
        context={ACTION: {"worker_seen_at": at(11, 58)}},
    )
    assert "note" not in remarks(document)


@pytest.mark.parametrize(
    ("changed", "said", "follows"),
    [
        ({}, "for the worker to send it; the claim ends in 30 s", "it is offered again"),
        (
            {"delivery_started_at": at(11, 58)},
            "for the provider's answer, sent 2 s ago; the claim ends in 30 s",
            "else it becomes unknown",
        ),
        ({"lease_expires_at": at(11)}, "for the worker to send it; the claim has run out", ""),
    ],
)
def test_a_claimed_action_says_who_has_it_and_how_long(
    changed: dict[str, Any], said: str, follows: str
) -> None:
    claim = {"worker_principal": "fleet", "worker_label": "fleet", "lease_expires_at": at(12, 30)}
    document = a_run(an_action_step("claimed"), external={ACTION: external(**claim | changed)})
    assert remarks(document)["waiting"] == said
    assert remarks(document)["next"].endswith(follows)
    assert remarks(document)["worker"] == "fleet, stripe refunds.create"


@pytest.mark.parametrize(
    ("status", "changed", "label", "said"),
    [
        (
            "unknown",
            {"error_code": "timeout"},
            "unknown",
            "the provider may have done it, nobody knows: timeout",
        ),
        ("failed", {"error_code": "declined", "error_message": "no"}, "failed", "declined: no"),
        ("failed", {}, "next", "known not done: retry_external_action sends it again"),
        ("expired", {}, "expired", "nobody approved it in time"),
        ("expired", {"approvals_given": 1}, "expired", "not sent in time"),
        ("cancelled", {}, "cancelled", 'by otto: "too late"'),
        ("purged", {}, "purged", "the action's rows were removed after it was over"),
    ],
)
def test_an_end_says_what_happened(
    status: str, changed: dict[str, Any], label: str, said: str
) -> None:
    document = a_run(
        an_action_step(status),
        external={ACTION: external(**changed)},
        last={ACTION: {"actor": "otto", "note": "too late"}},
    )
    assert remarks(document)[label] == said


def test_a_refused_attempt_is_shown_with_its_violations() -> None:
    document = a_run(
        a_step(),
        refusals=21,
        refused=[{
            "action_id": ACTION,
            "name": "billing.issue_refund",
            "step_key": "refund",
            "status": "validation_failed",
            "version": 3,
            "error_code": "SY003",
            "error_message": "one violation",
            "violations": "amount_cents minimum",
            "started_at": at(1),
        }],
    )  # fmt: skip
    text = drawn(document)
    assert "│ refused   21 attempts, no step\n" in text
    assert text.endswith(
        "└─ ✗ refund · billing.issue_refund v3 · validation failed\n"
        f"     action    {ACTION}\n"
        "     refused   SY003: one violation\n"
        "               amount_cents minimum"
    )


def test_a_step_left_open_by_the_end_of_its_run_says_so() -> None:
    document = a_run(a_step(state="running", status="running", finished_at=None))
    assert remarks(document, "look") == {}
    document["run"] |= {"state": "completed", "finished_at": at(5)}
    assert remarks(document, "look") == {"left": "open when the run ended"}


def test_what_is_over_reads_the_same_at_any_time() -> None:
    document = a_run(
        an_action_step("succeeded"), external={ACTION: external(worker_principal="fleet")}
    )
    document["run"] |= {"state": "completed", "finished_at": at(5)}
    assert drawn(document) == drawn(document | {"now": at(59)})


def test_control_characters_neither_move_the_cursor_nor_forge_a_line() -> None:
    text = drawn(a_run(a_step("a", message="x\n└─ ✓ b\x1b[2J\u202e\U000e0041")))
    assert "x\\n└─ ✓ b\\u001b[2J\\u202e\\ue0041" in text
    assert len(text.splitlines()) == 5


def test_a_plain_picture_is_ascii() -> None:
    text = drawn(a_run(a_step("a"), a_step("b", "a", finished_at=None), plain=True))
    assert text.isascii()
    assert "`- + a - capability - completed" in text


def test_a_step_whose_parent_is_unknown_is_a_root() -> None:
    assert "└─ ✓ b " in drawn(a_run(a_step("b", "gone")))


def test_depth_is_told_by_a_number_and_never_too_much() -> None:
    chain = [a_step("1")] + [a_step(str(n), str(n - 1)) for n in range(2, 3001)]
    lines = drawn(a_run(*chain)).splitlines()
    assert lines[-1].startswith("3000 levels down … ")
    assert max(map(len, lines)) <= explain.WIDTH


@given(strategies.lists(strategies.text(max_size=250), min_size=4, max_size=4))
def test_no_line_is_wider_than_a_screen(words: list[str]) -> None:
    key, name, message, payload = words
    document = a_run(
        a_step("a" + key, name=name, message=message, input=payload, risk="high"),
        a_step("b", "a" + key, kind="handoff", name=name, exit_data=payload),
    )
    for line in drawn(document).split("\n"):
        assert explain._columns(line) <= explain.WIDTH  # noqa: SLF001
        assert line.isprintable()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, ""),
        (0.0004, ""),
        (0.34, "340 ms"),
        (1.26, "1.2 s"),
        (42.9, "42 s"),
        (60, "1 min"),
        (192, "3 min 12 s"),
        (7500, "2 h 5 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations_are_short(seconds: float, said: str) -> None:
    assert explain._duration(seconds) == said  # noqa: SLF001


def test_an_instant_python_does_not_have_is_left_out() -> None:
    document = a_run(an_action_step("queued"), external={ACTION: external(available_at="infinity")})
    assert remarks(document)["waiting"] == "for a worker on queue billing"


def test_an_action_tells_its_story() -> None:
    document = a_run(
        external={ACTION: external(worker_principal="fleet", attempts=1)},
        action={
            "action_id": ACTION,
            "tenant_id": "acme",
            "action": "billing.issue_refund",
            "version": 1,
            "kind": "external",
            "actor": "agent-7",
            "status": "succeeded",
            "input": '{"charge_id": "ch_1"}',
            "exit_data": None,
            "run_id": RUN,
            "step_key": "refund",
            "causation_id": None,
            "started_at": at(0),
            "finished_at": at(3),
        },
        story=[
            {
                "event_type": "Queued",
                "status": "queued",
                "actor": "rita",
                "worker_label": None,
                "attempt": None,
                "provider_request_id": None,
                "error_code": None,
                "note": "fine",
                "occurred_at": at(0),
            },
            {
                "event_type": "Confirmed",
                "status": "succeeded",
                "actor": "fleet",
                "worker_label": "w1",
                "attempt": 1,
                "provider_request_id": "re_1",
                "error_code": None,
                "note": None,
                "occurred_at": at(3),
            },
        ],
    )
    del document["run"]
    assert drawn(document) == (
        f"action {ACTION} · billing.issue_refund v1 · succeeded after 3 min\n"
        "  proposed  2026-11-22 11:00:00 UTC by agent-7 of acme\n"
        f"  run       {RUN} step refund\n"
        '  asked     {"charge_id": "ch_1"}\n'
        "  worker    fleet, attempt 1 of 3, stripe refunds.create\n"
        "  story\n"
        '    at once   Queued → queued, by rita: "fine"\n'
        "    3 min     Confirmed → succeeded, by fleet, attempt 1, w1, re_1"
    )
