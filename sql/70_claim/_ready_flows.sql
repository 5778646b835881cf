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
    first_tenant text collate "C" := coalesce(turn.tenant_id, '');
    is_over boolean := turn.tenant_id is not null and turn.used is null;
    -- Who knows of no turn looks at everybody first.
    most_tenants integer := case when turn.tenant_id is null then 1000 else wanted_tenants end;
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
                    where ready.queue = _ready_flows.queue and ready.status = 'queued' and not ready.waits_for_lane
                        and (ready.tenant_id, ready.account_id) > (walk.tenant_id, walk.account_id)
                    order by ready.tenant_id, ready.account_id, ready.rank
                    limit 1
                )
                union all
                (
                    select ready.tenant_id, ready.account_id, ready.rank, true
                    from synapsor.open_external_actions as ready
                    where not walk.has_wrapped and ready.queue = _ready_flows.queue and ready.status = 'queued'
                        and not ready.waits_for_lane
                    order by ready.tenant_id, ready.account_id, ready.rank
                    limit 1
                )
                limit 1
            ) as next
            cross join lateral synapsor._judge_flow(
                next.tenant_id, next.account_id, next.rank, suspended, exhausted, asked_at
            ) as flow
            where walk.place <= most_tenants
                and not (
                    next.has_wrapped
                    and (next.tenant_id > first_tenant or (next.tenant_id = first_tenant and not is_over))
                )
        )

        select
            array_agg(
                row(walk.tenant_id, walk.account_id, 1, walk.is_governed, walk.most)::synapsor.flow
                order by walk.step
            ),
            array_agg(walk.tenant_id)
        into flows, others
        from walk
        where walk.is_served and walk.place <= most_tenants;
        exit when most_tenants = wanted_tenants or flows is null;
        first_tenant := others[1 + floor(random() * cardinality(others))];
        most_tenants := wanted_tenants;
    end loop;
    return flows;
end;
$function$;

-- The same for a session that serves the tenants it names: these few are asked one by one.
create or replace function synapsor._ready_flows_of(
    tenants text[],
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
as $function$
declare
    flows synapsor.flow[];
begin
    with recursive walk as (
        select mine.tenant_id, mine.place, 0 as account_id, null::timestamptz as rank
        from (
            select
                named.tenant_id collate "C" as tenant_id,
                row_number() over (
                    order by
                        -- Everybody's turn is as good where none is known.
                        case when turn.tenant_id is null then random() end,
                        named.tenant_id collate "C" < turn.tenant_id
                        or (named.tenant_id = turn.tenant_id and turn.used is null),
                        named.tenant_id collate "C"
                ) as place
            from unnest(tenants) as named (tenant_id)
        ) as mine
        union all
        select walk.tenant_id, walk.place, next.account_id, next.rank
        from walk
        cross join lateral (
            select ready.account_id, ready.rank
            from synapsor.open_external_actions as ready
            where ready.queue = _ready_flows_of.queue and ready.tenant_id = walk.tenant_id
                and ready.account_id > walk.account_id and ready.status = 'queued' and not ready.waits_for_lane
            order by ready.account_id, ready.rank
            limit 1
        ) as next
    )

    select
        array_agg(
            row(served.tenant_id, served.account_id, 1, served.is_governed, served.most)::synapsor.flow
            order by served.place, served.account_id
        )
    into flows
    from (
        select walk.tenant_id, walk.account_id, flow.is_governed, flow.most, walk.place,
            dense_rank() over (order by walk.place) as turn
        from walk
        cross join lateral synapsor._judge_flow(
            walk.tenant_id, walk.account_id, walk.rank, suspended, exhausted, asked_at
        ) as flow
        where flow.is_served
    ) as served
    where served.turn <= wanted_tenants;
    return flows;
end;
$function$;

-- Whether anything of a flow may be claimed now, and how much its account lets begin.
create or replace function synapsor._judge_flow(
    tenant text,
    account_id integer,
    rank timestamptz,
    suspended synapsor.suspended,
    exhausted text[],
    asked_at timestamptz,
    out is_served boolean,
    out is_governed boolean,
    out most integer
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    account synapsor.provider_accounts;
begin
    is_governed := false;
    is_served := rank <= asked_at + suspended.rank_ahead and not tenant = any(exhausted)
        and (suspended.tenants is null or not tenant = any(suspended.tenants))
        and (suspended.accounts is null or not account_id = any(suspended.accounts));
    if is_served and suspended.has_limits then
        select known.* into account
        from synapsor.provider_accounts as known
        where known.account_id = _judge_flow.account_id;
        if account.limits_id is not null then
            is_governed := true;
            most := (synapsor._peek_admission(account, tenant, asked_at, is_hint => true)).most;
            is_served := most is distinct from 0;
        end if;
    end if;
end;
$function$;
