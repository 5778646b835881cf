-- Which actions of ordering keys may be in flight now; each holds its lane from then on until it
-- ends. Those behind another one leave the ready index until the lane is handed to them. The caller
-- holds the rows of the actions, and of those in hand, which entered before. No lane is waited for:
-- what is in somebody's hands is passed over until the next claim.
create or replace function synapsor._enter_lanes(
    action_ids text[], in_hand text[], out entered text[], out passed_over text[]
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    of_a_lane text[];
    answer record;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        -- A lane is judged by what is true now: an old snapshot misses its end, and it would never
        -- move again.
        raise exception using
            errcode = 'feature_not_supported',
            message = format(
                'an action with an ordering key is not claimed at isolation level %s',
                current_setting('transaction_isolation')
            ),
            hint = 'Claim at read committed.';
    end if;
    answer := synapsor._enter_lanes_at_once(action_ids, in_hand);
    entered := coalesce(answer.entered, '{}');
    passed_over := coalesce(answer.passed_over, '{}');
    if answer.entered is null then
        -- Somebody holds one of the lanes: which one, is found out one by one.
        for of_a_lane in
            select array_agg(open.action_id order by open.position)
            from synapsor.open_external_actions as open
            where open.action_id = any(action_ids)
            group by open.tenant_id, open.queue, open.ordering_key
        loop
            answer := synapsor._enter_lanes_at_once(of_a_lane, in_hand);
            entered := entered || answer.entered;
            passed_over := passed_over || case when answer.entered is null then of_a_lane else answer.passed_over end;
        end loop;
    end if;
end;
$function$;

-- Null when a lane does not become free at once.
create or replace function synapsor._enter_lanes_at_once(
    action_ids text[], in_hand text[], out entered text[], out passed_over text[]
)
language plpgsql
set search_path = pg_catalog, pg_temp
-- Other lanes are held meanwhile, by whose holders nobody may be kept waiting.
set lock_timeout = '2ms'
as $function$
declare
    behind text[];
    locked synapsor.lane[];
begin
    passed_over := '{}';
    -- Nearly always the lane is free, or was handed to its action by the one before. Whoever holds
    -- the row of a lane's holder needs no lock of the lane: nobody hands it on without that row.
    with mine as materialized (
        select
            open.action_id, open.tenant_id, open.queue, open.ordering_key, lane.holder, known.is_first,
            lane.ordering_key is null as is_new, open.attempts > 0 or open.claims_lost > 0 or known.is_first as may_go
        from synapsor.open_external_actions as open
        left join synapsor.ordering_lanes as lane
            on lane.tenant_id = open.tenant_id and lane.queue = open.queue and lane.ordering_key = open.ordering_key
        cross join lateral (
            select open.action_id = (
                select earliest.action_id
                from synapsor.open_external_actions as earliest
                where earliest.tenant_id = open.tenant_id and earliest.queue = open.queue
                    and earliest.ordering_key = open.ordering_key
                    and earliest.status in ('queued', 'claimed', 'unknown')
                order by earliest.position
                limit 1
            ) as is_first
            offset 0
        ) as known
        where open.action_id = any(action_ids)
    ),

    taken as (
        insert into synapsor.ordering_lanes (tenant_id, queue, ordering_key, holder)
        select mine.tenant_id, mine.queue, mine.ordering_key, mine.action_id
        from mine
        where mine.is_new and mine.is_first
        order by mine.tenant_id, mine.queue, mine.ordering_key
        on conflict on constraint ordering_lanes_pkey do nothing
        returning holder
    )

    select
        coalesce(array_agg(mine.action_id) filter (where mine.holder = mine.action_id and mine.may_go), '{}')
        || array(select taken.holder from taken)
    into entered
    from mine;
    if cardinality(entered) = cardinality(action_ids) then
        return;
    end if;

    behind := array(
        select asked.action_id from unnest(action_ids) as asked (action_id)
        where not asked.action_id = any(entered)
    );
    insert into synapsor.ordering_lanes (tenant_id, queue, ordering_key)
    select distinct open.tenant_id, open.queue, open.ordering_key
    from synapsor.open_external_actions as open
    where open.action_id = any(behind) and not exists (
        select from synapsor.ordering_lanes as lane
        where lane.tenant_id = open.tenant_id and lane.queue = open.queue and lane.ordering_key = open.ordering_key
    )
    order by open.tenant_id, open.queue, open.ordering_key
    on conflict on constraint ordering_lanes_pkey do nothing;
    locked := array(
        select row(lane.tenant_id, lane.queue, lane.ordering_key)::synapsor.lane
        from (
            select distinct open.tenant_id, open.queue, open.ordering_key
            from synapsor.open_external_actions as open
            where open.action_id = any(behind)
        ) as wanted
        inner join synapsor.ordering_lanes as lane using (tenant_id, queue, ordering_key)
        for update of lane skip locked
    );
    -- A lane that was handed to an action, but not entered by it, still goes to the earliest: one may
    -- have been queued before and become visible since. Whoever holds the row may be entering.
    perform synapsor._hand_on(array(
        select row(lane.tenant_id, lane.queue, lane.ordering_key)::synapsor.lane
        from unnest(locked) as own
        inner join synapsor.ordering_lanes as lane using (tenant_id, queue, ordering_key)
        left join lateral (
            select holder.action_id
            from synapsor.open_external_actions as holder
            where holder.action_id = lane.holder and holder.status = 'queued' and holder.attempts = 0
                and holder.claims_lost = 0 and not holder.action_id = any(in_hand || entered)
            for update skip locked
        ) as idle on true
        where lane.holder is null or idle.action_id = lane.holder
    ));

    with mine as materialized (
        select open.action_id, open.position, lane.*
        from synapsor.open_external_actions as open
        inner join unnest(locked) as own using (tenant_id, queue, ordering_key)
        inner join synapsor.ordering_lanes as lane using (tenant_id, queue, ordering_key)
        where open.action_id = any(behind)
    ),

    stuck as (
        select mine.tenant_id, mine.queue, mine.ordering_key, mine.holder, min(mine.position) as position
        from mine
        where mine.holder is distinct from mine.action_id
        group by mine.tenant_id, mine.queue, mine.ordering_key, mine.holder
    ),

    -- Nothing changes: whoever leaves the lane on an old snapshot shall fail, not miss who waits.
    touched as (
        update synapsor.ordering_lanes as lane
        set holder = stuck.holder
        from stuck
        where lane.tenant_id = stuck.tenant_id and lane.queue = stuck.queue
            and lane.ordering_key = stuck.ordering_key
    ),

    -- What is behind them waits too, a thousand at a time: a long lane is met once, not action by
    -- action at the cost of other lanes.
    waiting as (
        update synapsor.open_external_actions as open
        set waits_for_lane = true
        where open.action_id = any(array(
            select later.action_id
            from stuck
            cross join lateral (
                select blocked.action_id
                from synapsor.open_external_actions as blocked
                where blocked.tenant_id = stuck.tenant_id and blocked.queue = stuck.queue
                    and blocked.ordering_key = stuck.ordering_key and blocked.position >= stuck.position
                    and blocked.status = 'queued' and not blocked.waits_for_lane
                    and blocked.action_id is distinct from stuck.holder
                order by blocked.position
                limit greatest(1000 / (select count(*) from stuck), 1)
                for update skip locked
            ) as later
        ))
    )

    select
        entered || coalesce(array_agg(mine.action_id) filter (where mine.holder = mine.action_id), '{}'),
        array(
            select asked.action_id from unnest(behind) as asked (action_id)
            where not asked.action_id in (select known.action_id from mine as known)
        )
    into entered, passed_over
    from mine;
exception
    when lock_not_available then
        entered := null;
        passed_over := null;
end;
$function$;

-- An action of an ordering key leaves the queue, ended or to be approved anew: the lane is the next
-- one's. One that waited in the queue held nothing, and the one it waited for is still there to hand
-- the lane on.
create or replace function synapsor._leave_lane(open synapsor.open_external_actions)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    lane synapsor.ordering_lanes;
begin
    if open.ordering_key is null or open.status = 'proposed' or (open.status = 'queued' and open.waits_for_lane) then
        return;
    end if;
    -- Inserted where there is none, so that whoever is just about to wait behind it is waited for.
    insert into synapsor.ordering_lanes as taken (tenant_id, queue, ordering_key)
    values (open.tenant_id, open.queue, open.ordering_key)
    on conflict on constraint ordering_lanes_pkey do update set holder = taken.holder
    returning taken.* into lane;
    if coalesce(lane.holder = open.action_id, true) then
        perform synapsor._hand_on(
            array[row(open.tenant_id, open.queue, open.ordering_key)::synapsor.lane], open.action_id
        );
    end if;
end;
$function$;

-- Gives lanes, whose rows the caller has locked, to the earliest of their actions but the one that
-- leaves; without one nothing is left of the lane.
create or replace function synapsor._hand_on(lanes synapsor.lane[], leaving text default null)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    woken text[];
begin
    while cardinality(lanes) > 0 loop
        with next as materialized (
            select lane.*, earliest.action_id as holder, coalesce(earliest.waits_for_lane, false) as waits
            from unnest(lanes) as lane
            left join lateral (
                select open.action_id, open.waits_for_lane
                from synapsor.open_external_actions as open
                where open.tenant_id = lane.tenant_id and open.queue = lane.queue
                    and open.ordering_key = lane.ordering_key and open.status in ('queued', 'claimed', 'unknown')
                    and open.action_id is distinct from leaving
                order by open.position
                limit 1
            ) as earliest on true
        ),

        called as (
            update synapsor.open_external_actions as open
            set waits_for_lane = false
            where open.action_id = any(array(select next.holder from next where next.waits)) and open.waits_for_lane
            returning open.action_id, open.queue
        ),

        handed as (
            update synapsor.ordering_lanes as lane
            set holder = next.holder
            from next
            where lane.tenant_id = next.tenant_id and lane.queue = next.queue
                and lane.ordering_key = next.ordering_key and next.holder is not null
        ),

        freed as (
            delete from synapsor.ordering_lanes as lane
            using next
            where lane.tenant_id = next.tenant_id and lane.queue = next.queue
                and lane.ordering_key = next.ordering_key and next.holder is null
        )

        -- One that ended before it could be called is gone at the next look.
        select
            array_agg(row(next.tenant_id, next.queue, next.ordering_key)::synapsor.lane)
                filter (where next.waits and not next.holder in (select called.action_id from called)),
            (select array_agg(distinct called.queue) from called)
        into lanes, woken
        from next;
        perform synapsor._wake_workers(queues.name) from unnest(woken) as queues (name);
    end loop;
end;
$function$;
