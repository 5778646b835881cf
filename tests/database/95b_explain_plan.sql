-- What a plan would do before it is started.

begin;

select plan(32);

create function tests.outlook(parameters jsonb default '{}', format text default 'text') returns text
language sql
as $function$
    select synapsor.explain_plan('refunds', outlook.parameters, outlook.format);
$function$;

create function tests.node(name text, parameters jsonb default '{}') returns jsonb
language sql
as $function$
    select jsonb_path_query_first(
        tests.outlook(node.parameters, 'json')::jsonb, '$.nodes[*] ? (@.name == $name)',
        jsonb_build_object('name', node.name)
    );
$function$;

select tests.at('2026-01-01 12:00+00');
select tests.session('acme', 'root');
select synapsor.declare_policy('{
    "policy": "billing.refund_limit.v1", "kind": "data",
    "conditions": [{
        "when": {
            "kind": "parameter", "path": "parameters.amount_cents", "operator": "gt", "value": 50000
        },
        "result": "block", "reason": "over the limit"
    }]
}');
select tests.a_contract('{
    "approval": {"required": true, "role": "billing_reviewer", "unless": "$.args.amount_cents <= 2500"},
    "policies": ["billing.refund_limit.v1"], "redact": ["charge_id"], "required_roles": ["support"]
}');
select tests.a_contract(
    '{
        "args": {"name": {"type": "string"}}, "idempotency": {"idempotent": true}, "provider": "plan",
        "operation": "Mail:SendHandler", "queue": "mail"
    }',
    'plans.mail'
);
select synapsor.set_member('acme', 'rita', array['support']);
select synapsor.declare_plan($${
    "Name": "refunds", "Label": "first",
    "Actions": [{
        "Name": "look up", "Handler": {"Type": "EmptyHandler", "Config": {"Values": {"ReturnStatus": "Complete"}}},
        "Actions": [
            {
                "Name": "refund", "ExecuteCase": "Complete", "Handler": {"Type": "action:billing.issue_refund"},
                "Parameters": {
                    "Values": {"charge_id": "ch_secret"},
                    "Dynamic": [{"Source": "amount", "Target": "amount_cents", "DataType": "Int32"}]
                },
                "Actions": [
                    {"Name": "tell", "ExecuteCase": "Complete", "Handler": {"Type": "Mail:Send"}},
                    {"Name": "alarm", "ExecuteCase": "Failed", "Handler": {"Type": "Pager:Call"}},
                    {
                        "Name": "undo", "Handler": {"Type": "action:billing.issue_refund"},
                        "RunAs": {"UserName": "rita"}, "Parameters": {"Values": {"charge_id": "ch_other"}}
                    },
                    {"Name": "odd", "Handler": {"Type": "EmptyHandler"}, "RunAs": {"UserName": "mallory"}}
                ]
            },
            {"Name": "never", "ExecuteCase": "Failed", "Handler": {"Type": "EmptyHandler"}}
        ]
    }]
}$$);


-- Whoever may ask for the action learns what would come of it

