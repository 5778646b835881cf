-- Every accepted invocation and where it stands, redacted for its reader: the one place that joins
-- state, outcome and approval. The documented views and the rows that verbs return are read from
-- here.
create or replace view synapsor._actions with (security_barrier) as
with reader as materialized (
    select
        *,
        synapsor._has_redactions('action_evidence') as redacts
    from synapsor._reader
)

select
    invocation.action_id,
    invocation.tenant_id,
    invocation.action,
    invocation.version,
    contract.provider,
    case
        when disclosure.is_full or not contract.definition ->> 'account' ~ '\{'
            then invocation.account
        else '[redacted]'
    end as account,
    contract.operation,
    invocation.queue,
    coalesce(
        open.status,
        case when outcome.event_type <> 'Performed' then outcome.status end,
        invocation.status
    ) as status,
    case
        when disclosure.is_full or contract.redacted_fields = '{}' and not reader.redacts
            then document.intent -> 'arguments'
        when reader.redacts
            then synapsor._shown(
                synapsor._redact(document.intent -> 'arguments', contract.redacted_fields), 'action_evidence'
            )
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
    coalesce((invocation.retry ->> 'max_attempts')::integer, contract.max_attempts) as max_attempts,
    open.available_at,
    case when open.status = 'claimed' then open.worker_principal else outcome.worker_principal end as worker_principal,
    case when open.status = 'claimed' then open.worker_label else outcome.worker_label end as worker_label,
    coalesce(open.claim_token, outcome.claim_token) as claim_token,
    open.lease_expires_at,
    coalesce(open.delivery_started_at, outcome.delivery_started_at) as delivery_started_at,
    outcome.provider_request_id,
    case
        when reader.redacts and not disclosure.is_full
            then synapsor._shown(
                coalesce(outcome.detail -> 'response', outcome.detail -> 'evidence'), 'action_evidence'
            )
        else coalesce(outcome.detail -> 'response', outcome.detail -> 'evidence')
    end as response,
    coalesce(open.error_code, outcome.error_code, invocation.error_code) as error_code,
    coalesce(open.error_message, outcome.detail ->> 'error_message', invocation.error_message) as error_message,
    invocation.run_id,
    invocation.step_key,
    coalesce(invocation.correlation_id, invocation.action_id) as correlation_id,
    invocation.created_at,
    case when open.action_id is null then coalesce(
        (
            select max(event.occurred_at)
            from synapsor.external_action_events as event
            where event.action_id = invocation.action_id and event.event_type in ('Queued', 'Retried')
        ),
        case when invocation.opened_as = 'queued' then invocation.created_at end
    ) else open.queued_at end as queued_at,
    outcome.occurred_at as finished_at,
    false as changed,
    contract.kind,
    open.action_id is not null or outcome.action_id is not null as is_opened
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
-- Parsed once, not at every look.
cross join lateral (select invocation.intent::jsonb as intent limit 1) as document
cross join
    lateral (
        select
            reader.audits
            or coalesce(
                reader.works and open.status = 'claimed' and open.worker_principal = reader.principal
                and open.lease_expires_at > synapsor._now(), false
            )
            or coalesce(
                reader.approves and reader.is_person and open.status = 'proposed'
                and coalesce(open.expires_at > synapsor._now(), true)
                and (request.role is null or reader.roles ? request.role)
                and (request.risk_role is null or reader.roles ? request.risk_role), false
            ) as is_full
    ) as disclosure
where
    invocation.intent is not null
    and (reader.sees_every_tenant or invocation.tenant_id = any(reader.tenants));

comment on view synapsor._actions is 'Every accepted invocation and where it stands; internal.';
