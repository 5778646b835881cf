-- security definer: callers have no rights on the tables a run is recorded in.
create or replace function synapsor.resume_run(run_id text)
returns synapsor.run
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    run synapsor.runs := synapsor._lock_run(run_id, 'resume');
    walk synapsor.plan_walk;
    kept jsonb;
begin
    if run.plan is not null and run.state = 'open' then
        return synapsor._as_run(run);
    elsif run.plan is null or run.state <> 'failed' then
        perform synapsor._require_open_run(run);
        raise exception using
            errcode = 'SY014',
            message = format('run %s is %s, not failed', run.run_id, run.state),
            detail = 'Only a failed instance of a plan is resumed.',
            hint = 'Start another run.';
    end if;
    walk := synapsor._walk_of(run);
    if walk.action_id is not null then
        raise exception using
            errcode = 'SY014',
            message = format('run %s belongs to saga %s, which has failed', run.run_id, walk.action_id),
            hint = 'Invoke the saga again, or resume the run it was a step of.';
    end if;
    kept := synapsor._borrow_session(walk.session);
    perform synapsor._retry_failures(walk);
    perform synapsor._settle_run(walk);
    perform synapsor._return_session(kept);
    select stored.* into strict run
    from synapsor.runs as stored
    where stored.run_id = run.run_id;
    return synapsor._as_run(run);
exception
    when others or query_canceled or assert_failure then
        if kept is not null then
            perform synapsor._return_session(kept);
        end if;
        raise;
end;
$function$;

grant execute on function synapsor.resume_run to synapsor_caller;

comment on function synapsor.resume_run is
'Continues a failed instance of a plan: each failure that nobody handled is tried again, as a new
step (attempt 2, 3, …) with the same parameters and the security context of the start, and the walk
goes on from there; what has completed is not repeated. A run that goes on already is returned as
it is. Whoever started the run may, and any administrator. Errors: SY007 another principal''s,
SY011 not found, SY014 a saga''s or being compensated, SY040 it is over otherwise.';

create or replace function synapsor._retry_failures(walk synapsor.plan_walk)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    failed synapsor.run_steps[];
    step synapsor.run_steps;
    started synapsor.run_steps;
    number integer;
    ready text[] := array[]::text[];
    ended text[] := array[]::text[];
begin
    failed := array(select unhandled from synapsor._unhandled(walk.run_id) as unhandled);
    update synapsor.run_steps as superseded
    set phase = 'retried'
    where superseded.run_id = walk.run_id
        and superseded.step_key in (select unhandled.step_key from unnest(failed) as unhandled);
    update synapsor.runs as resumed
    set state = 'open', finished_at = null, output = '{}'
    where resumed.run_id = walk.run_id;
    foreach step in array failed loop
        perform synapsor._reopen_above(walk, step);
    end loop;
    foreach step in array failed loop
        number := 0;
        foreach started in array synapsor._retry_step(walk, step) loop
            insert into synapsor.run_steps select started.*;
            walk.steps := walk.steps + 1;
            if started.parent_step_key is not distinct from step.parent_step_key then
                number := number + 1;
                if started.phase = 'ended' then
                    ended := array_append(ended, started.step_key);
                end if;
            end if;
            if started.state = 'finished' and started.phase = 'handler' then
                ready := array_append(ready, started.step_key);
            end if;
        end loop;
        -- One was expected in the place of the failed one.
        perform synapsor._expect_below(walk, step.parent_step_key, number - 1);
    end loop;
    -- Of lists that turned out empty nothing came.
    ready := ready || array(
        select distinct above.step_key
        from unnest(failed) as superseded
        inner join synapsor.run_steps as above
            on above.run_id = walk.run_id and above.step_key = superseded.parent_step_key and above.pending = 0
    );
    perform synapsor._walk(walk, ready, ended);
end;
$function$;

