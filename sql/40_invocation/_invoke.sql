-- What invoke_action does once it is decided who may: from here on nothing raises, a refusal is a row.
-- With is_plan the step is written by the walk of a plan: the action is only told which it is, and
-- to report when it ends. Returns action_id and changed alone of what was repeated or may be delivered.
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
    is_plan boolean default false
)
returns synapsor.invocation
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    bound constant synapsor.bound_parameters := synapsor._bind_one(
        contract.digest, contract.action, contract.version, parameters, idempotency_key, session,
        date_part('epoch', synapsor._now())
    );
    admitted synapsor.external_action;
    invoked synapsor.invocation;
    stored synapsor.action_invocations;
begin
    if bound.error_code is null then
        select asked.* into strict admitted
        from synapsor._admit(
            contract, session, array[bound], case when not is_plan then run_id end,
            case when not is_plan then step_key end, correlation_id, causation_id, scheduled_at, raises => false
        ) as asked;
        if admitted.action_id is not null then
            invoked.action_id := admitted.action_id;
            invoked.changed := admitted.changed;
            if is_plan and invoked.changed then
                perform synapsor._join_plan_run(invoked.action_id, run_id, step_key);
            end if;
            if invoked.changed and admitted.status = 'pending' then
                stored := synapsor._perform(contract, invoked.action_id, session);
                invoked := synapsor._shown_invocation(stored, contract);
            end if;
            return invoked;
        end if;
    end if;

    -- The refused attempt is evidence too (design.md section 6).
    insert into synapsor.action_invocations (
        action_id, tenant_id, action, version, actor, actor_type, status, holds_key, key_from_template, created_at,
        completed_at, scheduled_at, idempotency_key, payload_digest, parameters, run_id, step_key, correlation_id,
        causation_id, traceparent, error_code, error_message, violations
    )
    values (
        synapsor._new_id('act_'), session ->> 'tenant_id', contract.action, contract.version, session ->> 'principal',
        session ->> 'actor_type', 'validation_failed', false,
        coalesce(bound.key_from_template, false), synapsor._now(), synapsor._now(), _invoke.scheduled_at,
        coalesce(bound.idempotency_key, left(_invoke.idempotency_key, 250)), bound.payload_digest,
        synapsor._bounded(parameters), _invoke.run_id, left(_invoke.step_key, 200),
        _invoke.correlation_id, _invoke.causation_id, session ->> 'traceparent',
        coalesce(bound.error_code, admitted.error_code),
        coalesce(bound.error_message, admitted.error_message), coalesce(bound.violations, admitted.response)
    )
    returning action_invocations.* into strict stored;
    return synapsor._shown_invocation(stored, contract);
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
