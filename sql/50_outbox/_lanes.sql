-- Whether an action of an ordering key may be in flight now; it holds its lane from then on until
-- it ends. One that may not waits outside the ready index until the lane is left. The caller holds
-- the action's row.
create or replace function synapsor._enter_lane(open synapsor.open_external_actions)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    lane synapsor.ordering_lanes;
begin
    insert into synapsor.ordering_lanes as taken (tenant_id, queue, ordering_key)
    values (open.tenant_id, open.queue, open.ordering_key)
    on conflict on constraint ordering_lanes_pkey do update set holder = taken.holder
    returning taken.* into lane;
    if lane.holder = open.action_id then
        return true;
    end if;
    if lane.holder is null and not exists (
        select from synapsor.open_external_actions as earlier
        where earlier.tenant_id = open.tenant_id and earlier.queue = open.queue
            and earlier.ordering_key = open.ordering_key and earlier.position < open.position
            and earlier.status in ('queued', 'claimed', 'unknown')
    ) then
        update synapsor.ordering_lanes as held
        set holder = open.action_id
        where held.tenant_id = open.tenant_id and held.queue = open.queue
            and held.ordering_key = open.ordering_key;
        return true;
    end if;
    update synapsor.open_external_actions as waiting
    set waits_for_lane = true
    where waiting.action_id = open.action_id and not waiting.waits_for_lane;
    if found then
        -- What is behind it waits too: a long lane is met once, not action by action at the cost of
        -- other lanes.
        update synapsor.open_external_actions as waiting
        set waits_for_lane = true
        where waiting.action_id = any(array(
            select later.action_id
            from synapsor.open_external_actions as later
            where later.tenant_id = open.tenant_id and later.queue = open.queue
                and later.ordering_key = open.ordering_key and later.position > open.position
                and later.status = 'queued' and not later.waits_for_lane
                and later.action_id is distinct from lane.holder
            limit 1000
            for update skip locked
        ));
    end if;
    return false;
end;
$function$;

-- An action of an ordering key leaves the queue, ended or to be approved anew: the next one in
-- queue order may go. One that waited in the queue held nothing, and the one it waited for is still
-- there to call the next.
create or replace function synapsor._leave_lane(open synapsor.open_external_actions)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    lane synapsor.ordering_lanes;
    next_in_lane text;
begin
    if open.ordering_key is null or open.status = 'proposed' or (open.status = 'queued' and open.waits_for_lane) then
        return;
    end if;
    insert into synapsor.ordering_lanes as taken (tenant_id, queue, ordering_key)
    values (open.tenant_id, open.queue, open.ordering_key)
    on conflict on constraint ordering_lanes_pkey do update set holder = taken.holder
    returning taken.* into lane;
    if lane.holder <> open.action_id then
        return;
    end if;
    select waiting.action_id into next_in_lane
    from synapsor.open_external_actions as waiting
    where waiting.tenant_id = open.tenant_id and waiting.queue = open.queue
        and waiting.ordering_key = open.ordering_key and waiting.status = 'queued' and waiting.waits_for_lane
    order by waiting.position
    limit 1
    for update;
    if found then
        update synapsor.open_external_actions as waiting
        set waits_for_lane = false
        where waiting.action_id = next_in_lane;
        update synapsor.ordering_lanes as held
        set holder = null
        where held.tenant_id = open.tenant_id and held.queue = open.queue
            and held.ordering_key = open.ordering_key;
        perform synapsor._wake_workers(open.queue);
    else
        delete from synapsor.ordering_lanes as held
        where held.tenant_id = open.tenant_id and held.queue = open.queue
            and held.ordering_key = open.ordering_key;
    end if;
end;
$function$;
