from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies
from synapsor_plpython import drawing, explain

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
            "status": None,
            "is_dry_run": None,
            "reason": None,
            "error": None,
            "principal": "agent-7",
            "input": None,
            "output": None,
            "started_at": at(0),
            "finished_at": None,
        },
        "steps": list(steps),
        "external": {},
        "others": {},
        "below": {},
        "pending": {},
        "policies": [],
        "approvals": [],
        "domain_events": [],
        "history": [],
        "context": {},
        "refusals": 0,
        "refused": [],
        "idle": [],
        "edges": [],
        "sagas": {},
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
            "voided_at": None,
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


def test_a_step_whose_risk_demands_it_says_whose_approval_it_waits_for() -> None:
    held = a_step(
        state="waiting",
        status="waiting_approval",
        finished_at=None,
        risk="high",
        step_id="stp_1",
        waits_for="approval",
        approval_role="support_lead",
    )
    text = drawn(a_run(held, edges=[]))
    assert "waiting   for an approval by role support_lead\n" in text
    assert "next      approve_external_action or reject_external_action of stp_1" in text
    recorded = drawn(a_run(held | {"approval_role": None}, edges=[]))
    assert "waiting   for an approval that is given elsewhere" in recorded


def test_a_proposal_says_whose_approval_it_waits_for_and_until_when() -> None:
    pending = {
        "required_role": "billing_reviewer",
        "approvals_required": 2,
        "approvals_given": 1,
        "reason": "above the limit",
        "risk": "high",
        "expires_at": at(42),
    }
    document = a_run(
        an_action_step("proposed"),
        external={ACTION: external()},
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


def test_an_attempt_given_back_with_a_reason_did_not_fail() -> None:
    changed = {"attempts": 1, "error_code": "ReadTimeout", "error_message": "no answer"}
    document = a_run(
        an_action_step("queued"),
        external={ACTION: external(**changed)},
        history=[an_event("Claimed", 2), an_event("Released", 3, error_code="ReadTimeout")],
    )
    told = remarks(document)
    assert told["unknown"] == "how attempt 1 ended: ReadTimeout: no answer"
    assert "(ReadTimeout)" in told["lost"]
    assert "failed" not in told


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ({ACTION: {"is_reconcilable": True}}, "a worker reconciles it, or a person"),
        (
            {ACTION: {"is_reconcilable": False}},
            f"ask the provider, then settle_external_action('{ACTION}', 'succeeded' | 'failed'",
        ),
        ({}, f"explain_action('{ACTION}') tells how it is settled"),
    ],
)
def test_an_unknown_outcome_promises_a_worker_only_where_one_may_ask(
    context: dict[str, Any], said: str
) -> None:
    document = a_run(an_action_step("unknown"), external={ACTION: external()}, context=context)
    assert remarks(document)["next"].startswith(said)


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
        history=[an_event("Cancelled", 9, actor="otto", note="too late")],
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
        "               amount_cents minimum\n"
        "     next      nothing was done; correct the input and ask again"
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
    text = drawn(a_run(a_step("a", message=FORGERY)))
    assert SHOWN in text
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
    assert max(map(len, lines)) <= drawing.WIDTH


@given(strategies.lists(strategies.text(max_size=250), min_size=4, max_size=4))
def test_no_line_is_wider_than_a_screen(words: list[str]) -> None:
    key, name, message, payload = words
    document = a_run(
        a_step("a" + key, name=name, message=message, input=payload, risk="high"),
        a_step("b", "a" + key, kind="handoff", name=name, exit_data=payload),
    )
    for line in drawn(document).split("\n"):
        assert drawing.columns(line) <= drawing.WIDTH
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
    assert drawing.duration(seconds) == said


def test_an_instant_python_does_not_have_is_left_out() -> None:
    document = a_run(an_action_step("queued"), external={ACTION: external(available_at="infinity")})
    assert remarks(document)["waiting"] == "for a worker on queue billing"


def an_event(event_type: str, sequence: int, **changed: Any) -> dict[str, Any]:
    return {
        "action_id": ACTION,
        "sequence": sequence,
        "event_type": event_type,
        "status": "queued",
        "actor": "worker_1",
        "worker_principal": "worker_1",
        "worker_label": None,
        "claim_token": 1,
        "lease_expires_at": at(1, 24),
        "began": True,
        "provider_request_id": None,
        "error_code": None,
        "confirmed": None,
        "note": None,
        "occurred_at": at(1, 25),
    } | changed


