-- Until when a workflow contract keeps a run, or its evidence; null: nobody said.
create or replace function synapsor._kept_until(run synapsor.runs, what text)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select case
        when run.finished_at is null then 'infinity'
        else run.finished_at + make_interval(days => (bound.definition -> 'retention' ->> what)::integer)
    end
    from synapsor.workflows as bound
    where bound.workflow = run.workflow and bound.version = run.workflow_version
        and bound.definition -> 'retention' ->> what is not null;
$function$;

-- Whether an invocation is part of a run that its workflow contract keeps.
create or replace function synapsor._is_kept(run_id text)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select exists (
        select from synapsor.runs as run
        where run.run_id = _is_kept.run_id and run.workflow_version is not null
            and synapsor._kept_until(run, 'runs_days') >= synapsor._now()
    );
$function$;

-- What a workflow contract keeps for so many days goes after them: evidence of steps, then runs whole, once no
-- invocation of theirs is left.
create or replace function synapsor._purge_runs(before timestamptz, max_runs integer)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    sees_every constant boolean := synapsor._sees_every_tenant();
    tenants constant text[] := synapsor._visible_tenants();
    purged text[];
begin
    with due as (
        select run.run_id
        from synapsor.runs as run
        where run.workflow_version is not null and run.finished_at < before
            and (sees_every or run.tenant_id = any(tenants))
            and synapsor._kept_until(run, 'evidence_days') < synapsor._now()
            and exists (
                select from synapsor.run_steps as step where step.run_id = run.run_id and step.evidence is not null
            )
        order by run.run_id
        limit max_runs
    )

    update synapsor.run_steps as step
    set evidence = null
    from due
    where step.run_id = due.run_id and step.evidence is not null;

    purged := array(
        select run.run_id
        from synapsor.runs as run
        where run.workflow_version is not null and run.finished_at < before
            and (sees_every or run.tenant_id = any(tenants))
            and synapsor._kept_until(run, 'runs_days') < synapsor._now()
            and not exists (
                select from synapsor.action_invocations as invocation
                where invocation.run_id = run.run_id and invocation.purged_as is null
            )
        order by run.run_id
        limit max_runs
        for update of run skip locked
    );
    delete from synapsor.approvals as approval
    using synapsor.run_steps as step
    where step.run_id = any(purged) and approval.action_id = step.step_id;
    delete from synapsor.run_steps as step where step.run_id = any(purged);
    delete from synapsor.workflow_runs as counted where counted.run_id = any(purged);
    delete from synapsor.runs as run where run.run_id = any(purged);
end;
$function$;
