-- The row a verb returns: what its caller may see of the action in the view.
create or replace function synapsor._external_action(action_id text, changed boolean)
returns synapsor.external_action
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    shown synapsor.external_action;
begin
    select external.* into shown
    from synapsor.synapsor_external_actions as external
    where external.action_id = _external_action.action_id;
    shown.changed := changed;
    return shown;
end;
$function$;

create or replace function synapsor._invocation(action_id text, changed boolean)
returns synapsor.invocation
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    shown synapsor.invocation;
begin
    select invocation.* into shown
    from synapsor.synapsor_action_invocations as invocation
    where invocation.action_id = _invocation.action_id;
    shown.changed := changed;
    return shown;
end;
$function$;
