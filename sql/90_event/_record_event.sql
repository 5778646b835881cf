-- The only writer of single events; the set-based verbs insert theirs in the statement that makes
-- the transition.
create or replace function synapsor._record_event(
    open synapsor.open_external_actions,
    event_type text,
    status text,
    note text default null,
    detail jsonb default null,
    error_code text default null,
    provider_request_id text default null,
    confirmed text default null,
    claim_token bigint default null
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    insert into synapsor.external_action_events (
        action_id, sequence, attempt, tenant_id, event_type, status, actor, occurred_at, claim_token,
        lease_expires_at, delivery_started_at, worker_principal, worker_label, confirmed, provider_request_id,
        error_code, note, detail
    )
    values (
        (_record_event.open).action_id,
        (_record_event.open).last_sequence,
        nullif((_record_event.open).attempts, 0),
        (_record_event.open).tenant_id,
        _record_event.event_type,
        _record_event.status,
        synapsor._session() ->> 'principal',
        synapsor._now(),
        coalesce(_record_event.claim_token, (_record_event.open).claim_token),
        (_record_event.open).lease_expires_at,
        (_record_event.open).delivery_started_at,
        (_record_event.open).worker_principal,
        (_record_event.open).worker_label,
        _record_event.confirmed,
        _record_event.provider_request_id,
        _record_event.error_code,
        _record_event.note,
        _record_event.detail
    );
end;
$function$;
