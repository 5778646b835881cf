-- Policies: the registry, what they decide, the evidence of it, and replaying them.

begin;

select plan(241);

create role test_author nologin;
create schema app authorization test_author;
grant usage on schema app to synapsor_guest;
set role test_author;

create table app.notes (note text);

-- Answers what it is asked to answer.
create function app.answer(context jsonb) returns jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$ select context -> 'parameters' -> 'answer' $$;

create function app.tell(context jsonb) returns jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$ select jsonb_build_object('result', 'pass', 'reason', 'told', 'metadata', context) $$;

create function app.refuse(context jsonb) returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$ begin raise exception using errcode = 'AB123', message = 'out of order'; end $$;

create function app.write(context jsonb) returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$ begin insert into app.notes values ('x'); return '{"result": "pass"}'; end $$;

create function app.invoker(context jsonb) returns jsonb
language sql
set search_path = pg_catalog, pg_temp
as $$ select '{"result": "pass"}'::jsonb $$;

create function app.loses_rights(context jsonb) returns jsonb
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$ select '{"result": "pass"}'::jsonb $$;

create function app.is_dropped(context jsonb) returns jsonb
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$ select '{"result": "pass"}'::jsonb $$;

reset role;

create function tests.when_over(amount integer, result text, extra jsonb default '{}')
returns jsonb
language sql
begin atomic
    select jsonb_build_object(
        'when', jsonb_build_object(
            'kind', 'parameter', 'path', 'parameters.amount_cents', 'operator', 'gt',
            'value', amount
        ),
        'result', result,
        'reason', format('%s over %s', result, amount)
    ) || extra;
end;

create function tests.always(result text, extra jsonb default '{}')
returns jsonb
language sql
begin atomic
    select jsonb_build_object('when', '{"kind": "always"}'::jsonb, 'result', result) || extra;
end;

create function tests.data_policy(name text, variadic conditions jsonb[])
returns jsonb
language sql
begin atomic
    select jsonb_build_object('policy', name, 'kind', 'data', 'conditions', to_jsonb(conditions));
end;

create function tests.code_policy(name text, evaluator text, extra jsonb default '{}')
returns jsonb
language sql
begin atomic
    select jsonb_build_object('policy', name, 'kind', 'code', 'evaluator', evaluator) || extra;
end;

-- What these policies decide about an intent.
create function tests.decide(
    policies text[],
    arguments jsonb default '{}',
    mode text default 'execute',
    action_id text default 'act_1',
    hidden jsonb default '{"tenant_id": "acme", "customer": "cus_secret"}'
)
returns synapsor.policy_decision
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    contract synapsor.action_contracts;
begin
    perform tests.a_contract(jsonb_build_object('policies', policies), 'test.decide');
    select declared.* into contract
    from synapsor.action_contracts as declared
    where declared.action = 'test.decide'
    order by declared.version desc
    limit 1;
    return synapsor._evaluate_policies(
        contract, decide.action_id, 'acme',
        jsonb_build_object('arguments', arguments, 'hidden', hidden), mode
    );
end
$function$;

create function tests.decided(
    policies text[], arguments jsonb default '{}', mode text default 'execute'
)
returns text
language sql
begin atomic
    select concat_ws(' ', decision.result, decision.policy, decision.reason)
    from tests.decide(decided.policies, decided.arguments, decided.mode) as decision;
end;

-- The evidence kept last, of a policy.
create function tests.evidence(named text)
returns jsonb
language sql
stable
begin atomic
    select evaluation.dispatch_evidence
    from synapsor.policy_evaluations as evaluation
    where evaluation.policy = evidence.named
    order by evaluation.ctid desc
    limit 1;
end;

select tests.at('2026-01-01 12:00+00');
select tests.session('acme', 'admin@acme');


-- The registry

set session authorization test_admin;

select is(
    (synapsor.declare_policy(
        tests.data_policy('billing.limit.v1', tests.when_over(50000, 'block'))
    )).policy,
    'billing.limit.v1',
    'a policy is declared'
);

select results_eq(
    $$
    select
        policy, kind, mode, definition ->> 'default', digest ~ '^[0-9a-f]{64}$', declared_by,
        declared_at
    from synapsor.declare_policy(
        tests.data_policy('billing.limit.v1', tests.when_over(50000, 'block'))
    )
    $$,
    $$
    values (
        'billing.limit.v1', 'data', 'enforce', 'pass', true, 'admin@acme',
        '2026-01-01 12:00+00'::timestamptz
    )
    $$,
    'declaring it again is a no-op and returns it'
);

select is(
    (synapsor.declare_policy(
        tests.data_policy('billing.limit.v1', tests.when_over(50000, 'block'))
        || '{"mode": "enforce", "default": "pass", "reason": null}'
    )).policy,
    'billing.limit.v1',
    'and so is declaring it with the defaults spelled out'
);

