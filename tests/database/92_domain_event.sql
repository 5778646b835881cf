-- Domain events: their shape, their sequence, who sees them, what replaying them says.

begin;

select plan(79);

create function tests.append(events jsonb, overrides jsonb default '{}')
returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return synapsor._append_events(
        jsonb_populate_record(
            null::synapsor.action_invocations,
            $json${
                "action_id": "act_1", "tenant_id": "acme", "actor": "alice", "actor_type": "agent",
                "action": "billing.record_refund", "correlation_id": null, "causation_id": "act_0"
            }$json$::jsonb || overrides
        ),
        events
    );
end
$function$;

create function tests.check_events(events jsonb)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform synapsor._check_events(events, jsonb_array_length(events));
end
$function$;

create function tests.event(overrides jsonb default '{}')
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
begin atomic
    select $json${
        "type": "RefundRecorded", "subject_type": "Invoice", "subject_id": "inv_1",
        "payload": {"amount_cents": 2500}
    }$json$::jsonb || event.overrides;
end;

alter function tests.append(jsonb, jsonb) owner to synapsor_owner;
alter function tests.check_events(jsonb) owner to synapsor_owner;


-- The shape of an event

select tests.session('acme', 'alice', '{}', 'agent');

select tests.raises(
    format('select tests.append(%L)', events), 'SY013', message, null, 'An event is %',
    message || ' ' || left(events::text, 60)
)
from (
    values
    (null, 'events is not an array'),
    ('{}'::jsonb, 'events is not an array'),
    ('[1]', 'events[0] is not an object'),
    ((select jsonb_agg(tests.event()) from generate_series(1, 1001)), 'events has more than 1000%'),
    (jsonb_build_array(tests.event(), '{}'::jsonb), 'events[1].type is not PascalCase%'),
    (jsonb_build_array(tests.event('{"type": "refundRecorded"}')), 'events[0].type is not Pas%'),
    (jsonb_build_array(tests.event('{"type": "Refund_Recorded"}')), 'events[0].type is not Pas%'),
    (jsonb_build_array(tests.event('{"type": "R\n"}')), 'events[0].type is not PascalCase%'),
    (jsonb_build_array(tests.event('{"type": 1}')), 'events[0].type is not PascalCase%'),
    (
        jsonb_build_array(tests.event(jsonb_build_object('type', rpad('A', 129, 'a')))),
        'events[0].type is not PascalCase of at most 128 characters'
    ),
    (jsonb_build_array(tests.event('{"subject_type": "invoice"}')), 'events[0].subject_type is %'),
    (jsonb_build_array(tests.event() - 'subject_type'), 'events[0].subject_type is not Pascal%'),
    (jsonb_build_array(tests.event() - 'subject_id'), 'events[0].subject_id is not a text of%'),
    (jsonb_build_array(tests.event('{"subject_id": ""}')), 'events[0].subject_id is not a text%'),
    (jsonb_build_array(tests.event('{"subject_id": 7}')), 'events[0].subject_id is not a text%'),
    (
        jsonb_build_array(tests.event(jsonb_build_object('subject_id', repeat('a', 256)))),
        'events[0].subject_id is not a text of 1 to 255 characters'
    ),
    (jsonb_build_array(tests.event('{"payload": []}')), 'events[0].payload is not an object'),
    (jsonb_build_array(tests.event('{"payload": null}')), 'events[0].payload is not an object'),
    (
        jsonb_build_array(tests.event(jsonb_build_object('payload', jsonb_build_object(
            'a', repeat('x', 65536 - 8)
        )))),
        'events[0].payload is larger than 64 KiB'
    ),
    (jsonb_build_array(tests.event('{"schema_version": 0}')), 'events[0].schema_version is not%'),
    (jsonb_build_array(tests.event('{"schema_version": 1.5}')), 'events[0].schema_version is n%'),
    (jsonb_build_array(tests.event('{"schema_version": "1"}')), 'events[0].schema_version is n%'),
    (jsonb_build_array(tests.event('{"occurred_at": "yesterday"}')), 'events[0].occurred_at is%'),
    (jsonb_build_array(tests.event('{"occurred_at": "2026-01-01"}')), 'events[0].occurred_at i%'),
    (
        jsonb_build_array(tests.event('{"occurred_at": "2026-13-01T00:00:00Z"}')),
        'events[0].occurred_at is not an instant'
    ),
    (jsonb_build_array(tests.event('{"occurred_at": "infinity"}')), 'events[0].occurred_at is%'),
    (jsonb_build_array(tests.event('{"sequence": 1}')), 'events[0] has the unknown key sequence')
) as malformed (events, message);

