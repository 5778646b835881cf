-- What explains an invocation of any kind, and the run it is a step of.

begin;

select plan(67);

\ir support/known.sql

-- A picture with the ids replaced by the names they are known by, or by dots.
create function tests.picture(text text) returns text
language plpgsql
stable
as $function$
declare
    one known;
begin
    for one in select * from known loop
        text := replace(text, one.id, '<' || one.name || '>');
    end loop;
    return regexp_replace(text, '(act|run)_[0-9A-Z]{26}', '\1_…', 'g');
end;
$function$;

create function tests.of_action(name text) returns text
language sql
as $function$
    select tests.picture(synapsor.explain_action(tests.known(of_action.name)));
$function$;

create function tests.of_run(name text default 'run') returns text
language sql
as $function$
    select tests.picture(synapsor.explain_agent_run(tests.known(of_run.name)));
$function$;

create function tests.of_run_as(name text, format text) returns text
language sql
as $function$
    select tests.picture(synapsor.explain_agent_run(tests.known(of_run_as.name), of_run_as.format));
$function$;

create function tests.shows(picture text, fragment text, description text) returns text
language sql
as $function$
    select ok(position(shows.fragment in shows.picture) > 0, shows.description)
        || case when position(shows.fragment in shows.picture) > 0 then '' else
            E'\n' || diag('have: ' || E'\n' || shows.picture || E'\nwant: ' || shows.fragment)
        end;
$function$;

create function tests.invoke(name text, action text, parameters jsonb, run text default null)
returns text
language sql
as $function$
    select tests.remember(
        invoke.name,
        (synapsor.invoke_action(
            invoke.action, invoke.parameters, run_id => tests.known(invoke.run)
        )).action_id
    );
$function$;


-- An application whose invoices go from paid to refunded

create role invoice_owner nologin;
create schema app authorization invoice_owner;
create table app.invoices (id text primary key, state text not null);
insert into app.invoices select 'i' || number, 'paid' from generate_series(1, 9) as number;
alter table app.invoices owner to invoice_owner;
grant usage on schema app to synapsor_guest;
grant select, update on app.invoices to synapsor_guest;

create function app.record_refund(context jsonb, parameters jsonb) returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    case parameters ->> 'mode'
        when 'refuse' then raise exception using errcode = 'SY003', message = E'bad\n└─ ✓ input';
        when 'crash' then raise exception 'disk on fire';
        when 'lazy' then return '{"success": true}';
        else null;
    end case;
    update app.invoices set state = 'refunded' where id = parameters ->> 'invoice_id';
    return jsonb_build_object(
        'success', true,
        'data', jsonb_build_object('charge_id', 'ch_9'),
        'events', jsonb_build_array(jsonb_build_object(
            'type', 'InvoiceRefunded', 'subject_type', 'Invoice',
            'subject_id', parameters ->> 'invoice_id'
        ))
    );
end;
$function$;
alter function app.record_refund(jsonb, jsonb) owner to invoice_owner;

create function app.check_refund(context jsonb) returns jsonb
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select case context -> 'parameters' ->> 'invoice_id'
        when 'i9' then '{"result": "block", "reason": "invoice i9 is frozen"}'::jsonb
        else '{"result": "pass"}'
    end;
$function$;
alter function app.check_refund(jsonb) owner to invoice_owner;

select tests.at('2026-01-01 12:00+00');
select synapsor.declare_state_machine('{
    "entity_type": "Invoice",
    "states": {"paid": "initial", "refunded": "terminal"},
    "transitions": [
        {"from": "paid", "to": "refunded", "action": "billing.record_refund"},
        {"from": "paid", "to": "refunded", "action": "billing.reviewed_refund"}
    ]
}');
select synapsor.declare_policy('{
    "policy": "billing.refund_limit.v1", "kind": "data", "guidance": "ask for less",
    "conditions": [{
        "when": {
            "kind": "parameter", "path": "parameters.amount_cents", "operator": "gt",
            "value": 50000
        },
        "result": "block", "reason": "over the limit"
    }]
}');
select synapsor.declare_policy('{
    "policy": "billing.draft.v1", "kind": "data", "mode": "shadow",
    "conditions": [{"when": {"kind": "always"}, "result": "warn", "reason": "a draft"}]
}');
select synapsor.declare_policy('{
    "policy": "billing.frozen.v1", "kind": "code", "evaluator": "app.check_refund(jsonb)"
}');
select tests.a_contract('{
    "args": {"charge_id": {"type": "string", "required": true}}, "idempotency": {"idempotent": true}
}', 'billing.mail');

