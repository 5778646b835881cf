-- Atomic actions from policy to completion: one canonical path, everything or nothing, and a row
-- for every attempt (design.md section 6; seeds/mutation-pipeline.txt, seeds/pipeline-stages.txt).

begin;

select plan(102);

create role shop_owner;
create schema app authorization shop_owner;
grant usage on schema app to synapsor_guest, test_caller, test_approver;

create table app.invoices (id text primary key, state text not null, notes int not null default 0);
insert into app.invoices values
('i1', 'paid'), ('i2', 'paid'), ('i3', 'open'), ('i4', 'paid'), ('i5', 'paid'), ('i6', 'paid'),
('i7', 'paid'), ('i8', 'paid'), ('i9', 'paid');
alter table app.invoices owner to shop_owner;
grant select on app.invoices to test_caller;

-- One handler that does what its `mode` says.
create function app.record_refund(context jsonb, parameters jsonb)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    if parameters ->> 'mode' is distinct from 'idle' then
        update app.invoices
        set state = 'refunded', notes = notes + 1
        where id = parameters ->> 'invoice_id';
    end if;
    case parameters ->> 'mode'
        when 'wrong_input' then raise exception 'no such reason' using errcode = 'SY003';
        when 'crash' then raise exception 'the disk is full' using errcode = '53100';
        when 'unsuccessful' then return '{"success": false, "error": "already refunded elsewhere"}';
        when 'nothing' then return null;
        when 'junk' then return '{"success": "maybe"}';
        when 'silent' then return '{"success": true}';
        when 'undeclared' then return
            '{"success": true, "events": [{"type": "MoneyBurnt", "subject_type": "Invoice", "subject_id": "i1"}]}';
        when 'forged' then return
            '{"success": true, "events": [
                {"type": "InvoiceRefunded", "subject_type": "AdapterInvocation", "subject_id": "x"}
            ]}';
        else null;
    end case;
    return jsonb_build_object(
        'success', true,
        'data', jsonb_build_object(
            'charge_id', 'ch_' || (parameters ->> 'invoice_id'),
            'notify', parameters ->> 'mode' is distinct from 'quiet',
            'seen', context
        ),
        'events', jsonb_build_array(jsonb_build_object(
            'type', 'InvoiceRefunded', 'subject_type', 'Invoice', 'subject_id', parameters ->> 'invoice_id',
            'payload', jsonb_build_object('by', context ->> 'principal')
        ))
    );
end
$function$;
alter function app.record_refund(jsonb, jsonb) owner to shop_owner;