def an_evaluation(result: str, policy: str = "billing.limit.v1", **changed: Any) -> dict[str, Any]:
    evidence: dict[str, Any] = {
        "default_applied": False,
        "decided_by": None,
        "conditions": [],
        "leaves": 0,
    }
    return {
        "action_id": ACTION,
        "policy": policy,
        "mode": "enforce",
        "result": result,
        "reason": None,
        "guidance": None,
        "evaluated_at": at(0),
        "evidence": evidence | changed.pop("evidence", {}),
    } | changed


def a_domain_event(event_type: str, sequence: int, **changed: Any) -> dict[str, Any]:
    return {
        "action_id": ACTION,
        "event_type": event_type,
        "subject_type": "Invoice",
        "subject_id": "i1",
        "sequence": sequence,
        "from": None,
        "to": None,
        "emitted": 2,
    } | changed


def an_action(status: str = "completed", **changed: Any) -> dict[str, Any]:
    """Build the facts of an atomic action; keys of the action itself go into `about`."""
    document = a_run(steps=[], skipped=[], story=[])
    del document["run"]
    document["action"] = {
        "action_id": ACTION,
        "tenant_id": "acme",
        "action": "billing.record_refund",
        "version": 2,
        "kind": "atomic",
        "actor": "ada",
        "status": status,
        "input": '{"invoice_id": "i1"}',
        "bound": {"tenant_id": "[redacted]", "principal": "[redacted]"},
        "exit_data": None,
        "run_id": None,
        "step_key": None,
        "causation_id": None,
        "error_code": None,
        "error_message": None,
        "violations": None,
        "started_at": at(0),
        "finished_at": None if status in {"running", "waiting_for_approval"} else at(0, 0.3),
    } | changed.pop("about", {})
    document["others"] = {ACTION: {"version": 2, "kind": "atomic", "status": status}}
    return document | changed


def body(document: dict[str, Any]) -> list[str]:
    """Return the lines of a picture below what every action tells."""
    return drawn(document).splitlines()[4:]


FORGERY = "x\n└─ ✓ b\x1b[2J\u202e\U000e0041\u2028\x7f"
SHOWN = "x\\n\\u2514\\u2500 ✓ b\\u001b[2J\\u202e\\ue0041\\u2028\\u007f"


def test_an_atomic_action_tells_everything_that_became_of_it() -> None:
    document = an_action(
        about={"exit_data": '{"charge_id": "ch_9"}'},
        policies=[
            an_evaluation("pass", evidence={"default_applied": True}),
            an_evaluation(
                "warn",
                "billing.draft.v2",
                mode="shadow",
                reason="large",
                guidance="ask finance",
                evidence={
                    "decided_by": 1,
                    "leaves": 2,
                    "conditions": [
                        {"kind": "parameter", "path": "parameters.amount", "operator": "gt",
                         "value": 50, "held": True},
                        {"kind": "comparison", "left": "parameters.a", "operator": "equals",
                         "right": "parameters.b", "held": False},
                    ],
                },
            ),
        ],
        approvals=[{
            "action_id": ACTION, "reviewer": "rita", "verdict": "approved", "note": 'a "good" one',
            "decided_at": at(0, 0.2), "voided_at": None,
        }],
        domain_events=[
            a_domain_event("InvoiceRefunded", 7),
            a_domain_event("StateTransitioned", 8, **{"from": "paid", "to": "refunded"}),
            a_domain_event("AdapterInvocationStarted", 1),
        ],
        below={ACTION: [STEP]},
        external={
            STEP: external(
                attempts=1, worker_principal="fleet", provider_request_id="re_1", status="succeeded"
            )
        },
        steps=[an_adapter_step("succeeded")],
        skipped=[{"place": 2, "action": "billing.sms"}],
    )  # fmt: skip
    assert drawn(document) == (
        f"action {ACTION} · billing.record_refund v2 · completed after 300 ms\n"
        "  invoked   2026-11-22 11:00:00 UTC by ada of acme\n"
        '  asked     {"invoice_id": "i1"}\n'
        "  bound     principal, tenant_id from the session\n"
        "  policy    billing.limit.v1: pass, no condition held\n"
        "  shadow    billing.draft.v2: warn, condition 2: parameters.amount > 50 and not"
        " parameters.a =\n"
        "            parameters.b\n"
        "            recorded only, a shadow decides nothing\n"
        '  reason    "large"\n'
        '  guidance  "ask finance"\n'
        '  approved  by rita after 200 ms: "a \\"good\\" one"\n'
        "  moved     Invoice i1 from paid to refunded\n"
        "  event     InvoiceRefunded of Invoice i1, number 7\n"
        "  event     StateTransitioned of Invoice i1, number 8\n"
        '  answer    {"charge_id": "ch_9"}\n'
        "  skipped   step 2, billing.sms: by its condition or input\n"
        "  steps\n"
        "  └─ ✓ billing.mail v1 · succeeded after 2 s\n"
        f"       action    {STEP}\n"
        '       asked     {"charge_id": "ch_9"}\n'
        "       worker    fleet, attempt 1 of 3, stripe refunds.create\n"
        "       provider  re_1"
    )


