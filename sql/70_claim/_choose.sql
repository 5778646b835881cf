-- Locks what a claim is to lease: of whose turn it is, in the order of rank, what nothing forbids. What
-- turns out not to be claimable changes state here, or is passed over. `only_flow` is the one flow of
-- the queue, where it has no other; tenants null means every one.
create or replace function synapsor._choose(
    queue text,
    most integer,
    lease interval,
    tenants text[],
    only_flow synapsor.flow,
    suspended synapsor.suspended,
    drain synapsor.drain,
    passed_over text[],
    asked_at timestamptz,
    out action_ids text[],
    out limited integer[],
    out moved text[]
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
declare
    from_the_start constant synapsor.drain := synapsor._undrained();
    is_one_flow constant boolean := only_flow.tenant_id is not null;
    wanted integer := most;
    -- Large claims take several of a tenant at a turn: it is fair enough, and dearer otherwise.
    quantum integer := ceil(sqrt(greatest(most, 1)));
    turn synapsor.turn;
    wanted_tenants integer;
    flows synapsor.flow[];
    allotted synapsor.allotment;
    exhausted text[] := array[]::text[];
    ring text[] := array[]::text[];
    governed integer[] := array[]::integer[];
    are_all_governed boolean := true;
    missed text;
    served text[];
    keyed_ids text[];
    special_ids text[];
    special synapsor.open_external_actions[];
    claimable text[] := array[]::text[];
    examined record;
    lanes record;
    admitted record;
begin
    limited := array[]::integer[];
    if is_one_flow then
        flows := array[only_flow];
    else
        turn := synapsor._whose_turn(queue);
        suspended.has_weights := exists(select from synapsor.tenant_weights);
    end if;
    if drain.tenant_id <> ''
        and (only_flow.tenant_id = drain.tenant_id and only_flow.account_id = drain.account_id) is not true
    then
        drain := from_the_start;
    end if;
    loop
        -- What cannot be claimed leaves the ready index, so the next round meets others; the rounds are
        -- bounded.
        for round in 1..20 loop
            if is_one_flow then
                allotted.shares := array[wanted];
            else
                wanted_tenants := (wanted + quantum - 1) / quantum;
                flows := case
                    when tenants is null
                        then synapsor._ready_flows(queue, turn, wanted_tenants, suspended, exhausted, asked_at)
                    else synapsor._ready_flows_of(
                        tenants, queue, turn, wanted_tenants, suspended, exhausted, asked_at
                    )
                end;
                exit when flows is null;
                allotted := synapsor._allot(
                    queue, flows, turn, wanted, quantum, suspended, claimable || passed_over, asked_at
                );
            end if;
            select
                claimable || coalesce(
                    array_agg(ready.action_id) filter (where not (ready.is_special or ready.is_keyed)), '{}'
                ),
                array_agg(ready.action_id) filter (where ready.is_keyed and not ready.is_special),
                array_agg(ready.action_id) filter (where ready.is_special),
                moved || array_agg(ready.action_id) filter (where ready.last_sequence > 1),
                array_agg(ready.tenant_id)
            into claimable, keyed_ids, special_ids, moved, served
            from unnest(flows) with ordinality as flow (tenant_id, account_id, weight, is_governed, most, place)
            cross join lateral (
                select stored.action_id, stored.tenant_id, stored.last_sequence,
                    stored.ordering_key is not null as is_keyed,
                    coalesce(stored.expires_at <= asked_at, false)
                    or stored.deliveries_lost > 0 as is_special
                from synapsor.open_external_actions as stored
                where stored.queue = _choose.queue and stored.tenant_id = flow.tenant_id
                    and stored.account_id = flow.account_id and stored.status = 'queued'
                    and not stored.waits_for_lane and not stored.action_id = any(claimable || passed_over)
                    and (stored.rank, stored.position) > (drain.rank, drain.position)
                    and stored.rank <= asked_at + suspended.rank_ahead and stored.available_at <= asked_at
                    and (suspended.contracts is null or not stored.contract_id = any(suspended.contracts))
                    and (
                        suspended.principals is null
                        or not synapsor._proposer_of(stored.action_id) = any(suspended.principals)
                    )
                order by stored.rank, stored.position
                limit allotted.shares[flow.place]
                for update skip locked
            ) as ready;
            if special_ids is not null then
                special := array(
                    select stored
                    from synapsor.open_external_actions as stored
                    where stored.action_id = any(special_ids)
                    order by stored.rank, stored.position
                );
                examined := synapsor._examine(special, lease);
                passed_over := passed_over || examined.passed_over;
                select
                    claimable || array_agg(open.action_id) filter (where open.ordering_key is null),
                    keyed_ids || array_agg(open.action_id) filter (where open.ordering_key is not null)
                into claimable, keyed_ids
                from unnest(special) as open
                where open.action_id = any(examined.claimable);
            end if;
            if keyed_ids is not null then
                lanes := synapsor._enter_lanes(keyed_ids, claimable);
                claimable := claimable || lanes.entered;
                passed_over := passed_over || lanes.passed_over;
            end if;
            if suspended.has_limits then
                select
                    ring || array_agg(flow.tenant_id order by flow.place),
                    governed || array_agg(flow.account_id) filter (where flow.is_governed),
                    are_all_governed and bool_and(flow.is_governed)
                into ring, governed, are_all_governed
                from unnest(flows) with ordinality as flow (
                    tenant_id, account_id, weight, is_governed, most, place
                );
            end if;
            turn := allotted.next;
            wanted := most - cardinality(claimable);
            if wanted > 0 and drain.tenant_id <> '' then
                -- Too little behind what was claimed last: what is before it makes up for it.
                drain := from_the_start;
                continue;
            end if;
            exit when wanted <= 0 or (is_one_flow and special_ids is null and keyed_ids is null);
            continue when is_one_flow;
            exhausted := exhausted || synapsor._exhausted(flows, allotted.shares, served);
            quantum := 1;
        end loop;
        exit when cardinality(governed) = 0;
        admitted := synapsor._admit_deliveries(claimable, governed, ring, are_all_governed, asked_at);
        passed_over := passed_over || claimable;
        claimable := admitted.admitted;
        limited := limited || governed;
        missed := coalesce(missed, admitted.missed);
        wanted := most - cardinality(claimable);
        exit when admitted.missed is null or wanted <= 0;
        -- What an account refused is made up for from others: each has been asked once.
        suspended.accounts := suspended.accounts || governed;
        are_all_governed := false;
        governed := '{}';
    end loop;
    if missed is not null then
        turn := (missed, 0);
    end if;
    if not is_one_flow then
        perform synapsor._pass_turn(queue, turn);
    end if;
    if most >= 10 and (wanted <= 0 or drain.claims > 0) then
        perform synapsor._drain_to(
            queue, drain, case when is_one_flow and wanted <= 0 then claimable end, asked_at
        );
    end if;
    action_ids := claimable;
end;
$function$;
