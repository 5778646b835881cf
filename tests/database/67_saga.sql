-- Runs that are cancelled, resumed, and undone: sagas (design.md section 8).

begin;

select no_plan();

\ir support/delivery.sql
\ir support/plan.sql

select tests.at('2026-01-01 12:00');

create role shop_owner;
create schema app authorization shop_owner;
grant usage on schema app to synapsor_guest;
create table app.journal (place serial, entry text);
alter table app.journal owner to shop_owner;
create function app.write(context jsonb, parameters jsonb)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    if parameters ->> 'entry' ~ 'breaks' then
        raise exception 'it broke';
    end if;
    insert into app.journal (entry) values (parameters ->> 'entry');
    return jsonb_build_object('success', true, 'data', jsonb_build_object('id', 'id of ' || (parameters ->> 'entry')));
end
$function$;
alter function app.write(jsonb, jsonb) owner to shop_owner;

create function tests.journal()
returns text
language sql
security definer
as $function$
    select coalesce(string_agg(entry, ', ' order by place), 'nothing') from app.journal
$function$;

create function tests.declare(name text, overrides jsonb default '{}')
returns void
language sql
security definer
as $function$
    select synapsor.declare_action(jsonb_strip_nulls(jsonb_build_object(
        'action', name, 'kind', 'atomic', 'handler', 'app.write(jsonb,jsonb)', 'hidden', '{"principal": {}}'::jsonb,
        'args', '{"entry": {"type": "string", "required": true}}'::jsonb
    ) || overrides))
$function$;

select tests.declare('app.write');
select tests.declare('app.undo');
select tests.declare('app.undo_reviewed', '{"approval": {"required": true, "role": "reviewer"}}');
select synapsor.declare_policy('{"policy": "test.blocks.v1", "kind": "data",
    "conditions": [{"when": {"kind": "always"}, "result": "block", "reason": "never"}]}');
select tests.declare('app.undo_blocked', '{"policies": ["test.blocks.v1"]}');
select tests.declare('app.book', '{"compensate_with": {"action": "app.undo", "input": {"entry": "-{result.id}"}}}');
select tests.a_contract('{"queue": "plain", "idempotency": {"idempotent": false}}', 'test.plain');
select tests.a_contract('{"queue": "undone"}', 'test.undo');

-- A node that writes, and what undoes it.
create function tests.writes(entry text, undo text default 'app.undo', more jsonb default '{}')
returns jsonb
language sql
as $function$
    select jsonb_strip_nulls(jsonb_build_object(
        'Name', entry, 'Handler', '{"Type": "action:app.write"}'::jsonb,
        'Parameters', jsonb_build_object('Values', jsonb_build_object('entry', entry)),
        'Compensation', case when undo is not null then jsonb_build_object(
            'action', undo, 'parameters', jsonb_build_object('entry', '-{parameters.entry}')
        ) end
    )) || more
$function$;

create function tests.chain(variadic nodes jsonb[])
returns jsonb
language plpgsql
as $function$
declare
    chain jsonb;
begin
    for place in reverse cardinality(nodes) .. 1 loop
        chain := jsonb_build_array(
            nodes[place] || case when chain is null then '{}' else jsonb_build_object('Actions', chain) end
        );
    end loop;
    return chain;
end
$function$;

-- What undid what, in order, and what that came to.
create function tests.undone(name text)
returns text
language sql
security definer
as $function$
    select coalesce(string_agg(
        format('%s %s', undoing.compensates, coalesce(undoing.evidence ->> 'outcome', undoing.status)), ', '
        order by undoing.sequence
    ), 'nothing')
    from synapsor.run_steps as undoing
    where undoing.run_id = tests.run(undone.name) and undoing.compensates is not null
$function$;

select tests.session('acme', 'alice');

-- Compensation

select tests.a_plan('order', tests.chain(
    tests.writes('reserve'), tests.writes('log', null), tests.writes('charge'),
    tests.writes('breaks', more => '{"ExecuteCase": "Complete"}')
));
select is(tests.started('order'), 'compensated Failed', 'an unhandled failure of a saga is compensated');
select is(
    tests.journal(), 'reserve, log, charge, -charge, -reserve', 'in reverse order of completion, where there is one'
);
select is(
    tests.undone('order'), 'reserve/log/charge compensated, reserve compensated', 'each undoing is a step of its own'
);
select is(
    (
        select string_agg(format('%s %s %s', from_step_key, edge, to_step_key), ', ' order by from_step_key)
        from synapsor.synapsor_run_graph
        where run_id = tests.run('order') and edge = 'compensates'
    ),
    'reserve/log/charge[compensation] compensates reserve/log/charge, reserve[compensation] compensates reserve',
    'and an edge of the graph'
);
select is(
    (
        select concat_ws(' ', actor, run_id = tests.run('order'), step_key, status)
        from synapsor.action_invocations
        where action_id = (tests.step('order', 'reserve[compensation]')).action_id
    ),
    'alice t reserve[compensation] completed', 'and an invocation of the run'
);

