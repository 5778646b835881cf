-- Who asks: the sources of a session, their order, and what cannot be forged. What needs COMMIT, a
-- second connection or the simple query protocol is in tests/concurrency/test_session.py.

begin;

select plan(101);

-- Row-level policies ask a view that is cheaper than the functions, and must say the same.
create function tests.wall_agrees()
returns boolean
language sql
security definer
as $function$
    select wall.seen = case
            when synapsor._sees_every_tenant() then array[null]::text[] else synapsor._visible_tenants()
        end
    from synapsor._wall as wall
$function$;


-- Without any session

set session authorization test_stranger;

select is(
    synapsor.current_session(),
    '{"principal": "test_stranger", "actor_type": "natural_person", "roles": []}',
    'a login without session and binding is itself, without tenant and roles'
);

reset session authorization;
set session authorization test_caller;

select is(synapsor._visible_tenants(), '{}', 'and sees no tenant by name');
select is(synapsor._sees_every_tenant(), false, 'nor every tenant');


-- set_session

set session authorization test_gateway;

select is(
    synapsor.set_session('{"principal": "alice", "tenant_id": "acme"}'),
    '{"principal": "alice", "tenant_id": "acme", "actor_type": "natural_person", "roles": []}',
    'set_session fills in actor_type and roles, and returns the session'
);
select is(
    synapsor.current_session(),
    '{"principal": "alice", "tenant_id": "acme", "actor_type": "natural_person", "roles": []}',
    'current_session is that session'
);
select is(synapsor._visible_tenants(), array['acme'], 'it sees its tenant');
select is(synapsor._sees_every_tenant(), false, 'and no other');
select is(
    synapsor.set_session(
        '{"principal": "bot", "actor_type": "agent", "roles": ["a"],
          "current_customer_id": 7, "traceparent": null, "run_id": "run_1", "deep": {"x": [1]}}'
    ),
    '{"principal": "bot", "actor_type": "agent", "roles": ["a"],
      "current_customer_id": 7, "traceparent": null, "run_id": "run_1", "deep": {"x": [1]}}',
    'further values are free, and the tenant may be left out'
);
select is(synapsor._visible_tenants(), '{}', 'a session without tenant sees none');

select
    tests.raises(
        format('select synapsor.set_session(%L)', refused.context),
        'SY006', 'the session context is refused', refused.detail, '%', refused.description
    )
from (
    values
    (null, 'It must be a JSON object.', 'null is no session'),
    ('null', 'It must be a JSON object.', 'JSON null is no session'),
    ('[]', 'It must be a JSON object.', 'an array is no session'),
    ('{}', 'principal must%', 'principal is required'),
    ('{"principal": null}', 'principal must%', 'principal may not be null'),
    ('{"principal": ""}', 'principal must%', 'principal may not be empty'),
    ('{"principal": "  "}', 'principal must%', 'principal may not be blank'),
    ('{"principal": 7}', 'principal must%', 'principal must be a text'),
    ('{"principal": "a\u0007"}', 'principal must%', 'principal has no control character'),
    ('{"principal": "a\u0085"}', 'principal must%', 'nor one of the second set'),
    ('{"principal": "a", "tenant_id": ""}', 'tenant_id must%', 'tenant_id may not be empty'),
    ('{"principal": "a", "tenant_id": null}', 'tenant_id must%', 'tenant_id may not be null'),
    ('{"principal": "a", "tenant_id": "a\nb"}', 'tenant_id must%', 'tenant_id has one line'),
    ('{"principal": "a", "tenant_id": "*"}', 'tenant_id must%', 'tenant_id is one tenant'),
    ('{"principal": "a", "tenant_id": ["a"]}', 'tenant_id must%', 'tenant_id is a text'),
    ('{"principal": "a", "actor_type": "robot"}', 'actor_type must%', 'actor types are few'),
    ('{"principal": "a", "actor_type": null}', 'actor_type must%', 'null is no actor type'),
    ('{"principal": "a", "roles": "admin"}', 'roles must%', 'roles are an array'),
    ('{"principal": "a", "roles": [1]}', 'roles must%', 'roles are texts'),
    ('{"principal": "a", "roles": [""]}', 'roles must%', 'roles are not empty'),
    ('{"principal": "a", "tenants": "*"}', 'tenants may appear%', 'tenants is for bindings'),
    ('{"principal": "a", "tenants": ["b"]}', 'tenants may appear%', 'also as a list'),
    (
        format('{"principal": %s}', to_json(repeat('a', 256))),
        'principal must%',
        '256 characters are too many'
    ),
    (
        format('{"principal": "a", "x": %s}', to_json(repeat('a', 65536))),
        'It must not be larger than 64 KiB.',
        'a session is small'
    )
) as refused (context, detail, description);

