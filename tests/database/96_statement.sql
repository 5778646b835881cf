-- Statements: what each does is what its verb does, with the rights of whoever executes it.

begin;

select no_plan();

\ir support/known.sql

select tests.at('2026-01-01 12:00+00');


-- Declaring

set session authorization test_admin;
select tests.session('acme', 'root');
create temporary table created as
select synapsor.execute($statement$
    CREATE EXTERNAL ACTION billing.issue_refund   -- reference/external-actions.md, 2.2
    VERSION '1' DESCRIPTION 'Refund one charge'
    ARG charge_id VARCHAR(64) REQUIRED
    ARG amount_cents INT64 REQUIRED MIN 1 MAX 500000
    HIDDEN tenant_id FROM SESSION tenant_id
    HIDDEN principal FROM SESSION principal
    PROVIDER stripe OPERATION 'refunds.create'
    QUEUE billing_external_actions
    IDEMPOTENCY KEY '{tenant_id}:refund:{charge_id}:{amount_cents}' IDEMPOTENT FOR '24 hours'
    APPROVAL REQUIRED ROLE 'billing_reviewer' QUORUM 1 EXPIRES AFTER '24 hours'
        UNLESS '$.args.amount_cents <= 2500'
    RETRY MAX ATTEMPTS 3 INITIAL '100 ms' MAX '1 s'
    REDACT ( charge_id );
$statement$) as row;
grant select on created to public;
select results_eq(
    'select row from created',
    $$ select to_jsonb(shown) from synapsor.synapsor_action_contracts as shown $$,
    'CREATE EXTERNAL ACTION declares the contract and returns it'
);
select is(row -> 'label', '"1"', 'VERSION is its label') from created;
select is(
    row -> 'definition' -> 'approval',
    '{"required": true, "role": "billing_reviewer", "approvals": 1, "separate_duties": false,
      "expires_after": "24 hours", "unless": "strict $.args.amount_cents <= 2500"}',
    'with its approval'
)
from created;
select is(
    (
        select row ->> 'version' from synapsor.execute(
            'create agent workflow billing.flow version ''2026-05-27'' session require tenant_id
            allowed capabilities (billing.read) allowed external actions (billing.issue_refund)
            checkpoint every step on risk medium require approval role ''billing_reviewer''
            retention runs 730 days;'
        ) as row
    ),
    '1', 'CREATE AGENT WORKFLOW declares the workflow'
);
select is(
    (select definition from synapsor.synapsor_workflows),
    '{"workflow": "billing.flow", "label": "2026-05-27", "description": null, "session_requirements": ["tenant_id"],
      "allowed_capabilities": ["billing.read"], "allowed_actions": ["billing.issue_refund"], "entry_capability": null,
      "evidence_required": false, "checkpoint_every_step": true, "auto_branch_on_proposal": false,
      "risk_policy": {"medium": {"approval_role": "billing_reviewer"}}, "max_steps": null, "max_tool_calls": null,
      "max_input_tokens": null, "max_output_tokens": null, "retention": {"runs_days": 730, "evidence_days": null}}',
    'with every clause'
);
select is(
    (
        select row -> 'definition' -> 'risk_policy' from synapsor.execute(
            'CREATE AGENT WORKFLOW lines.flow
            USING CONTEXT somewhere
            ALLOW CAPABILITY a
            ALLOW EXTERNAL ACTION billing.issue_refund
            APPROVAL REQUIRED ROLE lead
            END'
        ) as row
    ),
    '{"any": {"approval_role": "lead"}}', 'in the other dialect too'
);
select tests.raises(
    $$ select synapsor.execute('CREATE EXTERNAL ACTION refund ARG x INT64 MIN 5 MAX 1') $$,
    'SY002', 'the definition of ''refund'' is invalid',
    'action is named namespace.verb%args.x.minimum is above maximum',
    description => 'what the definition lacks is the verb''s to say'
);
select tests.raises(
    $$ select synapsor.execute('CREATE AGENT WORKFLOW w MAX STEPS -1') $$, 'SY002',
    description => 'of workflows too'
);


