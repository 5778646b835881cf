-- Every transition of one action goes through these two: the row as it shall be and its event, or
-- the event that ends it.
create or replace function synapsor._move(
    open synapsor.open_external_actions,
    event_type text,
    note text default null,
    detail jsonb default null,
    error_code text default null,
    provider_request_id text default null,
    confirmed text default null
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    if open.claimed_at is not null then
        perform synapsor._record_claim(open.action_id);
    end if;
    open.last_sequence := open.last_sequence + 1;
    update synapsor.open_external_actions as stored
    set
        generation = open.generation,
        attempts = open.attempts,
        claims_lost = open.claims_lost,
        deliveries_lost = open.deliveries_lost,
        reconciliations = open.reconciliations,
        last_sequence = open.last_sequence,
        waits_for_lane = open.waits_for_lane,
        status = open.status,
        position = open.position,
        rank = open.rank,
        available_at = open.available_at,
        queued_at = open.queued_at,
        expires_at = open.expires_at,
        claimed_at = null,
        lease_expires_at = open.lease_expires_at,
        delivery_started_at = open.delivery_started_at,
        first_delivery_at = open.first_delivery_at,
        request_digest = open.request_digest,
        error_code = open.error_code,
        error_message = open.error_message
    where stored.action_id = open.action_id;
    perform synapsor._record_event(
        open, event_type, open.status, note, detail, error_code, provider_request_id, confirmed
    );
end;
$function$;

create or replace function synapsor._finish(
    open synapsor.open_external_actions,
    event_type text,
    status text,
    note text default null,
    detail jsonb default null,
    error_code text default null,
    provider_request_id text default null,
    confirmed text default null
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    if open.claimed_at is not null then
        perform synapsor._record_claim(open.action_id);
    end if;
    open.last_sequence := open.last_sequence + 1;
    delete from synapsor.open_external_actions as ended where ended.action_id = open.action_id;
    perform synapsor._record_event(
        open, event_type, status, note, detail, error_code, provider_request_id, confirmed
    );
    if status in ('failed', 'cancelled', 'expired', 'rejected', 'blocked_by_policy', 'validation_failed') then
        perform synapsor._give_back(open.action_id);
    end if;
    perform synapsor._leave_lane(open);
    if open.reports_to is not null then
        perform synapsor._mark_due(open.reports_to, open.tenant_id);
    end if;
end;
$function$;
