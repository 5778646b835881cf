-- Workflow contracts: how they are declared, what a run of one may do, how much, with whose approval.

begin;

select no_plan();

\ir support/known.sql

select tests.at('2026-01-01 12:00+00');
select tests.a_contract();
select tests.a_contract('{}', 'billing.other');
select tests.a_contract(
    '{"approval": {"required": true, "role": "billing_reviewer"}}', 'billing.reviewed'
);
create table public.noted (note text);
create function public.note(context jsonb, parameters jsonb) returns jsonb
language sql security definer set search_path = pg_catalog, pg_temp
as $$ insert into public.noted values (parameters ->> 'note'); select '{"success": true}'::jsonb $$;
do $$ begin
    execute 'create role workflow_test_owner';
    grant all on public.noted to workflow_test_owner;
    execute 'alter function public.note(jsonb, jsonb) owner to workflow_test_owner';
end $$;
grant execute on function public.note(jsonb, jsonb) to synapsor_guest;


-- Declaring

create function tests.a_workflow(overrides jsonb default '{}', name text default 'billing.waiver')
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform synapsor.declare_workflow(jsonb_build_object('workflow', name) || overrides);
end
$function$;

set session authorization test_admin;
select tests.session('acme', 'root');
create temporary table first as
select * from synapsor.declare_workflow('{
    "workflow": "billing.waiver", "label": "2026-05-27", "description": "Late fees",
    "session_requirements": ["tenant_id", "current_invoice_id"],
    "allowed_capabilities": ["billing.read_invoice", "billing.propose_waiver"],
    "allowed_actions": ["billing.issue_refund"], "max_steps": 10
}');
select results_eq(
    $$ select jsonb_build_array(workflow, version, label, declared_by, declared_at) from first $$,
    $$ select jsonb_build_array('billing.waiver', 1, '2026-05-27', 'root', '2026-01-01 12:00+00'::timestamptz) $$,
    'a workflow contract is the first version of its name'
);
select is(
    definition -> 'retention', '{"runs_days": null, "evidence_days": null}', 'with its defaults filled in'
)
from first;
select is(
    (synapsor.declare_workflow('{
        "label": "2026-05-27", "description": "Late fees", "workflow": "billing.waiver", "max_steps": 10.0,
        "session_requirements": ["tenant_id", "current_invoice_id"], "allowed_actions": ["billing.issue_refund"],
        "allowed_capabilities": ["billing.read_invoice", "billing.propose_waiver"]
    }')).version,
    1, 'an equal one declares nothing'
);
select is(
    (synapsor.declare_workflow('{"workflow": "billing.waiver", "label": "v2"}')).version, 2,
    'another one is the next version'
);
select is(
    (synapsor.declare_workflow((
        select shown.definition from synapsor.synapsor_workflows as shown
        where shown.workflow = 'billing.waiver' and shown.version = 1
    ))).version,
    3, 'and going back makes a third'
);
select tests.raises(
    $$ select synapsor.declare_workflow('{"workflow": "w", "max_steps": -1, "allowed_action": ["x"],
        "risk_policy": {"medium": {}}}') $$,
    'SY002', 'the definition of workflow ''w'' is invalid',
    'allowed_action is not a known key%risk_policy.medium.approval_role is required%max_steps is not an integer%',
    'Correct every line; nothing was declared.', 'every mistake is told at once'
);
select tests.raises(
    format('select synapsor.declare_workflow(%L)', bad.definition), 'SY002',
    'a workflow contract is a JSON object',
    description => format('%s is no definition', coalesce(bad.definition, 'null'))
)
from (values ('[]'), (null)) as bad (definition);
select results_eq(
    $$ select version, label from synapsor.synapsor_workflows where workflow = 'billing.waiver' order by version $$,
    $$ values (1, '2026-05-27'), (2, 'v2'), (3, '2026-05-27') $$,
    'the view shows every version'
);


-- Binding a run

set session authorization test_caller;
select tests.session('acme', 'ada', extra => '{"current_invoice_id": "inv_1"}');
create temporary table bindings (asked text, expected integer, run_id text);
insert into bindings values (null, 3), ('2', 2), ('v2', 2), ('2026-05-27', 3), ('1', 1);
update bindings set run_id = (synapsor.start_agent_run('billing.waiver', version => asked)).run_id;
select is(
    run.workflow_version, bindings.expected, format('version %s binds the run', coalesce(bindings.asked, 'null'))
)
from bindings
left join synapsor.synapsor_agent_workflow_runs as run using (run_id);
select is(
    (synapsor.start_agent_run('billing.waiver')).version, '2026-05-27', 'a run tells the label of its version'
);
select tests.raises(
    $$ select synapsor.start_agent_run('billing.waiver', version => '9') $$,
    'SY011', 'workflow ''billing.waiver'' has no version ''9''', description => 'another version does not exist'
);
select tests.remember('named', run_id) from synapsor.start_agent_run('free', version => '9');
select is(
    (
        select row(run.version, run.workflow_version)::text from synapsor.synapsor_agent_workflow_runs as run
        where run.run_id = tests.known('named')
    ),
    '(9,)', 'a workflow that nobody declared is only a name'
);
select tests.session('acme', 'ada');
select tests.raises(
    $$ select synapsor.start_agent_run('billing.waiver') $$,
    'SY005', 'the session lacks what workflow ''billing.waiver'' requires', 'Missing: current_invoice_id.',
    description => 'a run starts with the session values that its contract requires'
);


-- What is allowed

select tests.session('acme', 'ada', extra => '{"current_invoice_id": "inv_1"}');
select tests.remember('run', run_id) from synapsor.start_agent_run('billing.waiver');
select lives_ok(
    $$ select synapsor.record_agent_step(tests.known('run'), 'read', name => 'billing.read_invoice') $$,
    'a capability that the contract names is recorded'
);
select tests.raises(
    format($$ select synapsor.record_agent_step(tests.known('run'), 'x', %s) $$, bad.arguments),
    'SY041', bad.message || ' is outside workflow ''billing.waiver''',
    'Version 3 allows the capabilities ["billing.read_invoice", "billing.propose_waiver"] and the actions %',
    description => 'refused: ' || bad.arguments
)
from (values
    ('name => ''billing.delete_invoice''', 'capability ''billing.delete_invoice'''),
    ('name => null', 'capability ''x'''),
    ('''tool'', ''billing.delete_invoice''', 'tool ''billing.delete_invoice'''),
    ('status => ''running''', 'capability ''x''')
) as bad (arguments, message);
select is_empty(
    $$ select from synapsor.synapsor_agent_run_steps where run_id = tests.known('run') and step_key = 'x' $$,
    'and leaves nothing'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('run'), 'open', status => 'running',
        name => 'billing.read_invoice');
    select synapsor.record_agent_step(tests.known('run'), 'open', name => 'billing.delete_invoice') $$,
    'SY041', description => 'nor does a step take another name later'
);
select lives_ok(
    $$ select synapsor.checkpoint_agent_run(tests.known('run'), 'check');
    select synapsor.hand_off_agent_run(tests.known('run'), 'over', 'second_line');
    select synapsor.interrupt_agent_run(tests.known('run'), 'stop', 'why?');
    select synapsor.record_agent_step(tests.known('run'), 'stop', output => '{"because": 1}');
    select synapsor.record_guardrail_event(tests.known('run'), 'pii') $$,
    'checkpoints, hand-offs, interrupts and guardrail events need no name in the contract'
);
select is(
    (synapsor.propose_external_action(
        'billing.issue_refund', '{"charge_id": "a", "amount_cents": 1}', run_id => tests.known('run')
    )).status,
    'queued', 'an action that the contract names is proposed'
);
select tests.raises(
    format(asking.call, 'billing.other'),
    'SY041', 'external action ''billing.other'' is outside workflow ''billing.waiver''',
    description => 'another action is refused by ' || asking.call
)
from (values
    ($$select synapsor.propose_external_action(%L, '{"charge_id": "a", "amount_cents": 1}',
        run_id => tests.known('run'))$$),
    ($$select synapsor.propose_external_actions(%L, array['{"charge_id": "a", "amount_cents": 1}'::jsonb],
        run_id => tests.known('run'))$$),
    ($$select synapsor.invoke_action(%L, '{"charge_id": "a", "amount_cents": 1}', run_id => tests.known('run'))$$)
) as asking (call);
select is_empty(
    $$ select from synapsor.synapsor_action_invocations where action = 'billing.other' $$, 'without a row'
);
select tests.session('acme', 'ada', extra => jsonb_build_object(
    'current_invoice_id', 'inv_1', 'run_id', tests.known('run')
));
select tests.raises(
    $$ select synapsor.propose_external_action('billing.other', '{"charge_id": "a", "amount_cents": 1}') $$,
    'SY041', description => 'the run of the session counts too'
);
select tests.raises(
    $$ select synapsor.preview_action('billing.other', '{"charge_id": "a", "amount_cents": 1}') $$,
    'SY041', description => 'a preview says so before'
);
select tests.session('acme', 'ada');
select tests.raises(
    'select ' || format(verb.call, tests.known('run')),
    'SY005', 'the session lacks what workflow%', 'Missing: current_invoice_id.',
    description => 'every addition needs the session values: ' || verb.call
)
from (values
    ('synapsor.record_agent_step(%L, ''y'', name => ''billing.read_invoice'')'),
    ('synapsor.checkpoint_agent_run(%L, ''y'')'),
    ($$synapsor.propose_external_action('billing.issue_refund', '{"charge_id": "b", "amount_cents": 1}',
        run_id => %L)$$)
) as verb (call);
select synapsor.complete_agent_run(tests.known('run'));
select tests.session('acme', 'ada', extra => '{"current_invoice_id": "inv_1"}');
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('run'), 'late', name => 'billing.read_invoice') $$,
    'SY040', description => 'a finished run takes nothing more'
);
select tests.raises(
    $$ select synapsor.propose_external_action('billing.issue_refund', '{"charge_id": "late", "amount_cents": 1}',
        run_id => tests.known('run')) $$,
    'SY040', description => 'nor an action'
);