STEP = "act_01JDQ4ZK3MTN5XV8Q2B7C9D0EG"


def an_adapter_step(status: str) -> dict[str, Any]:
    return {
        "action_id": STEP,
        "action": "billing.mail",
        "status": status,
        "input": '{"charge_id": "ch_9"}',
        "exit_data": None,
        "error_code": None,
        "error_message": None,
        "violations": None,
        "started_at": at(0),
        "finished_at": at(0, 2) if status in {"succeeded", "failed"} else None,
    }


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        ({"conditions": [{"kind": "always", "held": True}], "leaves": 1, "decided_by": 0},
         ", condition 1: always"),
        ({"conditions": [{"kind": "jsonpath", "path": "$.args.a == 1", "held": True}], "leaves": 5,
          "decided_by": 0}, ", condition 1: jsonpath $.args.a == 1 and 2 more"),
        ({"conditions": [{"kind": "parameter", "path": "parameters.a", "operator": "exists",
                          "held": True}], "leaves": 1, "decided_by": 0},
         ", condition 1: parameters.a exists"),
        ({"code": {"registered": True, "evaluator": "app.check(jsonb)"}},
         ", evaluator app.check(jsonb)"),
        ({"code": {"registered": False}}, ", not registered"),
        ({"fallback": {"policy": "a.v1", "trigger": "data_result"},
          "code": {"registered": True, "evaluator": "app.check(jsonb)"}},
         ", then a.v1 on data result, evaluator app.check(jsonb)"),
        ({"errors": [{"path": "conditions[0].when", "reason": "orders a string against a number"}]},
         ", conditions[0].when orders a string against a number"),
    ],
)  # fmt: skip
def test_the_deciding_condition_is_told(evidence: dict[str, Any], said: str) -> None:
    document = an_action("blocked_by_policy", policies=[an_evaluation("block", evidence=evidence)])
    assert remarks(document, ACTION)["policy"] == "billing.limit.v1: block" + said


def test_a_policy_asked_again_says_so() -> None:
    evaluations = [an_evaluation("pass"), an_evaluation("block", evaluated_at=at(2))]
    lines = body(an_action("blocked_by_policy", policies=evaluations))
    assert lines[:2] == [
        "  policy    billing.limit.v1: pass",
        "  policy    billing.limit.v1 again after 2 min: block",
    ]


def test_in_a_run_only_policies_that_objected_are_told() -> None:
    document = a_run(
        an_action_step("queued"),
        external={ACTION: external()},
        policies=[
            an_evaluation("pass"),
            an_evaluation("block", "billing.draft.v1", mode="shadow"),
            an_evaluation("warn", "billing.other.v1"),
        ],
    )
    assert remarks(document)["policy"] == "billing.other.v1: warn"
    assert "billing.limit.v1" not in drawn(document)
    assert "billing.draft.v1" not in drawn(document)


def test_bound_values_are_shown_to_those_who_see_them() -> None:
    document = an_action(about={"bound": {"customer": "c\u202e1"}})
    assert remarks(document, ACTION)["bound"] == '{"customer": "c\\u202e1"}'


@pytest.mark.parametrize(
    ("status", "code", "label", "said", "follows"),
    [
        ("blocked_by_policy", "SY009", "blocked", "SY009: why", "nothing was done; ask for what"),
        ("validation_failed", "SY003", "refused", "SY003: why", "nothing was done; correct the"),
        ("failed", "P0001", "failed", "P0001: why", "nothing was done; ask again once"),
        ("cancelled", "expired", "expired", "nobody approved it in time", ""),
        ("cancelled", "cancelled", "cancelled", "before it was performed", ""),
    ],
)
def test_an_end_without_success_says_why_and_what_next(
    status: str, code: str, label: str, said: str, follows: str
) -> None:
    about = {"error_code": code, "error_message": "why"}
    told = remarks(an_action(status, about=about), ACTION)
    assert told[label] == said
    assert told.get("next", "").startswith(follows)