-- Tries a node again: with the parameters it had, or where those could not be found out, from them on.
create or replace function synapsor._retry_step(walk synapsor.plan_walk, failed synapsor.run_steps)
returns synapsor.run_steps[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    node synapsor.plan_nodes;
    parent synapsor.run_steps;
    step synapsor.run_steps;
    started synapsor.run_steps[];
    config jsonb := nullif(failed.input -> 'config', 'null');
    parameters jsonb := nullif(failed.input -> 'parameters', 'null');
    attempt constant integer := failed.attempt + 1;
    mark constant text := format('[attempt %s]', attempt);
begin
    select declared.* into strict node
    from synapsor.plan_nodes as declared
    where declared.plan_id = walk.plan_id and declared.node = failed.node;
    -- Of an instance of a group the parent is the container, whose host has the exit data.
    select above.* into parent
    from synapsor.run_steps as above
    where above.run_id = walk.run_id and above.step_key = coalesce(
        (
            select container.parent_step_key
            from synapsor.run_steps as container
            where container.run_id = walk.run_id and container.step_key = failed.parent_step_key
                and failed.relation = 'instance'
        ), failed.parent_step_key
    );
    if failed.action_id is not null then
        select coalesce((invocation.intent::jsonb) -> 'arguments', invocation.parameters) into parameters
        from synapsor.action_invocations as invocation
        where invocation.action_id = failed.action_id;
        if node.handler ->> 'kind' <> 'action' then
            config := parameters -> 'config';
            parameters := parameters -> 'parameters';
        end if;
    elsif failed.input is null and (node.config is not null or node.parameters is not null) then
        node.segment := node.segment || mark;
        started := synapsor._start_node(walk, node, parent);
        for place in 1 .. cardinality(started) loop
            started[place].attempt := attempt;
            started[place].retries := failed.step_key;
        end loop;
        return started;
    end if;
    step := synapsor._new_step(walk, node, failed.parent_step_key);
    step.step_key := regexp_replace(failed.step_key, '\[attempt [0-9]+\]$', '') || mark;
    step.relation := failed.relation;
    step.attempt := attempt;
    step.retries := failed.step_key;
    return array[synapsor._run_handler(walk, node, parent, step, config, parameters)];
end;
$function$;

-- What is above a failed step waits again for what stands in its place, and forgets what came of it.
create or replace function synapsor._reopen_above(walk synapsor.plan_walk, failed synapsor.run_steps)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    step synapsor.run_steps := failed;
    parent synapsor.run_steps;
    was_open boolean;
begin
    loop
        perform synapsor._expect_below(walk, step.parent_step_key, 1);
        if step.parent_step_key is null then
            update synapsor.plan_runs as stored
            set branch_status = (
                select coalesce(max(synapsor._status_value(root.branch_status)), 0)
                from synapsor.run_steps as root
                where root.run_id = walk.run_id and root.parent_step_key is null and root.phase = 'ended'
                    and root.node is not null
            )
            where stored.run_id = walk.run_id;
            return;
        end if;
        select above.* into strict parent
        from synapsor.run_steps as above
        where above.run_id = walk.run_id and above.step_key = step.parent_step_key;
        was_open := parent.phase <> 'ended';
        parent.phase := case
            when step.relation = 'instance' then 'instances'
            when step.relation = 'group' or parent.phase = 'group' then 'group'
            else 'actions'
        end;
        select
            synapsor._status_name(max(greatest(
                synapsor._status_value(parent.status), synapsor._status_value(below.branch_status)
            ))),
            coalesce(max(case
                when below.kind = 'container' then below.query_status
                when below.relation in ('group', 'instance') then synapsor._status_value(below.status)
            end), 0)
        into parent.branch_status, parent.query_status
        from (values (true)) as always
        left join synapsor.run_steps as below
            on below.run_id = walk.run_id and below.parent_step_key = parent.step_key and below.phase = 'ended'
            and below.node is not null;
        update synapsor.run_steps as stored
        set phase = parent.phase, branch_status = parent.branch_status,
            query_status = greatest(synapsor._status_value(parent.status), parent.query_status),
            wait = '{"reopened": true}'
        where stored.run_id = walk.run_id and stored.step_key = parent.step_key;
        exit when was_open;
        step := parent;
    end loop;
end;
$function$;

create or replace function synapsor._expect_below(
    walk synapsor.plan_walk, parent_step_key text, number integer
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    if parent_step_key is null then
        update synapsor.plan_runs as stored
        set pending = stored.pending + number
        where stored.run_id = walk.run_id;
    else
        update synapsor.run_steps as stored
        set pending = stored.pending + number
        where stored.run_id = walk.run_id and stored.step_key = _expect_below.parent_step_key;
    end if;
end;
$function$;
