-- What explains the run of a plan: what ran, what did not and why, what it waits for.

begin;

select plan(36);

\ir support/known.sql

create function tests.of_run(format text default 'text', name text default 'run') returns text
language sql
as $function$
    select regexp_replace(
        synapsor.explain_agent_run(tests.known(of_run.name), of_run.format), '(act|run)_[0-9A-Z]{26}', '\1_…', 'g'
    );
$function$;

create function tests.shows(fragment text, description text, name text default 'run') returns text
language sql
as $function$
    select ok(position(shows.fragment in tests.of_run(name => shows.name)) > 0, shows.description)
        || case when position(shows.fragment in tests.of_run(name => shows.name)) > 0 then '' else
            E'\n' || diag('have: ' || E'\n' || tests.of_run(name => shows.name) || E'\nwant: ' || shows.fragment)
        end;
$function$;

create function tests.start(plan text, name text default 'run', parameters jsonb default '{}') returns text
language sql
as $function$
    select tests.remember(start.name, (synapsor.start_plan(start.plan, start.parameters)).run_id);
$function$;

select tests.at('2026-01-01 12:00+00');
select tests.session('acme', 'root');
select synapsor.set_member('acme', 'rita', array['support']);
select tests.a_contract('{
    "approval": {"required": true, "role": "billing_reviewer"}, "redact": ["charge_id"]
}');
select synapsor.declare_plan($${
    "Name": "refunds", "DefaultHandlerType": "EmptyHandler",
    "Actions": [
        {
            "Name": "look up", "Handler": {"Config": {"Values": {"ReturnStatus": "Complete"}}},
            "ActionGroup": {
                "Name": "check", "Handler": {"Config": {"Values": {"ReturnStatus": "Complete"}}},
                "Parameters": {"ForEach": [{"Target": "x", "Values": [1, 2]}]},
                "Actions": [{
                    "Name": "again", "ExecuteCase": ["Failed", "Cancelled"], "Actions": [{"Name": "deeper"}]
                }]
            },
            "Actions": [
                {
                    "Name": "refund", "ExecuteCase": "Complete", "Handler": {"Type": "action:billing.issue_refund"},
                    "Parameters": {"Values": {"charge_id": "ch_secret", "amount_cents": 100}},
                    "Actions": [
                        {"Name": "tell", "ExecuteCase": "Complete", "Handler": {"Type": "Pager:Call"}},
                        {"Name": "alarm", "ExecuteCase": ["Failed", "Cancelled"]}
                    ]
                },
                {"Name": "never", "ExecuteCase": "Failed"},
                {
                    "Name": "nap", "RunAs": {"UserName": "rita"},
                    "Handler": {"Config": {"Values": {"SleepMilliseconds": 100000}}}, "Actions": [{"Name": "after"}]
                },
                {"Name": "wrong", "Parameters": {"InheritFrom": "nowhere"}},
                {"Name": "nothing", "Parameters": {"ForEach": [{"Target": "x", "Values": []}]}}
            ]
        },
        {"Name": "no root", "ExecuteCase": "Complete"}
    ]
}$$);

set session authorization test_caller;
select tests.session('acme', 'ada', array['support']);
select tests.start('refunds');
select is(
    tests.of_run(),
    'run run_… · refunds 1 · None · waiting approval
│ started   2026-01-01 12:00:00 UTC by ada of acme
│ steps     5 of 7 finished; waiting: look up/refund, look up/nap
├─ ✓ look up · Complete, branch Failed
│  │ input     {"config": {"ReturnStatus": "Complete"}, "parameters": null}
│  ├─ - check · for each · group · None, branch Complete
│  │  ├─ ✓ check[1] · instance · Complete
│  │  │  │ input     {"config": {"ReturnStatus": "Complete"}, "parameters": {"x": 1}}
│  │  │  └─ - again · not run
│  │  │       because   it asks for Failed or Cancelled, but the action above is Complete
│  │  │       below     1 more action
│  │  └─ ✓ check[2] · instance · Complete
│  │     │ input     {"config": {"ReturnStatus": "Complete"}, "parameters": {"x": 2}}
│  │     └─ - again · not run
│  │          because   it asks for Failed or Cancelled, but the action above is Complete
│  │          below     1 more action
│  ├─ … refund · billing.issue_refund v1 · Waiting
│  │  │ case      Complete
│  │  │ action    act_…
│  │  │ asked     {"charge_id": "[redacted]", "amount_cents": 100}
│  │  │ waiting   for an approval by role billing_reviewer
│  │  │ next      approve_external_action or reject_external_action
│  │  ├─ - tell · not run
│  │  │    because   the action above has not ended
│  │  └─ - alarm · not run
│  │       because   the action above has not ended
│  ├─ … nap · Waiting
│  │  │ as        rita
│  │  │ input     {"config": {"SleepMilliseconds": 100000}, "parameters": null}
│  │  │ waiting   for its timer, 1 min 40 s left
│  │  └─ - after · not run
│  │       because   the action above has not ended
│  ├─ ✗ wrong · Failed
│  │    reason    "Exception in ResolveConfigAndParameters: [InheritFrom names the set [nowhere],
│  │              which is not there.]"
│  ├─ - never · not run
│  │    because   it asks for Failed, but the action above is Complete
│  └─ - nothing · not run
│       because   ForEach found no values
└─ - no root · not run
     because   it asks for Complete, but the plan is None',
    'the tree of what ran, what waits and for whom, and what did not run and why'
);
select is(
    tests.of_run('json')::jsonb -> 'idle' -> 0,
    '{"parent_step_key": null, "node": 13, "name": "no root", "relation": "root", "execute_case": ["Complete"],
      "why": "case", "compared_status": "None", "below": 0}',
    'json has what did not run'
);
select is(jsonb_array_length(tests.of_run('json')::jsonb -> 'idle'), 8, 'all of it');
select is(
    jsonb_path_query_first(
        tests.of_run('json')::jsonb, '$.steps[*] ? (@.name == "refund").why[*] ? (@.label == "waiting")'
    ),
    '{"label": "waiting", "text": "for an approval by role billing_reviewer"}', 'and why'
);
select matches(tests.of_run('mermaid'), E'\n    n[0-9]+\\["#45; never<br/>not run<br/>because ', 'as a flowchart too');
select matches(tests.of_run('dot'), E'\n    n[0-9]+ \\[label="- never\\\\lnot run\\\\lbecause ', 'and as a graph');
select unalike(tests.of_run('json'), '%ch\_secret%', 'what is redacted stays so');

