-- security definer: the caller may not write runs; _own_run checks that the run is the session's
create or replace function synapsor.complete_agent_run(
    run_id text,
    status text default 'completed',
    output jsonb default '{}'
)
returns synapsor.run
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    stored synapsor.runs := synapsor._own_run(run_id);
    wanted_output jsonb := synapsor._run_payload('output', output);
begin
    if not coalesce(
        status in ('completed', 'failed', 'cancelled', 'waiting_approval'), false
    ) then
        raise exception using
            errcode = 'SY003',
            message = format(
                '%s is no status to end a run with', coalesce(left(status, 100), 'null')
            ),
            hint = 'Give completed, failed or cancelled, or waiting_approval to keep it open.';
    end if;

    select run.*
    into strict stored
    from synapsor.runs as run
    where run.run_id = stored.run_id
    for no key update;

    -- What is not given is kept, as with steps.
    if wanted_output = '{}' then
        wanted_output := stored.output;
    end if;
    if stored.state = status and stored.output = wanted_output then
        return synapsor._as_run(stored);
    end if;
    perform synapsor._require_open_run(stored);

    update synapsor.runs
    set
        state = complete_agent_run.status,
        status = complete_agent_run.status,
        output = wanted_output,
        finished_at = case
            when complete_agent_run.status <> 'waiting_approval' then synapsor._now()
        end
    where runs.run_id = stored.run_id
    returning runs.* into strict stored;
    return synapsor._as_run(stored);
end;
$function$;

grant execute on function synapsor.complete_agent_run(text, text, jsonb) to synapsor_caller;

comment on function synapsor.complete_agent_run(text, text, jsonb) is
'Ends the session''s run as completed, failed or cancelled; waiting_approval keeps it open and
says why it rests. Actions of the run go their own way. An equal repeat is an answer, and an
output left out keeps what is there. run_id null means the session''s run_id. SY040 when the run
is over otherwise; SY003 another status, or an output nested deeper than 100 levels; SY005,
SY007, SY011 as record_agent_step; SY051 an output above 64 KiB.';