select tests.raises(
    $$
    select synapsor.declare_policy(
        tests.data_policy('billing.limit.v1', tests.when_over(50001, 'block'))
    )
    $$,
    'SY002', 'policy billing.limit.v1 is declared with another definition', '%admin@acme%',
    'A policy is immutable%',
    'another definition for the id is refused'
);

select tests.raises(
    $$
    select synapsor.declare_policy(
        '{"policy": "Billing", "kind": "data", "typo": 1, "conditions": [
            {"when": {"kind": "parameter", "path": "actorType", "operator": "exists"},
             "result": "no"},
            {"when": {"kind": "jsonpath", "path": "$.args.a ==="}, "result": "block"}
        ]}'
    )
    $$,
    'SY002', 'the definition of ''Billing'' is invalid',
    E'typo is not a known key\npolicy does not match ^%\nconditions[0].result is none of %\n'
    'conditions[0].when.path begins with none of %\n'
    'conditions[1].when.path is no jsonpath %',
    'Correct every line; nothing was declared.',
    'an invalid definition is refused with every reason'
);

select tests.raises(
    $$ select synapsor.declare_policy('[]') $$, 'SY002', 'a policy is a JSON object'
);
select tests.raises(
    $$ select synapsor.declare_policy(null) $$, 'SY002', 'a policy is a JSON object'
);

select tests.raises(
    format(
        $$ select synapsor.declare_policy(tests.code_policy('test.bad.v1', %L)) $$,
        evaluator.signature
    ),
    'SY002', '%', 'evaluator ' || evaluator.reason, null, 'refused: ' || evaluator.signature
)
from (
    values
    ('app.nothing(jsonb)', 'does not exist%'),
    ('app.answer', 'does not exist%'),
    ('app.answer(text)', 'does not exist%'),
    ('app.invoker(jsonb)', 'is not SECURITY DEFINER'),
    ('pg_catalog.to_jsonb(anyelement)', '%is not SECURITY DEFINER%')
) as evaluator (signature, reason);

select tests.raises(
    $$
    select synapsor.declare_policy(
        '{"policy": "test.hybrid.v9", "kind": "hybrid", "fallback": {"policy": "billing.limit.v1"}}'
    )
    $$,
    'SY002', '%', 'fallback.policy names billing.limit.v1, which is a data policy', null,
    'a fallback is a code policy'
);

select is(
    (synapsor.declare_policy(
        '{"policy": "test.hybrid.v9", "kind": "hybrid", "fallback": {"policy": "test.later.v1"}}'
    )).definition -> 'fallback',
    '{"policy": "test.later.v1", "on_results": ["warn", "block"],
      "triggers": ["missing", "invalid", "data_result"]}'::jsonb,
    'a fallback may be declared later; its defaults are filled in'
);

reset session authorization;

select results_eq(
    $$
    select login.name
    from unnest(array[
        'test_caller', 'test_approver', 'test_worker', 'test_auditor', 'test_admin', 'test_gateway',
        'test_stranger'
    ]) as login (name)
    where has_function_privilege(login.name, 'synapsor.declare_policy(jsonb)', 'execute')
    $$,
    array['test_admin'],
    'only administrators declare'
);


-- Decisions

select synapsor.declare_policy(
    tests.data_policy(
        'test.graded.v1', tests.when_over(100, 'warn'), tests.when_over(200, 'block')
    )
);
select synapsor.declare_policy(
    tests.data_policy(
        'test.' || result || '.v1',
        tests.always(result, jsonb_build_object('reason', result || 's'))
    )
)
from unnest(array['pass', 'warn', 'block']) as result;

select is(tests.decided('{}'), 'pass', 'no policies: pass');
select is(
    tests.decided('{test.graded.v1}', '{"amount_cents": 100}'), 'pass', 'nothing holds: pass'
);
select is(
    tests.decided('{test.graded.v1}', '{"amount_cents": 101}'),
    'warn test.graded.v1 warn over 100', 'a warning is kept'
);
select is(
    tests.decided('{test.graded.v1}', '{"amount_cents": 201}'),
    'block test.graded.v1 block over 200', 'a block beats an earlier warning'
);
select is(
    tests.decided('{test.graded.v1}', '{"amount_cents": "201"}'),
    'block test.graded.v1 policy test.graded.v1 cannot be decided: conditions[0].when orders a '
    'string against a number',
    'an ordered comparison of different types blocks'
);
select is(
    tests.evidence('test.graded.v1') -> 'errors',
    '[{"path": "conditions[0].when", "reason": "orders a string against a number"}]',
    'and the evidence says so'
);