select is((select count(*) from synapsor.domain_events), 0::bigint, 'nothing of that is appended');
select is(tests.append('[]'), 0, 'no events are no error');
select is(
    tests.append(jsonb_build_array(
        tests.event(jsonb_build_object(
            'type', rpad('A', 128, 'a'), 'subject_type', rpad('S', 128, 's'),
            'subject_id', repeat('ü', 255),
            'payload', jsonb_build_object('a', repeat('x', 65536 - 9))
        )),
        tests.event('{"schema_version": 999999999, "occurred_at": "2026-01-01t10:00:00.5+05:30"}')
        - 'payload'
    )),
    2,
    'everything at its edge'
);


-- The sequence, and the rest of the envelope

savepoint fresh;
select tests.at('2026-05-01 12:00+00');
select is(
    tests.append(jsonb_build_array(
        tests.event(),
        tests.event('{"subject_id": "inv_2", "occurred_at": "2026-04-30T23:59:59Z"}'),
        tests.event('{"type": "RefundPosted"}'),
        tests.event('{"subject_type": "Customer", "subject_id": "inv_1"}')
    )),
    4,
    'several subjects at once'
);
select tests.advance('1 s');
select is(
    tests.append(
        jsonb_build_array(tests.event(), tests.event('{"subject_id": "inv_2"}')),
        '{"action_id": "act_2", "actor": "bob", "actor_type": "natural_person",
          "correlation_id": "thread"}'
    ),
    2,
    'and again'
);
select results_eq(
    $$
    select jsonb_build_array(
        subject_type, subject_id, sequence, event_type, action_id, actor, actor_type,
        correlation_id, causation_id, occurred_at, recorded_at, tenant_id, event_schema_version
    )
    from synapsor.synapsor_events
    where event_schema_version = 1 and length(event_type) < 128
    order by subject_type, subject_id, sequence
    $$,
    $$
    values
    ('["Customer", "inv_1", 1, "RefundRecorded", "act_1", "alice", "agent", "act_1", "act_1",
        "2026-05-01T12:00:00+00:00", "2026-05-01T12:00:00+00:00", "acme", 1]'::jsonb),
    ('["Invoice", "inv_1", 2, "RefundRecorded", "act_1", "alice", "agent", "act_1", "act_1",
        "2026-05-01T12:00:00+00:00", "2026-05-01T12:00:00+00:00", "acme", 1]'::jsonb),
    ('["Invoice", "inv_1", 3, "RefundPosted", "act_1", "alice", "agent", "act_1", "act_1",
        "2026-05-01T12:00:00+00:00", "2026-05-01T12:00:00+00:00", "acme", 1]'::jsonb),
    ('["Invoice", "inv_1", 4, "RefundRecorded", "act_2", "bob", "natural_person", "thread", "act_2",
        "2026-05-01T12:00:01+00:00", "2026-05-01T12:00:01+00:00", "acme", 1]'::jsonb),
    ('["Invoice", "inv_2", 1, "RefundRecorded", "act_1", "alice", "agent", "act_1", "act_1",
        "2026-04-30T23:59:59+00:00", "2026-05-01T12:00:00+00:00", "acme", 1]'::jsonb),
    ('["Invoice", "inv_2", 2, "RefundRecorded", "act_2", "bob", "natural_person", "thread", "act_2",
        "2026-05-01T12:00:01+00:00", "2026-05-01T12:00:01+00:00", "acme", 1]'::jsonb)
    $$,
    'each subject counts for itself, in the order given, without gaps'
);
select ok(bool_and(event_id ~ '^evt_[0-9A-HJKMNP-TV-Z]{26}$'), 'ids are evt_ and a ULID')
from synapsor.synapsor_events;

