create or replace function synapsor._require_parent_step(
    run_id text,
    step_key text,
    parent_step_key text
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    if parent_step_key is null then
        return;
    end if;
    if parent_step_key = step_key then
        raise exception using
            errcode = 'SY003',
            message = format('step %s names itself as its parent', left(step_key, 200)),
            hint = 'Name an earlier step of the run, or none.';
    end if;
    if not exists (
        select from synapsor.run_steps as step
        where
            step.run_id = _require_parent_step.run_id
            and step.step_key = _require_parent_step.parent_step_key
    ) then
        raise exception using
            errcode = 'SY011',
            message = format(
                'run %s has no step %s to be the parent', run_id, left(parent_step_key, 200)
            ),
            hint = 'Record the parent first.';
    end if;
end;
$function$;

comment on function synapsor._require_parent_step(text, text, text) is
'A parent is a step that is there already (SY011), so that a run''s graph has no cycle.';