select is(
    tests.decided('{test.pass.v1,test.warn.v1,test.graded.v1}', '{"amount_cents": 150}'),
    'warn test.warn.v1 warns', 'across policies the first warning is surfaced'
);
select is(
    tests.decided('{test.pass.v1,test.warn.v1,test.block.v1}'),
    'block test.block.v1 blocks', 'and any block halts'
);

select tests.decide('{test.warn.v1,test.block.v1,test.pass.v1}', action_id => 'act_halted');
select set_eq(
    $$
    select policy, kind, mode, result, reason
    from synapsor.policy_evaluations where action_id = 'act_halted'
    $$,
    $$
    values
    ('test.warn.v1', 'data', 'enforce', 'warn', 'warns'),
    ('test.block.v1', 'data', 'enforce', 'block', 'blocks')
    $$,
    'each policy asked is a row; what comes after the block is not asked'
);
select ok(
    bool_and(
        evaluation_id ~ '^pol_[0-9A-HJKMNP-TV-Z]{26}$' and tenant_id = 'acme'
        and evaluated_at = '2026-01-01 12:00+00' and metadata is null
    ),
    'with an id, a tenant and the time'
)
from synapsor.policy_evaluations
where action_id = 'act_halted';

select is(
    tests.evidence('test.graded.v1') - 'errors',
    '{"requested_policy_id": "test.graded.v1", "dispatch_path": ["data"],
      "definition_status": "valid", "matched": [0], "decided_by": 0, "default_applied": false,
      "conditions": [{"at": "conditions[0].when", "kind": "parameter", "operator": "gt",
                      "path": "parameters.amount_cents", "value": 100, "held": true}]}',
    'evidence names the conditions that decided, with their literals'
);


-- Approval demanded by a warning

select synapsor.declare_policy(
    tests.data_policy(
        'test.demand.v' || demand.approvals,
        tests.always('warn', jsonb_build_object(
            'require_approval',
            jsonb_build_object('role', demand.role, 'approvals', demand.approvals)
        ))
    )
)
from (values ('boss', 1), ('board', 3), ('staff', 2)) as demand (role, approvals);

select is(
    (tests.decide('{test.warn.v1,test.demand.v1,test.demand.v3,test.demand.v2}')).require_approval,
    '{"role": "board", "approvals": 3}', 'the strictest demand wins'
);
select is(
    (tests.decide('{test.warn.v1,test.demand.v1}')).policy, 'test.warn.v1',
    'while the first warning is surfaced'
);
select is(
    (tests.decide('{test.demand.v1,test.block.v1}')).require_approval, null,
    'a block demands nothing'
);


-- SQL/JSON paths

select synapsor.declare_policy(
    tests.data_policy('test.paths.v' || path.version, jsonb_build_object(
        'when', jsonb_build_object('kind', 'jsonpath', 'path', path.path), 'result', 'warn'
    ))
)
from (
    values
    (1, '$.args.items.size() > 2'),
    (2, 'strict $.hidden.customer == "cus_secret"'),
    (3, '$.context.mode == "execute" && $.context.tenant_id == "acme"'),
    (4, '$.args.amount'),
    (5, '$.args.when.datetime() < $.context.now.datetime()'),
    (6, 'exists($.context.actor_type)')
) as path (version, path);

select is(tests.decided('{test.paths.v1}', '{"items": [1, 2, 3]}'), 'warn test.paths.v1', 'args');
select is(tests.decided('{test.paths.v1}', '{"items": [1, 2]}'), 'pass', 'args, not true');
select is(tests.decided('{test.paths.v1}', '{}'), 'pass', 'a path that is missing is not true');
select is(tests.decided('{test.paths.v2}'), 'warn test.paths.v2', 'hidden values may be looked at');
select is(
    tests.evidence('test.paths.v2') -> 'conditions' -> 0,
    '{"at": "conditions[0].when", "kind": "jsonpath", "path": "[redacted]", "held": true}',
    'but the evidence does not tell which one it was'
);
select is(tests.decided('{test.paths.v3}'), 'warn test.paths.v3', 'and so may the context');
select is(
    tests.evidence('test.paths.v3') -> 'conditions' -> 0 ->> 'path',
    'strict $.context.mode == "execute" && $.context.tenant_id == "acme"',
    'whose conditions the evidence shows'
);
select is(tests.decided('{test.paths.v4}', '{"amount": 5}'), 'pass', 'only true counts');
select is(
    tests.decided('{test.paths.v5}', '{"when": "2026-01-01"}'), 'pass',
    'what cannot be compared is not true'
);
select is(tests.decided('{test.paths.v6}'), 'pass', 'no policy sees an actor type');


-- Missing and invalid

