-- Acts under another session until _return_session: what a run does later it does under the session
-- that started it. The caller returns it also when an error passes through.
create or replace function synapsor._borrow_session(context jsonb)
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
    kept constant jsonb := jsonb_build_object(
        'memory', synapsor._set_session_aside(),
        'session', coalesce(current_setting('synapsor.session', true), ''),
        'every_tenant', coalesce(current_setting('synapsor.every_tenant', true), '')
    );
begin
    perform set_config('synapsor.every_tenant', '', true);
    perform synapsor._replace_session(context);
    return kept;
end;
$function$;

comment on function synapsor._borrow_session(jsonb) is
'Makes a checked context the session, and returns what was before, for _return_session. The
owner''s only.';

create or replace function synapsor._return_session(kept jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform synapsor._put_session_back(kept -> 'memory');
    perform set_config('synapsor.session', kept ->> 'session', true);
    perform set_config('synapsor.every_tenant', kept ->> 'every_tenant', true);
end;
$function$;

comment on function synapsor._return_session(jsonb) is
'Ends what _borrow_session began. The owner''s only: whoever calls this chooses the session.';
