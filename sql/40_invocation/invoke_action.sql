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
    if contract.kind = 'saga' then
        raise exception using
            errcode = 'feature_not_supported',
            message = 'saga actions are not performed by this version',
            detail = format('%s is declared and stored.', contract.action);
    end if;
    perform synapsor._gate(contract, session, joined_run);
    perform synapsor._check_options(correlation_id, causation_id, scheduled_at);
    select parameters_bound.* into strict bound
    from synapsor._bind(contract, array[parameters], array[idempotency_key], session) as parameters_bound;
    if bound.error_code is null then
        begin
            select proposed.* into strict admitted
            from synapsor._admit(
                contract, session, array[bound], joined_run, step_key, correlation_id, causation_id, scheduled_at,
                raises_when_blocked => false
            ) as proposed;
        exception
            when sqlstate 'SY008' then
                get stacked diagnostics code = returned_sqlstate, reason = message_text, facts = pg_exception_detail;
                bound.violations := jsonb_build_array(jsonb_build_object('path', '', 'rule', code, 'message', facts));
        end;
        if code is null then
            if admitted.changed and admitted.status = 'pending' then
                perform synapsor._perform(admitted.action_id, session);
            end if;
            return synapsor._invocation(admitted.action_id, admitted.changed);
        end if;
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
        session ->> 'actor_type', 'validation_failed', false,
        coalesce(bound.key_from_template, false), synapsor._now(), synapsor._now(), invoke_action.scheduled_at,
        coalesce(bound.idempotency_key, left(invoke_action.idempotency_key, 250)), bound.payload_digest,
        synapsor._bounded(parameters), joined_run, left(invoke_action.step_key, 200),
        invoke_action.correlation_id, invoke_action.causation_id, session ->> 'traceparent',
        coalesce(bound.error_code, code),
        coalesce(bound.error_message, reason), bound.violations
    );
    return synapsor._invocation(refused, true);
end;
$function$;

grant execute on function synapsor.invoke_action to synapsor_caller;

comment on function synapsor.invoke_action is
'Performs an action along the one canonical path and returns the invocation. SY001 (unknown or
retired action), SY003 (of scheduled_at, correlation_id, causation_id), SY005 (no tenant), SY007
(not permitted, suspended), SY012 (not entitled) and SY040/SY011 (run) raise and leave no row. From
the moment the row exists nothing raises: a refusal is a row with a status (`validation_failed`,
`blocked_by_policy`, `failed`) and an error_code (SY003, SY004, SY005, SY008, SY009, SY010, SY011,
SY013, SY051, or the SQLSTATE its handler raised). An equal repeat returns the same invocation with
changed = false; of atomic actions only where a key was given or templated.

parameters: a JSON object, at most 64 KiB; idempotency_key: 1 to 250 characters; scheduled_at: not
claimed before. Source: design.md sections 4 to 6.';