select tests.session('acme', 'bob');
select tests.shows('look up', 'whoever is of the tenant sees it');
select tests.session('globex', 'eve');
select is_empty(
    format('select * from synapsor._idle_nodes(%L)', tests.known('run')), 'another tenant''s idle nodes are not there'
);
select tests.raises(
    format('select synapsor.explain_agent_run(%L)', tests.known('run')), 'SY011',
    description => 'nor is its run'
);


-- It goes on

reset session authorization;
set session authorization test_approver;
select tests.session('acme', 'rob', array['billing_reviewer']);
select tests.advance('3 s');
select synapsor.approve_external_action(
    (
        select step.action_id from synapsor.synapsor_agent_run_steps as step
        where step.run_id = tests.known('run') and step.name = 'refund'
    ), 'fine'
);
select tests.shows(
    E'… refund · billing.issue_refund v1 · Running, 3 s so far\n│  │  │ case      Complete\n│  │  │ action    act_…\n'
    '│  │  │ asked     {"charge_id": "[redacted]", "amount_cents": 100}\n'
    '│  │  │ approved  by rob after 3 s: "fine"\n'
    '│  │  │ waiting   for a worker on queue billing_external_actions',
    'who approved, and on which queue it waits for a worker'
);
reset session authorization;
set session authorization test_worker;
select tests.session('acme', 'w1');
select synapsor.confirm_external_action(claim.action_id, 'succeeded', '{"id": 1}', 're_123')
from synapsor.claim_external_actions('billing_external_actions') as claim;
select tests.advance('100 s');
select synapsor.run_due_steps();
reset session authorization;
set session authorization test_caller;
select tests.session('acme', 'ada', array['support']);
select tests.shows('refunds 1 · Failed · failed after 1 min 43 s', 'the plan''s status is told beside the run''s');
select tests.shows(
    '✓ refund · billing.issue_refund v1 · Complete, branch Failed after', 'a branch that differs is told'
);
select tests.shows('provider  re_123', 'the provider''s id is told');
select tests.shows(
    E'- alarm · not run\n│  │       because   it asks for Failed or Cancelled, but the action above is Complete',
    'why a branch was not taken'
);
select tests.shows(E'✗ tell · Failed', 'an unknown handler fails its node');
select tests.shows('unknown handler ''Pager:Call''', 'and says so');
select tests.shows('- nap · None', 'what slept has ended');
select unalike(tests.of_run(), '%waiting%', 'nothing waits any more');
select tests.remember('before', tests.of_run());
select tests.advance('5 days');
select is(tests.of_run(), tests.known('before'), 'what is over reads the same later');


-- A group that is not over, and a dry run

reset session authorization;
select tests.session('acme', 'root');
select synapsor.declare_plan($${
    "Name": "slow group", "DefaultHandlerType": "EmptyHandler",
    "Actions": [{
        "Name": "root", "ActionGroup": {
            "Name": "group", "Handler": {"Config": {"Values": {"SleepMilliseconds": 1000, "ReturnStatus": "Failed"}}}
        },
        "Actions": [{"Name": "beside", "ExecuteCase": "None"}, {"Name": "asks", "ExecuteCase": "None"}]
    }]
}$$);
set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.start('slow group', 'slow');
select tests.shows(
    E'- beside · not run\n   │    because   the group beside it has not ended', 'what waits for a group', 'slow'
);
select synapsor.start_plan('slow group', dry_run => true);
select tests.remember('dry', (
    select run_id from synapsor.synapsor_agent_workflow_runs
    where is_dry_run
));
select tests.shows('slow group 1 · dry run · Failed · ', 'a dry run says so', 'dry');