truncate app.journal;
select tests.a_plan('handled', tests.chain(
    tests.writes('reserve'), tests.writes('breaks'), tests.node('Excuse', more => '{"ExecuteCase": "Failed"}')
));
select is(tests.started('handled'), 'completed Failed', 'a failure whose case ran is handled');
select is(tests.journal(), 'reserve', 'and undoes nothing');

select tests.a_plan('nothing', tests.chain(tests.writes('breaks')));
select is(tests.started('nothing'), 'failed Failed', 'where nothing took effect nothing is undone');
select tests.a_plan('no saga', tests.nodes(
    tests.node('Book', more => '{
        "Handler": {"Type": "action:app.book"}, "Parameters": {"Values": {"entry": "booked"}}
    }'), tests.node('Bad', 'Failed')
));
select is(tests.started('no saga'), 'failed Failed', 'a plan that names no compensation is no saga');

truncate app.journal;
select tests.a_plan('trouble', tests.chain(
    tests.writes('a'), tests.writes('b', 'no.such'), tests.writes('c', 'app.undo_blocked'),
    tests.writes('d', more => '{"Compensation": {"action": "app.undo", "parameters": {"entry": "breaks"}}}'),
    tests.writes('e', more => '{"Compensation": {"action": "app.undo", "parameters": {"entry": "{result.id.x}"}}}'),
    tests.writes('breaks')
));
select is(tests.started('trouble'), 'escalated Failed', 'what cannot be undone is escalated');
select is(
    tests.undone('trouble'),
    'a/b/c/d/e escalated, a/b/c/d compensation_failed, a/b/c escalated, a/b escalated, a compensated',
    'and keeps nothing else from being undone'
);
select is(tests.journal(), 'a, b, c, d, e, -a', 'which it was');
select tests.a_plan('fails', tests.chain(
    tests.writes('a', more => '{"Compensation": {"action": "app.undo", "parameters": {"entry": "breaks"}}}'),
    tests.writes('breaks')
));
select is(tests.started('fails'), 'compensation_failed Failed', 'an undoing that fails is another thing');

truncate app.journal;
select tests.declare('app.keyed', '{"idempotency": {"key": "{entry}"}}');
select tests.a_plan('keyed', tests.chain(
    tests.writes('k', more => '{"Handler": {"Type": "action:app.keyed"}}'), tests.writes('breaks')
));
select is(tests.started('keyed'), 'compensated Failed', 'an action whose key its contract makes');
select is(tests.started('keyed'), 'failed Failed', 'is not performed again by the next run');
select is(tests.journal(), 'k, -k', 'and not undone by it either');
truncate app.journal;
select tests.declare('app.undo_keyed', '{"idempotency": {"key": "{entry}"}}');
select tests.a_plan('undo keyed', tests.chain(tests.writes('u', 'app.undo_keyed'), tests.writes('breaks')));
select tests.started('undo keyed');
select is(tests.started('undo keyed'), 'compensated Failed', 'whatever key the undoing''s contract makes');
select is(tests.journal(), 'u, -u, u, -u', 'each effect is undone');

-- An undoing that waits: for approval, and for an unknown outcome

truncate app.journal;
select tests.a_plan('waits', tests.chain(
    tests.writes('first'), tests.writes('second', 'app.undo_reviewed'), tests.writes('breaks')
));
select is(tests.started('waits'), 'compensating Failed', 'an undoing may need approval');
select is(tests.undone('waits'), 'first/second Waiting', 'and those after it wait');
select tests.raises(format('select synapsor.cancel_run(%L, null)', tests.run('waits')), 'SY014');
select is(tests.advance_runs(), 0, 'nothing is due');
select tests.session('acme', 'ruth', array['reviewer']);
select (synapsor.approve_external_action(
    (tests.step('waits', 'first/second[compensation]')).action_id, 'go on'
)).status;
select is(tests.run_stands('waits'), 'compensating Failed', 'the approval alone changes nothing');
select is(tests.advance_runs(), 1, 'but makes the run due');
select is(tests.run_stands('waits'), 'compensated Failed', 'which then is compensated');
select is(tests.journal(), 'first, second, -second, -first', 'in order');
select is(tests.advance_runs(), 0, 'once');

