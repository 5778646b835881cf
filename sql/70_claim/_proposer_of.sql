create or replace function synapsor._proposer_of(action_id text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select invocation.actor
    from synapsor.action_invocations as invocation
    where invocation.action_id = _proposer_of.action_id;
$function$;
