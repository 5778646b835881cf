create or replace function synapsor._seen_tenants() returns text[]
language plpgsql
stable
parallel restricted
-- security definer: reads the session; row-level policies call this as whoever asks
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    -- Not null: an AND evaluates its other side to see whether it is false.
    nonce constant text := coalesce(current_setting('synapsor.every_tenant', true), '');
begin
    if nonce <> ''
        and synapsor._is_every_tenant_nonce(nonce, synapsor._transaction_stamp())
    then
        return array[null];
    end if;
    return synapsor._seen_by(synapsor._session());
end
$function$;

comment on function synapsor._seen_tenants() is
'The tenants this session sees, with a null among them where it sees every one: it is bound to
every tenant ("*"), or the extension''s own housekeeping is at work (`_as_every_tenant`). Call it
once per statement: `(select …)`.';

grant execute on function synapsor._seen_tenants() to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor, synapsor_admin,
synapsor_gateway;

create or replace function synapsor._seen_by(context jsonb) returns text[]
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
begin
    if context -> 'tenants' = '"*"' then
        return array[null];
    end if;
    return synapsor._tenants_of(context);
end
$function$;
