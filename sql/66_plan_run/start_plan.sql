-- security definer: callers have no rights on the tables a run is recorded in.
create or replace function synapsor.start_plan(
    plan text,
    parameters jsonb default '{}',
    dry_run boolean default false,
    version integer default null,
    correlation_id text default null
)
returns synapsor.run
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    session constant jsonb := synapsor._session();
    declared synapsor.plans;
    run synapsor.runs;
begin
    if session ->> 'tenant_id' is null then
        raise exception using
            errcode = 'SY005',
            message = 'the session has no tenant_id',
            detail = 'A run belongs to one tenant.',
            hint = 'Open a session with a tenant_id first.';
    elsif session ->> 'run_id' is not null then
        raise exception using
            errcode = 'SY007',
            message = 'the session belongs to another run',
            detail = format('Its run_id is %s.', session ->> 'run_id'),
            hint = 'A session with a run_id works in that run only; open one without it.';
    end if;
    perform synapsor._check_suspended(session);
    declared := synapsor._resolve_plan(plan, version);
    if jsonb_typeof(coalesce(parameters, '{}')) <> 'object' then
        raise exception using
            errcode = 'SY003',
            message = 'the parameters of a plan are a JSON object',
            hint = 'Give a value for each Source of the plan''s Dynamic parameters.';
    end if;
    perform synapsor._check_options(correlation_id, null, null);
    run := synapsor._start_plan_run(
        declared, session, parameters, coalesce(dry_run, false), correlation_id, null, '{}'
    );
    -- A statement of its own, which sees what the walk has left.
    return synapsor._as_run(run);
end;
$function$;

grant execute on function synapsor.start_plan to synapsor_caller;

comment on function synapsor.start_plan is
'Starts an instance of a plan, its latest version unless told, and returns its run: what can be done
at once is done in this transaction, and what waits (for approval, delivery, a timer) goes on in
run_due_steps. parameters: values of the plan''s Dynamic parameters by name, at most 64 KiB.
dry_run: every handler is told; actions are previewed, nothing is delivered. What goes wrong in a
node makes that node Failed. Errors: SY001 no such plan, SY003, SY005 no tenant, SY007 suspended or
bound to a run, SY051 too large. Source: reference/plans.md.';

create or replace function synapsor._start_plan_run(
    declared synapsor.plans,
    session jsonb,
    parameters jsonb,
    is_dry_run boolean,
    correlation_id text,
    action_id text,
    inside text[],
    queue text default null
)
returns synapsor.runs
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    new_run_id constant text := synapsor._new_id('run_');
    run synapsor.runs;
begin
    insert into synapsor.runs (
        run_id, tenant_id, plan, version, status, principal, input, correlation_id, started_at
    )
    values (
        new_run_id, session ->> 'tenant_id', declared.plan, declared.version, 'None', session ->> 'principal',
        synapsor._run_payload('parameters', parameters),
        coalesce(_start_plan_run.correlation_id, session ->> 'correlation_id', new_run_id), synapsor._now()
    );
    insert into synapsor.plan_runs (run_id, tenant_id, plan_id, session, is_dry_run, inside, action_id, queue)
    values (
        new_run_id, session ->> 'tenant_id', declared.plan_id,
        -- One tenant, and no run of an agent: neither is this run's.
        session - 'tenants' - 'run_id', _start_plan_run.is_dry_run, _start_plan_run.inside,
        _start_plan_run.action_id, _start_plan_run.queue
    );
    perform synapsor._advance_run(new_run_id, array['']);
    select stored.* into strict run
    from synapsor.runs as stored
    where stored.run_id = new_run_id;
    return run;
end;
$function$;