select is(
    tests.decided('{test.nowhere.v1,test.warn.v1}'),
    'block test.nowhere.v1 No evaluator registered for policy test.nowhere.v1',
    'a policy that is not registered blocks'
);
select is(
    tests.evidence('test.nowhere.v1'),
    '{"requested_policy_id": "test.nowhere.v1", "dispatch_path": [], "definition_status": "missing",
      "errors": [], "code": {"policy_id": "test.nowhere.v1", "registered": false}}',
    'and says so'
);

select synapsor.declare_policy(tests.data_policy('test.aged.v1', tests.always('pass')));
update synapsor.policies set definition = jsonb_set(definition, '{conditions,0,when,kind}', '"old"')
where policy = 'test.aged.v1';
select is(
    tests.decided('{test.aged.v1}'),
    'block test.aged.v1 the definition of policy test.aged.v1 is invalid',
    'a stored definition that no longer validates blocks'
);
select is(
    tests.evidence('test.aged.v1') - 'requested_policy_id',
    '{"dispatch_path": ["data"], "definition_status": "invalid", "errors": [{
        "path": "conditions[0].when.kind",
        "reason": "is none of always, parameter, comparison, all, any, not, jsonpath"
    }]}',
    'with the errors'
);


-- Code

select synapsor.declare_policy(tests.code_policy('test.' || code.name || '.v2', code.signature, '{
    "reason": "general", "guidance": "ask"
}'))
from (
    values
    ('answer', 'app.answer(jsonb)'),
    ('tell', 'app.tell(jsonb)'),
    ('refuse', 'app.refuse(jsonb)'),
    ('write', 'app.write(jsonb)'),
    ('lost', 'app.loses_rights(jsonb)'),
    ('dropped', 'app.is_dropped(jsonb)')
) as code (name, signature);

select is(
    tests.decided('{test.answer.v2}', jsonb_build_object('answer', code.answer::jsonb)),
    concat_ws(
        ' ', code.result, case when code.result <> 'pass' then 'test.answer.v2' end, code.reason
    ),
    'answer: ' || code.answer
)
from (
    values
    ('{"result": "pass"}', 'pass', null),
    ('{"result": "warn"}', 'warn', 'general'),
    ('{"result": "block", "reason": "no"}', 'block', 'no'),
    ('{"result": "block", "reason": null, "extra": 1}', 'block', 'general'),
    ('{}', 'block',
        'the evaluator of policy test.answer.v2 returned no result of pass, warn or block'),
    ('{"result": "maybe"}', 'block',
        'the evaluator of policy test.answer.v2 returned no result of pass, warn or block'),
    ('{"result": true}', 'block',
        'the evaluator of policy test.answer.v2 returned no result of pass, warn or block'),
    ('{"result": null}', 'block',
        'the evaluator of policy test.answer.v2 returned no result of pass, warn or block'),
    ('"pass"', 'block', 'the evaluator of policy test.answer.v2 returned string, not an object'),
    ('["pass"]', 'block', 'the evaluator of policy test.answer.v2 returned array, not an object'),
    ('null', 'block', 'the evaluator of policy test.answer.v2 returned null, not an object'),
    ('{"result": "warn", "require_approval": "yes"}', 'block',
        'the evaluator of policy test.answer.v2 returned a require_approval that is not '
        '{"role", "approvals"}'),
    ('{"result": "warn", "require_approval": {"approvals": 0}}', 'block',
        'the evaluator of policy test.answer.v2 returned a require_approval that is not '
        '{"role", "approvals"}'),
    ('{"result": "warn", "require_approval": [1]}', 'block',
        'the evaluator of policy test.answer.v2 returned a require_approval that is not '
        '{"role", "approvals"}'),
    ('{"result": "warn", "require_approval": {"approvals": null, "role": null}}', 'warn',
        'general'),
    ('{"result": "warn", "require_approval": {"who": "boss"}}', 'block',
        'the evaluator of policy test.answer.v2 returned a require_approval that is not '
        '{"role", "approvals"}'),
    ('{"result": "pass", "require_approval": "ignored"}', 'pass', null),
    ('{"result": "warn", "require_approval": {"approvals": 11}}', 'block',
        'the evaluator of policy test.answer.v2 returned a require_approval that is not '
        '{"role", "approvals"}')
) as code (answer, result, reason);
select is(
    tests.decided('{test.answer.v2}'),
    'block test.answer.v2 the evaluator of policy test.answer.v2 returned null, not an object',
    'an evaluator that returns nothing blocks'
);
select is(
    tests.evidence('test.answer.v2') -> 'errors',
    '[{"path": "evaluator", "reason": "returned null, not an object"}]', 'and the evidence says so'
);
select is(
    (tests.decide('{test.answer.v2}', '{"answer": {"result": "warn", "require_approval": {}}}'))
    .require_approval,
    '{"role": null, "approvals": 1}', 'code may demand approval'
);
select is(
    (tests.decide(
        '{test.answer.v2}',
        '{"answer": {"result": "warn", "require_approval": {"role": "boss", "approvals": 10}}}'
    )).require_approval,
    '{"role": "boss", "approvals": 10}', 'as data may'
);
select is(
    (tests.decide('{test.answer.v2}', '{"answer": {"result": "block"}}')).guidance, 'ask',
    'guidance of the definition stands in'
);

select tests.decide(
    '{test.tell.v2}', '{"amount_cents": 5}', action_id => 'act_told',
    hidden => '{"space_id": "sp1", "customer": "cus_secret"}'
);
select is(
    metadata,
    '{"tenant_id": "acme", "space_id": "sp1", "action_id": "act_told", "action": "test.decide",
      "parameters": {"amount_cents": 5}, "mode": "execute", "now": "2026-01-01T12:00:00+00:00"}',
    'an evaluator is told this, and no actor type'
)
from synapsor.policy_evaluations
where action_id = 'act_told';
select is(
    tests.evidence('test.tell.v2') #- '{code,source_digest}',
    '{"requested_policy_id": "test.tell.v2", "dispatch_path": ["code"],
      "definition_status": "valid", "errors": [],
      "code": {"policy_id": "test.tell.v2", "version": 2, "registered": true,
               "evaluator": "app.tell(jsonb)"}}',
    'the evidence names evaluator and version'
);
select matches(
    tests.evidence('test.tell.v2') -> 'code' ->> 'source_digest', '^[0-9a-f]{64}$',
    'and the source it had'
);

