-- Locks the state row of an action of the session's tenants; all null when the action has ended.
-- What is another tenant's does not exist.
create or replace function synapsor._lock_action(action_id text)
returns synapsor.open_external_actions
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    open synapsor.open_external_actions;
    sees_every constant boolean := synapsor._sees_every_tenant();
    tenants constant text[] := synapsor._visible_tenants();
begin
    select stored.* into open
    from synapsor.open_external_actions as stored
    where stored.action_id = _lock_action.action_id and (sees_every or stored.tenant_id = any(tenants))
    for update;
    if not found and not exists (
        select from synapsor.action_invocations as invocation
        where invocation.action_id = _lock_action.action_id and (sees_every or invocation.tenant_id = any(tenants))
            and invocation.intent is not null
    ) then
        raise exception using
            errcode = 'SY011',
            message = format('external action %s does not exist', quote_nullable(left(action_id, 64))),
            detail = 'No such action is visible to this session.',
            hint = 'Check the id and the tenant of the session: select synapsor.current_session().';
    end if;
    return open;
end;
$function$;