def test_a_failure_that_holds_its_key_says_how_to_ask_again() -> None:
    document = an_action("failed")
    document["others"][ACTION]["holds_key"] = True
    assert remarks(document, ACTION)["next"].endswith("with another idempotency key")


@pytest.mark.parametrize(
    ("status", "waiting", "follows"),
    [
        ("queued", f"for 1 of 1 adapter step: {STEP} queued", "it completes once"),
        ("unknown", f"for 1 of 1 adapter step: {STEP} unknown", "a worker reconciles it"),
        ("succeeded", "for run_due_steps: 1 adapter step ended", "run_due_steps, which workers"),
    ],
)
def test_a_running_action_says_what_it_waits_for(status: str, waiting: str, follows: str) -> None:
    document = an_action(
        "running",
        below={ACTION: [STEP]},
        context={STEP: {"is_reconcilable": True}},
        external={STEP: external(status=status)},
        steps=[an_adapter_step(status)],
    )
    told = remarks(document, ACTION)
    assert told["waiting"] == waiting
    assert told["next"].startswith(follows)


def test_a_failed_step_is_what_to_retry() -> None:
    document = an_action(
        "failed", below={ACTION: [STEP]}, external={STEP: external(status="failed")}
    )
    told = remarks(document, ACTION)["next"]
    assert told == f"what it did stands: retry_external_action on {STEP}"
    document["external"][STEP]["status"] = "cancelled"
    assert remarks(document, ACTION)["next"].startswith("what it did stands; a step that was")


@pytest.mark.parametrize(
    ("lost", "claimed_by", "said"),
    [
        ({}, "worker_2", "after delivery began, lease ended 11:01:24; taken over by worker_2"),
        ({}, "worker_1", "after delivery began, lease ended 11:01:24; claimed again by the same"),
        ({"began": False}, None,
         "before delivery began, lease ended 11:01:24; nobody has taken over"),
        ({"event_type": "Released"}, "worker_2",
         "after delivery began, given back 11:01:25; taken over by worker_2"),
        ({"status": "unknown", "lease_expires_at": None}, None,
         "after delivery began, lease ended before 11:01:25; the outcome is unknown"),
        ({"worker_label": "pod 7", "lease_expires_at": "2026-11-22T12:00:01+01:00"}, None,
         "(pod 7) after delivery began, lease ended 11:00:01; nobody has taken over"),
        ({"lease_expires_at": "2026-11-23T00:00:01+00:00"}, None,
         "after delivery began, lease ended 2026-11-23 00:00:01; nobody has taken over"),
    ],
)  # fmt: skip
def test_a_lost_lease_says_whose_when_and_what_then(
    lost: dict[str, Any], claimed_by: str | None, said: str
) -> None:
    history = [an_event("Claimed", 2), an_event("LeaseExpired", 3) | lost]
    if claimed_by:
        history.append(an_event("Claimed", 4, worker_principal=claimed_by, claim_token=2))
    document = a_run(an_action_step("queued"), external={ACTION: external()}, history=history)
    assert remarks(document)["lost"] == f"worker_1 {said}"


def test_a_claim_to_reconcile_sends_nothing() -> None:
    document = a_run(
        an_action_step("claimed"),
        external={ACTION: external(worker_principal="fleet", lease_expires_at=at(12, 30))},
        history=[an_event("Claimed", 2), an_event("Claimed", 5, note="to reconcile")],
    )
    assert remarks(document)["waiting"] == (
        "for the worker to ask the provider what came of it; the claim ends in 30 s"
    )
    assert remarks(document)["next"] == (
        "the worker settles it; if the claim runs out, it is unknown again"
    )


def test_a_reconciliation_lost_is_no_delivery_lost() -> None:
    history = [
        an_event("Claimed", 2, note="to reconcile"),
        an_event("LeaseExpired", 3, began=False, status="unknown"),
    ]
    document = a_run(an_action_step("unknown"), external={ACTION: external()}, history=history)
    assert remarks(document)["lost"].startswith("worker_1 while asking the provider, lease ended")