select throws_ok(
    $$ select tests.decide('{test.warn.v1,test.refuse.v2}', action_id => 'act_threw') $$,
    'AB123', 'out of order', 'what an evaluator raises is raised'
);
select throws_ok(
    $$ select tests.decide('{test.write.v2}') $$, '25006', null, 'an evaluator cannot write'
);
select is_empty(
    $$
    select from synapsor.policy_evaluations where policy in ('test.refuse.v2', 'test.write.v2')
    $$,
    'no outcome of either is kept'
);
select is_empty('select from app.notes', 'nor what it wrote');

alter function app.loses_rights(jsonb) security invoker;
drop function app.is_dropped(jsonb);
select is(
    tests.decided(array[policy]),
    'block ' || policy || ' No evaluator registered for policy ' || policy,
    'blocks: ' || policy
)
from unnest(array['test.lost.v2', 'test.dropped.v2']) as policy;
select is(
    tests.evidence('test.lost.v2') -> 'code' -> 'registered', 'false',
    'an evaluator altered since is not registered'
);
select is(
    tests.evidence('test.lost.v2') -> 'errors' -> 0 ->> 'reason', 'is not SECURITY DEFINER',
    'and why'
);


-- Hybrid

create temporary table matrix as
select
    row_number() over () as number,
    state.state,
    switch.triggers,
    listed.on_results
from unnest(array['missing', 'invalid', 'pass', 'warn', 'block']) as state (state)
cross join (
    values ('[]'::jsonb), ('["missing"]'), ('["invalid"]'), ('["data_result"]'),
    ('["missing", "invalid", "data_result"]')
) as switch (triggers)
cross join (values ('[]'::jsonb), ('["pass"]'), ('["warn"]'), ('["block"]'), ('["warn", "block"]'))
    as listed (on_results);

select synapsor.declare_policy(jsonb_strip_nulls(jsonb_build_object(
    'policy', 'test.hybrid.v' || (1000 + matrix.number),
    'kind', 'hybrid',
    'conditions', case
        when matrix.state = 'invalid' then jsonb_build_array(tests.always('pass'))
        when matrix.state <> 'missing'
            then jsonb_build_array(tests.always(matrix.state, '{"reason": "data"}'))
    end,
    'fallback', jsonb_build_object(
        'policy', 'test.answer.v2', 'triggers', matrix.triggers, 'on_results', matrix.on_results
    )
)))
from matrix;
update synapsor.policies
set definition = jsonb_set(definition, '{conditions,0,when,kind}', '"old"')
from matrix
where matrix.state = 'invalid' and policy = 'test.hybrid.v' || (1000 + matrix.number);