create function tests.record_refund(overrides jsonb, name text) returns void
language sql
as $function$
    select synapsor.declare_action(jsonb_build_object('action', record_refund.name) || $json${
        "kind": "atomic",
        "args": {
            "invoice_id": {"type": "string", "required": true}, "mode": {"type": "string"},
            "amount_cents": {"type": "integer"}, "secret": {"type": "string"}
        },
        "hidden": {"tenant_id": {}, "principal": {}},
        "redact": ["secret"],
        "handler": "app.record_refund(jsonb,jsonb)",
        "mutates_domain": true,
        "emits_events": ["InvoiceRefunded"],
        "policies": ["billing.refund_limit.v1", "billing.draft.v1", "billing.frozen.v1"],
        "state_machine": {
            "entity_type": "Invoice", "table": "app.invoices", "id_column": "id",
            "state_column": "state", "entity_id": "{invoice_id}", "target_state": "refunded"
        },
        "adapter_steps": [
            {"action": "billing.mail", "input": {"charge_id": "{result.charge_id}"}},
            {"action": "billing.mail", "input": {"charge_id": "none"},
                "when": "$.parameters.mode == \"twice\""}
        ]
    }$json$::jsonb || record_refund.overrides);
$function$;
select tests.record_refund('{}', 'billing.record_refund');
select tests.record_refund(
    '{"approval": {"required": true, "role": "billing_reviewer"}, "adapter_steps": []}',
    'billing.reviewed_refund'
);


-- An atomic action

set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.invoke(
    'done', 'billing.record_refund', '{"invoice_id": "i1", "amount_cents": 10, "secret": "s3"}'
);
select tests.remember('mail', action_id)
from synapsor.synapsor_external_actions where action = 'billing.mail';
select is(
    tests.of_action('done'),
    array_to_string(array[
        'action <done> · billing.record_refund v1 · running',
        '  invoked   2026-01-01 12:00:00 UTC by ada of acme',
        '  asked     {"secret": "[redacted]", "invoice_id": "i1", "amount_cents": 10}',
        '  bound     principal, tenant_id from the session',
        '  policy    billing.refund_limit.v1: pass, no condition held',
        '  shadow    billing.draft.v1: warn, condition 1: always',
        '            recorded only, a shadow decides nothing',
        '  reason    "a draft"',
        '  policy    billing.frozen.v1: pass, evaluator app.check_refund(jsonb)',
        '  moved     Invoice i1 from paid to refunded',
        '  event     InvoiceRefunded of Invoice i1, number 1',
        '  event     StateTransitioned of Invoice i1, number 2',
        '  waiting   for 1 of 1 adapter step: <mail> queued',
        '  next      it completes once its steps have ended',
        '  skipped   step 2, billing.mail: by its condition or input',
        '  steps',
        '  └─ … billing.mail v1 · queued',
        '       action    <mail>',
        '       asked     {"charge_id": "ch_9"}',
        '       waiting   for a worker on queue billing_external_actions',
        '       note      no worker has ever reported on queue billing_external_actions'
    ], E'\n'),
    'a running action tells all that became of it and what it waits for'
);
select is(
    synapsor.explain_action(tests.known('done'), 'json')::jsonb -> 'transition',
    '{"subject_type": "Invoice", "subject_id": "i1", "from": "paid", "to": "refunded"}',
    'json has the transition'
);
select results_eq(
    $$
    select
        document -> 'bound', jsonb_path_query_array(document, '$.policies[*].result'),
        jsonb_path_query_array(document, '$.domain_events[*].event_type'),
        jsonb_path_query_array(document, '$.steps[*].delivery_status'), document -> 'skipped'
    from (
        select synapsor.explain_action(tests.known('done'), 'json')::jsonb as document
    ) as explained
    $$,
    $$
    values (
        '{"tenant_id": "[redacted]", "principal": "[redacted]"}'::jsonb,
        '["pass", "warn", "pass"]'::jsonb,
        '["AdapterInvocationStarted", "InvoiceRefunded", "StateTransitioned"]'::jsonb,
        '["queued"]'::jsonb, '[{"place": 2, "action": "billing.mail"}]'::jsonb
    )
    $$,
    'and what was bound, decided, emitted, started and skipped'
);
select unalike(
    synapsor.explain_action(tests.known('done'), 'json'), '%s3%', 'what is redacted is in neither'
);

