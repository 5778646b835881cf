-- Runs and steps: whose they are, what a repeat means, how actions join them, what explains them.

begin;

select plan(138);

\ir support/known.sql

select tests.at('2026-01-01 12:00+00');
select tests.a_contract();
select tests.a_contract(
    '{"approval": {"required": true, "role": "billing_reviewer"}, "redact": ["charge_id"]}',
    'billing.big_refund'
);


-- Starting

set session authorization test_caller;

select tests.raises(
    $$ select synapsor.start_agent_run() $$,
    'SY005', 'the session has no tenant_id', null, 'Open a session with a tenant_id first.',
    'a run needs a tenant'
);

select tests.session('acme', 'ada', extra => '{"correlation_id": "thread-7"}');
select is(
    (synapsor.start_agent_run()).correlation_id, 'thread-7',
    'a run belongs to the thread of its session'
);

select tests.session('acme', 'ada');
create temporary table started as
select * from synapsor.start_agent_run('support.refund_flow', '{"ticket": 4711}', '2026-11');
select tests.remember('run', started.run_id) from started;
select tests.remember('other run', run.run_id) from synapsor.start_agent_run() as run;

select results_eq(
    $$
    select tenant_id, workflow, plan, version, state, status, principal, input, output,
        correlation_id = run_id, started_at, finished_at
    from started
    $$,
    $$
    values (
        'acme', 'support.refund_flow', null::text, '2026-11', 'open', null::text, 'ada',
        '{"ticket": 4711}'::jsonb, '{}'::jsonb, true, '2026-01-01 12:00+00'::timestamptz,
        null::timestamptz
    )
    $$,
    'a run starts open, with the session''s tenant and principal'
);
select matches(tests.known('run'), '^run_[0-9A-HJKMNP-TV-Z]{26}$', 'its id is a prefixed ULID');
select results_eq(
    $$ select to_jsonb(started) from started $$,
    $$
    select to_jsonb(run) - '{saga_action_id,is_dry_run,reason,error,workflow_version}'::text[]
    from synapsor.synapsor_agent_workflow_runs as run
    where run.run_id = tests.known('run')
    $$,
    'the verb returns what the view shows'
);
select tests.raises(
    $$ select synapsor.start_agent_run('') $$, 'SY003', description => 'an empty name is refused'
);
select tests.raises(
    $$ select synapsor.start_agent_run(input => to_jsonb(repeat('x', 65536))) $$,
    'SY051', 'input is larger than 64 KiB', description => 'an input has a size'
);
select tests.session('acme', 'ada', extra => jsonb_build_object('run_id', tests.known('run')));
select tests.raises(
    $$ select synapsor.start_agent_run() $$, 'SY007', 'the session belongs to another run',
    description => 'a session that is bound to a run starts none'
);


-- Recording

select tests.session('acme', 'ada');
create temporary table recorded as
select * from synapsor.record_agent_step(
    run_id => tests.known('run'), step_key => 'read_invoice', name => 'billing.read_invoice',
    input => '{"invoice": 1}', output => '{"total": 2500}', risk => 'low',
    evidence => '{"rows": 1}', input_tokens => 120, output_tokens => 30
);
select results_eq(
    $$
    select step_key, parent_step_key, relation, kind, name, state, status, input, exit_data, risk,
        action_id, input_tokens, output_tokens, started_at, finished_at
    from recorded
    $$,
    $$
    values (
        'read_invoice', null::text, 'root', 'capability', 'billing.read_invoice', 'finished',
        'completed', '{"invoice": 1}'::jsonb, '{"total": 2500}'::jsonb, 'low', null::text, 120, 30,
        '2026-01-01 12:00+00'::timestamptz, '2026-01-01 12:00+00'::timestamptz
    )
    $$,
    'a step is recorded as given'
);
select matches(recorded.step_id, '^stp_[0-9A-HJKMNP-TV-Z]{26}$', 'a step''s id is a prefixed ULID')
from recorded;
select results_eq(
    $$
    select to_jsonb(step) - '{tenant_id,evidence,attempt,waits_for,waits_until,approval_role}'::text[]
    from synapsor.synapsor_agent_run_steps as step
    where step.run_id = tests.known('run')
    $$,
    $$ select to_jsonb(recorded) from recorded $$,
    'the view shows what the verb returned'
);
select is(
    (
        select step.evidence from synapsor.synapsor_agent_run_steps as step
        where step.run_id = tests.known('run')
    ),
    '{"rows": 1}',
    'evidence is kept'
);

