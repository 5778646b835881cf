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
declare
    claimed_at timestamptz := synapsor._now();
    principal constant text := synapsor._session() ->> 'principal';
    sees_every constant boolean := synapsor._sees_every_tenant();
    tenants constant text[] := synapsor._visible_tenants();
    suspended synapsor.suspended;
    wanted integer := max_actions;
    -- Large claims take several of a tenant at a turn: it is fair enough, and dearer otherwise.
    quantum integer := ceil(sqrt(greatest(max_actions, 1)));
    turn synapsor.turn;
    flows synapsor.flow[];
    allotted synapsor.allotment;
    exhausted text[] := array[]::text[];
    ring text[] := array[]::text[];
    governed integer[] := array[]::integer[];
    limited integer[] := array[]::integer[];
    missed text;
    served text[];
    candidates text[];
    special synapsor.open_external_actions[];
    claimable text[] := array[]::text[];
    passed_over text[] := array[]::text[];
    examined record;
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
    suspended := synapsor._suspended_on(queue);
    if suspended.everything then
        return;
    end if;

    -- Whoever asks for work takes back what was lost, so that a take-over waits for no
    -- housekeeping.
    if exists (
        select from synapsor.open_external_actions as lost
        where lost.status = 'claimed' and lost.lease_expires_at <= claimed_at
    ) then
        perform synapsor.expire_claims(100);
        claimed_at := synapsor._now();
    end if;

    if purpose = 'reconcile' then
        claimable := synapsor._reconcilable(queue, max_actions, suspended);
    else
        turn := synapsor._turn(queue);
        loop
            -- What cannot be claimed leaves the ready index, so the next round meets others; the rounds
            -- are bounded.
            for round in 1..20 loop
                flows := synapsor._ready_flows(
                    queue, turn, (wanted + quantum - 1) / quantum, suspended, exhausted, claimed_at
                );
                exit when flows is null;
                allotted := synapsor._allot(
                    queue, flows, turn, wanted, quantum, suspended, claimable || passed_over, claimed_at
                );
                select
                    array_agg(ready.action_id order by ready.rank, ready.position) filter (where not ready.is_special),
                    array_agg(ready.state order by ready.rank, ready.position) filter (where ready.is_special),
                    array_agg(ready.tenant_id)
                into candidates, special, served
                from (
                    select open.action_id, open.tenant_id, open.rank, open.position, open.state,
                        open.ordering_key is not null
                        or coalesce(open.expires_at <= claimed_at, false)
                        or open.deliveries_lost > 0
                        or invocation.digest is distinct from sha256(convert_to(invocation.intent, 'UTF8'))
                        or exists (
                            select from synapsor.approvals as approval
                            where approval.action_id = open.action_id and approval.voided_at is null
                                and approval.verdict = 'approved' and approval.digest <> invocation.digest
                        ) as is_special
                    from unnest(flows) with ordinality as flow (tenant_id, account_id, weight, is_governed, most, place)
                    cross join lateral (
                        select stored.*, stored as state
                        from synapsor.open_external_actions as stored
                        where stored.queue = claim_external_actions.queue and stored.tenant_id = flow.tenant_id
                            and stored.account_id = flow.account_id and stored.status = 'queued'
                            and not stored.waits_for_lane and not stored.action_id = any(claimable || passed_over)
                            and stored.rank <= claimed_at + suspended.rank_ahead and stored.available_at <= claimed_at
                            and (suspended.contracts is null or not stored.contract_id = any(suspended.contracts))
                            and (suspended.principals is null or not exists (
                                select from synapsor.action_invocations as proposal
                                where proposal.action_id = stored.action_id
                                    and proposal.actor = any(suspended.principals)
                            ))
                        order by stored.rank, stored.position
                        limit allotted.shares[flow.place]
                        for update skip locked
                    ) as open
                    inner join synapsor.action_invocations as invocation using (action_id)
                ) as ready;
                claimable := claimable || coalesce(candidates, '{}');
                if special is not null then
                    examined := synapsor._examine(special, lease);
                    claimable := claimable || examined.claimable;
                    passed_over := passed_over || examined.passed_over;
                end if;
                select
                    ring || array_agg(flow.tenant_id order by flow.place),
                    governed || array_agg(flow.account_id) filter (where flow.is_governed)
                into ring, governed
                from unnest(flows) with ordinality as flow (tenant_id, account_id, weight, is_governed, most, place);
                turn := allotted.next;
                wanted := max_actions - cardinality(claimable);
                exit when wanted <= 0;
                exhausted := exhausted || synapsor._exhausted(flows, allotted.shares, served);
                quantum := 1;
            end loop;
            exit when cardinality(governed) = 0;
            admitted := synapsor._admit_deliveries(claimable, governed, ring, claimed_at);
            passed_over := passed_over || claimable;
            claimable := admitted.admitted;
            limited := limited || governed;
            missed := coalesce(missed, admitted.missed);
            wanted := max_actions - cardinality(claimable);
            exit when admitted.missed is null or wanted <= 0;
            -- What an account refused is made up for from others: each has been asked once.
            suspended.accounts := suspended.accounts || governed;
            governed := '{}';
        end loop;
        if missed is not null then
            turn := (missed, 0);
        end if;
        perform synapsor._pass_turn(queue, turn);
    end if;

    if cardinality(claimable) = 0 then
        insert into synapsor.idle_queues (queue, since)
        select claim_external_actions.queue, claimed_at
        where not exists (select from synapsor.idle_queues as idle where idle.queue = claim_external_actions.queue)
            -- Nobody waits for a hint: of several idle workers one writes it.
            and pg_try_advisory_xact_lock(hashtextextended('synapsor.idle_queues:' || claim_external_actions.queue, 0))
        on conflict on constraint idle_queues_pkey do nothing;
        return;
    end if;
    delete from synapsor.idle_queues as idle
    where idle.queue = (
        select awake.queue from synapsor.idle_queues as awake
        where awake.queue = claim_external_actions.queue
        for update skip locked
    );
    return query
    select claimed.*
    from synapsor._lease(
        claimable, principal, left(worker_label, 255), lease, purpose, "begin", limited, claimed_at
    ) as claimed;
end;
$function$;

grant execute on function synapsor.claim_external_actions to synapsor_worker;

comment on function synapsor.claim_external_actions is
'Claims up to max_actions (1 to 1000) due actions of a queue for the session''s principal, by
rank, and returns what a worker needs to perform them; never two workers the same one. lease: 1
second to 1 day, null takes each contract''s. With begin the claim counts as begin_delivery; a
worker that calls begin_delivery just before the first byte passes false. Purpose `reconcile`
claims unknown actions whose contract names a reconcile operation. Every claim raises claim_token;
claims commit synchronously. No rows: nothing is due, or it is suspended, or (with a warning) the
session serves no tenant. Errors: SY003. Source: design.md section 5, rules 5 and 8.';
