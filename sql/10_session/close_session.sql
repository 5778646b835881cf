create or replace function synapsor.close_session() returns void
language plpgsql
volatile
-- security definer: empties the session slot, which no caller may write
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform synapsor._replace_session(null);
end
$function$;

comment on function synapsor.close_session() is
'Ends the session before the transaction does; what follows acts by the binding of the login, if
any. Closing twice is no error.';

grant execute on function synapsor.close_session() to public;
