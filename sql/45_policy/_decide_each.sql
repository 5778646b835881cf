-- What becomes of each invocation, by ordinal, and what policies and limits decided on it: `held`
-- where its key was taken. A blocked or failed one ends here. Where there is nothing to decide, the
-- contract may still ask for approval, and nothing need be recorded yet.
create or replace function synapsor._decide_each(
    contract synapsor.action_contracts,
    session jsonb,
    bound synapsor.bound_parameters[],
    recorded_ids text[],
    straight_to text,
    raises boolean,
    out decisions synapsor.policy_decision[],
    out statuses text[]
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    asked synapsor.bound_parameters;
    decision synapsor.policy_decision;
    intent jsonb;
begin
    foreach asked in array bound loop
        if contract.decides and not asked.action_id = any(recorded_ids) then
            statuses[asked.ordinal] := 'held';
            continue;
        end if;
        intent := asked.intent::jsonb;
        if contract.decides then
            decision := synapsor._decide(contract, session, asked.action_id, intent, raises);
            decisions[asked.ordinal] := decision;
        end if;
        statuses[asked.ordinal] := case
            when decision.result = 'block' then 'blocked_by_policy'
            when decision.result = 'error' then 'failed'
            when decision.require_approval is not null
                or contract.approval_required and synapsor._needs_approval(contract, intent, session)
                then 'proposed'
            else straight_to
        end;
    end loop;
end;
$function$;

create or replace function synapsor._decide(
    contract synapsor.action_contracts, session jsonb, action_id text, intent jsonb, raises boolean
)
returns synapsor.policy_decision
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    decision synapsor.policy_decision;
    code text;
    reason text;
    exceeded jsonb;
begin
    begin
        decision := synapsor._evaluate_policies(contract, action_id, session ->> 'tenant_id', intent, 'execute');
    exception
        when others then
            if raises then
                raise;
            end if;
            get stacked diagnostics code = returned_sqlstate, reason = message_text;
            decision.result := 'error';
            update synapsor.action_invocations as invocation
            set status = 'failed', error_code = code, error_message = left(reason, 2000),
                completed_at = synapsor._now()
            where invocation.action_id = _decide.action_id;
    end;
    -- What waits for approval takes its share when it is approved.
    if jsonb_array_length(contract.definition -> 'limits') > 0
        and coalesce(decision.result, 'pass') in ('pass', 'warn') and decision.require_approval is null
        and not synapsor._needs_approval(contract, intent, session)
    then
        exceeded := synapsor._consume(
            contract, action_id, session ->> 'tenant_id', session ->> 'principal', intent
        );
        if exceeded is not null then
            decision := synapsor._decide_exceeded(decision, contract, exceeded);
        end if;
    end if;
    if decision.result = 'block' then
        if raises then
            perform synapsor._raise_blocked(contract.action, decision);
        end if;
        perform synapsor._block(action_id, decision);
    end if;
    return decision;
end;
$function$;

create or replace function synapsor._raise_blocked(action text, decision synapsor.policy_decision)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    raise exception using
        errcode = synapsor._blocked_with(decision),
        message = case
            when decision.policy is null then format('%s is blocked: %s', action, decision.reason)
            else format('%s is blocked by policy %s', action, decision.policy)
        end,
        detail = coalesce(decision.reason, ''),
        hint = coalesce(decision.guidance, '');
end;
$function$;

-- A block without a policy is an exceeded limit.
create or replace function synapsor._blocked_with(decision synapsor.policy_decision)
returns text
language sql
immutable
begin atomic
    select case when decision.policy is null then 'SY051' else 'SY009' end;
end;

-- A blocked invocation keeps its row, its evidence, and says so as an event
-- (seeds/pipeline-stages.txt, stage 3).
create or replace function synapsor._block(action_id text, decision synapsor.policy_decision)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    blocked synapsor.action_invocations;
begin
    update synapsor.action_invocations as invocation
    set status = 'blocked_by_policy', error_code = synapsor._blocked_with(decision),
        error_message = concat_ws(': ', 'blocked by policy ' || decision.policy, decision.reason),
        completed_at = synapsor._now()
    where invocation.action_id = _block.action_id
    returning invocation.* into blocked;
    perform synapsor._append_events(blocked, jsonb_build_array(jsonb_build_object(
        'type', 'ComplianceBlocked', 'subject_type', 'ActionInvocation', 'subject_id', action_id,
        'payload', jsonb_strip_nulls(jsonb_build_object(
            'action', blocked.action, 'policy', decision.policy, 'reason', decision.reason,
            'guidance', decision.guidance
        ))
    )));
end;
$function$;