create function tests.atomic(overrides jsonb default '{}')
returns integer
language sql
as $function$
    select version from synapsor.declare_action(jsonb_strip_nulls('{
        "action": "billing.record_refund", "kind": "atomic",
        "args": {
            "invoice_id": {"type": "string", "required": true}, "mode": {"type": "string"},
            "amount_cents": {"type": "integer"}
        },
        "hidden": {"tenant_id": {}, "principal": {}},
        "handler": "app.record_refund(jsonb,jsonb)", "mutates_domain": true, "emits_events": ["InvoiceRefunded"],
        "state_machine": {
            "entity_type": "Invoice", "table": "app.invoices", "id_column": "id", "state_column": "state",
            "entity_id": "{invoice_id}", "target_state": "refunded"
        }
    }' || overrides))
$function$;

create function tests.invoke(invoice text, mode text default null, key text default null, amount int default 1)
returns synapsor.invocation
language sql
as $function$
    select * from synapsor.invoke_action(
        'billing.record_refund',
        jsonb_strip_nulls(jsonb_build_object('invoice_id', invoice, 'mode', mode, 'amount_cents', amount)),
        idempotency_key => key
    )
$function$;

create function tests.state(invoice text)
returns text
language sql
security definer
as 'select state || notes from app.invoices where id = state.invoice';

create function tests.story(action_id text)
returns text
language sql
security definer
as $function$
    select string_agg(event.event_type, ' ' order by event.subject_type desc, event.subject_id, event.sequence)
    from synapsor.domain_events as event
    where event.action_id = story.action_id
$function$;

select synapsor.declare_state_machine('{
    "entity_type": "Invoice", "states": {"open": "initial", "paid": "active", "refunded": "terminal"},
    "transitions": [{"from": "paid", "to": "refunded", "action": "billing.record_refund"}]
}');
select tests.atomic();
select tests.session('acme', 'alice');
set session authorization test_caller;

-- A binding may only name tables the administrator has granted.
create temp table t as select * from tests.invoke('i1');
grant select on t to public;
select is((select status from t), 'failed', 'a table that synapsor_guest may not read fails the invocation');
select is((select error_code from t), 'SY007', 'with SY007');
reset session authorization;
grant select, update on app.invoices to synapsor_guest;
set session authorization test_caller;

-- Success.
truncate t;
insert into t select * from tests.invoke('i1');
select is((select status from t), 'completed', 'an atomic action is completed in the call that asks for it');
select is((select kind from t), 'atomic', 'as atomic');
select ok((select delivery_status is null from t), 'without a delivery');
select is((select result ->> 'charge_id' from t), 'ch_i1', 'with the data its handler returned');
select ok((select completed_at >= created_at from t), 'and the time it took');
select is(tests.state('i1'), 'refunded1', 'its handler moved the row, once');
select is(
    tests.story((select action_id from t)), 'InvoiceRefunded StateTransitioned',
    'the handler''s event and the transition are on record'
);
select is(
    (select result -> 'seen' ->> 'principal' from t), 'alice', 'the handler is told who asked'
);
select is(
    (select result -> 'seen' ->> 'action_id' from t), (select action_id from t), 'and for which invocation'
);
select is(
    (
        select row(event.sequence, event.actor, event.payload)::text from synapsor.synapsor_events as event
        where event.subject_id = 'i1' and event.event_type = 'StateTransitioned'
    ),
    row(2::bigint, 'alice'::text, '{"from": "paid", "to": "refunded", "action": "billing.record_refund"}'::jsonb)::text,
    'the transition says from where to where, and by what'
);

-- Wrong input is not a failure, a failure is not wrong input; in both, nothing of the handler stays.
create temp table refused (mode text, wanted_status text, wanted_code text, wanted_message text);
insert into refused values
('wrong_input', 'validation_failed', 'SY003', 'no such reason'),
('crash', 'failed', '53100', 'the disk is full'),
('unsuccessful', 'failed', 'SY013', 'already refunded elsewhere'),
('nothing', 'failed', 'SY013', '%returned no result'),
('junk', 'failed', 'SY013', '%returned no result'),
('silent', 'failed', 'SY013', '%emitted no event'),
('undeclared', 'failed', 'SY013', '%emitted the undeclared event MoneyBurnt'),
('forged', 'failed', 'SY013', '%AdapterInvocation%'),
('idle', 'failed', 'SY010', '%did not bring Invoice i2 to state refunded');
create temp table outcome as
select
    refused.*,
    tried.*
from refused
cross join lateral tests.invoke('i2', refused.mode) as tried;
select is(status, wanted_status, format('a handler that is %s: %s', mode, wanted_status))
from outcome
order by mode;
select is(error_code, wanted_code, format('a handler that is %s: %s', mode, wanted_code))
from outcome
order by mode;
select alike(error_message, wanted_message, format('a handler that is %s says so', mode))
from outcome
order by mode;
select is(
    (select count(*)
    from synapsor.synapsor_action_invocations
    where action_id in (select action_id from outcome)),
    9::bigint, 'each of these attempts is a row'
);
select is(tests.state('i2'), 'paid0', 'and none of them touched the invoice');
select is(
    (select count(*)
    from synapsor.synapsor_events
    where action_id in (select action_id from outcome)),
    0::bigint, 'nor left an event'
);

-- State machine.
select is((tests.invoke('i3')).error_code, 'SY010', 'a transition that is not registered fails before the handler');
select is(tests.state('i3'), 'open0', 'which did not run');
select is((tests.invoke('i99')).error_code, 'SY011', 'a missing entity fails');
select is((tests.invoke('i1')).error_code, 'SY010', 'from refunded there is no way to refunded');

-- Idempotency: only a key somebody chose makes two requests one.
truncate t;
insert into t select * from tests.invoke('i4', 'crash', 'k1');
select is(
    (select row(again.action_id, again.status, again.changed)::text from tests.invoke('i4', 'crash', 'k1') as again),
    (select row(action_id, 'failed'::text, false)::text from t),
    'an equal repeat with a key returns the stored invocation, failed or not'
);
select is(
    (select status || ' ' || error_code from tests.invoke('i4', null, 'k1')), 'validation_failed SY008',
    'the same key with other parameters is refused, as a row'
);
select isnt(
    (tests.invoke('i4', 'crash')).action_id, (tests.invoke('i4', 'crash')).action_id,
    'without a key two equal requests are two invocations'
);

-- Policies.
reset session authorization;
select synapsor.declare_policy('{
    "policy": "billing.limit.v1", "kind": "data", "reason": "refunds are limited", "guidance": "ask finance",
    "conditions": [
        {"when": {"kind": "parameter", "path": "parameters.amount_cents", "operator": "gt", "value": 900},
         "result": "block", "reason": "over the limit"},
        {"when": {"kind": "parameter", "path": "parameters.amount_cents", "operator": "gt", "value": 500},
         "result": "warn", "reason": "large", "require_approval": {"role": "finance", "approvals": 1}}
    ]}');
create table app.freeze (is_on boolean not null);
insert into app.freeze values (false);
alter table app.freeze owner to shop_owner;
create function app.check_freeze(context jsonb)
returns jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select jsonb_build_object(
        'result', case when is_on then 'block' else 'pass' end, 'reason', 'frozen'
    )
    from app.freeze
$function$;
alter function app.check_freeze(jsonb) owner to shop_owner;
select synapsor.declare_policy(
    '{"policy": "billing.freeze.v1", "kind": "code", "evaluator": "app.check_freeze(jsonb)", "preview_safe": true}'
);
select tests.atomic('{"policies": ["billing.limit.v1", "billing.freeze.v1"]}');
set session authorization test_caller;
truncate t;
insert into t select * from tests.invoke('i5', amount => 1000);
select is((select status from t), 'blocked_by_policy', 'a policy that blocks halts the invocation');
select is((select error_code from t), 'SY009', 'with SY009');
select is(tests.state('i5'), 'paid0', 'before its handler ran');
select is(tests.story((select action_id from t)), 'ComplianceBlocked', 'which is an event');
select is(
    (select result || ' ' || reason
    from synapsor.synapsor_policy_evaluations
    where action_id = (select action_id from t) and result = 'block'),
    'block over the limit', 'and evidence of how it was decided'
);
select is(
    (synapsor.preview_action('billing.record_refund', '{"invoice_id": "i5", "amount_cents": 1000}') ->> 'error_code'),
    'SY009', 'a preview says so beforehand'
);
select is(
    synapsor.preview_action('billing.record_refund', '{"invoice_id": "i5", "amount_cents": 600}')
    -> 'approval' ->> 'role',
    'finance', 'and that approval would be needed'
);
select is((tests.invoke('i5', amount => 5)).status, 'completed', 'what the policy lets pass is performed');

-- Approval between policy and execution.
truncate t;
insert into t select * from tests.invoke('i6', amount => 600);
select is((select status from t), 'waiting_for_approval', 'a policy may demand approval');
select is(tests.state('i6'), 'paid0', 'nothing is performed meanwhile');
reset session authorization;
select tests.session('acme', 'fiona', array['finance']);
set session authorization test_approver;
select is(
    (select required_role || ' ' || coalesce(reason, '') from synapsor.synapsor_pending_approvals), 'finance large',
    'the reviewer sees which role is asked, and why'
);
create temp table approved as
select * from synapsor.approve_external_action((select action_id from t), 'fine');
select is((select status from approved), 'completed', 'approval performs it in the approver''s transaction');
select is((select principal from approved), 'alice', 'for the one who asked');
select ok((select provider is null and queue is null and claim_token is null from approved), 'without a delivery');
select is(tests.state('i6'), 'refunded1', 'once');
select is(
    (select changed from synapsor.approve_external_action((select action_id from t))), false,
    'approving again changes nothing'
);
select is(tests.state('i6'), 'refunded1', 'and performs nothing');
select is(
    (select status from synapsor.synapsor_action_invocations where action_id = (select action_id from t)),
    'completed', 'the invocation is completed'
);

-- Reject, cancel, and a policy or a state that turned meanwhile.
reset session authorization;
select tests.session('acme', 'alice');
set session authorization test_caller;
create temp table waiting as
select number, (tests.invoke('i' || number, amount => 600)).action_id from generate_series(7, 9) as number;
grant select on waiting to public;
select is(
    (select status from synapsor.cancel_external_action((select action_id from waiting where number = 7), 'no')),
    'cancelled', 'its own may be cancelled while it waits'
);
select is(
    (select status
    from synapsor.synapsor_action_invocations
    where action_id = (select action_id from waiting where number = 7)),
    'cancelled', 'and the invocation says so'
);
reset session authorization;
update app.invoices set state = 'open' where id = 'i8';
select tests.session('acme', 'fiona', array['finance']);
set session authorization test_approver;
select is(
    (select status || ' ' || error_code
    from synapsor.approve_external_action((select action_id from waiting where number = 8))),
    'failed SY010', 'approval is judged by the state machine of that moment'
);
reset session authorization;
update app.freeze set is_on = true;
set session authorization test_approver;
select is(
    (select status || ' ' || error_code
    from synapsor.approve_external_action((select action_id from waiting where number = 9))),
    'blocked_by_policy SY009', 'a policy that blocks by now blocks, and the call returns'
);
select is(
    (select status
    from synapsor.synapsor_action_invocations
    where action_id = (select action_id from waiting where number = 9)),
    'blocked_by_policy', 'as the invocation says'
);
select is(tests.state('i9'), 'paid0', 'nothing was performed');
reset session authorization;

-- Adapter steps.
update app.invoices set state = 'paid', notes = 0;
select synapsor.declare_action('{
    "action": "mail.send", "args": {"charge_id": {"type": "string", "required": true}, "to": {"type": "string"}},
    "hidden": {"tenant_id": {}}, "queue": "mail", "idempotency": {"idempotent": true}, "retry": {"max_attempts": 9}
}');
select synapsor.declare_action('{"action": "mail.fax", "args": {"charge_id": {"type": "string"}}, "queue": "mail"}');
select tests.atomic('{"adapter_steps": [
    {"action": "mail.send", "input": {"charge_id": "{result.charge_id}"}, "when": "$.result.notify == true"},
    {"action": "mail.fax", "input": {"charge_id": "{result.charge_id}"}, "when": "$.parameters.amount_cents > 100",
     "retry": {"max_attempts": 5}}
]}');
select tests.session('acme', 'alice');
set session authorization test_caller;
truncate t;
insert into t select * from tests.invoke('i1', amount => 200);
select is((select status from t), 'running', 'a parent with open steps is running');
select is(
    (
        select string_agg(
            concat_ws(' ', step.action, step.status, step.max_attempts, step.arguments ->> 'charge_id'),
            ', ' order by step.action
        )
        from synapsor.synapsor_external_actions as step
        where step.correlation_id = (select action_id from t)
    ),
    'mail.fax queued 1 ch_i1, mail.send queued 5 ch_i1',
    'each step is an external action: five attempts at most, one if not idempotent'
);
select is(
    (select status from tests.invoke('i2', 'quiet', amount => 5)), 'completed',
    'a step whose `when` is false is skipped'
);
reset session authorization;
select tests.session('acme', 'worker', actor_type => 'service_account');
set session authorization test_worker;
create temp table claimed as select * from synapsor.claim_external_actions('mail', 10);
select is((select count(*) from claimed), 2::bigint, 'workers are offered the steps');
select accepted from synapsor.confirm_external_actions((
    select jsonb_agg(jsonb_build_object('action_id', action_id, 'claim_token', claim_token, 'status', 'succeeded'))
    from claimed where action = 'mail.send'
)) \gset
select is(synapsor.run_due_steps(), 1, 'an outcome makes the parent due');
reset session authorization;
select tests.session('acme', 'alice');
set session authorization test_caller;
select is(
    (select status from synapsor.synapsor_action_invocations where action_id = (select action_id from t)), 'running',
    'which stays running while a step is open'
);
reset session authorization;
select tests.session('acme', 'worker', actor_type => 'service_account');
set session authorization test_worker;
select synapsor.confirm_external_action(action_id, 'failed', error_code => 'busy', claim_token => claim_token)
from claimed where action = 'mail.fax';
select is(synapsor.run_due_steps(), 1, 'the last outcome does so too');
reset session authorization;
select tests.session('acme', 'alice');
set session authorization test_caller;
select is(
    (select status || ' ' || error_message
    from synapsor.synapsor_action_invocations
    where action_id = (select action_id from t)),
    'failed adapter steps ended otherwise than planned: mail.fax failed', 'a failed step shows on its parent'
);
select is(
    tests.story((select action_id from t)),
    'InvoiceRefunded StateTransitioned AdapterInvocationStarted AdapterInvocationSucceeded '
    || 'AdapterInvocationStarted AdapterInvocationFailed',
    'and every step began and ended as an event'
);
select is(tests.state('i1'), 'refunded1', 'what the handler did stays done');

