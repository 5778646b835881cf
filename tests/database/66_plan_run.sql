-- Plans at work: the walk, what its nodes wait for, whose session they run under, and how a run goes
-- on when a wait is over (design.md section 8, reference/plans.md).

begin;

select no_plan();

\ir support/delivery.sql
\ir support/plan.sql

select tests.at('2026-01-01 12:00');

select tests.session('acme', 'alice');

create function tests.hundreds()
returns jsonb
language sql
as $function$
    select jsonb_build_object('ForEach', jsonb_build_array(jsonb_build_object(
        'Target', 'n', 'Values', (select jsonb_agg(number) from generate_series(1, 100) as number)
    )))
$function$;

-- The walk

select tests.a_plan('case', tests.nodes(tests.node('MyRoot', more => jsonb_build_object(
    'ActionGroup', tests.node('Group0', more => jsonb_build_object(
        'ExecuteCase', 'Any',
        'Actions', tests.nodes(
            tests.node('Group0_Child0', more => '{"ExecuteCase": "Failed"}'),
            tests.node('Group0_Child1', 'Failed', '{"ExecuteCase": "Complete"}')
        )
    )),
    'Actions', tests.nodes(
        tests.node('MyRoot_Child0', more => '{"ExecuteCase": "Failed"}'),
        tests.node('MyRoot_Child1', more => '{"ExecuteCase": ["Failed", "Success"]}')
    )
))));
select is(tests.started('case'), 'failed Failed', 'the plan''s status is its highest branch');
select is(
    tests.tree('case'),
    'MyRoot Complete/Failed, MyRoot/Group0 Complete/Failed, MyRoot/Group0/Group0_Child1 Failed/Failed, '
    'MyRoot/MyRoot_Child1 Complete/Complete',
    'a group''s descendants filter nothing, branches roll up, rows exist for what ran'
);
select is(
    (tests.step('case', 'MyRoot/MyRoot_Child1')).execute_case, '["Failed", "Complete"]',
    'a list of cases is any of them, under one name'
);

select tests.a_plan('each', tests.nodes(
    tests.node('Root', more => jsonb_build_object(
        'ActionGroup', '{
            "Name": "Group", "Handler": {
                "Type": "Empty", "Config": {"ForEach": [{"Target": "ReturnStatus", "Values": ["Complete", "Failed"]}]}
            },
            "Actions": [{"Name": "Below", "ExecuteCase": "Failed", "Handler": {"Type": "EchoHandler"}}]
        }'::jsonb,
        'Actions', tests.nodes(
            tests.node('Good', more => '{"ExecuteCase": "Complete"}'),
            tests.node('Bad', more => '{
                "ExecuteCase": "Failed", "Parameters": {
                    "Values": {"a": 0}, "ForEach": [{"Target": "a", "Values": [1, 2]}, {"Target": "b", "Values": [3]}]
                }
            }')
        )
    ))
));
select is(tests.started('each'), 'completed Failed', 'a failed group whose case somebody asked for is handled');
select is(
    tests.tree('each'),
    'Root Complete/Failed, Root/Group None/Failed, Root/Group[1] Complete/Complete, Root/Group[2] Failed/Failed, '
    'Root/Group[2]/Below Complete/Complete, Root/Bad[1] Complete/Complete, Root/Bad[2] Complete/Complete',
    'a group for each value is below a container and raises what is asked of by its instances'
);
select is((tests.step('each', 'Root/Group[2]')).relation, 'instance', 'an instance is one');
select is(
    (tests.step('each', 'Root/Bad[2]')).input -> 'parameters', '{"a": 2, "b": 3}', 'with parameters of its own'
);

select tests.a_plan('same', tests.nodes(tests.node('A'), tests.node('A'), tests.node('A/B')));
select tests.started('same');
select is(
    tests.tree('same'), 'A Complete/Complete, A#2 Complete/Complete, A%2FB Complete/Complete', 'names may repeat'
);

