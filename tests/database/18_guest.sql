-- User-supplied SQL: what is accepted, whose rights it has, what it leaves behind.

begin;

select plan(109);

-- The cast: app_owner owns handlers; the extension's owner calls them, as verbs do, for a login.
create role app_owner;
create role app_gateway;
create role app_chief superuser;
create role app_hand in role synapsor_owner;
create role app_deputy in role app_chief;
grant synapsor_gateway to app_gateway;
create schema app;
create schema closed;
grant usage on schema app to public;
grant usage, create on schema app, closed to app_owner;
grant create on schema app to app_gateway;
create table app.notes (note text);
alter table app.notes owner to app_owner;
create sequence app.numbers;
alter sequence app.numbers owner to app_owner;

create function tests.check(signature text, takes text[] default '{jsonb,jsonb}')
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return synapsor._check_user_function(signature, takes, 'jsonb');
end
$function$;

create function tests.call(signature text, parameters jsonb)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return synapsor._call_user_function(signature, array['{"a": 1}', parameters]);
end
$function$;

create function tests.evaluate(signature text, context jsonb)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return synapsor._call_evaluator(signature, context);
end
$function$;

create function tests.elevated_call()
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return synapsor._as_every_tenant(
        $sql$
        select concat_ws(
            ', ',
            synapsor._sees_every_tenant(),
            synapsor._call_user_function('app.sees(jsonb,jsonb)', '{null,null}'),
            synapsor._sees_every_tenant()
        )
        $sql$
    );
end
$function$;

alter function tests.check(text, text[]) owner to synapsor_owner;
alter function tests.call(text, jsonb) owner to synapsor_owner;
alter function tests.evaluate(text, jsonb) owner to synapsor_owner;
alter function tests.elevated_call() owner to synapsor_owner;

set role app_owner;

-- Says who it is and what it was given.
create function app.who(context jsonb, parameters jsonb)
returns jsonb
language plpgsql
security definer
set search_path = app, pg_temp
as $function$
begin
    return jsonb_build_object(
        'user', current_user, 'login', session_user, 'context', context, 'parameters', parameters,
        'search_path', current_setting('search_path'), 'read_only',
        current_setting('transaction_read_only')
    );
end
$function$;

-- Runs any statement, and says how it ended.
create function app.tries(context jsonb, parameters jsonb)
returns jsonb
language plpgsql
security definer
set search_path = app, pg_temp
as $function$
begin
    execute parameters ->> 'sql';
    return '{"code": "none"}';
exception
    when others then
        return jsonb_build_object('code', sqlstate, 'message', sqlerrm);
end
$function$;

-- Runs any statement, and lets its error pass.
create function app.does(context jsonb, parameters jsonb)
returns jsonb
language plpgsql
security definer
set search_path = app, pg_temp
as $function$
begin
    execute parameters ->> 'sql';
    return '{"code": "none"}';
end
$function$;

create function app.judges(context jsonb)
returns jsonb
language plpgsql
security definer
set search_path = app, pg_temp
as $function$
begin
    execute context ->> 'sql';
    return '{"result": "pass"}';
end
$function$;

create function app.says_nothing(context jsonb, parameters jsonb)
returns jsonb
language sql
security definer
set search_path = app, pg_temp
as $function$ select null::jsonb $function$;

create function app.plain(context jsonb, parameters jsonb)
returns jsonb
language sql
set search_path = app, pg_temp
as $function$ select to_jsonb(current_user::text) $function$;

create function app.unpinned(context jsonb, parameters jsonb)
returns jsonb
language sql
security definer
as $function$ select '{}'::jsonb $function$;

create function app.pinned_to_something_else(context jsonb, parameters jsonb)
returns jsonb
language sql
security definer
set application_name = 'search_path=app'
as $function$ select '{}'::jsonb $function$;

create function app.text_for_json(context jsonb, parameters jsonb)
returns text
language sql
security definer
set search_path = app, pg_temp
as $function$ select ''::text $function$;

create function app.several(context jsonb, parameters jsonb)
returns setof jsonb
language sql
security definer
set search_path = app, pg_temp
as $function$ select '{}'::jsonb $function$;