@pytest.mark.parametrize(
    ("event", "label", "said"),
    [
        (an_event("LateConfirmation", 5, confirmed="succeeded", provider_request_id="re_1",
                  error_code="SY031"), "late",
         "worker_1 reported succeeded re_1 too late (SY031); kept as evidence"),
        (an_event("ApprovalVoided", 5), "voided",
         "the intent is not what was approved: it has to be approved anew"),
        (an_event("Retried", 5, actor="otto", note="try it"), "retried", 'by otto: "try it"'),
        (an_event("Settled", 5, actor="otto", status="succeeded"), "settled",
         "as succeeded by otto"),
        (an_event("Quarantined", 5, actor="otto", note="disk"), "restored",
         'an earlier database, as otto declared: "disk"'),
    ],
)  # fmt: skip
def test_an_incident_is_told(event: dict[str, Any], label: str, said: str) -> None:
    document = a_run(an_action_step("queued"), external={ACTION: external()}, history=[event])
    assert remarks(document)[label] == said


def test_of_many_incidents_the_latest_are_told_in_order() -> None:
    history = [an_event("Retried", place, note=str(place)) for place in range(1, 31)]
    document = a_run(an_action_step("queued"), external={ACTION: external()}, history=history)
    lines = [line for line in drawn(document).splitlines() if "retried" in line]
    assert [line[-4:] for line in lines] == [f'"{place}"' for place in range(21, 31)]
    assert remarks(document)["earlier"] == "20 more in synapsor_external_action_events"


def test_a_void_approval_is_not_shown_as_one_that_counts() -> None:
    approval = {"action_id": ACTION, "reviewer": "rita", "verdict": "approved", "note": None,
                "decided_at": at(1), "voided_at": at(2)}  # fmt: skip
    document = a_run(an_action_step("queued"), external={ACTION: external()}, approvals=[approval])
    assert remarks(document)["approved"] == "by rita after 1 min, no longer counted"


def test_a_step_of_a_run_tells_its_transition_and_what_happened() -> None:
    document = a_run(
        an_action_step("completed"),
        others={ACTION: {"version": 2, "kind": "atomic", "status": "completed"}},
        domain_events=[
            a_domain_event("InvoiceRefunded", 1, emitted=22),
            a_domain_event("StateTransitioned", 2, emitted=22, **{"from": "paid", "to": "open"}),
        ],
    )
    assert "✓ refund · billing.issue_refund v2 · completed" in drawn(document)
    assert remarks(document) == {
        "action": ACTION,
        "moved": "Invoice i1 from paid to open",
        "events": "InvoiceRefunded, StateTransitioned",
        "": "and 20 more in synapsor_events",
    }


