-- security definer: nobody but the owner changes an action's state or reads intents.
create or replace function synapsor.claim_external_actions(
    queue text,
    max_actions integer default 1,
    lease interval default null,
    worker_label text default null,
    purpose text default 'deliver',
    "begin" boolean default true
)
returns setof synapsor.claim
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- Planning this anew costs more than running it, and a plan that lives as long as the connection
-- must walk the ready index in its order, however large the backlog was when it was made.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
#variable_conflict use_column
declare
    asked_at timestamptz := synapsor._now();
    session constant jsonb := synapsor._session();
    sees_every constant boolean := coalesce(session -> 'tenants' = '"*"', false);
    tenants constant text[] := case when not sees_every then synapsor._tenants_of(session) end;
    principal constant text := session ->> 'principal';
    delivers constant boolean := purpose = 'deliver';
    start constant synapsor.drain := row(0, '-infinity', '', 0, '-infinity', 0);
    drain synapsor.drain := start;
    outlook record;
    is_one_flow boolean;
    suspended synapsor.suspended;
    wanted integer := max_actions;
    -- Large claims take several of a tenant at a turn: it is fair enough, and dearer otherwise.
    quantum integer := ceil(sqrt(greatest(max_actions, 1)));
    turn synapsor.turn;
    wanted_tenants integer;
    flows synapsor.flow[];
    allotted synapsor.allotment;
    exhausted text[] := array[]::text[];
    ring text[] := array[]::text[];
    governed integer[] := array[]::integer[];
    limited integer[] := array[]::integer[];
    are_all_governed boolean := true;
    missed text;
    served text[];
    keyed_ids text[];
    moved text[];
    drifted text[] := array[]::text[];
    taken integer;
    stack text;
    special_ids text[];
    special synapsor.open_external_actions[];
    claimable text[] := array[]::text[];
    passed_over text[] := array[]::text[];
    examined record;
    lanes record;
    admitted record;
