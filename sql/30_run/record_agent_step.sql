-- security definer: the caller may not write steps; the writer checks that the run is the session's
create or replace function synapsor.record_agent_step(
    run_id text,
    step_key text,
    kind text default 'capability',
    name text default null,
    status text default 'completed',
    input jsonb default '{}',
    output jsonb default '{}',
    parent_step_key text default null,
    risk text default null,
    evidence jsonb default null,
    input_tokens int default null,
    output_tokens int default null
)
returns synapsor.step
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select synapsor._record_step(
        run_id => run_id,
        step_key => step_key,
        kind => kind,
        name => name,
        status => status,
        input => input,
        output => output,
        parent_step_key => parent_step_key,
        risk => risk,
        evidence => evidence,
        input_tokens => input_tokens,
        output_tokens => output_tokens
    );
$function$;

grant execute on function synapsor.record_agent_step(
    text, text, text, text, text, jsonb, jsonb, text, text, jsonb, int, int
) to synapsor_caller;

comment on function synapsor.record_agent_step is
'Records what an agent did elsewhere as a step of its open run. Status running, waiting or
waiting_approval leaves the step open: a later record with the same step_key adds to it (what it
leaves out, and a default, keeps what is there; kind and parent are fixed). Any other status
(completed, failed, cancelled, skipped, blocked, warned) finishes it. An equal repeat is an
answer. run_id null means the session''s run_id. SY005 no tenant; SY011 unknown run or parent;
SY007 another principal''s run, or the session is bound to another; SY040 the run is over; SY014
finished with other content, or another kind or parent; SY003 bad argument, or a payload
nested deeper than 100 levels; SY051 one above 64 KiB.';