set session authorization test_caller;
select tests.session('acme', 'ada', array['support']);
select is(
    tests.outlook('{"amount": "2500"}'),
    'plan refunds version 1 · first · not started
│ nodes     7: 4 run, 2 may run, 1 never run, 1 with an approval, 2 certain to fail
│ given     {"amount": "2500"}
└─ → look up · EmptyHandler · runs
   │ returns   Complete
   ├─ → refund · action:billing.issue_refund · runs
   │  │ case      Complete; the action above is Complete
   │  │ action    billing.issue_refund v1, external, stripe refunds.create on queue
   │  │           billing_external_actions
   │  │ asked     {"charge_id": "[redacted]", "amount_cents": 2500}
   │  │ policy    billing.refund_limit.v1: data
   │  │ decided   pass, as asked now
   │  ├─ ? tell · Mail:Send · may run
   │  │    case      Complete; the action above is Complete or Failed or Cancelled
   │  │    action    plans.mail v1, external, plan Mail:SendHandler on queue mail
   │  ├─ ? alarm · Pager:Call · may run
   │  │    case      Failed; the action above is Complete or Failed or Cancelled
   │  │    failed    The handler Pager:Call is unknown: nobody serves it.
   │  ├─ → undo · action:billing.issue_refund · runs
   │  │    action    billing.issue_refund v1, external, stripe refunds.create on queue
   │  │              billing_external_actions
   │  │    as        rita
   │  │    asked     {"charge_id": "ch_other"}
   │  │    policy    billing.refund_limit.v1: data
   │  │    approval  by role billing_reviewer, unless strict $.args.amount_cents <= 2500
   │  └─ → odd · EmptyHandler · runs
   │       failed    RunAs: mallory is no member of the tenant.
   │       as        mallory
   └─ - never · EmptyHandler · never runs
        case      Failed; the action above is Complete
        returns   None',
    'every node, its case, its handler, its policies, its approval, its certain errors'
);
select is(
    tests.node('refund', '{"amount": 2501}') -> 'preview' -> 'approval',
    '{"required": true, "role": "billing_reviewer", "approvals": 1}', 'an approval that would be asked'
);
select is(
    tests.node('refund', '{"amount": 50001}') -> 'errors',
    '["billing.issue_refund is blocked by policy billing.refund_limit.v1"]', 'a policy that would block'
);
select is(tests.node('tell', '{"amount": 50001}') ->> 'runs', 'never', 'what then never runs');
select is(tests.node('alarm', '{"amount": 50001}') ->> 'runs', 'always', 'and what then does');
select is(
    tests.node('refund', '{"amount": "lots"}') -> 'errors',
    '["DynamicValue [lots] failed validation rule type requirement of [Int32] for parameter [amount]."]',
    'a parameter that is of another type'
);
select matches(
    tests.node('refund') -> 'errors' ->> 0, 'amount_cents', 'an argument that is missing, by its name'
);
select is(tests.node('undo') -> 'preview', 'null'::jsonb, 'what runs as somebody else is not previewed as the asker');
select tests.session('acme', 'ada');
select is(
    tests.node('refund', '{"amount": 1}') -> 'errors',
    '["SY007: billing.issue_refund requires a role that ada does not hold"]', 'whoever may not ask is told so'
);
select is(
    (select count(*) from synapsor.synapsor_action_invocations), 0::bigint, 'nothing is invoked'
);
select is(
    (select count(*) from synapsor.synapsor_agent_workflow_runs), 0::bigint, 'and nothing is started'
);


-- Formats

select matches(tests.outlook('{}', 'mermaid'), E'^flowchart TD\n    n0\\["plan refunds version 1<br/>', 'a flowchart');
select matches(tests.outlook('{}', 'dot'), E'^digraph .*\n    n0 -> n1 \\[style="solid"\\];', 'a graph');
select is(
    (select array_agg(key order by key) from jsonb_object_keys(tests.outlook('{}', 'json')::jsonb) as key),
    '{counts,nodes,parameters,plan}', 'an object'
);
select is(
    tests.outlook('{"amount": 1}', 'json')::jsonb -> 'counts',
    '{"nodes": 7, "always": 5, "perhaps": 0, "never": 2, "failing": 3, "approvals": 1}', 'with its numbers'
);
select tests.raises(
    format('select synapsor.explain_plan(%L, format => %L)', 'refunds', named.format), 'SY003', null,
    'An explanation is%', 'Formats are text, json, mermaid and dot.',
    format('no format %s', coalesce(named.format, 'null'))
)
from (values ('svg'), (null)) as named (format);


-- Errors

