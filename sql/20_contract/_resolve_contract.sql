create or replace function synapsor._resolve_contract(action text, version integer)
returns synapsor.action_contracts
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    contract synapsor.action_contracts;
begin
    select declared.* into contract
    from synapsor.action_contracts as declared
    where declared.action = _resolve_contract.action
        and (_resolve_contract.version is null or declared.version = _resolve_contract.version)
        and declared.retired_at is null
    order by declared.version desc
    limit 1;
    if found then
        if contract.kind <> 'external' or contract.decides then
            -- Opened once, not at every look.
            contract.definition := contract.definition || '{}';
        end if;
        return contract;
    end if;
    if exists (
        select from synapsor.action_contracts as declared
        where declared.action = _resolve_contract.action
            and (_resolve_contract.version is null or declared.version = _resolve_contract.version)
    ) then
        raise exception using
            errcode = 'SY001',
            message = format('action %s%s is retired', quote_nullable(action), ' version ' || version),
            hint = 'Name a version that is not retired, or declare the next one.';
    end if;
    raise exception using
        errcode = 'SY001',
        message = format('action %s%s is not declared', quote_nullable(action), ' version ' || version),
        hint = 'Declare it with synapsor.declare_action, or look for its name in synapsor.synapsor_action_contracts.';
end;
$function$;
