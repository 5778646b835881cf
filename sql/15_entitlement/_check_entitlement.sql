create or replace function synapsor._check_entitlement(namespace text, tenant_id text)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
    if exists (select from synapsor.modules as module where module.namespace = _check_entitlement.namespace)
        and not exists (
            select from synapsor.tenant_entitlements as entitlement
            where entitlement.tenant_id = _check_entitlement.tenant_id
                and entitlement.namespace = _check_entitlement.namespace and entitlement.enabled
        )
    then
        raise exception using
            errcode = 'SY012',
            message = format('tenant %s is not entitled to module %s', quote_ident(tenant_id), namespace),
            hint = 'An administrator entitles it with synapsor.entitle_tenant.';
    end if;
end;
$function$;
