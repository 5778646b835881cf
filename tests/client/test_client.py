"""The client is the SQL face, verb for verb, inside the caller's transaction."""

from __future__ import annotations

import inspect
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from client.workshop import CONTRACT, QUEUE, Workshop, proposed
from psycopg.rows import dict_row
from synapsor_pg import Client, Confirmation, DeliveryStart
from synapsor_pg.errors import (
    ClaimExpiredError,
    ConflictingConfirmationError,
    HiddenOverrideError,
    NotFoundError,
    StaleClaimTokenError,
    ValidationFailedError,
)

if TYPE_CHECKING:
    from psycopg.errors import Diagnostic
    from synapsor_pg import Claim

VERBS = {
    name: method
    for name, method in inspect.getmembers(Client, inspect.isfunction)
    if not name.startswith("_")
}


def test_each_method_has_the_arguments_of_its_function(
    connection: psycopg.Connection[Any],
) -> None:
    rows = connection.execute(
        "select proname, coalesce(proargnames[1:pronargs], '{}'), pronargs - pronargdefaults"
        " from pg_proc where pronamespace = 'synapsor'::regnamespace and proname = any(%s)",
        (list(VERBS),),
    ).fetchall()
    functions = {verb: (names, names[:required]) for verb, names, required in rows}

    methods = {}
    for verb, method in VERBS.items():
        parameters = list(inspect.signature(method).parameters.values())[1:]
        required = [each.name for each in parameters if each.default is inspect.Parameter.empty]
        methods[verb] = ([each.name for each in parameters], required)
    assert methods == functions


@pytest.mark.parametrize(
    ("statement", "severity", "message", "hint"),
    [
        (
            "suspend('queue', 'nosuchqueue', 'why')",
            "NOTICE",
            "no contract uses queue nosuchqueue",
            "synapsor.synapsor_action_contracts lists",
        ),
        ("suspend('provider', 'nosuch', 'why')", "NOTICE", "no contract uses provider nosuch", ""),
        ("suspend('action', 'no.such', 'why')", "NOTICE", 'no contract uses action "no.such"', ""),
        ("resume('queue', 'mial')", "NOTICE", "queue mial was not suspended", ""),
        ("resume('all', '')", "NOTICE", "all was not suspended", "synapsor.synapsor_suspensions"),
        (
            "bind_role('test_worker', '{}')",
            "NOTICE",
            "login test_worker is bound to no tenant",
            "Give the context a tenant_id",
        ),
        ("claim_external_actions('q')", "WARNING", "sees no tenant; nothing is done", "Bind it: "),
        ("worker_heartbeat('w', '{q}')", "WARNING", "sees no tenant; nothing is done", "Bind it: "),
        (f"suspend('queue', '{QUEUE}', 'why')", "", "", ""),
        ("suspend('provider', 'crm', 'why')", "", "", ""),
        ("suspend('action', 'crm.update_contact', 'why')", "", "", ""),
        ("suspend('tenant', 'nosuch', 'why')", "", "", ""),
        ("bind_role('test_worker', '{\"tenants\": \"*\"}')", "", "", ""),
        ("bind_role('test_worker', null)", "", "", ""),
    ],
)
def test_what_does_nothing_says_so(
    workshop: Workshop, statement: str, severity: str, message: str, hint: str
) -> None:
    said: list[tuple[str | None, str, str]] = []

    def hear(notice: Diagnostic) -> None:  # which is gone afterwards
        told = notice.message_primary or "", notice.message_hint or ""
        said.append((notice.severity_nonlocalized, *told))

    with workshop.superuser() as connection:
        connection.add_notice_handler(hear)
        connection.execute(f"select synapsor.{statement}")  # type: ignore[arg-type]

    assert [heard for heard, _, _ in said] == [severity] * bool(severity)
    for _, fact, advice in said:
        assert message in fact
        assert hint in advice


def test_a_refusal_without_a_hint_has_no_hint(workshop: Workshop) -> None:
    workshop.propose()
    with workshop.client("test_worker") as client:
        [claim] = client.claim_external_actions(QUEUE)
        client.confirm_external_action(claim.action_id, "succeeded", claim_token=claim.claim_token)
        with pytest.raises(ValidationFailedError) as refused:
            client.confirm_external_action(claim.action_id, "done", claim_token=claim.claim_token)
    assert refused.value.detail is None
    assert refused.value.hint == "Confirm succeeded, failed or unknown."


def test_every_public_function_has_a_method(connection: psycopg.Connection[Any]) -> None:
    rows = connection.execute(
        "select proname from pg_proc where pronamespace = 'synapsor'::regnamespace"
        r" and proname not like '\_%'"
    ).fetchall()

    assert {name for (name,) in rows} <= set(VERBS)


