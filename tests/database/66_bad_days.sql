-- Handlers, evaluators and machines that do not behave, and what becomes of parents when their steps are
-- retried or purged. What takes two connections is in tests/concurrency/test_pipeline.py.

begin;

select plan(101);

create role shop_owner;
create schema app authorization shop_owner;
grant usage on schema app to synapsor_guest, test_caller;
create table app.notes (note text);
insert into app.notes values ('first');
alter table app.notes owner to shop_owner;

-- A handler that runs what it is given, notes that it ran, and returns what it is told to.
create function app.misbehave(context jsonb, parameters jsonb)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    said text;
begin
    insert into app.notes values (parameters ->> 'do');
    if parameters ->> 'do' like 'select %' then
        execute parameters ->> 'do' into said;
    else
        execute parameters ->> 'do';
    end if;
    if parameters ? 'returns' then
        return parameters -> 'returns';
    end if;
    return jsonb_build_object('success', true, 'data', to_jsonb(said));
end;
$$;
alter function app.misbehave(jsonb, jsonb) owner to shop_owner;
create function app.says_nothing(context jsonb, parameters jsonb)
returns jsonb
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$ select null::jsonb $$;
alter function app.says_nothing(jsonb, jsonb) owner to shop_owner;
select synapsor.declare_action('{
    "action": "shop.misbehave", "kind": "atomic", "handler": "app.misbehave(jsonb,jsonb)",
    "emits_events": ["Worked", "Done"],
    "args_schema": {"type": "object", "properties": {"do": {"type": "string"}, "returns": true}},
    "hidden": {"tenant_id": {}}
}');
select synapsor.declare_action(
    '{"action": "shop.nothing", "kind": "atomic", "handler": "app.says_nothing(jsonb,jsonb)", "args": {}}'
);

create function tests.does(statement text, returns jsonb default null)
returns synapsor.invocation
language sql
as $$
    select * from synapsor.invoke_action(
        'shop.misbehave', jsonb_strip_nulls(jsonb_build_object('do', statement))
        || case when returns is null then '{}' else jsonb_build_object('returns', returns) end
    )
$$;
create function tests.noted(what text)
returns bigint
language sql
security definer
as $$ select count(*) from app.notes where note = what $$;
create function tests.stored(wanted text)
returns text
language sql
security definer
as $$ select status || coalesce(' ' || error_code, '') from synapsor.action_invocations where action_id = wanted $$;

select tests.session('acme', 'alice');
set session authorization test_caller;

