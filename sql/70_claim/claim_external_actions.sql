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
    from_the_start constant synapsor.drain := synapsor._undrained();
    drain synapsor.drain := from_the_start;
    outlook record;
    suspended synapsor.suspended;
    only_flow synapsor.flow;
    chosen record;
    drifted text[];
    newly integer;
    taken integer := 0;
    passed_over text[] := array[]::text[];
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
    loop
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
            make_interval(
                mins => greatest(-(select min(contract.priority) from synapsor.action_contracts as contract), 0)
            ) as rank_ahead
        into outlook;
        exit when outlook.first_flow is not null or drain.tenant_id = '';
        -- Nothing is left behind what was claimed last.
        perform synapsor._drain_to(queue, drain, null, asked_at);
        drain := from_the_start;
    end loop;
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
    if outlook.first_flow = outlook.last_flow
        and not (outlook.has_lost or outlook.is_suspended or outlook.has_limits)
    then
        only_flow := row(outlook.first_flow[1], outlook.first_flow[2]::integer, 1, false, null);
    end if;

    -- What drifted from its intent is not leased: others are claimed in its place. The looks are
    -- bounded.
    for look in 1..20 loop
        if not delivers then
            select synapsor._reconcilable(queue, max_actions, suspended) as action_ids, array[]::integer[] as limited,
                null::text[] as moved
            into chosen;
        else
            -- A session of every tenant sees at once where nothing is ready.
            exit when sees_every and outlook.first_flow is null and not outlook.has_lost;
            chosen := synapsor._choose(
                queue, max_actions - taken, lease, tenants, only_flow, suspended, drain, passed_over, asked_at
            );
        end if;
        exit when cardinality(chosen.action_ids) = 0;
        -- Only what was queued by a later event than its first can have been approved.
        drifted := '{}';
        if chosen.moved is not null then
            drifted := array(
                select approval.action_id
                from synapsor.approvals as approval
                inner join synapsor.action_invocations as invocation using (action_id)
                where approval.action_id = any(chosen.moved) and approval.voided_at is null
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
                is_governed = open.account_id = any(chosen.limited),
                worker_principal = principal,
                worker_label = left(claim_external_actions.worker_label, 255),
                purpose = claim_external_actions.purpose
            from synapsor.action_contracts as contract
            cross join synapsor.action_invocations as invocation
            where open.action_id = any(chosen.action_ids) and contract.contract_id = open.contract_id
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
        get diagnostics newly = row_count;
        taken := taken + newly;
        exit when not delivers or newly = cardinality(chosen.action_ids);
        perform synapsor._examine(
            array(
                select stored
                from synapsor.open_external_actions as stored
                where stored.action_id = any(chosen.action_ids) and stored.status = 'queued'
                order by stored.rank, stored.position
            ),
            lease
        );
        passed_over := passed_over || chosen.action_ids;
        drain := from_the_start;
    end loop;

    if taken = 0 then
        insert into synapsor.idle_queues (queue, since)
        select claim_external_actions.queue, asked_at
        where not exists (select from synapsor.idle_queues as idle where idle.queue = claim_external_actions.queue)
            -- Nobody waits for a hint: of several idle workers one writes it.
            and pg_try_advisory_xact_lock(hashtextextended('synapsor.idle_queues:' || claim_external_actions.queue, 0))
        on conflict on constraint idle_queues_pkey do nothing;
    elsif outlook.is_idle then
        delete from synapsor.idle_queues as idle
        where idle.queue = (
            select awake.queue from synapsor.idle_queues as awake
            where awake.queue = claim_external_actions.queue
            for update skip locked
        );
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
