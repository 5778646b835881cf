-- The only writers of single events; the set-based verbs insert theirs in the statement that makes
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

-- Stores the event `Claimed` of an action that still stands for it. Before anything about the claim
-- changes: whoever calls this clears claimed_at.
create or replace function synapsor._record_claim(action_id text)
returns void
language sql
set search_path = pg_catalog, pg_temp
as $function$
    insert into synapsor.external_action_events (
        action_id, sequence, attempt, tenant_id, event_type, status, actor, occurred_at, claim_token,
        lease_expires_at, delivery_started_at, worker_principal, worker_label, note
    )
    select
        open.action_id, open.last_sequence, open.attempts, open.tenant_id, 'Claimed', 'claimed',
        open.worker_principal, open.claimed_at, open.claim_token, open.lease_expires_at, open.delivery_started_at,
        open.worker_principal, open.worker_label, case when open.purpose = 'reconcile' then 'to reconcile' end
    from synapsor.open_external_actions as open
    where open.action_id = _record_claim.action_id and open.claimed_at is not null;
$function$;
