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
    tombstone synapsor.action_invocations;
begin
    select invocation.* into shown
    from synapsor.synapsor_action_invocations as invocation
    where invocation.action_id = _invocation.action_id;
    if not found then
        -- Purged: what the tombstone of its key still tells.
        select stored.* into strict tombstone
        from synapsor.action_invocations as stored
        where stored.action_id = _invocation.action_id;
        shown.action_id := tombstone.action_id;
        shown.tenant_id := tombstone.tenant_id;
        shown.action := tombstone.action;
        shown.version := tombstone.version;
        shown.kind := 'external';
        shown.actor := tombstone.actor;
        shown.actor_type := tombstone.actor_type;
        shown.status := case tombstone.purged_as
            when 'succeeded' then 'completed'
            when 'failed' then 'failed'
            else 'cancelled'
        end;
        shown.delivery_status := tombstone.purged_as;
        shown.payload_digest := encode(tombstone.payload_digest, 'hex');
        shown.created_at := tombstone.created_at;
    end if;
    shown.changed := changed;
    return shown;
end;
$function$;
