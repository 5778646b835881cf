create or replace function synapsor._cloud_event(event synapsor.domain_events) returns jsonb
language sql
stable
begin atomic
    select jsonb_strip_nulls(jsonb_build_object(
        'specversion', '1.0',
        'id', event.event_id,
        'source', '/tenants/' || synapsor._as_uri_segment(event.tenant_id),
        'type', event.event_type,
        'subject', event.subject_type || '/' || event.subject_id,
        'time', to_char(event.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'datacontenttype', 'application/json',
        'dataschema', format(
            'urn:synapsor:event:%s:%s', event.event_type, event.event_schema_version
        ),
        'correlationid', event.correlation_id,
        'causationid', event.causation_id,
        'recordedtime',
        to_char(event.recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'sequence', lpad(event.sequence::text, 19, '0'),
        'authtype', case event.actor_type
            when 'natural_person' then 'app_user'
            when 'system' then 'system'
            when 'external_system' then 'unknown'
            else 'service_account'
        end,
        'authid', event.actor
    )) || jsonb_build_object('data', event.payload);
end;

comment on function synapsor._cloud_event(synapsor.domain_events) is
'An event as CloudEvents 1.0 in JSON (reference/pipeline.md, section C).';

grant execute on function synapsor._cloud_event(synapsor.domain_events) to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;
