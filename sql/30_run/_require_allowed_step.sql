create or replace function synapsor._require_allowed_step(
    run synapsor.runs,
    workflow jsonb,
    kind text,
    name text
)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    capabilities constant jsonb := nullif(workflow -> 'allowed_capabilities', 'null');
    actions constant jsonb := nullif(workflow -> 'allowed_actions', 'null');
    entry constant text := workflow ->> 'entry_capability';
    is_named constant boolean := case kind
        when 'external_action' then actions is null or actions ? name
        when 'atomic' then actions is null or actions ? name or coalesce(capabilities ? name, false)
        when 'saga' then actions is null or actions ? name or coalesce(capabilities ? name, false)
        else capabilities is null or capabilities ? name
    end;
begin
    if synapsor._is_control_step(kind) then
        return;
    end if;
    if not is_named then
        raise exception using
            errcode = 'SY041',
            message = format(
                '%s %s is outside workflow %s', replace(kind, '_', ' '), quote_literal(left(name, 200)),
                quote_literal(run.workflow)
            ),
            detail = format('Version %s allows the capabilities %s and the actions %s.', run.workflow_version,
                coalesce(capabilities::text, '(any)'), coalesce(actions::text, '(any)')),
            hint = 'Do what the contract allows, or have an administrator declare its next version.';
    end if;
    if entry is not null and name <> entry and not exists (
        select from synapsor.workflow_runs as counted
        where counted.run_id = run.run_id and counted.has_entered
    ) then
        raise exception using
            errcode = 'SY041',
            message = format('workflow %s begins with %s', quote_literal(run.workflow), quote_literal(entry)),
            detail = format('Run %s has no step of that capability yet.', run.run_id),
            hint = 'Record the entry capability first.';
    end if;
end;
$function$;

comment on function synapsor._require_allowed_step(synapsor.runs, jsonb, text, text) is
'SY041 when the workflow contract of the run does not name the step, or its entry capability has not
been there.';
