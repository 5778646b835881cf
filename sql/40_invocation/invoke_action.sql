-- security definer: callers have no rights on the tables an invocation is recorded in.
create or replace function synapsor.invoke_action(
    action text,
    parameters jsonb,
    idempotency_key text default null,
    run_id text default null,
    step_key text default null,
    correlation_id text default null,
    causation_id text default null,
    scheduled_at timestamptz default null,
    version integer default null
)
returns synapsor.invocation
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    session constant jsonb := synapsor._session();
    contract constant synapsor.action_contracts := synapsor._resolve_contract(action, version);
    joined_run constant text := coalesce(run_id, session ->> 'run_id');
    bound synapsor.bound_parameters;
    admitted synapsor.external_action;
    refused text;
    code text;
    reason text;
    facts text;
begin
    if contract.kind <> 'external' then
        raise exception using
            errcode = 'feature_not_supported',
            message = format('%s actions are not performed by this version', contract.kind),
            detail = format('%s is declared and stored.', contract.action);
    end if;
    perform synapsor._gate(contract, session, joined_run);
    select parameters_bound.* into strict bound
    from synapsor._bind(contract, array[parameters], array[idempotency_key], session) as parameters_bound;
    if bound.error_code is null then
        begin
            perform synapsor._require_enforceable(contract);
            select proposed.* into strict admitted
            from synapsor._admit(
                contract, session, array[bound], joined_run, step_key, correlation_id, causation_id, scheduled_at
            ) as proposed;
            return synapsor._invocation(admitted.action_id, admitted.changed);
        exception
            when sqlstate 'SY008' or sqlstate 'SY009' then
                get stacked diagnostics code = returned_sqlstate, reason = message_text, facts = pg_exception_detail;
        end;
        bound.violations := jsonb_build_array(jsonb_build_object('path', '', 'rule', code, 'message', facts));
    end if;

    -- From here on nothing raises: the refused attempt is evidence too (design.md section 6).
    refused := synapsor._new_id('act_');
    insert into synapsor.action_invocations (
        action_id, tenant_id, action, version, actor, actor_type, status, holds_key, key_from_template, created_at,
        completed_at, scheduled_at, idempotency_key, payload_digest, parameters, run_id, step_key, correlation_id,
        causation_id, traceparent, error_code, error_message, violations
    )
    values (
        refused, session ->> 'tenant_id', contract.action, contract.version, session ->> 'principal',
        session ->> 'actor_type', case code when 'SY009' then 'blocked_by_policy' else 'validation_failed' end, false,
        coalesce(bound.key_from_template, false), synapsor._now(), synapsor._now(), invoke_action.scheduled_at,
        coalesce(bound.idempotency_key, left(invoke_action.idempotency_key, 250)), bound.payload_digest,
        synapsor._bounded(parameters), joined_run, left(invoke_action.step_key, 200),
        left(invoke_action.correlation_id, 255), left(invoke_action.causation_id, 255), session ->> 'traceparent', coalesce(bound.error_code, code),
        coalesce(bound.error_message, reason), bound.violations
    );
    return synapsor._invocation(refused, true);
end;
$function$;

grant execute on function synapsor.invoke_action to synapsor_caller;

comment on function synapsor.invoke_action is
    'Performs an action along the one canonical path and returns the invocation. SY001 (unknown or retired action), SY005 (no tenant), SY007 '
    '(not permitted, suspended) and SY040/SY011 (run) raise and leave no row. From the moment the row exists nothing raises: a refusal is a '
    'row with a status (`validation_failed`, `blocked_by_policy`) and an error_code (SY003, SY004, SY005, SY008, SY009). An equal repeat '
    'returns the same invocation with changed = false.

parameters: a JSON object, at most 64 KiB; idempotency_key: 1 to 250 characters; scheduled_at: not claimed before. Source: design.md '
    'sections 4 to 6.';