select is(
    tests.decided(
        array['test.hybrid.v' || (1000 + matrix.number)],
        '{"answer": {"result": "warn", "reason": "code"}}'
    ),
    concat_ws(
        ' ',
        case
            when expected.falls_back then 'warn'
            when matrix.state in ('missing', 'invalid') then 'block'
            else matrix.state
        end,
        case
            when expected.falls_back or matrix.state <> 'pass'
                then 'test.hybrid.v' || (1000 + matrix.number)
        end,
        case
            when expected.falls_back then 'code'
            when matrix.state = 'missing' then format(
                'policy test.hybrid.v%s has no data definition', 1000 + matrix.number
            )
            when matrix.state = 'invalid' then format(
                'the definition of policy test.hybrid.v%s is invalid', 1000 + matrix.number
            )
            when matrix.state <> 'pass' then 'data'
        end
    ),
    format(
        'hybrid: %s, triggers %s, on_results %s', matrix.state, matrix.triggers, matrix.on_results
    )
)
from matrix
cross join lateral (
    values (
        case
            when matrix.state in ('missing', 'invalid') then matrix.triggers ? matrix.state
            else matrix.triggers ? 'data_result' and matrix.on_results ? matrix.state
        end
    )
) as expected (falls_back);

select set_eq(
    $$
    select distinct
        evaluation.kind,
        evaluation.dispatch_evidence -> 'fallback' ->> 'trigger' as trigger,
        evaluation.dispatch_evidence -> 'fallback' ->> 'data_result' as data_result,
        evaluation.dispatch_evidence -> 'fallback' ->> 'policy' as asked,
        evaluation.dispatch_evidence -> 'code' ->> 'evaluator' as evaluator
    from synapsor.policy_evaluations as evaluation
    where evaluation.policy like 'test.hybrid.v1___'
        and evaluation.dispatch_evidence -> 'dispatch_path' = '["data", "code"]'
    $$,
    $$
    values
    ('hybrid', 'missing', null, 'test.answer.v2', 'app.answer(jsonb)'),
    ('hybrid', 'invalid', null, 'test.answer.v2', 'app.answer(jsonb)'),
    ('hybrid', 'data_result', 'pass', 'test.answer.v2', 'app.answer(jsonb)'),
    ('hybrid', 'data_result', 'warn', 'test.answer.v2', 'app.answer(jsonb)'),
    ('hybrid', 'data_result', 'block', 'test.answer.v2', 'app.answer(jsonb)')
    $$,
    'the evidence names trigger, what the data said, policy and evaluator'
);
select ok(
    not exists (
        select from synapsor.policy_evaluations as evaluation
        where evaluation.policy like 'test.hybrid.v1___'
            and evaluation.dispatch_evidence ? 'code'
            <> (evaluation.dispatch_evidence -> 'dispatch_path' = '["data", "code"]')
    ),
    'without a trigger no code is asked'
);

select is(
    tests.decided('{test.hybrid.v9}'),
    'block test.hybrid.v9 No evaluator registered for policy test.later.v1',
    'a fallback that is not registered blocks'
);
select is(
    tests.evidence('test.hybrid.v9') -> 'code',
    '{"policy_id": "test.later.v1", "registered": false}', 'and says so'
);
select synapsor.declare_policy(tests.code_policy('test.later.v1', 'app.refuse(jsonb)'));
select throws_ok(
    $$ select tests.decide('{test.hybrid.v9}') $$, 'AB123', 'out of order',
    'what a fallback raises is raised'
);


-- Preview

create temporary table kept as select count(*) as rows from synapsor.policy_evaluations;
select synapsor.declare_policy(
    tests.code_policy('test.safe.v1', 'app.answer(jsonb)', '{"preview_safe": true}')
);
select synapsor.declare_policy(jsonb_build_object(
    'policy', 'test.prudent.v' || fallback.version, 'kind', 'hybrid',
    'conditions', jsonb_build_array(tests.always('warn', '{"reason": "data"}')),
    'fallback', jsonb_build_object('policy', fallback.policy)
))
from (values (1, 'test.answer.v2'), (2, 'test.safe.v1')) as fallback (version, policy);
select synapsor.declare_policy(
    tests.data_policy('test.seen.v1', jsonb_build_object(
        'when',
        '{"kind": "parameter", "path": "mode", "operator": "equals", "value": "preview"}'::jsonb,
        'result', 'warn'
    ))
);

select is(
    tests.decided('{test.refuse.v2,test.answer.v2}', '{"answer": {"result": "block"}}', 'preview'),
    'pass', 'code takes no part in a preview'
);
select is(
    tests.decided('{test.safe.v1}', '{"answer": {"result": "block", "reason": "no"}}', 'preview'),
    'block test.safe.v1 no', 'unless it is declared safe'
);
select is(
    tests.decided('{test.prudent.v1}', '{"answer": {"result": "block"}}', 'preview'),
    'warn test.prudent.v1 data', 'of a hybrid policy the data decision stands'
);
select is(
    tests.decided(
        '{test.prudent.v2}', '{"answer": {"result": "block", "reason": "no"}}', 'preview'
    ),
    'block test.prudent.v2 no', 'unless its fallback is safe'
);
select is(tests.decided('{test.seen.v1}', '{}', 'preview'), 'warn test.seen.v1', 'data is asked');
select is(
    tests.decided('{test.nowhere.v1}', '{}', 'preview'),
    'block test.nowhere.v1 No evaluator registered for policy test.nowhere.v1',
    'what is missing blocks here too'
);
select is((select count(*) from synapsor.policy_evaluations), kept.rows, 'nothing is stored')
from kept;
select is(tests.decided('{test.seen.v1}', '{}', 'execute'), 'pass', 'mode is execute otherwise');