reset session authorization;
set session authorization test_auditor;
select tests.session('acme', 'otto');
select tests.shows(
    tests.of_action('done'),
    '  bound     {"principal": "ada", "tenant_id": "acme"}',
    'an auditor sees what was bound'
);
select tests.shows(tests.of_action('done'), '"secret": "s3"', 'and what was asked');

reset session authorization;
set session authorization test_worker;
select tests.session('acme', 'worker_1');
select tests.advance('2 s');
select synapsor.confirm_external_action(
    claim.action_id, 'succeeded', '{"sent": true}', 're_1', claim_token => claim.claim_token
)
from synapsor.claim_external_actions('billing_external_actions') as claim;
select tests.shows(
    tests.of_action('done'),
    E'  waiting   for run_due_steps: 1 adapter step ended\n'
    || '  next      run_due_steps, which workers call, completes it',
    'when its steps have ended it waits for run_due_steps'
);
select synapsor.run_due_steps();
reset session authorization;
set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.shows(
    tests.of_action('done'), 'billing.record_refund v1 · completed after 2 s', 'then it is complete'
);
select tests.shows(
    tests.of_action('done'),
    array_to_string(array[
        '  answer    {"charge_id": "ch_9"}',
        '  skipped   step 2, billing.mail: by its condition or input',
        '  steps',
        '  └─ ✓ billing.mail v1 · succeeded after 2 s',
        '       action    <mail>',
        '       asked     {"charge_id": "ch_9"}',
        '       worker    worker_1, attempt 1 of 3, stripe refunds.create',
        '       provider  re_1',
        '       answer    {"sent": true}'
    ], E'\n'),
    'and its steps tell worker and provider id'
);
select tests.shows(tests.of_action('mail'), '  cause     <done>', 'a step names its action');
select is(
    synapsor.explain_action(tests.known('done')),
    (
        select synapsor.explain_action(tests.known('done'))
        from (select tests.advance('1 day') offset 0) as later
    ),
    'what is over reads the same the next day'
);


-- Refusals and failures

