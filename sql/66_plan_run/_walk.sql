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
    batch text[];
    next_ready text[];
    step_key text;
    found text;
    opened record;
begin
    while cardinality(ready) > 0 or cardinality(ended) > 0 loop
        while cardinality(ready) > 0 loop
            batch := ready;
            next_ready := array[]::text[];
            foreach step_key in array batch loop
                select phase.* into strict opened from synapsor._open_phase(walk, step_key) as phase;
                foreach found in array opened.ready loop
                    next_ready := array_append(next_ready, found);
                end loop;
                if opened.has_ended and step_key <> '' then
                    ended := array_append(ended, step_key);
                end if;
            end loop;
            ready := next_ready;
        end loop;
        ready := synapsor._tell_parents(walk, ended);
        ended := array[]::text[];
    end loop;
end;
$function$;

-- Opens what comes next below a step whose last phase has ended: its group, then its actions. The
-- empty key is the run itself, whose actions are the roots. Yields the steps that go on from here, and
-- whether the step itself has ended with everything below it.
create or replace function synapsor._open_phase(
    walk synapsor.plan_walk, step_key text, out ready text[], out has_ended boolean
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    step synapsor.run_steps;
    node synapsor.plan_nodes;
    below synapsor.plan_nodes;
    started synapsor.run_steps[];
    child synapsor.run_steps;
begin
    ready := array[]::text[];
    if step_key <> '' then
        select stored.* into strict step
        from synapsor.run_steps as stored
        where stored.run_id = walk.run_id and stored.step_key = _open_phase.step_key;
        select declared.* into strict node
        from synapsor.plan_nodes as declared
        where declared.plan_id = walk.plan_id and declared.node = step.node;
    else
        step.phase := 'group';
        step.query_status := 0;
        step.branch_status := 'None';
        node.has_actions := true;
    end if;
    step.pending := 0;
    loop
        step.phase := case
            when walk.is_cancelled or step.phase in ('instances', 'actions', 'ended') then 'ended'
            when step.phase = 'handler' and node.has_group then 'group'
            when node.has_actions then 'actions'
            else 'ended'
        end;
        exit when step.phase = 'ended';
        started := array[]::synapsor.run_steps[];
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
            where step_key = '' and declared.plan_id = walk.plan_id and declared.parent is null
                and synapsor._is_case(declared.execute_case, 0)
            order by node
        loop
            foreach child in array synapsor._start_node(walk, below, step) loop
                started := array_append(started, child);
            end loop;
        end loop;
        insert into synapsor.run_steps select new.* from unnest(started) as new;
        foreach child in array started loop
            if child.state = 'finished' and child.phase = 'handler' then
                ready := array_append(ready, child.step_key);
            end if;
            -- Of instances their container tells.
            continue when child.relation = 'instance';
            if child.phase <> 'ended' then
                step.pending := step.pending + 1;
                continue;
            end if;
            step.branch_status := synapsor._higher(
                step.branch_status, synapsor._higher(child.status, child.branch_status)
            );
            if child.relation = 'group' then
                step.query_status := greatest(step.query_status, child.query_status);
            end if;
        end loop;
        exit when step.pending > 0;
    end loop;
    has_ended := step.phase = 'ended';
    if step_key = '' then
        update synapsor.plan_runs as stored
        set pending = step.pending, branch_status = synapsor._status_value(step.branch_status)
        where stored.run_id = walk.run_id;
    else
        update synapsor.run_steps as stored
        set phase = step.phase, pending = step.pending, branch_status = step.branch_status,
            query_status = step.query_status
        where stored.run_id = walk.run_id and stored.step_key = _open_phase.step_key;
    end if;
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
    told record;
    left_over integer;
    ready text[] := array[]::text[];
begin
    for told in
        select step.parent_step_key, count(*)::integer as number,
            max(greatest(synapsor._status_value(step.status), synapsor._status_value(step.branch_status))) as branch,
            -- Only a group raises what its parent's actions are compared with, and only by its own
            -- status.
            max(case
                when step.kind = 'container' then step.query_status
                when step.relation in ('group', 'instance') then synapsor._status_value(step.status)
                else 0
            end) as query_status
        from synapsor.run_steps as step
        where step.run_id = walk.run_id and step.step_key = any(ended)
        group by step.parent_step_key
        order by min(step.sequence)
    loop
        if told.parent_step_key is null then
            update synapsor.plan_runs as stored
            set pending = stored.pending - told.number, branch_status = greatest(stored.branch_status, told.branch)
            where stored.run_id = walk.run_id;
            continue;
        end if;
        update synapsor.run_steps as parent
        set pending = parent.pending - told.number,
            branch_status = synapsor._status_name(
                greatest(synapsor._status_value(parent.branch_status), told.branch)
            ),
            query_status = greatest(parent.query_status, told.query_status)
        where parent.run_id = walk.run_id and parent.step_key = told.parent_step_key
        returning parent.pending into strict left_over;
        if left_over = 0 then
            ready := array_append(ready, told.parent_step_key);
        end if;
    end loop;
    return ready;
end;
$function$;
