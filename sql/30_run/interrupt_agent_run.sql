-- security definer: the caller may not write steps; the writer checks that the run is the session's
create or replace function synapsor.interrupt_agent_run(
    run_id text,
    step_key text,
    reason text,
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
        kind => 'interrupt',
        name => null,
        status => 'waiting',
        input => payload,
        message => reason
    );
$function$;

grant execute on function synapsor.interrupt_agent_run(text, text, text, jsonb) to synapsor_caller;

comment on function synapsor.interrupt_agent_run(text, text, text, jsonb) is
'Records that the session''s open run stops for an answer from outside: a waiting step with the
reason as its message and the payload as its input. The answer is recorded with record_agent_step
under the same step_key, status completed. Errors as record_agent_step.';
