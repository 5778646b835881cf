-- How many deliveries an account lets begin now. Writes nothing: exact only under the lock of its
-- state.
create or replace function synapsor._admission(
    state synapsor.provider_states,
    limits synapsor.provider_limits,
    asked_at timestamptz
)
returns synapsor.admission
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    admission synapsor.admission;
    in_flight bigint;
begin
    if state.breaker = 'FORCED_OPEN' then
        return row(0, 'forced_open', null)::synapsor.admission;
    elsif state.retry_after_until > asked_at then
        return row(0, 'retry_after', state.retry_after_until)::synapsor.admission;
    elsif state.breaker = 'OPEN' and state.opened_at + limits.wait_open > asked_at then
        return row(0, 'breaker_open', state.opened_at + limits.wait_open)::synapsor.admission;
    elsif state.breaker in ('OPEN', 'HALF_OPEN') then
        -- One probe at a time: what is not answered yet has not shown that the provider is back.
        if state.breaker = 'HALF_OPEN'
            and synapsor._in_flight(state.account_id, asked_at, since_token => state.probe_token) > 0
        then
            return row(0, 'probing', null)::synapsor.admission;
        end if;
        admission.most := 1;
    end if;
    if limits.max_in_flight is not null then
        in_flight := synapsor._in_flight(state.account_id, asked_at);
        if in_flight >= limits.max_in_flight then
            return row(0, 'full', null)::synapsor.admission;
        end if;
        admission.most := least(admission.most, limits.max_in_flight - in_flight);
    end if;
    if limits.per_second is not null then
        return synapsor._admitted_by_rate(
            admission, synapsor._tokens(state.tokens, state.refilled_at, limits.per_second, limits.burst, asked_at),
            limits.per_second, asked_at
        );
    end if;
    return admission;
end;
$function$;

-- The same for one tenant within the account.
create or replace function synapsor._admission_of_tenant(
    account_id integer,
    tenant text,
    limits synapsor.provider_limits,
    asked_at timestamptz
)
returns synapsor.admission
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    admission synapsor.admission;
    tokens double precision;
    in_flight bigint;
begin
    if limits.max_in_flight_of_tenant is not null then
        in_flight := synapsor._in_flight(account_id, asked_at, tenant);
        if in_flight >= limits.max_in_flight_of_tenant then
            return row(0, 'full', null)::synapsor.admission;
        end if;
        admission.most := limits.max_in_flight_of_tenant - in_flight;
    end if;
    if limits.per_second_and_tenant is not null then
        select synapsor._tokens(
            state.tokens, state.refilled_at, limits.per_second_and_tenant, limits.burst_of_tenant, asked_at
        ) into tokens
        from synapsor.provider_tenant_states as state
        where state.account_id = _admission_of_tenant.account_id and state.tenant_id = tenant;
        return synapsor._admitted_by_rate(
            admission, coalesce(tokens, limits.burst_of_tenant), limits.per_second_and_tenant, asked_at
        );
    end if;
    return admission;
end;
$function$;

-- An admission so far, as far as a bucket with so many tokens goes along.
create or replace function synapsor._admitted_by_rate(
    so_far synapsor.admission,
    tokens double precision,
    per_second double precision,
    asked_at timestamptz
)
returns synapsor.admission
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
declare
    -- The millionth makes up for what is lost in rounding.
    whole constant integer := floor(tokens + 0.000001);
begin
    if whole < 1 then
        return row(0, 'rate_limited', asked_at + make_interval(secs => (1 - tokens) / per_second))::synapsor.admission;
    end if;
    so_far.most := least(so_far.most, whole);
    return so_far;
end;
$function$;

-- What a bucket holds; null without a rate.
create or replace function synapsor._tokens(
    held double precision,
    refilled_at timestamptz,
    per_second double precision,
    burst double precision,
    asked_at timestamptz
)
returns double precision
language sql
immutable
begin atomic
    select least(
        burst,
        held + per_second * greatest(extract(epoch from asked_at - refilled_at)::double precision, 0)
    );
end;

-- Deliveries under way at an account: claims whose lease lasts. Those of all tenants count, whoever
-- asks.
create or replace function synapsor._in_flight(
    account_id integer,
    asked_at timestamptz,
    tenant text default null,
    since_token bigint default null
)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
-- As many as the limit allows, out of however long a backlog.
set enable_seqscan = off
as $function$
begin
    if exists (select from synapsor._wall as wall where array_position(wall.seen, null) is null) then
        return synapsor._as_every_tenant(
            'select synapsor._in_flight($1::integer, $2::timestamptz, $3, $4::bigint)',
            array[account_id::text, asked_at::text, tenant, since_token::text]
        )::bigint;
    end if;
    return (
        select count(*)
        from synapsor.open_external_actions as held
        where held.account_id = _in_flight.account_id and held.status = 'claimed' and held.is_governed
            and held.lease_expires_at > asked_at
            and (tenant is null or held.tenant_id = tenant)
            and (since_token is null or held.claim_token >= since_token)
    );
end;
$function$;
