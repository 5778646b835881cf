-- Goes on with a plan instance from steps whose wait may be over; the empty key begins it. Under the
-- run's lock, so that two steps ending at once cannot both miss that they were last, and under the
-- session that started the run.
create or replace function synapsor._advance_run(run_id text, step_keys text[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    run synapsor.runs;
    walk synapsor.plan_walk;
    kept jsonb;
begin
    select stored.* into run
    from synapsor.runs as stored
    where stored.run_id = _advance_run.run_id
    for no key update;
    if not found or run.finished_at is not null then
        return;
    end if;
    walk := synapsor._walk_of(run);
    if '' = any(step_keys) and exists (
        select from synapsor.run_steps as step where step.run_id = run.run_id
    ) then
        -- Begun already: a mark that names no step.
        step_keys := array_remove(step_keys, '');
    end if;
    kept := synapsor._borrow_session(walk.session);
    perform synapsor._advance(walk, step_keys);
    perform synapsor._settle_run(walk);
    perform synapsor._return_session(kept);
exception
    when others or query_canceled or assert_failure then
        if kept is not null then
            perform synapsor._return_session(kept);
        end if;
        raise;
end;
$function$;

create or replace function synapsor._advance(walk synapsor.plan_walk, step_keys text[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    step synapsor.run_steps;
    ready text[] := array[]::text[];
    ended text[] := array[]::text[];
begin
    if '' = any(step_keys) then
        ready := array['']::text[];
    end if;
    for step in
        select waiting.*
        from synapsor.run_steps as waiting
        where waiting.run_id = walk.run_id and waiting.step_key = any(step_keys)
            and waiting.state <> 'finished' and waiting.phase = 'handler'
        order by waiting.sequence
    loop
        if step.compensates is not null then
            perform synapsor._look_at_compensation(walk, step);
            continue;
        end if;
        step := synapsor._look_at_wait(walk, step);
        if step.phase = 'ended' then
            ended := array_append(ended, step.step_key);
        elsif step.state = 'finished' then
            ready := array_append(ready, step.step_key);
        end if;
    end loop;
    perform synapsor._walk(walk, ready, ended);
end;
$function$;

-- Whether what a step waits for has come, and what came of it.
create or replace function synapsor._look_at_wait(walk synapsor.plan_walk, step synapsor.run_steps)
returns synapsor.run_steps
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    node synapsor.plan_nodes;
    result synapsor.node_result;
begin
    if step.action_id is not null then
        perform synapsor._complete_parent(step.action_id)
        where exists (
            select from synapsor.action_invocations as adapter_step
            where adapter_step.parent_action_id = step.action_id
        );
        result := synapsor._node_result(step.action_id);
        if not result.has_ended and walk.is_cancelled and not exists (
            select from synapsor.action_invocations as own
            where own.action_id = step.action_id and own.run_id = walk.run_id
        ) then
            -- Another run's action: it goes its way, this run does not wait for it.
            result := synapsor._cancelled_result();
        end if;
    elsif walk.is_cancelled then
        result := synapsor._cancelled_result();
    elsif (step.wait ->> 'until')::timestamptz > synapsor._now() then
        perform synapsor._mark_run_due(
            walk.run_id, walk.tenant_id, step.step_key, (step.wait ->> 'until')::timestamptz
        );
        return step;
    else
        result := jsonb_populate_record(null::synapsor.node_result, step.wait -> 'result');
    end if;
    if result.has_ended then
        select declared.* into strict node
        from synapsor.plan_nodes as declared
        where declared.plan_id = walk.plan_id and declared.node = step.node;
        step := synapsor._end_handler(walk, node, step, result);
    else
        step.status := result.status;
        step.state := case when result.waits_for = 'approval' then 'waiting' else 'running' end;
        step.wait := jsonb_build_object('for', result.waits_for);
        if not exists (
            select from synapsor.open_external_actions as open
            where open.action_id = step.action_id and open.reports_to = step.action_id
        ) and result.waits_for in ('approval', 'delivery', 'settlement') then
            -- It reports to somebody else: looked at again and again.
            perform synapsor._mark_run_due(
                walk.run_id, walk.tenant_id, step.step_key, synapsor._now() + interval '10 s'
            );
        end if;
    end if;
    update synapsor.run_steps as stored
    set state = step.state, status = step.status, branch_status = step.branch_status,
        query_status = step.query_status, exit_data = step.exit_data, exit_code = step.exit_code,
        message = step.message, pid = step.pid, finished_at = step.finished_at, wait = step.wait,
        pending = step.pending, phase = step.phase, finish_order = step.finish_order
    where stored.run_id = step.run_id and stored.step_key = step.step_key;
    return step;
end;
$function$;

create or replace function synapsor._cancelled_result()
returns synapsor.node_result
language sql
immutable
begin atomic
    select row(true, 'Cancelled', null, null, 'the run was cancelled', null, null, null)::synapsor.node_result;
end;