select tests.advance('5 s');
select results_eq(
    $$
    select * from synapsor.record_agent_step(
        tests.known('run'), 'read_invoice', name => 'billing.read_invoice',
        input => '{"invoice": 1}', output => '{"total": 2500}', risk => 'low',
        evidence => '{"rows": 1}', input_tokens => 120, output_tokens => 30
    )
    $$,
    $$ select * from recorded $$,
    'an equal repeat is an answer'
);
select tests.raises(
    $$
    select synapsor.record_agent_step(tests.known('run'), 'read_invoice', output => '{"a": 2}')
    $$,
    'SY014', 'step read_invoice of run % is finished with other content',
    'It was completed at 2026-01-01 12:00:00+00.',
    description => 'a finished step does not change'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('run'), 'read_invoice', status => 'failed') $$,
    'SY014', description => 'nor does its status'
);
select tests.raises(
    $$
    select synapsor.record_agent_step(tests.known('run'), 'read_invoice', status => 'running')
    $$,
    'SY014', description => 'nor is it opened again'
);

select is(
    (synapsor.record_agent_step(
        tests.known('run'), 'ask', status => 'running', input => '{"q": 1}', input_tokens => 7
    )).state,
    'running',
    'a step may begin'
);
select tests.advance('5 s');
select is(
    (synapsor.record_agent_step(tests.known('run'), 'ask', status => 'waiting_approval')).state,
    'waiting',
    'and wait'
);
select tests.advance('5 s');
select results_eq(
    $$
    select state, status, input, exit_data, input_tokens, output_tokens, started_at, finished_at
    from synapsor.record_agent_step(
        tests.known('run'), 'ask', output => '{"a": 1}', output_tokens => 9
    )
    $$,
    $$
    values (
        'finished', 'completed', '{"q": 1}'::jsonb, '{"a": 1}'::jsonb, 7, 9,
        '2026-01-01 12:00:05+00'::timestamptz, '2026-01-01 12:00:15+00'::timestamptz
    )
    $$,
    'a later record finishes it and keeps what it does not give'
);

