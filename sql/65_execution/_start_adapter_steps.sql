-- Each adapter step of a performed action becomes an external action of its contract, in the same
-- transaction (stage 8). Returns the events that tell of it.
create or replace function synapsor._start_adapter_steps(
    invocation synapsor.action_invocations,
    contract synapsor.action_contracts,
    session jsonb,
    result jsonb
)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    intent constant jsonb := invocation.intent::jsonb;
    named constant jsonb := jsonb_build_object(
        'parameters', intent -> 'arguments', 'hidden', intent -> 'hidden', 'result', result
    );
    step jsonb;
    step_contract synapsor.action_contracts;
    bound synapsor.bound_parameters;
    started synapsor.external_action;
    input jsonb;
    events jsonb := jsonb_build_array();
    -- Nobody joins a plan's run: its steps are written for it.
    is_plan constant boolean := invocation.run_id is not null and exists (
        select from synapsor.plan_runs as walked where walked.run_id = invocation.run_id
    );
begin
    for ordinal in 1 .. jsonb_array_length(contract.definition -> 'adapter_steps') loop
        step := contract.definition -> 'adapter_steps' -> ordinal - 1;
        continue when step ->> 'when' is not null and not coalesce(
            jsonb_path_query_first(named, (step ->> 'when')::jsonpath, '{}', true) = 'true', false
        );
        input := synapsor._render(step -> 'input', named);
        continue when input is null or input = 'null';
        step_contract := synapsor._resolve_contract(step ->> 'action', null);
        -- Below a Proxy of a plan its deliveries are offered there.
        step_contract.queue := coalesce(invocation.queue, step_contract.queue);
        -- One step of one invocation: performing it twice cannot send it twice.
        bound := synapsor._bind_one(
            step_contract.digest, step_contract.action, step_contract.version, input,
            invocation.action_id || ':' || ordinal, session, date_part('epoch', synapsor._now())
        );
        if bound.error_code is not null then
            raise exception using
                errcode = 'SY013',
                message = format(
                    'adapter step %s of %s does not fit %s: %s', ordinal, contract.action, step_contract.action,
                    bound.error_message
                ),
                detail = synapsor._describe_violations(bound.violations);
        end if;
        select proposed.* into strict started
        from synapsor._admit(
            step_contract, session, array[bound], case when not is_plan then invocation.run_id end, null,
            coalesce(invocation.correlation_id, invocation.action_id), invocation.action_id, null,
            raises => true, reports_to => invocation.action_id,
            retry => synapsor._step_retry(step, step_contract)
        ) as proposed;
        if is_plan and started.changed then
            perform synapsor._note_adapter_step(invocation, started.action_id, step_contract.action, ordinal);
        end if;
        events := events || jsonb_build_array(jsonb_build_object(
            'type', 'AdapterInvocationStarted', 'subject_type', 'AdapterInvocation', 'subject_id', started.action_id,
            'payload', jsonb_build_object('step', ordinal, 'action', step_contract.action)
        ));
    end loop;
    return events;
end;
$function$;

-- A step's own retry policy over its contract's: never more than one attempt where the contract is
-- not idempotent, never more than five at all (seeds/pipeline-stages.txt, stage 8).
create or replace function synapsor._step_retry(step jsonb, contract synapsor.action_contracts)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    asked jsonb := coalesce(nullif(step -> 'retry', 'null'), '{}');
    attempts integer := coalesce((asked ->> 'max_attempts')::integer, contract.max_attempts);
begin
    if not contract.idempotent then
        return asked || '{"max_attempts": 1}';
    elsif attempts > 5 then
        raise notice 'an adapter step is attempted 5 times at most, not %', attempts;
        return asked || '{"max_attempts": 5}';
    end if;
    return nullif(asked, '{}');
end;
$function$;