-- Running and deciding

reset session authorization;
set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.remember('run', run_id) from synapsor.start_agent_run('billing.flow');
select tests.remember(number::text, (synapsor.propose_external_action(
    'billing.issue_refund', jsonb_build_object('charge_id', 'ch_' || number, 'amount_cents', 3000),
    run_id => tests.known('run')
)).action_id)
from generate_series(1, 3) as number;
select tests.remember('lines run', run_id) from synapsor.start_agent_run('lines.flow');
select is(
    (synapsor.propose_external_action('billing.issue_refund', '{"charge_id": "x", "amount_cents": 1}',
        run_id => tests.known('lines run'))).status,
    'proposed', 'APPROVAL REQUIRED ROLE asks for the approval of every action'
);
select is(
    (
        select required_role from synapsor.synapsor_pending_approvals
        where arguments ->> 'amount_cents' = '1'
    ),
    'billing_reviewer and lead', 'by that role'
);
reset session authorization;
set session authorization test_approver;
select tests.session('acme', 'rita', array['billing_reviewer']);
select results_eq(
    $$ select synapsor.execute(format('APPROVE EXTERNAL ACTION %L NOTE ''it''''s fine''', tests.known('1')))
        ->> 'status' $$,
    $$ values ('queued') $$, 'APPROVE approves'
);
select is(
    (
        select note from synapsor.synapsor_approvals
        where action_id = tests.known('1')
    ),
    'it''s fine', 'with its note'
);
select tests.raises(
    format($$ select synapsor.execute('APPROVE EXTERNAL ACTION %L DIGEST ''00''') $$, tests.known('2')),
    '42601', description => 'quotes are doubled within a text'
);
select tests.raises(
    $$ select synapsor.execute(format('APPROVE EXTERNAL ACTION %L DIGEST ''00''', tests.known('2'))) $$,
    'SY024', description => 'another digest is refused'
);
select results_eq(
    $$ select synapsor.execute(format('REJECT EXTERNAL ACTION %L NOTE ''no''', tests.known('2'))) ->> 'status' $$,
    $$ values ('rejected') $$, 'REJECT rejects'
);
select results_eq(
    $$ select synapsor.execute(format('CANCEL EXTERNAL ACTION %L NOTE ''late''', tests.known('3'))) ->> 'status' $$,
    $$ values ('cancelled') $$, 'CANCEL cancels'
);
select tests.raises(
    $$ select synapsor.execute('APPROVE EXTERNAL ACTION ''act_none''') $$, 'SY011',
    description => 'what does not exist is the verb''s to say'
);
reset session authorization;
set session authorization test_worker;
select tests.session('acme', 'fleet');
select tests.remember('token', claim_token::text)
from synapsor.claim_external_actions('billing_external_actions', 1);
select status from synapsor.confirm_external_action(
    tests.known('1'), 'unknown', claim_token => tests.known('token')::bigint
);
reset session authorization;
set session authorization test_approver;
select tests.session('acme', 'rita', array['billing_reviewer']);
select results_eq(
    format(
        $$ select synapsor.execute(format('SETTLE EXTERNAL ACTION %%L AS %s NOTE ''seen''', tests.known('1')))
            ->> 'status' $$,
        settled.outcome
    ),
    format('values (%L)', lower(settled.outcome)), 'SETTLE settles as ' || settled.outcome
)
from (values ('FAILED')) as settled (outcome);
select results_eq(
    $$ select synapsor.execute(format('RETRY EXTERNAL ACTION %L NOTE ''again''', tests.known('1'))) ->> 'status' $$,
    $$ values ('queued') $$, 'RETRY queues it again'
);


-- Explaining and showing