def strings(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the paths of every text in a document."""
    if isinstance(value, str):
        return [path]
    if not isinstance(value, dict | list):
        return []
    members = value.items() if isinstance(value, dict) else enumerate(value)
    return [found for key, member in members for found in strings(member, (*path, key))]


FIXED = {"mode", "kind", "event_type", "evaluated_at", "relation", "state"}


def everything(*, in_a_run: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "policies": [an_evaluation("block", reason="r", guidance="g", evidence={
            "decided_by": 0, "leaves": 1,
            "conditions": [{"kind": "parameter", "path": "parameters.a", "operator": "equals",
                            "value": "v", "held": True}],
            "fallback": {"policy": "a.v1", "trigger": "missing"},
            "code": {"registered": True, "evaluator": "app.check(jsonb)"},
            "errors": [{"path": "p", "reason": "r"}],
        })],
        "approvals": [{"action_id": ACTION, "reviewer": "rita", "verdict": "approved", "note": "n",
                       "decided_at": at(1), "voided_at": None}],
        "domain_events": [
            a_domain_event("StateTransitioned", 1, **{"from": "paid", "to": "refunded"})
        ],
        "history": [
            an_event(kind, 1, worker_label="label", note="n", provider_request_id="re")
            for kind in ("Claimed", "LeaseExpired", "LateConfirmation", "Retried", "Settled",
                         "Quarantined")
        ],
        "external": {ACTION: external(worker_principal="w", worker_label="l", error_code="e",
                                      error_message="m", provider_request_id="re")},
    }  # fmt: skip
    if in_a_run:
        return a_run(
            a_step("a", message="m", risk="high", input="i", exit_data="o", evidence="e"),
            an_action_step("failed", input="i", exit_data="o"),
            **facts,
        )
    about = {"error_code": "e", "error_message": "m", "bound": {"b": "v"}, "exit_data": "o",
             "run_id": RUN, "step_key": "s", "causation_id": "c", "violations": "v"}  # fmt: skip
    story = [{
        "event_type": "Failed", "status": "failed", "actor": "a", "worker_label": "l", "attempt": 1,
        "provider_request_id": "re", "error_code": "e", "note": "n", "occurred_at": at(1),
    }]  # fmt: skip
    return an_action(
        "failed", about=about, story=story, steps=[an_adapter_step("failed")],
        skipped=[{"place": 1, "action": "a.b"}], **facts,
    )  # fmt: skip


@pytest.mark.parametrize("in_a_run", [True, False])
def test_no_text_of_anybody_forges_a_line_wherever_it_stands(*, in_a_run: bool) -> None:
    plain = everything(in_a_run=in_a_run)
    shape = [line.split() for line in drawn(plain).splitlines()]
    paths = [path for path in strings(plain) if path[-1] not in FIXED]
    assert len(paths) > 50
    for path in paths:
        document = everything(in_a_run=in_a_run)
        owner: Any = document
        for key in path[:-1]:
            owner = owner[key]
        if any(mark in str(owner[path[-1]]) for mark in (":", "act_", "run_", "failed")):
            continue  # instants, ids and statuses are never anybody's text
        owner[path[-1]] += FORGERY
        text = drawn(document)
        assert text.replace("\n", "").isprintable(), path
        assert text.count("└─") == drawn(plain).count("└─"), path
        grown = len(text.splitlines()) - len(shape)
        assert 0 <= grown <= 2, path
        for line in text.splitlines():
            assert drawing.columns(line) <= drawing.WIDTH, path


def test_an_action_tells_its_story() -> None:
    document = an_action(
        external={ACTION: external(worker_principal="fleet", attempts=1)},
        about={
            "action": "billing.issue_refund",
            "version": 1,
            "kind": "external",
            "actor": "agent-7",
            "status": "succeeded",
            "input": '{"charge_id": "ch_1"}',
            "bound": None,
            "run_id": RUN,
            "step_key": "refund",
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


@pytest.mark.parametrize("language", ["mermaid", "dot"])
def test_a_diagram_tells_what_the_tree_tells_shortest(language: str) -> None:
    document = a_run(
        an_action_step("succeeded", input='{"charge_id": "ch_1"}'),
        a_step("tell", "refund", kind="interrupt", state="waiting", status="waiting",
               message="who?", finished_at=None),
        external={ACTION: external(worker_principal="fleet", provider_request_id="re_123")},
        approvals=[{
            "action_id": ACTION, "reviewer": "rita", "verdict": "approved", "note": None,
            "decided_at": at(2, 3), "voided_at": None,
        }],
        format=language,
        edges=[
            {"from_step_key": "refund", "to_step_key": "tell", "edge": "child"},
            {"from_step_key": "tell", "to_step_key": "refund", "edge": "compensates"},
        ],
    )  # fmt: skip
    lines = drawn(document).splitlines()
    if language == "mermaid":
        assert lines[1:7] == [
            (
                f'    n0["run {RUN}<br/>support.refund_flow 2026-11<br/>open, 12 min so far'
                '<br/>by agent-7"]:::open'
            ),
            (
                '    n1["✓ refund · billing.issue_refund v1<br/>succeeded after 3 min 12 s<br/>'
                'undone by tell<br/>approved by rita after 2 min 3 s<br/>provider re_123"]:::done'
            ),
            (
                '    n2["… tell · interrupt<br/>waiting, 12 min so far<br/>undoes refund'
                '<br/>reason #34;who?#34;<br/>waiting for an answer from outside"]:::open'
            ),
            "    n0 --> n1",
            "    n1 --> n2",
            '    n2 -.->|"compensates"| n1',
        ]
    else:
        assert [line.partition(" [label")[0] for line in lines[4:7]] == [
            "    n0",
            "    n1",
            "    n2",
        ]
        assert "undone by tell\\lapproved by rita after 2 min 3 s\\lprovider re_123\\l" in lines[5]
        assert lines[7:] == [
            '    n0 -> n1 [style="solid"];',
            '    n1 -> n2 [style="solid"];',
            '    n2 -> n1 [style="dashed", label="compensates", constraint="false"];',
            "}",
        ]


def test_a_diagram_shows_refused_attempts_and_stays_in_the_encoding() -> None:
    refused = {
        "action_id": ACTION,
        "name": "billing.issue_refund",
        "version": 1,
        "step_key": "refund",
        "status": "validation_failed",
        "error_code": "SY003",
        "error_message": "it does not fit",
        "violations": None,
        "started_at": at(1),
    }
    document = a_run(refusals=1, refused=[refused], format="dot", edges=[], plain=True)
    text = drawn(document)
    assert text.isascii()
    assert "x refund - billing.issue_refund v1\\lvalidation failed" in text
    assert "refused SY003: it does not fit" in text
    assert "    n0 -> n1" in text
    assert '"#10007; refund #183; billing' in drawn({**document, "format": "mermaid"})
    assert drawn({**document, "format": "mermaid"}).isascii()


def a_node(key: str, status: str = "Complete", **changed: Any) -> dict[str, Any]:
    parent, _, name = key.rpartition("/")
    return a_step(
        key,
        parent or None,
        **{
            "kind": "handler",
            "name": name.partition("[")[0],
            "status": status,
            "branch_status": status,
            "execute_case": None,
            "attempt": 1,
            "waits_for": None,
            "waits_until": None,
            "runs_as": "agent-7",
        }
        | changed,
    )


def idle(parent: str | None, name: str, why: str, **changed: Any) -> dict[str, Any]:
    return {
        "parent_step_key": parent,
        "node": 9,
        "name": name,
        "relation": "child" if parent else "root",
        "execute_case": None,
        "why": why,
        "compared_status": "Complete",
        "below": 0,
    } | changed


def a_plan_run(*steps: dict[str, Any], **changed: Any) -> dict[str, Any]:
    document = a_run(*steps, **changed)
    document["run"] |= {"workflow": None, "plan": "refunds", "version": "3", "status": "Failed"}
    return document


def test_a_plan_s_run_is_a_tree_too() -> None:
    document = a_plan_run(
        a_node("MyRoot", branch_status="Failed"),
        a_node("MyRoot/Group0", "None", relation="group", kind="container", branch_status="Failed"),
        a_node("MyRoot/Group0[1]", "Failed", parent_step_key="MyRoot/Group0", relation="instance",
               message="no such host", exit_data='"no such host"'),
        a_node("MyRoot/mail", "CompletedWithErrors", execute_case=["Complete", "Failed"],
               runs_as="rita", exit_data='{"sent": 1}'),
        a_node("MyRoot/nap", "Waiting", branch_status=None, state="waiting", finished_at=None,
               waits_for="timer", waits_until=at(13)),
        a_node("MyRoot/nap2", "Waiting", branch_status=None, state="waiting", finished_at=None,
               waits_for="timer", waits_until=at(11)),
        idle=[
            idle("MyRoot", "alarm", "case", execute_case=["Cancelled"], below=3),
            idle("MyRoot/nap", "after", "above", below=1),
            idle(None, "never", "case", execute_case=["Complete", "Failed"],
                 compared_status="None"),
            idle("MyRoot", "none", "empty", node=10),
            idle("MyRoot", "late", "group", node=11),
            idle("MyRoot", "stopped", "cancelled", node=12),
        ],
    )  # fmt: skip
    document["run"] |= {"is_dry_run": True, "reason": "no\nmore", "error": "deadlock detected"}
    assert drawn(document) == (
        f"run {RUN} · refunds 3 · dry run · Failed · open, 12 min so far\n"
        "│ started   2026-11-22 11:00:00 UTC by agent-7 of acme\n"
        "│ steps     4 of 6 finished; waiting: MyRoot/nap, MyRoot/nap2\n"
        '│ cancelled "no\\nmore"\n'
        "│ stuck     it could not be advanced: deadlock detected\n"
        "│ next      run_due_steps tries again\n"
        "├─ ✓ MyRoot · Complete, branch Failed after 1.2 s\n"
        "│  ├─ - Group0 · for each · group · None, branch Failed after 1.2 s\n"
        "│  │  └─ ✗ Group0[1] · instance · Failed after 1.2 s\n"
        '│  │       reason    "no such host"\n'
        "│  ├─ ! mail · CompletedWithErrors after 1.2 s\n"
        "│  │    case      Complete or Failed\n"
        "│  │    as        rita\n"
        '│  │    output    {"sent": 1}\n'
        "│  ├─ … nap · Waiting, 12 min so far\n"
        "│  │  │ waiting   for its timer, 1 min left\n"
        "│  │  └─ - after · not run\n"
        "│  │       because   the action above has not ended\n"
        "│  │       below     1 more action\n"
        "│  ├─ … nap2 · Waiting, 12 min so far\n"
        "│  │    waiting   for run_due_steps\n"
        "│  ├─ - alarm · not run\n"
        "│  │    because   it asks for Cancelled, but the action above is Complete\n"
        "│  │    below     3 more actions\n"
        "│  ├─ - none · not run\n"
        "│  │    because   ForEach found no values\n"
        "│  ├─ - late · not run\n"
        "│  │    because   the group beside it has not ended\n"
        "│  └─ - stopped · not run\n"
        "│       because   the run was cancelled before its turn\n"
        "└─ - never · not run\n"
        "     because   it asks for Complete or Failed, but the plan is None"
    )
    document |= {"format": "mermaid"}
    lines = drawn(document).splitlines()
    assert len([line for line in lines if '["' in line]) == 13
    # The run has two roots, one of which has not run; of the others each hangs on its parent.
    assert len([line for line in lines if line.startswith("    n0 --> ")]) == 2
    assert len([line for line in lines if "> " in line or ">|" in line]) == 12


def test_a_plan_s_action_tells_what_it_waits_for_and_what_undid_it() -> None:
    node = {
        "action_id": ACTION, "kind": "external_action", "name": "pay", "branch_status": None,
        "state": "running", "finished_at": None,
    }  # fmt: skip
    document = a_plan_run(
        a_node("MyRoot/pay", "Running", **node),
        external={ACTION: external(action="billing.issue_refund", status="queued")},
    )
    text = drawn(document)
    assert "… pay · billing.issue_refund v1 · Running" in text
    assert "waiting   for a worker on queue billing" in text
    document = a_plan_run(
        a_node("MyRoot/pay", "Complete", **node | {"state": "finished", "finished_at": at(3)}),
        a_node("MyRoot/pay#2", "Failed"),
        a_node("MyRoot/pay/undo", "Complete"),
        external={ACTION: external(action="billing.issue_refund", status="succeeded")},
        edges=[
            {
                "from_step_key": "MyRoot/pay/undo",
                "to_step_key": "MyRoot/pay",
                "edge": "compensates",
            },
            {"from_step_key": "MyRoot/pay", "to_step_key": "MyRoot/pay#2", "edge": "retries"},
        ],
    )
    assert remarks(document, "MyRoot/pay")["undone"] == "by MyRoot/pay/undo"
    assert remarks(document, "MyRoot/pay")["retries"] == "MyRoot/pay#2"
    assert remarks(document, "MyRoot/pay#2") == {"retried": "by MyRoot/pay"}
    assert remarks(document, "MyRoot/pay/undo") == {"undoes": "MyRoot/pay"}


def test_a_saga_waits_for_its_plan() -> None:
    document = a_plan_run(
        a_node(
            "refund", "Running", action_id=ACTION, kind="saga", state="running", finished_at=None
        ),
        others={
            ACTION: {"action": "billing.refund", "version": 1, "kind": "saga", "status": "running"}
        },
        sagas={ACTION: {"run_id": "run_2", "state": "compensating"}},
    )
    assert remarks(document)["waiting"] == "for its plan: run_2 is compensating"
    assert remarks(document)["next"] == "explain_agent_run('run_2') tells what that waits for"


@pytest.mark.parametrize(
    ("reason", "until", "said"),
    [
        ("rate_limited", at(12, 2), "for the rate limit of stripe, free again in 2 s"),
        ("rate_limited", at(12), "for the rate limit of stripe, free again in a moment"),
        ("retry_after", at(17), "for stripe, which asked not to be called, for another 5 min"),
        ("breaker_open", at(13), "for stripe, whose breaker is open; a probe may go in 1 min"),
        ("probing", None, "for stripe: its breaker is half open and a probe is under way"),
        ("full", None, "for stripe: as many deliveries are under way as it may have at once"),
        ("forced_open", None, "for stripe, whose breaker is forced open"),
    ],
)
def test_a_queued_action_says_what_its_provider_waits_for(
    reason: str, until: str | None, said: str
) -> None:
    document = a_run(
        an_action_step("queued"),
        external={ACTION: external()},
        context={ACTION: {"held_by": "stripe", "held_reason": reason, "held_until": until}},
    )
    assert remarks(document)["waiting"] == said
    assert remarks(document)["next"]
