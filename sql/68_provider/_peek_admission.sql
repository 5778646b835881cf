-- What an account lets a tenant begin, as far as one can see without its lock.
create or replace function synapsor._peek_admission(
    account synapsor.provider_accounts,
    tenant text,
    asked_at timestamptz
)
returns synapsor.admission
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    limits synapsor.provider_limits;
    admission synapsor.admission;
    of_tenant synapsor.admission;
begin
    select declared.* into limits
    from synapsor.provider_limits as declared
    where declared.limits_id = account.limits_id;
    if not found then
        return admission;
    end if;
    admission := synapsor._admission(
        synapsor._provider_state(account.account_id, limits), limits, asked_at
    );
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