select tests.session('acme', 'alice');
select tests.started('waits');
select tests.session('acme', 'ruth', array['reviewer']);
select (synapsor.reject_external_action(
    (tests.step('waits', 'first/second[compensation]')).action_id, 'keep it'
)).status;
select tests.advance_runs();
select is(tests.run_stands('waits'), 'escalated Failed', 'a rejected undoing is escalated');

select tests.session('acme', 'alice');
truncate app.journal;
select tests.a_plan('sent', jsonb_build_array(
    '{"Name": "Send", "Handler": {"Type": "action:test.plain"},
      "Parameters": {"Values": {"amount_cents": 1}, "Dynamic": [{"Source": "charge", "Target": "charge_id"}]},
      "Compensation": {"action": "test.undo", "parameters":
        {"charge_id": "{result.refund}", "amount_cents": "{parameters.amount_cents}"}}}'::jsonb,
    tests.writes('breaks')
));
select is(tests.started('sent', '{"charge": "s1"}'), 'open Failed', 'one branch has failed, another is on its way');
select tests.note('send', 'sent', 'Send');
select tests.claim('plain');
select tests.worker();
select (synapsor.confirm_external_action(tests.id('send'), 'unknown')).status;
select is(tests.advance_runs(), 0, 'an unknown outcome ends no wait');
select is((tests.step('sent', 'Send')).waits_for, 'settlement', 'but is one');
select tests.session('acme', 'olga');
select (synapsor.settle_external_action(tests.id('send'), 'succeeded', '{"refund": "re_9"}')).status;
select tests.advance_runs();
select is(tests.run_stands('sent'), 'compensating Failed', 'once it is known, it is compensated');
select tests.note('undo', 'sent', 'Send[compensation]');
select is(
    (select intent::jsonb -> 'arguments' from synapsor.action_invocations
    where action_id = tests.id('undo')),
    '{"charge_id": "re_9", "amount_cents": 1}', 'with what the provider said of it'
);
select is(tests.claim('undone'), 'undo', 'by a delivery like any other');
select tests.worker();
select (synapsor.confirm_external_action(tests.id('undo'), 'unknown')).status;
select tests.advance_runs();
select is(tests.run_stands('sent'), 'compensating Failed', 'whose own unknown outcome is waited for too');
select tests.session('acme', 'olga');
select (synapsor.settle_external_action(tests.id('undo'), 'succeeded')).status;
select tests.advance_runs();
select is(tests.run_stands('sent'), 'compensated Failed', 'until it is known');

-- Kind saga

