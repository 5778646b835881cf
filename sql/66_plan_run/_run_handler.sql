-- Runs a node's handler: to its end where it is a built-in, else to where it waits. Whatever goes
-- wrong makes the node Failed; the tree goes on.
create or replace function synapsor._run_handler(
    walk synapsor.plan_walk,
    node synapsor.plan_nodes,
    parent synapsor.run_steps,
    step synapsor.run_steps,
    config jsonb,
    parameters jsonb
)
returns synapsor.run_steps
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    result synapsor.node_result;
    member jsonb;
    milliseconds numeric;
begin
    if config is not null or parameters is not null then
        step.input := synapsor._bounded(jsonb_build_object('config', config, 'parameters', parameters));
    end if;
    if node.run_as ->> 'UserName' is not null then
        select jsonb_build_object('principal', node.run_as ->> 'UserName', 'roles', to_jsonb(known.roles)) into member
        from synapsor.members as known
        where known.tenant_id = walk.tenant_id and known.principal = node.run_as ->> 'UserName';
        if not found then
            return synapsor._end_handler(walk, node, step, synapsor._failed_result(format(
                'RunAs: %s is no member of the tenant', quote_ident(node.run_as ->> 'UserName')
            )));
        end if;
        step.security_context := step.security_context || member;
    end if;

    case node.handler ->> 'kind'
        when 'echo' then
            result.has_ended := true;
            result.status := 'Complete';
            result.exit_data := jsonb_build_object(
                'StartInfo', jsonb_build_object(
                    'PlanInstanceId', walk.run_id, 'InstanceId', step.step_id, 'IsDryRun', walk.is_dry_run,
                    'Parameters', parameters, 'ParentExitData', parent.exit_data,
                    'RequestUser', walk.automatic -> 'PlanStartInfo_RequestUser',
                    'RequestNumber', walk.automatic -> 'PlanStartInfo_RequestNumber'
                ),
                'Config', config,
                'Principal', step.security_context -> 'principal'
            );
        when 'empty' then
            result := synapsor._empty_result(config);
            milliseconds := case
                when jsonb_typeof(config -> 'SleepMilliseconds') = 'number'
                    then (config ->> 'SleepMilliseconds')::numeric
            end;
            if milliseconds > 0 and result.message is null and not walk.is_dry_run then
                return synapsor._wait_until(
                    walk, step, result, synapsor._now() + make_interval(secs => milliseconds::double precision / 1000)
                );
            end if;
        else
            return synapsor._run_action(walk, node, parent, step, config, parameters);
    end case;
    return synapsor._end_handler(walk, node, step, result);
end;
$function$;

-- EmptyHandler ends with what its configuration says: the document's test double.
create or replace function synapsor._empty_result(config jsonb)
returns synapsor.node_result
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
declare
    result synapsor.node_result;
    status constant text := coalesce(config ->> 'ReturnStatus', 'None');
begin
    if synapsor._status_value(status) is null then
        return synapsor._failed_result(format('%s is no status', quote_literal(left(status, 64))));
    elsif jsonb_typeof(config -> 'SleepMilliseconds') not in ('number', 'null') then
        return synapsor._failed_result('SleepMilliseconds is not a number');
    elsif coalesce((config ->> 'SleepMilliseconds')::numeric not between 0 and 315360000000, false) then
        return synapsor._failed_result('SleepMilliseconds is not from 0 to ten years');
    end if;
    result.has_ended := true;
    result.status := synapsor._status_name(synapsor._status_value(status));
    result.exit_data := nullif(config -> 'ExitData', 'null');
    return result;
end;
$function$;

-- As of a handler that threw: the message is the exit data too (reference/plans.md, A.4).
create or replace function synapsor._failed_result(message text)
returns synapsor.node_result
language sql
immutable
begin atomic
    select row(
        true, 'Failed', to_jsonb(left(message, 2000)), null, left(message, 2000), null, null, null
    )::synapsor.node_result;
end;

-- A timer: run_due_steps goes on when it is over, and no transaction is held meanwhile.
create or replace function synapsor._wait_until(
    walk synapsor.plan_walk, step synapsor.run_steps, result synapsor.node_result, until timestamptz
)
returns synapsor.run_steps
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    step.state := 'waiting';
    step.status := 'Waiting';
    step.branch_status := null;
    step.wait := jsonb_build_object('for', 'timer', 'until', until, 'result', to_jsonb(result));
    perform synapsor._mark_run_due(walk.run_id, walk.tenant_id, step.step_key, until);
    return step;
end;
$function$;

create or replace function synapsor._mark_run_due(
    run_id text, tenant_id text, step_key text default null, due_at timestamptz default null
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    insert into synapsor.due_runs (mark, run_id, tenant_id, step_key, due_at)
    values (
        gen_random_uuid(), _mark_run_due.run_id, _mark_run_due.tenant_id, _mark_run_due.step_key,
        coalesce(_mark_run_due.due_at, synapsor._now())
    );
end;
$function$;

-- The handler has ended: from here on the node's status is fixed.
create or replace function synapsor._end_handler(
    walk synapsor.plan_walk,
    node synapsor.plan_nodes,
    step synapsor.run_steps,
    result synapsor.node_result
)
returns synapsor.run_steps
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    step.state := 'finished';
    step.status := result.status;
    step.branch_status := result.status;
    step.query_status := synapsor._status_value(result.status);
    step.exit_data := case when result.exit_data <> 'null' then synapsor._bounded(result.exit_data) end;
    step.exit_code := result.exit_code;
    step.message := left(result.message, 2000);
    step.pid := result.pid;
    step.finished_at := synapsor._now();
    step.finish_order := nextval('synapsor.run_steps_sequence');
    step.wait := null;
    step.pending := 0;
    if node.save_config_as is not null then
        perform synapsor._save_set(walk, 'config', node.save_config_as, step.exit_data);
    end if;
    if node.save_parameters_as is not null then
        perform synapsor._save_set(walk, 'parameters', node.save_parameters_as, step.exit_data);
    end if;
    step.phase := case when node.has_group or node.has_actions then 'handler' else 'ended' end;
    return step;
end;
$function$;
