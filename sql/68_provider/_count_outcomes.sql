-- The state of an account with what confirmations brought since it was written, in the order in
-- which it was recorded.
create or replace function synapsor._count_outcomes(
    state synapsor.provider_states,
    limits synapsor.provider_limits,
    outcomes synapsor.provider_outcomes[]
)
returns synapsor.provider_states
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
declare
    outcome synapsor.provider_outcomes;
begin
    for outcome in
        select recorded.*
        from unnest(outcomes) as recorded
        order by recorded.outcome_id
    loop
        -- greatest passes over a null.
        state.retry_after_until := greatest(state.retry_after_until, outcome.retry_after_until);
        state := synapsor._count_calls(state, limits, outcome);
    end loop;
    return state;
end;
$function$;

-- The same for whoever only looks.
create or replace function synapsor._provider_state(account_id integer, limits synapsor.provider_limits)
returns synapsor.provider_states
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $function$
declare
    state synapsor.provider_states;
begin
    select held.* into state
    from synapsor.provider_states as held
    where held.account_id = _provider_state.account_id;
    if (synapsor._pending_outcomes(state, limits)).rows > 0 then
        state := synapsor._count_outcomes(state, limits, array(
            select recorded
            from synapsor.provider_outcomes as recorded
            where recorded.account_id = _provider_state.account_id
        ));
    end if;
    return state;
end;
$function$;

create or replace function synapsor._limits_of(account_id integer)
returns synapsor.provider_limits
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    limits synapsor.provider_limits;
begin
    select declared.* into limits
    from synapsor.provider_accounts as known
    inner join synapsor.provider_limits as declared on known.limits_id = declared.limits_id
    where known.account_id = _limits_of.account_id;
    return limits;
end;
$function$;

-- What is not counted into a state yet, and whether it could change what the state admits: successes
-- of a closed breaker only fill its window.
create or replace function synapsor._pending_outcomes(
    state synapsor.provider_states,
    limits synapsor.provider_limits
)
returns synapsor.pending_outcomes
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $function$
declare
    pending synapsor.pending_outcomes;
    calls text;
    is_paused boolean;
begin
    select count(*), string_agg(recorded.calls, ''), bool_or(recorded.retry_after_until is not null)
    into pending.rows, calls, is_paused
    from synapsor.provider_outcomes as recorded
    where recorded.account_id = (_pending_outcomes.state).account_id;
    pending.change_something := pending.rows > 0 and (
        is_paused
        or state.breaker in ('OPEN', 'HALF_OPEN')
        or (
            state.breaker = 'CLOSED' and (
                calls ~ '[fFS]' or (length(state.calls) < limits.minimum_calls and state.calls ~ '[fFS]')
            )
        )
    );
    return pending;
end;
$function$;

-- resilience4j's state machine (reference/pipeline.md, C), one call after the other.
create or replace function synapsor._count_calls(
    state synapsor.provider_states,
    limits synapsor.provider_limits,
    outcome synapsor.provider_outcomes
)
returns synapsor.provider_states
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
declare
    is_calm constant boolean := outcome.calls !~ '[fFS]';
    call text;
begin
    if state.breaker = 'METRICS_ONLY'
        -- A success can open the breaker only by completing the minimum.
        or (state.breaker = 'CLOSED' and is_calm and (
            length(state.calls) >= limits.minimum_calls or state.calls !~ '[fFS]'
        ))
    then
        state.calls := right(state.calls || outcome.calls, limits.window_size);
        return state;
    end if;
    foreach call in array string_to_array(outcome.calls, null) loop
        if state.breaker = 'CLOSED' then
            state.calls := right(state.calls || call, limits.window_size);
            if length(state.calls) >= least(limits.minimum_calls, limits.window_size)
                and synapsor._exceeds(state.calls, limits)
            then
                state.breaker := 'OPEN';
                state.opened_at := outcome.recorded_at;
            end if;
        elsif state.breaker = 'HALF_OPEN' and outcome.claim_token >= state.probe_token then
            state.calls := state.calls || call;
            if length(state.calls) >= least(limits.minimum_calls, limits.half_open_calls) then
                state.probe_token := null;
                if synapsor._exceeds(state.calls, limits) then
                    state.breaker := 'OPEN';
                    state.opened_at := outcome.recorded_at;
                else
                    state.breaker := 'CLOSED';
                    state.opened_at := null;
                    state.calls := '';
                end if;
            end if;
        end if;
    end loop;
    return state;
end;
$function$;

create or replace function synapsor._exceeds(calls text, limits synapsor.provider_limits)
returns boolean
language sql
immutable
begin atomic
    select
        100.0 * length(translate(calls, 'sS', '')) >= limits.failure_rate_threshold * length(calls)
        or 100.0 * length(translate(calls, 'sf', '')) >= limits.slow_call_rate_threshold * length(calls);
end;