select tests.session('acme', 'alice');
truncate app.journal;
select tests.a_plan('booking', jsonb_build_array(jsonb_build_object(
    'Name', 'Book', 'Handler', '{"Type": "action:app.book"}'::jsonb,
    'Parameters', '{"Dynamic": [{"Source": "entry", "Target": "entry"}]}'::jsonb,
    'Actions', jsonb_build_array(tests.node('End', more => '{
        "Handler": {"Type": "Empty", "Config": {"Dynamic": [{"Source": "ends", "Target": "ReturnStatus"}]}}
    }'))
)));
select synapsor.declare_action('{
    "action": "app.trip", "kind": "saga", "plan": "booking",
    "args": {"entry": {"type": "string", "required": true}, "ends": {"type": "string"}}
}');
create temporary table trips (name text primary key, action_id text, status text, result jsonb, error text);
grant select, insert on trips to public;
set session authorization test_caller;
insert into trips
select 'good', action_id, status, result, error_message
from synapsor.invoke_action('app.trip', '{"entry": "flight", "ends": "Complete"}');
select is((select status from trips
where name = 'good'), 'completed', 'a saga is performed by invoking it');
select is(
    (select result from trips
    where name = 'good'), '{"Book": {"id": "id of flight"}}', 'its result is its run''s'
);
insert into trips
select 'bad', action_id, status, result, error_message
from synapsor.invoke_action('app.trip', '{"entry": "hotel", "ends": "Failed"}');
reset session authorization;
select is((select status || ': ' || error from trips
where name = 'bad'), 'failed: its plan is compensated', 'or not');
select is(tests.journal(), 'flight, hotel, -id of hotel', 'compensated with what its contracts name');
select is(
    (select concat_ws(' ', run.plan, run.state, run.principal) from synapsor.synapsor_agent_workflow_runs as run
    where run.saga_action_id = (select action_id from trips where name = 'bad')), 'booking compensated alice',
    'its run knows whose it is'
);
select is(
    (synapsor.invoke_action('app.trip', '{"entry": 7}')).status, 'validation_failed', 'it is bound like any action'
);

select synapsor.declare_action('{
    "action": "app.slow", "kind": "saga", "plan": "waits",
    "approval": {"required": true, "role": "reviewer"},
    "compensate_with": {"action": "app.undo", "input": {"entry": "saga"}}
}');
select tests.a_plan('outer', '[{"Name": "Inner", "Handler": {"Type": "action:app.slow"}}]');
truncate app.journal;
select is(tests.started('outer'), 'waiting_approval None', 'a saga inside of a plan, waiting for approval');
select tests.session('acme', 'ruth', array['reviewer']);
select (synapsor.approve_external_action((tests.step('outer', 'Inner')).action_id)).status;
select is(tests.journal(), 'first, second', 'it is performed when approved');
select tests.advance_runs();
select is((tests.step('outer', 'Inner')).waits_for, 'saga', 'and waited for while it compensates');
select tests.session('acme', 'ruth', array['reviewer']);
select (synapsor.approve_external_action(step.action_id)).status
from synapsor.run_steps as step
where step.state <> 'finished' and step.compensates is not null;
select tests.advance_runs();
select tests.advance_runs();
select is(tests.run_stands('outer'), 'failed Failed', 'its end is the end of its node');
select alike((tests.step('outer', 'Inner')).message, '%compensated%', 'which says how it ended');

select tests.session('acme', 'alice');
select synapsor.declare_action('{"action": "app.endless", "kind": "saga", "plan": "endless"}');
select tests.a_plan('endless', '[{"Name": "Again", "Handler": {"Type": "action:app.endless"}}]');
select is((synapsor.invoke_action('app.endless', '{}')).status, 'failed', 'a saga that performs itself ends');
select is(
    (select count(*) from synapsor.action_invocations
    where action = 'app.endless'), 2::bigint, 'at once'
);
select is(
    (synapsor.invoke_action('app.trip', '{"entry": "x", "ends": "Complete"}', run_id => (
        synapsor.start_agent_run()
    ).run_id)).status, 'completed', 'an agent''s run may perform one'
);

select tests.a_plan('sends', '[{"Name": "Send", "Handler": {"Type": "action:test.plain"},
    "Parameters": {"Values": {"charge_id": "inner", "amount_cents": 1}}}]');
select synapsor.declare_action('{"action": "app.sends", "kind": "saga", "plan": "sends"}');
select tests.declare('app.tells', '{"adapter_steps": [
    {"action": "test.plain", "input": {"charge_id": "{parameters.entry}", "amount_cents": 1}}
]}');
select tests.a_plan('proxied', '[
    {"Name": "Saga", "Proxy": "queue://north", "Handler": {"Type": "action:app.sends"}},
    {"Name": "Atomic", "Proxy": "queue://north", "Handler": {"Type": "action:app.tells"},
        "Parameters": {"Values": {"entry": "told"}}}
]');
select is(tests.started('proxied'), 'open None', 'a saga, and an action with an adapter step, below a proxy');
select is(
    (
        select string_agg(arguments ->> 'charge_id', ', ' order by arguments ->> 'charge_id')
        from synapsor.synapsor_external_actions
        where queue = 'north' and status = 'queued'
    ), 'inner, told', 'are delivered on its queue'
);
select is((tests.step('proxied', 'Atomic')).waits_for, 'adapter steps', 'the action waits for its step');
select tests.worker();
create temporary table north as
select * from synapsor.claim_external_actions('north', 10);
select synapsor.confirm_external_action(action_id, 'succeeded') from north;
select tests.advance_runs() from generate_series(1, 2);
select is(tests.run_stands('proxied'), 'completed Complete', 'and go on when it is confirmed');
select tests.session('acme', 'alice');

-- Purging