select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('run'), 'x', status => 'done') $$,
    'SY003', 'done is no status of a step', null, 'Unfinished: running, %',
    'an unknown status is refused'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('run'), 'x', status => null) $$,
    'SY003', 'null is no status of a step', description => 'a null status is refused'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('run'), 'x', kind => 'A kind') $$,
    'SY003', description => 'a kind is a word'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('run'), 'x', kind => 'external_action') $$,
    'SY003', 'a step of kind external_action is not recorded by hand',
    description => 'nobody records an action that was never proposed'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('run'), 'x', risk => 'Very High') $$,
    'SY003', description => 'a risk is a word'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('run'), 'x', input_tokens => -1) $$,
    'SY003', description => 'tokens are counted from zero'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('run'), 'x', name => repeat('x', 201)) $$,
    'SY003', description => 'a name has a length'
);
select tests.raises(
    format('select synapsor.record_agent_step(tests.known(''run''), %L)', bad.step_key),
    'SY003', 'a step_key has 1 to 2048 bytes and no control characters',
    description => format('a step_key that is %s is refused', bad.description)
)
from (values
    ('', 'empty'), (null, 'null'), (repeat('x', 2049), 'too long'), (E'a\nb', 'two lines')
) as bad (step_key, description);
select lives_ok(
    $$ select synapsor.record_agent_step(tests.known('run'), repeat('x', 2048)) $$,
    'a step_key of 2048 bytes is not too long'
);
select tests.raises(
    format(
        'select synapsor.record_agent_step(tests.known(''run''), ''x'', %I => %L)',
        payload.name, to_jsonb(repeat('x', 65536))
    ),
    'SY051', payload.name || ' is larger than 64 KiB',
    description => payload.name || ' has a size'
)
from unnest(array['input', 'output', 'evidence']) as payload (name);
select lives_ok(
    $$
    select synapsor.record_agent_step(
        tests.known('run'), 'large', input => to_jsonb(repeat('x', 65534))
    )
    $$,
    '64 KiB are not too large'
);
select tests.raises(
    format(
        'select synapsor.record_agent_step(tests.known(''run''), ''x'', %I => %L)',
        payload.name, repeat('[', 5000) || repeat(']', 5000)
    ),
    'SY003', payload.name || ' is nested deeper than 100 levels',
    description => payload.name || ' has a depth'
)
from unnest(array['input', 'output', 'evidence']) as payload (name);
select tests.raises(
    format(
        'select synapsor.record_agent_step(tests.known(''run''), ''x'', output => %L)',
        repeat('{"a":', 101) || '1' || repeat('}', 101)
    ),
    'SY003', description => 'of objects too, to the level'
);
select lives_ok(
    format(
        'select synapsor.record_agent_step(tests.known(''run''), %L, output => %L)',
        'deep' || opening, repeat(opening, 100) || '1' || repeat(closing, 100)
    ),
    '100 levels are not too deep'
)
from (values ('{"a":', '}'), ('[', ']')) as nested (opening, closing);

select results_eq(
    $$
    select relation, parent_step_key from synapsor.record_agent_step(
        tests.known('run'), 'detail', status => 'running', parent_step_key => 'ask'
    )
    $$,
    $$ values ('child', 'ask') $$,
    'a step may have a parent'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('run'), 'x', parent_step_key => 'y') $$,
    'SY011', 'run % has no step y to be the parent', description => 'which must exist'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('run'), 'x', parent_step_key => 'x') $$,
    'SY003', description => 'and be another step'
);
select tests.raises(
    $$
    select synapsor.record_agent_step(
        tests.known('other run'), 'x', parent_step_key => 'read_invoice'
    )
    $$,
    'SY011', description => 'of the same run'
);
select tests.raises(
    $$
    select synapsor.record_agent_step(tests.known('run'), 'detail', parent_step_key => 'large')
    $$,
    'SY014', 'step detail of run % has another kind or parent',
    description => 'a parent is fixed, so that no cycle can be made'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('run'), 'detail', kind => 'tool') $$,
    'SY014', description => 'a kind is fixed'
);
select is(
    (synapsor.record_agent_step(tests.known('run'), 'detail')).parent_step_key, 'ask',
    'a later record need not name the parent again'
);


-- The other recorders

select results_eq(
    $$
    select kind, name, status, state, input from synapsor.checkpoint_agent_run(
        tests.known('run'), 'before', '{"at": 1}'
    )
    $$,
    $$ values ('checkpoint', 'before', 'completed', 'finished', '{"at": 1}'::jsonb) $$,
    'a checkpoint is a step'
);
select results_eq(
    $$
    select kind, name, status, state, message, input from synapsor.interrupt_agent_run(
        tests.known('run'), 'hold', 'who pays?', '{"sum": 1}'
    )
    $$,
    $$ values ('interrupt', 'hold', 'waiting', 'waiting', 'who pays?', '{"sum": 1}'::jsonb) $$,
    'an interrupt waits'
);
select results_eq(
    $$
    select kind, status, message, exit_data
    from synapsor.record_agent_step(tests.known('run'), 'hold', output => '{"payer": "we"}')
    $$,
    $$ values ('interrupt', 'completed', 'who pays?', '{"payer": "we"}'::jsonb) $$,
    'until its answer is recorded'
);
select results_eq(
    $$
    select kind, name, status, message, input from synapsor.hand_off_agent_run(
        tests.known('run'), 'over', 'second_line', 'too hard', '{"n": 1}'
    )
    $$,
    $$ values ('handoff', 'second_line', 'completed', 'too hard', '{"n": 1}'::jsonb) $$,
    'a hand-off names its target'
);
select results_eq(
    $$
    select kind, status, state, input from synapsor.record_guardrail_event(
        tests.known('run'), 'pii', 'blocked', '{"rule": "pii"}'
    )
    $$,
    $$ values ('guardrail', 'blocked', 'finished', '{"rule": "pii"}'::jsonb) $$,
    'a guardrail event has a verdict'
);
select tests.raises(
    $$ select synapsor.record_guardrail_event(tests.known('run'), 'pii', 'fine') $$,
    'SY003', description => 'a verdict is a step''s status'
);


