create or replace view synapsor.synapsor_events with (security_barrier) as
with reader as materialized (
    select
        *,
        synapsor._has_redactions('asset_event') as redacts
    from synapsor._reader
)

select
    event.event_id,
    event.tenant_id,
    event.event_type,
    event.event_schema_version,
    event.subject_type,
    event.subject_id,
    event.sequence,
    event.actor,
    event.actor_type,
    event.action_id,
    shown.payload,
    event.occurred_at,
    event.recorded_at,
    event.correlation_id,
    event.causation_id,
    synapsor._cloud_event(event) || jsonb_build_object('data', shown.payload) as cloud_event
from synapsor.domain_events as event
cross join reader
cross join
    lateral (
        select
            case
                when reader.redacts then synapsor._shown(event.payload, 'asset_event')
                else event.payload
            end as payload
    ) as shown
where reader.sees_every_tenant or event.tenant_id = any(reader.tenants);

grant select on synapsor.synapsor_events to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_events is
'What happened to the subjects of the reader''s tenants, append-only, in order of (subject_type,
subject_id, sequence).';
comment on column synapsor.synapsor_events.event_id is 'evt_ and a ULID.';
comment on column synapsor.synapsor_events.tenant_id is
'Tenant of the invocation that emitted it; subjects are the tenant''s own.';
comment on column synapsor.synapsor_events.event_type is
'What happened, PascalCase: one of the types its contract emits, or the platform''s
ComplianceBlocked, StateTransitioned, AdapterInvocationStarted, AdapterInvocationSucceeded,
AdapterInvocationFailed.';
comment on column synapsor.synapsor_events.event_schema_version is
'Version of the payload''s shape, from 1.';
comment on column synapsor.synapsor_events.subject_type is
'Kind of what it happened to, PascalCase.';
comment on column synapsor.synapsor_events.subject_id is
'What it happened to, 1 to 255 characters.';
comment on column synapsor.synapsor_events.sequence is
'Counts the events of one (tenant, subject type, subject id) from 1, without gaps.';
comment on column synapsor.synapsor_events.actor is 'Principal of the invocation.';
comment on column synapsor.synapsor_events.actor_type is
'natural_person, agent, system, service_account, external_system or integration.';
comment on column synapsor.synapsor_events.action_id is 'Invocation that emitted it.';
comment on column synapsor.synapsor_events.payload is
'What there is to tell, an object; the redactions of class asset_event apply, in cloud_event too.';
comment on column synapsor.synapsor_events.occurred_at is
'When it happened, as its emitter says; recorded_at by default.';
comment on column synapsor.synapsor_events.recorded_at is
'When it was appended, by the database''s clock.';
comment on column synapsor.synapsor_events.correlation_id is
'Thread it belongs to: the invocation''s.';
comment on column synapsor.synapsor_events.causation_id is
'Its direct cause: the invocation that emitted it.';
comment on column synapsor.synapsor_events.cloud_event is
'The same as CloudEvents 1.0 in JSON. source is /tenants/ and the tenant, percent-encoded;
sequence is padded with zeros to sort as text; extensions correlationid, causationid,
recordedtime, sequence, authtype, authid.';
