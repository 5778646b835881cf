-- security definer: nobody but the owner changes an action's state.
create or replace function synapsor.expire_claims(max_actions integer default 1000)
returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    swept_at constant timestamptz := synapsor._now();
    sees_every constant boolean := synapsor._sees_every_tenant();
    tenants constant text[] := synapsor._visible_tenants();
    open synapsor.open_external_actions;
    expired integer := 0;
begin
    for open in
        select stored.*
        from synapsor.open_external_actions as stored
        where stored.status = 'claimed' and stored.lease_expires_at <= swept_at
            and (sees_every or stored.tenant_id = any(tenants))
        order by stored.lease_expires_at
        limit max_actions
        for update skip locked
    loop
        perform synapsor._lose_claim(open, 'LeaseExpired', null);
        expired := expired + 1;
    end loop;
    return expired + synapsor._expire('queued', max_actions - expired);
end;
$function$;

grant execute on function synapsor.expire_claims to synapsor_worker, synapsor_admin;

comment on function synapsor.expire_claims is
'Takes back claims whose lease has run out, and ends queued actions that were not delivered within
their contract''s deliver_within: at most max_actions of the session''s tenants; returns their
number. Callable by any scheduler whose login is bound; workers call it too.';
