-- proposed, unknown or failed → queued.
create or replace function synapsor._queue_action(
    open synapsor.open_external_actions,
    contract synapsor.action_contracts,
    event_type text,
    note text default null,
    detail jsonb default null
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    queued_at constant timestamptz := synapsor._now();
begin
    if open.status = 'proposed' then
        -- Queue order is that of queueing, not of proposing; what was in the queue before keeps its place.
        open.position := nextval('synapsor.queue_positions');
    end if;
    open.status := 'queued';
    open.queued_at := queued_at;
    open.available_at := greatest(open.available_at, queued_at);
    open.rank := open.available_at - make_interval(mins => contract.priority);
    open.expires_at := open.available_at + contract.deliver_within;
    open.lease_expires_at := null;
    open.delivery_started_at := null;
    -- Found out again at claim, under the lane's lock.
    open.waits_for_lane := false;
    open.error_code := null;
    open.error_message := null;
    perform synapsor._move(open, event_type, note, detail);
    perform synapsor._wake_workers(open.queue);
end;
$function$;

create or replace function synapsor._contract_of(open synapsor.open_external_actions)
returns synapsor.action_contracts
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select contract.*
    from synapsor.action_contracts as contract
    where contract.contract_id = open.contract_id;
$function$;
