create or replace view synapsor.synapsor_action_invocations with (security_barrier) as
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
    contract.kind,
    invocation.actor,
    invocation.actor_type,
    case
        when accepted.status = 'proposed' then 'waiting_for_approval'
        when accepted.status in ('rejected', 'expired', 'cancelled') then 'cancelled'
        when contract.kind <> 'external' or accepted.is_opened is not true then invocation.status
        when accepted.status in ('queued', 'claimed', 'unknown') then 'running'
        when accepted.status = 'succeeded' then 'completed'
        else accepted.status
    end as status,
    case when contract.kind = 'external' and accepted.is_opened then accepted.status end as delivery_status,
    coalesce(
        accepted.arguments,
        case
            when reader.audits then invocation.parameters
            when reader.redacts
                then synapsor._shown(
                    synapsor._redact(invocation.parameters, contract.redacted_fields || contract.hidden_names),
                    'action_evidence'
                )
            else synapsor._redact(invocation.parameters, contract.redacted_fields || contract.hidden_names)
        end
    ) as parameters,
    accepted.hidden,
    case
        when accepted.action_id is not null then accepted.idempotency_key
        when reader.audits or not (invocation.key_from_template and contract.key_is_sensitive)
            then invocation.idempotency_key
        else '[redacted]'
    end as idempotency_key,
    encode(invocation.payload_digest, 'hex') as payload_digest,
    invocation.run_id,
    invocation.step_key,
    coalesce(invocation.correlation_id, invocation.action_id) as correlation_id,
    invocation.causation_id,
    case
        when invocation.result is null then accepted.response
        when reader.redacts then synapsor._shown(invocation.result, 'action_evidence')
        else invocation.result
    end as result,
    coalesce(invocation.error_code, accepted.error_code) as error_code,
    coalesce(invocation.error_message, accepted.error_message) as error_message,
    invocation.violations,
    invocation.created_at,
    case
        when contract.kind = 'external' or accepted.status in ('rejected', 'expired', 'cancelled')
            then coalesce(accepted.finished_at, invocation.completed_at)
        else invocation.completed_at
    end as completed_at,
    false as changed
from synapsor.action_invocations as invocation
inner join synapsor.action_contracts as contract using (action, version)
cross join reader
left join lateral (
    -- One look-up a row, however the reader filters.
    select action.*
    from synapsor._actions as action
    where action.action_id = invocation.action_id
    offset 0
) as accepted on true
where
    invocation.purged_as is null
    and (reader.sees_every_tenant or invocation.tenant_id = any(reader.tenants));

grant select on synapsor.synapsor_action_invocations to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_action_invocations is
'Every attempt of the reader''s tenants to perform an action, refused ones included (design.md
sections 5 and 6). Redacted like synapsor_external_actions.';
comment on column synapsor.synapsor_action_invocations.action_id is
'act_ and a ULID; the external action''s id too.';
comment on column synapsor.synapsor_action_invocations.tenant_id is
'Tenant of the session it was made in.';
comment on column synapsor.synapsor_action_invocations.action is 'namespace.verb.';
comment on column synapsor.synapsor_action_invocations.version is
'Version of the contract it is pinned to.';
comment on column synapsor.synapsor_action_invocations.kind is 'external, atomic or saga.';
comment on column synapsor.synapsor_action_invocations.actor is 'Principal that made it.';
comment on column synapsor.synapsor_action_invocations.actor_type is
'natural_person, agent, system, service_account, external_system or integration.';
comment on column synapsor.synapsor_action_invocations.status is
'pending, running, blocked_by_policy, waiting_for_approval, validation_failed, failed, completed
or cancelled.';
comment on column synapsor.synapsor_action_invocations.delivery_status is
'Of an accepted external action: its status in synapsor_external_actions.';
comment on column synapsor.synapsor_action_invocations.parameters is
'What the caller asked for; above 64 KiB, refused, only size and SHA-256.';
comment on column synapsor.synapsor_action_invocations.hidden is
'Values bound from the session; [redacted] for most readers.';
comment on column synapsor.synapsor_action_invocations.idempotency_key is
'Key it holds or offered.';
comment on column synapsor.synapsor_action_invocations.payload_digest is
'SHA-256 of the canonical JSON of action, arguments and hidden, in hex.';
comment on column synapsor.synapsor_action_invocations.run_id is 'Run it is a step of.';
comment on column synapsor.synapsor_action_invocations.step_key is 'Its step in that run.';
comment on column synapsor.synapsor_action_invocations.correlation_id is
'Thread it belongs to; its own id by default.';
comment on column synapsor.synapsor_action_invocations.causation_id is 'What directly caused it.';
comment on column synapsor.synapsor_action_invocations.result is 'The provider''s answer.';
comment on column synapsor.synapsor_action_invocations.error_code is
'SY code of the refusal, the provider''s code, or which way it was cancelled.';
comment on column synapsor.synapsor_action_invocations.error_message is
'The fact behind error_code.';
comment on column synapsor.synapsor_action_invocations.violations is
'Of refused input: every violation with path and rule, never a hidden value.';
comment on column synapsor.synapsor_action_invocations.created_at is 'When it was made.';
comment on column synapsor.synapsor_action_invocations.completed_at is 'When it ended.';
comment on column synapsor.synapsor_action_invocations.changed is
'Of rows returned by verbs: false when the call found everything done already. Always false here.';