def test_an_action_goes_from_proposal_to_confirmation(workshop: Workshop) -> None:
    workshop.declare(approval={"required": True, "role": "reviewer"})
    with workshop.client("test_caller") as client:
        action = proposed(client, correlation_id="order-7")
        assert (action.status, action.changed, action.arguments) == (
            "proposed",
            True,
            {"contact": "c1"},
        )
        assert client.preview_action(CONTRACT["action"], {"contact": "c1"})
    with workshop.client("test_approver") as client:
        approved = client.approve_external_action(
            action.action_id, note="checked", expected_digest=action.digest
        )
        assert (approved.status, approved.approvals_given) == ("queued", 1)
        assert client.approve_external_action(action.action_id).changed is False
    with workshop.client("test_worker") as client:
        [claim] = client.claim_external_actions(
            QUEUE, lease=timedelta(seconds=20), worker_label="w", begin=False
        )
        assert (claim.action_id, claim.attempt) == (action.action_id, 1)
        assert claim.arguments == {"contact": "c1", "tenant_id": "acme"}
        assert claim.delivery_started_at is None
    with workshop.client("test_worker") as client:
        begun = client.begin_delivery(claim.action_id, claim.claim_token, request_digest="0" * 64)
        assert begun.delivery_started_at is not None
        extended = client.extend_claim(
            claim.action_id, claim.claim_token, lease=timedelta(minutes=5)
        )
        assert extended.lease_expires_at is not None
        assert extended.lease_expires_at > claim.lease_expires_at
    with workshop.client("test_worker") as client:
        done = client.confirm_external_action(
            claim.action_id,
            "succeeded",
            response={"id": "c1"},
            provider_request_id="req_1",
            claim_token=claim.claim_token,
        )
        assert (done.status, done.response, done.changed) == ("succeeded", {"id": "c1"}, True)
    with workshop.client("test_worker") as client:
        again = client.confirm_external_action(
            claim.action_id,
            "succeeded",
            provider_request_id="req_1",
            claim_token=claim.claim_token,
        )
        assert again.changed is False
    with (
        pytest.raises(ConflictingConfirmationError),
        workshop.client("test_worker") as client,
    ):
        client.confirm_external_action(claim.action_id, "failed", claim_token=claim.claim_token)
    with workshop.client("test_caller") as client:
        assert "succeeded" in client.explain_action(action.action_id)
        assert client.explain_action(action.action_id, format="json").startswith("{")


def test_a_proposal_goes_with_its_transaction(workshop: Workshop) -> None:
    with psycopg.connect(workshop.database("test_caller")) as connection:
        action = proposed(Client(connection))
        connection.rollback()

    with pytest.raises(NotFoundError), workshop.client("test_caller") as client:
        client.explain_action(action.action_id)


def test_a_client_never_commits(workshop: Workshop) -> None:
    with psycopg.connect(workshop.database("test_caller")) as connection:
        action = proposed(Client(connection))

        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        assert not workshop.read(
            "select from synapsor.synapsor_external_actions where action_id = %s",
            action.action_id,
        )


def test_the_callers_own_row_factory_does_not_matter(workshop: Workshop) -> None:
    with psycopg.connect(workshop.database("test_caller"), row_factory=dict_row) as connection:
        client = Client(connection)

        assert proposed(client).status == "queued"
        assert client.current_session()["tenant_id"] == "acme"


def test_validation_lists_every_violation(workshop: Workshop) -> None:
    with (
        pytest.raises(ValidationFailedError) as caught,
        workshop.client("test_caller") as client,
    ):
        client.propose_external_action(CONTRACT["action"], {"contact": 7, "colour": "red"})

    assert caught.value.detail is not None
    assert "contact" in caught.value.detail
    assert "colour" in caught.value.detail


def test_a_hidden_value_cannot_be_passed(workshop: Workshop) -> None:
    with pytest.raises(HiddenOverrideError), workshop.client("test_caller") as client:
        client.propose_external_action(CONTRACT["action"], {"contact": "c1", "tenant_id": "acme"})


def test_a_batch_of_confirmations_is_judged_one_by_one(workshop: Workshop) -> None:
    workshop.propose(3)
    with workshop.client("test_worker") as client:
        one, two, three = client.claim_external_actions(QUEUE, max_actions=10, begin=False)
        begun = client.begin_deliveries([start(one), start(two), start(three)])
        assert {each.action_id for each in begun} == {each.action_id for each in (one, two, three)}
    with workshop.client("test_worker") as client:
        results = client.confirm_external_actions(
            [
                Confirmation(
                    action_id=one.action_id, status="succeeded", claim_token=one.claim_token
                ),
                Confirmation(action_id=two.action_id, status="succeeded", claim_token=1),
                Confirmation(
                    action_id=three.action_id,
                    status="failed",
                    error_code="nope",
                    retryable=False,
                    retry_after=timedelta(seconds=1.5),
                    claim_token=three.claim_token,
                ),
            ]
        )

    found = {each.action_id: (each.accepted, each.status, each.error_code) for each in results}
    assert found[one.action_id] == (True, "succeeded", None)
    assert found[two.action_id] == (False, "claimed", StaleClaimTokenError.sqlstate)
    assert found[three.action_id][:2] == (True, "failed")


