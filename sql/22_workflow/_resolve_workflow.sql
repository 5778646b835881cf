-- By label, the latest that has it, else by number; null for a name that is only a name.
create or replace function synapsor._resolve_workflow(workflow text, version text)
returns synapsor.workflows
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    resolved synapsor.workflows;
begin
    select stored.* into resolved
    from synapsor.workflows as stored
    where stored.workflow = _resolve_workflow.workflow
        and (
            _resolve_workflow.version is null
            or stored.label = _resolve_workflow.version
            or stored.version::text = _resolve_workflow.version
        )
    order by coalesce(stored.label = _resolve_workflow.version, false) desc, stored.version desc
    limit 1;
    if not found and exists (
        select from synapsor.workflows as stored where stored.workflow = _resolve_workflow.workflow
    ) then
        raise exception using
            errcode = 'SY011',
            message = format('workflow %s has no version %s', quote_literal(workflow), quote_literal(version)),
            hint = 'Name a label or a number of synapsor.synapsor_workflows, or none for the latest.';
    end if;
    return resolved;
end;
$function$;
