create or replace function synapsor.open_session(token text) returns jsonb
language plpgsql
volatile
-- security definer: reads session_keys and writes the session slot, which no caller may
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    key synapsor.session_keys;
    verdict jsonb;
begin
    -- A refused token leaves no earlier session behind, even when the error is caught.
    perform synapsor._replace_session(null);

    verdict := synapsor._token_key_id(open_session.token);
    if verdict ? 'kid' then
        select known.*
        into key
        from synapsor.session_keys as known
        where known.kid = verdict ->> 'kid';

        verdict := synapsor._verify_token(
            token => open_session.token,
            secret => key.secret,
            scope => key.scope,
            at => date_part('epoch', synapsor._now())
        );
    end if;

    if not verdict ? 'session' then
        raise exception using
            errcode = 'SY006',
            message = 'the session token is refused',
            detail = verdict ->> 'detail',
            hint = verdict ->> 'hint';
    end if;

    return synapsor._replace_session(
        synapsor._check_session(verdict -> 'session', 'session token')
    );
end
$function$;

comment on function synapsor.open_session(text) is
'Opens the session a signed token (JWT, HS256) asserts, for this transaction, and returns it. Any
login may call it; earlier sessions of the transaction end, also when the token is refused
(SY006). Claims: sub (the principal), tenant_id, actor_type, roles, ctx (an object of further
values), exp (required, at most 24 hours ahead), nbf, aud. The header names the key (kid), whose
scope bounds what may be asserted. Pass the token as a parameter: a literal shows in logs.';

grant execute on function synapsor.open_session(text) to public;
