-- security definer: limits are written by nobody but their owner.
create or replace function synapsor.declare_provider(definition jsonb)
returns synapsor.provider
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    checked jsonb;
    accepted jsonb;
    latest synapsor.provider_limits;
    declared synapsor.provider_limits;
    account record;
begin
    perform synapsor._require_object(definition, 'a provider', 'declare_provider');
    checked := synapsor._check_provider(definition);
    accepted := checked -> 'definition';
    perform synapsor._require_no_reasons(synapsor._reasons(checked), format(
        'the definition of provider %s', coalesce(quote_nullable(definition ->> 'provider'), '')
    ));

    -- Declarations are rare and take turns, so that two equal ones cannot make two versions.
    lock table synapsor.provider_limits in share row exclusive mode;
    select known.* into latest
    from synapsor.provider_limits as known
    where known.provider = accepted ->> 'provider' and known.account = accepted ->> 'account'
    order by known.version desc
    limit 1;
    if latest.declared = declare_provider.definition then
        return synapsor._provider(latest);
    end if;

    -- The old row goes last: what an account had by it is carried over.
    insert into synapsor.provider_limits (
        provider, account, version, declared, definition, declared_by, declared_at, per_second, burst,
        per_second_and_tenant, burst_of_tenant, max_in_flight, max_in_flight_of_tenant, breaker_mode,
        failure_rate_threshold, slow_call_duration, slow_call_rate_threshold, minimum_calls, window_size,
        wait_open, half_open_calls
    )
    select
        accepted ->> 'provider',
        accepted ->> 'account',
        coalesce(latest.version, 0) + 1,
        declare_provider.definition,
        accepted,
        synapsor._session() ->> 'principal',
        synapsor._now(),
        rate.per_second,
        rate.burst,
        rate.per_tenant,
        -- A tenant's share of the burst, but never less than one call.
        greatest(rate.burst * rate.per_tenant / rate.per_second, 1),
        (accepted -> 'concurrency' ->> 'max')::integer,
        (accepted -> 'concurrency' ->> 'per_tenant')::integer,
        breaker.mode,
        breaker.failure_rate_threshold,
        breaker.slow_call_duration,
        breaker.slow_call_rate_threshold,
        breaker.minimum_calls,
        breaker."window",
        breaker.wait_open,
        breaker.half_open_calls
    from jsonb_to_record(accepted -> 'breaker') as breaker (
        mode text, failure_rate_threshold double precision, slow_call_duration interval,
        slow_call_rate_threshold double precision, minimum_calls integer, "window" integer,
        wait_open interval, half_open_calls integer
    )
    cross join jsonb_to_record(coalesce(nullif(accepted -> 'rate_limit', 'null'), '{}')) as rate (
        per_second double precision, burst double precision, per_tenant double precision
    )
    returning * into declared;

    if declared.account <> '*' then
        perform synapsor._provider_account(declared.provider, declared.account);
        update synapsor.provider_accounts as named
        set is_hidden = false
        where named.provider = declared.provider and named.account = declared.account and named.is_hidden;
    end if;
    for account in
        select known.account_id
        from synapsor.provider_accounts as known
        left join synapsor.provider_limits as held using (limits_id)
        where known.provider = declared.provider
            and (
                known.account = declared.account
                or (declared.account = '*' and coalesce(held.account, '*') = '*')
            )
        order by known.account_id
    loop
        perform synapsor._limit_account(account.account_id, declared);
        -- What was claimed without limits fills them from now on.
        perform synapsor._as_every_tenant(
            'select synapsor._govern_claims($1::integer)', array[account.account_id::text]
        );
    end loop;
    delete from synapsor.provider_limits as replaced where replaced.limits_id = latest.limits_id;
    perform pg_notify('synapsor_queues', idle.queue)
    from synapsor.idle_queues as idle
    where octet_length(idle.queue) < 8000;
    return synapsor._provider(declared);
end;
$function$;

grant execute on function synapsor.declare_provider to synapsor_admin;

comment on function synapsor.declare_provider is
'Says what an account of a provider bears, and returns it with its defaults:
{"provider", "account" ("default"; * for each account without limits of its own, each by itself),
"description", "rate_limit": {"per_second" (fractions too), "burst" (what a second lets through),
"per_tenant" (calls per second of one tenant)}, "concurrency": {"max", "per_tenant"},
"breaker": {"mode" (enforce; monitor, disabled, forced_open), "failure_rate_threshold" (50, in
percent), "slow_call_duration" (60 s), "slow_call_rate_threshold" (100), "minimum_calls" (100),
"window" (100 calls), "wait_open" (60 s), "half_open_calls" (10)}}. Without breaker there is none.

A definition replaces the one before and takes effect at the next claim; what is in flight goes on.
An equal one (as jsonb) is a no-op. Tokens in the bucket stay, up to the new burst; another mode of
the breaker begins with nothing counted. A failed or unknown outcome with retry_after pauses the
whole account. What counts against the breaker: failed, unless retryable is false; unknown; and
deliveries lost after they had begun. Errors: SY002 with every reason. Source: design.md section 7.';

create or replace function synapsor._govern_claims(account_id integer)
returns integer
language sql
volatile
set search_path = pg_catalog, pg_temp
as $function$
    with held as (
        update synapsor.open_external_actions as open
        set is_governed = true
        where open.action_id = any(array(
            select claimed.action_id
            from synapsor.open_external_actions as claimed
            where claimed.status = 'claimed' and claimed.purpose = 'deliver' and not claimed.is_governed
                and claimed.account_id = _govern_claims.account_id
            -- One that is just being confirmed is gone in a moment.
            for update skip locked
        ))
        returning open.action_id
    )

    select count(*)::integer from held;
$function$;