select tests.a_workflow('{"allowed_capabilities": ["a"]}', 'closed');
select tests.remember('closed', run_id) from synapsor.start_agent_run('closed');
select tests.raises(
    $$ select synapsor.propose_external_action('billing.issue_refund', '{"charge_id": "c", "amount_cents": 1}',
        run_id => tests.known('closed')) $$,
    'SY041', description => 'a contract that names capabilities and no action allows none'
);
select tests.a_workflow('{"max_steps": 100}', 'open');
select tests.remember('open', run_id) from synapsor.start_agent_run('open');
select lives_ok(
    $$ select synapsor.record_agent_step(tests.known('open'), 'anything');
    select synapsor.propose_external_action('billing.other', '{"charge_id": "c", "amount_cents": 1}',
        run_id => tests.known('open')) $$,
    'one that names nothing bounds no names'
);

-- The version stays
select tests.a_workflow('{"allowed_capabilities": ["other"]}', 'open');
select lives_ok(
    $$ select synapsor.record_agent_step(tests.known('open'), 'still anything') $$,
    'a run keeps the version it was started with'
);

select tests.a_workflow('{"allowed_capabilities": ["first", "second"], "allowed_actions": ["billing.issue_refund"],
    "entry_capability": "first"}', 'entered');
select tests.remember('entered', run_id) from synapsor.start_agent_run('entered');
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('entered'), 's', name => 'second') $$,
    'SY041', 'workflow ''entered'' begins with ''first''', description => 'the entry capability comes first'
);
select tests.raises(
    $$ select synapsor.propose_external_action('billing.issue_refund', '{"charge_id": "e", "amount_cents": 1}',
        run_id => tests.known('entered')) $$,
    'SY041', 'workflow ''entered'' begins with ''first''', description => 'before any action'
);
select lives_ok(
    $$ select synapsor.record_guardrail_event(tests.known('entered'), 'input');
    select synapsor.record_agent_step(tests.known('entered'), 'f', name => 'first');
    select synapsor.record_agent_step(tests.known('entered'), 's', name => 'second');
    select synapsor.propose_external_action('billing.issue_refund', '{"charge_id": "e", "amount_cents": 1}',
        run_id => tests.known('entered')) $$,
    'then everything else may'
);