select tests.a_plan('wrong', '[
    {"Name": "Unknown", "Handler": {"Type": "No:Such"}, "Actions": [{"Name": "Then", "ExecuteCase": "Failed",
        "Handler": {"Type": "Echo"}}]},
    {"Name": "Undeclared", "Handler": {"Type": "action:no.such"}},
    {"Name": "Status", "Handler": {"Type": "Empty", "Config": {"Values": {"ReturnStatus": "Fine"}}}},
    {"Name": "Parameters", "Parameters": {"InheritFrom": "nothing"}},
    {"Name": "Many", "Handler": {"Type": "Empty"}, "Parameters": {"ForEach": [
        {"Target": "a", "ParameterSource": {"Name": "list", "Source": "list"}},
        {"Target": "b", "ParameterSource": {"Name": "list", "Source": "list"}},
        {"Target": "c", "ParameterSource": {"Name": "list", "Source": "list"}}
    ]}, "Actions": [{"Name": "Never", "ExecuteCase": "Complete"}]}
]', '{"DefaultHandlerType": "EchoHandler"}');
select is(tests.started('wrong'), 'failed Failed', 'whatever goes wrong, the run is');
select is(
    tests.tree('wrong'),
    'Unknown Failed/Failed, Undeclared Failed/Failed, Status Failed/Failed, Parameters Failed/Failed, '
    'Many Failed/Failed, Unknown/Then Complete/Complete',
    'each such node is Failed and the tree goes on'
);
select alike((tests.step('wrong', 'Unknown')).message, 'unknown handler ''No:Such''', 'an unknown handler says so');
select alike((tests.step('wrong', 'Undeclared')).message, '%no.such%not declared', 'so does an unknown action');
select is(
    (tests.step('wrong', 'Status')).exit_data, to_jsonb((tests.step('wrong', 'Status')).message),
    'the exit data of what failed is its message'
);
select alike(
    (tests.step('wrong', 'Parameters')).message, 'Exception in ResolveConfigAndParameters: [%nothing%]',
    'a parameter that cannot be resolved says which'
);
select tests.a_plan('million', jsonb_build_array(
    '{"Name": "List", "Handler": {"Type": "EmptyHandler", "Config": {"Values": {}}}}'::jsonb
    || jsonb_build_object('Parameters', jsonb_build_object(
        'ForEach', (
            select jsonb_agg(jsonb_build_object('Target', target, 'Values', (
                select jsonb_agg(number) from generate_series(1, 100) as number
            )))
            from unnest(array['a', 'b', 'c']) as target
        )
    ))
));
select is(tests.started('million'), 'failed Failed', 'a for-each of a million is refused');
select alike((tests.step('million', 'List')).message, '%10000%', 'with the limit');

select tests.a_plan('nested', jsonb_build_array(jsonb_build_object(
    'Name', 'Outer', 'Handler', '{"Type": "Empty"}'::jsonb, 'Parameters', tests.hundreds(),
    'Actions', jsonb_build_array(jsonb_build_object(
        'Name', 'Inner', 'Handler', '{"Type": "Empty"}'::jsonb, 'Parameters', tests.hundreds()
    ))
)));
create or replace function synapsor._most_steps()
returns integer
language sql
immutable
set search_path = pg_catalog, pg_temp
return 250;
select is(tests.started('nested'), 'cancelled Failed', 'for-each below for-each is bounded by the run');
select is(
    (
        select concat_ws(' ', count(*), count(*) filter (where message like '%250%')) from synapsor.run_steps
        where run_id = tests.run('nested')
    ), '251 1', 'the node beyond says so, and nothing new starts'
);
select is(
    (
        select reason from synapsor.plan_runs
        where run_id = tests.run('nested')
    ), 'a run has at most 250 steps', 'which is why'
);
create or replace function synapsor._most_steps()
returns integer
language sql
immutable
set search_path = pg_catalog, pg_temp
return 100000;

-- Sets