-- A step that does not fit its contract undoes the whole action.
reset session authorization;
select tests.atomic('{"adapter_steps": [{"action": "mail.send", "input": {"nonsense": "{result.charge_id}"}}]}');
select tests.session('acme', 'alice');
set session authorization test_caller;
select is((tests.invoke('i4')).error_code, 'SY013', 'a step that does not fit its contract fails the action');
select is(tests.state('i4'), 'paid0', 'and undoes it');
select is(
    (select count(*) from synapsor.synapsor_external_actions where queue = 'mail' and status = 'queued'), 0::bigint,
    'no half of it is queued'
);

-- What the verb returns is what the view shows, whoever asks.
reset session authorization;
insert into app.invoices
select login || rules || mode, 'paid'
from unnest(array['test_caller', 'test_admin']) as login
cross join unnest(array['plain', 'masked']) as rules
cross join unnest(array['quiet', 'crash', 'wrong_input', 'unknown']) as mode;
select tests.atomic('{"redact": ["mode"], "idempotency": {"key": "{principal}:{invoice_id}:{mode}"}}');
create function tests.unlike(login text, rules text, mode text)
returns setof text
language plpgsql
as $function$
declare
    invoked constant synapsor.invocation := synapsor.invoke_action('billing.record_refund', jsonb_build_object(
        'invoice_id', login || rules || mode, case mode when 'unknown' then 'other' else 'mode' end, mode
    ));
