create or replace function synapsor.remove_session_key(kid text) returns void
language plpgsql
volatile
-- security definer: writes session_keys, which no caller may
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    delete from synapsor.session_keys as known
    where known.kid = remove_session_key.kid;

    if not found then
        raise exception using
            errcode = 'SY011',
            message = 'there is no such session key',
            detail = 'No key of that kid is known.',
            hint = 'Compare the kid with the one it was added under, letter by letter.';
    end if;
end
$function$;

comment on function synapsor.remove_session_key(text) is
'Removes a session key: from the next transaction on, no token it signed opens a session. SY011
when the kid is not known.';

grant execute on function synapsor.remove_session_key(text) to synapsor_admin;
