create or replace function synapsor._leave_run(run_id text, action_ids text[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    with gone as (
        delete from synapsor.run_steps as step
        where step.run_id = _leave_run.run_id and step.action_id = any(action_ids)
        returning step.step_key
    ),

    checkpoints as (
        delete from synapsor.run_steps as step
        using gone
        where step.run_id = _leave_run.run_id and step.parent_step_key = gone.step_key and step.kind = 'checkpoint'
    ),

    counted as (
        select count(*)::int as steps from gone
    )

    update synapsor.workflow_runs as stored
    set steps = stored.steps - counted.steps, tool_calls = stored.tool_calls - counted.steps
    from counted
    where stored.run_id = _leave_run.run_id;
end;
$function$;

comment on function synapsor._leave_run(text, text[]) is
'Undoes _join_run for actions that came to nothing: their steps, their checkpoints, their count.';
