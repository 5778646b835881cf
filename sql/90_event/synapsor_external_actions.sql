create or replace view synapsor.synapsor_external_actions with (security_barrier) as
with reader as materialized (
    select * from synapsor._reader
)

select
    invocation.action_id,
    invocation.tenant_id,
    invocation.action,
    invocation.version,
    contract.provider,
    invocation.account,
    contract.operation,
    invocation.queue,
    coalesce(open.status, outcome.status) as status,
    case
        when disclosure.is_full then document.intent -> 'arguments'
        else synapsor._redact(document.intent -> 'arguments', contract.redacted_fields)
    end as arguments,
    case
        when disclosure.is_full then document.intent -> 'hidden'
        else synapsor._redact(document.intent -> 'hidden', contract.hidden_names)
    end as hidden,
    case
        when disclosure.is_full or not (invocation.key_from_template and contract.key_is_sensitive)
            then invocation.idempotency_key
        else '[redacted]'
    end as idempotency_key,
    encode(invocation.payload_digest, 'hex') as payload_digest,
    encode(invocation.digest, 'hex') as digest,
    invocation.actor as principal,
    coalesce(request.approvals_required, 0)::integer as approvals_required,
    case when request.action_id is null then 0 else (
        select count(*)
        from synapsor.approvals as approval
        where
            approval.action_id = invocation.action_id and approval.verdict = 'approved'
            and approval.voided_at is null
    ) end::integer as approvals_given,
    request.expires_at as approval_expires_at,
    invocation.scheduled_at,
    contract.priority::integer as priority,
    case
        when
            invocation.ordering_key is null or disclosure.is_full or not contract.ordering_key_is_sensitive
            then invocation.ordering_key
        else '[redacted]'
    end as ordering_key,
    coalesce(open.attempts, outcome.attempt, 0)::integer as attempts,
    contract.max_attempts::integer as max_attempts,
    open.available_at,
    case when open.status = 'claimed' then open.worker_principal else outcome.worker_principal end as worker_principal,
    case when open.status = 'claimed' then open.worker_label else outcome.worker_label end as worker_label,
    coalesce(open.claim_token, outcome.claim_token) as claim_token,
    open.lease_expires_at,
    coalesce(open.delivery_started_at, outcome.delivery_started_at) as delivery_started_at,
    outcome.provider_request_id,
    coalesce(outcome.detail -> 'response', outcome.detail -> 'evidence') as response,
    coalesce(open.error_code, outcome.error_code) as error_code,
    coalesce(open.error_message, outcome.detail ->> 'error_message') as error_message,
    invocation.run_id,
    invocation.step_key,
    coalesce(invocation.correlation_id, invocation.action_id) as correlation_id,
    invocation.created_at,
    case when open.action_id is null then (
        select max(event.occurred_at)
        from synapsor.external_action_events as event
        where event.action_id = invocation.action_id and event.event_type in ('Queued', 'Retried')
    ) else open.queued_at end as queued_at,
    outcome.occurred_at as finished_at,
    false as changed
from synapsor.action_invocations as invocation
inner join synapsor.action_contracts as contract using (action, version)
cross join reader
left join synapsor.open_external_actions as open using (action_id)
left join synapsor.approval_requests as request using (action_id)
left join lateral (
    select event.*
    from synapsor.external_action_events as event
    where
        event.action_id = invocation.action_id and open.action_id is null
        and event.event_type <> 'LateConfirmation'
    order by event.sequence desc
    limit 1
) as outcome on true
cross join lateral (select invocation.intent::jsonb as intent) as document
cross join lateral (
    select
        reader.audits
        or coalesce(
            reader.works and open.status = 'claimed' and open.worker_principal = reader.principal
            and open.lease_expires_at > synapsor._now(), false
        )
        or coalesce(
            reader.approves and reader.is_person and open.status = 'proposed'
            and (request.role is null or reader.roles ? request.role), false
        ) as is_full
) as disclosure
where
    contract.kind = 'external' and invocation.intent is not null
    and (open.action_id is not null or outcome.action_id is not null)
    and (reader.sees_every_tenant or invocation.tenant_id = any(reader.tenants));

grant select on synapsor.synapsor_external_actions to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_external_actions is
    'The external actions of the reader''s tenants and where they stand (design.md section 5). Hidden values, and the fields the contract '
    'redacts, are shown to auditors, to the worker that holds the claim, and to whoever may decide on the approval.';
