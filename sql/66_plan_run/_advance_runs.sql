-- Advances the plan instances that wait for these actions, and those whose own marks are due; returns
-- how many marks it took. Each run on its own: what goes wrong with one stops no other.
create or replace function synapsor._advance_runs(action_ids text[], max_steps integer)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    sees_every constant boolean := synapsor._sees_every_tenant();
    tenants constant text[] := synapsor._visible_tenants();
    marks jsonb;
    due record;
begin
    with taken as (
        delete from synapsor.due_runs as mark
        where mark.mark in (
            select waiting.mark
            from synapsor.due_runs as waiting
            where waiting.due_at <= synapsor._now() and (sees_every or waiting.tenant_id = any(tenants))
            order by waiting.due_at
            limit max_steps
            for update skip locked
        )
        returning mark.*
    )

    select jsonb_agg(taken) into marks from taken;
    for due in
        select work.run_id, min(work.tenant_id) as tenant_id, array_agg(distinct work.step_key) as step_keys
        from (
            select step.run_id, step.tenant_id, step.step_key
            from synapsor.run_steps as step
            where step.action_id = any(action_ids) and step.phase = 'handler' and step.state <> 'finished'
            union all
            select mark.run_id, mark.tenant_id, coalesce(mark.step_key, '')
            from jsonb_populate_recordset(null::synapsor.due_runs, marks) as mark
        ) as work
        group by work.run_id
        order by work.run_id
    loop
        perform synapsor._try_run(due.run_id, due.tenant_id, due.step_keys);
    end loop;
    return coalesce(jsonb_array_length(marks), 0);
end;
$function$;

create or replace function synapsor._try_run(run_id text, tenant_id text, step_keys text[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    failure text;
    attempts integer;
    step_key text;
    pause text;
begin
    -- What is suspended rests, and does not fail.
    select format('%s %s is suspended', stop.kind, quote_ident(stop.name)) into pause
    from synapsor.runs as run
    inner join synapsor.suspensions as stop
        on (stop.kind, stop.name) in (('tenant', run.tenant_id), ('principal', run.principal))
    where run.run_id = _try_run.run_id
    limit 1;
    if found then
        update synapsor.plan_runs as paused
        set error = pause
        where paused.run_id = _try_run.run_id and paused.error is distinct from pause;
        foreach step_key in array step_keys loop
            perform synapsor._mark_run_due(run_id, tenant_id, step_key, synapsor._now() + interval '10 s');
        end loop;
        return;
    end if;
    begin
        perform synapsor._advance_run(run_id, step_keys);
        update synapsor.plan_runs as advanced
        set attempts_failed = 0, error = null
        where advanced.run_id = _try_run.run_id and advanced.error is not null;
        return;
    exception
        when others then
            get stacked diagnostics failure = message_text;
    end;
    update synapsor.plan_runs as advanced
    set attempts_failed = advanced.attempts_failed + 1, error = left(failure, 2000)
    where advanced.run_id = _try_run.run_id
    returning advanced.attempts_failed into attempts;
    raise warning using message = format('run %s could not be advanced: %s', run_id, left(failure, 500));
    foreach step_key in array step_keys loop
        perform synapsor._mark_run_due(
            run_id, tenant_id, step_key,
            synapsor._now() + make_interval(secs => least(2 ^ least(coalesce(attempts, 1), 12), 3600))
        );
    end loop;
end;
$function$;