select tests.a_plan('sets', '[{
    "Name": "Make", "Handler": {"Type": "Empty", "Config": {"Values": {"ReturnStatus": "Complete",
        "ExitData": {"hosts": ["a", "b"]}}}},
    "SaveExitDataAs": {"Parameters": "saved"},
    "Actions": [
        {"Name": "Use", "Parameters": {"InheritFrom": "saved", "ForEach": [
            {"Target": "host", "ParameterSource": {"Name": "saved", "Source": "hosts"}}
        ]}},
        {"Name": "Parent", "Parameters": {"ParentExitData": [
            {"CopyToValues": {"Source": "hosts[1]", "Target": "second"}}
        ], "Dynamic": [{"Source": "who", "Target": "who"}]}}
    ]
}]', '{"DefaultHandlerType": "EchoHandler"}');
select tests.started('sets', '{"who": "{result.x} $.secret"}');
select is(
    (tests.step('sets', 'Make/Use[2]')).input -> 'parameters' ->> 'host', 'b', 'saved exit data is a source of values'
);
select is(
    (tests.step('sets', 'Make/Parent')).input -> 'parameters', '{"second": "b", "who": "{result.x} $.secret"}',
    'and so are the parent''s exit data and the caller''s parameters, which are data'
);

-- Waits: a timer

select tests.a_plan('timer', tests.nodes(
    jsonb_set(tests.node('Sleep'), '{Handler,Config,Values,SleepMilliseconds}', '90000')
    || jsonb_build_object('Actions', tests.nodes(tests.node('Then')))
));
select is(tests.started('timer'), 'open None', 'a sleep holds no transaction');
select is((tests.step('timer', 'Sleep')).waits_until, '2026-01-01 12:01:30', 'but waits');
select is(tests.advance_runs(), 0, 'before its time nothing is due');
select synapsor._mark_run_due(tests.run('timer'), 'acme', step_key)
from unnest(array[null, 'Sleep', 'none']) as step_key;
select is(tests.advance_runs(), 3, 'and a mark that comes too soon, or names no step, or none there is');
select is(tests.tree('timer'), 'Sleep Waiting', 'changes nothing');
select tests.advance('90 s');
select is(tests.advance_runs(), 2, 'then it is, by its own mark and the one put off');
select is(tests.run_stands('timer'), 'completed Complete', 'and the run goes on to its end');
select is(tests.tree('timer'), 'Sleep Complete/Complete, Sleep/Then Complete/Complete', 'with what comes next');

-- Waits: approval and delivery

select tests.a_contract('{"queue": "plain"}', 'test.plain');
select tests.a_contract(
    '{"queue": "reviewed", "approval": {"required": true, "role": "reviewer", "separate_duties": true}}',
    'test.reviewed'
);
select tests.a_plan('refund', '[{
    "Name": "Refund", "Handler": {"Type": "action:test.reviewed"},
    "Parameters": {"Dynamic": [{"Source": "charge", "Target": "charge_id"}], "Values": {"amount_cents": 5}},
    "Actions": [
        {"Name": "Tell", "ExecuteCase": "Complete", "Handler": {"Type": "action:test.plain"},
            "Parameters": {"Values": {"charge_id": "told", "amount_cents": 1}}},
        {"Name": "Excuse", "ExecuteCase": ["Failed", "Cancelled"], "Handler": {"Type": "Echo"}}
    ]
}]');
select is(tests.started('refund', '{"charge": "ch_1"}'), 'waiting_approval None', 'an approval is waited for');
select is((tests.step('refund', 'Refund')).kind, 'external_action', 'the action is the node''s step');
select is((tests.step('refund', 'Refund')).status, 'Waiting', 'it waits');
select is((tests.step('refund', 'Refund')).waits_for, 'approval', 'for approval');
select is(
    (
        select concat_ws(' ', run_id = tests.run('refund'), step_key, correlation_id = tests.run('refund'))
        from synapsor.synapsor_external_actions
        where action_id = (tests.step('refund', 'Refund')).action_id
    ), 't Refund t', 'and the action knows its run and step'
);
select tests.session('acme', 'ruth', array['reviewer']);
select tests.note('refund', 'refund', 'Refund');
select is(
    (synapsor.approve_external_action(tests.id('refund'), 'yes')).status, 'queued', 'a reviewer approves it'
);
select is(tests.run_stands('refund'), 'open None', 'the run goes on');
select is((tests.step('refund', 'Refund')).status, 'Running', 'the node is under way');
select is(tests.claim('reviewed'), 'refund', 'its delivery is claimed as any other');
select tests.worker();
select synapsor.confirm_external_actions(jsonb_build_array(jsonb_build_object(
    'action_id', tests.id('refund'), 'status', 'succeeded', 'claim_token', tests.token('refund'),
    'response', '{"id": "re_1"}'::jsonb
)));
select is(tests.tree('refund'), 'Refund Running', 'confirming records the outcome and nothing else');
select is(tests.advance_runs(), 1, 'and makes the run due');
select is(tests.tree('refund'), 'Refund Complete/Complete, Refund/Tell Running', 'which then goes on');
select is((tests.step('refund', 'Refund')).exit_data, '{"id": "re_1"}', 'with the provider''s answer');
select tests.note('tell', 'refund', 'Refund/Tell');
select is(
    (select actor from synapsor.action_invocations
    where action_id = tests.id('tell')), 'alice',
    'as whoever started it, whoever advances it'
);
select is(tests.advance_runs(), 0, 'once');
select tests.claim('plain');
select tests.worker();
select (synapsor.confirm_external_action(tests.id('tell'), 'failed', retryable => false, error_code => 'gone')).status;
select tests.advance_runs();
select is(tests.run_stands('refund'), 'failed Failed', 'a failed delivery fails its node and its run');