select tests.invoke('again', 'billing.record_refund', '{"invoice_id": "i1"}');
select tests.shows(
    tests.of_action('again'),
    '  failed    SY010: Invoice may not go from refunded to refunded by billing.record_refund',
    'a transition that is not registered'
);
select tests.invoke(
    'large', 'billing.record_refund', '{"invoice_id": "i2", "amount_cents": 60000}'
);
select tests.shows(
    tests.of_action('large'),
    array_to_string(array[
        'billing.record_refund v1 · blocked by policy',
        '  invoked   2026-01-02 12:00:02 UTC by ada of acme',
        '  asked     {"invoice_id": "i2", "amount_cents": 60000}',
        '  bound     principal, tenant_id from the session',
        '  policy    billing.refund_limit.v1: block, condition 1: parameters.amount_cents > 50000',
        '  reason    "over the limit"',
        '  guidance  "ask for less"',
        '  event     ComplianceBlocked of ActionInvocation <large>, number 1',
        '  blocked   SY009: blocked by policy billing.refund_limit.v1: over the limit',
        '  next      nothing was done; ask for what the policy allows'
    ], E'\n'),
    'blocked by policy: by which condition, why, and what to do about it'
);
select tests.invoke('frozen', 'billing.record_refund', '{"invoice_id": "i9"}');
select tests.shows(
    tests.of_action('frozen'),
    E'  policy    billing.frozen.v1: block, evaluator app.check_refund(jsonb)\n'
    || '  reason    "invoice i9 is frozen"',
    'blocked by code'
);
select tests.invoke('refused', 'billing.record_refund', '{"invoice_id": "i2", "mode": "refuse"}');
select tests.shows(
    tests.of_action('refused'),
    E'  refused   SY003: bad\\n\\u2514\\u2500 ✓ input\n'
    || '  next      nothing was done; correct the input and ask again',
    'input its handler refuses, the message escaped'
);
select tests.invoke('unfit', 'billing.record_refund', '{"amount_cents": "x"}');
select tests.shows(
    tests.of_action('unfit'), 'amount_cents is of type string, not integer.',
    'input that does not fit, with its violations'
);
select tests.shows(tests.of_action('unfit'), 'invoice_id is required.', 'all of them');
select tests.invoke('crashed', 'billing.record_refund', '{"invoice_id": "i2", "mode": "crash"}');
select tests.shows(
    tests.of_action('crashed'),
    E'  failed    P0001: disk on fire\n'
    || '  next      nothing was done; ask again once the cause is gone',
    'a failure with its SQLSTATE and message'
);
select unalike(tests.of_action('crashed'), '%moved%', 'what was undone did not happen');
select tests.invoke('lazy', 'billing.record_refund', '{"invoice_id": "i2", "mode": "lazy"}');
select tests.shows(tests.of_action('lazy'), 'failed    SY013: ', 'a handler without events');


-- Approval

select tests.invoke('reviewed', 'billing.reviewed_refund', '{"invoice_id": "i3"}');
select tests.shows(
    tests.of_action('reviewed'),
    E'  waiting   for an approval by role billing_reviewer\n'
    || E'  next      approve_external_action or reject_external_action\n'
    || E'  story\n    at once   Proposed → proposed, by ada',
    'an atomic action waits for its approval'
);
reset session authorization;
set session authorization test_approver;
select tests.session('acme', 'rita', array['billing_reviewer']);
select tests.advance('1 min');
select synapsor.approve_external_action(
    tests.known('reviewed'), E'fine"\n  moved     nothing\u202e'
);
select tests.shows(
    tests.of_action('reviewed'),
    E'  approved  by rita after 1 min: "fine\\"\\n moved nothing\\u202e"\n'
    || '  moved     Invoice i3 from paid to refunded',
    'and tells who gave it, the note escaped'
);
select tests.shows(
    tests.of_action('reviewed'), 'billing.refund_limit.v1 again after 1 min: pass',
    'and that the policies were asked again'
);


-- A step of a run