-- Evidence

select tests.a_workflow('{"evidence_required": true}', 'proved');
select tests.remember('proved', run_id) from synapsor.start_agent_run('proved');
select tests.raises(
    format($$ select synapsor.record_agent_step(tests.known('proved'), 'x', evidence => %L) $$, given.evidence),
    'SY041', 'step ''x'' has no evidence', description => format('%s is no evidence', coalesce(given.evidence, 'null'))
)
from (values (null), ('{}'), ('[]'), ('null'), ('""')) as given (evidence);
select lives_ok(
    $$ select synapsor.record_agent_step(tests.known('proved'), 'x', status => 'running') $$,
    'a step may begin without'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('proved'), 'x') $$, 'SY041',
    description => 'but not be completed'
);
select lives_ok(
    $$ select synapsor.record_agent_step(tests.known('proved'), 'x', evidence => '{"rows": 1}');
    select synapsor.record_agent_step(tests.known('proved'), 'x', evidence => '{"rows": 1}');
    select synapsor.record_agent_step(tests.known('proved'), 'y', status => 'failed');
    select synapsor.checkpoint_agent_run(tests.known('proved'), 'z') $$,
    'with evidence it may, and what failed, or steers, needs none'
);


-- Limits

select tests.a_workflow('{"max_steps": 3}', 'short');
select tests.remember('short', run_id) from synapsor.start_agent_run('short');
select lives_ok(
    $$ select synapsor.record_agent_step(tests.known('short'), 'one');
    select synapsor.record_agent_step(tests.known('short'), 'two', status => 'running');
    select synapsor.checkpoint_agent_run(tests.known('short'), 'c');
    select synapsor.record_guardrail_event(tests.known('short'), 'g');
    select synapsor.propose_external_action('billing.issue_refund', '{"charge_id": "s", "amount_cents": 1}',
        run_id => tests.known('short')) $$,
    'three steps fit, checkpoints and guardrail events beside them'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('short'), 'four') $$,
    'SY042', 'run % would exceed max_steps of workflow ''short''',
    'The contract allows 3; with this step it would be 4.', description => 'a fourth does not'
);
select tests.raises(
    $$ select synapsor.invoke_action('billing.issue_refund', '{"charge_id": "t", "amount_cents": 1}',
        run_id => tests.known('short')) $$,
    'SY042', description => 'nor an action'
);
select is_empty(
    $$ select from synapsor.synapsor_action_invocations where run_id = tests.known('short') and step_key is null $$,
    'which leaves no row'
);
select lives_ok(
    $$ select synapsor.record_agent_step(tests.known('short'), 'one');
    select synapsor.record_agent_step(tests.known('short'), 'two');
    select synapsor.checkpoint_agent_run(tests.known('short'), 'd');
    select synapsor.propose_external_action('billing.issue_refund', '{"charge_id": "s", "amount_cents": 1}',
        run_id => tests.known('short')) $$,
    'repeats, ends of steps and checkpoints still do'
);