-- Whose run it is. Each verb is tried by every one who may not.

create temporary table verbs as
select *
from (values
    ('record', 'synapsor.record_agent_step(%L, ''stranger'')'),
    ('checkpoint', 'synapsor.checkpoint_agent_run(%L, ''stranger'')'),
    ('interrupt', 'synapsor.interrupt_agent_run(%L, ''stranger'', ''why'')'),
    ('hand off', 'synapsor.hand_off_agent_run(%L, ''stranger'', ''target'')'),
    ('guardrail', 'synapsor.record_guardrail_event(%L, ''stranger'')'),
    ('complete', 'synapsor.complete_agent_run(%L)'),
    (
        'propose',
        'synapsor.propose_external_action(''billing.issue_refund'', '
        || '''{"charge_id": "s", "amount_cents": 1}'', run_id => %L)'
    )
) as verb (name, call);

select tests.session('globex', 'ada');
select tests.raises(
    'select ' || format(verbs.call, tests.known('run')), 'SY011', 'run % does not exist',
    description => verbs.name || ': another tenant''s run does not exist'
)
from verbs;
select tests.raises(
    'select ' || format(verbs.call, 'run_01ARZ3NDEKTSV4RRFFQ69G5FAV'), 'SY011',
    'run % does not exist', description => verbs.name || ': just like an unknown one'
)
from verbs;
select tests.session('acme', 'bob');
select tests.raises(
    'select ' || format(verbs.call, tests.known('run')), 'SY007',
    'run % belongs to another principal',
    description => verbs.name || ': another principal''s run is not joined'
)
from verbs;
select tests.session(
    'acme', 'ada', extra => jsonb_build_object('run_id', tests.known('other run'))
);
select tests.raises(
    'select ' || format(verbs.call, tests.known('run')), 'SY007',
    'the session belongs to another run',
    description => verbs.name || ': the session''s run is not overridden'
)
from verbs;
select is(
    (synapsor.record_agent_step(null, 'inside')).run_id, tests.known('other run'),
    'a session that is bound to a run need not name it'
);
select synapsor.close_session();
select tests.raises(
    'select ' || format(verbs.call, tests.known('run')), 'SY005',
    description => verbs.name || ': a session is needed'
)
from verbs;

-- Row-level security hides nothing from who sees every tenant: the verb's own predicate does.
reset session authorization;
select synapsor.bind_role(
    'test_caller_b', '{"principal": "ada", "tenant_id": "globex", "tenants": "*"}'
);
set session authorization test_caller_b;
select is(
    (
        select run.principal from synapsor.synapsor_agent_workflow_runs as run
        where run.run_id = tests.known('run')
    ),
    'ada',
    'who is bound to every tenant sees the runs of all'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('run'), 'stranger') $$,
    'SY011', description => 'but joins only those of its own'
);
reset session authorization;
set session authorization test_caller;

select tests.session('acme', 'ada');
select tests.raises(
    $$ select synapsor.record_agent_step(null, 'x') $$, 'SY003', 'no run is named',
    description => 'somebody has to name the run'
);


-- Actions as steps

select tests.session('acme', 'ada');
create temporary table proposed as
select * from synapsor.propose_external_action(
    'billing.big_refund', '{"charge_id": "ch_secret", "amount_cents": 2500}',
    run_id => tests.known('run'), step_key => 'refund'
);
select tests.remember('action', proposed.action_id) from proposed;

select results_eq(
    $$
    select jsonb_build_array(kind, name, state, status, input, action_id)
    from synapsor.synapsor_agent_run_steps
    where run_id = tests.known('run') and step_key = 'refund'
    $$,
    $$
    select jsonb_build_array(
        'external_action', 'billing.big_refund', 'waiting', 'proposed',
        '{"charge_id": "[redacted]", "amount_cents": 2500}'::jsonb, tests.known('action')
    )
    $$,
    'a proposal is a step, its arguments redacted'
);
select tests.raises(
    $$
    select synapsor.propose_external_action(
        'billing.issue_refund', '{"charge_id": "ch_2", "amount_cents": 1}',
        run_id => tests.known('run'), step_key => 'refund'
    )
    $$,
    'SY014', 'step refund of run % is taken', 'It is action act_%',
    description => 'a step_key that is an action is taken'
);
select tests.raises(
    $$
    select synapsor.propose_external_action(
        'billing.issue_refund', '{"charge_id": "ch_2", "amount_cents": 1}',
        run_id => tests.known('run'), step_key => 'ask'
    )
    $$,
    'SY014', 'step ask of run % is taken', 'It was recorded as another step.',
    description => 'a step_key that was recorded is taken'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('run'), 'refund') $$,
    'SY014', 'step refund of run % is an action', description => 'a record does not touch an action'
);
select results_eq(
    $$
    select action_id, step_key, changed from synapsor.propose_external_action(
        'billing.big_refund', '{"charge_id": "ch_secret", "amount_cents": 2500}',
        run_id => tests.known('run')
    )
    $$,
    $$ values (tests.known('action'), 'refund', false) $$,
    'an equal proposal is the same step'
);
select tests.remember(
    'caused',
    (synapsor.propose_external_action(
        'billing.issue_refund', '{"charge_id": "c", "amount_cents": 1}',
        run_id => tests.known('run'), causation_id => tests.known('action')
    )).action_id
);
select count(synapsor.propose_external_action(
    'billing.issue_refund', jsonb_build_object('charge_id', 'c' || number, 'amount_cents', 1),
    run_id => tests.known('run')
))
from generate_series(2, 12) as number;
select results_eq(
    $$
    select to_jsonb(step_key) from synapsor.synapsor_agent_run_steps
    where run_id = tests.known('run') and name = 'billing.issue_refund' order by sequence
    $$,
    $$
    select to_jsonb(
        'billing.issue_refund' || case when number > 1 then '#' || number else '' end
    )
    from generate_series(1, 12) as number
    $$,
    'without a step_key the action''s name is used, and numbered from #2'
);
select results_eq(
    $$
    select jsonb_build_array(from_step_key, to_step_key, edge) from synapsor.synapsor_run_graph
    where run_id = tests.known('run') order by edge
    $$,
    $$
    values
        ('["billing.issue_refund", "refund", "caused_by"]'::jsonb),
        ('["ask", "detail", "child"]'::jsonb)
    $$,
    'the graph has the edges child and caused_by'
);


-- Explaining

select tests.remember(
    'refused',
    (synapsor.invoke_action(
        'billing.issue_refund', '{"charge_id": "c", "amount_cents": -1}',
        run_id => tests.known('run')
    )).action_id
);
select tests.advance('1 min');

create temporary table explained as
select synapsor.explain_agent_run(tests.known('run')) as picture;
select matches(
    explained.picture,
    '^run run_.{26} · support.refund_flow 2026-11 · open, 1 min 15 s so far\n'
    || '│ started   2026-01-01 12:00:00 UTC by ada of acme\n',
    'a picture says what it shows'
)
from explained;
select ok(
    position(
        E'\n├─ … refund · billing.big_refund v1 · proposed, 1 min so far\n'
        || '│    action    ' || tests.known('action') || E'\n'
        || E'│    asked     {"charge_id": "[redacted]", "amount_cents": 2500}\n'
        || E'│    waiting   for an approval by role billing_reviewer\n'
        || E'│    next      approve_external_action or reject_external_action\n'
        in explained.picture
    ) > 0,
    'and where an action stands and why'
)
from explained;
select ok(
    position(
        E'└─ ✗ billing.issue_refund · billing.issue_refund v1 · validation failed\n'
        in explained.picture
    ) > 0
    or position(
        E'└─ ✗ billing.issue_refund v1 · validation failed\n' in explained.picture
    ) > 0,
    'a refused attempt is part of the picture'
)
from explained;
select unalike(explained.picture, '%ch_secret%', 'what is redacted is not in the picture')
from explained;
select is_empty(
    $$
    select line from explained, string_to_table(explained.picture, E'\n') as line
    where length(line) > 100
    $$,
    'no line is wider than 100 columns'
);
select results_eq(
    $$
    select
        document -> 'run' ->> 'run_id',
        jsonb_array_length(document -> 'steps'),
        jsonb_array_length(document -> 'edges'),
        jsonb_array_length(document -> 'refused'),
        jsonb_path_query_first(document, '$.steps[*] ? (@.step_key == "refund").why[*].label')
    from (select synapsor.explain_agent_run(tests.known('run'), 'json')::jsonb as document) as json
    $$,
    $$ values (tests.known('run'), 24, 2, 1, '"action"'::jsonb) $$,
    'json has the run, its steps, edges and refusals'
);
select matches(
    synapsor.explain_action(tests.known('action')),
    '^action act_.{26} · billing.big_refund v1 · proposed, 1 min so far\n'
    || '  proposed  2026-01-01 12:00:15 UTC by ada of acme\n'
    || '  run       run_.{26} step refund\n',
    'an action has a picture of its own'
);
select matches(
    synapsor.explain_action(tests.known('refused')),
    'validation failed\n.*refused   SY003.*\n            amount_cents violates minimum',
    'a refused attempt too, with what was wrong'
);
select is(
    synapsor.explain_action(tests.known('action'), 'json')::jsonb -> 'action' -> 'parameters',
    '{"charge_id": "[redacted]", "amount_cents": 2500}',
    'and as json'
);
select ok(
    not synapsor.explain_action(tests.known('action'), 'json')::jsonb -> 'action' ? 'hidden',
    'hidden values are not even named'
);
select tests.raises(
    format('select synapsor.%s(%L, %L)', explaining.verb, 'x', explaining.format),
    'SY003', '% is no format of an explanation', null, explaining.hint,
    format('%s refuses format %s', explaining.verb, coalesce(explaining.format, 'null'))
)
from (values
    ('explain_agent_run', 'yaml', 'Formats are text, json, mermaid and dot.'),
    ('explain_agent_run', null, 'Formats are text, json, mermaid and dot.'),
    ('explain_action', 'dot', 'Formats are text and json.')
) as explaining (verb, format, hint);

reset session authorization;
set session authorization test_approver;
select tests.session('acme', 'rita', array['billing_reviewer']);
select matches(
    synapsor.explain_agent_run(tests.known('run')), '"ch_secret"',
    'whoever may decide sees what is decided on'
);
select synapsor.approve_external_action(tests.known('action'), 'looks right');
select matches(
    synapsor.explain_agent_run(tests.known('run')), 'approved  by rita after 1 min: "looks right"',
    'who approved, when and with which note'
);
reset session authorization;
set session authorization test_auditor;
select tests.session('acme', 'otto');
select matches(
    synapsor.explain_agent_run(tests.known('run')), '"ch_secret"', 'an auditor sees everything'
);
reset session authorization;
set session authorization test_worker;
select tests.session('acme', 'fleet');
select lives_ok(
    $$ select synapsor.explain_agent_run(tests.known('run')) $$, 'a worker may ask'
);
reset session authorization;
set session authorization test_caller;
select tests.session('globex', 'eve');
select tests.raises(
    $$ select synapsor.explain_agent_run(tests.known('run')) $$, 'SY011', 'run % does not exist',
    description => 'another tenant''s run is not explained'
);
select tests.raises(
    $$ select synapsor.explain_action(tests.known('action')) $$, 'SY011',
    'action % does not exist', description => 'nor is its action'
);
select is_empty(
    'select * from synapsor.' || view.name, view.name || ' shows another tenant nothing'
)
from unnest(array[
    'synapsor_agent_workflow_runs', 'synapsor_agent_run_steps', 'synapsor_run_graph'
]) as view (name);
select is_empty(
    $$ select * from synapsor._refused_attempts(tests.known('run')) $$,
    'nor what was refused'
);
select is_empty(
    $$ select * from synapsor._delivery_context(array[tests.known('action')]) $$,
    'nor what an action waits for'
);


-- Ending

select tests.session('acme', 'ada');
select tests.raises(
    $$ select synapsor.complete_agent_run(tests.known('run'), 'open') $$,
    'SY003', 'open is no status to end a run with', description => 'a run ends in a known way'
);
select tests.raises(
    $$
    select synapsor.complete_agent_run(
        tests.known('run'), output => to_jsonb(repeat('x', 65536))
    )
    $$,
    'SY051', description => 'an output has a size'
);
select results_eq(
    $$
    select state, status, output, finished_at from synapsor.complete_agent_run(
        tests.known('run'), 'waiting_approval', '{"decision": "refund"}'
    )
    $$,
    $$
    values (
        'waiting_approval', 'waiting_approval', '{"decision": "refund"}'::jsonb, null::timestamptz
    )
    $$,
    'a run that waits for approval stays open'
);
select lives_ok(
    $$ select synapsor.record_agent_step(tests.known('run'), 'later') $$,
    'and takes further steps'
);
select results_eq(
    $$
    select state, status, output, finished_at
    from synapsor.complete_agent_run(tests.known('run'))
    $$,
    $$
    values (
        'completed', 'completed', '{"decision": "refund"}'::jsonb,
        '2026-01-01 12:01:15+00'::timestamptz
    )
    $$,
    'it ends with what it had to show'
);
select tests.advance('1 min');
select is(
    (synapsor.complete_agent_run(tests.known('run'))).finished_at,
    '2026-01-01 12:01:15+00'::timestamptz,
    'an equal repeat is an answer'
);
select tests.raises(
    $$ select synapsor.complete_agent_run(tests.known('run'), 'failed') $$,
    'SY040', 'run % is over', 'It was completed at 2026-01-01 12:01:15+00.',
    description => 'a finished run does not end otherwise'
);
select tests.raises(
    $$ select synapsor.complete_agent_run(tests.known('run'), 'completed', '{"other": 1}') $$,
    'SY040', description => 'nor with another output'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('run'), 'too late') $$,
    'SY040', 'run % is over', description => 'a finished run takes no step'
);
select tests.raises(
    $$
    select synapsor.propose_external_action(
        'billing.issue_refund', '{"charge_id": "late", "amount_cents": 1}',
        run_id => tests.known('run')
    )
    $$,
    'SY040', 'run % is over', description => 'nor an action'
);
select lives_ok(
    $$ select synapsor.record_agent_step(tests.known('run'), 'later') $$,
    'an equal repeat of a step is an answer even then'
);
select is(
    (synapsor.complete_agent_run(tests.known('other run'), 'cancelled')).state, 'cancelled',
    'a run may be cancelled'
);
reset session authorization;


-- What the tables refuse, whoever writes

select tests.raises(
    $$ update synapsor.runs set state = 'open' where run_id = tests.known('run') $$,
    '23514', '%a_run_has_an_end_when_it_is_over%', description => 'a run that goes on has no end'
);
select tests.raises(
    $$ update synapsor.run_steps set state = 'running' where step_key = 'later' $$,
    '23514', '%a_step_has_an_end_when_it_is_finished%',
    description => 'a step that goes on has no end'
);

select * from finish();
rollback;
