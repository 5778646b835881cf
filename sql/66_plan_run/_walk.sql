-- Goes on from steps whose handler, or a phase of theirs, has ended: down, level by level, then up
-- to their parents, and so on until everything has ended or waits. A work list, so that neither
-- depth nor breadth costs a call stack, and a parent is told of many children at once.
create or replace function synapsor._walk(walk synapsor.plan_walk, ready text[], ended text[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
-- A plan made while the tables were small would read all of them for every step.
set enable_seqscan = off
as $function$
declare
    opened record;
begin
    if cardinality(ready) + cardinality(ended) = 0 then
        return;
    end if;
    while cardinality(ready) > 0 or cardinality(ended) > 0 loop
        while cardinality(ready) > 0 loop
            select below.* into strict opened from synapsor._open_phases(walk, ready) as below;
            ready := opened.ready;
            walk.steps := opened.steps;
            walk.is_cancelled := walk.is_cancelled or walk.steps > synapsor._most_steps();
            ended := ended || opened.ended;
        end loop;
        ready := synapsor._tell_parents(walk, ended);
        ended := array[]::text[];
    end loop;
    update synapsor.plan_runs as stored
    set steps = walk.steps, is_cancelled = walk.is_cancelled, reason = case
            when walk.steps > synapsor._most_steps() then format('a run has at most %s steps', synapsor._most_steps())
            else stored.reason
        end
    where stored.run_id = walk.run_id;
end;
$function$;

-- Opens what comes next below steps whose last phase has ended: the group, then the actions. The
-- empty key is the run itself, whose actions are the roots. Yields the steps that go on from here,
-- and those of the given that have ended with everything below them. What is read and written is
-- read and written for many at once: each statement on these tables asks for the session.
create or replace function synapsor._open_phases(
    walk synapsor.plan_walk, step_keys text[], out ready text[], out ended text[], out steps integer
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    work record;
    step synapsor.run_steps;
    started synapsor.run_steps[] := array[]::synapsor.run_steps[];
    opened synapsor.run_steps[] := array[]::synapsor.run_steps[];
    child synapsor.run_steps;
begin
    ready := array[]::text[];
    ended := array[]::text[];
    if '' = any(step_keys) then
        step.phase := 'group';
        step.query_status := 0;
        step.branch_status := 'None';
        foreach child in array synapsor._open_phase(walk, step, null) loop
            if child.step_key is not null then
                walk.steps := walk.steps + 1;
                started := array_append(started, child);
                continue;
            end if;
            update synapsor.plan_runs as stored
            set pending = child.pending, branch_status = synapsor._status_value(child.branch_status)
            where stored.run_id = walk.run_id;
        end loop;
    end if;
    for work in
        select stored as step, below.declared as node
        from synapsor.run_steps as stored
        -- offset 0, here and below: one look-up each, whatever the planner believes of tables that
        -- have grown a moment ago.
        cross join lateral (
            select declared
            from synapsor.plan_nodes as declared
            where declared.plan_id = walk.plan_id and declared.node = stored.node
            offset 0
        ) as below
        where stored.run_id = walk.run_id and stored.step_key = any(step_keys)
        order by stored.sequence
    loop
        step := work.step;
        foreach child in array synapsor._open_phase(walk, step, work.node) loop
            if child.step_key <> step.step_key then
                walk.steps := walk.steps + 1;
                started := array_append(started, child);
                continue;
            end if;
            opened := array_append(opened, child);
            if child.phase = 'ended' then
                ended := array_append(ended, child.step_key);
            end if;
        end loop;
        walk.is_cancelled := walk.is_cancelled or walk.steps > synapsor._most_steps();
        if cardinality(started) + cardinality(opened) > 500 then
            perform synapsor._store_steps(walk, started, opened);
            ready := ready || synapsor._ready_of(started);
            started := array[]::synapsor.run_steps[];
            opened := array[]::synapsor.run_steps[];
        end if;
    end loop;
    perform synapsor._store_steps(walk, started, opened);
    ready := ready || synapsor._ready_of(started);
    steps := walk.steps;
end;
$function$;

-- What begins below one step; the step itself, as it stands by that, comes last. One without a key
-- is the run.
create or replace function synapsor._open_phase(
    walk synapsor.plan_walk, step synapsor.run_steps, node synapsor.plan_nodes
)
returns synapsor.run_steps[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    below synapsor.plan_nodes;
    child synapsor.run_steps;
    started synapsor.run_steps[] := array[]::synapsor.run_steps[];
begin
    step.pending := 0;
    loop
        step.phase := case
            when walk.is_cancelled or step.phase in ('instances', 'actions', 'ended') then 'ended'
            when step.phase = 'handler' and node.has_group then 'group'
            when step.step_key is null or node.has_actions then 'actions'
            else 'ended'
        end;
        exit when step.phase = 'ended';
        for below in
            select declared.*
            from synapsor.plan_nodes as declared
            where declared.plan_id = walk.plan_id and declared.parent = node.node
                and declared.relation = case step.phase when 'group' then 'group' else 'child' end
                and synapsor._is_case(declared.execute_case, step.query_status)
                -- A resumed run repeats nothing that is on record.
                and (step.wait is null or not exists (
                    select from synapsor.run_steps as done
                    where done.run_id = walk.run_id and done.parent_step_key = step.step_key
                        and done.node = declared.node
                ))
            union all
            select declared.*
            from synapsor.plan_nodes as declared
            where step.step_key is null and declared.plan_id = walk.plan_id and declared.parent is null
                and synapsor._is_case(declared.execute_case, 0)
            order by node
        loop
            exit when walk.steps > synapsor._most_steps();
            foreach child in array synapsor._start_node(walk, below, step) loop
                walk.steps := walk.steps + 1;
                started := array_append(started, child);
                -- Of instances their container tells.
                continue when child.relation = 'instance';
                if child.phase <> 'ended' then
                    step.pending := step.pending + 1;
                    continue;
                end if;
                step.branch_status := synapsor._higher(
                    step.branch_status, synapsor._higher(child.status, child.branch_status)
                );
                -- Only a group raises what its parent's actions are compared with, and only by its
                -- own status.
                if child.relation = 'group' then
                    step.query_status := greatest(step.query_status, child.query_status);
                end if;
            end loop;
        end loop;
        exit when step.pending > 0;
    end loop;
    return array_append(started, step);
end;
$function$;

create or replace function synapsor._ready_of(steps synapsor.run_steps[])
returns text[]
language sql
immutable
set search_path = pg_catalog, pg_temp
as $function$
    select coalesce(array_agg(step.step_key order by step.sequence), '{}')
    from unnest(steps) as step
    where step.state = 'finished' and step.phase = 'handler';
$function$;

create or replace function synapsor._store_steps(
    walk synapsor.plan_walk, started synapsor.run_steps[], opened synapsor.run_steps[]
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    insert into synapsor.run_steps select new.* from unnest(started) as new;
    update synapsor.run_steps as stored
    set phase = step.phase, pending = step.pending, branch_status = step.branch_status,
        query_status = step.query_status
    from (
        select located.place, step.*
        from unnest(opened) as step
        cross join lateral (
            select old.ctid as place
            from synapsor.run_steps as old
            where old.run_id = walk.run_id and old.step_key = step.step_key
            offset 0
        ) as located
        offset 0
    ) as step
    where stored.ctid = step.place;
end;
$function$;

-- Tells the parents of steps that have ended with everything below them; returns the parents that
-- were waiting for nothing else.
create or replace function synapsor._tell_parents(walk synapsor.plan_walk, ended text[])
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    ready text[];
begin
    if cardinality(ended) = 0 then
        return ended;
    end if;
    with reports as materialized (
        select step.parent_step_key, count(*)::integer as number,
            max(greatest(synapsor._status_value(step.status), synapsor._status_value(step.branch_status))) as branch,
            max(case
                when step.kind = 'container' then step.query_status
                when step.relation in ('group', 'instance') then synapsor._status_value(step.status)
                else 0
            end) as query_status
        from synapsor.run_steps as step
        where step.run_id = walk.run_id and step.step_key = any(ended)
        group by step.parent_step_key
    ),

    located as materialized (
        select report.*, place.place
        from reports as report
        cross join lateral (
            select old.ctid as place
            from synapsor.run_steps as old
            where old.run_id = walk.run_id and old.step_key = report.parent_step_key
            offset 0
        ) as place
    ),

    told as (
        update synapsor.run_steps as parent
        set pending = parent.pending - report.number,
            branch_status = synapsor._status_name(
                greatest(synapsor._status_value(parent.branch_status), report.branch)
            ),
            query_status = greatest(parent.query_status, report.query_status)
        from located as report
        where parent.ctid = report.place
        returning parent.step_key, parent.pending, parent.sequence
    ),

    told_run as (
        update synapsor.plan_runs as stored
        set pending = stored.pending - report.number, branch_status = greatest(stored.branch_status, report.branch)
        from reports as report
        where stored.run_id = walk.run_id and report.parent_step_key is null
    )

    select coalesce(array_agg(parent.step_key order by parent.sequence), '{}') into ready
    from told as parent
    where parent.pending = 0;
    return ready;
end;
$function$;