select tests.a_plan('long', tests.chain(
    tests.writes('early'), jsonb_set(tests.node('Sleep'), '{Handler,Config,Values,SleepMilliseconds}', '3600000'),
    tests.writes('breaks')
));
truncate app.journal;
select tests.started('long');
select tests.advance('2 hours');
select synapsor.purge(synapsor._now() - interval '1 hour');
select tests.advance_runs();
select is(tests.run_stands('long'), 'compensated Failed', 'what a run may have to undo is not purged before it ends');
select is(tests.journal(), 'early, -early', 'and is undone');
select tests.advance('1 hour');
select cmp_ok(synapsor.purge(synapsor._now()), '>', 1, 'afterwards it is');
select is(
    tests.tree('long'),
    'early Complete/Failed, early/Sleep Complete/Failed, early/Sleep/breaks Failed/Failed, '
    'early[compensation] Complete/Complete', 'and the run still tells its story'
);
select tests.session('acme', 'alice');

-- Cancelling

truncate app.journal;
select tests.a_contract(
    '{"queue": "reviewed", "approval": {"required": true}, "idempotency": null}', 'test.reviewed'
);
select tests.a_plan('cancelled', tests.chain(
    tests.writes('done'),
    jsonb_set(tests.node('Sleep'), '{Handler,Config,Values,SleepMilliseconds}', '60000'), tests.node('Never')
) || tests.nodes(
    tests.node('Proposed', more => '{"Handler": {"Type": "action:test.reviewed"},
        "Parameters": {"Values": {"charge_id": "p", "amount_cents": 1}}}'),
    tests.node('Queued', more => '{"Handler": {"Type": "action:test.plain"},
        "Parameters": {"Values": {"charge_id": "q", "amount_cents": 1}}}'),
    tests.node('Claimed', more => '{"Handler": {"Type": "action:test.undo"},
        "Parameters": {"Values": {"charge_id": "c", "amount_cents": 1}}}')
));
select tests.started('cancelled');
select tests.note('claimed', 'cancelled', 'Claimed');
select is(tests.claim('undone'), 'claimed', 'a worker has one of its actions');
select tests.session('acme', 'mallory');
set session authorization test_caller;
select tests.raises(format('select synapsor.cancel_run(%L, null)', tests.run('cancelled')), 'SY007');
select tests.raises($$ select synapsor.cancel_run('run_none', null) $$, 'SY011');
reset session authorization;
select synapsor.close_session();
select synapsor.bind_role('test_caller', '{"principal": "alice", "tenants": ["acme", "globex"]}');
set session authorization test_caller;
select tests.raises(
    format('select synapsor.cancel_run(%L, null)', tests.run('cancelled')), 'SY007',
    description => 'nor may somebody of that name, of no tenant in particular'
);
reset session authorization;
select synapsor.bind_role('test_caller', null);
select tests.session('globex', 'alice');
set session authorization test_approver;
select tests.raises(format('select synapsor.cancel_run(%L, null)', tests.run('cancelled')), 'SY011');
reset session authorization;
select tests.session('acme', 'alice');
set session authorization test_caller;
select is((synapsor.cancel_run(tests.run('cancelled'), 'changed my mind')).state, 'open', 'cancelling is cooperative');
reset session authorization;
select is(
    tests.tree('cancelled'),
    'done Complete/Cancelled, Proposed Cancelled/Cancelled, Queued Cancelled/Cancelled, Claimed Running, '
    'done/Sleep Cancelled/Cancelled',
    'what waits is cancelled, nothing new starts, what is claimed finishes'
);
select is((synapsor.cancel_run(tests.run('cancelled'))).state, 'open', 'cancelling again changes nothing');
select tests.worker();
select (synapsor.confirm_external_action(tests.id('claimed'), 'succeeded')).status;
select tests.advance_runs();
select is(tests.run_stands('cancelled'), 'compensated Cancelled', 'then what took effect is undone');
select is(tests.journal(), 'done, -done', 'of a saga');
select is((synapsor.cancel_run(tests.run('cancelled'))).state, 'compensated', 'and cancelling says how it ended');
select is(
    (select reason from synapsor.synapsor_agent_workflow_runs
    where run_id = tests.run('cancelled')),
    'changed my mind', 'and why'
);

select tests.a_plan('sleepy', tests.nodes(
    jsonb_set(tests.node('Sleep'), '{Handler,Config,Values,SleepMilliseconds}', '60000')
));
select tests.started('sleepy');
set session authorization test_approver;
select tests.session('acme', 'ruth');
select is((synapsor.cancel_run(tests.run('sleepy'), 'no')).state, 'cancelled', 'an approver cancels any');
reset session authorization;
select tests.session('acme', 'alice');
select tests.started('plain')
from synapsor.declare_plan('{"Name": "plain", "Actions": [{"Name": "A", "Handler": {"Type": "Echo"}}]}');
select tests.raises(format('select synapsor.cancel_run(%L, null)', tests.run('plain')), 'SY040');

