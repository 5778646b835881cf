create or replace function synapsor._intent_of(action_id text)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select invocation.intent::jsonb
    from synapsor.action_invocations as invocation
    where invocation.action_id = _intent_of.action_id;
$function$;