reset session authorization;
set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.remember('run', run.run_id) from synapsor.start_agent_run('support') as run;
select tests.invoke('step', 'billing.record_refund', '{"invoice_id": "i4", "secret": "s3"}', 'run');
select tests.invoke('bad step', 'billing.record_refund', '{"invoice_id": "i9"}', 'run');
select tests.remember('sent', action_id)
from synapsor.synapsor_external_actions where run_id = tests.known('run');
select results_eq(
    $$
    select jsonb_build_array(step_key, parent_step_key, relation, state, status, input)
    from synapsor.synapsor_agent_run_steps
    where run_id = tests.known('run') order by sequence
    $$,
    $$
    values
        ('["billing.record_refund", null, "root", "running", "running",
            {"secret": "[redacted]", "invoice_id": "i4"}]'::jsonb),
        ('["billing.mail", "billing.record_refund", "child", "running", "queued",
            {"charge_id": "ch_9"}]'),
        ('["billing.record_refund#2", null, "root", "finished", "blocked_by_policy",
            {"invoice_id": "i9"}]')
    $$,
    'an adapter step is below its action''s step, and each shows its arguments, redacted'
);
select results_eq(
    $$
    select jsonb_build_array(from_step_key, to_step_key, edge) from synapsor.synapsor_run_graph
    where run_id = tests.known('run') order by edge
    $$,
    $$
    values
        ('["billing.mail", "billing.record_refund", "caused_by"]'::jsonb),
        ('["billing.record_refund", "billing.mail", "child"]')
    $$,
    'the graph has both edges'
);
select tests.shows(
    tests.of_run(),
    array_to_string(array[
        '├─ … billing.record_refund v1 · running',
        '│  │ action    <step>',
        '│  │ asked     {"secret": "[redacted]", "invoice_id": "i4"}',
        '│  │ moved     Invoice i4 from paid to refunded',
        '│  │ events    InvoiceRefunded, StateTransitioned',
        '│  │ waiting   for 1 of 1 adapter step: <sent> queued',
        '│  │ next      it completes once its steps have ended',
        '│  └─ … billing.mail v1 · queued',
        '│       action    <sent>'
    ], E'\n'),
    'the picture too'
);
select tests.shows(
    tests.of_run(),
    array_to_string(array[
        '     policy    billing.frozen.v1: block, evaluator app.check_refund(jsonb)',
        '     reason    "invoice i9 is frozen"',
        '     events    ComplianceBlocked',
        '     blocked   SY009: blocked by policy billing.frozen.v1: invoice i9 is frozen'
    ], E'\n'),
    'a blocked step says by which policy'
);


-- What went otherwise

reset session authorization;
set session authorization test_worker;
select tests.session('acme', 'worker_1');
select tests.remember('first token', claim.claim_token::text)
from synapsor.claim_external_actions('billing_external_actions') as claim;
select tests.shows(
    tests.of_run(), 'waiting   for the provider''s answer, sent just now;',
    'a claim counts as begun'
);
select tests.advance('61 s');
select tests.session('acme', 'worker_2');
select synapsor.expire_claims();
select tests.shows(
    tests.of_run(),
    'lost      worker_1 after delivery began, lease ended 12:02:02; nobody has taken over',
    'a lost lease is told'
);
select tests.remember('second token', claim.claim_token::text)
from synapsor.claim_external_actions('billing_external_actions', worker_label => E'a\nb') as claim;
select tests.shows(tests.of_run(), '; taken over by worker_2', 'and who took over');
select tests.shows(tests.of_run(), 'worker_2 (a\nb)', 'whose label forges no line');
select tests.session('acme', 'worker_1');
select synapsor.confirm_external_actions(jsonb_build_array(jsonb_build_object(
    'action_id', tests.known('sent'), 'status', 'succeeded', 'provider_request_id', 're_late',
    'claim_token', tests.known('first token')::bigint
)));
select tests.shows(
    tests.of_run(), 'late      worker_1 reported succeeded re_late too late (SY032); kept as',
    'a late confirmation is evidence'
);
select tests.session('acme', 'worker_2');
select synapsor.confirm_external_action(
    tests.known('sent'), 'failed', error_code => 'declined', retryable => false,
    claim_token => tests.known('second token')::bigint
);
select synapsor.run_due_steps();
select tests.shows(
    tests.of_action('step'),
    E'  failed    SY013: adapter steps ended otherwise than planned: billing.mail failed\n'
    || '  next      what it did stands: retry_external_action on <sent>',
    'a failed step shows on its action, and what to do'
);
reset session authorization;
set session authorization test_approver;
select tests.session('acme', 'rita');
select synapsor.retry_external_action(tests.known('sent'), 'card replaced');
select tests.shows(
    tests.of_action('sent'), '  retried   by rita: "card replaced"', 'a retry is told'
);
reset session authorization;
set session authorization test_worker;
select tests.session('acme', 'worker_2');
select synapsor.release_claim(claim.action_id, claim.claim_token)
from synapsor.claim_external_actions('billing_external_actions', begin => false) as claim;
select tests.shows(
    tests.of_action('sent'),
    'lost      worker_2 before delivery began, given back 12:02:03; nobody has taken over',
    'a claim given back is told'
);
reset session authorization;
select tests.a_contract('{"approval": {"required": true}}');
set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.remember('drifted', (synapsor.propose_external_action(
    'billing.issue_refund', '{"charge_id": "ch_1", "amount_cents": 1}', run_id => tests.known('run')
)).action_id);
reset session authorization;
set session authorization test_approver;
select tests.session('acme', 'rita');
select synapsor.approve_external_action(tests.known('drifted'));
reset session authorization;
select tests.session('acme', 'root');
update synapsor.action_invocations set intent = replace(intent, '"ch_1"', '"ch_2"')
where action_id = tests.known('drifted');
set session authorization test_worker;
select tests.session('acme', 'worker_2');
select synapsor.claim_external_actions('billing_external_actions', 10);
select tests.shows(
    tests.of_run(), 'approved  by rita, no longer counted', 'an approval that is void says so'
);
select tests.shows(
    tests.of_run(), 'voided    the intent is not what was approved: it has to be approved anew',
    'and why'
);