create function app.three(context jsonb, parameters jsonb, more jsonb default null)
returns jsonb
language sql
security definer
set search_path = app, pg_temp
as $function$ select '{}'::jsonb $function$;

create procedure app.procedure(context jsonb, parameters jsonb)
language sql
security definer
set search_path = app, pg_temp
as $function$ select $function$;

create function closed.handler(context jsonb, parameters jsonb)
returns jsonb
language sql
security definer
set search_path = closed, pg_temp
as $function$ select '{}'::jsonb $function$;

create function app."Odd name; --"(context jsonb, parameters jsonb)
returns jsonb
language sql
security definer
set search_path = app, pg_temp
as $function$ select '{"odd": true}'::jsonb $function$;

create function app.revoked(context jsonb, parameters jsonb)
returns jsonb
language sql
security definer
set search_path = app, pg_temp
as $function$ select '{}'::jsonb $function$;
revoke execute on function app.revoked(jsonb, jsonb) from public;

create function app.of_the_chief(context jsonb, parameters jsonb)
returns jsonb
language sql
security definer
set search_path = app, pg_temp
as $function$ select '{}'::jsonb $function$;

create function app.acts_at_the_end()
returns trigger
language plpgsql
as $function$
begin
    insert into app.notes values ('trigger ran as ' || current_user);
    return null;
end
$function$;

create table app.late (note text);
create constraint trigger late after insert on app.late deferrable initially deferred
for each row execute function app.acts_at_the_end();

reset role;

create function app.in_python(context jsonb, parameters jsonb)
returns jsonb
language plpython3u
security definer
set search_path = app, pg_temp
as $python$ return "{}" $python$;
alter function app.in_python(jsonb, jsonb) owner to app_owner;


-- What is accepted

select is(tests.check('app.who(jsonb,jsonb)'), null, 'a proper function is accepted');
select is(tests.check('app.who(jsonb, pg_catalog.jsonb)'), null, 'its types may be qualified');
select is(tests.check('app."Odd name; --"(jsonb,jsonb)'), null, 'any name will do');
select is(tests.check('app.judges(jsonb)', '{jsonb}'), null, 'evaluators have one argument');

select matches(tests.check(signature), reason, format('%s %s', signature, reason))
from (
    values
    ('app.nobody(jsonb,jsonb)', '^does not exist; it is named by schema and argument types'),
    ('who(jsonb,jsonb)', '^does not exist'),
    ('app.who', '^does not exist'),
    ('', '^does not exist'),
    ('app.who(jsonb,jsonb', '^does not exist'),
    ('app.who(jsonb,nothing)', '^does not exist'),
    ('nowhere.who(jsonb,jsonb)', '^does not exist'),
    ('closed.handler(jsonb,jsonb)', 'synapsor_guest may not use \(grant usage'),
    ('app.revoked(jsonb,jsonb)', 'may not be called by synapsor_guest \(grant execute on function'),
    ('app.plain(jsonb,jsonb)', '^is not SECURITY DEFINER$'),
    ('app.unpinned(jsonb,jsonb)', '^has no pinned search_path'),
    ('app.pinned_to_something_else(jsonb,jsonb)', '^has no pinned search_path'),
    ('app.text_for_json(jsonb,jsonb)', '^returns text, not jsonb$'),
    ('app.several(jsonb,jsonb)', '^is not a function that returns one value$'),
    ('app.three(jsonb,jsonb,jsonb)', '^takes \(context jsonb, .*\), not \(jsonb, jsonb\)$'),
    ('app.procedure(jsonb,jsonb)', 'is not a function that returns one value'),
    ('app.in_python(jsonb,jsonb)', '^is written in plpython3u, an untrusted language$'),
    ('pg_catalog.jsonb_concat(jsonb,jsonb)', 'is owned by the superuser'),
    ('pg_catalog.jsonb_object_agg("any","any")', 'is not a function that returns one value'),
    ('synapsor.declare_action(jsonb)', 'is owned by synapsor_owner, which has the rights of')
) as refused (signature, reason);

