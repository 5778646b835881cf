-- Fail closed: a contract that names policies or limits is not performed by a version that cannot enforce them.
create or replace function synapsor._require_enforceable(contract synapsor.action_contracts)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
begin
    if jsonb_array_length(contract.definition -> 'policies') > 0 then
        raise exception using
            errcode = 'SY009',
            message = format('%s is blocked by policy', contract.action),
            detail = format('The policies %s are not registered; what cannot be evaluated blocks.', contract.definition -> 'policies');
    end if;
    if jsonb_array_length(contract.definition -> 'limits') > 0 then
        raise exception using
            errcode = 'SY009',
            message = format('%s is blocked by its limits', contract.action),
            detail = 'Limits are not enforced by this version; what cannot be enforced blocks.';
    end if;
end;
$function$;