reset session authorization;
select tests.a_contract('{"idempotency": {"idempotent": false}}', 'billing.once');
set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.remember('once', (synapsor.propose_external_action(
    'billing.once', '{"charge_id": "ch_1", "amount_cents": 1}'
)).action_id);
reset session authorization;
set session authorization test_worker;
select tests.session('acme', 'worker_1');
select tests.advance('1 min');
select synapsor.claim_external_actions('billing_external_actions', 10);
select tests.advance('61 s');
select synapsor.expire_claims();
select tests.shows(
    tests.of_action('once'),
    '  lost      worker_1 after delivery began, lease ended before 12:04:04; the outcome is',
    'a lost delivery that cannot be repeated is unknown'
);
select tests.shows(
    tests.of_action('once'),
    E'  next      ask the provider, then settle_external_action(\'<once>\',\n'
    || E'            \'succeeded\' | \'failed\' | \'queued\')\n',
    'and waits to be settled, for no worker may ask'
);
reset session authorization;
set session authorization test_approver;
select tests.session('acme', 'rita');
select synapsor.settle_external_action(tests.known('once'), 'queued', note => 'not there');
select tests.shows(
    tests.of_action('once'), '  settled   as queued by rita: "not there"', 'which is told'
);
select tests.shows(
    tests.of_action('reviewed'), '  event     InvoiceRefunded of Invoice i3, number 1',
    'an approver may ask for any action of the tenant'
);
reset session authorization;
select tests.session('acme', 'root');
select synapsor.quarantine_after_restore('disk lost');
select tests.shows(
    tests.of_action('once'), '  restored  an earlier database, as root declared: "disk lost"',
    'a restored database is told'
);
select synapsor.resume('all', '');

reset session authorization;
select tests.a_contract(
    '{"idempotency": {"idempotent": false}, "reconcile": {"operation": "refunds.get", "max_attempts": 1}}',
    'billing.askable'
);
set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.remember('askable', (synapsor.propose_external_action(
    'billing.askable', '{"charge_id": "ch_ask", "amount_cents": 1}'
)).action_id);
reset session authorization;
set session authorization test_worker;
select tests.session('acme', 'worker_1');
select synapsor.release_claim(
    claim.action_id, claim.claim_token, error_code => 'ReadTimeout', error_message => 'no answer in 20 s'
)
from synapsor.claim_external_actions('billing_external_actions', 10) as claim
where claim.action_id = tests.known('askable');
select tests.shows(
    tests.of_action('askable'), 'the provider may have done it, nobody knows: ReadTimeout: no answer in 20 s',
    'why a delivery was given back is told'
);
select tests.shows(
    tests.of_action('askable'), '  next      a worker reconciles it, or a person calls settle_',
    'a worker asks where the contract says how'
);
select tests.advance('1 hour');
create temporary table asked as
select * from synapsor.claim_external_actions('billing_external_actions', 10, purpose => 'reconcile');
select tests.shows(
    tests.of_action('askable'), '  waiting   for the worker to ask the provider what came of it; the claim ends in ',
    'while it asks, nothing is sent'
);
select synapsor.release_claim(claim.action_id, claim.claim_token) from asked as claim;
select tests.shows(
    tests.of_action('askable'), '  next      ask the provider, then settle_external_action(',
    'but not more often than it says'
);
reset session authorization;