select is(
    tests.check('app.plain(jsonb,jsonb)', '{jsonb}'),
    'takes (context jsonb, parameters jsonb), not (jsonb), is not SECURITY DEFINER',
    'all reasons come at once'
);
select matches(tests.check(null), '^does not exist', 'null names nothing');

alter function app.of_the_chief(jsonb, jsonb) owner to app_chief;
select is(
    tests.check('app.of_the_chief(jsonb,jsonb)'), 'is owned by the superuser app_chief',
    'a superuser''s function is refused'
);
alter function app.of_the_chief(jsonb, jsonb) owner to app_deputy;
select is(
    tests.check('app.of_the_chief(jsonb,jsonb)'),
    'is owned by app_deputy, a member of a superuser',
    'and that of a superuser''s member'
);
alter function app.of_the_chief(jsonb, jsonb) owner to app_hand;
select is(
    tests.check('app.of_the_chief(jsonb,jsonb)'),
    'is owned by app_hand, which has the rights of the extension',
    'and that of a member of synapsor_owner'
);
alter function app.of_the_chief(jsonb, jsonb) owner to synapsor_guest;
select is(
    tests.check('app.of_the_chief(jsonb,jsonb)'),
    'is owned by synapsor_guest, which has the rights of the extension',
    'and that of synapsor_guest'
);

create function pg_temp.mine(context jsonb, parameters jsonb)
returns jsonb
language sql
security definer
set search_path = pg_temp
as $function$ select '{}'::jsonb $function$;
alter function pg_temp.mine(jsonb, jsonb) owner to app_owner;
select isnt(tests.check('pg_temp.mine(jsonb,jsonb)'), null, 'a temporary function is refused');
select ok(tests.check('mine(jsonb,jsonb)') like 'does not exist%', 'and not found by its name');


-- How it is called