select results_eq(
    $$ select row #>> '{}' from synapsor.execute(format('EXPLAIN AGENT RUN %L', tests.known('run'))) as row $$,
    $$ select line from string_to_table(rtrim(synapsor.explain_agent_run(tests.known('run')), E'\n'), E'\n') as line $$,
    'EXPLAIN AGENT RUN yields a string per line'
);
select ok(
    (select count(*) > 5 from synapsor.execute(format('EXPLAIN AGENT RUN %L', tests.known('run')))),
    'several of them'
);
select results_eq(
    $$ select synapsor.execute(format('EXPLAIN AGENT RUN %L FORMAT JSON', tests.known('run'))) $$,
    $$ select synapsor.explain_agent_run(tests.known('run'), 'json')::jsonb $$,
    'or one object'
);
select results_eq(
    format(
        $$ select row #>> '{}' from synapsor.execute(format('EXPLAIN AGENT RUN %%L FORMAT %1$s', tests.known('run')))
            as row $$, picture.format
    ),
    format(
        $$ select line from string_to_table(
            rtrim(synapsor.explain_agent_run(tests.known('run'), %L), E'\n'), E'\n') as line $$, picture.format
    ),
    'or the lines of ' || picture.format
)
from (values ('mermaid'), ('dot')) as picture (format);
select tests.raises(
    $$ select synapsor.execute('EXPLAIN AGENT RUN ''x'' FORMAT yaml') $$,
    'SY003', 'yaml is no format of an explanation',
    description => 'another format is refused'
);
select results_eq(
    $$ select row #>> '{}' from synapsor.execute(format('EXPLAIN EXTERNAL ACTION %L', tests.known('2'))) as row $$,
    $$ select line from string_to_table(rtrim(synapsor.explain_action(tests.known('2')), E'\n'), E'\n') as line $$,
    'EXPLAIN EXTERNAL ACTION too'
);
select results_eq(
    $$ select synapsor.execute(format('EXPLAIN EXTERNAL ACTION %L FORMAT json', tests.known('2'))) $$,
    $$ select synapsor.explain_action(tests.known('2'), 'json')::jsonb $$,
    'and as an object'
);
select results_eq(
    format('select synapsor.execute(%L)', 'SHOW ' || shown.what),
    format('select to_jsonb(shown) from synapsor.%s as shown order by %s', shown.view, shown.place),
    'SHOW ' || shown.what
)
from (values
    ('EXTERNAL ACTIONS', 'synapsor_external_actions', 'created_at, action_id'),
    ('CONTRACTS', 'synapsor_action_contracts', 'action, version'),
    ('WORKFLOWS', 'synapsor_workflows', 'workflow, version'),
    ('RUNS', 'synapsor_agent_workflow_runs', 'started_at, run_id'),
    ('PENDING APPROVALS', 'synapsor_pending_approvals', 'created_at, action_id'),
    ('QUEUES', 'synapsor_queue_stats', 'queue, tenant_id')
) as shown (what, view, place);
select isnt_empty(
    format('select synapsor.execute(%L)', 'SHOW ' || shown.what), 'there is something to SHOW ' || shown.what
)
from unnest(array['EXTERNAL ACTIONS', 'WORKFLOWS', 'RUNS', 'PENDING APPROVALS', 'QUEUES']) as shown (what);
select tests.session('globex', 'eve');
select is_empty(
    format('select synapsor.execute(%L)', 'SHOW ' || shown.what),
    'SHOW ' || shown.what || ' shows another tenant nothing'
)
from unnest(array['EXTERNAL ACTIONS', 'RUNS', 'PENDING APPROVALS', 'QUEUES']) as shown (what);
select tests.raises(
    $$ select synapsor.execute(format('EXPLAIN AGENT RUN %L', tests.known('run'))) $$, 'SY011',
    description => 'EXPLAIN neither'
);