select is(tests.started('refund', '{"charge": "ch_2"}'), 'waiting_approval None', 'another one');
select tests.session('acme', 'ruth', array['reviewer']);
select tests.note('rejected', 'refund', 'Refund');
select (synapsor.reject_external_action(tests.id('rejected'), 'no')).status;
select tests.advance_runs();
select is(
    tests.tree('refund'), 'Refund Cancelled/Cancelled, Refund/Excuse Complete/Complete',
    'a rejected action is Cancelled and its case runs'
);
select is(tests.run_stands('refund'), 'completed Cancelled', 'which handles it');

-- The same intent twice, while the first is under way, is one action and two nodes.
select tests.session('acme', 'alice');
select tests.started('refund', '{"charge": "ch_3"}');
create temporary table first_run as select tests.run('refund') as run_id;
select tests.started('refund', '{"charge": "ch_3"}');
select is(
    (select count(distinct action_id) from synapsor.run_steps
    where run_id in (tests.run('refund'), (select first_run.run_id from first_run)) and step_key = 'Refund'), 1::bigint,
    'two runs of one intent share the action'
);
select tests.note('shared', 'refund', 'Refund');
select tests.session('acme', 'ruth', array['reviewer']);
select (synapsor.reject_external_action(tests.id('shared'), 'no')).status;
select tests.advance_runs();
select is(
    (select string_agg(state, ' ') from synapsor.runs
    where run_id in (tests.run('refund'), (select first_run.run_id from first_run))), 'completed completed',
    'and both go on when it ends'
);

-- What policies say

select synapsor.declare_policy(jsonb_build_object(
    'policy', mode || '.warns.v1', 'kind', 'data', 'mode', mode,
    'conditions', '[{"when": {"kind": "always"}, "result": "warn", "reason": "hm"}]'::jsonb
))
from unnest(array['enforce', 'shadow']) as mode;
select synapsor.declare_policy('{"policy": "test.blocks.v1", "kind": "data",
    "conditions": [{"when": {"kind": "always"}, "result": "block", "reason": "never"}]}');
select tests.a_contract(
    jsonb_build_object('queue', 'judged', 'policies', jsonb_build_array(policy)),
    'judged.' || split_part(policy, '.', 1)
)
from unnest(array['enforce.warns.v1', 'shadow.warns.v1', 'test.blocks.v1']) as policy;
select tests.a_plan('judged', (
    select jsonb_agg(jsonb_build_object(
        'Name', judged, 'Handler', jsonb_build_object('Type', 'action:judged.' || judged),
        'Parameters', '{"Values": {"charge_id": "judged", "amount_cents": 1}}'::jsonb
    ))
    from unnest(array['enforce', 'shadow', 'test']) as judged
));
select tests.session('acme', 'alice');
select tests.started('judged');
select is((tests.step('judged', 'test')).status, 'Failed', 'what is blocked by a policy is Failed');
select tests.worker();
create temporary table judged as
select * from synapsor.claim_external_actions('judged', 10);
select synapsor.confirm_external_action(action_id, 'succeeded') from judged;
select tests.advance_runs();
select is(
    tests.tree('judged'),
    'enforce CompletedWithErrors/CompletedWithErrors, shadow Complete/Complete, test Failed/Failed',
    'and with a warning, CompletedWithErrors'
);