-- Compensation, cancellation, another attempt

reset session authorization;
select tests.session('acme', 'root');
select tests.a_contract('{"idempotency": {"idempotent": true}, "queue": "saga"}', 'billing.pay');
select tests.a_contract('{"idempotency": {"idempotent": true}, "queue": "saga"}', 'billing.unpay');
select synapsor.declare_plan($${
    "Name": "pay", "DefaultHandlerType": "EmptyHandler",
    "Actions": [{
        "Name": "first", "Handler": {"Type": "action:billing.pay"},
        "Parameters": {"Values": {"charge_id": "ch_1", "amount_cents": 1}},
        "Compensation": {"action": "billing.unpay", "parameters": {"charge_id": "c", "amount_cents": 1}},
        "Actions": [{
            "Name": "second", "ExecuteCase": "Complete", "Handler": {"Config": {"Values": {"ReturnStatus": "Failed"}}}
        }]
    }]
}$$);
select synapsor.declare_action('{"action": "billing.settle", "kind": "saga", "plan": "pay", "args": {}}');
create function tests.settled(action text, status text) returns void
language sql
security definer
as $function$
    select synapsor.confirm_external_action(claim.action_id, settled.status, '{"id": 7}', 're_7', retryable => false)
    from synapsor.claim_external_actions('saga') as claim;
    select synapsor.run_due_steps();
$function$;
set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.remember('settle', (synapsor.invoke_action('billing.settle', '{}')).action_id);
select tests.remember('saga', (
    select run_id from synapsor.synapsor_agent_workflow_runs
    where saga_action_id = tests.known('settle')
));
select matches(
    synapsor.explain_action(tests.known('settle')),
    E'  waiting   for its plan: run_[0-9A-Z]+ is open\n  next      explain_agent_run\\(''run_',
    'a saga names its run'
);
select tests.settled('billing.pay', 'succeeded');
select tests.shows('· Failed · compensating', 'a run that is being undone', 'saga');
select tests.shows('undone    by first[compensation]', 'what is undone by what', 'saga');
select tests.shows(
    E'first[compensation] · billing.unpay v1 · Running\n        undoes    first', 'what undoes it', 'saga'
);
select tests.settled('billing.unpay', 'failed');
select tests.shows('· Failed · compensation failed', 'an undoing that failed', 'saga');
select tests.shows('outcome   it was tried and failed: the effect stands', 'and what that means', 'saga');
select matches(
    synapsor.explain_action(tests.known('settle')), 'tells what was done and undone', 'its action points to it'
);
select matches(
    tests.of_run('mermaid', 'saga'),
    E'    n3 -\\.->\\|"compensates"\\| n1\n    n1 --> n3\n',
    'it hangs on what it undoes'
);

select tests.remember('stopped', (synapsor.start_plan('pay')).run_id);
select synapsor.cancel_run(tests.known('stopped'), 'no more');
select tests.shows('│ cancelled "no more"', 'a cancelled run says why', 'stopped');

select tests.remember('again', (synapsor.start_plan('pay')).run_id);
select tests.settled('billing.pay', 'failed');
select synapsor.resume_run(tests.known('again'));
select tests.shows(E'✗ first · billing.pay v1 · Failed\n│    retried   by first[attempt 2]', 'an attempt and', 'again');
select tests.shows(E'first[attempt 2] · billing.pay v1 · Running\n   │ retries   first', 'the next one', 'again');


-- A run of a thousand nodes, and more

reset session authorization;
select tests.session('acme', 'root');
select (synapsor.declare_plan(jsonb_build_object('Name', 'wide', 'DefaultHandlerType', 'EmptyHandler', 'Actions', (
    select jsonb_agg(jsonb_build_object(
        'Name', 'n' || number, 'Actions', '[{"Name": "a"}, {"Name": "b", "ExecuteCase": "Failed"}]'::jsonb
    ))
    from generate_series(1, 600) as number
)))).nodes;
set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.start('wide', 'wide');
select is(
    jsonb_array_length(tests.of_run('json', 'wide')::jsonb -> 'steps'), 1200, 'every step is in it'
);
select is(
    jsonb_array_length(tests.of_run('json', 'wide')::jsonb -> 'idle'), 500, 'of what did not run the first 500'
);
select is_empty(
    $$
    select line from string_to_table(tests.of_run(name => 'wide'), E'\n') as line
    where length(line) > 100
    $$,
    'no line is wider than 100 columns'
);

select * from finish();
rollback;
