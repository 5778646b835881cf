-- security definer: limits and states are in nobody's view; of claims in flight only numbers are
-- told, per tenant those of the session, and hidden accounts to auditors alone
create or replace function synapsor._provider_health()
returns table (
    provider text,
    account text,
    tenant_id text,
    breaker_state text,
    failure_rate numeric,
    calls integer,
    opens_until timestamptz,
    tokens numeric,
    in_flight bigint,
    retry_after_until timestamptz,
    paused boolean
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
declare
    read_at constant timestamptz := synapsor._now();
    audits constant boolean := synapsor._caller_has('synapsor_auditor');
    sees_every constant boolean := synapsor._sees_every_tenant();
    tenants constant text[] := synapsor._visible_tenants();
    held constant jsonb := (
        select jsonb_agg(counted::jsonb)
        from synapsor._as_every_tenant(
            'select synapsor._held_by_account($1::timestamptz)::text', array[read_at::text]
        ) as counted
    );
begin
    return query
    with claims as (
        select claimed.*
        from jsonb_to_recordset(held) as claimed (account_id integer, tenant_id text, in_flight bigint)
    ),

    accounts as materialized (
        select
            known.account_id, known.provider, known.account, limits,
            case when limits.limits_id is not null then synapsor._provider_state(known.account_id, limits) end as state,
            exists(
                select from synapsor.suspensions as stop
                where stop.kind = 'all' or (stop.kind = 'provider' and stop.name = known.provider)
            ) as is_paused
        from synapsor.provider_accounts as known
        left join synapsor.provider_limits as limits using (limits_id)
        where not known.is_hidden or audits
    )

    select
        account.provider, account.account, null,
        coalesce((account.state).breaker, 'DISABLED'),
        case
            when length((account.state).calls) >= case (account.state).breaker
                -- Which few probes may have opened again.
                when 'OPEN' then 1
                when 'HALF_OPEN' then least((account.limits).minimum_calls, (account.limits).half_open_calls)
                else least((account.limits).minimum_calls, (account.limits).window_size)
            end then trim_scale(round(
                100.0 * length(translate((account.state).calls, 'sS', '')) / length((account.state).calls), 1
            ))
        end,
        coalesce(length((account.state).calls), 0),
        case when (account.state).breaker = 'OPEN' then (account.state).opened_at + (account.limits).wait_open end,
        trim_scale(round(synapsor._tokens(
            (account.state).tokens, (account.state).refilled_at, (account.limits).per_second,
            (account.limits).burst, read_at
        )::numeric, 3)),
        coalesce((
            select sum(claim.in_flight)::bigint from claims as claim where claim.account_id = account.account_id
        ), 0),
        case when (account.state).retry_after_until > read_at then (account.state).retry_after_until end,
        account.is_paused
    from accounts as account
    union all
    select
        account.provider, account.account, tenant.tenant_id,
        coalesce((account.state).breaker, 'DISABLED'), null, null, null,
        trim_scale(round(coalesce(
            synapsor._tokens(
                bucket.tokens, bucket.refilled_at, (account.limits).per_second_and_tenant,
                (account.limits).burst_of_tenant, read_at
            ),
            (account.limits).burst_of_tenant
        )::numeric, 3)),
        coalesce((
            select claim.in_flight from claims as claim
            where claim.account_id = account.account_id and claim.tenant_id = tenant.tenant_id
        ), 0),
        case when (account.state).retry_after_until > read_at then (account.state).retry_after_until end,
        account.is_paused or exists (
            select from synapsor.suspensions as stop where stop.kind = 'tenant' and stop.name = tenant.tenant_id
        )
    from accounts as account
    cross join lateral (
        select claim.tenant_id from claims as claim where claim.account_id = account.account_id
        union
        select bucket.tenant_id from synapsor.provider_tenant_states as bucket
        where bucket.account_id = account.account_id
    ) as tenant (tenant_id)
    left join synapsor.provider_tenant_states as bucket
        on bucket.account_id = account.account_id and bucket.tenant_id = tenant.tenant_id
    where coalesce((account.limits).max_in_flight_of_tenant, (account.limits).per_second_and_tenant) is not null
        and (sees_every or tenant.tenant_id = any(tenants));
end;
$function$;

grant execute on function synapsor._provider_health()
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._provider_health() is
'What synapsor_provider_health shows to the session.';

create or replace function synapsor._held_by_account(read_at timestamptz)
returns setof jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select jsonb_build_object(
        'account_id', open.account_id, 'tenant_id', open.tenant_id, 'in_flight', count(*)
    )
    from synapsor.open_external_actions as open
    where open.status = 'claimed' and open.purpose = 'deliver' and open.lease_expires_at > read_at
    group by open.account_id, open.tenant_id;
$function$;