-- A handler that a worker serves

select synapsor.declare_action('{
    "action": "handlers.copy", "provider": "plan", "operation": "Files:Copy", "queue": "handlers",
    "args": {"config": {"type": "object"}, "parameters": {"type": "object"}, "parent_exit_data": {"type": "object"},
        "is_dry_run": {"type": "boolean"}}
}');
select tests.session('acme', 'alice');
select tests.a_plan('served', '[{
    "Name": "Copy", "Proxy": "queue://north", "Handler": {"Type": "Files:CopyHandler", "Config": {"Values": {"n": 1}}},
    "Actions": [
        {"Name": "Again", "ExecuteCase": "SuccessWithErrors", "Handler": {"Type": "Files:Copy"},
            "Parameters": {"Values": {"n": 2}}},
        {"Name": "Not", "ExecuteCase": "Complete"}
    ]
}]');
select is(tests.started('served'), 'open None', 'a worker''s handler is waited for');
select tests.note('copy', 'served', 'Copy');
select is(tests.claim('handlers'), 'nothing', 'a proxy''s subtree is offered on its queue');
select is(tests.claim('north'), 'copy', 'and only there');
select is(
    (select intent::jsonb -> 'arguments' from synapsor.action_invocations
    where action_id = tests.id('copy')),
    '{"config": {"n": 1}, "is_dry_run": false}', 'the worker is told what its contract declares'
);
select tests.worker();
select (synapsor.confirm_external_action(
    tests.id('copy'), 'succeeded',
    '{"status": "CompletedWithErrors", "exit_data": {"files": 3}, "exit_code": 7, "message": "three", "pid": 99}'
)).status;
select tests.advance_runs();
select is(
    tests.tree('served'), 'Copy CompletedWithErrors/CompletedWithErrors, Copy/Again Running',
    'what it reports is the node''s status'
);
select is(
    (select concat_ws(' ', exit_data, exit_code, message, pid) from tests.step('served', 'Copy')),
    '{"files": 3} 7 three 99', 'and result'
);
select tests.note('again', 'served', 'Copy/Again');
select is(tests.claim('north'), 'again', 'what is below inherits the queue');
select tests.worker();
select (synapsor.confirm_external_action(tests.id('again'), 'succeeded', '{"status": "Splendid"}')).status;
select tests.advance_runs();
select is((tests.step('served', 'Copy/Again')).status, 'Failed', 'an unknown status is a failure');

-- Dry run

select is(tests.started('refund', '{"charge": "ch_9"}', true), 'completed Complete', 'a dry run walks to the end');
select is((tests.step('refund', 'Refund')).exit_data ->> 'valid', 'true', 'with previews');
select is((tests.step('refund', 'Refund')).action_id, null, 'and proposes nothing');
select is(
    (select count(*) from synapsor.action_invocations
    where run_id = tests.run('refund')), 0::bigint, 'nothing at all'
);
select tests.started('served', '{}', true);
select is((tests.step('served', 'Copy')).status, 'Complete', 'nor does it hand anything to a worker');

-- RunAs