select tests.a_workflow('{"max_tool_calls": 2}', 'few calls');
select tests.remember('calls', run_id) from synapsor.start_agent_run('few calls');
select tests.raises(
    $$ select synapsor.propose_external_actions('billing.issue_refund', array[
        '{"charge_id": "1", "amount_cents": 1}', '{"charge_id": "2", "amount_cents": 1}',
        '{"charge_id": "3", "amount_cents": 1}']::jsonb[], run_id => tests.known('calls')) $$,
    'SY042', 'run % would exceed max_tool_calls%', description => 'a batch counts each of its actions'
);
select lives_ok(
    $$ select synapsor.record_agent_step(tests.known('calls'), 'thinking', 'model');
    select synapsor.hand_off_agent_run(tests.known('calls'), 'h', 'ada');
    select synapsor.record_agent_step(tests.known('calls'), 'one');
    select synapsor.record_agent_step(tests.known('calls'), 'two', 'tool') $$,
    'what is no tool call is not counted as one'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('calls'), 'three') $$, 'SY042',
    description => 'a third call is one too many'
);

select tests.a_workflow('{"max_input_tokens": 100, "max_output_tokens": 10}', 'thrifty');
select tests.remember('thrifty', run_id) from synapsor.start_agent_run('thrifty');
select synapsor.record_agent_step(tests.known('thrifty'), 'a', input_tokens => 60, output_tokens => 10);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('thrifty'), 'b', output_tokens => 1) $$,
    'SY042', 'run % would exceed max_output_tokens%', 'The contract allows 10; with this step it would be 11.',
    description => 'output tokens are counted'
);
select synapsor.record_agent_step(tests.known('thrifty'), 'b', status => 'running', input_tokens => 40);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('thrifty'), 'b', input_tokens => 41) $$,
    'SY042', 'run % would exceed max_input_tokens%', description => 'input tokens too, by what a later record adds'
);
select lives_ok(
    $$ select synapsor.record_agent_step(tests.known('thrifty'), 'b', input_tokens => 30);
    select synapsor.record_agent_step(tests.known('thrifty'), 'c', input_tokens => 10) $$,
    'or takes back'
);

-- Somebody else's equal proposal, made in another run, is not this run's step.
select tests.a_workflow('{"max_tool_calls": 1, "checkpoint_every_step": true}', 'one call');
select tests.remember('one call', run_id) from synapsor.start_agent_run('one call');
select is(
    (synapsor.propose_external_action('billing.issue_refund', '{"charge_id": "s", "amount_cents": 1}',
        run_id => tests.known('one call'))).changed,
    false, 'a held key answers'
);
select lives_ok(
    $$ select synapsor.record_agent_step(tests.known('one call'), 'only') $$, 'and is not counted'
);


-- Equal elements of one batch are one action, and one step.
select tests.a_workflow('{"max_tool_calls": 2, "checkpoint_every_step": true}', 'two calls');
select tests.remember('two calls', run_id) from synapsor.start_agent_run('two calls');
select is(
    (
        select count(distinct action_id) from synapsor.propose_external_actions('billing.issue_refund', array[
            '{"charge_id": "eq", "amount_cents": 1}', '{"charge_id": "eq", "amount_cents": 1}'
        ]::jsonb[], run_id => tests.known('two calls'))
    ),
    1::bigint, 'equal elements of a batch are one action'
);
select results_eq(
    $$ select kind from synapsor.synapsor_agent_run_steps where run_id = tests.known('two calls') order by sequence $$,
    $$ values ('external_action'), ('checkpoint') $$,
    'one step and one checkpoint'
);
select lives_ok(
    $$ select synapsor.record_agent_step(tests.known('two calls'), 'second') $$, 'counted once'
);
select tests.raises(
    $$ select synapsor.record_agent_step(tests.known('two calls'), 'third') $$, 'SY042', description => 'not less'
);


