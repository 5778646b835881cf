-- What an account lets a tenant begin, as far as one can see without its lock.
create or replace function synapsor._peek_admission(
    account synapsor.provider_accounts,
    tenant text,
    asked_at timestamptz,
    is_hint boolean default false
)
returns synapsor.admission
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    limits synapsor.provider_limits := synapsor._limits_of(account.account_id);
    state synapsor.provider_states;
    admission synapsor.admission;
    of_tenant synapsor.admission;
begin
    if limits.limits_id is null then
        return admission;
    end if;
    select held.* into state
    from synapsor.provider_states as held
    where held.account_id = account.account_id;
    if (synapsor._pending_outcomes(state, limits)).change_something then
        state := synapsor._provider_state(account.account_id, limits);
    end if;
    if is_hint and limits.max_in_flight > 1000 then
        -- So many are counted once, under the lock.
        limits.max_in_flight := null;
    end if;
    admission := synapsor._admission(state, limits, asked_at);
    if admission.most is distinct from 0
        and (limits.max_in_flight_of_tenant is not null or limits.per_second_and_tenant is not null)
    then
        of_tenant := synapsor._admission_of_tenant(account.account_id, tenant, limits, asked_at);
        if of_tenant.most = 0 then
            return of_tenant;
        end if;
        admission.most := least(admission.most, of_tenant.most);
    end if;
    return admission;
end;
$function$;
