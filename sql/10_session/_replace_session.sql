create or replace function synapsor._replace_session(context jsonb) returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
begin
    context := synapsor._with_member_roles(context);
    -- Local: rollback, savepoint rollback, the end of the transaction and DISCARD ALL end it.
    perform set_config(
        'synapsor.session',
        synapsor._write_session_slot(synapsor._transaction_stamp(), context),
        true
    );
    return context;
end
$function$;

comment on function synapsor._replace_session(jsonb) is
'Makes a checked context the session of this transaction, or ends the session (null). The owner''s
only.';
