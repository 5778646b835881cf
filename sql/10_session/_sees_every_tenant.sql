create or replace function synapsor._sees_every_tenant() returns boolean
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
        return true;
    end if;
    return coalesce(synapsor._session() -> 'tenants' = '"*"', false);
end
$function$;

comment on function synapsor._sees_every_tenant() is
'Whether this session is bound to every tenant ("*"), or the extension''s own housekeeping is at
work (`_as_every_tenant`). Call it once per statement: `(select …)`.';

grant execute on function synapsor._sees_every_tenant() to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor, synapsor_admin,
synapsor_gateway;
