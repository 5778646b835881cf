"""The fixed face: every verb, argument, default and column that the design promises is there.

Callers, clients and documents rely on these names (design.md section 4). More arguments and columns
may follow the promised ones; none may be missing, renamed or in another place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import psycopg

# verb → its arguments in order; what stands behind "=" is the default as PostgreSQL writes it.
VERBS = {
    "declare_action": "definition",
    "retire_action": "action, version=null",
    "declare_policy": "definition",
    "declare_state_machine": "definition",
    "declare_plan": "definition",
    "declare_workflow": "definition",
    "declare_provider": "definition",
    "declare_module": "namespace, description=null",
    "entitle_tenant": "tenant_id, namespace, enabled=true",
    "set_member": "tenant_id, principal, roles='{}', permissions='{}'",
    "declare_redaction": "data_class, field_path, method, reason=null",
    "open_session": "token",
    "set_session": "context",
    "current_session": "",
    "close_session": "",
    "bind_role": "login, context",
    "add_session_key": "kid, secret, scope='{}'",
    "remove_session_key": "kid",
    "invoke_action": "action, parameters, idempotency_key=null, run_id=null, step_key=null,"
    " correlation_id=null, causation_id=null, scheduled_at=null, version=null",
    "propose_external_action": "action, arguments, idempotency_key=null, run_id=null,"
    " step_key=null, correlation_id=null, causation_id=null, scheduled_at=null, version=null",
    "propose_external_actions": "action, arguments, idempotency_keys=null, run_id=null,"
    " step_key=null, correlation_id=null, scheduled_at=null, version=null",
    "preview_action": "action, parameters",
    "approve_external_action": "action_id, note=null, expected_digest=null",
    "reject_external_action": "action_id, note",
    "cancel_external_action": "action_id, reason",
    "claim_external_actions": "queue, max_actions=1, lease=null, worker_label=null,"
    " purpose='deliver', begin=true",
    "begin_delivery": "action_id, claim_token, request_digest=null",
    "extend_claim": "action_id, claim_token, lease=null",
    "release_claim": "action_id, claim_token, delay=null",
    "confirm_external_action": "action_id, status, response='{}', provider_request_id=null,"
    " error_code=null, error_message=null, retry_after=null, retryable=null, claim_token=null",
    "confirm_external_actions": "confirmations",
    "settle_external_action": "action_id, status, evidence='{}', note=null",
    "retry_external_action": "action_id, note",
    "expire_claims": "max_actions=1000",
    "expire_approvals": "max_actions=1000",
    "run_due_steps": "max_steps=1000",
    "worker_heartbeat": "worker_label, queues",
    "purge": "before, max_actions=10000",
    "suspend": "kind, name, reason",
    "resume": "kind, name",
    "quarantine_after_restore": "reason",
    "start_agent_run": "workflow=null, input='{}', version=null",
    "record_agent_step": "run_id, step_key, kind='capability', name=null, status='completed',"
    " input='{}', output='{}', parent_step_key=null, risk=null, evidence=null, input_tokens=null,"
    " output_tokens=null",
    "checkpoint_agent_run": "run_id, step_key, payload='{}'",
    "interrupt_agent_run": "run_id, step_key, reason, payload='{}'",
    "hand_off_agent_run": "run_id, step_key, target, reason, payload='{}'",
    "record_guardrail_event": "run_id, step_key, status='completed', payload='{}'",
    "complete_agent_run": "run_id, status='completed', output='{}'",
    "start_plan": "plan, parameters='{}', dry_run=false, version=null, correlation_id=null",
    "cancel_run": "run_id, reason",
    "resume_run": "run_id",
    "explain_agent_run": "run_id, format='text'",
    "explain_action": "action_id, format='text'",
    "explain_plan": "plan, parameters='{}', format='text'",
    "replay_policy": "policy, since, until, definition=null",
    "replay_events": "subject_type, subject_id, initial, reducer, after_sequence=0",
    "execute": "statement",
}

# Verbs whose rows are a shape of their own, and the views that share it.
INVOCATION = (
    "action_id tenant_id action version kind actor actor_type status delivery_status parameters"
    " hidden idempotency_key payload_digest run_id step_key correlation_id causation_id result"
    " error_code error_message violations created_at completed_at"
)
EXTERNAL_ACTION = (
    "action_id tenant_id action version provider account operation queue status arguments hidden"
    " idempotency_key payload_digest digest principal approvals_required approvals_given"
    " approval_expires_at scheduled_at priority ordering_key attempts max_attempts available_at"
    " worker_principal worker_label claim_token lease_expires_at delivery_started_at"
    " provider_request_id response error_code error_message run_id step_key correlation_id"
    " created_at queued_at finished_at"
)
RUN = (
    "run_id tenant_id workflow plan version state status principal input output correlation_id"
    " started_at finished_at"
)
STEP = (
    "step_id run_id step_key parent_step_key relation kind name state status branch_status sequence"
    " execute_case input exit_data exit_code message pid security_context risk action_id"
    " input_tokens output_tokens started_at finished_at"
)
CONTRACT = "action version label kind definition digest declared_by declared_at retired_at"
SHAPES = {
    "contract": CONTRACT,
    "invocation": INVOCATION + " changed",
    "external_action": EXTERNAL_ACTION + " changed",
    "claim": "action_id claim_token tenant_id action version provider account operation queue"
    " arguments intent digest idempotency_key attempt lease_expires_at delivery_started_at purpose"
    " run_id step_key correlation_id traceparent",
    "run": RUN,
    "step": STEP,
    "synapsor_action_contracts": CONTRACT,
    "synapsor_action_invocations": INVOCATION + " changed",
    "synapsor_external_actions": EXTERNAL_ACTION + " changed",
    "synapsor_external_action_events": "event_id action_id tenant_id action queue event_type status"
    " is_current sequence actor worker_principal worker_label attempt claim_token lease_expires_at"
    " provider_request_id error_code note detail run_id step_key occurred_at",
    "synapsor_pending_approvals": "action_id tenant_id action version arguments digest proposed_by"
    " required_role approvals_required approvals_given reviewers risk reason created_at expires_at",
    "synapsor_approvals": "approval_id action_id reviewer verdict note digest decided_at",
    "synapsor_policy_evaluations": "evaluation_id action_id policy kind mode result reason guidance"
    " metadata dispatch_evidence evaluated_at",
    "synapsor_events": "event_id tenant_id event_type event_schema_version subject_type subject_id"
    " sequence actor actor_type action_id payload occurred_at recorded_at correlation_id"
    " causation_id cloud_event",
    "synapsor_agent_workflow_runs": RUN,
    "synapsor_agent_run_steps": STEP,
    "synapsor_run_graph": "run_id from_step_key to_step_key edge",
    "synapsor_queue_stats": "queue tenant_id proposed queued due claimed unknown oldest_due_at"
    " paused workers",
    "synapsor_stuck_actions": "action_id status since cause remedy",
    "synapsor_provider_health": "provider account tenant_id breaker_state failure_rate calls"
    " opens_until tokens in_flight retry_after_until paused",
    "synapsor_workers": "worker_principal worker_label queues last_seen_at held",
    "synapsor_error_codes": "code condition meaning retryable http_status",
}


def arguments_of(connection: psycopg.Connection[Any], verb: str) -> list[str]:
    """Return `name` or `name=default` of every IN argument; empty for no such verb."""
    rows = connection.execute(
        """
        select array(
            select concat_ws('=',
                p.proargnames[n],
                case when n > p.pronargs - p.pronargdefaults then
                    regexp_replace(
                        pg_get_function_arg_default(p.oid, n), '::[a-z0-9" \\[\\]]+$', '')
                end)
            from generate_series(1, p.pronargs) as n order by n)
        from pg_proc as p
        where p.pronamespace = 'synapsor'::regnamespace and p.proname = %s
        """,
        [verb],
    ).fetchall()
    assert len(rows) == 1, f"{verb} exists once, so that named arguments always find it"
    return [argument.lower() for argument in rows[0][0]]


@pytest.mark.parametrize("verb", VERBS)
def test_verb(connection: psycopg.Connection[Any], verb: str) -> None:
    promised = [argument.strip() for argument in VERBS[verb].split(",") if argument.strip()]
    found = arguments_of(connection, verb)
    # A promised argument may have become optional; a promised default stays what it is.
    kept = [
        name if "=" in wanted else name.partition("=")[0]
        for wanted, name in zip(promised, found, strict=False)
    ]
    assert kept == promised
    assert all("=" in argument for argument in found[len(promised) :]), "what follows is optional"


@pytest.mark.parametrize("shape", SHAPES)
def test_shape(connection: psycopg.Connection[Any], shape: str) -> None:
    promised = SHAPES[shape].split()
    found = connection.execute(
        "select attname::text from pg_attribute where attrelid = %s::regclass"
        " and attnum > 0 and not attisdropped order by attnum",
        [f"synapsor.{shape}"],
    ).fetchall()
    assert [name for (name,) in found][: len(promised)] == promised