select tests.started('outer');
select tests.session('acme', 'ruth', array['reviewer']);
truncate app.journal;
select (synapsor.approve_external_action((tests.step('outer', 'Inner')).action_id)).status;
select tests.advance_runs();
select tests.session('acme', 'alice');
select is((synapsor.cancel_run(tests.run('outer'), 'stop')).state, 'open', 'a saga that compensates is waited for');

insert into runs
select 'agent', run_id from synapsor.start_agent_run();
select (synapsor.propose_external_action(
    'test.reviewed', '{"charge_id": "agent", "amount_cents": 1}', run_id => tests.run('agent')
)).status;
select is((synapsor.cancel_run(tests.run('agent'), 'enough')).state, 'cancelled', 'an agent''s run is cancelled');
select is(
    (select status from synapsor.synapsor_external_actions
    where run_id = tests.run('agent')), 'cancelled',
    'with what it had asked for'
);

-- Resuming

truncate app.journal;
select tests.a_plan('resumed', tests.nodes(tests.node('Root', more => jsonb_build_object(
    'ActionGroup', tests.writes('group', null, '{"Handler": {"Type": "action:app.fixed"}}'),
    'Actions', tests.nodes(
        tests.writes('beside', null),
        tests.writes('next', null, '{"ExecuteCase": "Complete", "Actions": [
            {"Name": "Each", "Handler": {"Type": "action:app.fixed"}, "Parameters": {
                "ForEach": [{"Target": "entry", "Values": ["one", "two breaks"]}]
            }, "Actions": [{"Name": "After", "ExecuteCase": "Complete", "Handler": {"Type": "Echo"}}]}
        ]}'),
        tests.node('Otherwise', more => '{"ExecuteCase": "Complete"}')
    )
)), tests.writes('other', null)));
select is(tests.started('resumed'), 'failed Failed', 'app.fixed is not there yet');
select is(
    tests.tree('resumed'),
    'Root Complete/Failed, other Complete/Complete, Root/group Failed/Failed, Root/beside Complete/Complete',
    'and what asks for success was not run'
);
select tests.session('acme', 'mallory');
set session authorization test_caller;
select tests.raises(format('select synapsor.resume_run(%L)', tests.run('resumed')), 'SY007');
reset session authorization;
select tests.session('acme', 'alice');
select tests.declare('app.fixed');
set session authorization test_caller;
select is((synapsor.resume_run(tests.run('resumed'))).state, 'failed', 'resumed, it comes to the next failure');
reset session authorization;
select is(
    tests.tree('resumed'),
    'Root Complete/Failed, other Complete/Complete, Root/group Failed/Failed, Root/beside Complete/Complete, '
    'Root/group[attempt 2] Complete/Complete, Root/next Complete/Failed, Root/Otherwise Complete/Complete, '
    'Root/next/Each[1] Complete/Complete, Root/next/Each[2] Failed/Failed, Root/next/Each[1]/After Complete/Complete',
    'having tried the group again, and run what now matches, and nothing twice'
);
select tests.declare('app.fixed', '{"handler": "app.write(jsonb,jsonb)", "description": "does not break"}');
create or replace function app.write(context jsonb, parameters jsonb)
returns jsonb
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$
    insert into app.journal (entry) values (parameters ->> 'entry');
    select jsonb_build_object('success', true);
$function$;
select is((synapsor.resume_run(tests.run('resumed'))).status, 'Complete', 'and again, to the end');
select is(tests.run_stands('resumed'), 'completed Complete', 'whose status is that of what stands');
select is(tests.journal(), 'other, beside, group, next, one, two breaks', 'everything was done once');
select is(
    (select string_agg(format('%s %s', from_step_key, to_step_key), ', ' order by from_step_key)
    from synapsor.synapsor_run_graph
    where run_id = tests.run('resumed') and edge = 'retries'),
    'Root/group[attempt 2] Root/group, Root/next/Each[2][attempt 2] Root/next/Each[2]', 'later attempts are edges'
);
select is((tests.step('resumed', 'Root/group[attempt 2]')).attempt, 2, 'and have a number');
select tests.raises(format('select synapsor.resume_run(%L)', tests.run('resumed')), 'SY040');
select tests.raises(format('select synapsor.resume_run(%L)', tests.run('order')), 'SY040');
select tests.raises(format('select synapsor.resume_run(%L)', tests.run('agent')), 'SY040');

select * from finish();
rollback;