-- Checkpoints

select tests.a_workflow('{"checkpoint_every_step": true}', 'checked');
select tests.remember('checked', run_id) from synapsor.start_agent_run('checked');
select synapsor.record_agent_step(tests.known('checked'), 'slow', status => 'running');
select is_empty(
    $$ select from synapsor.synapsor_agent_run_steps where run_id = tests.known('checked') and kind = 'checkpoint' $$,
    'a step that is not finished leaves no checkpoint'
);
select synapsor.record_agent_step(tests.known('checked'), 'slow');
select synapsor.record_agent_step(tests.known('checked'), 'slow');
select synapsor.record_agent_step(tests.known('checked'), repeat('k', 2048));
select synapsor.record_guardrail_event(tests.known('checked'), 'g');
select synapsor.record_agent_step(tests.known('checked'), 'taken:checkpoint', 'own');
select synapsor.record_agent_step(tests.known('checked'), 'taken');
select synapsor.propose_external_action('billing.issue_refund', '{"charge_id": "ck", "amount_cents": 1}',
    run_id => tests.known('checked'), step_key => 'refund');
select results_eq(
    $$
    select jsonb_build_array(
        left(parent_step_key, 20), split_part(step_key, '_', 1), relation, status, left(input ->> 'step', 20)
    )
    from synapsor.synapsor_agent_run_steps
    where run_id = tests.known('checked') and kind = 'checkpoint' order by sequence
    $$,
    $$ values
        (jsonb_build_array('slow', 'slow:checkpoint', 'child', 'completed', 'slow')),
        (jsonb_build_array(repeat('k', 20), 'checkpoint:stp', 'child', 'completed', repeat('k', 20))),
        ('["taken:checkpoint", "taken:checkpoint:checkpoint", "child", "completed", "taken:checkpoint"]'),
        (jsonb_build_array('taken', 'checkpoint:stp', 'child', 'completed', 'taken')),
        (jsonb_build_array('refund', 'refund:checkpoint', 'child', 'completed', 'refund'))
    $$,
    'each finished step and each action leaves one below it, once, whatever keys are taken'
);


-- Risk

select tests.a_workflow('{"risk_policy": {"medium": {"approval_role": "support_lead"},
    "critical": {"approval_role": "director"}}}', 'risky');
select tests.remember('calm', run_id) from synapsor.start_agent_run('risky');
select is(
    (synapsor.record_agent_step(tests.known('calm'), 'calm', risk => 'low')).status, 'completed',
    'a risk below the policy demands nothing'
);
select is(
    (synapsor.propose_external_action('billing.issue_refund', '{"charge_id": "calm", "amount_cents": 1}',
        run_id => tests.known('calm'))).status,
    'queued', 'of actions neither'
);

select tests.remember('risky', run_id) from synapsor.start_agent_run('risky');
select tests.remember('step', step_id) from synapsor.record_agent_step(
    tests.known('risky'), 'decide', risk => 'high', output => '{"waive": true}'
);
select results_eq(
    $$ select jsonb_build_array(state, status, waits_for, finished_at, exit_data)
    from synapsor.synapsor_agent_run_steps where step_id = tests.known('step') $$,
    $$ values ('["waiting", "waiting_approval", "approval", null, {"waive": true}]'::jsonb) $$,
    'a step of that risk, or a higher one, waits for approval'
);
select results_eq(
    $$ select jsonb_build_array(tenant_id, action, arguments, proposed_by, required_role, approvals_required, risk)
    from synapsor.synapsor_pending_approvals where action_id = tests.known('step') $$,
    $$ values ('["acme", "decide", {}, "ada", "support_lead", 1, "high"]'::jsonb) $$,
    'and is listed with what waits for a reviewer'
);
select tests.raises(
    $$ select synapsor.explain_action(tests.known('step')) $$, 'SY011', hint_like =>
    'It is no action but waits for the risk of step decide in run run_%: explain_agent_run tells of it.',
    description => 'whoever asks for its story is told where to find it'
);
select matches(
    synapsor.explain_agent_run(tests.known('risky')),
    'waiting   for an approval by role support_lead\n'
    || '.*next      approve_external_action or reject_external_action of stp_',
    'the explanation tells whose, and how'
);
select is(
    (synapsor.record_agent_step(
        tests.known('risky'), 'decide', risk => 'high', output => '{"waive": true}'
    )).status,
    'waiting_approval', 'a repeat does not end it'
);
select is(
    (synapsor.record_agent_step(tests.known('risky'), 'decide', risk => 'low')).status,
    'waiting_approval', 'nor does a lower risk than the one it waits for'
);
select results_eq(
    $$ select jsonb_build_array(risk, waits_for, finished_at)
    from synapsor.synapsor_agent_run_steps where step_id = tests.known('step') $$,
    $$ values ('["high", "approval", null]'::jsonb) $$, 'and its risk stays'
);
select synapsor.record_agent_step(tests.known('risky'), 'harmless', risk => 'low');
create temporary table waiting as
select * from synapsor.propose_external_action('billing.issue_refund', '{"charge_id": "risk", "amount_cents": 1}',
    run_id => tests.known('risky'));
