-- Sentences of the two documents that no other file proves: mostly the order of the stages, and what
-- stays on record. tests/test_documents.py lists every sentence with its test.

begin;

select plan(26);

create role shop_owner;
create schema app authorization shop_owner;
grant usage on schema app to synapsor_guest;
create table app.invoices (id text primary key, state text not null);
insert into app.invoices values
('i1', 'paid'), ('i2', 'paid'), ('i3', 'paid'), ('i4', 'paid'), ('i5', 'paid'), ('i6', 'open');
alter table app.invoices owner to shop_owner;
grant select, update on app.invoices to synapsor_guest;

create function app.record_refund(context jsonb, parameters jsonb)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    update app.invoices set state = 'refunded' where id = parameters ->> 'invoice_id';
    return jsonb_build_object(
        'success', true, 'data', parameters || '{"nothing": null}',
        'events', jsonb_build_array(jsonb_build_object(
            'type', 'InvoiceRefunded', 'subject_type', 'Invoice',
            'subject_id', parameters ->> 'invoice_id'
        ))
    );
end
$function$;
alter function app.record_refund(jsonb, jsonb) owner to shop_owner;

create function app.check_amount(context jsonb)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    if (context -> 'parameters' ->> 'amount_cents')::int = 13 then
        raise exception 'the rates are not known' using errcode = '53400';
    end if;
    return '{"result": "pass"}';
end
$function$;
alter function app.check_amount(jsonb) owner to shop_owner;

select synapsor.declare_state_machine('{
    "entity_type": "Invoice",
    "states": {"open": "initial", "paid": "active", "refunded": "terminal", "void": "terminal"},
    "transitions": [{"from": "paid", "to": "refunded", "action": "billing.record_refund"}]
}');
select synapsor.declare_policy('{"policy": "billing.limit.v1", "kind": "data", "conditions": [
    {"when": {"kind": "parameter", "path": "parameters.amount_cents", "operator": "gt",
              "value": 900}, "result": "block"},
    {"when": {"kind": "parameter", "path": "parameters.amount_cents", "operator": "gt",
              "value": 500}, "result": "warn", "reason": "large"}]}');
select synapsor.declare_policy(
    '{"policy": "billing.amount.v1", "kind": "code", "evaluator": "app.check_amount(jsonb)"}'
);
select synapsor.declare_policy(
    '{"policy": "billing.both.v1", "kind": "hybrid", "fallback": {"policy": "billing.amount.v1"},
      "conditions": [{"when": {"kind": "always"}, "result": "warn"}]}'
);
select synapsor.declare_action('{
    "action": "mail.send", "args": {"to": {"type": "string", "required": true}}, "queue": "mail",
    "idempotency": {"idempotent": true}, "retry": {"max_attempts": 9}
}');
select synapsor.declare_action('{
    "action": "mail.fax", "args": {"to": {"type": "string", "required": true}}, "queue": "mail"
}');
create function tests.declared(overrides jsonb)
returns integer
language sql
as $function$
    select version from synapsor.declare_action('{
        "action": "billing.record_refund", "kind": "atomic",
        "args": {
            "invoice_id": {"type": "string", "required": true}, "amount_cents": {"type": "integer"},
            "into": {"type": "string"}
        },
        "handler": "app.record_refund(jsonb,jsonb)", "mutates_domain": true,
        "emits_events": ["InvoiceRefunded"],
        "state_machine": {
            "entity_type": "Invoice", "table": "app.invoices", "id_column": "id",
            "state_column": "state", "entity_id": "{invoice_id}", "target_state": "refunded"
        }
    }' || overrides)
$function$;
create function tests.invoke(invoice text, amount integer, correlation text default null)
returns synapsor.invocation
language sql
as $function$
    select * from synapsor.invoke_action(
        'billing.record_refund',
        jsonb_build_object('invoice_id', invoice, 'amount_cents', amount, 'into', 'refunded'),
        correlation_id => correlation
    )
$function$;