comment on column synapsor.synapsor_external_actions.action_id is 'act_ and a ULID; the invocation''s id too.';
comment on column synapsor.synapsor_external_actions.tenant_id is 'Tenant of the session that proposed it.';
comment on column synapsor.synapsor_external_actions.action is 'namespace.verb.';
comment on column synapsor.synapsor_external_actions.version is 'Version of the contract it was proposed under.';
comment on column synapsor.synapsor_external_actions.provider is 'Provider the contract names.';
comment on column synapsor.synapsor_external_actions.account is 'Account at the provider.';
comment on column synapsor.synapsor_external_actions.operation is 'Operation of the provider.';
comment on column synapsor.synapsor_external_actions.queue is 'Queue on which workers are offered it.';
comment on column synapsor.synapsor_external_actions.status is
    'proposed, queued, claimed, unknown, succeeded, failed, rejected, expired or cancelled.';
comment on column synapsor.synapsor_external_actions.arguments is 'ARG values; redacted fields read [redacted].';
comment on column synapsor.synapsor_external_actions.hidden is 'HIDDEN values; [redacted] for most readers.';
comment on column synapsor.synapsor_external_actions.idempotency_key is
    'Unique per tenant and action; given to the provider. Redacted where its template uses a hidden or redacted value.';
comment on column synapsor.synapsor_external_actions.payload_digest is
    'SHA-256 of the canonical JSON of action, arguments and hidden, in hex: tells an equal repeat.';
comment on column synapsor.synapsor_external_actions.digest is 'SHA-256 of the intent, in hex: what an approval is bound to.';
comment on column synapsor.synapsor_external_actions.principal is 'Who proposed it.';
comment on column synapsor.synapsor_external_actions.approvals_required is 'Distinct reviewers needed; 0 when none.';
comment on column synapsor.synapsor_external_actions.approvals_given is 'Approvals that count.';
comment on column synapsor.synapsor_external_actions.approval_expires_at is 'When the proposal expires unapproved.';
comment on column synapsor.synapsor_external_actions.scheduled_at is 'Not claimed before; null: at once.';
comment on column synapsor.synapsor_external_actions.priority is 'Head start in minutes.';
comment on column synapsor.synapsor_external_actions.ordering_key is
    'Actions of one tenant, queue and ordering key are performed one after the other.';
comment on column synapsor.synapsor_external_actions.attempts is
    'Claims of the current generation, without those lost before delivery began.';
comment on column synapsor.synapsor_external_actions.max_attempts is 'Attempts the contract allows; 1 where it is not idempotent.';
comment on column synapsor.synapsor_external_actions.available_at is 'When it may be claimed next; null once finished.';
comment on column synapsor.synapsor_external_actions.worker_principal is 'Worker that holds the claim, or ended the action.';
comment on column synapsor.synapsor_external_actions.worker_label is 'That worker''s own label.';
comment on column synapsor.synapsor_external_actions.claim_token is 'Token of the latest claim; grows with every claim.';
comment on column synapsor.synapsor_external_actions.lease_expires_at is 'When the claim ends by the database''s clock.';
comment on column synapsor.synapsor_external_actions.delivery_started_at is 'When the current or last delivery began.';
comment on column synapsor.synapsor_external_actions.provider_request_id is 'The provider''s id of what it did.';
comment on column synapsor.synapsor_external_actions.response is 'The provider''s answer, or the evidence it was settled with.';
comment on column synapsor.synapsor_external_actions.error_code is 'Of the last failure, or which way it was cancelled.';
comment on column synapsor.synapsor_external_actions.error_message is 'Of the last failure.';
comment on column synapsor.synapsor_external_actions.run_id is 'Run it is a step of.';
comment on column synapsor.synapsor_external_actions.step_key is 'Its step in that run.';
comment on column synapsor.synapsor_external_actions.correlation_id is 'Thread it belongs to; its own id by default.';
comment on column synapsor.synapsor_external_actions.created_at is 'When it was proposed.';
comment on column synapsor.synapsor_external_actions.queued_at is 'When it was last queued by approval, proposal or retry.';
comment on column synapsor.synapsor_external_actions.finished_at is 'When it ended.';
comment on column synapsor.synapsor_external_actions.changed is
    'Of rows returned by verbs: false when the call found everything done already. Always false here.';
