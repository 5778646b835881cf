-- What policies are told. It depends on the intent alone, not on who lets it be evaluated: an
-- approval evaluates again, and a replay much later. No actor type, by design (B.0).
create or replace function synapsor._policy_facts(
    action text, action_id text, tenant_id text, intent jsonb, mode text, at timestamptz
)
returns jsonb
language sql
stable
begin atomic
    select jsonb_build_object(
        'args', intent -> 'arguments',
        'hidden', intent -> 'hidden',
        'context', jsonb_build_object(
            'tenant_id', tenant_id,
            'space_id', intent -> 'hidden' -> 'space_id',
            'action_id', action_id,
            'action', action,
            'mode', mode,
            'now', at
        )
    );
end;

-- Stage 3 of the pipeline: asks the policies of a contract in their order, up to the first that
-- blocks, and records what each said. Nothing is recorded in mode `preview`.
create or replace function synapsor._evaluate_policies(
    contract synapsor.action_contracts,
    action_id text,
    tenant_id text,
    intent jsonb,
    mode text
)
returns synapsor.policy_decision
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    asked_at constant timestamptz := synapsor._now();
    is_preview constant boolean := mode = 'preview';
    facts constant jsonb := synapsor._policy_facts(
        contract.action, action_id, tenant_id, intent, mode, asked_at
    );
    listed constant jsonb := coalesce(nullif(contract.definition -> 'policies', 'null'), '[]');
    requested text;
    decision synapsor.policy_decision;
    outcome synapsor.policy_outcome;
    named record;
    policy_mode text;
begin
    decision.result := 'pass';
    for place in 0 .. jsonb_array_length(listed) - 1 loop
        requested := listed ->> place;
        select stored.policy, stored.kind, stored.mode, stored.digest into named
        from synapsor.policies as stored
        where stored.policy = requested;
        policy_mode := coalesce(named.mode, 'enforce');
        continue when is_preview and policy_mode = 'shadow';
        if not found then
            outcome := synapsor._missing_policy(requested);
        elsif named.kind = 'data' then
            outcome := synapsor._evaluate_definition(
                named.policy, named.kind, named.digest, null, facts
            );
        elsif policy_mode = 'shadow' then
            outcome := synapsor._evaluate_shadow(named.policy, named.kind, named.digest, facts);
        else
            outcome := synapsor._evaluate_policy(
                named.policy, named.kind, named.digest, null, facts, is_preview
            );
        end if;
        continue when outcome.result is null;

        if not is_preview then
            insert into synapsor.policy_evaluations (
                evaluation_id, action_id, tenant_id, policy, kind, mode, result, reason, guidance,
                metadata, dispatch_evidence, evaluated_at
            )
            values (
                synapsor._new_id('pol_'), _evaluate_policies.action_id,
                _evaluate_policies.tenant_id, requested, named.kind, policy_mode,
                outcome.result, outcome.reason, outcome.guidance, outcome.metadata,
                outcome.dispatch_evidence, asked_at
            );
        end if;
        continue when policy_mode = 'shadow' or outcome.result = 'pass';

        if outcome.result = 'block' or decision.result = 'pass' then
            decision.result := outcome.result;
            decision.policy := requested;
            decision.reason := outcome.reason;
            decision.guidance := outcome.guidance;
        end if;
        if outcome.result = 'block' then
            decision.require_approval := null;
            exit;
        end if;
        -- Of several demands the strictest: the one that asks for the most approvals.
        if (outcome.require_approval ->> 'approvals')::integer
            > coalesce((decision.require_approval ->> 'approvals')::integer, 0)
        then
            decision.require_approval := outcome.require_approval;
        end if;
    end loop;
    return decision;
end
$function$;

-- A shadow policy decides nothing, not even by raising: what its code raises is its evidence.
create or replace function synapsor._evaluate_shadow(
    policy text, kind text, digest bytea, facts jsonb
)
returns synapsor.policy_outcome
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    code text;
    message text;
    outcome synapsor.policy_outcome;
begin
    return synapsor._evaluate_policy(policy, kind, digest, null, facts, false);
exception
    when others then
        get stacked diagnostics code = returned_sqlstate, message = message_text;
        outcome.result := 'block';
        outcome.reason := format('the evaluator of policy %s raised %s', policy, code);
        outcome.dispatch_evidence := jsonb_build_object(
            'requested_policy_id', policy,
            'dispatch_path', case kind
                when 'code' then '["code"]'::jsonb
                else '["data", "code"]'
            end,
            'definition_status', 'valid',
            'errors', jsonb_build_array(jsonb_build_object(
                'path', 'evaluator', 'reason', left(message, 2000), 'sqlstate', code
            ))
        );
        return outcome;
end
$function$;
