-- The flows of the next tenants of a queue that have something due and may begin it, from whose turn
-- it is, once round; null when there are none. It jumps from flow to flow in the ready index:
-- neither the length of a backlog nor what blocked accounts have queued costs anything.
create or replace function synapsor._ready_flows(
    queue text,
    turn synapsor.turn,
    wanted_tenants integer,
    suspended synapsor.suspended,
    exhausted text[],
    asked_at timestamptz
)
returns synapsor.flow[]
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $function$
declare
    sees_every constant boolean := synapsor._sees_every_tenant();
    tenants constant text[] := synapsor._visible_tenants();
    has_limits constant boolean := exists (select from synapsor.provider_limits);
    has_weights constant boolean := exists (select from synapsor.tenant_weights);
    starts_anywhere constant boolean := turn.tenant_id is null;
    first_tenant text collate "C" := coalesce(turn.tenant_id, '');
    is_over boolean := not starts_anywhere and turn.used is null;
    most_tenants integer := case when starts_anywhere then 1000 else wanted_tenants end;
    flows synapsor.flow[];
    others text[];
begin
    loop
        with recursive walk as (
            select
                0 as step, 0 as place, ''::text collate "C" as counted, first_tenant collate "C" as tenant_id,
                case when is_over then 2147483647 else 0 end as account_id,
                false as is_served, null::integer as most, false as is_governed, false as has_wrapped
            union all
            select
                walk.step + 1,
                walk.place + (flow.is_served and next.tenant_id <> walk.counted)::integer,
                case when flow.is_served then next.tenant_id else walk.counted end,
                next.tenant_id, next.account_id, flow.is_served, flow.most, flow.is_governed, next.has_wrapped
            from walk
            cross join lateral (
                (
                    select ready.tenant_id, ready.account_id, ready.rank, walk.has_wrapped
                    from synapsor.open_external_actions as ready
                    where sees_every and ready.queue = _ready_flows.queue and ready.status = 'queued'
                        and not ready.waits_for_lane
                        and (ready.tenant_id, ready.account_id) > (walk.tenant_id, walk.account_id)
                    order by ready.tenant_id, ready.account_id, ready.rank
                    limit 1
                )
                union all
                (
                    select ready.tenant_id, ready.account_id, ready.rank, walk.has_wrapped
                    from unnest(tenants) with ordinality as mine (tenant_id, place)
                    cross join lateral (
                        select stored.tenant_id, stored.account_id, stored.rank
                        from synapsor.open_external_actions as stored
                        where stored.queue = _ready_flows.queue and stored.status = 'queued'
                            and not stored.waits_for_lane and stored.tenant_id = mine.tenant_id
                            and stored.account_id
                            > case when mine.tenant_id = walk.tenant_id then walk.account_id else 0 end
                        order by stored.account_id, stored.rank
                        limit 1
                    ) as ready
                    where not sees_every and mine.tenant_id collate "C" >= walk.tenant_id
                    order by mine.tenant_id collate "C"
                    limit 1
                )
                union all
                (
                    select ready.tenant_id, ready.account_id, ready.rank, true
                    from synapsor.open_external_actions as ready
                    where sees_every and not walk.has_wrapped and ready.queue = _ready_flows.queue
                        and ready.status = 'queued' and not ready.waits_for_lane
                    order by ready.tenant_id, ready.account_id, ready.rank
                    limit 1
                )
                union all
                (
                    select ready.tenant_id, ready.account_id, ready.rank, true
                    from unnest(tenants) with ordinality as mine (tenant_id, place)
                    cross join lateral (
                        select stored.tenant_id, stored.account_id, stored.rank
                        from synapsor.open_external_actions as stored
                        where stored.queue = _ready_flows.queue and stored.status = 'queued'
                            and not stored.waits_for_lane and stored.tenant_id = mine.tenant_id
                        order by stored.account_id, stored.rank
                        limit 1
                    ) as ready
                    where not sees_every and not walk.has_wrapped
                    order by mine.tenant_id collate "C"
                    limit 1
                )
                limit 1
            ) as next
            cross join lateral (
                select
                    next.rank <= asked_at + suspended.rank_ahead
                    and not next.tenant_id = any(exhausted)
                    and (suspended.tenants is null or not next.tenant_id = any(suspended.tenants))
                    and (suspended.accounts is null or not next.account_id = any(suspended.accounts)) as is_due
                offset 0
            ) as head
            left join lateral (
                select known.account_id, (synapsor._peek_admission(known, next.tenant_id, asked_at)).most as most
                from synapsor.provider_accounts as known
                where has_limits and head.is_due and known.account_id = next.account_id
                    and known.limits_id is not null
                offset 0
            ) as limited on true
            cross join lateral (
                select head.is_due and limited.most is distinct from 0 as is_served, limited.most,
                    limited.account_id is not null as is_governed
                offset 0
            ) as flow
            where walk.place <= most_tenants
                and not (
                    next.has_wrapped
                    and (next.tenant_id > first_tenant or (next.tenant_id = first_tenant and not is_over))
                )
        )

        select
            array_agg(
                row(
                    walk.tenant_id, walk.account_id,
                    case
                        when has_weights then coalesce((
                            select weighed.weight from synapsor.tenant_weights as weighed
                            where weighed.tenant_id = walk.tenant_id
                        ), 1)
                        else 1
                    end,
                    walk.is_governed, walk.most
                )::synapsor.flow
                order by walk.step
            ),
            array_agg(distinct walk.tenant_id)
        into flows, others
        from walk
        where walk.is_served and walk.place <= most_tenants;
        exit when not starts_anywhere or most_tenants <> 1000 or cardinality(others) <= wanted_tenants
            or flows is null;
        first_tenant := others[1 + floor(random() * cardinality(others))];
        most_tenants := least(wanted_tenants, 999);
    end loop;
    return flows;
end;
$function$;
