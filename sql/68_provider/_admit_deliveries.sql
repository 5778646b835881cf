-- Of actions about to be claimed those that the limits of their accounts let begin now: exact,
-- because every claim at an account passes here under the lock of its state, held until the claim
-- commits. Tenants take turns in the order of the ring; `missed` is the first that went without.
create or replace function synapsor._admit_deliveries(
    action_ids text[],
    governed integer[],
    ring text[],
    claimed_at timestamptz,
    out admitted text[],
    out missed text
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    account record;
    refused text[] := array[]::text[];
begin
    for account in
        select turn.account_id,
            array_agg(turn.action_id order by turn.round, turn.place) as action_ids,
            array_agg(turn.tenant_id order by turn.round, turn.place) as tenants
        from (
            select candidate.account_id, candidate.action_id, candidate.tenant_id,
                array_position(ring, candidate.tenant_id) as place,
                row_number() over (
                    partition by candidate.account_id, candidate.tenant_id
                    order by candidate.rank, candidate.position
                ) as round
            from synapsor.open_external_actions as candidate
            where candidate.action_id = any(_admit_deliveries.action_ids) and candidate.account_id = any(governed)
        ) as turn
        group by turn.account_id
        order by turn.account_id
    loop
        refused := refused || synapsor._refuse_deliveries(
            account.account_id, account.action_ids, account.tenants, claimed_at
        );
        if cardinality(refused) > 0 then
            missed := coalesce(missed, account.tenants[array_position(account.action_ids, refused[1])]);
        end if;
    end loop;
    admitted := action_ids;
    if cardinality(refused) > 0 then
        admitted := array(
            select asked.action_id
            from unnest(action_ids) as asked (action_id)
            where not asked.action_id = any(refused)
        );
    end if;
end;
$function$;

-- Takes from one account what its limits allow, and returns the actions that go without.
create or replace function synapsor._refuse_deliveries(
    account_id integer,
    action_ids text[],
    tenants text[],
    claimed_at timestamptz
)
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    limits synapsor.provider_limits;
    state synapsor.provider_states;
    admission synapsor.admission;
    refused text[] := array[]::text[];
    taken integer;
begin
    if not synapsor._lock_provider(account_id) then
        return action_ids;
    end if;
    select declared.* into strict limits
    from synapsor.provider_accounts as known
    inner join synapsor.provider_limits as declared using (limits_id)
    where known.account_id = _refuse_deliveries.account_id;
    select held.* into strict state
    from synapsor.provider_states as held
    where held.account_id = _refuse_deliveries.account_id;
    state := synapsor._count_outcomes(state, limits, synapsor._take_outcomes(account_id));
    admission := synapsor._admission(state, limits, claimed_at);
    if limits.max_in_flight_of_tenant is not null or limits.per_second_and_tenant is not null then
        refused := synapsor._refuse_tenants(account_id, action_ids, tenants, limits, admission.most, claimed_at);
    else
        refused := action_ids[coalesce(admission.most, cardinality(action_ids)) + 1:];
    end if;
    taken := cardinality(action_ids) - cardinality(refused);
    if state.breaker = 'OPEN' and taken > 0 then
        -- The next permit after the wait is the first probe.
        state.breaker := 'HALF_OPEN';
        state.calls := '';
        state.probe_token := (extract(epoch from claimed_at) * 1000000)::bigint;
    end if;
    -- Written even where nothing changes: a claim on an old snapshot must fail, not count wrongly.
    update synapsor.provider_states as held
    set
        tokens = coalesce(
            synapsor._tokens(state.tokens, state.refilled_at, limits.per_second, limits.burst, claimed_at) - taken, 0
        ),
        refilled_at = greatest(state.refilled_at, claimed_at),
        retry_after_until = state.retry_after_until,
        breaker = state.breaker,
        calls = state.calls,
        opened_at = state.opened_at,
        probe_token = state.probe_token
    where held.account_id = _refuse_deliveries.account_id;
    return refused;
end;
$function$;

-- The share of single tenants: what each may begin, as long as the account has room.
create or replace function synapsor._refuse_tenants(
    account_id integer,
    action_ids text[],
    tenants text[],
    limits synapsor.provider_limits,
    most integer,
    claimed_at timestamptz
)
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    refused text[] := array[]::text[];
    left_of_account integer := coalesce(most, cardinality(action_ids));
    left_of jsonb := jsonb_build_object();
    room integer;
    tenant text;
begin
    for place in 1..cardinality(action_ids) loop
        tenant := tenants[place];
        if not left_of ? tenant then
            left_of := left_of || jsonb_build_object(
                tenant, (synapsor._admission_of_tenant(account_id, tenant, limits, claimed_at)).most
            );
        end if;
        room := (left_of ->> tenant)::integer;
        if left_of_account > 0 and room > 0 then
            left_of_account := left_of_account - 1;
            left_of := left_of || jsonb_build_object(tenant, room - 1);
        else
            refused := refused || action_ids[place];
        end if;
    end loop;
    if limits.per_second_and_tenant is not null then
        insert into synapsor.provider_tenant_states as held (account_id, tenant_id, tokens, refilled_at)
        select
            _refuse_tenants.account_id, served.tenant_id, limits.burst_of_tenant - count(*), claimed_at
        from unnest(action_ids, tenants) as served (action_id, tenant_id)
        where not served.action_id = any(refused)
        group by served.tenant_id
        order by served.tenant_id
        on conflict on constraint provider_tenant_states_pkey do update set
            tokens = synapsor._tokens(
                held.tokens, held.refilled_at, limits.per_second_and_tenant, limits.burst_of_tenant,
                claimed_at
            ) - (limits.burst_of_tenant - excluded.tokens),
            refilled_at = greatest(held.refilled_at, claimed_at);
    end if;
    return refused;
end;
$function$;

-- False when another claim at the account does not commit soon: a worker that sleeps in its
-- transaction stops no other account.
create or replace function synapsor._lock_provider(account_id integer)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $function$
begin
    perform
    from synapsor.provider_states as held
    where held.account_id = _lock_provider.account_id
    for update;
    return true;
exception
    when lock_not_available then
        return false;
end;
$function$;

create or replace function synapsor._take_outcomes(account_id integer)
returns synapsor.provider_outcomes[]
language sql
volatile
set search_path = pg_catalog, pg_temp
as $function$
    with taken as (
        delete from synapsor.provider_outcomes as recorded
        where recorded.account_id = _take_outcomes.account_id
        returning recorded
    )

    select coalesce(array_agg(taken.recorded), '{}') from taken;
$function$;
