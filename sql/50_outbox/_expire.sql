-- Ends proposals nobody approved in time, or queued actions nobody delivered in time. What may have
-- been performed is never expired.
create or replace function synapsor._expire(status text, max_actions integer)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    swept_at constant timestamptz := synapsor._now();
    sees_every constant boolean := synapsor._sees_every_tenant();
    tenants constant text[] := synapsor._visible_tenants();
    open synapsor.open_external_actions;
    expired integer := 0;
begin
    perform synapsor._warn_without_tenant();
    for open in
        select stored.*
        from synapsor.open_external_actions as stored
        where stored.expires_at <= swept_at and stored.status = _expire.status and stored.deliveries_lost = 0
            and stored.status in ('proposed', 'queued')
            and (sees_every or stored.tenant_id = any(tenants))
        order by stored.expires_at
        limit max_actions
        for update skip locked
    loop
        perform synapsor._finish(open, 'Expired', 'expired', error_code => 'expired');
        expired := expired + 1;
    end loop;
    return expired;
end;
$function$;

create or replace function synapsor._warn_without_tenant()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    if not synapsor._session() ?| array['tenant_id', 'tenants'] then
        raise warning using
            message = format('login %s sees no tenant; nothing is done', quote_ident(session_user)),
            hint = format('Bind it: select synapsor.bind_role(%L, ''{"tenants": "*"}'').', session_user);
    end if;
end;
$function$;
