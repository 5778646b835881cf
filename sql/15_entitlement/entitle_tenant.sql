-- security definer: entitlements are written by nobody but their owner.
create or replace function synapsor.entitle_tenant(tenant_id text, namespace text, enabled boolean default true)
returns synapsor.entitlement
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    decided synapsor.entitlement;
begin
    if coalesce(tenant_id, '') = '' then
        raise exception using
            errcode = 'SY003',
            message = 'an entitlement has a tenant';
    end if;
    if not exists (select from synapsor.modules as module where module.namespace = entitle_tenant.namespace) then
        raise exception using
            errcode = 'SY011',
            message = format('module %s is not declared', quote_nullable(left(namespace, 64))),
            hint = 'Declare it with synapsor.declare_module.';
    end if;
    insert into synapsor.tenant_entitlements as known (tenant_id, namespace, enabled, decided_by, decided_at)
    values (
        entitle_tenant.tenant_id, entitle_tenant.namespace, coalesce(entitle_tenant.enabled, false),
        synapsor._session() ->> 'principal', synapsor._now()
    )
    on conflict on constraint tenant_entitlements_pkey
    do update set enabled = excluded.enabled, decided_by = excluded.decided_by, decided_at = excluded.decided_at
    returning known.tenant_id, known.namespace, known.enabled, known.decided_by, known.decided_at into decided;
    return decided;
end;
$function$;

grant execute on function synapsor.entitle_tenant to synapsor_admin;

comment on function synapsor.entitle_tenant is
'Says whether a tenant may use a declared module, and returns the decision. Errors: SY011 no such
module.';
