"""One typed method per SQL verb, and no SQL beyond the call.

A ``Client`` works on any psycopg connection, inside whatever transaction its caller has opened:
it never commits, rolls back or opens one. A refusal (SQLSTATE class SY) is raised as the exception
of ``synapsor_pg.errors``; every other database error is passed on as psycopg raised it.
"""

# ruff: noqa: PLR0913 - the arguments are those of the SQL face

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.rows import scalar_row
from psycopg.types.json import Jsonb

from synapsor_pg.errors import from_database
from synapsor_pg.models import (
    Claim,
    Confirmation,
    ConfirmationResult,
    Contract,
    DeliveryStart,
    Entitlement,
    EventReplay,
    ExternalAction,
    Invocation,
    Json,
    JsonObject,
    Member,
    Module,
    Plan,
    Policy,
    PolicyReplay,
    Provider,
    Redaction,
    Run,
    StateMachine,
    Step,
    Suspension,
    TenantWeight,
    WorkerPresence,
    Workflow,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from psycopg.rows import RowFactory

Model = TypeVar("Model")


@lru_cache(maxsize=512)
def _call(function: str, arguments: tuple[str, ...]) -> bytes:
    """Return the statement that calls a function with named arguments."""
    named = ", ".join(f"{name} => %({name})s" for name in arguments)
    return f"select * from synapsor.{function}({named})".encode()  # noqa: S608 - names are ours


def _interval(value: timedelta | str | None) -> str | None:
    """Return an interval in a form that jsonb can carry."""
    return f"{value.total_seconds()} seconds" if isinstance(value, timedelta) else value


def _item(entry: Confirmation | DeliveryStart) -> JsonObject:
    """Return an entry of a batch as the database expects it: absent keys mean the default."""
    names = type(entry).__slots__
    item = {name: value for name in names if (value := getattr(entry, name)) is not None}
    if "retry_after" in item:
        item["retry_after"] = _interval(item["retry_after"])
    return item


class Client:
    """The extension's verbs on one connection. Arguments left out keep the SQL default."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Use the connection; its transactions stay the caller's."""
        self._connection = connection

    # how a verb is called

    def _execute(
        self, function: str, row_factory: RowFactory[Model], arguments: Mapping[str, Any]
    ) -> psycopg.Cursor[Model]:
        given = {name: value for name, value in arguments.items() if value is not None}
        cursor = self._connection.cursor(row_factory=row_factory)
        try:
            self._send(cursor, _call(function, tuple(given)), given)
        except psycopg.Error as error:
            refusal = from_database(error)
            if refusal is None:
                raise
            raise refusal from error
        return cursor

    def _send(self, cursor: psycopg.Cursor[Any], statement: bytes, given: dict[str, Any]) -> None:
        cursor.execute(statement, given)

    def _rows(self, function: str, model: type[Model], **arguments: Any) -> list[Model]:
        return self._execute(function, rows_of(model), arguments).fetchall()

    def _row(self, function: str, model: type[Model], **arguments: Any) -> Model:
        row = self._execute(function, rows_of(model), arguments).fetchone()
        if row is None:
            message = f"synapsor.{function} returned no row"
            raise LookupError(message)
        return row

    def _value(self, function: str, **arguments: Any) -> Any:
        return self._execute(function, scalar_row, arguments).fetchone()

    # session (design: authority)

    def open_session(self, token: str) -> JsonObject:
        """Open the trusted session of a signed token, for this transaction; return it."""
        session: JsonObject = self._value("open_session", token=token)
        return session

    def set_session(self, context: JsonObject) -> JsonObject:
        """Open the session that a gateway vouches for, for this transaction; return it."""
        session: JsonObject = self._value("set_session", context=Jsonb(context))
        return session

    def current_session(self) -> JsonObject:
        """Return the session that this transaction acts under."""
        session: JsonObject = self._value("current_session")
        return session

    def close_session(self) -> None:
        """End the session before the transaction ends."""
        self._value("close_session")

    def bind_role(self, login: str, context: JsonObject | None) -> JsonObject | None:
        """Bind a login to a fixed session context; None unbinds it."""
        binding: JsonObject | None = self._value("bind_role", login=login, context=Jsonb(context))
        return binding

    def add_session_key(
        self, kid: str, secret: str, *, scope: JsonObject | None = None
    ) -> JsonObject:
        """Add a key that signs session tokens; return the scope that bounds what it may assert."""
        bounds: JsonObject = self._value(
            "add_session_key", kid=kid, secret=secret, scope=None if scope is None else Jsonb(scope)
        )
        return bounds

    def remove_session_key(self, kid: str) -> None:
        """Remove a key: its tokens open no further session."""
        self._value("remove_session_key", kid=kid)

    # contracts

    def declare_action(self, definition: JsonObject) -> Contract:
        """Store the next version of a contract; equal to the latest version: return that."""
        return self._row("declare_action", Contract, definition=Jsonb(definition))

    def retire_action(self, action: str, *, version: int | None = None) -> list[Contract]:
        """Retire one version, or all; what is in flight finishes."""
        return self._rows("retire_action", Contract, action=action, version=version)

    def declare_plan(self, definition: JsonObject) -> Plan:
        """Store the next version of a plan; equal to the latest version: return that."""
        return self._row("declare_plan", Plan, definition=Jsonb(definition))

    def declare_workflow(self, definition: JsonObject) -> Workflow:
        """Store the next version of a workflow contract; equal to the latest: return that."""
        return self._row("declare_workflow", Workflow, definition=Jsonb(definition))

    def declare_provider(self, definition: JsonObject) -> Provider:
        """Set the limits and the breaker of a provider's account."""
        return self._row("declare_provider", Provider, definition=Jsonb(definition))

    def weigh_tenant(self, tenant_id: str, weight: int) -> TenantWeight:
        """Say how many times the share of another tenant's this one gets of the claims."""
        return self._row("weigh_tenant", TenantWeight, tenant_id=tenant_id, weight=weight)

    # the mutation pipeline

    def declare_module(self, namespace: str, *, description: str | None = None) -> Module:
        """Declare a module: from now on its actions are for entitled tenants only."""
        return self._row("declare_module", Module, namespace=namespace, description=description)

    def entitle_tenant(
        self, tenant_id: str, namespace: str, *, enabled: bool | None = None
    ) -> Entitlement:
        """Say whether a tenant may use a declared module."""
        return self._row(
            "entitle_tenant",
            Entitlement,
            tenant_id=tenant_id,
            namespace=namespace,
            enabled=enabled,
        )

    def set_member(
        self,
        tenant_id: str,
        principal: str,
        *,
        roles: Sequence[str] | None = None,
        permissions: Sequence[str] | None = None,
    ) -> Member:
        """Set the roles and permissions a principal holds within a tenant."""
        return self._row(
            "set_member",
            Member,
            tenant_id=tenant_id,
            principal=principal,
            roles=None if roles is None else list(roles),
            permissions=None if permissions is None else list(permissions),
        )

    def declare_policy(self, definition: JsonObject) -> Policy:
        """Register a policy; its id is immutable."""
        return self._row("declare_policy", Policy, definition=Jsonb(definition))

    def declare_state_machine(self, definition: JsonObject) -> StateMachine:
        """Store the next version of an entity type's state machine."""
        return self._row("declare_state_machine", StateMachine, definition=Jsonb(definition))

    def declare_redaction(
        self, data_class: str, field_path: str, method: str, *, reason: str | None = None
    ) -> Redaction:
        """Redact a field of a class of documents whenever it is shown."""
        return self._row(
            "declare_redaction",
            Redaction,
            data_class=data_class,
            field_path=field_path,
            method=method,
            reason=reason,
        )

    def replay_policy(
        self,
        policy: str,
        since: datetime,
        until: datetime,
        *,
        definition: JsonObject | None = None,
    ) -> list[PolicyReplay]:
        """Say what a policy, or a draft of it, would have done with past invocations."""
        return self._rows(
            "replay_policy",
            PolicyReplay,
            policy=policy,
            since=since,
            until=until,
            definition=None if definition is None else Jsonb(definition),
        )

    def replay_events(
        self,
        subject_type: str,
        subject_id: str,
        initial: Any,
        reducer: str,
        *,
        after_sequence: int | None = None,
    ) -> EventReplay:
        """Fold a subject's events into a state with a reducer named by its signature."""
        return self._row(
            "replay_events",
            EventReplay,
            subject_type=subject_type,
            subject_id=subject_id,
            initial=Jsonb(initial),
            reducer=reducer,
            after_sequence=after_sequence,
        )

    # the path

    def invoke_action(
        self,
        action: str,
        parameters: JsonObject,
        *,
        idempotency_key: str | None = None,
        run_id: str | None = None,
        step_key: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        scheduled_at: datetime | None = None,
        version: int | None = None,
    ) -> Invocation:
        """Attempt an action; from the moment its row exists a refusal is a status, not an error."""
        return self._row(
            "invoke_action",
            Invocation,
            action=action,
            parameters=Jsonb(parameters),
            idempotency_key=idempotency_key,
            run_id=run_id,
            step_key=step_key,
            correlation_id=correlation_id,
            causation_id=causation_id,
            scheduled_at=scheduled_at,
            version=version,
        )

    def propose_external_action(
        self,
        action: str,
        arguments: JsonObject,
        *,
        idempotency_key: str | None = None,
        run_id: str | None = None,
        step_key: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        scheduled_at: datetime | None = None,
        version: int | None = None,
    ) -> ExternalAction:
        """Propose an action inside a business transaction; a refusal raises."""
        return self._row(
            "propose_external_action",
            ExternalAction,
            action=action,
            arguments=Jsonb(arguments),
            idempotency_key=idempotency_key,
            run_id=run_id,
            step_key=step_key,
            correlation_id=correlation_id,
            causation_id=causation_id,
            scheduled_at=scheduled_at,
            version=version,
        )

    def propose_external_actions(
        self,
        action: str,
        arguments: Sequence[JsonObject],
        *,
        idempotency_keys: Sequence[str | None] | None = None,
        run_id: str | None = None,
        step_key: str | None = None,
        correlation_id: str | None = None,
        scheduled_at: datetime | None = None,
        version: int | None = None,
    ) -> list[ExternalAction]:
        """Propose many actions of one contract, all or nothing."""
        return self._rows(
            "propose_external_actions",
            ExternalAction,
            action=action,
            arguments=[Jsonb(each) for each in arguments],
            idempotency_keys=None if idempotency_keys is None else list(idempotency_keys),
            run_id=run_id,
            step_key=step_key,
            correlation_id=correlation_id,
            scheduled_at=scheduled_at,
            version=version,
        )

    def preview_action(self, action: str, parameters: JsonObject) -> JsonObject:
        """Return what would happen; nothing is stored."""
        preview: JsonObject = self._value(
            "preview_action", action=action, parameters=Jsonb(parameters)
        )
        return preview

    # approval

    def approve_external_action(
        self, action_id: str, *, note: str | None = None, expected_digest: str | None = None
    ) -> ExternalAction:
        """Record this reviewer's approval; with a digest, of exactly that intent."""
        return self._row(
            "approve_external_action",
            ExternalAction,
            action_id=action_id,
            note=note,
            expected_digest=expected_digest,
        )

    def reject_external_action(self, action_id: str, note: str | None = None) -> ExternalAction:
        """Reject an action, for good."""
        return self._row("reject_external_action", ExternalAction, action_id=action_id, note=note)

    def cancel_external_action(self, action_id: str, reason: str | None = None) -> ExternalAction:
        """Cancel an action that has not begun to be delivered."""
        return self._row(
            "cancel_external_action", ExternalAction, action_id=action_id, reason=reason
        )

    # delivery

    def claim_external_actions(
        self,
        queue: str,
        *,
        max_actions: int | None = None,
        lease: timedelta | str | None = None,
        worker_label: str | None = None,
        purpose: str | None = None,
        begin: bool | None = None,
    ) -> list[Claim]:
        """Lease due actions of a queue; ``begin=False``: begin_delivery follows before sending."""
        return self._rows(
            "claim_external_actions",
            Claim,
            queue=queue,
            max_actions=max_actions,
            lease=lease,
            worker_label=worker_label,
            purpose=purpose,
            begin=begin,
        )

    def begin_delivery(
        self, action_id: str, claim_token: int, *, request_digest: str | None = None
    ) -> ExternalAction:
        """Record that the first byte is about to be sent."""
        return self._row(
            "begin_delivery",
            ExternalAction,
            action_id=action_id,
            claim_token=claim_token,
            request_digest=request_digest,
        )

    def begin_deliveries(self, deliveries: Sequence[DeliveryStart]) -> list[ExternalAction]:
        """Begin several deliveries in one statement."""
        return self._rows(
            "begin_deliveries",
            ExternalAction,
            deliveries=Jsonb([_item(each) for each in deliveries]),
        )

    def extend_claim(
        self, action_id: str, claim_token: int, *, lease: timedelta | str | None = None
    ) -> ExternalAction:
        """Renew a lease that has not ended."""
        return self._row(
            "extend_claim",
            ExternalAction,
            action_id=action_id,
            claim_token=claim_token,
            lease=lease,
        )

    def release_claim(
        self,
        action_id: str,
        claim_token: int,
        *,
        delay: timedelta | str | None = None,
        error_code: str | None = None,
        error_message: str | None = None,
    ) -> ExternalAction:
        """Give a claim back, and say why; after the beginning this counts as a lost lease."""
        return self._row(
            "release_claim",
            ExternalAction,
            action_id=action_id,
            claim_token=claim_token,
            delay=delay,
            error_code=error_code,
            error_message=error_message,
        )

    def confirm_external_action(
        self,
        action_id: str,
        status: str,
        *,
        response: Json = None,
        provider_request_id: str | None = None,
        error_code: str | None = None,
        error_message: str | None = None,
        retry_after: timedelta | str | None = None,
        retryable: bool | None = None,
        claim_token: int | None = None,
    ) -> ExternalAction:
        """Record the outcome of a claimed action; a refusal raises."""
        return self._row(
            "confirm_external_action",
            ExternalAction,
            action_id=action_id,
            status=status,
            response=None if response is None else Jsonb(response),
            provider_request_id=provider_request_id,
            error_code=error_code,
            error_message=error_message,
            retry_after=retry_after,
            retryable=retryable,
            claim_token=claim_token,
        )

    def confirm_external_actions(
        self, confirmations: Sequence[Confirmation]
    ) -> list[ConfirmationResult]:
        """Record many outcomes, each judged on its own; none raises."""
        return self._rows(
            "confirm_external_actions",
            ConfirmationResult,
            confirmations=Jsonb([_item(each) for each in confirmations]),
        )

    def settle_external_action(
        self,
        action_id: str,
        status: str,
        *,
        evidence: JsonObject | None = None,
        note: str | None = None,
        claim_token: int | None = None,
    ) -> ExternalAction:
        """Say what became of an ``unknown`` action: succeeded, failed or queued (not done)."""
        return self._row(
            "settle_external_action",
            ExternalAction,
            action_id=action_id,
            status=status,
            evidence=None if evidence is None else Jsonb(evidence),
            note=note,
            claim_token=claim_token,
        )

    def retry_external_action(self, action_id: str, note: str | None = None) -> ExternalAction:
        """Queue a ``failed`` action again, under a new generation of its provider key."""
        return self._row("retry_external_action", ExternalAction, action_id=action_id, note=note)

    # housekeeping

    def expire_claims(self, *, max_actions: int | None = None) -> int:
        """Take back leases that ended; return how many."""
        return int(self._value("expire_claims", max_actions=max_actions) or 0)

    def expire_approvals(self, *, max_actions: int | None = None) -> int:
        """Expire what waited too long for a verdict; return how many."""
        return int(self._value("expire_approvals", max_actions=max_actions) or 0)

    def run_due_steps(self, *, max_steps: int | None = None) -> int:
        """Go on with what confirmed outcomes have made due; return how many."""
        return int(self._value("run_due_steps", max_steps=max_steps) or 0)

    def worker_heartbeat(self, worker_label: str, queues: Sequence[str]) -> WorkerPresence:
        """Say that this worker lives."""
        return self._row(
            "worker_heartbeat", WorkerPresence, worker_label=worker_label, queues=list(queues)
        )

    def purge(self, before: datetime, *, max_actions: int | None = None) -> int:
        """Remove finished invocations older than that, whole; return how many."""
        return int(self._value("purge", before=before, max_actions=max_actions) or 0)

    def suspend(self, kind: str, name: str, reason: str) -> Suspension:
        """Stop claims by queue, provider, action, tenant, principal, or all."""
        return self._row("suspend", Suspension, kind=kind, name=name, reason=reason)

    def resume(self, kind: str, name: str) -> Suspension | None:
        """Lift a suspension and return it; None when there was none."""
        lifted = self._row("resume", Suspension, kind=kind, name=name)
        return None if lifted.suspended_at is None else lifted

    def quarantine_after_restore(self, reason: str) -> int:
        """After a restore with loss: halt delivery, make what may have been sent ``unknown``."""
        return int(self._value("quarantine_after_restore", reason=reason) or 0)

    # runs

    def start_agent_run(
        self,
        *,
        workflow: str | None = None,
        input: JsonObject | None = None,  # noqa: A002 - the SQL argument's name
        version: str | None = None,
    ) -> Run:
        """Start a run that actions and steps hang on."""
        return self._row(
            "start_agent_run",
            Run,
            workflow=workflow,
            input=None if input is None else Jsonb(input),
            version=version,
        )

    def record_agent_step(
        self,
        run_id: str,
        step_key: str,
        *,
        kind: str | None = None,
        name: str | None = None,
        status: str | None = None,
        input: JsonObject | None = None,  # noqa: A002 - the SQL argument's name
        output: JsonObject | None = None,
        parent_step_key: str | None = None,
        risk: str | None = None,
        evidence: JsonObject | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
    ) -> Step:
        """Record one step of a run."""
        return self._row(
            "record_agent_step",
            Step,
            run_id=run_id,
            step_key=step_key,
            kind=kind,
            name=name,
            status=status,
            input=None if input is None else Jsonb(input),
            output=None if output is None else Jsonb(output),
            parent_step_key=parent_step_key,
            risk=risk,
            evidence=None if evidence is None else Jsonb(evidence),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
        )

    def checkpoint_agent_run(
        self, run_id: str, step_key: str, *, payload: JsonObject | None = None
    ) -> Step:
        """Record a checkpoint."""
        return self._row(
            "checkpoint_agent_run",
            Step,
            run_id=run_id,
            step_key=step_key,
            payload=None if payload is None else Jsonb(payload),
        )

    def interrupt_agent_run(
        self, run_id: str, step_key: str, reason: str, *, payload: JsonObject | None = None
    ) -> Step:
        """Record that the run waits for somebody."""
        return self._row(
            "interrupt_agent_run",
            Step,
            run_id=run_id,
            step_key=step_key,
            reason=reason,
            payload=None if payload is None else Jsonb(payload),
        )

    def hand_off_agent_run(
        self,
        run_id: str,
        step_key: str,
        target: str,
        *,
        reason: str | None = None,
        payload: JsonObject | None = None,
    ) -> Step:
        """Record that the run was handed to another agent or person."""
        return self._row(
            "hand_off_agent_run",
            Step,
            run_id=run_id,
            step_key=step_key,
            target=target,
            reason=reason,
            payload=None if payload is None else Jsonb(payload),
        )

    def record_guardrail_event(
        self,
        run_id: str,
        step_key: str,
        *,
        status: str | None = None,
        payload: JsonObject | None = None,
    ) -> Step:
        """Record what a guardrail said."""
        return self._row(
            "record_guardrail_event",
            Step,
            run_id=run_id,
            step_key=step_key,
            status=status,
            payload=None if payload is None else Jsonb(payload),
        )

    def complete_agent_run(
        self, run_id: str, *, status: str | None = None, output: JsonObject | None = None
    ) -> Run:
        """Finish a run; ``waiting_approval`` keeps it open."""
        return self._row(
            "complete_agent_run",
            Run,
            run_id=run_id,
            status=status,
            output=None if output is None else Jsonb(output),
        )

    # plans

    def start_plan(
        self,
        plan: str,
        parameters: JsonObject | None = None,
        *,
        dry_run: bool | None = None,
        version: int | None = None,
        correlation_id: str | None = None,
    ) -> Run:
        """Start a plan; what needs not wait has run when this returns."""
        return self._row(
            "start_plan",
            Run,
            plan=plan,
            parameters=None if parameters is None else Jsonb(parameters),
            dry_run=dry_run,
            version=version,
            correlation_id=correlation_id,
        )

    def cancel_run(self, run_id: str, reason: str | None = None) -> Run:
        """Start nothing new of a run; what is claimed finishes, what took effect is undone."""
        return self._row("cancel_run", Run, run_id=run_id, reason=reason)

    def resume_run(self, run_id: str) -> Run:
        """Continue a failed run, with the nodes it has completed."""
        return self._row("resume_run", Run, run_id=run_id)

    # explanations and statements

    def explain_plan(
        self,
        plan: str,
        parameters: JsonObject | None = None,
        *,
        format: str | None = None,  # noqa: A002 - the SQL argument's name
        version: int | None = None,
    ) -> str:
        """Return what a plan would do; nothing of it is done."""
        return str(
            self._value(
                "explain_plan",
                plan=plan,
                parameters=None if parameters is None else Jsonb(parameters),
                format=format,
                version=version,
            )
        )

    def explain_agent_run(self, run_id: str, *, format: str | None = None) -> str:  # noqa: A002
        """Return the run as a tree (text) or another format."""
        return str(self._value("explain_agent_run", run_id=run_id, format=format))

    def explain_action(self, action_id: str, *, format: str | None = None) -> str:  # noqa: A002
        """Return what became of an action, and why it does not run, as text or json."""
        return str(self._value("explain_action", action_id=action_id, format=format))

    def execute(self, statement: str) -> list[Json]:
        """Execute one statement of the documented language; one value per row."""
        return self._execute("execute", scalar_row, {"statement": statement}).fetchall()
