-- security definer: limits and states are in nobody's view; told are numbers of accounts and why
-- nothing may begin there, per tenant for those of the session
create or replace function synapsor._held_up()
returns table (
    account_id integer,
    tenant_id text,
    reason text,
    until timestamptz,
    told text,
    remedy text
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
    tenants constant text[] := synapsor._visible_tenants();
    sees_every constant boolean := synapsor._sees_every_tenant();
begin
    return query
    with limited as materialized (
        select
            known,
            limits,
            synapsor._admission(synapsor._provider_state(known.account_id, limits), limits, read_at) as admission,
            case
                when known.account = 'default' or (known.is_hidden and not audits)
                    then format('provider %s', known.provider)
                else format('provider %s, account %s,', known.provider, known.account)
            end as named
        from synapsor.provider_accounts as known
        inner join synapsor.provider_limits as limits using (limits_id)
    ),

    blocked as (
        select (limited.known).account_id, null::text as tenant_id, limited.admission, limited.named
        from limited
        where (limited.admission).most = 0
        union all
        select (limited.known).account_id, flow.tenant_id, of_tenant.admission, limited.named
        from limited
        cross join lateral (
            select distinct open.tenant_id
            from synapsor.open_external_actions as open
            where open.account_id = (limited.known).account_id and open.status = 'queued'
                and (sees_every or open.tenant_id = any(tenants))
        ) as flow
        cross join lateral (
            select synapsor._admission_of_tenant(
                (limited.known).account_id, flow.tenant_id, limited.limits, read_at
            ) as admission
            offset 0
        ) as of_tenant
        where (limited.admission).most is distinct from 0
            and coalesce((limited.limits).max_in_flight_of_tenant, (limited.limits).per_second_and_tenant) is not null
            and (of_tenant.admission).most = 0
    )

    select
        blocked.account_id, blocked.tenant_id, (blocked.admission).reason, (blocked.admission).until,
        format(
            case (blocked.admission).reason
                when 'forced_open' then 'the breaker of %s is forced open'
                when 'breaker_open' then 'the breaker of %s is open until %s'
                when 'probing' then 'the breaker of %s is half open and waits for a probe'
                when 'retry_after' then '%s asked not to be called until %s'
                when 'full' then '%s has as many deliveries under way as it may have'
                when 'rate_limited' then 'the rate limit of %s is used up until %s'
            end,
            blocked.named, (blocked.admission).until
        ),
        case (blocked.admission).reason
            when 'forced_open' then 'Declare it with another mode of the breaker: synapsor.declare_provider.'
            when 'full' then 'Workers end them; or declare a higher maximum: synapsor.declare_provider.'
            when 'rate_limited' then 'It goes on by itself; or declare a higher rate: synapsor.declare_provider.'
            else 'It goes on by itself once the provider is well; see synapsor.synapsor_provider_health.'
        end
    from blocked;
end;
$function$;

grant execute on function synapsor._held_up()
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._held_up() is
'The accounts, and tenants at an account, whose limits let nothing begin now, with why, until when,
and what helps.';
