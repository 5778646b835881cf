-- security definer: contracts are written by nobody but their owner.
create or replace function synapsor.retire_action(action text, version integer default null)
returns setof synapsor.contract
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    if not exists (
        select from synapsor.action_contracts as contract
        where contract.action = retire_action.action
            and contract.version = coalesce(retire_action.version, contract.version)
    ) then
        raise exception using
            errcode = 'SY001',
            message = format('action %s%s is not declared', quote_nullable(action), ' version ' || version),
            hint = 'List the contracts with: select action, version from synapsor.synapsor_action_contracts.';
    end if;
    return query
    with retired as (
        update synapsor.action_contracts as contract
        set retired_at = coalesce(contract.retired_at, synapsor._now())
        where contract.action = retire_action.action
            and contract.version = coalesce(retire_action.version, contract.version)
        returning contract.*
    )
    select (synapsor._contract(retired)).* from retired order by retired.version;
end;
$function$;

grant execute on function synapsor.retire_action to synapsor_admin;

comment on function synapsor.retire_action is
'Retires one version of an action, or all of them, and returns them. New invocations use the
latest version not retired; actions in flight finish on theirs. Retiring again changes nothing.
Errors: SY001 when there is no such action or version.';