grant select on waiting to public;
select results_eq(
    $$ select status, approvals_required from waiting $$, $$ values ('proposed', 1) $$,
    'an action after it waits, though its contract needs no approval'
);
select results_eq(
    $$ select jsonb_build_array(action, required_role, risk, approvals_required)
    from synapsor.synapsor_pending_approvals where action_id in (select action_id from waiting) $$,
    $$ values ('["billing.issue_refund", "support_lead", "high", 1]'::jsonb) $$,
    'for the role, and the reviewer is told the risk'
);
reset session authorization;
set session authorization test_approver;
select tests.session('acme', 'rita', array['billing_reviewer']);
select tests.raises(
    $$ select synapsor.approve_external_action(action_id) from waiting $$, 'SY007',
    'action % is decided by role support_lead', description => 'nobody else decides it'
);
select tests.raises(
    $$ select synapsor.approve_external_action(tests.known('step')) $$, 'SY007',
    'step % is decided by role support_lead', description => 'nor the step'
);
select tests.session('acme', 'lena', array['support_lead'], 'agent');
select tests.raises(
    $$ select synapsor.approve_external_action(tests.known('step')) $$, 'SY007',
    'actor type agent decides nothing', description => 'an agent never does'
);
select tests.session('globex', 'lena', array['support_lead']);
select tests.raises(
    $$ select synapsor.approve_external_action(tests.known('step')) $$, 'SY011',
    description => 'another tenant''s step does not exist'
);
select tests.session('acme', 'lena', array['support_lead']);
select tests.advance('1 min');
select is(
    (select (synapsor.approve_external_action(waiting.action_id, 'fine')).status from waiting), 'queued',
    'the role approves'
);
select results_eq(
    $$ select state, status, finished_at from synapsor.synapsor_agent_run_steps where step_id = tests.known('step') $$,
    $$ values ('finished', 'completed', '2026-01-01 12:01+00'::timestamptz) $$,
    'and with the action the step that led to it'
);
reset session authorization;
set session authorization test_caller;
select tests.session('acme', 'ada');
select is(
    (synapsor.record_agent_step(
        tests.known('risky'), 'decide', risk => 'high', output => '{"waive": true}'
    )).status,
    'completed', 'a repeat of what was approved is an answer'
);
select is(
    (synapsor.propose_external_action('billing.issue_refund', '{"charge_id": "risk2", "amount_cents": 1}',
        run_id => tests.known('risky'))).status,
    'proposed', 'the next action is approved for itself'
);
select is(
    (synapsor.propose_external_action('billing.issue_refund', '{"charge_id": "elsewhere", "amount_cents": 1}')).status,
    'queued', 'outside of the run nothing waits'
);

-- The contract's own role is not replaced.
select tests.remember('both', (synapsor.propose_external_action(
    'billing.reviewed', '{"charge_id": "both", "amount_cents": 1}', run_id => tests.known('risky')
)).action_id);
select is(
    (select required_role from synapsor.synapsor_pending_approvals where action_id = tests.known('both')),
    'billing_reviewer and support_lead', 'where the contract names a role too, both are needed'
);
reset session authorization;
set session authorization test_approver;
select tests.raises(
    format($$ select tests.session('acme', 'rita', %L); select synapsor.approve_external_action(tests.known('both')) $$,
        held.roles),
    'SY007', 'action % is decided by role billing_reviewer and support_lead',
    description => held.roles || ' is not enough'
)
from (values ('{billing_reviewer}'), ('{support_lead}')) as held (roles);
select tests.session('acme', 'lena', array['support_lead', 'billing_reviewer']);
select is(
    (synapsor.approve_external_action(tests.known('both'))).status, 'queued', 'both are'
);

