create or replace function synapsor.current_session() returns jsonb
language plpgsql
stable
parallel restricted
-- security definer: reads the session, which belongs to whoever asks
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return synapsor._session();
end
$function$;

comment on function synapsor.current_session() is
'The session in force: the one opened in this transaction, else the binding of the login, else the
bare login, which has no tenant and sees no rows. Keys: principal, actor_type, roles; tenant_id
and tenants where known; whatever else the session carries.';

grant execute on function synapsor.current_session() to public;
