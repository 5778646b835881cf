-- The session's own roles and those of the member row of (tenant, principal).
create or replace function synapsor._with_member_roles(session jsonb)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    held text[];
begin
    select member.roles into held
    from synapsor.members as member
    where member.tenant_id = session ->> 'tenant_id' and member.principal = session ->> 'principal';
    if held is null or cardinality(held) = 0 then
        return session;
    end if;
    return session || jsonb_build_object('roles', (
        select jsonb_agg(distinct role.name order by role.name)
        from (
            select jsonb_array_elements_text(session -> 'roles') as name
            union all
            select unnest(held)
        ) as role
    ));
end;
$function$;