begin
    return query
    select format('%s: %s, not %s', field.key, field.value, to_jsonb(stored) -> field.key)
    from jsonb_each(to_jsonb(invoked)) as field
    cross join synapsor.synapsor_action_invocations as stored
    where stored.action_id = invoked.action_id and field.key <> 'changed'
        and field.value is distinct from to_jsonb(stored) -> field.key
    union all
    select 'not shown at all' where not exists (
        select from synapsor.synapsor_action_invocations as stored where stored.action_id = invoked.action_id
    );
end;
$function$;
create function tests.expect_alike(login text, rules text)
returns setof text
language plpgsql
as $function$
begin
    perform tests.session('acme', 'alice');
    perform set_config('session_authorization', login, true);
    return query
    select is_empty(
        format('select * from tests.unlike(%L, %L, %L)', login, rules, mode),
        format('%s, asked by %s, is returned as it is shown (%s)', mode, login, rules)
    )
    from unnest(array['quiet', 'crash', 'wrong_input', 'unknown']) as mode;
    reset session authorization;
end;
$function$;
select tests.expect_alike('test_caller', 'plain');
select tests.expect_alike('test_admin', 'plain');
select synapsor.declare_redaction('action_evidence', 'invoice_id', 'mask');
select synapsor.declare_redaction('action_evidence', 'charge_id', 'mask');
select tests.expect_alike('test_caller', 'masked');
select tests.expect_alike('test_admin', 'masked');

reset session authorization;
select * from finish();
rollback;
