create or replace view synapsor.synapsor_external_actions with (security_barrier) as
select
    action.action_id,
    action.tenant_id,
    action.action,
    action.version,
    action.provider,
    action.account,
    action.operation,
    action.queue,
    action.status,
    action.arguments,
    action.hidden,
    action.idempotency_key,
    action.payload_digest,
    action.digest,
    action.principal,
    action.approvals_required,
    action.approvals_given,
    action.approval_expires_at,
    action.scheduled_at,
    action.priority,
    action.ordering_key,
    action.attempts,
    action.max_attempts,
    action.available_at,
    action.worker_principal,
    action.worker_label,
    action.claim_token,
    action.lease_expires_at,
    action.delivery_started_at,
    action.provider_request_id,
    action.response,
    action.error_code,
    action.error_message,
    action.run_id,
    action.step_key,
    action.correlation_id,
    action.created_at,
    action.queued_at,
    action.finished_at,
    action.changed
from synapsor._actions as action
where action.kind = 'external' and action.is_opened;

grant select on synapsor.synapsor_external_actions to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_external_actions is
'The external actions of the reader''s tenants and where they stand (design.md section 5). Hidden
values, and the fields the contract redacts, are shown to auditors, to the worker that holds the
claim, and to whoever may decide on the approval.';
comment on column synapsor.synapsor_external_actions.action_id is
'act_ and a ULID; the invocation''s id too.';
comment on column synapsor.synapsor_external_actions.tenant_id is
'Tenant of the session that proposed it.';
comment on column synapsor.synapsor_external_actions.action is 'namespace.verb.';
comment on column synapsor.synapsor_external_actions.version is
'Version of the contract it was proposed under.';
comment on column synapsor.synapsor_external_actions.provider is 'Provider the contract names.';
comment on column synapsor.synapsor_external_actions.account is 'Account at the provider.';
comment on column synapsor.synapsor_external_actions.operation is 'Operation of the provider.';
comment on column synapsor.synapsor_external_actions.queue is
'Queue on which workers are offered it.';
comment on column synapsor.synapsor_external_actions.status is
'proposed, queued, claimed, unknown, succeeded, failed, rejected, expired or cancelled.';
comment on column synapsor.synapsor_external_actions.arguments is
'ARG values; redacted fields read [redacted].';
comment on column synapsor.synapsor_external_actions.hidden is
'HIDDEN values; [redacted] for most readers.';
comment on column synapsor.synapsor_external_actions.idempotency_key is
'Unique per tenant and action; given to the provider. Redacted where its template uses a hidden or
redacted value.';
comment on column synapsor.synapsor_external_actions.payload_digest is
'SHA-256 of the canonical JSON of action, arguments and hidden, in hex: tells an equal repeat.';
comment on column synapsor.synapsor_external_actions.digest is
'SHA-256 of the intent, in hex: what an approval is bound to.';
comment on column synapsor.synapsor_external_actions.principal is 'Who proposed it.';
comment on column synapsor.synapsor_external_actions.approvals_required is
'Distinct reviewers needed; 0 when none.';
comment on column synapsor.synapsor_external_actions.approvals_given is 'Approvals that count.';
comment on column synapsor.synapsor_external_actions.approval_expires_at is
'When the proposal expires unapproved.';
comment on column synapsor.synapsor_external_actions.scheduled_at is
'Not claimed before; null: at once.';
comment on column synapsor.synapsor_external_actions.priority is 'Head start in minutes.';
comment on column synapsor.synapsor_external_actions.ordering_key is
'Actions of one tenant, queue and ordering key are performed one after the other.';
comment on column synapsor.synapsor_external_actions.attempts is
'Claims of the current generation, without those lost before delivery began.';
comment on column synapsor.synapsor_external_actions.max_attempts is
'Attempts the contract allows; 1 where it is not idempotent.';
comment on column synapsor.synapsor_external_actions.available_at is
'When it may be claimed next; null once finished.';
comment on column synapsor.synapsor_external_actions.worker_principal is
'Worker that holds the claim, or ended the action.';
comment on column synapsor.synapsor_external_actions.worker_label is 'That worker''s own label.';
comment on column synapsor.synapsor_external_actions.claim_token is
'Token of the latest claim; grows with every claim.';
comment on column synapsor.synapsor_external_actions.lease_expires_at is
'When the claim ends by the database''s clock.';
comment on column synapsor.synapsor_external_actions.delivery_started_at is
'When the current or last delivery began.';
comment on column synapsor.synapsor_external_actions.provider_request_id is
'The provider''s id of what it did.';
comment on column synapsor.synapsor_external_actions.response is
'The provider''s answer, or the evidence it was settled with.';
comment on column synapsor.synapsor_external_actions.error_code is
'Of the last failure, or which way it was cancelled.';
comment on column synapsor.synapsor_external_actions.error_message is 'Of the last failure.';
comment on column synapsor.synapsor_external_actions.run_id is 'Run it is a step of.';
comment on column synapsor.synapsor_external_actions.step_key is 'Its step in that run.';
comment on column synapsor.synapsor_external_actions.correlation_id is
'Thread it belongs to; its own id by default.';
comment on column synapsor.synapsor_external_actions.created_at is 'When it was proposed.';
comment on column synapsor.synapsor_external_actions.queued_at is
'When it was last queued by approval, proposal or retry.';
comment on column synapsor.synapsor_external_actions.finished_at is 'When it ended.';
comment on column synapsor.synapsor_external_actions.changed is
'Of rows returned by verbs: false when the call found everything done already. Always false here.';