-- More ways to decide

select synapsor.declare_policy('{
    "policy": "billing.both.v1", "kind": "hybrid",
    "conditions": [{
        "when": {"kind": "all", "conditions": [
            {"kind": "parameter", "path": "parameters.invoice_id", "operator": "exists"},
            {"kind": "not", "condition": {
                "kind": "comparison", "left": "parameters.invoice_id", "operator": "equals",
                "right": "parameters.mode"
            }}
        ]},
        "result": "warn"
    }],
    "fallback": {"policy": "billing.nowhere.v1"}
}');
select tests.record_refund(
    '{"policies": ["billing.both.v1"], "adapter_steps": []}', 'billing.odd_refund'
);
set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.invoke('odd', 'billing.odd_refund', '{"invoice_id": "i5", "mode": "none"}');
select tests.shows(
    tests.of_action('odd'),
    E'  policy    billing.both.v1: block, condition 1: parameters.invoice_id exists and not\n'
    || '            parameters.invoice_id = parameters.mode, then billing.nowhere.v1 on data',
    'conditions that held and did not, and the fallback'
);
reset session authorization;
select tests.record_refund(
    '{"policies": ["billing.nowhere.v1"], "adapter_steps": []}', 'billing.lost_refund'
);
set session authorization test_caller;
select tests.session('acme', 'ada');
select tests.invoke('missing', 'billing.lost_refund', '{"invoice_id": "i5"}');
select tests.shows(
    tests.of_action('missing'), 'policy    billing.nowhere.v1: block, not registered',
    'a policy that is not there'
);
select tests.invoke('turned down', 'billing.reviewed_refund', '{"invoice_id": "i6"}');
reset session authorization;
set session authorization test_approver;
select tests.session('acme', 'rita', array['billing_reviewer']);
select synapsor.reject_external_action(tests.known('turned down'), 'no');
select tests.shows(
    tests.of_action('turned down'), '  rejected  by rita: "no"', 'a rejection tells by whom and why'
);


-- Privacy, width, errors

reset session authorization;
select synapsor.declare_redaction('read_model', 'card', 'mask');
select synapsor.declare_redaction('action_evidence', 'charge_id', 'nullify');
select synapsor.declare_redaction('evidence_packet', 'doc', 'drop');
set session authorization test_caller;
select tests.session('acme', 'ada');
select synapsor.record_agent_step(
    tests.known('run'), 'look', input => '{"card": "12345678"}', output => '{"card": "12345678"}',
    evidence => '{"doc": "12345678"}'
);
select tests.shows(tests.of_run(), 'input     {"card": "****5678"}', 'a recorded step is redacted');
select unalike(
    synapsor.explain_agent_run(tests.known('run'), 'json'), '%12345678%',
    'its output and evidence too'
);
select unalike(
    synapsor.explain_action(tests.known('done'), 'json'), '%ch\_9%', 'an action''s result too'
);
select unalike(tests.of_run(), '%"ch\_9"%', 'in its run as well');
select is_empty(
    $$
    select line
    from known
    cross join string_to_table(
        case when known.id like 'run%' then synapsor.explain_agent_run(known.id)
            else synapsor.explain_action(known.id)
        end, E'\n'
    ) as line
    where known.id like '%\_%' and length(line) > 100
    $$,
    'no line is wider than 100 columns'
);
select tests.raises(
    $$ select synapsor.explain_action('act_x') $$, 'SY011', 'action act_x does not exist',
    'No such action is visible to this session.', 'synapsor.synapsor_action_invocations lists%',
    'an action that is not there'
);
select tests.raises(
    $$ select synapsor.explain_agent_run('run_x') $$, 'SY011', 'run run_x does not exist',
    'No such run is visible to this session.', 'synapsor.synapsor_agent_workflow_runs lists%',
    'a run that is not there'
);
select tests.raises(
    $$ select synapsor.explain_action('act_x', 'dot') $$, 'SY003', null,
    'An explanation is a picture%', 'Formats are text and json.', 'a format that is not there'
);
select tests.session('globex', 'eve');
select tests.raises(
    $$ select synapsor.explain_action(tests.known('done')) $$, 'SY011',
    description => 'another tenant''s action is not there'
);
select is_empty(
    $$
    select action_id from synapsor._adapter_steps(array[tests.known('done')])
    union all
    select action_id from synapsor._delivery_history(array[tests.known('sent')])
    $$,
    'nor its steps and their history'
);



