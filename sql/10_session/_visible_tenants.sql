create or replace function synapsor._visible_tenants() returns text[]
language plpgsql
stable
parallel restricted
-- security definer: reads the session; row-level policies call this as whoever asks
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return synapsor._tenants_of(synapsor._session());
end
$function$;

comment on function synapsor._visible_tenants() is
'The tenants this session sees by name: its list of tenants, or its one tenant, or none. A session
that sees every tenant is `_sees_every_tenant`. Call it once per statement: `(select …)`.';

grant execute on function synapsor._visible_tenants() to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor, synapsor_admin,
synapsor_gateway;

create or replace function synapsor._tenants_of(context jsonb) returns text[]
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
begin
    if jsonb_typeof(context -> 'tenants') = 'array' then
        return array(select jsonb_array_elements_text(context -> 'tenants'));
    elsif context ? 'tenant_id' then
        return array[context ->> 'tenant_id'];
    end if;
    return array[]::text[];
end
$function$;