select lives_ok(
    format('select synapsor.set_session(''{"principal": %s}'')', to_json(repeat('ä', 255))),
    '255 characters are not'
);
select
    is(
        (select array_agg(known order by known) from unnest(synapsor_types.names) as known),
        array[
            'agent', 'external_system', 'integration', 'natural_person', 'service_account', 'system'
        ],
        'every actor type is accepted'
    )
from (
    select
        array_agg(synapsor.set_session(
            jsonb_build_object('principal', 'a', 'actor_type', type.name)
        ) ->> 'actor_type') as names
    from unnest(array[
        'agent', 'external_system', 'integration', 'natural_person', 'service_account', 'system'
    ]) as type (name)
) as synapsor_types;

select lives_ok(
    $$ select synapsor.set_session('{"principal": "alice", "tenant_id": "acme"}') $$,
    'a good session'
);
select tests.raises($$ select synapsor.set_session('{}') $$, 'SY006');
select is(
    synapsor.current_session() ->> 'principal', 'test_gateway',
    'a refused session ends the earlier one, even when the error is caught'
);
select tests.raises(
    $$ select synapsor._check_session('{"principal": "a", "tenants": "*"}', 'x', true) $$, '42501',
    description => 'a gateway may not call the helpers'
);

set session authorization test_caller;
select tests.raises(
    $$ select synapsor.set_session('{"principal": "eve"}') $$, '42501',
    description => 'no other login may call set_session'
);
set session authorization test_admin;
select tests.raises(
    $$ select synapsor.set_session('{"principal": "eve"}') $$, '42501',
    description => 'an administrator neither'
);

-- A gateway's own function judges by its owner's right, not by the login's.
reset session authorization;
create function tests.enter() returns jsonb
language sql security definer
begin atomic
    select synapsor.set_session('{"principal": "via", "tenant_id": "acme"}');
end;
alter function tests.enter() owner to test_gateway;
set session authorization test_caller;
select is(
    tests.enter() ->> 'principal', 'via',
    'a gateway''s SECURITY DEFINER function may open a session for whoever calls it'
);
select is(synapsor.current_session() ->> 'tenant_id', 'acme', 'and it stays open behind it');


-- close_session

select lives_ok('select synapsor.close_session()', 'a session can be closed');
select is(synapsor.current_session() ->> 'principal', 'test_caller', 'then it is gone');
select lives_ok('select synapsor.close_session()', 'closing twice is no error');


-- Forged by hand

select set_config('synapsor.session', repeat('a', 32), true);
select is(
    synapsor.current_session() ->> 'principal', 'test_caller',
    'a setting written by hand opens nothing'
);

select tests.enter();
select set_config('tests.kept', current_setting('synapsor.session'), true);
select isnt(current_setting('tests.kept'), '', 'the nonce can be read');
select synapsor.close_session();
select set_config('synapsor.session', current_setting('tests.kept'), true);
select is(
    synapsor.current_session() ->> 'principal', 'test_caller',
    'a nonce set again after close_session opens nothing'
);

select tests.enter();
select tests.enter();
select set_config('synapsor.session', current_setting('tests.kept'), true);
select is(
    synapsor.current_session() ->> 'principal', 'test_caller',
    'nor does the nonce of a session that another one replaced'
);
select set_config('synapsor.session', '', true);
select is(
    synapsor.current_session() ->> 'principal', 'test_caller',
    'an emptied setting hides the session'
);

do $$
begin
    perform tests.enter();
    assert synapsor.current_session() ->> 'principal' = 'via';
    raise no_data_found;
exception when no_data_found then
    null;
end
$$;
select is(
    synapsor.current_session() ->> 'principal', 'test_caller',
    'a rolled-back subtransaction ends the session opened in it'
);

select tests.enter();
set local role synapsor_caller;
select is(synapsor.current_session() ->> 'principal', 'via', 'SET ROLE keeps the session');
select is(synapsor._caller_role(), 'synapsor_caller', 'and is the caller role');
reset role;
select is(synapsor._caller_role(), 'test_caller', 'else the login is');
select is(synapsor._caller_has('synapsor_caller'), true, 'a login has the role it is a member of');
select is(synapsor._caller_has('synapsor_admin'), false, 'and no other');

select
    tests.raises(
        format('select %s', helper.call),
        '42501',
        description => helper.call || ' is not for callers'
    )