select tests.raises(
    $$ select synapsor.explain_plan('nothing') $$, 'SY001', 'plan ''nothing'' is not declared',
    description => 'no such plan'
);
select tests.raises(
    $$ select synapsor.explain_plan('refunds', version => 9) $$, 'SY001',
    'plan ''refunds'' version 9 is not declared', description => 'no such version'
);
select tests.raises(
    $$ select synapsor.explain_plan('refunds', '[]') $$, 'SY003', 'the parameters of a plan are a JSON object',
    description => 'parameters are an object'
);
select lives_ok($$ select synapsor.explain_plan('refunds', null) $$, 'null is no parameters');


-- Whoever may not ask for actions sees what is declared

reset session authorization;
set session authorization test_approver;
select tests.session('acme', 'rob');
select is(tests.node('refund', '{"amount": 1}') -> 'preview', 'null'::jsonb, 'an approver previews nothing');
select is(
    tests.node('refund', '{"amount": 1}') -> 'contract' -> 'approval',
    '{"required": true, "role": "billing_reviewer", "approvals": 1, "unless": "strict $.args.amount_cents <= 2500"}',
    'but sees the rules'
);
reset session authorization;
set session authorization test_caller;
select tests.session('globex', 'eve', array['support']);
select is(
    tests.node('undo') -> 'errors', '["RunAs: rita is no member of the tenant."]',
    'members are those of one''s own tenant'
);


-- Sizes

reset session authorization;
select tests.session('acme', 'root');
select synapsor.declare_plan(jsonb_build_object('Name', 'wide', 'Actions', (
    select jsonb_agg(jsonb_build_object(
        'Name', 'n' || number, 'Handler', '{"Type": "action:billing.issue_refund"}'::jsonb,
        'Parameters', jsonb_build_object('Values', jsonb_build_object('charge_id', 'c', 'amount_cents', number))
    ))
    from generate_series(1, 300) as number
)));
set session authorization test_caller;
select tests.session('acme', 'ada', array['support']);
select is(
    jsonb_array_length(jsonb_path_query_array(
        synapsor.explain_plan('wide', format => 'json')::jsonb, '$.nodes[*].preview ? (@ != null)'
    )),
    200, 'previews are bounded'
);
reset session authorization;
select tests.session('acme', 'root');
select synapsor.retire_action('billing.issue_refund');
set session authorization test_caller;
select tests.session('acme', 'ada', array['support']);
select is(
    tests.node('refund', '{"amount": 1}') -> 'errors' ->> 0,
    'The handler action:billing.issue_refund is unknown: no action of this name is in use.',
    'a retired action is in use no longer'
);
reset session authorization;
select tests.session('acme', 'root');
select synapsor.declare_plan('{"Name": "refunds", "Actions": [{"Name": "one", "Handler": {"Type": "EchoHandler"}}]}');
select is(tests.outlook(format => 'json')::jsonb -> 'plan' ->> 'version', '2', 'the latest version is explained');
select is(
    synapsor.explain_plan('refunds', format => 'json', version => 1)::jsonb -> 'counts' ->> 'nodes', '7',
    'or the one that is asked for'
);
select synapsor.declare_plan(
    '{"Name": "outer", "Actions": [{"Name": "settle", "Handler": {"Type": "action:billing.settle"}}]}'
);
select synapsor.declare_action('{"action": "billing.settle", "kind": "saga", "plan": "refunds", "args": {}}');
select matches(
    synapsor.explain_plan('outer'), 'action    billing.settle v1, saga, plan refunds, which explain_plan tells',
    'a saga names its plan'
);
select is_empty(
    $$
    select line from string_to_table(synapsor.explain_plan('wide'), E'\n') as line where length(line) > 100
    $$,
    'no line is wider than 100 columns'
);
select tests.raises(
    format('select synapsor.explain_plan(''refunds'', %L)', repeat('{"a":', 5000) || '1' || repeat('}', 5000)),
    'SY003', 'parameters is nested deeper than 100 levels', description => 'parameters have a depth'
);
select tests.raises(
    $$ select synapsor.explain_plan('refunds', jsonb_build_object('a', repeat('x', 65536))) $$,
    'SY051', description => 'and a size'
);

select * from finish();
rollback;
