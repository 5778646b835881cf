-- proposed, unknown or failed → queued. Returns the row as it is then.
create or replace function synapsor._queue_action(
    open synapsor.open_external_actions,
    contract synapsor.action_contracts,
    event_type text,
    note text default null,
    detail jsonb default null
)
returns synapsor.open_external_actions
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    queued_at constant timestamptz := synapsor._now();
begin
    if open.status = 'proposed' then
        -- Queue order is that of queueing, not of proposing; what was in the queue before keeps its
        -- place.
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
    open.last_sequence := open.last_sequence + 1;
    return open;
end;
$function$;

-- The contract an action is pinned to, with the retry policy of an adapter step in place of its
-- own.
create or replace function synapsor._contract_of(open synapsor.open_external_actions)
returns synapsor.action_contracts
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    contract synapsor.action_contracts;
    retry jsonb;
begin
    select declared.* into strict contract
    from synapsor.action_contracts as declared
    where declared.contract_id = open.contract_id;
    if open.reports_to is not null then
        select invocation.retry into strict retry
        from synapsor.action_invocations as invocation
        where invocation.action_id = open.action_id;
        contract.max_attempts := coalesce((retry ->> 'max_attempts')::smallint, contract.max_attempts);
        contract.retry_initial := coalesce((retry ->> 'initial')::interval, contract.retry_initial);
        contract.retry_multiplier := coalesce((retry ->> 'multiplier')::double precision, contract.retry_multiplier);
        contract.retry_max := coalesce((retry ->> 'max')::interval, contract.retry_max);
        contract.retry_jitter := coalesce(retry ->> 'jitter' = 'full', contract.retry_jitter);
    end if;
    return contract;
end;
$function$;
