-- Of actions about to be claimed those that the limits of their accounts let begin now: exact,
-- because every claim at an account passes here under the lock of its state, held until the claim
-- commits. Tenants take turns in the order of the ring; `missed` is the first that went without.
create or replace function synapsor._admit_deliveries(
    action_ids text[],
    governed integer[],
    ring text[],
    are_all_governed boolean,
    claimed_at timestamptz,
    out admitted text[],
    out missed text
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    -- In one order, so that two claims cannot wait for each other.
    accounts constant integer[] := array(select distinct unnest(governed) order by 1);
    account integer;
    opened synapsor.opened_account;
    asked record;
    refused text[] := array[]::text[];
    refused_here text[];
begin
    foreach account in array accounts loop
        opened := synapsor._open_account(account, claimed_at);
        continue when opened.is_free;
        if are_all_governed and cardinality(accounts) = 1 and not opened.limits_tenants
            and (opened.state).account_id is not null
            and coalesce((opened.admission).most >= cardinality(action_ids), true)
        then
            -- Nothing to choose.
            perform synapsor._close_account(
                account, opened.limits, opened.state, cardinality(action_ids), claimed_at
            );
            continue;
        end if;
        select
            coalesce(array_agg(turn.action_id order by turn.round, turn.place), '{}') as action_ids,
            coalesce(array_agg(turn.tenant_id order by turn.round, turn.place), '{}') as tenants
        into asked
        from (
            select candidate.action_id, candidate.tenant_id, array_position(ring, candidate.tenant_id) as place,
                row_number() over (
                    partition by candidate.tenant_id order by candidate.rank, candidate.position
                ) as round
            from synapsor.open_external_actions as candidate
            where candidate.action_id = any(_admit_deliveries.action_ids) and candidate.account_id = account
        ) as turn;
        refused_here := case
            when (opened.state).account_id is null then asked.action_ids
            when opened.limits_tenants
                then synapsor._refuse_tenants(
                    account, asked.action_ids, asked.tenants, opened.limits, (opened.admission).most, claimed_at
                )
            else asked.action_ids[coalesce((opened.admission).most, cardinality(asked.action_ids)) + 1:]
        end;
        if (opened.state).account_id is not null then
            perform synapsor._close_account(
                account, opened.limits, opened.state,
                cardinality(asked.action_ids) - cardinality(refused_here), claimed_at
            );
        end if;
        if cardinality(refused_here) > 0 then
            missed := coalesce(missed, asked.tenants[array_position(asked.action_ids, refused_here[1])]);
            refused := refused || refused_here;
        end if;
    end loop;
    admitted := action_ids;
    if cardinality(refused) > 0 then
        admitted := array(
            select candidate.action_id
            from unnest(action_ids) as candidate (action_id)
            where not candidate.action_id = any(refused)
        );
    end if;
end;
$function$;

-- Locks the state of an account and tells what it admits; is_free when nothing can limit this claim,
-- so that there is nothing to lock, and no state when another claim holds it too long.
create or replace function synapsor._open_account(account_id integer, claimed_at timestamptz)
returns synapsor.opened_account
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    opened synapsor.opened_account;
    limits constant synapsor.provider_limits := synapsor._limits_of(account_id);
    state synapsor.provider_states;
    pending synapsor.pending_outcomes;
begin
    opened.limits := limits;
    opened.is_free := false;
    opened.limits_tenants := coalesce(limits.max_in_flight_of_tenant, limits.per_second_and_tenant) is not null;
    if limits.per_second is null and limits.max_in_flight is null and not opened.limits_tenants then
        select held.* into state
        from synapsor.provider_states as held
        where held.account_id = _open_account.account_id;
        pending := synapsor._pending_outcomes(state, limits);
        if not pending.change_something and pending.rows < 16
            and state.breaker in ('CLOSED', 'METRICS_ONLY', 'DISABLED')
            and coalesce(state.retry_after_until <= claimed_at, true)
        then
            opened.is_free := true;
            return opened;
        end if;
    end if;
    state := synapsor._lock_provider(account_id);
    if state.account_id is null then
        return opened;
    end if;
    pending := synapsor._pending_outcomes(state, limits);
    -- Counted in now and then: a deletion costs more than looking at a few of them again.
    if pending.change_something or pending.rows >= 16 then
        state := synapsor._count_outcomes(state, limits, synapsor._take_outcomes(account_id));
    end if;
    opened.state := state;
    opened.admission := synapsor._admission(state, limits, claimed_at);
    return opened;
end;
$function$;

create or replace function synapsor._close_account(
    account_id integer,
    limits synapsor.provider_limits,
    state synapsor.provider_states,
    taken integer,
    claimed_at timestamptz
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
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
    where held.account_id = _close_account.account_id;
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

-- Null when another claim at the account does not commit soon: a worker that sleeps in its
-- transaction stops no other account.
create or replace function synapsor._lock_provider(account_id integer)
returns synapsor.provider_states
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    state synapsor.provider_states;
begin
    -- Nearly always nobody holds it, and no subtransaction is needed.
    select held.* into state
    from synapsor.provider_states as held
    where held.account_id = _lock_provider.account_id
    for update skip locked;
    if not found then
        return synapsor._await_provider(account_id);
    end if;
    return state;
end;
$function$;

create or replace function synapsor._await_provider(account_id integer)
returns synapsor.provider_states
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $function$
declare
    state synapsor.provider_states;
begin
    select held.* into state
    from synapsor.provider_states as held
    where held.account_id = _await_provider.account_id
    for update;
    return state;
exception
    when lock_not_available then
        return null;
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
