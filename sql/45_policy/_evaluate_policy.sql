-- What one policy says about one intent, its evaluator asked where it has one. In a preview, code
-- takes part only where it is declared safe: a code policy is left out (null result), and of a
-- hybrid one the data decision stands.
create or replace function synapsor._evaluate_policy(
    policy text, kind text, digest bytea, draft jsonb, facts jsonb, is_preview boolean
)
returns synapsor.policy_outcome
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    outcome synapsor.policy_outcome := synapsor._evaluate_definition(
        policy, kind, digest, draft, facts
    );
    fallback synapsor.policies;
    asked synapsor.policy_outcome;
begin
    if outcome.evaluator is not null then
        if is_preview and not outcome.preview_safe then
            outcome.result := null;
            return outcome;
        end if;
        return synapsor._ask_evaluator(policy, outcome, facts);
    elsif outcome.fallback is null then
        return outcome;
    end if;

    select stored.* into fallback
    from synapsor.policies as stored
    where stored.policy = outcome.fallback and stored.kind = 'code';
    if found then
        asked := synapsor._evaluate_definition(
            fallback.policy, fallback.kind, fallback.digest, null, facts
        );
        if is_preview and not asked.preview_safe then
            outcome.dispatch_evidence := jsonb_set(
                outcome.dispatch_evidence, '{fallback,skipped}', '"not preview_safe"'
            );
            return outcome;
        elsif asked.evaluator is not null then
            asked := synapsor._ask_evaluator(fallback.policy, asked, facts);
        end if;
    else
        asked := synapsor._missing_policy(outcome.fallback);
    end if;
    asked.dispatch_evidence := outcome.dispatch_evidence
        || jsonb_build_object('dispatch_path', '["data", "code"]'::jsonb)
        || jsonb_build_object(
            'code',
            coalesce(asked.dispatch_evidence -> 'code', jsonb_build_object(
                'policy_id', outcome.fallback,
                'registered', true,
                'definition_status', asked.dispatch_evidence -> 'definition_status',
                'errors', asked.dispatch_evidence -> 'errors'
            ))
        );
    return asked;
end
$function$;

-- Fails closed: nobody has said what this policy allows.
create or replace function synapsor._missing_policy(policy text)
returns synapsor.policy_outcome
language sql
immutable
begin atomic
    select row(
        'block',
        'No evaluator registered for policy ' || policy,
        null,
        null,
        null,
        jsonb_build_object(
            'requested_policy_id', policy,
            'dispatch_path', jsonb_build_array(),
            'definition_status', 'missing',
            'errors', jsonb_build_array(),
            'code', jsonb_build_object('policy_id', policy, 'registered', false)
        ),
        null,
        null,
        null
    )::synapsor.policy_outcome;
end;

-- Calls the evaluator of a code policy and judges its answer. What it raises goes on.
create or replace function synapsor._ask_evaluator(
    policy text, outcome synapsor.policy_outcome, facts jsonb
)
returns synapsor.policy_outcome
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    evaluator constant text := outcome.evaluator;
    called record;
    answer jsonb;
    approval jsonb;
    broken text;
begin
    called := synapsor._user_function(evaluator, array['jsonb'], 'jsonb');
    outcome.evaluator := null;
    outcome.dispatch_evidence := outcome.dispatch_evidence || jsonb_build_object(
        'code', jsonb_strip_nulls(jsonb_build_object(
            'policy_id', policy,
            'version', substring(policy from '[0-9]+$')::numeric,
            'registered', called.problem is null,
            'evaluator', evaluator,
            'source_digest', case
                when called.problem is null
                    then encode(sha256(convert_to(pg_get_functiondef(called.named), 'UTF8')), 'hex')
            end
        ))
    );
    if called.problem is null then
        answer := synapsor._call_evaluator(
            evaluator, facts -> 'context' || jsonb_build_object('parameters', facts -> 'args')
        );
        approval := nullif(answer -> 'require_approval', 'null');
        if jsonb_typeof(answer) is distinct from 'object' then
            broken := format('returned %s, not an object', coalesce(jsonb_typeof(answer), 'null'));
        elsif coalesce(answer -> 'result' not in ('"pass"', '"warn"', '"block"'), true) then
            broken := 'returned no result of pass, warn or block';
        elsif answer -> 'result' = '"warn"' and approval is not null
            and not synapsor._is_approval_demand(approval)
        then
            broken := 'returned a require_approval that is not {"role", "approvals"}';
        end if;
    else
        broken := called.problem;
    end if;

    -- Broken code blocks.
    if broken is not null then
        outcome.result := 'block';
        outcome.reason := case
            when called.problem is null then format('the evaluator of policy %s %s', policy, broken)
            else 'No evaluator registered for policy ' || policy
        end;
        outcome.dispatch_evidence := jsonb_set(
            outcome.dispatch_evidence, '{errors}',
            jsonb_build_array(jsonb_build_object('path', 'evaluator', 'reason', broken))
        );
        return outcome;
    end if;

    outcome.result := answer ->> 'result';
    -- The definition's own words are for a warn or block that brings none.
    outcome.reason := coalesce(
        left(answer ->> 'reason', 4000), case when outcome.result <> 'pass' then outcome.reason end
    );
    outcome.guidance := coalesce(
        left(answer ->> 'guidance', 4000),
        case when outcome.result <> 'pass' then outcome.guidance end
    );
    outcome.metadata := case coalesce(jsonb_typeof(answer -> 'metadata'), 'null')
        when 'null' then null
        when 'object' then synapsor._bounded(answer -> 'metadata')
        else synapsor._bounded(jsonb_build_object('value', answer -> 'metadata'))
    end;
    outcome.require_approval := case
        when outcome.result = 'warn' and approval is not null then jsonb_build_object(
            'role', approval -> 'role',
            'approvals', coalesce(nullif(approval -> 'approvals', 'null'), '1')
        )
    end;
    return outcome;
end
$function$;

create or replace function synapsor._is_approval_demand(demand jsonb)
returns boolean
language sql
immutable
begin atomic
    select case
        when jsonb_typeof(demand) = 'object'
            then
                demand - array['role', 'approvals'] = '{}'
                and coalesce(jsonb_typeof(demand -> 'role'), 'null') in ('null', 'string')
                and coalesce(char_length(demand ->> 'role'), 1) between 1 and 128
                and coalesce(jsonb_typeof(demand -> 'approvals'), 'null') in ('null', 'number')
                and coalesce(demand ->> 'approvals', '1') ~ '^([1-9]|10)$'
        else false
    end;
end;