-- What happens is noted by triggers, in its order.
create table tests.noted (place integer generated always as identity, what text not null);
create function tests.note()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    insert into tests.noted (what) values (
        tg_argv[0] || case when tg_argv[0] = 'invocation' then ' ' || (to_jsonb(new) ->> 'status')
            when tg_argv[0] = 'event' then ' ' || (to_jsonb(new) ->> 'event_type') else '' end
    );
    return null;
end
$function$;
create function tests.story()
returns text
language sql
security definer
begin atomic
    select string_agg(noted.what, ', ' order by noted.place) from tests.noted;
end;
create trigger note after insert or update on synapsor.action_invocations
for each row execute function tests.note('invocation');
create trigger note after insert on synapsor.policy_evaluations
for each row execute function tests.note('policy');
create trigger note after update on app.invoices for each row execute function tests.note('handler');
create trigger note after insert on synapsor.domain_events
for each row execute function tests.note('event');
create trigger note after insert on synapsor.open_external_actions
for each row execute function tests.note('step');

create temp table t as select * from tests.invoke('x', 0)
where false;
grant all on t to public;

-- The path of one action.
select tests.declared('{
    "policies": ["billing.limit.v1", "billing.amount.v1"],
    "adapter_steps": [{"action": "mail.send", "input": {"to": "{parameters.invoice_id}"}}]
}');
select tests.session('acme', 'alice');
set session authorization test_caller;
insert into t select * from tests.invoke('i1', 100);
reset session authorization;
-- Events and steps commit together; which of them is written first nobody can see.
select matches(
    tests.story(),
    '^invocation pending, policy, policy, invocation running, handler, '
    '(invocation running, step, )?event InvoiceRefunded, event StateTransitioned, '
    '(invocation running, step, )?event AdapterInvocationStarted, invocation running$',
    'the stages come in the order of the documents'
);

select is(
    (
        select string_agg(result, ', ' order by policy desc) from synapsor.policy_evaluations
        where action_id = (select action_id from t) and dispatch_evidence is not null
    ), 'pass, pass', 'each outcome is kept with how it was decided'
);
select matches(
    (select string_agg(evaluation_id, ' ') from synapsor.policy_evaluations),
    '^pol_[0-9A-HJKMNP-TV-Z]{26} pol_[0-9A-HJKMNP-TV-Z]{26}$', 'under ids of pol_ and a ULID'
);
select matches(
    (select action_id from synapsor.open_external_actions), '^act_[0-9A-HJKMNP-TV-Z]{26}$',
    'an adapter step is an external action, with its kind of id'
);
select is(
    (select correlation_id from t), (select action_id from t),
    'without a correlation id it is the first of its thread'
);
select is(
    (select correlation_id from tests.invoke('x', 100, 'thread-7')), 'thread-7',
    'the caller''s correlation id is kept'
);

-- Policies: warn goes on, block halts, an evaluator that throws fails.
truncate t, tests.noted;
set session authorization test_caller;
insert into t select * from tests.invoke('i2', 600);
reset session authorization;
select is((select status from t), 'running', 'a warning lets it go on');
select is(
    (
        select reason from synapsor.policy_evaluations
        where result = 'warn' and action_id = (select action_id from t)
    ), 'large', 'and is persisted'
);
truncate t, tests.noted;
set session authorization test_caller;
insert into t select * from tests.invoke('i3', 1000);
reset session authorization;
select matches(
    tests.story(), '^invocation pending, policy, .*invocation blocked_by_policy',
    'what is blocked was recorded before it was asked'
);
select unalike(tests.story(), '%handler%', 'and goes no further');
truncate t, tests.noted;
set session authorization test_caller;
insert into t select * from tests.invoke('i3', 13);
reset session authorization;
select is(
    (select concat_ws(' ', status, error_code, error_message) from t),
    'failed 53400 the rates are not known', 'an evaluator that throws fails the invocation'
);
select is(
    (select parameters from t), '{"invoice_id": "i3", "amount_cents": 13, "into": "refunded"}',
    'whose row stays, with the parameters as they were given'
);
select is(
    (
        select count(*) from synapsor.policy_evaluations
        where action_id = (select action_id from t) and policy = 'billing.amount.v1'
    ), 0::bigint, 'without an outcome of that policy'
);
select is((select state from app.invoices
where id = 'i3'), 'paid', 'nothing was performed');