do $do$
begin
    begin
        perform tests.append(jsonb_build_array(tests.event()));
        raise exception using errcode = 'AB000';
    exception
        when sqlstate 'AB000' then null;
    end;
    perform tests.append(jsonb_build_array(tests.event('{"type": "AfterRollback"}')));
end
$do$;
select is(
    (
        select sequence from synapsor.synapsor_events where event_type = 'AfterRollback'
    ),
    5::bigint,
    'what was undone leaves no gap'
);


-- What is recorded stays

select tests.raises(
    statement, '55000', 'events are append-only', null, null, statement
)
from (
    values
    ('update synapsor.domain_events set payload = ''{}'''),
    ('delete from synapsor.domain_events'),
    ('truncate synapsor.domain_events')
) as rewriting (statement);


-- What a handler may emit

select lives_ok(
    'select tests.check_events(jsonb_build_array(tests.event()))', 'events of its own'
);
select tests.raises(
    format('select tests.check_events(jsonb_build_array(tests.event(%L)))', overrides),
    'SY013', message
)
from (
    values
    ('{"type": "StateTransitioned"}', 'the handler emitted StateTransitioned, which only the%'),
    ('{"type": "ComplianceBlocked"}', 'the handler emitted ComplianceBlocked, which only the%'),
    ('{"type": "AdapterInvocationSucceeded"}', 'the handler emitted AdapterInvocationSucceeded%'),
    ('{"subject_type": "ActionInvocation"}', 'the handler emitted an event about ActionInvoc%'),
    ('{"subject_type": "PolicyEvaluation"}', 'the handler emitted an event about PolicyEvalu%'),
    ('{"subject_type": "AdapterInvocation"}', 'the handler emitted an event about AdapterInv%'),
    ('{"type": 1}', 'events[0].type is not PascalCase%')
) as reserved (overrides, message);


-- CloudEvents

