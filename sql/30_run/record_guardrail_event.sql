-- security definer: the caller may not write steps; the writer checks that the run is the session's
create or replace function synapsor.record_guardrail_event(
    run_id text,
    step_key text,
    status text default 'completed',
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
        kind => 'guardrail',
        name => null,
        status => status,
        input => payload
    );
$function$;

grant execute on function synapsor.record_guardrail_event(text, text, text, jsonb)
to synapsor_caller;

comment on function synapsor.record_guardrail_event(text, text, text, jsonb) is
'Records the verdict of a guardrail as a step of the session''s open run; statuses are those of
record_agent_step (completed: nothing found; warned, blocked), the payload is the step''s input.
Errors as record_agent_step.';
