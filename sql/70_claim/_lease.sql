-- Leases locked actions: state, event and the rows a worker gets, in one statement.
create or replace function synapsor._lease(
    action_ids text[],
    principal text,
    worker_label text,
    lease interval,
    purpose text,
    begins boolean,
    governed integer[],
    claimed_at timestamptz
)
returns setof synapsor.claim
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
begin
    return query
    with leased as (
        update synapsor.open_external_actions as open
        set
            status = 'claimed',
            -- The clock in it keeps a restored database from issuing an old token again.
            claim_token = greatest(open.claim_token + 1, (extract(epoch from claimed_at) * 1000000)::bigint),
            attempts = open.attempts + case when _lease.purpose = 'deliver' then 1 else 0 end,
            reconciliations = open.reconciliations + case when _lease.purpose = 'reconcile' then 1 else 0 end,
            claims_lost = case when begins then 0 else open.claims_lost end,
            last_sequence = open.last_sequence + 1,
            lease_expires_at = claimed_at + coalesce(_lease.lease, contract.lease),
            delivery_started_at = case when begins and _lease.purpose = 'deliver' then claimed_at end,
            first_delivery_at = case
                when begins and _lease.purpose = 'deliver' then coalesce(open.first_delivery_at, claimed_at)
                else open.first_delivery_at
            end,
            is_governed = coalesce(open.account_id = any(governed), false),
            worker_principal = principal,
            worker_label = _lease.worker_label,
            purpose = _lease.purpose
        from synapsor.action_contracts as contract
        where open.action_id = any(action_ids) and contract.contract_id = open.contract_id
        -- Each column that is named here costs every claim: only what is read below.
        returning open.action_id, open.tenant_id, open.claim_token, open.last_sequence, open.attempts,
            open.deliveries_lost, open.generation, open.rank, open.position, open.queue, open.lease_expires_at,
            open.delivery_started_at, open.first_delivery_at, contract.provider,
            case open.purpose when 'reconcile' then contract.reconcile_operation else contract.operation end
            as operation
    ),

    recorded as (
        insert into synapsor.external_action_events (
            action_id, sequence, attempt, tenant_id, event_type, status, actor, occurred_at, claim_token,
            lease_expires_at, delivery_started_at, worker_principal, worker_label, note
        )
        select
            leased.action_id, leased.last_sequence, leased.attempts, leased.tenant_id,
            'Claimed', 'claimed', principal, claimed_at, leased.claim_token, leased.lease_expires_at,
            leased.delivery_started_at, principal, _lease.worker_label,
            case when _lease.purpose = 'reconcile' then 'to reconcile' end
        from leased
    )

    select
        leased.action_id, leased.claim_token, leased.tenant_id, invocation.action, invocation.version,
        leased.provider, invocation.account,
        leased.operation,
        leased.queue,
        (document.intent -> 'arguments') || (document.intent -> 'hidden'),
        invocation.intent, encode(invocation.digest, 'hex'),
        invocation.idempotency_key || case when leased.generation > 1 then '#' || leased.generation else '' end,
        leased.attempts::integer, leased.lease_expires_at,
        -- The first attempt was none before, though it is begun by now.
        case
            when leased.delivery_started_at is null or leased.attempts > 1 or leased.deliveries_lost > 0
                then leased.first_delivery_at
        end,
        _lease.purpose,
        invocation.run_id, invocation.step_key, coalesce(invocation.correlation_id, invocation.action_id),
        invocation.traceparent
    from leased
    inner join synapsor.action_invocations as invocation using (action_id)
    -- Parsed once: offset 0 keeps the planner from writing it out at every use.
    cross join lateral (select invocation.intent::jsonb as intent offset 0) as document
    order by leased.rank, leased.position;
end;
$function$;
