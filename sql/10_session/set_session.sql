create or replace function synapsor.set_session(context jsonb) returns jsonb
language plpgsql
volatile
-- security definer: writes the session slot, which no caller may; EXECUTE decides who may call
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    -- A refused context leaves no earlier session behind, even when the error is caught.
    perform synapsor._replace_session(null);

    return synapsor._replace_session(
        synapsor._check_session(set_session.context, 'session context')
    );
end
$function$;

comment on function synapsor.set_session(jsonb) is
'Opens a session for this transaction from values the gateway itself vouches for, and returns it:
principal (required), tenant_id, actor_type (default natural_person), roles, and any further value
a contract binds. Earlier sessions of the transaction end, also when the context is refused
(SY006). A login with this right must never pass on SQL that somebody else wrote.';

grant execute on function synapsor.set_session(jsonb) to synapsor_gateway;
