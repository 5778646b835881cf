create or replace function synapsor._sees_every_tenant() returns boolean
language plpgsql
stable
parallel restricted
-- security definer: reads the session; row-level policies call this as whoever asks
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return array_position(synapsor._seen_tenants(), null) is not null;
end
$function$;

comment on function synapsor._sees_every_tenant() is
'Whether this session is bound to every tenant ("*"), or the extension''s own housekeeping is at
work (`_as_every_tenant`). Call it once per statement: `(select …)`.';

grant execute on function synapsor._sees_every_tenant() to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor, synapsor_admin,
synapsor_gateway;
