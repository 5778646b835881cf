-- Ends a run whose roots have all ended.
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
        failure := synapsor._unhandled_failure(walk);
    end if;
    perform synapsor._end_run(walk, case
        when started.is_cancelled or failure = 'Cancelled' then 'cancelled'
        when failure is not null then 'failed'
        else 'completed'
    end);
end;
$function$;

-- The highest status of a failure that nobody handled. A failed node is handled when something below
-- it was executed; a failed group also when an action beside it was executed whose case asked for
-- the failure (design.md section 8).
create or replace function synapsor._unhandled_failure(walk synapsor.plan_walk)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select synapsor._status_name(max(synapsor._status_value(step.status)))
    from synapsor.run_steps as step
    where step.run_id = walk.run_id and step.node is not null
        and step.status in ('Failed', 'Cancelled', 'Tombstoned')
        and not exists (
            select from synapsor.run_steps as later
            where later.run_id = walk.run_id and later.retries = step.step_key
        )
        and not exists (
            select from synapsor.run_steps as below
            where below.run_id = walk.run_id and below.parent_step_key = step.step_key
        )
        and not exists (
            select from synapsor.run_steps as host
            inner join synapsor.run_steps as beside
                on beside.run_id = host.run_id and beside.parent_step_key = host.step_key
            where host.run_id = walk.run_id and step.relation in ('group', 'instance')
                and host.step_key = coalesce(
                    (
                        select container.parent_step_key
                        from synapsor.run_steps as container
                        where container.run_id = walk.run_id and container.step_key = step.parent_step_key
                            and step.relation = 'instance'
                    ), step.parent_step_key
                )
                and beside.relation = 'child' and beside.execute_case is not null
        );
$function$;

create or replace function synapsor._end_run(walk synapsor.plan_walk, state text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    update synapsor.runs as run
    set state = _end_run.state, finished_at = synapsor._now(), output = synapsor._bounded(coalesce((
            select jsonb_object_agg(root.step_key, root.exit_data)
            from synapsor.run_steps as root
            where root.run_id = walk.run_id and root.parent_step_key is null and root.exit_data is not null
        ), '{}')),
        status = (
            select synapsor._status_name(started.branch_status)
            from synapsor.plan_runs as started
            where started.run_id = walk.run_id
        )
    where run.run_id = walk.run_id;
end;
$function$;