reset session authorization;
set session authorization test_admin;
select tests.session('acme', 'root');
select synapsor.execute('CREATE EXTERNAL ACTION billing.issue_refund VERSION ''2'' QUEUE q');
select is(
    (select row ->> 'version' from synapsor.execute(described.statement) as row), described.version, described.statement
)
from (values
    ('DESCRIBE EXTERNAL ACTION billing.issue_refund', '2'),
    ('DESCRIBE EXTERNAL ACTION billing.issue_refund VERSION 1', '1'),
    ('describe external action ''billing.issue_refund'' version ''2''', '2'),
    ('DESCRIBE WORKFLOW billing.flow', '1'),
    ('DESCRIBE WORKFLOW billing.flow VERSION ''2026-05-27''', '1')
) as described (statement, version);
select tests.raises(
    format('select synapsor.execute(%L)', described.statement), described.code, description => described.statement
)
from (values
    ('DESCRIBE EXTERNAL ACTION billing.none', 'SY001'),
    ('DESCRIBE EXTERNAL ACTION billing.issue_refund VERSION 9', 'SY001'),
    ('DESCRIBE WORKFLOW billing.none', 'SY011'),
    ('DROP EXTERNAL ACTION billing.none', 'SY001')
) as described (statement, code);
select results_eq(
    $$ select (row ->> 'version')::int from synapsor.execute('DROP EXTERNAL ACTION billing.issue_refund VERSION 1')
        as row where row ->> 'retired_at' is not null $$,
    'values (1)', 'DROP retires a version'
);
select results_eq(
    $$ select (row ->> 'version')::int from synapsor.execute('DROP EXTERNAL ACTION billing.issue_refund;')
        as row where row ->> 'retired_at' is not null $$,
    'values (1), (2)', 'or all of them'
);


-- Rights: the verb's

reset session authorization;
set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.raises(
    format('select synapsor.execute(%L)', refused.statement), '42501',
    'permission denied for function ' || refused.verb, description => 'a caller may not ' || refused.statement
)
from (values
    ('CREATE EXTERNAL ACTION a.b', 'declare_action'),
    ('CREATE AGENT WORKFLOW a', 'declare_workflow'),
    ('APPROVE EXTERNAL ACTION ''act_1''', 'approve_external_action'),
    ('REJECT EXTERNAL ACTION ''act_1''', 'reject_external_action'),
    ('RETRY EXTERNAL ACTION ''act_1''', 'retry_external_action'),
    ('SETTLE EXTERNAL ACTION ''act_1'' AS FAILED', 'settle_external_action'),
    ('DROP EXTERNAL ACTION a.b', 'retire_action')
) as refused (statement, verb);
reset session authorization;
set session authorization test_gateway;
select tests.raises(
    $$ select synapsor.execute('SHOW RUNS') $$, '42501', 'permission denied for view synapsor_agent_workflow_runs',
    description => 'a gateway reads no view'
);
reset session authorization;
set session authorization test_stranger;
select tests.raises(
    $$ select synapsor.execute('SHOW RUNS') $$, '42501', 'permission denied for %',
    description => 'a stranger executes nothing'
);


-- What is no statement

reset session authorization;
set session authorization test_caller;
select tests.raises(
    format('select synapsor.execute(%L)', wrong.statement), 'SY050', wrong.message, wrong.detail,
    'COMMENT ON FUNCTION synapsor.execute names the statements%', 'no statement: ' || coalesce(wrong.statement, 'null')
)
from (values
    (null, 'the statement ends too early', 'Line 1, column 1: found the end of the text, expected CREATE, %'),
    ('', 'the statement ends too early', 'Line 1, column 1: %'),
    ('select 1', 'the statement is not understood at select', 'Line 1, column 1: found select, expected CREATE, %'),
    ('SHOW RUNS; SHOW RUNS', 'there is more than one statement', 'Line 1, column 12: found SHOW, expected the end%'),
    ('EXPLAIN' || chr(10) || '  AGENT ROW ''x''', 'the statement is not understood at ROW',
        'Line 2, column 9: found ROW, expected RUN.' || chr(10) || 'LINE 2:   AGENT ROW ''x''' || chr(10)
        || '                ^'),
    ('APPROVE EXTERNAL ACTION ''act', 'a string does not end', 'Line 1, column 25: %'),
    (repeat('/*', 400000), 'a comment does not end', 'Line 1, column 1: %'),
    (repeat('x', 1000001), 'a statement has at most 1000000 characters', 'Line 1, column 1000001: found more, %')
) as wrong (statement, message, detail);

select * from finish();
rollback;
