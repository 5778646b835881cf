-- By label, the latest that has it, else by number; without a version, the latest.
create or replace function synapsor._describe_action(name text, version text)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    described jsonb;
begin
    select to_jsonb(shown) into described
    from synapsor.synapsor_action_contracts as shown
    where shown.action = name
        and (_describe_action.version is null or _describe_action.version in (shown.label, shown.version::text))
    order by coalesce(shown.label = _describe_action.version, false) desc, shown.version desc
    limit 1;
    if not found then
        raise exception using
            errcode = 'SY001',
            message = format('action %s%s is not declared', quote_nullable(left(name, 200)), ' version ' || version),
            hint = 'List what is declared with SHOW CONTRACTS.';
    end if;
    return described;
end;
$function$;

grant execute on function synapsor._describe_action(text, text) to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor, synapsor_admin, synapsor_gateway;

comment on function synapsor._describe_action(text, text) is
'A version of an action contract as an object. Security invoker over the view.';

create or replace function synapsor._describe_workflow(name text, version text)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    described jsonb;
begin
    select to_jsonb(shown) into described
    from synapsor.synapsor_workflows as shown
    where shown.workflow = name
        and (_describe_workflow.version is null or _describe_workflow.version in (shown.label, shown.version::text))
    order by coalesce(shown.label = _describe_workflow.version, false) desc, shown.version desc
    limit 1;
    if not found then
        raise exception using
            errcode = 'SY011',
            message = format('workflow %s%s is not declared', quote_nullable(left(name, 200)), ' version ' || version),
            hint = 'List what is declared with SHOW WORKFLOWS.';
    end if;
    return described;
end;
$function$;

grant execute on function synapsor._describe_workflow(text, text) to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor, synapsor_admin, synapsor_gateway;

comment on function synapsor._describe_workflow(text, text) is
'A version of a workflow contract as an object. Security invoker over the view.';