-- All three kinds of policies judge.
select tests.declared('{"policies": ["billing.both.v1"]}');
select is((tests.invoke('i4', 13)).status, 'failed', 'a hybrid policy asks its code');
select is((tests.invoke('i4', 14)).status, 'completed', 'which passes what the data warned of');

-- The target state may be a function of the parameters.
select tests.declared('{"state_machine": {
    "entity_type": "Invoice", "table": "app.invoices", "id_column": "id", "state_column": "state",
    "entity_id": "{invoice_id}", "target_state": "{into}"
}}');
select is(
    (synapsor.invoke_action('billing.record_refund', '{"invoice_id": "i3", "into": "void"}')).error_code,
    'SY010', 'the target state is computed from the parameters, and judged'
);
select is((tests.invoke('i3', 1)).status, 'completed', 'where it is registered, it is entered');
truncate tests.noted;
select is((tests.invoke('i6', 1)).status, 'failed', 'an entity in another state stays there');
select unalike(tests.story(), '%handler%', 'its handler does not run');

-- Attempts of adapter steps, and input that is null.
update app.invoices set state = 'paid';
select tests.declared('{"adapter_steps": [
    {"action": "mail.send", "input": {"to": "own"}, "retry": {"max_attempts": 9}},
    {"action": "mail.fax", "input": {"to": "once"}, "retry": {"max_attempts": 5}},
    {"action": "mail.send", "input": "{result.nothing}"}
]}');
truncate t;
insert into t select * from tests.invoke('i1', 1);
select is((select concat_ws(' ', status, error_message) from t), 'running', 'it is not complete before its steps are');
select is(
    (
        select string_agg(step.arguments ->> 'to' || ' ' || step.max_attempts, ', ')
        from synapsor.synapsor_external_actions as step
        where step.correlation_id = (select action_id from t)
    ), 'own 5, once 1',
    'five attempts at most, one where it is not idempotent, none at all where the input is null'
);
select is(
    (select (definition -> 'retry') - 'jitter' from synapsor.action_contracts
where action = 'mail.fax'),
    '{"max": "1 s", "initial": "100 ms", "multiplier": 2, "max_attempts": 3}',
    'by default 3 attempts, after 100 ms, then twice as long, 1 s at most'
);

-- A step's own attempts are the ones that count.
select tests.declared('{"adapter_steps": [
    {"action": "mail.send", "input": {"to": "twice"}, "retry": {"max_attempts": 2, "jitter": "none"}}
]}');
select tests.invoke('i4', 1);
select tests.session('acme', 'w', actor_type => 'service_account');
create function tests.fails()
returns text
language sql
as $function$
    select result.status from synapsor.claim_external_actions('mail', 10) as held,
        synapsor.confirm_external_action(
            held.action_id, 'failed', error_code => 'busy', claim_token => held.claim_token
        ) as result
    where held.arguments ->> 'to' = 'twice'
$function$;
grant execute on function tests.fails to public;
select tests.at('2030-01-01 12:00+00');
set session authorization test_worker;
select is(tests.fails(), 'queued', 'the first of two attempts is followed by another');
reset session authorization;
select tests.advance('2 min');
set session authorization test_worker;
select is(tests.fails(), 'failed', 'the second is the last');
reset session authorization;

-- The caller sees the final status.
select tests.session('acme', 'alice');
select tests.declared('{}');
truncate t;
set session authorization test_caller;
insert into t select * from tests.invoke('i5', 1);
select is(
    (
        select status from synapsor.synapsor_action_invocations
        where action_id = (select action_id from t) and completed_at >= created_at
    ), 'completed', 'the caller sees the final status, and when'
);
reset session authorization;

select * from finish();
rollback;