from (
    values
    ($$synapsor._read_session_slot('', 1)$$),
    ($$synapsor._write_session_slot(1, '{}')$$),
    ($$synapsor._replace_session('{}')$$),
    ($$synapsor._is_every_tenant_nonce('', 1)$$),
    ($$synapsor._as_every_tenant('select 1')$$),
    ($$synapsor._token_key_id('')$$),
    ($$synapsor._verify_token('', '', '{}', 0)$$),
    ($$synapsor._load_python()$$),
    ($$synapsor.bind_role('test_caller', '{"tenants": "*"}')$$),
    ($$synapsor.add_session_key('x', repeat('x', 32))$$),
    ($$synapsor.remove_session_key('x')$$)
) as helper (call);

select tests.raises(
    'select from synapsor.session_keys', '42501', description => 'nobody reads the keys'
);
select tests.raises(
    'select from synapsor.role_bindings', '42501', description => 'nor the bindings'
);


-- bind_role

set session authorization test_admin;

select is(
    synapsor.bind_role('test_approver', '{"tenants": "*", "roles": ["billing_reviewer"]}'),
    '{"principal": "test_approver", "actor_type": "natural_person", "tenants": "*",
      "roles": ["billing_reviewer"]}',
    'a binding''s principal defaults to the login'
);
select lives_ok(
    $$ select synapsor.bind_role('test_worker',
        '{"principal": "billing-worker", "actor_type": "service_account",
          "tenants": ["acme", "globex"], "tenant_id": "acme"}') $$,
    'a list of tenants, one of them the login''s own'
);
select tests.raises(
    $$ select synapsor.bind_role('no such login', '{}') $$, 'SY011',
    'login "no such login" does not exist', description => 'a login must exist'
);
select tests.raises($$ select synapsor.bind_role(null, '{}') $$, 'SY011');
select
    tests.raises(
        format('select synapsor.bind_role(''test_caller'', %L)', refused.context),
        'SY006', 'the binding is refused', refused.detail, '%', refused.context
    )
from (
    values
    ('[]', 'It must be a JSON object.'),
    ('{"principal": ""}', 'principal must%'),
    ('{"tenants": "acme"}', 'tenants must%'),
    ('{"tenants": []}', 'tenants must%'),
    ('{"tenants": ["*"]}', 'tenants must%'),
    ('{"tenants": null}', 'tenants must%'),
    ('{"tenants": ["acme"], "tenant_id": "globex"}', 'tenant_id must be one%')
) as refused (context, detail);

set session authorization test_approver;
select synapsor.close_session();
select is(synapsor._sees_every_tenant(), true, 'a login bound to "*" sees every tenant');
select is(synapsor._visible_tenants(), '{}', 'and none by name');
set local role synapsor_approver;
select is(
    synapsor.current_session() ->> 'principal', 'test_approver',
    'bindings go by session_user, not by SET ROLE'
);
reset role;
select tests.enter();
select is(
    synapsor._sees_every_tenant(), false, 'an opened session comes before the binding'
);
select is(synapsor._visible_tenants(), array['acme'], 'and is all there is');
select ok(tests.wall_agrees(), 'row-level policies see the same');
select synapsor.close_session();
select is(synapsor._sees_every_tenant(), true, 'closed, the binding is back');
select ok(tests.wall_agrees(), 'for row-level policies too');

set session authorization test_worker;
select is(synapsor._visible_tenants(), array['acme', 'globex'], 'a bound list');
select ok(tests.wall_agrees(), 'which row-level policies know');
select set_config('synapsor.session', 'forged', true);
select ok(tests.wall_agrees(), 'whatever somebody writes into the setting');
select set_config('synapsor.session', '', true);
select is(synapsor.current_session() ->> 'principal', 'billing-worker', 'a bound principal');

set session authorization test_admin;
select is(synapsor.bind_role('test_worker', null), null, 'null removes a binding');
select is(synapsor.bind_role('no such login', null), null, 'also of a login that is gone');
set session authorization test_worker;
select is(
    synapsor.current_session() ->> 'principal', 'test_worker', 'unbound, a login is itself again'
);
select ok(tests.wall_agrees(), 'and sees nothing, through whatever it looks');


-- Every tenant, for housekeeping

reset session authorization;
select results_eq(
    $$ select synapsor._as_every_tenant(
        'select n from generate_series(1, 2) as n
        where synapsor._sees_every_tenant() and $1 = ''x''',
        array['x']
    ) $$,
    array['1', '2'],
    'housekeeping sees every tenant'
);
select is(synapsor._sees_every_tenant(), false, 'while it lasts');
select throws_ok($$ select synapsor._as_every_tenant('select 1/0') $$, '22012');
select is(synapsor._sees_every_tenant(), false, 'also when it fails');

select * from finish();
rollback;