select synapsor.set_member('acme', 'payer', array['payers']);
select tests.a_contract('{"queue": "paid", "required_roles": ["payers"]}', 'test.paid');
select tests.session('acme', 'alice');
select tests.a_plan('run_as', '[
    {"Name": "Own", "Handler": {"Type": "action:test.paid"},
        "Parameters": {"Values": {"charge_id": "own", "amount_cents": 1}}},
    {"Name": "As", "RunAs": {"UserName": "payer"}, "Handler": {"Type": "action:test.paid"},
        "Parameters": {"Values": {"charge_id": "as", "amount_cents": 1}}},
    {"Name": "Stranger", "RunAs": {"UserName": "nobody"}, "Handler": {"Type": "EchoHandler"}},
    {"Name": "Above", "RunAs": {"UserName": "payer"}, "Handler": {"Type": "EchoHandler"}, "Actions": [
        {"Name": "Inherits", "Handler": {"Type": "EchoHandler"}},
        {"Name": "Overruled", "RunAs": {"UserName": "alice", "BlockInheritance": false}, "Handler": {"Type": "Echo"}},
        {"Name": "Blocks", "RunAs": {"UserName": "nobody"}, "Handler": {"Type": "EchoHandler"}}
    ]},
    {"Name": "Keeps", "RunAs": {"UserName": "payer", "IsInheritable": false}, "Handler": {"Type": "EchoHandler"},
        "Actions": [{"Name": "Host", "Handler": {"Type": "EchoHandler"}}]}
]');
select is(tests.started('run_as'), 'open Failed', 'a plan with other people''s rights');
select alike((tests.step('run_as', 'Own')).message, '%requires a role%', 'a node has the rights of whoever started it');
select is(
    (select actor from synapsor.action_invocations
    where action_id = (tests.step('run_as', 'As')).action_id), 'payer', 'unless it runs as somebody else'
);
select is(
    (tests.step('run_as', 'As')).security_context - 'run_as',
    '{"tenant_id": "acme", "principal": "payer", "actor_type": "natural_person", "roles": ["payers"]}',
    'which its result tells'
);
select alike((tests.step('run_as', 'Stranger')).message, '%no member%', 'who is a member of the tenant');
select is(
    (
        select string_agg(format('%s %s', name, security_context ->> 'principal'), ', ' order by sequence)
        from synapsor.synapsor_agent_run_steps
        where run_id = tests.run('run_as') and step_key ~ 'Above|Keeps'
    ),
    'Above payer, Keeps payer, Inherits payer, Overruled payer, Blocks alice, Host alice',
    'and contexts are inherited, overruled and blocked as the document has it'
);
select is(
    synapsor.current_session() ->> 'principal', 'alice', 'whoever it ran as, the session is what it was'
);

select synapsor.set_member('globex', 'outsider', array['payers']);
select tests.a_plan('outside', '[{"Name": "A", "RunAs": {"UserName": "outsider"},
    "Handler": {"Type": "EchoHandler"}}]');
select tests.started('outside');
select alike(
    (tests.step('outside', 'A')).message, '%no member%', 'who is a member of another tenant only is nobody here'
);

-- Who may

select tests.a_plan('plain', tests.nodes(tests.node('A')));
select tests.session('acme', 'alice');
select tests.a_plan('idle', '[{"Name": "A", "Handler": {"Type": "EchoHandler"},
    "Actions": [{"Name": "B", "ExecuteCase": "Failed", "Handler": {"Type": "EchoHandler"}}]}]');