-- What became another thing after the action was asked for is not approved with it.
reset session authorization;
set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.remember('swapped', run_id) from synapsor.start_agent_run('risky');
select tests.remember('swapped step', step_id) from synapsor.record_agent_step(
    tests.known('swapped'), 'decide', risk => 'high', output => '{"waive": 1}'
);
select tests.remember('late step', step_id) from synapsor.record_agent_step(
    tests.known('swapped'), 'late', status => 'running'
);
select tests.remember('swap', (synapsor.propose_external_action(
    'billing.issue_refund', '{"charge_id": "swap", "amount_cents": 1}', run_id => tests.known('swapped')
)).action_id);
select tests.advance('1 min');
select synapsor.record_agent_step(tests.known('swapped'), 'decide', output => '{"waive": 1000}');
select synapsor.record_agent_step(tests.known('swapped'), 'late', risk => 'high');
select is(
    (synapsor.record_agent_step(tests.known('swapped'), 'decide', output => '{"waive": 1000}')).status,
    'waiting_approval', 'a repeat of what was recorded anew is an answer'
);
reset session authorization;
set session authorization test_approver;
select tests.session('acme', 'lena', array['support_lead']);
select is((synapsor.approve_external_action(tests.known('swap'))).status, 'queued', 'the action is approved');
select is(
    (select array_agg(status order by step_key) from synapsor.synapsor_agent_run_steps
    where step_id in (tests.known('swapped step'), tests.known('late step'))),
    '{waiting_approval,waiting_approval}', 'but not a step whose content or risk the reviewer could not know of'
);
select is(
    (synapsor.approve_external_action(tests.known('swapped step'))).status, 'completed', 'it is approved for itself'
);

-- The highest risk decides; words that nobody ranked are above them all.
reset session authorization;
set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.remember('worst', run_id) from synapsor.start_agent_run('risky');
select synapsor.record_agent_step(tests.known('worst'), 'm', status => 'running', risk => 'medium');
select synapsor.record_agent_step(tests.known('worst'), 'w', status => 'failed', risk => 'unheard_of');
select synapsor.record_agent_step(tests.known('worst'), 'l', risk => 'medium');
select is(
    (synapsor.propose_external_action('billing.issue_refund', '{"charge_id": "worst", "amount_cents": 1}',
        run_id => tests.known('worst'))).status, 'proposed', 'the run''s risk counts'
);
select results_eq(
    $$ select required_role || ' ' || risk from synapsor.synapsor_pending_approvals
    where arguments ->> 'charge_id' = 'worst' $$,
    $$ values ('director unheard_of') $$,
    'the highest of them, a word of nobody''s above all'
);

-- A step without an action is approved, or not, by its id.
select tests.remember('approved', step_id)
from synapsor.record_agent_step(tests.known('worst'), 'alone', risk => 'medium', output => '{"a": 1}');
select tests.remember('rejected', step_id)
from synapsor.record_agent_step(tests.known('worst'), 'bad idea', risk => 'medium');
reset session authorization;
set session authorization test_approver;
select tests.session('acme', 'lena', array['support_lead']);
select tests.raises(
    $$ select synapsor.approve_external_action(tests.known('approved'), expected_digest => repeat('0', 64)) $$,
    'SY024', description => 'another digest than expected is refused'
);
select results_eq(
    $$ select jsonb_build_array(action_id, action, status, step_key, changed)
    from synapsor.approve_external_action(tests.known('approved'), 'good', (
        select digest from synapsor.synapsor_pending_approvals where action_id = tests.known('approved')
    )) $$,
    $$ select jsonb_build_array(tests.known('approved'), 'alone', 'completed', 'alone', true) $$,
    'a step is approved by its id, with the digest that was shown'
);
select tests.raises(
    $$ select synapsor.approve_external_action(tests.known('approved')) $$,
    'SY021', 'step % does not await approval', description => 'once'
);
select is(
    (synapsor.reject_external_action(tests.known('rejected'), 'no')).status, 'blocked', 'or rejected'
);
select results_eq(
    $$ select jsonb_build_array(reviewer, verdict, note) from synapsor.synapsor_approvals
    where action_id in (tests.known('approved'), tests.known('rejected')) order by verdict $$,
    $$ values ('["lena", "approved", "good"]'::jsonb), ('["lena", "rejected", "no"]') $$,
    'the verdicts are kept'
);

-- Atomic actions
reset session authorization;
select synapsor.declare_action('{"action": "notes.add", "kind": "atomic", "args": {"note": {"type": "string"}},
    "handler": "public.note(jsonb,jsonb)", "emits_events": [], "mutates_domain": false}');
