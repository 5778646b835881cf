create or replace view synapsor.synapsor_external_action_events with (security_barrier) as
with reader as materialized (
    select
        *,
        synapsor._has_redactions('raw_payload') as redacts
    from synapsor._reader
)

select
    event.event_id,
    event.action_id,
    event.tenant_id,
    invocation.action,
    invocation.queue,
    event.event_type,
    event.status,
    event.sequence = coalesce(
        (
            select open.last_sequence
            from synapsor.open_external_actions as open
            where open.action_id = event.action_id
        ),
        (
            select max(latest.sequence)
            from synapsor.external_action_events as latest
            where latest.action_id = event.action_id
        ),
        event.sequence
    ) as is_current,
    event.sequence,
    event.actor,
    event.worker_principal,
    event.worker_label,
    event.attempt::integer as attempt,
    event.claim_token,
    event.lease_expires_at,
    event.provider_request_id,
    event.error_code,
    event.note,
    case when reader.redacts then synapsor._shown(event.detail, 'raw_payload') else event.detail end as detail,
    invocation.run_id,
    invocation.step_key,
    event.occurred_at
from synapsor._events as event
cross join reader
left join synapsor.action_invocations as invocation using (action_id)
where reader.sees_every_tenant or event.tenant_id = any(reader.tenants);

grant select on synapsor.synapsor_external_action_events to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_external_action_events is
'Every transition of the external actions of the reader''s tenants: the whole story, in order of
(action_id, sequence).';
comment on column synapsor.synapsor_external_action_events.event_id is 'evt_ and a ULID.';
comment on column synapsor.synapsor_external_action_events.action_id is 'Action it happened to.';
comment on column synapsor.synapsor_external_action_events.tenant_id is 'That action''s tenant.';
comment on column synapsor.synapsor_external_action_events.action is 'namespace.verb.';
comment on column synapsor.synapsor_external_action_events.queue is
'Queue on which workers are offered the action.';
comment on column synapsor.synapsor_external_action_events.event_type is
'Proposed, Approved, Queued, Rejected, Cancelled, Expired, Claimed, DeliveryStarted, Released,
LeaseExpired, RetryScheduled, Succeeded, Failed, OutcomeUnknown, Settled, Retried, ApprovalVoided,
Quarantined, LateConfirmation or Purged.';
comment on column synapsor.synapsor_external_action_events.status is
'The delivery status this event led to.';
comment on column synapsor.synapsor_external_action_events.is_current is
'Whether it is the action''s latest event.';
comment on column synapsor.synapsor_external_action_events.sequence is
'Counts the action''s events from 1, without gaps.';
comment on column synapsor.synapsor_external_action_events.actor is
'Principal that brought it about.';
comment on column synapsor.synapsor_external_action_events.worker_principal is
'Worker of the claim it belongs to.';
comment on column synapsor.synapsor_external_action_events.worker_label is
'That worker''s own label.';
comment on column synapsor.synapsor_external_action_events.attempt is
'Attempt of the current generation.';
comment on column synapsor.synapsor_external_action_events.claim_token is
'Token of the claim it belongs to.';
comment on column synapsor.synapsor_external_action_events.lease_expires_at is
'When that claim ended or would end.';
comment on column synapsor.synapsor_external_action_events.provider_request_id is
'The provider''s id of what it did.';
comment on column synapsor.synapsor_external_action_events.error_code is
'What went wrong, if anything did.';
comment on column synapsor.synapsor_external_action_events.note is 'A person''s note or reason.';
comment on column synapsor.synapsor_external_action_events.detail is
'What else belongs to it, such as the provider''s response.';
comment on column synapsor.synapsor_external_action_events.run_id is 'Run the action is a step of.';
comment on column synapsor.synapsor_external_action_events.step_key is 'Its step in that run.';
comment on column synapsor.synapsor_external_action_events.occurred_at is
'When, by the database''s clock.';