begin
    if queue is null or length(queue) > 255 or max_actions is null or max_actions not between 1 and 1000
        or lease not between interval '1 second' and interval '1 day'
        or purpose is null or purpose not in ('deliver', 'reconcile')
    then
        raise exception using
            errcode = 'SY003',
            message = 'a claim names a queue, 1 to 1000 actions, a lease of 1 second to 1 day, '
                'and the purpose deliver or reconcile',
            detail = format(
                'Given: queue %s, max_actions %s, lease %s, purpose %s.', quote_nullable(queue), max_actions,
                coalesce(lease::text, 'of the contract'), quote_nullable(purpose)
            );
    end if;
    if current_setting('synchronous_commit') = 'off' then
        -- A claim lost in a crash would let the same token be issued twice.
        perform set_config('synchronous_commit', 'on', true);
    end if;
    if not sees_every and tenants = '{}' then
        perform synapsor._warn_without_tenant();
    end if;
    -- Not worth its price for fewer.
    if max_actions >= 10 then
        drain := synapsor._drained_to(queue, asked_at);
    end if;
    -- Nearly always none of this is the case, which one statement finds out.
    select
        exists(select from synapsor.suspensions) as is_suspended,
        exists(
            select from synapsor.open_external_actions as lost
            where lost.status = 'claimed' and lost.lease_expires_at <= asked_at
                and lost.lease_expires_at > drain.looked_at
        ) as has_lost,
        exists(
            select from synapsor.idle_queues as idle where idle.queue = claim_external_actions.queue
        ) as is_idle,
        exists(select from synapsor.provider_limits) as has_limits,
        -- The ends of the ready index: where they are of one flow there are no turns to take.
        (
            select array[ready.tenant_id, ready.account_id::text]
            from synapsor.open_external_actions as ready
            where sees_every and ready.queue = claim_external_actions.queue and ready.status = 'queued'
                and not ready.waits_for_lane
                and (ready.tenant_id, ready.account_id, ready.rank, ready.position)
                > (drain.tenant_id, drain.account_id, drain.rank, drain.position)
            order by ready.tenant_id, ready.account_id, ready.rank
            limit 1
        ) as first_flow,
        (
            select array[ready.tenant_id, ready.account_id::text]
            from synapsor.open_external_actions as ready
            where sees_every and ready.queue = claim_external_actions.queue and ready.status = 'queued'
                and not ready.waits_for_lane
            order by ready.tenant_id desc, ready.account_id desc, ready.rank desc
            limit 1
        ) as last_flow,
        (extract(epoch from asked_at) * 1000000)::bigint as clock,
        -- A negative priority puts rank behind the due time: look that much further ahead.
        make_interval(mins => greatest(-(select min(contract.priority) from synapsor.action_contracts as contract), 0))
        as rank_ahead
    into outlook;
    if outlook.is_suspended then
        suspended := synapsor._suspended_on(queue);
        if suspended.everything then
            return;
        end if;
    end if;
    suspended.rank_ahead := outlook.rank_ahead;
    suspended.has_limits := outlook.has_limits;

    -- Whoever asks for work takes back what was lost, so that a take-over waits for no
    -- housekeeping.
    if outlook.has_lost then
        perform synapsor.expire_claims(100);
        asked_at := synapsor._now();
    end if;

    if outlook.first_flow is null and drain.tenant_id <> '' then
        -- Nothing is left behind what it claimed: from the start.
        perform synapsor._drain_to(queue, drain, null, asked_at);
        return query
        select again.*
        from synapsor.claim_external_actions(queue, max_actions, lease, worker_label, purpose, "begin") as again;
        return;
    end if;
    if purpose = 'reconcile' then
        claimable := synapsor._reconcilable(queue, max_actions, suspended);
    else
        -- Null where nothing is ready, nor was taken back just now.
        is_one_flow := not (outlook.has_lost or outlook.is_suspended or outlook.has_limits)
            and outlook.first_flow = outlook.last_flow;
        if is_one_flow then
            flows := array[
                row(outlook.first_flow[1], outlook.first_flow[2]::integer, 1, false, null)::synapsor.flow
            ];
        elsif is_one_flow is not null or not sees_every then
            is_one_flow := false;
            turn := synapsor._whose_turn(queue);
            suspended.has_weights := exists(select from synapsor.tenant_weights);
        end if;
        if drain.tenant_id <> ''
            and (is_one_flow and outlook.first_flow = array[drain.tenant_id, drain.account_id::text]) is not true
        then
            drain := start;
        end if;
        while is_one_flow is not null loop
            -- What cannot be claimed leaves the ready index, so the next round meets others; the rounds
            -- are bounded.
            for round in 1..20 loop
                if is_one_flow then
                    allotted.shares := array[wanted];
                else
                    wanted_tenants := (wanted + quantum - 1) / quantum;
                    flows := case
                        when sees_every
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
                    where stored.queue = claim_external_actions.queue and stored.tenant_id = flow.tenant_id
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
                if outlook.has_limits then
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
                wanted := max_actions - cardinality(claimable);
                if wanted > 0 and drain.tenant_id <> '' then
                    -- Too little behind what it claimed: what is before it makes up for it.
                    drain := start;
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
            wanted := max_actions - cardinality(claimable);
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
        if max_actions >= 10 and (wanted <= 0 or drain.claims > 0) then
            perform synapsor._drain_to(
                queue, drain, case when is_one_flow and wanted <= 0 then claimable end, asked_at
            );
        end if;
    end if;

    if cardinality(claimable) = 0 then
        insert into synapsor.idle_queues (queue, since)
        select claim_external_actions.queue, asked_at
        where not exists (select from synapsor.idle_queues as idle where idle.queue = claim_external_actions.queue)
            -- Nobody waits for a hint: of several idle workers one writes it.
            and pg_try_advisory_xact_lock(hashtextextended('synapsor.idle_queues:' || claim_external_actions.queue, 0))
        on conflict on constraint idle_queues_pkey do nothing;
        return;
    end if;
    if outlook.is_idle then
        delete from synapsor.idle_queues as idle
        where idle.queue = (
            select awake.queue from synapsor.idle_queues as awake
            where awake.queue = claim_external_actions.queue
            for update skip locked
        );
    end if;
    if moved is not null then
        -- Only what was queued by a later event than its first can have been approved.
        drifted := array(
            select approval.action_id
            from synapsor.approvals as approval
            inner join synapsor.action_invocations as invocation using (action_id)
            where approval.action_id = any(moved) and approval.voided_at is null
                and approval.verdict = 'approved' and approval.digest <> invocation.digest
        );
    end if;
    -- The row is the event `Claimed` as well, until the next one is stored.
    return query
    with leased as (
        update synapsor.open_external_actions as open
        set
            status = 'claimed',
            -- The clock in it keeps a restored database from issuing an old token again.
            claim_token = greatest(open.claim_token + 1, outlook.clock),
            attempts = open.attempts + delivers::integer,
            reconciliations = open.reconciliations + (not delivers)::integer,
            claims_lost = case when "begin" then 0 else open.claims_lost end,
            last_sequence = open.last_sequence + 1,
            claimed_at = asked_at,
            lease_expires_at = asked_at + coalesce(claim_external_actions.lease, contract.lease),
            delivery_started_at = case when "begin" and delivers then asked_at end,
            first_delivery_at = case
                when "begin" and delivers then coalesce(open.first_delivery_at, asked_at)
                else open.first_delivery_at
            end,
            is_governed = open.account_id = any(limited),
            worker_principal = principal,
            worker_label = left(claim_external_actions.worker_label, 255),
            purpose = claim_external_actions.purpose
        from synapsor.action_contracts as contract
        cross join synapsor.action_invocations as invocation
        where open.action_id = any(claimable) and contract.contract_id = open.contract_id
            and invocation.action_id = open.action_id
            and (
                not delivers
                or not open.action_id = any(drifted)
                and invocation.digest = sha256(convert_to(invocation.intent, 'UTF8'))
            )
        -- Each column that is named here costs every claim: only what is read below.
        returning open.action_id, open.tenant_id, open.claim_token, open.attempts,
            open.deliveries_lost, open.generation, open.rank, open.position, open.lease_expires_at,
            open.delivery_started_at, open.first_delivery_at, contract.provider,
            case when delivers then contract.operation else contract.reconcile_operation end as operation,
            invocation.action, invocation.version, invocation.account, invocation.intent, invocation.digest,
            invocation.idempotency_key, invocation.run_id, invocation.step_key, invocation.correlation_id,
            invocation.traceparent,
            -- Parsed here, once, and read twice below.
            invocation.intent::jsonb as document
    )

    select
        leased.action_id, leased.claim_token, leased.tenant_id, leased.action, leased.version,
        leased.provider, leased.account, leased.operation, claim_external_actions.queue,
        (leased.document -> 'arguments') || (leased.document -> 'hidden'),
        leased.intent, encode(leased.digest, 'hex'),
        leased.idempotency_key || case when leased.generation > 1 then '#' || leased.generation else '' end,
        leased.attempts::integer, leased.lease_expires_at,
        -- The first attempt was none before, though it is begun by now.
        case
            when leased.delivery_started_at is null or leased.attempts > 1 or leased.deliveries_lost > 0
                then leased.first_delivery_at
        end,
        claim_external_actions.purpose,
        leased.run_id, leased.step_key, coalesce(leased.correlation_id, leased.action_id),
        leased.traceparent
    from leased
    order by leased.rank, leased.position;
    get diagnostics taken = row_count;
    if delivers and taken < cardinality(claimable) then
        -- What drifted was not leased, and leaves the queue here: others are claimed in its place.
        special := array(
            select stored
            from synapsor.open_external_actions as stored
            where stored.action_id = any(claimable) and stored.status = 'queued'
            order by stored.rank, stored.position
        );
        examined := synapsor._examine(special, lease);
        get diagnostics stack = pg_context;
        -- Not without end: each look takes room on the stack, and the next claim goes on.
        if cardinality(examined.passed_over) = 0 and regexp_count(stack, 'claim_external_actions[(]text,') < 20 then
            return query
            select other.*
            from synapsor.claim_external_actions(
                queue, max_actions - taken, lease, worker_label, purpose, "begin"
            ) as other;
        end if;
    end if;
end;
$function$;

grant execute on function synapsor.claim_external_actions to synapsor_worker;

comment on function synapsor.claim_external_actions is
'Claims up to max_actions (1 to 1000) due actions of a queue for the session''s principal, and
returns what a worker needs to perform them; never two workers the same one. Tenants take turns, by
weight; a tenant''s own come by rank; and no more than the limits of their provider let begin.
lease: 1 second to 1 day, null takes each contract''s. With begin the claim counts as
begin_delivery; a worker that calls begin_delivery just before the first byte passes false. Purpose
`reconcile` claims unknown actions whose contract names a reconcile operation; neither turns nor
limits apply to it. Every claim raises claim_token; claims commit synchronously. In a long drain,
after two dozen claims of ten or more that found all they wanted, a connection goes on behind what it
claimed: what becomes more urgent then waits for at most a second. No rows: nothing is
due, or it is suspended or held up by its provider, or (with a warning) the session serves no
tenant. Errors: SY003. Source: design.md section 5, rules 5 and 8.';
