-- security definer: the caller may not write steps; the writer checks that the run is the session's
create or replace function synapsor.checkpoint_agent_run(
    run_id text,
    step_key text,
    payload jsonb default '{}'
)
returns synapsor.step
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select synapsor._record_step(
        run_id => run_id,
        step_key => step_key,
        kind => 'checkpoint',
        name => null,
        status => 'completed',
        input => payload
    );
$function$;

grant execute on function synapsor.checkpoint_agent_run(text, text, jsonb) to synapsor_caller;

comment on function synapsor.checkpoint_agent_run(text, text, jsonb) is
'Records a checkpoint of the session''s open run: the payload is the step''s input. Errors as
record_agent_step.';
