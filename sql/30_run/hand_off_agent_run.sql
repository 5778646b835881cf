-- security definer: the caller may not write steps; the writer checks that the run is the session's
create or replace function synapsor.hand_off_agent_run(
    run_id text,
    step_key text,
    target text,
    reason text default null,
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
        kind => 'handoff',
        name => target,
        status => 'completed',
        input => payload,
        message => reason
    );
$function$;

grant execute on function synapsor.hand_off_agent_run(text, text, text, text, jsonb)
to synapsor_caller;

comment on function synapsor.hand_off_agent_run(text, text, text, text, jsonb) is
'Records that the session''s open run was handed to a target (another agent, a person, a team):
the step''s name is the target, its message the reason, its input the payload. The run''s
principal stays. Errors as record_agent_step.';