select tests.session('acme & söhne/1', 'alice');
select tests.append(
    jsonb_build_array(tests.event('{"payload": {"a": null}, "occurred_at":
        "2026-05-01T12:00:00.000001+02:00", "schema_version": 2}')),
    '{"tenant_id": "acme & söhne/1", "actor_type": "natural_person"}'
);
select is(
    cloud_event,
    jsonb_build_object(
        'specversion', '1.0', 'id', event_id, 'source', '/tenants/acme%20%26%20s%C3%B6hne%2F1',
        'type', 'RefundRecorded', 'subject', 'Invoice/inv_1',
        'time', '2026-05-01T10:00:00.000001Z', 'datacontenttype', 'application/json',
        'dataschema', 'urn:synapsor:event:RefundRecorded:2', 'data', '{"a": null}'::jsonb,
        'correlationid', 'act_1', 'causationid', 'act_1', 'recordedtime',
        to_char(recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'sequence', '0000000000000000001', 'authtype', 'app_user', 'authid', 'alice'
    ),
    'an event as CloudEvents 1.0'
)
from synapsor.synapsor_events;
select is(
    (
        select array_agg(key order by key)
        from synapsor.synapsor_events, jsonb_object_keys(cloud_event) as key
        where key !~ '^[a-z0-9]{1,20}$'
    ),
    null,
    'names of attributes are lower-case letters and digits'
);


-- Tenants

select is(
    (select count(*) from synapsor.synapsor_events), 1::bigint, 'a tenant sees its own events'
);
set session authorization test_caller;
select is((select count(*) from synapsor.synapsor_events), 1::bigint, 'as a caller');
select tests.session('globex', 'gil');
select is((select count(*) from synapsor.synapsor_events), 0::bigint, 'not another''s');
select tests.raises('select * from synapsor.domain_events', '42501');
select tests.raises('select * from synapsor.event_subjects', '42501');
select tests.raises(
    $$ select synapsor._append_events(null, '[]') $$, '42501', null, null, null,
    'nobody appends by himself'
);
select tests.raises(
    $$ select tests.append(jsonb_build_array(tests.event())) $$, '42501', '%row-level security%',
    null, null, 'not even the extension, for another tenant'
);
set session authorization test_stranger;
select tests.raises('select * from synapsor.synapsor_events', '42501');
reset session authorization;
select ok(
    has_table_privilege(role, 'synapsor.synapsor_events', 'select'), role || ' reads the events'
)
from unnest(array['synapsor_caller', 'synapsor_approver', 'synapsor_worker', 'synapsor_auditor',
    'synapsor_admin']) as role;


-- Replaying

rollback to fresh;
create role app_owner;
create schema app;
grant usage on schema app to public;
grant create on schema app to app_owner;
create table app.notes (note text);
alter table app.notes owner to app_owner;
set role app_owner;
create function app.reduce(state jsonb, event jsonb)
returns jsonb
language plpgsql
security definer
set search_path = app, pg_temp
as $function$
begin
    if event -> 'payload' ? 'sql' then
        execute event -> 'payload' ->> 'sql';
    end if;
    if event -> 'payload' ? 'nothing' then
        return null;
    end if;
    return jsonb_build_object(
        'total', (state ->> 'total')::integer + coalesce((event -> 'payload' ->> 'n')::integer, 0),
        'seen', coalesce(state -> 'seen', '[]') || (event -> 'sequence')
    );
end
$function$;
create function app.powerless(state jsonb, event jsonb)
returns jsonb
language sql
set search_path = app, pg_temp
as $function$ select state $function$;
create function app.keeps(state jsonb, event jsonb)
returns jsonb
language sql
security definer
set search_path = app, pg_temp
as $function$ select event $function$;
reset role;

create function tests.counted(n integer, overrides jsonb default '{}')
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
begin atomic
    select tests.event(jsonb_build_object(
        'subject_type', 'Counter', 'subject_id', 'c', 'payload', jsonb_build_object('n', n)
    ) || overrides);
end;

select tests.session('acme', 'alice');
select tests.append((
    select jsonb_agg(tests.counted(n) order by n) from generate_series(1, 4) as n
));

set session authorization test_auditor;
select results_eq(
    $$ select * from synapsor.replay_events('Counter', 'c', '{"total": 0}',
        'app.reduce(jsonb,jsonb)') $$,
    $$ values ('{"total": 10, "seen": [1, 2, 3, 4]}'::jsonb, 4::bigint, 4::bigint, '[]'::jsonb) $$,
    'events are folded in their order'
);
select results_eq(
    $$ select * from synapsor.replay_events('Counter', 'c', '{"total": 3}',
        reducer => 'app.reduce(jsonb,jsonb)', after_sequence => 2) $$,
    $$ values ('{"total": 10, "seen": [3, 4]}'::jsonb, 2::bigint, 4::bigint, '[]'::jsonb) $$,
    'from behind a cursor'
);
select results_eq(
    $$ select * from synapsor.replay_events('Counter', 'c', '{"total": 3}',
        'app.reduce(jsonb,jsonb)', 4) $$,
    $$ values ('{"total": 3}'::jsonb, 0::bigint, 4::bigint, '[]'::jsonb) $$,
    'from the last one'
);
select results_eq(
    $$ select * from synapsor.replay_events('Counter', 'c', '{"total": 3}',
        'app.reduce(jsonb,jsonb)', 9) $$,
    $$ values ('{"total": 3}'::jsonb, 0::bigint, 9::bigint,
        '[{"warning": "cursor_not_found", "sequence": 9}]'::jsonb) $$,
    'from one that is not there'
);
select results_eq(
    $$ select * from synapsor.replay_events('Counter', 'nobody', '{"total": 3}',
        'app.reduce(jsonb,jsonb)') $$,
    $$ values ('{"total": 3}'::jsonb, 0::bigint, 0::bigint, '[]'::jsonb) $$,
    'of a subject without events'
);
select is(
    (select array_agg(key order by key)
        from synapsor.replay_events('Counter', 'c', null, 'app.keeps(jsonb,jsonb)') as replay,
            jsonb_object_keys(replay.state) as key),
    array[
        'action_id', 'actor', 'actor_type', 'causation_id', 'correlation_id', 'event_id',
        'event_schema_version', 'event_type', 'occurred_at', 'payload', 'recorded_at', 'sequence',
        'subject_id', 'subject_type', 'tenant_id'
    ],
    'an event is given with its whole envelope'
);
select tests.raises(
    $$ select synapsor.replay_events('Counter', 'c', '{}',
        'app.reduce(jsonb,jsonb)', -1) $$, 'SY003'
);
select tests.raises(
    $$ select synapsor.replay_events('Counter', 'c', '{}',
        'app.powerless(jsonb,jsonb)') $$,
    'SY013', 'app.powerless(jsonb,jsonb) is not called: it is not SECURITY DEFINER'
);
select tests.raises(
    $$ select synapsor.replay_events('Counter', 'c', '{}', null) $$, 'SY013', '%does not exist%'
);

select tests.session('globex', 'gil');
select is(
    (synapsor.replay_events('Counter', 'c', '{"total": 0}', 'app.reduce(jsonb,jsonb)')).applied,
    0::bigint,
    'nothing of another tenant is replayed'
);
reset session authorization;
select tests.append(jsonb_build_array(tests.counted(5)), '{"tenant_id": "globex"}');
select synapsor.bind_role('test_auditor', '{"tenants": "*"}') is not null as bound;
select synapsor.close_session();
set session authorization test_auditor;
select tests.raises(
    $$ select synapsor.replay_events('Counter', 'c', '{"total": 0}',
        'app.reduce(jsonb,jsonb)') $$,
    'SY003', 'Counter c is a subject of several tenants'
);
set session authorization test_caller;
select tests.raises(
    $$ select synapsor.replay_events('Counter', 'c', '{"total": 0}',
        'app.reduce(jsonb,jsonb)') $$, '42501',
    'permission denied for function replay_events'
);
reset session authorization;

-- Gaps and duplicates, which only a table written to by hand can have
select tests.session('acme', 'alice');
alter table synapsor.domain_events disable trigger user;
delete from synapsor.domain_events
where tenant_id = 'acme' and subject_type = 'Counter' and sequence in (2, 3);
insert into synapsor.domain_events
select (jsonb_populate_record(event, '{"sequence": 7}')).*
from synapsor.domain_events as event
where tenant_id = 'acme' and subject_type = 'Counter' and sequence = 4;
select is(
    (
        select jsonb_build_array(state, applied, sequence, jsonb_path_query_array(
            warnings, '$[*].warning'
        ), warnings -> 0, warnings -> 1 -> 'to')
        from synapsor.replay_events('Counter', 'c', '{"total": 0}', 'app.reduce(jsonb,jsonb)')
    ),
    '[{"total": 5, "seen": [1, 4]}, 2, 7,
        ["missing_sequence", "missing_sequence", "duplicate_event"],
        {"warning": "missing_sequence", "from": 2, "to": 3}, 6]',
    'gaps are told, duplicates left out'
);
alter table synapsor.domain_events enable trigger user;

-- A reducer is held to its task
select tests.append((
    select jsonb_agg(tests.counted(0, overrides))
    from (
        values
        ('{"subject_id": "writes", "payload": {"sql": "insert into app.notes values (1)"}}'::jsonb),
        ('{"subject_id": "sets", "payload": {"sql": "set search_path = evil"}}'),
        ('{"subject_id": "silent", "payload": {"nothing": true}}')
    ) as attack (overrides)
));
select tests.raises(
    $$ select synapsor.replay_events('Counter', 'writes', '{"total": 0}',
        'app.reduce(jsonb,jsonb)') $$, '25006'
);
select tests.raises(
    $$ select synapsor.replay_events('Counter', 'silent', '{"total": 0}',
        'app.reduce(jsonb,jsonb)') $$,
    'SY013', 'app.reduce(jsonb,jsonb) returned no state'
);
select is(
    (synapsor.replay_events('Counter', 'sets', '{"total": 0}', 'app.reduce(jsonb,jsonb)')).applied,
    1::bigint,
    'what it sets'
);
select is(current_setting('search_path'), '"$user", public', 'is undone');

-- Thousands of events pass in portions
select tests.append((
    select jsonb_agg(tests.counted(1, '{"subject_id": "many"}')) from generate_series(1, 1000)
))
from generate_series(1, 3);
select is(
    (select jsonb_build_array(state -> 'total', applied, sequence, warnings)
        from synapsor.replay_events('Counter', 'many', '{"total": 0}', 'app.reduce(jsonb,jsonb)')),
    '[3000, 3000, 3000, []]',
    'thousands of events are replayed'
);

select * from finish();
rollback;