set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.remember('note', action_id)
from synapsor.invoke_action('notes.add', '{"note": "hi"}', run_id => tests.known('risky'));
select is(
    (select status from synapsor.synapsor_action_invocations where action_id = tests.known('note')),
    'waiting_for_approval', 'an atomic action waits too'
);
reset session authorization;
select is_empty('select from public.noted', 'and nothing has been done');
set session authorization test_approver;
select tests.session('acme', 'lena', array['support_lead']);
select is((synapsor.approve_external_action(tests.known('note'))).status, 'completed', 'until the role approves');
reset session authorization;
select results_eq('select note from public.noted', $$ values ('hi') $$, 'it is performed then');


-- What an action sets going by its own contract was allowed, counted and approved with it.
select synapsor.declare_action('{"action": "notes.send", "kind": "atomic", "args": {"note": {"type": "string"}},
    "handler": "public.note(jsonb,jsonb)", "emits_events": [], "mutates_domain": false,
    "adapter_steps": [{"action": "billing.other",
        "input": {"charge_id": "{parameters.note}", "amount_cents": 1}}]}');
select tests.a_workflow('{"allowed_actions": ["notes.send"], "max_tool_calls": 1,
    "risk_policy": {"any": {"approval_role": "support_lead"}}}', 'sending');
set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.remember('sending', run_id) from synapsor.start_agent_run('sending');
select tests.remember('sent', action_id)
from synapsor.invoke_action('notes.send', '{"note": "sent"}', run_id => tests.known('sending'));
reset session authorization;
set session authorization test_approver;
select tests.session('acme', 'lena', array['support_lead']);
select is(
    (synapsor.approve_external_action(tests.known('sent'))).status, 'running',
    'any: every action of the run needs the approval'
);
select results_eq(
    $$ select name || ' ' || status from synapsor.synapsor_agent_run_steps
    where run_id = tests.known('sending') order by sequence $$,
    $$ values ('notes.send running'), ('billing.other queued') $$,
    'its adapter step needs none, nor a name in the contract, nor a place in its limits'
);
reset session authorization;


-- Retention

set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.a_workflow('{"retention": {"runs_days": 30, "evidence_days": 10}}', 'kept');
select tests.a_workflow('{"retention": {"evidence_days": 10}}', 'kept evidence');
select tests.remember(flow.name, run_id)
from unnest(array['kept', 'kept evidence', 'free']) as flow (name)
cross join lateral synapsor.start_agent_run(flow.name);
select synapsor.record_agent_step(tests.known(flow.name), 's', evidence => '{"rows": 1}')
from unnest(array['kept', 'kept evidence', 'free']) as flow (name);
select tests.remember('kept refused', action_id)
from synapsor.invoke_action('billing.issue_refund', '{"amount_cents": -1}', run_id => tests.known('kept'));
select synapsor.complete_agent_run(tests.known(flow.name))
from unnest(array['kept', 'kept evidence', 'free']) as flow (name);
reset session authorization;
create function tests.left_over()
returns text
language sql
as $$
    select string_agg(
        known.name || ' ' || (
            select count(*) || coalesce(min(' ' || step.evidence::text), '')
            from synapsor.synapsor_agent_run_steps as step where step.run_id = tests.known(known.name)
        ),
        ', ' order by known.name
    ) || ', refused ' || (
        select count(*) from synapsor.synapsor_action_invocations where action_id = tests.known('kept refused')
    )
    from unnest(array['kept', 'kept evidence', 'free']) as known (name)
$$;
set session authorization test_admin;
select tests.session('acme', 'root');
select tests.advance('9 days');
select synapsor.purge(synapsor._now());
select is(
    tests.left_over(), 'free 1 {"rows": 1}, kept 1 {"rows": 1}, kept evidence 1 {"rows": 1}, refused 1',
    'within the retention nothing goes'
);
select tests.advance('2 days');
select synapsor.purge('2026-01-01');
select is(
    tests.left_over(), 'free 1 {"rows": 1}, kept 1 {"rows": 1}, kept evidence 1 {"rows": 1}, refused 1',
    'nor what ended after the given moment'
);
select synapsor.purge(synapsor._now());
select is(
    tests.left_over(), 'free 1 {"rows": 1}, kept 1, kept evidence 1, refused 1',
    'evidence goes after its days, a run''s invocations stay'
);
select tests.advance('20 days');
select tests.session('globex', 'root');
select synapsor.purge(synapsor._now());
select tests.session('acme', 'root');
select is(
    tests.left_over(), 'free 1 {"rows": 1}, kept 1, kept evidence 1, refused 1', 'another tenant removes nothing'
);
select synapsor.purge(synapsor._now());
select is(
    tests.left_over(), 'free 1 {"rows": 1}, kept 0, kept evidence 1, refused 0',
    'after its days the run goes whole, with its invocations'
);
reset session authorization;
select is_empty(
    $$ select from synapsor.workflow_runs where run_id = tests.known('kept') $$, 'and what was counted of it'
);

select * from finish();
rollback;