select tests.session('acme', 'alice', array['support']);
select is(
    tests.call('app.who(jsonb,jsonb)', '{"b": 2}'),
    jsonb_build_object(
        'user', 'app_owner', 'login', session_user, 'context', '{"a": 1}'::jsonb,
        'parameters', '{"b": 2}'::jsonb, 'search_path', 'app, pg_temp', 'read_only', 'off'
    ),
    'it runs as its owner, with context and parameters'
);
select is(tests.call('app."Odd name; --"(jsonb,jsonb)', '{}'), '{"odd": true}', 'by any name');
select is(tests.call('app.says_nothing(jsonb,jsonb)', '{}'), null, 'nothing is nothing');
select is(
    tests.call('app.who(jsonb,jsonb)', null) -> 'parameters', 'null', 'null is passed on'
);
select tests.raises(
    $$ select tests.call('app.does(jsonb,jsonb)', jsonb_build_object('sql', 'do $x$ begin raise
        exception using errcode = ''AB123'', message = ''m'', detail = ''d'', hint = ''h'';
        end $x$')) $$,
    'AB123', 'm', 'd', 'h', 'its errors pass unchanged'
);


-- The rule is asked again at every call

savepoint altered;
alter function app.who(jsonb, jsonb) security invoker;
select tests.raises(
    $$ select tests.call('app.who(jsonb,jsonb)', '{}') $$,
    'SY013', 'app.who(jsonb,jsonb) is not called: it is not SECURITY DEFINER'
);
rollback to altered;
alter function app.who(jsonb, jsonb) owner to app_chief;
select tests.raises(
    $$ select tests.call('app.who(jsonb,jsonb)', '{}') $$, 'SY013', '%superuser app_chief'
);
rollback to altered;
alter function app.who(jsonb, jsonb) reset search_path;
select tests.raises(
    $$ select tests.call('app.who(jsonb,jsonb)', '{}') $$, 'SY013', '%no pinned search_path%'
);
rollback to altered;
drop function app.who(jsonb, jsonb);
select tests.raises(
    $$ select tests.call('app.who(jsonb,jsonb)', '{}') $$, 'SY013', '%does not exist%'
);
rollback to altered;
alter function app.judges(jsonb) security invoker;
select tests.raises(
    $$ select tests.evaluate('app.judges(jsonb)', '{"sql": "select 1"}') $$,
    'SY013', '%not SECURITY DEFINER%'
);
rollback to altered;


-- It has no rights of the extension

set session authorization test_caller;

select is(
    tests.call('app.tries(jsonb,jsonb)', jsonb_build_object('sql', attack.statement)) ->> 'code',
    attack.code,
    attack.statement
)
from (
    values
    ('select count(*) from synapsor.action_contracts', '42501'),
    ('select count(*) from synapsor.session_keys', '42501'),
    ('select count(*) from synapsor.synapsor_action_invocations', '42501'),
    ('delete from synapsor.domain_events', '42501'),
    ('insert into synapsor.event_subjects values (''acme'', ''A'', ''1'', 9)', '42501'),
    ('update synapsor.action_invocations set status = ''completed''', '42501'),
    ('select synapsor._put_session_back(''{"slot": null, "elevation": ["a", 1]}'')', '42501'),
    ('select synapsor._set_session_aside()', '42501'),
    ('select synapsor._as_every_tenant(''select 1'')', '42501'),
    ('select synapsor._as_guest(''call'', null, null, false)', '42501'),
    ('select synapsor._guest_call(''pg_catalog.to_jsonb(anyelement)'', null)', '42501'),
    ('select synapsor._guest_state(''app.notes'', ''note'', ''note'', '''', true)', '42501'),
    ('select synapsor.set_session(''{"principal": "eve"}'')', '42501'),
    ('select synapsor.bind_role(''test_caller'', ''{"tenants": "*"}'')', '42501'),
    ('set role synapsor_owner', '42501'),
    ('set role synapsor_guest', '42501'),
    ('set local role test_caller', '42501'),
    ('set session authorization default', '42501'),
    ('alter system set work_mem = 1', '25001'),
    ('alter function synapsor._guest_call(regprocedure, jsonb[]) security invoker', '42501'),
    ('create function synapsor.mine() returns int language sql as ''select 1''', '42501'),
    ('grant synapsor_owner to app_owner', '42501')
) as attack (statement, code);


-- What it changes in the session ends with it

create function pg_temp.left_behind()
returns jsonb
language sql
as $function$
    select jsonb_build_object(
        'session', synapsor.current_session(),
        'setting', current_setting('synapsor.session', true),
        'elevation', coalesce(current_setting('synapsor.every_tenant', true), ''),
        'search_path', current_setting('search_path'),
        'cursors', (select count(*) from pg_cursors where is_holdable),
        'statements', (select count(*) from pg_prepared_statements where from_sql),
        'locks', (
            select coalesce(
                jsonb_agg(array[classid::text, objid::text, objsubid::text, mode]
                    order by classid::bigint, objid::bigint, objsubid, mode), '[]'
            )
            from pg_locks
            where locktype = 'advisory' and pid = pg_backend_pid()
        )
    )
$function$;

reset session authorization;
select tests.session('acme', 'alice', array['support']);
select synapsor.add_session_key('eve', 'a secret of thirty-two bytes or more, eve', '{}');

create temporary table attacks (statement text);
insert into attacks values
('select synapsor.close_session()'),
('set synapsor.session = ''forged'''),
('set synapsor.every_tenant = ''forged'''),
('set local synapsor.session = '''''),
('reset synapsor.session'),
('select pg_advisory_lock(42)'),
('select pg_advisory_lock(-42), pg_advisory_lock_shared(7), pg_advisory_lock(-1, 5)'),
('select pg_advisory_lock(1), pg_advisory_lock(1)'),
('select pg_advisory_unlock_all()'),
('prepare app_query as select 1'),
('declare later cursor with hold for select app.acts_at_the_end()');
grant select on attacks to public;

create temporary table before as select pg_temp.left_behind() as before;

select is(
    (
        select pg_temp.left_behind()
        from (
            select tests.call('app.does(jsonb,jsonb)', jsonb_build_object('sql', statement)) as done
            offset 0
        ) as attack
        where done is not null
    ),
    before,
    'left behind: ' || statement
)
from attacks, before;

do $do$
begin
    perform tests.call('app.does(jsonb,jsonb)', jsonb_build_object(
        'sql', 'do $x$ begin perform pg_advisory_lock(42), synapsor.close_session();
            raise division_by_zero; end $x$'
    ));
exception
    when division_by_zero then null;
end
$do$;
select is(pg_temp.left_behind(), before, 'nothing is left behind by what failed') from before;

select is(
    tests.evaluate('app.judges(jsonb)', jsonb_build_object(
        'sql', 'do $x$ begin perform pg_advisory_lock(42), synapsor.close_session();
            set search_path = evil; set synapsor.session = forged; prepare p as select 1; end $x$'
    )),
    '{"result": "pass"}',
    'an evaluator may do all that'
);
select is(pg_temp.left_behind(), before, 'and nothing of it is left behind') from before;

select is(
    (select pg_temp.left_behind() from (
        select tests.call('app.does(jsonb,jsonb)', '{"sql": "select pg_advisory_xact_lock(4)"}')
        offset 0
    ) as call where call is not null) #>> '{locks,0,1}',
    '4',
    'a lock of the transaction stays with it'
);

-- With advisory locks of the login's own
select pg_advisory_lock(100), pg_advisory_lock_shared(-3, -4);
create temporary table with_locks as select pg_temp.left_behind() as before;
select is(
    (
        select pg_temp.left_behind()
        from (
            select tests.call('app.does(jsonb,jsonb)', jsonb_build_object('sql', statement)) as done
            offset 0
        ) as attack
        where done is not null
    ),
    before,
    'with locks of its own, left behind: ' || statement
)
from attacks, with_locks
where statement like '%advisory%';
select pg_advisory_unlock_all();

-- A plain SET search_path cannot be undone alone, so the call is
select tests.raises(
    format($$ select tests.call('app.does(jsonb,jsonb)', jsonb_build_object('sql', %L)) $$, sql),
    'SY013', 'app.does(jsonb,jsonb) changed search_path beyond its own end', null, '%SET LOCAL%',
    sql
)
from (
    values
    ('set search_path = evil'),
    ('set search_path = pg_catalog, pg_temp'),
    ('do $x$ begin set search_path = evil; set local search_path = pg_catalog, pg_temp; end $x$'),
    ('reset search_path')
) as attack (sql);
select is(
    tests.call('app.does(jsonb,jsonb)', '{"sql": "set local search_path = evil"}'),
    '{"code": "none"}', 'SET LOCAL ends with the function anyway'
);
select is(
    pg_temp.left_behind() -> 'search_path', before -> 'search_path', 'the search_path is as it was'
)
from before;

-- Deferred triggers run at once and without power, not at COMMIT as the login
select tests.raises(
    $$ select tests.call('app.does(jsonb,jsonb)', '{"sql": "insert into app.late values (1)"}') $$,
    '42501', 'permission denied for table notes', null, null, 'a deferred trigger runs as the guest'
);
alter function app.acts_at_the_end() security definer;
select tests.call('app.does(jsonb,jsonb)', '{"sql": "insert into app.late values (1)"}');
select results_eq(
    'select note from app.notes', $$ values ('trigger ran as app_owner') $$,
    'or as its owner, before the call returns'
);

alter function app.acts_at_the_end() security invoker;
set role app_owner;
insert into app.late values ('pending');
reset role;
select is(
    tests.evaluate('app.judges(jsonb)', '{"sql": "select 1"}'), '{"result": "pass"}',
    'an evaluator leaves alone what the transaction has deferred'
);
delete from app.notes;
alter function app.acts_at_the_end() security definer;
select tests.call('app.who(jsonb,jsonb)', '{}') is not null as settled;
select is((select count(*) from app.notes), 1::bigint, 'a handler''s call settles it');

-- Temporary objects stand in for nothing of ours
select tests.call('app.does(jsonb,jsonb)', jsonb_build_object('sql', format(
    'create temporary table %1$s (evil int); '
    'create temporary view pg_proc as select 1 as evil', name
)))
from (values ('domain_events')) as shadow (name);
select is(
    tests.call('app.who(jsonb,jsonb)', '{}') ->> 'user', 'app_owner',
    'temporary tables shadow nothing'
);
drop view pg_temp.pg_proc;

-- The elevation of housekeeping does not reach it
grant usage on schema synapsor to app_owner;
grant execute on function synapsor._sees_every_tenant() to app_owner;
set role app_owner;
create function app.sees(context jsonb, parameters jsonb)
returns jsonb
language plpgsql
security definer
set search_path = app, pg_temp
as $function$
begin
    return to_jsonb(synapsor._sees_every_tenant());
end
$function$;
reset role;
select is(
    tests.elevated_call(), 't, false, t', 'it is not elevated, and its caller is again afterwards'
);


-- Evaluators are read-only, and undone

select tests.raises(
    format($$ select tests.evaluate('app.judges(jsonb)', jsonb_build_object('sql', %L)) $$, sql),
    code, null, null, null, 'an evaluator: ' || sql
)
from (
    values
    ('insert into app.notes values (1)', '25006'),
    ('create table app.new (i int)', '25006'),
    ('select nextval(''app.numbers'')', '25006'),
    ('set transaction_read_only = off', '25001'),
    ('set transaction read write', '25001'),
    ('select 1 from app.notes for update', '25006'),
    ('do $x$ begin raise exception ''undo''; end $x$', 'P0001')
) as write (sql, code);
select is(
    tests.evaluate('app.judges(jsonb)', '{"sql": "select 1"}'), '{"result": "pass"}',
    'an evaluator answers'
);
select is(current_setting('transaction_read_only'), 'off', 'and the transaction goes on');


-- A gateway's handler would open sessions for whoever invokes it, as any group role's would act

set role app_gateway;
create function app.of_the_gateway(context jsonb, parameters jsonb)
returns jsonb
language sql
security definer
set search_path = app, pg_temp
as $function$ select '{}'::jsonb $function$;
reset role;
select tests.raises(
    $$ select tests.call('app.of_the_gateway(jsonb,jsonb)', '{}') $$, 'SY013',
    '% is owned by app_gateway, a member of a group role of the extension%', null, null,
    'a gateway''s function is not called'
);

-- Should one get the right to open sessions nevertheless, they end with it
grant execute on function synapsor.set_session(jsonb) to app_owner;
set role app_owner;
create function app.poses(context jsonb, parameters jsonb)
returns jsonb
language plpgsql
security definer
set search_path = app, pg_temp
as $function$
begin
    perform synapsor.set_session('{"principal": "eve", "tenant_id": "evil"}');
    return synapsor.current_session();
end
$function$;
reset role;
select is(tests.call('app.poses(jsonb,jsonb)', '{}') ->> 'principal', 'eve', 'a session in a call');
select is(synapsor.current_session() ->> 'principal', 'alice', 'ends with the call');


-- What runs as synapsor_guest may alter the trampolines, which then refuse to work

savepoint altered_again;
create schema evil;
create function evil.differs(one name, two name)
returns boolean
language sql
as $function$ select false $function$;
create operator evil.<> (leftarg = name, rightarg = name, function = evil.differs);
grant usage on schema evil to public;
set role synapsor_guest;
alter function synapsor._guest_call(regprocedure, jsonb[]) security invoker;
alter function synapsor._guest_call(regprocedure, jsonb[]) set search_path = evil, pg_catalog;
reset role;
select tests.raises(
    $$ select tests.call('app.who(jsonb,jsonb)', '{}') $$,
    '42501', 'the trampoline synapsor._guest_call has been altered'
);
rollback to altered_again;
set role synapsor_guest;
select tests.raises(
    $$ create or replace function synapsor._guest_call(named regprocedure, arguments jsonb [])
        returns jsonb language sql as 'select null::jsonb' $$,
    '42501', 'permission denied for schema synapsor', null, null, 'but cannot replace them'
);
reset role;

select * from finish();
rollback;
