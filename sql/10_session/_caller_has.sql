create or replace function synapsor._caller_has(role name) returns boolean
language plpgsql
stable
parallel restricted
set search_path = pg_catalog, pg_temp
as $function$
begin
    return pg_has_role(synapsor._caller_role(), role, 'usage');
end
$function$;

comment on function synapsor._caller_has(name) is
'Whether the caller role has the rights of a group role; where EXECUTE alone cannot tell.';

grant execute on function synapsor._caller_has(name) to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor, synapsor_admin,
synapsor_gateway;
