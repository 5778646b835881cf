-- The number of an account, given to it here where it has none. Whoever names an account for the
-- first time in a long transaction makes others who name it for the first time wait.
create or replace function synapsor._provider_account(
    provider text, account text, is_hidden boolean default false
)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    number integer;
    limits synapsor.provider_limits;
begin
    if provider is null then
        return 0;
    end if;
    select known.account_id into number
    from synapsor.provider_accounts as known
    where known.provider = _provider_account.provider and known.account = _provider_account.account;
    if found then
        return number;
    end if;
    insert into synapsor.provider_accounts as known (provider, account, is_hidden)
    values (_provider_account.provider, _provider_account.account, _provider_account.is_hidden)
    on conflict on constraint one_number_per_account do update set account = excluded.account
    returning known.account_id into number;
    select declared.* into limits
    from synapsor.provider_limits as declared
    where declared.provider = _provider_account.provider
        and declared.account in (_provider_account.account, '*')
    order by declared.account = '*', declared.version desc
    limit 1;
    if found then
        perform synapsor._limit_account(number, limits);
    end if;
    return number;
end;
$function$;

-- Puts an account under limits. What its bucket holds stays in it, up to the new burst; another mode
-- of the breaker begins with nothing counted.
create or replace function synapsor._limit_account(account_id integer, limits synapsor.provider_limits)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    limited_at constant timestamptz := synapsor._now();
    before synapsor.provider_limits;
    state synapsor.provider_states;
    initial constant text := case limits.breaker_mode
        when 'enforce' then 'CLOSED'
        when 'monitor' then 'METRICS_ONLY'
        when 'disabled' then 'DISABLED'
        else 'FORCED_OPEN'
    end;
begin
    select held.* into state
    from synapsor.provider_states as held
    where held.account_id = _limit_account.account_id
    for update;
    if found then
        select declared.* into before
        from synapsor.provider_accounts as known
        inner join synapsor.provider_limits as declared using (limits_id)
        where known.account_id = _limit_account.account_id;
        state := synapsor._count_outcomes(state, before, synapsor._take_outcomes(account_id));
    end if;
    insert into synapsor.provider_states as held (account_id, tokens, refilled_at, breaker)
    values (_limit_account.account_id, coalesce(limits.burst, 0), limited_at, initial)
    on conflict on constraint provider_states_pkey do update set
        tokens = coalesce(
            least(synapsor._tokens(state.tokens, state.refilled_at, before.per_second, before.burst, limited_at),
                limits.burst),
            0
        ),
        refilled_at = limited_at,
        retry_after_until = state.retry_after_until,
        breaker = case when before.breaker_mode = limits.breaker_mode then state.breaker else initial end,
        calls = case
            when before.breaker_mode = limits.breaker_mode then right(state.calls, limits.window_size)
            else ''
        end,
        opened_at = case when before.breaker_mode = limits.breaker_mode then state.opened_at end,
        probe_token = case when before.breaker_mode = limits.breaker_mode then state.probe_token end;
    update synapsor.provider_accounts as known
    set limits_id = limits.limits_id
    where known.account_id = _limit_account.account_id and known.limits_id is distinct from limits.limits_id;
end;
$function$;