-- Diagrams

select tests.session('acme', 'ada');
select tests.remember('drawn', (synapsor.start_agent_run('support.flow')).run_id);
select synapsor.record_agent_step(
    tests.known('drawn'), 'a"] --> n0', name => E'<script>\n[x](https://evil.example)', status => 'failed'
);
select synapsor.record_agent_step(tests.known('drawn'), 'below', parent_step_key => 'a"] --> n0');
select tests.invoke('drawn action', 'billing.reviewed_refund', '{"invoice_id": "i7"}', 'drawn');
select is(
    regexp_replace(tests.of_run_as('drawn', 'mermaid'), ' +classDef.*', ''),
    E'flowchart TD\n'
    || E'    n0["run <drawn><br/>support.flow<br/>open<br/>by ada"]:::open\n'
    || '    n1["✗ a#34;#93; #45;#45;#62; n0 · capability #60;script#62;#92;n#91;x#93;#40;https#58;#47;#47;evil.ex…'
    || E'<br/>failed"]:::wrong\n'
    || E'    n2["✓ below · capability<br/>completed"]:::done\n'
    || '    n3["… billing.reviewed_refund v1<br/>proposed'
    || E'<br/>waiting for an approval by role billing_reviewer"]:::open\n'
    || E'    n0 --> n1\n'
    || E'    n0 --> n3\n'
    || E'    n1 --> n2\n',
    'a run as a flowchart, in which names are text'
);
select is(
    regexp_replace(tests.of_run_as('drawn', 'dot'), '^.*?(?=    n0)', ''),
    E'    n0 [label="run <drawn>\\lsupport.flow\\lopen\\lby ada\\l", fillcolor="#e8f0fe", color="#4285f4"];\n'
    || E'    n1 [label="✗ a\\"] --> n0 · capability <script>\\\\n[x](https://evil.ex…\\lfailed\\l",'
    || E' fillcolor="#fce8e6", color="#d93025"];\n'
    || E'    n2 [label="✓ below · capability\\lcompleted\\l", fillcolor="#e6f4ea", color="#34a853"];\n'
    || E'    n3 [label="… billing.reviewed_refund v1\\lproposed\\l'
    || E'waiting for an approval by role billing_reviewer\\l", fillcolor="#e8f0fe", color="#4285f4"];\n'
    || E'    n0 -> n1 [style="solid"];\n'
    || E'    n0 -> n3 [style="solid"];\n'
    || E'    n1 -> n2 [style="solid"];\n'
    || '}',
    'and as a graph'
);
select unalike(
    synapsor.explain_agent_run(tests.known('run'), named.format), '%12345678%',
    format('nothing redacted is in a %s', named.format)
)
from (values ('mermaid'), ('dot')) as named (format);
select tests.session('globex', 'eve');
select tests.raises(
    format('select synapsor.explain_agent_run(%L, %L)', tests.known('drawn'), named.format), 'SY011',
    description => format('another tenant''s run is not there as %s', named.format)
)
from (values ('text'), ('json'), ('mermaid'), ('dot')) as named (format);

select * from finish();
rollback;