def test_an_expired_claim_cannot_be_confirmed(workshop: Workshop) -> None:
    workshop.propose()
    with workshop.client("test_worker") as client:
        [claim] = client.claim_external_actions(QUEUE, lease="1 second")
    time.sleep(1.1)
    with pytest.raises(ClaimExpiredError), workshop.client("test_worker") as client:
        client.confirm_external_action(claim.action_id, "succeeded")


def test_what_judges_actions_is_declared_and_replayed(workshop: Workshop) -> None:
    with workshop.superuser() as connection:
        connection.execute(
            """
            create schema app;
            grant usage on schema app to public;
            create function app.reduce(state jsonb, event jsonb) returns jsonb
            language sql security definer set search_path = pg_catalog, pg_temp
            as $$ select state || (event -> 'event_type') $$;
            alter function app.reduce(jsonb, jsonb) owner to test_stranger
            """
        )
        client = Client(connection)
        client.set_session({"principal": "ada", "tenant_id": "acme"})
        assert client.declare_module("crm", description="customers").namespace == "crm"
        assert client.entitle_tenant("acme", "crm").enabled
        assert client.set_member("acme", "ada", roles=["clerk"]).roles == ["clerk"]
        policy = client.declare_policy(
            {
                "policy": "crm.closed.v1",
                "kind": "data",
                "conditions": [{"when": {"kind": "always"}, "result": "block", "reason": "closed"}],
            }
        )
        machine = client.declare_state_machine(
            {
                "entity_type": "Contact",
                "states": {"new": "initial", "known": "terminal"},
                "transitions": [{"from": "new", "to": "known", "action": CONTRACT["action"]}],
            }
        )
        assert (machine.version, machine.states["new"]) == (1, "initial")
        redaction = client.declare_redaction("asset_event", "email", "mask", reason="privacy")
        assert (redaction.method, redaction.declared_by) == ("mask", "ada")

        client.declare_action(CONTRACT | {"policies": [policy.policy]})
        blocked = client.invoke_action(CONTRACT["action"], {"contact": "c1"})
        assert (blocked.status, blocked.error_code) == ("blocked_by_policy", "SY009")
        ago, ahead = (
            blocked.created_at - timedelta(hours=1),
            blocked.created_at + timedelta(hours=1),
        )
        draft = {"kind": "data", "conditions": [{"when": {"kind": "always"}, "result": "pass"}]}
        [replayed] = client.replay_policy(policy.policy, ago, ahead, definition=draft)
        assert (replayed.recorded, replayed.replayed, replayed.differs) == ("block", "pass", True)

        state = client.replay_events(
            "ActionInvocation", blocked.action_id, [], "app.reduce(jsonb,jsonb)"
        )
        assert (state.state, state.applied, state.sequence) == (["ComplianceBlocked"], 1, 1)
        assert client.run_due_steps(max_steps=1) == 0


def test_a_run_is_told_step_by_step(workshop: Workshop) -> None:
    with workshop.client("test_caller") as client:
        run = client.start_agent_run(input={"question": "why"})
        step = client.record_agent_step(
            run.run_id, "look", name="orders.find", output={"found": 1}, input_tokens=12
        )
        assert (step.step_key, step.input_tokens) == ("look", 12)
        client.checkpoint_agent_run(run.run_id, "before", payload={"n": 1})
        client.record_guardrail_event(run.run_id, "guard", payload={"rule": "r"})
        client.hand_off_agent_run(run.run_id, "hand", "a person", reason="unsure")
        client.interrupt_agent_run(run.run_id, "stop", "needs a person")
        action = proposed(client, run_id=run.run_id, step_key="update")
        done = client.complete_agent_run(run.run_id, output={"answer": 42})
        assert (done.state, done.output) == ("completed", {"answer": 42})
        told = client.explain_agent_run(run.run_id)
    for word in ("look", "before", "guard", "hand", "stop", "update"):
        assert word in told, told
    assert action.run_id == run.run_id


def start(claim: Claim) -> DeliveryStart:
    return DeliveryStart(action_id=claim.action_id, claim_token=claim.claim_token)
