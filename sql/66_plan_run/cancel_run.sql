-- security definer: callers have no rights on the tables a run is recorded in.
create or replace function synapsor.cancel_run(run_id text, reason text default null)
returns synapsor.run
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    run synapsor.runs := synapsor._lock_run(run_id, 'cancel');
begin
    if run.plan is null and run.state = 'cancelled' or exists (
        select from synapsor.plan_runs as started where started.run_id = run.run_id and started.is_cancelled
    ) then
        return synapsor._as_run(run);
    end if;
    perform synapsor._require_open_run(run);
    if run.state = 'compensating' then
        raise exception using
            errcode = 'SY014',
            message = format('run %s is being compensated', run.run_id),
            detail = 'It has failed already, and what it did is being undone.',
            hint = format('See what it waits for: select synapsor.explain_agent_run(%L).', run.run_id);
    elsif run.plan is null then
        perform synapsor._cancel_waiting(run.run_id, reason);
        update synapsor.runs as cancelled
        set state = 'cancelled', status = 'cancelled', finished_at = synapsor._now()
        where cancelled.run_id = run.run_id
        returning cancelled.* into strict run;
    else
        perform synapsor._cancel_plan_run(run.run_id, left(cancel_run.reason, 2000));
        select stored.* into strict run
        from synapsor.runs as stored
        where stored.run_id = run.run_id;
    end if;
    return synapsor._as_run(run);
end;
$function$;

grant execute on function synapsor.cancel_run to synapsor_caller, synapsor_approver;

comment on function synapsor.cancel_run is
'Cancels a run, cooperatively: nothing new starts, what is proposed or queued is cancelled, what is
claimed finishes, and then the run is `cancelled`, or, of a saga, what took effect is compensated.
Whoever started the run may, and any approver or administrator. Cancelling again changes nothing.
Errors: SY007 another principal''s, SY011 not found, SY014 it is being compensated, SY040 it is over.';

-- The run, locked, when the session may decide on it: its own, or as an approver or administrator any
-- of its tenants.
create or replace function synapsor._lock_run(run_id text, verb text)
returns synapsor.runs
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    run synapsor.runs;
    sees_every constant boolean := synapsor._sees_every_tenant();
    tenants constant text[] := synapsor._visible_tenants();
begin
    select stored.* into run
    from synapsor.runs as stored
    where stored.run_id = _lock_run.run_id and (sees_every or stored.tenant_id = any(tenants))
    for no key update;
    if not found then
        raise exception using
            errcode = 'SY011',
            message = format('run %s does not exist', coalesce(left(run_id, 100), 'null')),
            detail = 'No such run is visible to this session.',
            hint = 'synapsor.synapsor_agent_workflow_runs lists the runs you can see.';
    elsif (
        run.principal is distinct from synapsor._session() ->> 'principal'
        or run.tenant_id is distinct from synapsor._session() ->> 'tenant_id'
    ) and not synapsor._caller_has('synapsor_approver') and not synapsor._caller_has('synapsor_admin') then
        raise exception using
            errcode = 'SY007',
            message = format('run %s was started by another principal', run.run_id),
            hint = format('Its principal, an approver or an administrator may %s it.', verb);
    end if;
    return run;
end;
$function$;

-- Under the run's lock. Runs of sagas inside of it are locked after it.
create or replace function synapsor._cancel_plan_run(run_id text, reason text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    inner_run text;
begin
    update synapsor.plan_runs as cancelled
    set is_cancelled = true, reason = _cancel_plan_run.reason
    where cancelled.run_id = _cancel_plan_run.run_id;
    perform synapsor._cancel_waiting(run_id, reason);
    for inner_run in
        select inside.run_id
        from synapsor.run_steps as saga
        inner join synapsor.plan_runs as inside using (action_id)
        where saga.run_id = _cancel_plan_run.run_id and saga.state <> 'finished' and saga.phase = 'handler'
        order by inside.run_id
    loop
        perform from synapsor.runs as locked
        where locked.run_id = inner_run and locked.state = 'open'
        for no key update;
        if found then
            perform synapsor._cancel_plan_run(inner_run, reason);
        end if;
    end loop;
    perform synapsor._advance_run(run_id, array(
        select waiting.step_key
        from synapsor.run_steps as waiting
        where waiting.run_id = _cancel_plan_run.run_id and waiting.state <> 'finished'
        order by waiting.sequence
    ));
end;
$function$;

-- Cancels what the run has asked for and nobody has taken up yet. What another run asked for before
-- it stays.
create or replace function synapsor._cancel_waiting(run_id text, reason text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    open synapsor.open_external_actions;
begin
    for open in
        select waiting.*
        from synapsor.action_invocations as invocation
        inner join synapsor.open_external_actions as waiting using (action_id)
        where invocation.run_id = _cancel_waiting.run_id
            -- An adapter step is part of an action that has taken effect.
            and invocation.parent_action_id is null
            and (
                waiting.status in ('proposed', 'queued')
                and waiting.delivery_started_at is null and waiting.deliveries_lost = 0
            )
        order by waiting.action_id
        for update of waiting
    loop
        perform synapsor._finish(
            open, 'Cancelled', 'cancelled', note => coalesce(left(reason, 2000), 'its run was cancelled'),
            error_code => 'cancelled'
        );
    end loop;
end;
$function$;
