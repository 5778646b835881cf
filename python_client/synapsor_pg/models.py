"""The rows that the extension's functions return, column for column.

A newer extension may return further columns; they are ignored here.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from psycopg import Cursor

Json = Any
"""A value decoded from jsonb."""

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One version of an action contract (``synapsor_action_contracts``)."""

    action: str
    version: int
    label: str | None
    kind: str
    definition: JsonObject
    digest: str
    declared_by: str
    declared_at: datetime
    retired_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One attempt to perform an action (``synapsor_action_invocations``)."""

    action_id: str
    tenant_id: str
    action: str
    version: int
    kind: str
    actor: str
    actor_type: str
    status: str
    delivery_status: str | None
    parameters: Json
    hidden: Json
    idempotency_key: str | None
    payload_digest: str | None
    run_id: str | None
    step_key: str | None
    correlation_id: str | None
    causation_id: str | None
    result: Json
    error_code: str | None
    error_message: str | None
    violations: Json
    created_at: datetime
    completed_at: datetime | None
    changed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalAction:
    """The outbox side of an invocation (``synapsor_external_actions``).

    ``changed`` is false when the call found everything done already.
    """

    action_id: str
    tenant_id: str
    action: str
    version: int
    provider: str | None
    account: str | None
    operation: str | None
    queue: str | None
    status: str
    arguments: Json
    hidden: Json
    idempotency_key: str | None
    payload_digest: str | None
    digest: str | None
    principal: str
    approvals_required: int | None
    approvals_given: int | None
    approval_expires_at: datetime | None
    scheduled_at: datetime | None
    priority: int | None
    ordering_key: str | None
    attempts: int | None
    max_attempts: int | None
    available_at: datetime | None
    worker_principal: str | None
    worker_label: str | None
    claim_token: int | None
    lease_expires_at: datetime | None
    delivery_started_at: datetime | None
    provider_request_id: str | None
    response: Json
    error_code: str | None
    error_message: str | None
    run_id: str | None
    step_key: str | None
    correlation_id: str | None
    created_at: datetime
    queued_at: datetime | None
    finished_at: datetime | None
    changed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A worker's fenced lease on one action, with all that is needed to perform it.

    ``lease_expires_at`` is the database's time: never compare it with this machine's clock.
    ``delivery_started_at`` is set when an earlier attempt may have reached the provider.
    """

    action_id: str
    claim_token: int
    tenant_id: str
    action: str
    version: int
    provider: str
    account: str | None
    operation: str
    queue: str
    arguments: JsonObject
    intent: str
    digest: str
    idempotency_key: str
    attempt: int
    lease_expires_at: datetime
    delivery_started_at: datetime | None
    purpose: str
    run_id: str | None
    step_key: str | None
    correlation_id: str | None
    traceparent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryStart:
    """One item of ``begin_deliveries``."""

    action_id: str
    claim_token: int
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """One item of ``confirm_external_actions``: an outcome to be recorded."""

    action_id: str
    status: str
    response: Json = None
    provider_request_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    retry_after: timedelta | None = None
    retryable: bool | None = None
    claim_token: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationResult:
    """What became of one confirmation of a batch."""

    action_id: str
    accepted: bool
    changed: bool
    status: str | None
    error_code: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An agent workflow run or plan instance (``synapsor_agent_workflow_runs``)."""

    run_id: str
    tenant_id: str
    workflow: str | None
    plan: str | None
    version: str | None
    state: str
    status: str | None
    principal: str
    input: Json
    output: Json
    correlation_id: str | None
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A node of a run's graph (``synapsor_agent_run_steps``)."""

    step_id: str
    run_id: str
    step_key: str
    parent_step_key: str | None
    relation: str | None
    kind: str
    name: str | None
    state: str
    status: str | None
    branch_status: str | None
    sequence: int
    execute_case: Json
    input: Json
    exit_data: Json
    exit_code: int | None
    message: str | None
    pid: int | None
    security_context: Json
    risk: str | None
    action_id: str | None
    input_tokens: int | None
    output_tokens: int | None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPresence:
    """Who is alive (``synapsor_workers``)."""

    worker_principal: str
    worker_label: str
    queues: list[str]
    last_seen_at: datetime
    held: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A declared module: its actions are for entitled tenants only."""

    namespace: str
    description: str | None
    declared_by: str
    declared_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """Whether a tenant may use a module."""

    tenant_id: str
    namespace: str
    enabled: bool
    decided_by: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What a principal holds within a tenant."""

    tenant_id: str
    principal: str
    roles: list[str]
    permissions: list[str]
    decided_by: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A registered policy, immutable under its id."""

    policy: str
    kind: str
    mode: str
    definition: JsonObject
    digest: str
    declared_by: str
    declared_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StateMachine:
    """One version of the states of an entity type and of the ways between them."""

    entity_type: str
    version: int
    states: JsonObject
    transitions: list[JsonObject]
    description: str | None
    declared_by: str
    declared_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One version of a tree of actions (``synapsor_plans``)."""

    plan: str
    version: int
    name: str
    label: str | None
    nodes: int
    definition: JsonObject
    declared_by: str
    declared_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """One version of the contract that bounds an agent's run (``synapsor_workflows``)."""

    workflow: str
    version: int
    label: str | None
    definition: JsonObject
    declared_by: str
    declared_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """The limits and the breaker of an account with a provider."""

    provider: str
    account: str
    version: int
    definition: JsonObject
    declared_by: str
    declared_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantWeight:
    """How large a tenant's share of the claims is."""

    tenant_id: str
    weight: int
    decided_by: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """What is redacted when documents of a class are shown."""

    data_class: str
    field_path: str
    method: str
    reason: str | None
    declared_by: str
    declared_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyReplay:
    """What a policy says of a past invocation, beside what was recorded."""

    action_id: str
    recorded: str | None
    replayed: str | None
    differs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EventReplay:
    """A subject's state, folded from its events."""

    state: Any
    applied: int
    sequence: int
    warnings: list[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    """What is suspended, by whom and why."""

    kind: str | None
    name: str | None
    reason: str | None
    suspended_by: str | None
    suspended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingApproval:
    """An action, or a step of a run, that waits for a reviewer (``synapsor_pending_approvals``)."""

    action_id: str
    tenant_id: str
    action: str
    version: int | None
    arguments: Json
    digest: str
    proposed_by: str
    required_role: str | None
    approvals_required: int
    approvals_given: int
    reviewers: list[str] | None
    risk: str | None
    reason: str | None
    created_at: datetime
    expires_at: datetime | None


Model = TypeVar("Model")


def rows_of(model: type[Model]) -> Callable[[Cursor[Any]], Callable[[Sequence[Any]], Model]]:
    """Return a psycopg row factory for a model: matches columns by name, ignores unknown ones."""
    names = frozenset(model.__annotations__)

    def factory(cursor: Cursor[Any]) -> Callable[[Sequence[Any]], Model]:
        columns = [column.name for column in cursor.description or ()]
        known = [name for name in columns if name in names]
        pick = itemgetter(*(columns.index(name) for name in known))

        def make(values: Sequence[Any]) -> Model:
            return model(**dict(zip(known, pick(values), strict=True)))

        return make

    return factory
