create or replace function synapsor._own_run(run_id text)
returns synapsor.runs
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    session jsonb := synapsor._session();
    bound_run_id text := session ->> 'run_id';
    wanted_run_id text := coalesce(run_id, bound_run_id);
    found_run synapsor.runs;
begin
    if session ->> 'tenant_id' is null then
        raise exception using
            errcode = 'SY005',
            message = 'the session has no tenant_id',
            detail = 'A run belongs to one tenant.',
            hint = 'Open a session with a tenant_id first.';
    end if;
    if wanted_run_id is null then
        raise exception using
            errcode = 'SY003',
            message = 'no run is named',
            detail = 'Neither the call nor the session has a run_id.',
            hint = 'Pass the run_id that start_agent_run returned.';
    end if;
    if wanted_run_id <> bound_run_id then
        raise exception using
            errcode = 'SY007',
            message = 'the session belongs to another run',
            detail = format('Its run_id is %s.', bound_run_id),
            hint = 'Leave the run_id out, or open a session without one.';
    end if;

    -- A key share lock: it stops the run from being purged, not from being completed, so that
    -- a long business transaction holds nobody up.
    select run.*
    into found_run
    from synapsor.runs as run
    where run.run_id = wanted_run_id and run.tenant_id = session ->> 'tenant_id'
    for key share;

    if not found then
        raise exception using
            errcode = 'SY011',
            message = format('run %s does not exist', left(wanted_run_id, 100)),
            hint = 'Pass the run_id that start_agent_run returned.';
    end if;
    if found_run.principal <> session ->> 'principal' then
        raise exception using
            errcode = 'SY007',
            message = format('run %s belongs to another principal', wanted_run_id),
            hint = 'Only the principal that started a run adds to it.';
    end if;
    if found_run.plan is not null then
        raise exception using
            errcode = 'SY041',
            message = format('run %s is an instance of plan %s', wanted_run_id, quote_literal(found_run.plan)),
            detail = 'Its steps are the actions of its plan, and nobody adds to them.',
            hint = 'Start a run of your own with synapsor.start_agent_run.';
    end if;
    return found_run;
end;
$function$;

comment on function synapsor._own_run(text) is
'The run, when it is the session''s to add to, with its key locked; null names the session''s
run_id. SY005 without a tenant, SY003 without a run, SY007 when the session is bound to another
run or the run is another principal''s, SY011 when it is unknown or another tenant''s, SY041 when it
is a plan''s.';