-- The handler runs at all, so that the tests below can fail.
create temp table t as select * from tests.does('select ''hello''');
grant select on t to public;
select is((select status || ' ' || (result #>> '{}') from t), 'completed hello', 'the handler does what it is given');
select is(tests.noted('select ''hello'''), 1::bigint, 'and its writes stay');

-- Junk.
create temp table junk (returns jsonb, why text);
insert into junk values
('null', 'JSON null'), ('1', 'a number'), ('"done"', 'a text'), ('[]', 'an array'), ('{}', 'nothing in it'),
('{"success": null}', 'no success'),
('{"success": "true"}', 'success as text'),
('{"success": 1}', 'success as a number'),
('{"success": true, "events": {}}', 'events that are no array'),
('{"success": true, "events": "Worked"}', 'events as text'),
('{"success": true, "events": [null]}', 'an event that is null'),
('{"success": true, "events": [[]]}', 'an event that is an array'),
('{"success": true, "events": [{}]}', 'an event without anything'),
('{"success": true, "events": [{"type": "Worked"}]}', 'an event without a subject'),
(
    '{"success": true, "events": [{"type": "Worked", "subject_type": "Shop", "subject_id": ""}]}',
    'a subject without an id'
),
(
    '{"success": true, "events": [{"type": "Worked", "subject_type": "Shop", "subject_id": "s", "payload": []}]}',
    'a payload that is an array'
),
(
    '{"success": true, "events": [{"type": "Worked", "subject_type": "Shop", "subject_id": "s", "actor": "root"}]}',
    'an actor of its own'
),
(
    '{"success": true, "events": [{"type": "Worked", "subject_type": "Shop", "subject_id": "s", "tenant_id": "b"}]}',
    'another tenant'
),
(
    '{"success": true, "events": [{"type": "Worked", "subject_type": "ActionInvocation", "subject_id": "s"}]}',
    'a subject of the platform''s'
),
(
    '{"success": true, "events": [{"type": "Worked", "subject_type": "PolicyEvaluation", "subject_id": "s"}]}',
    'another subject of the platform''s'
),
('{"success": true, "events": [{"type": "Other", "subject_type": "Shop", "subject_id": "s"}]}', 'an undeclared event'),
(
    '{"success": true, "events": [{"type": "StateTransitioned", "subject_type": "Shop", "subject_id": "s"}]}',
    'an event of the platform''s'
);
grant select on junk to public;
create temp table judged as select
junk.why,
made.*
from junk cross join tests.does('select 1') as made
where false;
reset session authorization;
create function tests.returns(document jsonb, why text)
returns synapsor.invocation
language sql
as $$
    select * from synapsor.invoke_action(
        'shop.misbehave', jsonb_build_object('do', format('select %L', why), 'returns', document)
    )
$$;
set session authorization test_caller;
insert into judged select
junk.why,
made.*
from junk cross join lateral tests.returns(junk.returns, junk.why) as made;
select is(status || ' ' || error_code, 'failed SY013', format('a handler that returns %s fails', why)) from judged;
select
    is((select count(*) from judged
where tests.stored(action_id) <> 'failed SY013'), 0::bigint, 'as their rows say');
select
    is((select count(*) from junk
where tests.noted(format('select %L', why)) > 0), 0::bigint, 'and none of them left anything');
select is((select count(*) from synapsor.synapsor_events), 0::bigint, 'nor an event');
select is(
    (select status || ' ' || error_code from synapsor.invoke_action('shop.nothing', '{}')), 'failed SY013',
    'a handler that returns nothing fails'
);

-- The same subject as somebody else's is the tenant's own; another tenant's counter is not touched.
select is(
    (
        tests.does(
            'select 1', '{"success": true, "events": [{"type": "Worked", "subject_type": "Shop", "subject_id": "s"}]}'
        )
    ).status,
    'completed', 'an event of one''s own is kept'
);
reset session authorization;
select tests.session('other', 'olga');
set session authorization test_caller;
select is(
    (
        tests.does(
            'select 1', '{"success": true, "events": [{"type": "Worked", "subject_type": "Shop", "subject_id": "s"}]}'
        )
    ).status,
    'completed', 'and one of the same name in another tenant'
);
select
    is((select max(sequence) from synapsor.synapsor_events
where subject_id = 's'), 1::bigint, 'counts from 1 there');
reset session authorization;
select tests.session('acme', 'alice');
set session authorization test_caller;

-- What a handler must not reach: it has its owner's rights and no others.
create temp table forbidden (attempt text, wanted text);
insert into forbidden values
('delete from synapsor.domain_events', '42501'),
('update synapsor.domain_events set payload = ''{}''', '42501'),
('delete from synapsor.external_action_events', '42501'),
('update synapsor.action_invocations set status = ''completed''', '42501'),
('select count(*)::text from synapsor.action_invocations', '42501'),
('insert into synapsor.suspensions default values', '42501'),
('select synapsor._session()::text', '42501'),
('select synapsor._append_events(null, ''[]'')::text', '42501'),
('select synapsor._mark_due(''x'', ''acme'')::text', '42501'),
('select synapsor.set_session(''{"tenant_id": "other", "principal": "root"}'')::text', '42501'),
('select synapsor.bind_role(''test_caller'', ''{"tenants": "*"}'')::text', '42501'),
('select synapsor.invoke_action(''shop.nothing'', ''{}'')::text', '42501'),
('select synapsor.purge(now())::text', '42501'),
('set role synapsor_owner', '42501'),
('set role synapsor_admin', '42501'),
('set session authorization postgres', '42501'),
('alter function synapsor._now() owner to shop_owner', '42501'),
(
    'create or replace function synapsor._now() returns timestamptz language sql as ''select null::timestamptz''',
    '42501'
),
('alter table synapsor.domain_events disable trigger all', '42501'),
('alter function synapsor._guest_call(regprocedure, jsonb[]) security invoker', '42501'),
('set search_path = evil', 'SY013'),
('select set_config(''search_path'', ''evil'', false)', 'SY013'),
('commit', '0A000'),
('rollback', '0A000');
grant select on forbidden to public;
create temp table tried as
select
forbidden.attempt,
forbidden.wanted,
made.status,
made.error_code,
made.action_id,
made.error_message
from forbidden cross join lateral tests.does(forbidden.attempt) as made;
select is(status || ' ' || error_code, 'failed ' || wanted, format('a handler that tries: %s', attempt)) from tried;
select is((select count(*) from tried
where tests.noted(attempt) > 0), 0::bigint, 'none of these left anything');
select is(current_setting('search_path'), '"$user", public', 'the search_path is what it was');

-- The session is what it was, whatever a handler closes, sets or opens.
select
    is(
        (tests.does('select synapsor.close_session()::text')).status,
        'completed',
        'a handler may close what is set aside'
    );
select is(synapsor.current_session() ->> 'principal', 'alice', 'but not the session of its caller');
select is(
    (tests.does('set synapsor.session = ''forged''')).status, 'completed', 'a handler may write any custom setting'
);
select is(synapsor.current_session() ->> 'principal', 'alice', 'which means nothing');
select is(
    (tests.does('select synapsor.current_session() ->> ''principal''')).result #>> '{}', 'alice',
    'inside, one may ask who is asking'
);
select is((tests.does('select pg_advisory_lock(4711)::text')).status, 'completed', 'a handler may lock');
select is(
    (select count(*) from pg_locks
where locktype = 'advisory' and objid = 4711),
    0::bigint,
    'but no longer than it runs'
);
select is((tests.does('set role shop_owner')).error_code, '42501', 'a handler cannot change roles');

-- An evaluator that writes is an error of the evaluator: the invocation fails, and nothing is performed.
reset session authorization;
create function app.writes(context jsonb)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$ begin insert into app.notes values ('evaluator'); return '{"result": "pass"}'; end; $$;
alter function app.writes(jsonb) owner to shop_owner;
create function app.throws(context jsonb)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$ begin raise exception 'no rates today' using errcode = 'P0042'; end; $$;
alter function app.throws(jsonb) owner to shop_owner;
select synapsor.declare_policy('{"policy": "shop.writes.v1", "kind": "code", "evaluator": "app.writes(jsonb)"}');
select synapsor.declare_policy('{"policy": "shop.throws.v1", "kind": "code", "evaluator": "app.throws(jsonb)"}');
select
    synapsor.declare_action(
        definition::jsonb
        || jsonb_build_object('policies', jsonb_build_array('shop.' || policy || '.v1'))
        || jsonb_build_object('action', format('%s.%s', what, policy))
    )
from unnest(array['writes', 'throws']) as policy, (values
    ('atomic', '{"kind": "atomic", "handler": "app.misbehave(jsonb,jsonb)", "args": {"do": {"type": "string"}}}'),
    ('external', '{"kind": "external", "queue": "q", "args": {"do": {"type": "string"}}}'),
    ('asking', '{"kind": "atomic", "handler": "app.misbehave(jsonb,jsonb)", "args": {"do": {"type": "string"}},
        "approval": {"required": true}}')
) as listed (what, definition);
set session authorization test_caller;
create temp table evaluated as
select
what,
policy,
made.*
from unnest(array['writes', 'throws']) as policy, unnest(array['atomic', 'external', 'asking']) as what,
    synapsor.invoke_action(format('%s.%s', what, policy), '{"do": "select ''evaluated''"}') as made;
grant select on evaluated to public;
select is(
    status || ' ' || error_code, 'failed ' || case policy when 'writes' then '25006' else 'P0042' end,
    format('an evaluator that %s fails the %s action', policy, what)
) from evaluated
order by policy, what;
select is((select count(*) from evaluated
where delivery_status is not null), 0::bigint, 'none of them is queued');
select tests.raises($$ select synapsor.propose_external_action('external.throws', '{}') $$, 'P0042', 'no rates today');
reset session authorization;
select is(tests.noted('evaluator'), 0::bigint, 'nothing an evaluator wrote stays');
select is(tests.noted('select ''evaluated'''), 0::bigint, 'no handler ran');
select is(
    (select count(*) from synapsor.open_external_actions
where action_id in (select action_id from evaluated)),
    0::bigint,
    'nothing waits, neither for a worker nor for a reviewer'
);
select is(
    (select count(*) from synapsor.policy_evaluations
where action_id in (select action_id from evaluated)), 0::bigint,
    'an outcome that never was is not on record'
);

-- A state machine changed between proposal and approval: judged by the machine of that moment.
create table app.orders (id text primary key, state text not null);
insert into app.orders values ('o1', 'open'), ('o2', 'open'), ('o3', 'open');
alter table app.orders owner to shop_owner;
grant select, update on app.orders to synapsor_guest;
create function app.close(context jsonb, parameters jsonb)
returns jsonb
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
    update app.orders set state = 'closed' where id = parameters ->> 'order';
    select jsonb_build_object('success', true)
$$;
alter function app.close(jsonb, jsonb) owner to shop_owner;
create function tests.machine(transitions jsonb)
returns integer
language sql
as $$
    select version from synapsor.declare_state_machine(jsonb_build_object(
        'entity_type', 'Order', 'states', '{"open": "initial", "held": "active", "closed": "terminal"}'::jsonb,
        'transitions', transitions
    ))
$$;
select tests.machine('[{"from": "open", "to": "closed", "action": "shop.close"}]');
select synapsor.declare_action('{
    "action": "shop.close", "kind": "atomic", "handler": "app.close(jsonb,jsonb)", "approval": {"required": true},
    "args": {"order": {"type": "string", "required": true}},
    "state_machine": {
        "entity_type": "Order", "table": "app.orders", "id_column": "id", "state_column": "state",
        "entity_id": "{order}", "target_state": "closed"
    }
}');
set session authorization test_caller;
create temp table closing as
select
name,
made.action_id
from unnest(array['o1', 'o2', 'o3']) as name,
    synapsor.invoke_action('shop.close', jsonb_build_object('order', name)) as made;
grant select on closing to public;
reset session authorization;
select tests.machine('[{"from": "held", "to": "closed", "action": "shop.close"}]');
select tests.session('acme', 'rita');
set session authorization test_approver;
select is(
    (
        select status || ' ' || error_code from synapsor.approve_external_action((select action_id from closing
where name = 'o1'))
    ),
    'failed SY010', 'a transition that is gone when it is approved fails'
);
reset session authorization;
select is((select state from app.orders
where id = 'o1'), 'open', 'before anything is done');
update app.orders set state = 'held'
where id = 'o2';
set session authorization test_approver;
select is(
    (select status from synapsor.approve_external_action((select action_id from closing
where name = 'o2'))),
    'completed',
    'one that came meanwhile is taken'
);
reset session authorization;
select is(
    (select payload ->> 'from' from synapsor.domain_events
where subject_id = 'o2'),
    'held',
    'from the state of that moment'
);
delete from app.orders
where id = 'o3';
set session authorization test_approver;
select is(
    (
        select status || ' ' || error_code from synapsor.approve_external_action((select action_id from closing
where name = 'o3'))
    ),
    'failed SY011', 'an entity that is gone by then fails'
);
reset session authorization;

-- A step that failed and is retried: the parent fails with it and is completed with it.
select synapsor.declare_action('{
    "action": "mail.send", "args": {"to": {"type": "string"}}, "queue": "mail", "idempotency": {"idempotent": true}
}');
select synapsor.declare_action('{
    "action": "shop.mail", "kind": "atomic", "handler": "app.misbehave(jsonb,jsonb)",
    "args": {"do": {"type": "string"}},
    "adapter_steps": [{"action": "mail.send", "input": {"to": "one"}}, {"action": "mail.send", "input": {"to": "two"}}]
}');
create function tests.parent()
returns text
language sql
security definer
as $$
    select concat_ws(' ', status, error_code, case when completed_at is not null then 'ended' end, error_message)
    from synapsor.action_invocations where action = 'shop.mail'
$$;
create function tests.told(wanted text)
returns text
language sql
security definer
as $$
    select string_agg(event_type, ' ' order by sequence) from synapsor.domain_events where subject_id = wanted
$$;
select tests.at('2026-01-01 12:00+00');
select tests.session('acme', 'alice');
set session authorization test_caller;
truncate t;
insert into t select * from synapsor.invoke_action('shop.mail', '{"do": "select 1"}');
reset session authorization;
select tests.session('acme', 'wanda', actor_type => 'service_account');
set session authorization test_worker;
create temp table steps as
select
action_id,
claim_token,
arguments ->> 'to' as receiver
from synapsor.claim_external_actions('mail', 5);
grant select on steps to public;
select synapsor.confirm_external_action(action_id, 'succeeded', claim_token => claim_token)
from steps
where receiver = 'one';
select synapsor.confirm_external_action(action_id, 'failed', retryable => false, claim_token => claim_token)
from steps
where receiver = 'two';
select is(synapsor.run_due_steps(), 1, 'two endings make one parent due');
select is(synapsor.run_due_steps(), 0, 'once');
select is(
    tests.parent(),
    'failed SY013 ended adapter steps ended otherwise than planned: mail.send failed',
    'which fails with its step'
);
reset session authorization;
select tests.advance('1 min');
select tests.session('acme', 'rita');
set session authorization test_approver;
select is(
    (
        select retried.status from steps, synapsor.retry_external_action(steps.action_id) as retried
where receiver = 'two'
    ),
    'queued', 'an operator retries the step'
);
reset session authorization;
create function tests.purged(before text)
returns integer
language plpgsql
as $$
begin
    perform synapsor.close_session();
    return synapsor.purge(before::timestamptz);
end;
$$;
select is(tests.purged('2026-01-02'), 0, 'with a step on its way again, neither parent nor steps are purged');
select tests.session('acme', 'wanda', actor_type => 'service_account');
set session authorization test_worker;
select synapsor.confirm_external_action(action_id, 'succeeded', claim_token => claim_token)
from synapsor.claim_external_actions('mail', 5);
select is(synapsor.run_due_steps(), 1, 'its new outcome makes the parent due again');
select is(tests.parent(), 'completed ended', 'which is completed');
select is(
    (select tests.told(action_id) from steps
where receiver = 'two'),
    'AdapterInvocationStarted AdapterInvocationFailed AdapterInvocationSucceeded', 'both endings are on record'
);
select is(
    (select tests.told(action_id) from steps
where receiver = 'one'),
    'AdapterInvocationStarted AdapterInvocationSucceeded', 'the other step''s ending once'
);

-- Purge: a parent once nothing of it is under way, its steps after it.
reset session authorization;
select is(tests.purged('2026-01-02'), 1, 'a parent that has ended is purged');
select is(tests.purged('2026-01-02'), 2, 'its steps after it');
select is(
    (select count(*) from synapsor.domain_events where action_id = (select action_id from t)), 0::bigint,
    'and the events of all of them'
);

select synapsor.declare_action('{
    "action": "shop.mail", "kind": "atomic", "handler": "app.misbehave(jsonb,jsonb)",
    "args": {"do": {"type": "string"}}, "approval": {"required": true},
    "adapter_steps": [{"action": "mail.send", "input": {"to": "one"}}, {"action": "mail.send", "input": {"to": "two"}}]
}');
select tests.session('acme', 'alice');
set session authorization test_caller;
truncate t;
insert into t select * from synapsor.invoke_action('shop.mail', '{"do": "select 2"}');
reset session authorization;
select tests.session('acme', 'rita');
set session authorization test_approver;
select is(
    (select approved.status from t, synapsor.approve_external_action(t.action_id) as approved), 'running',
    'performed on approval, with steps under way'
);
reset session authorization;
select tests.session('acme', 'wanda', actor_type => 'service_account');
set session authorization test_worker;
create temp table sent as select * from synapsor.claim_external_actions('mail', 5);
grant select on sent to public;
select synapsor.confirm_external_action(action_id, 'failed', retryable => false, claim_token => claim_token)
from sent
where arguments ->> 'to' = 'one';
reset session authorization;
select tests.advance('1 day');
select is(tests.purged('2026-01-02'), 0, 'while a step is under way nothing is purged, due or not');
select tests.session('acme', 'wanda', actor_type => 'service_account');
set session authorization test_worker;
select synapsor.run_due_steps();
reset session authorization;
select alike(tests.parent(), 'failed SY013 ended % mail.send failed', 'the parent fails with it');
select is(tests.purged('2026-01-03'), 0, 'nor when the parent has failed already');
select tests.at('2026-12-31 12:00+00');
select lives_ok(
    $$ select tests.purged('2026-12-01') $$, 'what was approved and holds no key is purged like everything else'
);
select is(
    (select count(*) from synapsor.action_invocations where action in ('shop.close', 'shop.misbehave')), 0::bigint,
    'and is gone'
);
select is(tests.parent() is not null, true, 'but not a family that is under way');

select * from finish();
rollback;
