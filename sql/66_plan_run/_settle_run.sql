-- Ends a run whose roots have all ended, or first undoes what it did.
create or replace function synapsor._settle_run(walk synapsor.plan_walk)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    started synapsor.plan_runs;
    failure text;
begin
    select stored.* into strict started
    from synapsor.plan_runs as stored
    where stored.run_id = walk.run_id;
    if started.pending > 0 then
        update synapsor.runs as run
        set status = synapsor._status_name(started.branch_status)
        where run.run_id = walk.run_id and run.status <> synapsor._status_name(started.branch_status);
        return;
    end if;
    if started.branch_status >= 512 then
        select synapsor._status_name(max(synapsor._status_value(step.status))) into failure
        from synapsor._unhandled(walk.run_id) as step;
    end if;
    perform synapsor._end_run(walk, case
        when not started.is_cancelled and failure is null then 'completed'
        else coalesce(synapsor._compensate(walk), case
            when started.is_cancelled or failure = 'Cancelled' then 'cancelled'
            else 'failed'
        end)
    end);
end;
$function$;

-- The failures that nobody handled. A failed node is handled when something below it was executed; a
-- failed group also when an action beside it was executed whose case asked for the failure
-- (design.md section 8).
create or replace function synapsor._unhandled(run_id text)
returns setof synapsor.run_steps
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select step.*
    from synapsor.run_steps as step
    where step.run_id = _unhandled.run_id and step.node is not null and step.phase = 'ended'
        and step.status in ('Failed', 'Cancelled', 'Tombstoned')
        and not exists (
            select from synapsor.run_steps as below
            where below.run_id = step.run_id and below.parent_step_key = step.step_key and below.node is not null
        )
        and not exists (
            select from synapsor.run_steps as beside
            where step.relation in ('group', 'instance') and beside.run_id = step.run_id
                and beside.parent_step_key = coalesce(
                    (
                        select container.parent_step_key
                        from synapsor.run_steps as container
                        where container.run_id = step.run_id and container.step_key = step.parent_step_key
                            and step.relation = 'instance'
                    ), step.parent_step_key
                )
                and beside.relation = 'child' and beside.execute_case is not null and beside.node is not null
        )
    order by step.sequence;
$function$;

-- Also tells a saga's invocation, and whoever waits for that.
create or replace function synapsor._end_run(walk synapsor.plan_walk, state text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    run synapsor.runs;
begin
    update synapsor.runs as ended
    set state = _end_run.state,
        finished_at = case when _end_run.state <> 'compensating' then synapsor._now() end,
        output = synapsor._bounded(coalesce((
            select jsonb_object_agg(root.step_key, root.exit_data)
            from synapsor.run_steps as root
            where root.run_id = walk.run_id and root.parent_step_key is null and root.exit_data is not null
                and root.phase = 'ended'
        ), '{}')),
        status = (
            select synapsor._status_name(started.branch_status)
            from synapsor.plan_runs as started
            where started.run_id = walk.run_id
        )
    where ended.run_id = walk.run_id
    returning ended.* into strict run;
    if run.finished_at is not null and walk.action_id is not null then
        perform synapsor._end_saga(walk, run);
    end if;
end;
$function$;