-- Shadow

select synapsor.declare_policy(
    tests.data_policy('test.shadow.v1', tests.always('block')) || '{"mode": "shadow"}'
);
select synapsor.declare_policy(
    tests.code_policy('test.shadow.v2', 'app.refuse(jsonb)', '{"mode": "shadow"}')
);
select is(
    tests.decided('{test.shadow.v1,test.shadow.v2,test.warn.v1}'), 'warn test.warn.v1 warns',
    'a shadow policy never decides, not even by raising'
);
select set_eq(
    $$
    select policy, kind, mode, result, reason from synapsor.policy_evaluations
    where policy like 'test.shadow.%'
    $$,
    $$
    values
    ('test.shadow.v1', 'data', 'shadow', 'block', null),
    ('test.shadow.v2', 'code', 'shadow', 'block',
        'the evaluator of policy test.shadow.v2 raised AB123')
    $$,
    'but what it says is recorded'
);
select is(
    tests.evidence('test.shadow.v2') -> 'errors',
    '[{"path": "evaluator", "reason": "out of order", "sqlstate": "AB123"}]', 'with its error'
);


-- Evaluations are append-only

insert into synapsor.action_invocations (
    action_id, tenant_id, action, version, actor, actor_type, status, holds_key, key_from_template,
    created_at
)
values (
    'act_told', 'acme', 'test.decide', 1, 'alice', 'agent', 'completed', false, false,
    synapsor._now()
);
select throws_ok(
    $$ update synapsor.policy_evaluations set result = 'pass' where action_id = 'act_told' $$,
    '55000', 'policy evaluations are append-only', 'nobody changes an evaluation'
);
select throws_ok(
    $$ delete from synapsor.policy_evaluations where action_id = 'act_told' $$,
    '55000', 'policy evaluations are append-only', 'or deletes one'
);
select throws_ok(
    'truncate synapsor.policy_evaluations',
    '55000', 'policy evaluations are append-only', 'or all of them'
);
delete from synapsor.action_invocations
where action_id = 'act_told';
select lives_ok(
    $$ delete from synapsor.policy_evaluations where action_id = 'act_told' $$,
    'those of a purged invocation go with it'
);


-- On the canonical path, as callers see it

select tests.a_contract(
    '{"policies": ["test.graded.v1", "test.tell.v2"], "redact": ["charge_id"],
      "hidden": {"tenant_id": {}, "customer": {"from": "current_customer_id"}}}'
);
select tests.session('acme', 'alice', extra => '{"current_customer_id": "cus_secret"}');
set session authorization test_caller;

create temporary table asked as
select
    amount.amount,
    (synapsor.invoke_action(
        'billing.issue_refund',
        jsonb_build_object('charge_id', 'ch_' || amount.amount, 'amount_cents', amount.amount)
    )).action_id as action_id
from unnest(array[50, 150, 250]) as amount (amount);

select set_eq(
    $$
    select asked.amount, evaluation.policy, evaluation.result
    from asked
    inner join synapsor.synapsor_policy_evaluations as evaluation using (action_id)
    $$,
    $$
    values
    (50, 'test.graded.v1', 'pass'), (50, 'test.tell.v2', 'pass'), (150, 'test.graded.v1', 'warn'),
    (150, 'test.tell.v2', 'pass'), (250, 'test.graded.v1', 'block')
    $$,
    'a caller reads what the policies said'
);
select columns_are(
    'synapsor', 'synapsor_policy_evaluations',
    array[
        'evaluation_id', 'action_id', 'policy', 'kind', 'mode', 'result', 'reason', 'guidance',
        'metadata', 'dispatch_evidence', 'evaluated_at'
    ]
);
select is_empty(
    $$
    select from synapsor.synapsor_policy_evaluations as evaluation
    where evaluation::text like '%cus_secret%'
    $$,
    'and no hidden value'
);
select is(
    (
        select metadata
        from synapsor.synapsor_policy_evaluations
        where policy = 'test.tell.v2'
            and action_id = (
                select asked.action_id from asked
                where asked.amount = 50
            )
    ) ->> 'tenant_id',
    '[redacted]', 'metadata named like a hidden field is redacted'
);
reset session authorization;
select synapsor.declare_redaction('evidence_packet', 'parameters.amount_cents', 'nullify');
set session authorization test_caller;
select is(
    (
        select metadata
        from synapsor.synapsor_policy_evaluations
        where policy = 'test.tell.v2'
            and action_id = (
                select asked.action_id from asked
                where asked.amount = 50
            )
    ) #> '{parameters,amount_cents}',
    'null', 'and the redactions declared for evidence apply'
);

