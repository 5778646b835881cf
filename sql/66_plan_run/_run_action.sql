-- A node whose handler is an action of ours, or one that a worker serves, which is an external
-- action too: invoked under the node's security context, along the one canonical path. What raises
-- there makes the node Failed.
create or replace function synapsor._run_action(
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
    session constant jsonb := walk.session || jsonb_strip_nulls(jsonb_build_object(
        'principal', step.security_context -> 'principal', 'roles', step.security_context -> 'roles'
    ));
    kept jsonb;
    contract synapsor.action_contracts;
    arguments jsonb := coalesce(parameters, '{}');
    result synapsor.node_result;
    reason text;
begin
    kept := synapsor._borrow_session(session);
    begin
        if node.handler ->> 'kind' = 'action' then
            contract := synapsor._resolve_contract(node.handler ->> 'action', null);
        else
            contract := synapsor._served_handler(node.handler);
            arguments := synapsor._handler_arguments(walk, node, parent, step, contract, config, parameters);
        end if;
        contract.queue := coalesce(node.proxy, walk.queue, contract.queue);
        step.kind := case contract.kind when 'external' then 'external_action' else contract.kind end;
        if walk.is_dry_run then
            result := synapsor._previewed_result(synapsor._preview_action(
                contract, synapsor._session(), arguments, is_plan => true
            ));
        else
            step.action_id := synapsor._invoke_node(
                walk, parent, step, contract, arguments,
                -- A key of the contract's own making says what is the same. A later attempt is another
                -- one, and where the contract makes no key, so is every node of every run.
                case
                    when step.attempt > 1 or contract.definition -> 'idempotency' ->> 'key' is null then step.step_id
                end
            );
            result := synapsor._node_result(step.action_id);
        end if;
    exception
        when others then
            if synapsor._is_passing(sqlstate) then
                perform synapsor._return_session(kept);
                raise;
            end if;
            get stacked diagnostics reason = message_text;
            result := synapsor._failed_result(reason);
            step.action_id := null;
    end;
    perform synapsor._return_session(kept);
    if result.has_ended then
        return synapsor._end_handler(walk, node, step, result);
    end if;
    step.status := result.status;
    step.state := case when result.waits_for = 'approval' then 'waiting' else 'running' end;
    step.wait := jsonb_build_object('for', result.waits_for);
    -- Its arguments are in its intent.
    step.input := null;
    return step;
exception
    when query_canceled or assert_failure then
        perform synapsor._return_session(kept);
        raise;
end;
$function$;

-- The latest contract of an external action that serves a handler type: its provider is `plan`, its
-- operation the type.
create or replace function synapsor._served_handler(handler jsonb)
returns synapsor.action_contracts
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    operations constant text[] := array(select jsonb_array_elements_text(handler -> 'operations'));
    served text;
begin
    select declared.action into served
    from synapsor.action_contracts as declared
    where declared.provider = 'plan' and declared.operation = any(operations) and declared.retired_at is null
        and declared.kind = 'external'
    order by array_position(operations, declared.operation), declared.declared_at desc, declared.contract_id desc
    limit 1;
    if not found then
        raise exception using
            errcode = 'SY001',
            message = format('unknown handler %s', quote_literal(left(handler ->> 'type', 200))),
            hint = 'A handler that workers serve is an external contract with provider plan and this operation.';
    end if;
    return synapsor._resolve_contract(served, null);
end;
$function$;

-- What a worker is told, as far as the contract declares it (reference/plans.md, A.5,
-- HandlerStartInfo).
create or replace function synapsor._handler_arguments(
    walk synapsor.plan_walk,
    node synapsor.plan_nodes,
    parent synapsor.run_steps,
    step synapsor.run_steps,
    contract synapsor.action_contracts,
    config jsonb,
    parameters jsonb
)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select coalesce(jsonb_object_agg(told.name, told.value), '{}')
    from (values
        ('config', config),
        ('parameters', parameters),
        ('parent_exit_data', parent.exit_data),
        ('name', to_jsonb(node.name)),
        ('handler', node.handler -> 'type'),
        ('plan', walk.automatic -> 'PlanStartInfo_Name'),
        ('plan_instance_id', to_jsonb(walk.run_id)),
        ('instance_id', to_jsonb(step.step_id)),
        ('is_dry_run', to_jsonb(walk.is_dry_run)),
        ('run_as', step.security_context -> 'principal'),
        ('request_user', walk.automatic -> 'PlanStartInfo_RequestUser'),
        ('request_number', walk.automatic -> 'PlanStartInfo_RequestNumber')
    ) as told (name, value)
    where told.value is not null and told.value <> 'null'
        and coalesce(
            nullif(contract.definition -> 'args', 'null'), contract.definition -> 'args_schema' -> 'properties'
        ) ? told.name;
$function$;

-- Invokes the action of a step that the walk writes itself, so that it is one step and not two.
create or replace function synapsor._invoke_node(
    walk synapsor.plan_walk,
    parent synapsor.run_steps,
    step synapsor.run_steps,
    contract synapsor.action_contracts,
    arguments jsonb,
    idempotency_key text
)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    session constant jsonb := synapsor._session();
    invoked record;
    reports_to text;
begin
    perform synapsor._gate(contract, session, null, is_plan => true);
    select made.* into strict invoked
    from synapsor._invoke(
        contract, session, arguments, idempotency_key, walk.run_id, step.step_key, walk.correlation_id,
        coalesce(walk.action_id, parent.action_id), null, is_plan => true
    ) as made;
    if not invoked.changed then
        -- Somebody asked for the same before, and it is still under way.
        update synapsor.open_external_actions as open
        set reports_to = coalesce(open.reports_to, open.action_id)
        where open.action_id = invoked.action_id
        returning open.reports_to into reports_to;
        if reports_to <> invoked.action_id or not found and exists (
            select from synapsor.action_invocations as other
            where other.action_id = invoked.action_id and other.status in ('pending', 'running')
        ) then
            perform synapsor._mark_run_due(
                walk.run_id, walk.tenant_id, step.step_key, synapsor._now() + interval '10 s'
            );
        end if;
    end if;
    return invoked.action_id;
end;
$function$;

create or replace function synapsor._previewed_result(preview jsonb)
returns synapsor.node_result
language sql
immutable
begin atomic
    select row(
        true,
        case when (preview ->> 'valid')::boolean then 'Complete' else 'Failed' end,
        preview, null, preview ->> 'error_message', null, null, null
    )::synapsor.node_result;
end;

-- Whether an error is one of the moment, such as a deadlock: the advance as a whole is tried again, and
-- no node fails for it.
create or replace function synapsor._is_passing(code text)
returns boolean
language sql
immutable
begin atomic
    select code ~ '^(40|53|57|58|XX)' or code in ('55P03', '55006');
end;
