-- Deficit round robin: a tenant's turn is worth quantum times its weight; what nobody else wants is
-- shared out by weight. A tenant with several accounts takes its actions by rank.
create or replace function synapsor._allot(
    queue text,
    flows synapsor.flow[],
    turn synapsor.turn,
    wanted integer,
    quantum integer,
    suspended synapsor.suspended,
    in_hand text[],
    asked_at timestamptz
)
returns synapsor.allotment
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    allotment synapsor.allotment;
    flow synapsor.flow;
    tenants text[] := array[]::text[];
    credits integer[] := array[]::integer[];
    total integer := 0;
    weights integer := 0;
    remaining integer := wanted;
    place integer := 0;
    share integer;
    merges boolean := false;
    allotted integer[] := array[]::integer[];
begin
    if cardinality(flows) = 1 and turn.used is null and not suspended.has_weights then
        allotment.shares := array[least(wanted, flows[1].most)];
        allotment.next := row(flows[1].tenant_id, null)::synapsor.turn;
        return allotment;
    end if;
    if suspended.has_weights then
        flows := array(
            select row(
                given.tenant_id, given.account_id, coalesce(weighed.weight, 1), given.is_governed, given.most
            )::synapsor.flow
            from unnest(flows) with ordinality as given (tenant_id, account_id, weight, is_governed, most, place)
            left join synapsor.tenant_weights as weighed using (tenant_id)
            order by given.place
        );
    end if;
    foreach flow in array flows loop
        if flow.tenant_id = tenants[place] then
            merges := true;
            continue;
        end if;
        place := place + 1;
        tenants[place] := flow.tenant_id;
        credits[place] := quantum * flow.weight;
        if place = 1 and flow.tenant_id = turn.tenant_id and turn.used < credits[place] then
            credits[place] := credits[place] - turn.used;
        end if;
        total := total + credits[place];
        weights := weights + flow.weight;
    end loop;

    place := 0;
    foreach flow in array flows loop
        if place = 0 or flow.tenant_id <> tenants[place] then
            place := place + 1;
            share := least(
                credits[place] + case
                    when total < wanted then ceil((wanted - total) * flow.weight / weights::numeric) else 0
                end,
                remaining
            );
            remaining := remaining - share;
            if share > 0 then
                allotment.next := row(
                    flow.tenant_id,
                    case when share < credits[place] then quantum * flow.weight - credits[place] + share end
                )::synapsor.turn;
            end if;
        end if;
        allotted := allotted || share;
    end loop;
    allotment.shares := case
        when merges then synapsor._merge_flows(queue, flows, allotted, suspended, in_hand, asked_at)
        -- Under limits at most what they let begin.
        else array(
            select least(allotted[given.place], given.most)
            from unnest(flows) with ordinality as given (tenant_id, account_id, weight, is_governed, most, place)
            order by given.place
        )
    end;
    return allotment;
end;
$function$;

-- Splits what a tenant takes among its accounts, as the ranks of what is due come.
create or replace function synapsor._merge_flows(
    queue text,
    flows synapsor.flow[],
    allotted integer[],
    suspended synapsor.suspended,
    in_hand text[],
    asked_at timestamptz
)
returns integer[]
language sql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
    with flow as (
        select given.*, allotted[given.place] as allotted
        from unnest(flows) with ordinality as given (tenant_id, account_id, weight, is_governed, most, place)
    ),

    taken as (
        select merged.place, count(*) as share
        from (
            select flow.place, row_number() over (
                partition by flow.tenant_id order by head.rank, head.position
            ) <= flow.allotted as is_taken
            from flow
            cross join lateral (
                select stored.rank, stored.position
                from synapsor.open_external_actions as stored
                where stored.queue = _merge_flows.queue and stored.tenant_id = flow.tenant_id
                    and stored.account_id = flow.account_id and stored.status = 'queued'
                    and not stored.waits_for_lane and stored.rank <= asked_at + suspended.rank_ahead
                    and stored.available_at <= asked_at and not stored.action_id = any(in_hand)
                order by stored.rank, stored.position
                limit least(flow.allotted, flow.most)
            ) as head
        ) as merged
        where merged.is_taken
        group by merged.place
    )

    select array_agg(coalesce(taken.share, 0)::integer order by flow.place)
    from flow
    left join taken using (place);
$function$;

-- Tenants that had fewer actions than they were allotted: there is no use in asking again.
create or replace function synapsor._exhausted(flows synapsor.flow[], shares integer[], served text[])
returns text[]
language sql
immutable
set search_path = pg_catalog, pg_temp
as $function$
    select coalesce(array_agg(flow.tenant_id), '{}')
    from (
        select
            given.tenant_id,
            sum(shares[given.place]) as allotted,
            bool_or(given.most <= shares[given.place]) as is_bounded
        from unnest(flows) with ordinality as given (tenant_id, account_id, weight, is_governed, most, place)
        group by given.tenant_id
    ) as flow
    where flow.is_bounded or flow.allotted > (
        select count(*) from unnest(served) as had (tenant_id) where had.tenant_id = flow.tenant_id
    );
$function$;