reset session authorization;
select tests.session('globex', 'bob');
set session authorization test_caller;
select is_empty(
    'select from synapsor.synapsor_policy_evaluations', 'another tenant reads nothing of it'
);
reset session authorization;
select results_eq(
    $$
    select login.name
    from unnest(array[
        'test_caller', 'test_approver', 'test_worker', 'test_auditor', 'test_admin', 'test_gateway',
        'test_stranger'
    ]) as login (name)
    where has_table_privilege(login.name, 'synapsor.synapsor_policy_evaluations', 'select')
    $$,
    array['test_caller', 'test_approver', 'test_worker', 'test_auditor', 'test_admin'],
    'who may read the view'
);


-- Replay

select is(
    (select array_agg(login.name order by login.name collate "C") from unnest(array[
        'test_caller', 'test_approver', 'test_worker', 'test_auditor', 'test_admin', 'test_gateway',
        'test_stranger'
    ]) as login (name)
    where has_function_privilege(
        login.name,
        'synapsor.replay_policy(text, timestamptz, timestamptz, jsonb)', 'execute'
    )),
    array['test_admin', 'test_auditor'], 'auditors and administrators replay'
);

select tests.session('acme', 'auditor');
grant select on asked to test_auditor;
set session authorization test_auditor;

prepare replay as
select
    asked.amount,
    replayed.recorded,
    replayed.replayed,
    replayed.differs
from synapsor.replay_policy($1, $2, $3, $4) as replayed
inner join asked on replayed.action_id = asked.action_id
order by asked.amount;

select results_eq(
    $$ execute replay('test.graded.v1', null, null, null) $$,
    $$
    values
    (50, 'pass', 'pass', false), (150, 'warn', 'warn', false), (250, 'block', 'block', false)
    $$,
    'a data policy replays as it was'
);
select results_eq(
    $$
    execute replay(
        'test.graded.v1', null, null,
        tests.data_policy('test.graded.v2', tests.when_over(100, 'block'))
    )
    $$,
    $$
    values
    (50, 'pass', 'pass', false), (150, 'warn', 'block', true), (250, 'block', 'block', false)
    $$,
    'a draft says what it would have said'
);
select results_eq(
    $$
    execute replay(
        'test.graded.v7', null, null,
        '{"kind": "data", "default": "warn", "conditions": []}'
    )
    $$,
    $$
    values
    (50, 'pass', 'warn', true), (150, 'warn', 'warn', false), (250, 'block', 'warn', true)
    $$,
    'against what another version of it said, too'
);
select results_eq(
    $$
    execute replay(
        'test.tell.v2', null, null, tests.code_policy('test.tell.v3', 'app.refuse(jsonb)')
    )
    $$,
    $$
    values
    (50, 'pass', 'error', true), (150, 'pass', 'error', true), (250, null, 'error', true)
    $$,
    'an evaluator that raises does not end it'
);
select results_eq(
    $$
    execute replay('test.graded.v1', '2026-01-01 12:00+00', '2026-01-01 12:00:01+00', null)
    $$,
    $$
    values
    (50, 'pass', 'pass', false), (150, 'warn', 'warn', false), (250, 'block', 'block', false)
    $$,
    'since is included'
);
select is_empty(
    $$ execute replay('test.graded.v1', '2025-01-01', '2026-01-01 12:00+00', null) $$,
    'until is not'
);
select is_empty(
    $$ execute replay('billing.limit.v1', null, null, null) $$, 'a policy no contract names'
);
select tests.raises(
    $$ select synapsor.replay_policy('test.nowhere.v1', null, null) $$,
    'SY011', 'policy ''test.nowhere.v1'' is not registered', null, null, 'unknown: SY011'
);
select tests.raises(
    $$ select synapsor.replay_policy('test.graded.v1', null, null, '{"kind": "data"}') $$,
    'SY002', '%', 'conditions is required', null, 'an invalid draft: SY002'
);
reset session authorization;
select tests.session('globex', 'auditor');
set session authorization test_auditor;
select is_empty(
    $$ execute replay('test.graded.v1', null, null, null) $$, 'another tenant''s do not exist'
);
reset session authorization;
select is_empty(
    $$
    select from synapsor.policies where policy in ('test.graded.v2', 'test.graded.v7')
    $$,
    'nothing of a replay is stored'
);

select * from finish();
rollback;
