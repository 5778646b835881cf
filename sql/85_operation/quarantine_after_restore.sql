-- security definer: changes the state of every tenant's actions.
create or replace function synapsor.quarantine_after_restore(reason text)
returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform synapsor.suspend('all', '', reason);
    return synapsor._as_every_tenant('select synapsor._quarantine($1)', array[reason])::integer;
end;
$function$;

grant execute on function synapsor.quarantine_after_restore to synapsor_admin;

comment on function synapsor.quarantine_after_restore is
'After a restore or a failover with loss: what this database believes not done may have been done.
Halts all delivery (suspend all) and turns every unfinished action of every tenant that had ever
been queued into `unknown`, for reconciliation. Returns their number. Lift the halt with
synapsor.resume(''all'', ''''). Source: design.md section 4.';

create or replace function synapsor._quarantine(reason text)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    open synapsor.open_external_actions;
    quarantined integer := 0;
begin
    for open in
        select stored.* from synapsor.open_external_actions as stored
        where stored.status <> 'unknown' and (
            -- An action whose approval was voided waits as proposed again.
            stored.queued_at is not null or exists (
                select from synapsor._events as event
                where event.action_id = stored.action_id and event.status = 'queued'
            )
        )
        order by stored.action_id
        -- The halt must not wait for somebody's open transaction; called again, it takes the rest.
        for update skip locked
    loop
        open.status := 'unknown';
        open.available_at := synapsor._now();
        open.lease_expires_at := null;
        open.expires_at := null;
        -- The deliveries of the lost time are not in this database.
        open.deliveries_lost := open.deliveries_lost + 1;
        open.error_code := 'quarantined';
        perform synapsor._move(open, 'Quarantined', note => reason, error_code => 'quarantined');
        quarantined := quarantined + 1;
    end loop;
    return quarantined;
end;
$function$;
