-- What invoke_action does once it is decided who may: from here on nothing raises, a refusal is a row.
-- With is_plan the step is written by the walk of a plan: the action is only told which it is, and
-- to report when it ends.
create or replace function synapsor._invoke(
    contract synapsor.action_contracts,
    session jsonb,
    parameters jsonb,
    idempotency_key text,
    run_id text,
    step_key text,
    correlation_id text,
    causation_id text,
    scheduled_at timestamptz,
    is_plan boolean default false,
    out action_id text,
    out changed boolean
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    bound synapsor.bound_parameters;
    admitted synapsor.external_action;
    code text;
    reason text;
    facts text;
begin
    select parameters_bound.* into strict bound
    from synapsor._bind(contract, array[parameters], array[idempotency_key], session) as parameters_bound;
    if bound.error_code is null then
        begin
            select proposed.* into strict admitted
            from synapsor._admit(
                contract, session, array[bound], case when not is_plan then run_id end,
                case when not is_plan then step_key end, correlation_id, causation_id, scheduled_at,
                raises_when_blocked => false
            ) as proposed;
        exception
            when sqlstate 'SY008' then
                get stacked diagnostics code = returned_sqlstate, reason = message_text, facts = pg_exception_detail;
                bound.violations := jsonb_build_array(jsonb_build_object('path', '', 'rule', code, 'message', facts));
        end;
        if code is null then
            if is_plan and admitted.changed then
                perform synapsor._join_plan_run(admitted.action_id, run_id, step_key);
            end if;
            if admitted.changed and admitted.status = 'pending' then
                perform synapsor._perform(admitted.action_id, session);
            end if;
            action_id := admitted.action_id;
            changed := admitted.changed;
            return;
        end if;
    end if;

    -- The refused attempt is evidence too (design.md section 6).
    action_id := synapsor._new_id('act_');
    changed := true;
    insert into synapsor.action_invocations (
        action_id, tenant_id, action, version, actor, actor_type, status, holds_key, key_from_template, created_at,
        completed_at, scheduled_at, idempotency_key, payload_digest, parameters, run_id, step_key, correlation_id,
        causation_id, traceparent, error_code, error_message, violations
    )
    values (
        _invoke.action_id, session ->> 'tenant_id', contract.action, contract.version, session ->> 'principal',
        session ->> 'actor_type', 'validation_failed', false,
        coalesce(bound.key_from_template, false), synapsor._now(), synapsor._now(), _invoke.scheduled_at,
        coalesce(bound.idempotency_key, left(_invoke.idempotency_key, 250)), bound.payload_digest,
        synapsor._bounded(parameters), _invoke.run_id, left(_invoke.step_key, 200),
        _invoke.correlation_id, _invoke.causation_id, session ->> 'traceparent',
        coalesce(bound.error_code, code),
        coalesce(bound.error_message, reason), bound.violations
    );
end;
$function$;

create or replace function synapsor._join_plan_run(action_id text, run_id text, step_key text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    update synapsor.action_invocations as joined
    set run_id = _join_plan_run.run_id, step_key = _join_plan_run.step_key
    where joined.action_id = _join_plan_run.action_id;
    update synapsor.open_external_actions as joined
    set reports_to = joined.action_id
    where joined.action_id = _join_plan_run.action_id;
end;
$function$;
