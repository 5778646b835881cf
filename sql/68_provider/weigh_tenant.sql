-- security definer: weights are written by nobody but their owner.
create or replace function synapsor.weigh_tenant(tenant_id text, weight integer)
returns synapsor.tenant_weight
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    if coalesce(tenant_id, '') = '' or weight is null or weight not between 1 and 100 then
        raise exception using
            errcode = 'SY003',
            message = 'a tenant has a weight from 1 to 100',
            hint = 'Weight 1 is what a tenant has that nobody weighed.';
    end if;
    return synapsor._as_every_tenant(
        'select synapsor._weigh_tenant($1, $2::integer, $3)::text',
        array[tenant_id, weight::text, synapsor._session() ->> 'principal']
    )::synapsor.tenant_weight;
end;
$function$;

grant execute on function synapsor.weigh_tenant to synapsor_admin;

comment on function synapsor.weigh_tenant is
'Gives a tenant a weight from 1 to 100: how many times the share of a tenant of weight 1 it gets of
the claims of a queue where both have work that is due. Errors: SY003.';

create or replace function synapsor._weigh_tenant(tenant text, weight integer, decided_by text)
returns synapsor.tenant_weight
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    decided synapsor.tenant_weight;
begin
    insert into synapsor.tenant_weights as known (tenant_id, weight, decided_by, decided_at)
    values (tenant, _weigh_tenant.weight, _weigh_tenant.decided_by, synapsor._now())
    on conflict on constraint tenant_weights_pkey
    do update set weight = excluded.weight, decided_by = excluded.decided_by, decided_at = excluded.decided_at
    returning known.tenant_id, known.weight, known.decided_by, known.decided_at into decided;
    return decided;
end;
$function$;