select tests.started('idle');
set session authorization test_caller;
select tests.started('plain');
select is((synapsor.start_plan('plain', dry_run => true)).principal, 'alice', 'a caller starts plans');
select tests.raises($$ select synapsor.start_plan('none') $$, 'SY001', '%none%');
select tests.raises($$ select synapsor.start_plan('plain', version => 7) $$, 'SY001', '%version 7%');
select tests.raises($$ select synapsor.start_plan('plain', '[]') $$, 'SY003');
select tests.raises(
    format('select synapsor.record_agent_step(%L, ''x'')', tests.run('plain')), 'SY041',
    description => 'nobody adds steps to a plan''s run'
);
select tests.raises(
    format($$ select synapsor.invoke_action('test.plain', '{}', run_id => %L) $$, tests.run('plain')), 'SY041',
    description => 'nor actions'
);
select tests.session('acme', 'bob');
select tests.raises(
    format('select synapsor.%s(%L)', verb, tests.run('run_as')), 'SY007', '%another principal',
    description => 'another principal may not ' || verb
)
from unnest(array['cancel_run', 'resume_run']) as verb;
select tests.session('globex', 'alice');
select tests.raises(
    format('select synapsor.%s(%L)', verb, tests.run('run_as')), 'SY011',
    description => 'nor is another tenant''s run there to ' || verb
)
from unnest(array['cancel_run', 'resume_run']) as verb;
select is_empty(
    format('select * from synapsor._idle_nodes(%L)', tests.run('idle')), 'nor are its nodes that have not run'
);
select tests.session('acme', 'alice');
select isnt_empty(
    format('select * from synapsor._idle_nodes(%L)', tests.run('idle')), 'which its own tenant sees'
);
select tests.session(null, 'alice');
select tests.raises($$ select synapsor.start_plan('plain') $$, 'SY005');
reset session authorization;
select synapsor.suspend('tenant', 'acme', 'audit');
select tests.session('acme', 'alice');
select tests.raises($$ select synapsor.start_plan('plain') $$, 'SY007', '%suspended');
select synapsor.resume('tenant', 'acme');

-- A suspended tenant's runs rest.

select tests.a_plan('rests', tests.nodes(
    jsonb_set(tests.node('Sleep'), '{Handler,Config,Values,SleepMilliseconds}', '1')
    || '{"Actions": [{"Name": "Act", "Handler": {"Type": "action:test.plain"},
        "Parameters": {"Values": {"charge_id": "rests", "amount_cents": 1}}}]}'
));
select tests.started('rests');
select synapsor.suspend('principal', 'alice', 'on leave');
select tests.advance('1 s');
select tests.advance_runs();
select is(tests.run_stands('rests'), 'open None', 'who is suspended does nothing by a plan either');
select tests.advance('10 s');
select tests.advance_runs();
select alike(
    (
        select run.error from synapsor.synapsor_agent_workflow_runs as run
        where run.run_id = tests.run('rests')
    ), 'principal alice is suspended', 'and the run says so'
);
select synapsor.resume('principal', 'alice');
select tests.advance('10 s');
select tests.advance_runs();
select is(tests.tree('rests'), 'Sleep Complete/Complete, Sleep/Act Running', 'until that is lifted');

-- Whoever started a plan may not approve what its nodes do as somebody else.

select tests.session('acme', 'alice', array['reviewer']);
select tests.a_plan('both', '[{"Name": "Pay", "RunAs": {"UserName": "payer"},
    "Handler": {"Type": "action:test.reviewed"}, "Parameters": {"Values": {"charge_id": "both", "amount_cents": 1}}
}]');
select tests.started('both');
select tests.note('both', 'both', 'Pay');
select tests.raises(
    format('select synapsor.approve_external_action(%L)', tests.id('both')), 'SY023',
    description => 'separate duties hold for whoever started the plan'
);

-- One run that cannot be advanced stops no other.

select tests.session('acme', 'alice');
select tests.a_plan(
    sleeper.name, tests.nodes(jsonb_set(tests.node('Sleep'), '{Handler,Config,Values,SleepMilliseconds}', '1'))
)
from unnest(array['first', 'other']) as sleeper (name);
select tests.started('first');
select tests.started('other');
delete from synapsor.plan_nodes
        where plan_id = (
    select plan_id from synapsor.plan_runs
    where run_id = tests.run('first')
);
select tests.advance('1 s');
select is(tests.advance_runs(), 2, 'of two due runs one is broken');
select is(tests.run_stands('other'), 'completed Complete', 'the other one ends');
select is(tests.run_stands('first'), 'open None', 'that one does not');
select ok(
    (select error is not null from synapsor.synapsor_agent_workflow_runs
    where run_id = tests.run('first')),
    'and says why'
);
select is(tests.advance_runs(), 0, 'it is not tried again at once');
select tests.advance('2 s');
select is(tests.advance_runs(), 1, 'but a little later');
select ok(
    (select min(due_at) > synapsor._now() + interval '3 s' from synapsor.due_runs
    where run_id = tests.run('first')),
    'and then later still'
);

select * from finish();
rollback;
