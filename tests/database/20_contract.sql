-- Contracts: what may be declared, how versions come about, what retiring means, who may do it.

begin;

select plan(131);

create function tests.declare(definition jsonb)
returns synapsor.contract
language sql
as 'select synapsor.declare_action(definition)';

-- A proposal of the usual contract by alice of acme, whoever asks.
create function tests.proposed(charge text, version integer default null)
returns text
language plpgsql
security definer
as $function$
begin
    perform tests.session('acme', 'alice');
    return (synapsor.propose_external_action(
        'billing.issue_refund',
        jsonb_build_object('charge_id', charge, 'amount_cents', 100),
        version => proposed.version
    )).action_id;
end
$function$;

create function tests.version_of(action_id text)
returns integer
language sql
security definer
as $function$
    select invocation.version from synapsor.action_invocations as invocation
    where invocation.action_id = version_of.action_id
$function$;

-- What atomic actions need: a function of somebody who is nobody else.
create role shop_owner;
create schema shop authorization shop_owner;
grant usage on schema shop to public;
set role shop_owner;
create function shop.refund(context jsonb, parameters jsonb)
returns jsonb
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$ select '{"success": true}'::jsonb $function$;
reset role;


-- Declaring

select tests.at('2026-01-01 12:00+00');
select tests.session('acme', 'ada');
set session authorization test_admin;

select row_eq(
    $$ select action, version, label, kind, declared_by, declared_at, retired_at
    from synapsor.declare_action(tests.contract('{"label": "2026-01"}')) $$,
    row(
        'billing.issue_refund'::text, 1, '2026-01'::text, 'external'::text, 'ada'::text,
        '2026-01-01 12:00+00'::timestamptz, null::timestamptz
    ),
    'the first declaration of an action is its version 1, by the principal of the session'
);
select is(
    (select to_jsonb(shown) from synapsor.synapsor_action_contracts as shown),
    to_jsonb(synapsor.declare_action(tests.contract('{"label": "2026-01"}'))),
    'what declare_action returns is what synapsor_action_contracts shows'
);
select tests.advance('1 hour');
select is(
    (synapsor.declare_action(tests.contract('{"label": "2026-01"}'))).declared_at,
    '2026-01-01 12:00+00',
    'an equal declaration is a no-op: it returns the version that is there'
);
select is(
    (select count(*) from synapsor.synapsor_action_contracts), 1::bigint, 'and stores nothing'
);
select is(
    (synapsor.declare_action(
        tests.contract('{"label": "2026-01", "retry": {"jitter": "full", "max": "1 s",
            "multiplier": 2.0, "initial": "100 ms", "max_attempts": 3}}')
    )).version,
    1,
    'equal means equal as jsonb: neither order nor 2.0 for 2 make another version'
);
select is(
    (synapsor.declare_action(tests.contract('{"label": "2026-02"}'))).version,
    2,
    'another label is another version'
);
select is(
    (synapsor.declare_action(tests.contract('{"label": "2026-01"}'))).version,
    3,
    'A, B, A makes three versions'
);
select is(
    (synapsor.declare_action(tests.contract('{}', 'crm.update_contact'))).version,
    1,
    'each action counts its own versions'
);
select is(
    (select array_agg(version order by version) from synapsor.synapsor_action_contracts
    where digest = (synapsor.declare_action(tests.contract('{"label": "2026-01"}'))).digest),
    array[1, 3],
    'equal definitions have equal digests'
);
reset session authorization;
select is(
    (select count(distinct digest) from synapsor.synapsor_action_contracts),
    3::bigint,
    'other definitions have other digests'
);
select is(
    (select count(*) from synapsor.synapsor_action_contracts
    where digest <> encode(
        sha256(convert_to(synapsor._canonicalize(definition), 'UTF8')), 'hex'
    )),
    0::bigint,
    'the digest is the SHA-256 of the canonical JSON of the definition shown'
);

select is(
    (tests.declare('{"action": "plain.act"}')).definition - array['args', 'hidden'],
    '{"action": "plain.act", "kind": "external", "description": null, "label": null,
      "args_schema": null, "provider": "plain", "account": "default", "operation": "act",
      "queue": "plain_external_actions",
      "idempotency": {"key": null, "idempotent": false, "window": null},
      "retry": {"max_attempts": 3, "initial": "100 ms", "multiplier": 2, "max": "1 s",
                "jitter": "full"},
      "lease": "60 s", "priority": 0, "ordering_key": null, "require_claim_token": false,
      "poison_after": 5, "reconcile": null, "deliver_within": null,
      "approval": {"required": false, "role": null, "approvals": 1, "separate_duties": false,
                   "expires_after": null, "unless": null},
      "policies": [], "required_roles": [], "required_permissions": [],
      "actor_types": ["natural_person", "agent", "system", "service_account", "external_system",
                      "integration"],
      "require_run": false, "limits": [], "redact": [], "emits_events": [],
      "mutates_domain": false, "handler": null, "state_machine": null, "adapter_steps": [],
      "plan": null, "compensate_with": null}',
    'a contract may use a subset of keys; the rest is shown with its defaults'
);
select is(
    (tests.declare('{"action": "at.omic", "kind": "atomic",
        "handler": "shop.refund(jsonb,jsonb)"}')).kind,
    'atomic',
    'atomic actions are declared with their handler'
);
select is(
    (tests.declare('{"action": "sa.ga", "kind": "saga", "plan": "Refund"}')).kind,
    'saga',
    'sagas are declared with their plan'
);
select isnt(
    tests.declare(tests.contract(
        '{"limits": [{"sum": "amount_cents", "max": 5, "per": "day", "by": ["tenant_id"],
                      "on_exceed": "approve"}],
          "policies": ["billing.refund_limit.v1"], "required_permissions": ["refund"],
          "emits_events": ["RefundRequested"], "mutates_domain": true,
          "compensate_with": "billing.undo_refund"}',
        'billing.everything'
    )),
    null,
    'keys whose behaviour comes later are accepted and stored'
);


-- Refused definitions: every reason is listed, nothing is stored

create temporary table stored_before as
select count(*) as contracts from synapsor.action_contracts;

select
    tests.raises(
        format('select tests.declare(%L)', refused.definition),
        'SY002', '%', refused.detail, '%', refused.description
    )
from (
    values
    (null::text, 'A null was given.', 'null is no definition'),
    ('null', 'A null was given.', 'JSON null is no definition'),
    ('[]', 'A array was given.', 'an array is no definition'),
    ('"x"', 'A string was given.', 'a text is no definition'),
    ('{}', 'action is required', 'an action has a name'),
    ('{"action": ""}', '%action is empty%', 'the name is not empty'),
    ('{"action": "refund"}', '%action is named namespace.verb%', 'the name is namespace.verb'),
    ('{"action": "Billing.refund"}', '%action is named namespace.verb%', 'in lower case'),
    ('{"action": "a.b.c"}', '%action is named namespace.verb%', 'with one dot'),
    ('{"action": "a.b", "kind": "magic"}', 'kind is none of%', 'kinds are known'),
    ('{"action": "a.b", "kind": "atomic"}', 'handler is required', 'atomic needs a handler'),
    ('{"action": "a.b", "kind": "saga"}', 'plan is required', 'a saga needs a plan'),
    ('{"action": "a.b", "plan": "P"}', 'plan is for kind saga%', 'a plan is for sagas')
) as refused (definition, detail, description);

select
    tests.raises(
        format('select tests.declare(tests.contract(%L))', refused.definition),
        'SY002', '%''billing.issue_refund'' is invalid', refused.detail, '%', refused.description
    )
from (
    values
    (
        '{"surprise": 1}', 'surprise is not a known key',
        'an unknown key is an error that names it'
    ),
    (
        '{"retrys": {}}', 'retrys is not a known key (did you mean retry?)',
        'and says which was meant, perhaps'
    ),
    ('{"approval": {"requird": true}}', 'approval.requird is not a known%', 'at any depth'),
    (
        '{"args": {"tenant_id": {"type": "string"}}}', '%hidden.tenant_id is declared as an ARG%',
        'a name is an ARG or HIDDEN, not both'
    ),
    (
        '{"args_schema": {"properties": {"principal": {"type": "string"}}}, "args": null,
          "idempotency": null}',
        '%hidden.principal is declared as an ARG%', 'not in a schema either'
    ),
    ('{"args_schema": {}}', '%args_schema is given beside args%', 'one of args and args_schema'),
    (
        '{"args_schema": {"additionalProperties": true}, "args": null, "idempotency": null}',
        '%undeclared names are refused%', 'a schema cannot let undeclared names in'
    ),
    ('{"args": {"a": {"type": "money"}}}', '%args.a.type is none of%', 'types are known'),
    ('{"args": {"a": {}}}', '%args.a.type is required%', 'an ARG has a type'),
    (
        '{"args": {"a": {"type": "string", "minimum": 1}}}',
        '%args.a.minimum does not apply to type string%', 'a rule fits its type'
    ),
    (
        '{"args": {"a": {"type": "string", "pattern": "("}}}',
        '%args.a.pattern is no regex that PostgreSQL can read%', 'patterns are PostgreSQL''s'
    ),
    (
        '{"args": {"a": {"type": "integer", "minimum": 2, "maximum": 1}}}',
        '%args.a.minimum is above maximum%', 'a range is not empty'
    ),
    ('{"args": {"a b": {"type": "string"}}}', '%is no field name%', 'field names are identifiers'),
    ('{"redact": ["card"]}', 'redact names card%', 'redact names fields there are'),
    (
        '{"idempotency": {"key": "{nobody}"}}', '%names {nobody}%', 'templates name fields'
    ),
    ('{"idempotency": {"key": "{charge_id"}}', '%unpaired {%', 'and are well-formed'),
    ('{"ordering_key": "{nobody}"}', 'ordering_key names {nobody}%', 'so do ordering keys'),
    (
        '{"account": "{charge_id}"}', 'account names an ARG%',
        'callers do not choose the account'
    ),
    (
        '{"lease": "soon"}', 'lease is no interval that PostgreSQL can read%',
        'a lease is an interval'
    ),
    ('{"lease": "0"}', 'lease is not longer than zero', 'a lease lasts'),
    ('{"lease": "-1 s"}', 'lease is not longer than zero', 'into the future'),
    ('{"lease": 60}', 'lease is a number, not a string', 'with a unit'),
    ('{"lease": "101 years"}', 'lease is longer than 100 years', 'and ends within the calendar'),
    (
        '{"deliver_within": "170000000 years"}', 'deliver_within is longer than 100 years',
        'so does every interval'
    ),
    (
        '{"approval": {"expires_after": "1 month -29 days"}}',
        'approval.expires_after is not longer than zero', 'a month may be 28 days'
    ),
    (
        '{"retry": {"max_attempts": 0}}', 'retry.max_attempts is not an integer from 1 to 100',
        'one attempt there is'
    ),
    ('{"retry": {"multiplier": 0.5}}', '%not from 1 to 100', 'back-off does not shrink'),
    ('{"retry": {"jitter": "some"}}', 'retry.jitter is none of full, none', 'jitter is known'),
    ('{"priority": 100000}', 'priority is not an integer%', 'priority is bounded'),
    ('{"poison_after": 0}', 'poison_after is not an integer%', 'poison_after is positive'),
    ('{"approval": {"approvals": 0}}', '%approvals is not an integer%', 'a quorum is positive'),
    ('{"approval": {"approvals": 11}}', '%approvals is not an integer%', 'and bounded'),
    ('{"approval": {"required": "yes"}}', '%is a string, not a boolean', 'yes is no boolean'),
    ('{"actor_types": ["robot"]}', '%actor_types[0] is none of%', 'actor types are known'),
    ('{"actor_types": []}', 'actor_types is empty%', 'somebody may ask'),
    ('{"policies": ["refund_limit"]}', '%policies[0] does not match%', 'a policy id ends in .vN'),
    ('{"required_roles": ["a", "a"]}', '%is named twice', 'roles are named once'),
    ('{"reconcile": {}}', 'reconcile.operation is required', 'reconciling is an operation'),
    ('{"mutates_domain": true}', '%mutates_domain is true%', 'changes emit events'),
    (
        '{"limits": [{"sum": "charge_id", "max": 1, "per": "day"}]}',
        '%which is no ARG of type integer or number%', 'sums are of numbers'
    ),
    ('{"limits": [{"max": 1}]}', '%per is required%', 'a limit has a period')
) as refused (definition, detail, description);

select
    tests.raises(
        format(
            'select tests.declare(tests.contract(%L))',
            jsonb_build_object('approval', jsonb_build_object(
                'required', true, 'unless', refused.condition
            ))
        ),
        'SY002', '%', 'approval.unless ' || refused.detail, '%', refused.description
    )
from (
    values
    ('lax $.args.a < 1', 'says lax%', 'unless is strict: lax would unwrap arrays'),
    ('$.args.a[*] < 1', 'uses a wildcard%', 'any of several values is not the value'),
    ('$.args.* < 1', 'uses a wildcard%', 'nor any member'),
    ('$.** < 1', 'uses a wildcard%', 'nor anything below'),
    ('$.args.a[0 to 1] < 1', 'uses a range%', 'nor any of a range'),
    ('$.args.a[0, 1] < 1', 'uses several subscripts%', 'nor any of several'),
    ('$.args.keyvalue().value < 1', 'uses keyvalue()%', 'nor any pair'),
    ('$.args.a\u005b*] < 1', 'uses an escape%', 'nor one in disguise'),
    ('$.args.a < $limit', 'names a variable%', 'nobody gives a variable its value'),
    ('$.args.a < $"limit"', 'names a variable%', 'quoted or not'),
    ('$.args.a <', 'is no jsonpath%', 'a condition can be read'),
    ('', 'is empty', 'an empty condition is none')
) as refused (condition, detail, description);
select lives_ok(
    $$ select tests.declare(tests.contract(
        '{"approval": {"required": true, "unless": "$.args.charge_id == \"$limit\""}}',
        'billing.dollars'
    )) $$,
    'a dollar in a text is no variable'
);
select lives_ok(
    $$ select tests.declare(tests.contract(
        '{"approval": {"required": true, "unless": "strict $.args.amount_cents <= 2500"}}',
        'billing.strict'
    )) $$,
    'strict may be said'
);

select is(
    (select count(*) - 2 from synapsor.action_contracts),
    (select contracts from stored_before),
    'a refused definition stores nothing'
);

create function tests.reasons(definition jsonb)
returns text[]
language plpgsql
as $function$
declare
    detail text;
begin
    perform tests.declare(definition);
    return null;
exception when sqlstate 'SY002' then
    get stacked diagnostics detail = pg_exception_detail;
    return array(select reason from unnest(string_to_array(detail, E'\n')) as reason order by 1);
end
$function$;

select is(
    tests.reasons(tests.contract('{"surprise": 1, "lease": "soon", "priority": 0.5,
        "args": {"charge_id": {"type": "money"}, "amount_cents": {"type": "integer"}},
        "approval": {"unless": "$.args.*", "approvals": 99}, "actor_types": ["robot"],
        "retry": {"initial": "-1 s"}}')),
    array[
        'actor_types[0] is none of natural_person, agent, system, service_account, '
        || 'external_system, integration',
        'approval.approvals is not an integer from 1 to 10',
        'approval.unless uses a wildcard, which stands for several values',
        'args.charge_id.type is none of array, boolean, integer, null, number, object, string',
        'lease is no interval that PostgreSQL can read: '
        || 'invalid input syntax for type interval: "soon"',
        'priority is not an integer from -1440 to 1440',
        'retry.initial is not longer than zero',
        'surprise is not a known key'
    ],
    'every reason is listed, whoever found it, one per line'
);


-- Versions are pinned

select is(tests.version_of(tests.proposed('latest')), 3, 'a proposal takes the latest version');
select is(
    tests.version_of(tests.proposed('first', 1)), 1, 'or the one that is named'
);
select tests.a_contract('{"label": "next", "provider": "adyen", "queue": "next"}');
select is(
    (select array_agg(concat_ws(' ', arguments ->> 'charge_id', version, provider, queue)
        order by arguments ->> 'charge_id')
    from synapsor.synapsor_external_actions),
    array['first 1 stripe billing_external_actions', 'latest 3 stripe billing_external_actions'],
    'a new version changes nothing for what was proposed before'
);
select is(tests.version_of(tests.proposed('then')), 4, 'and is taken from now on');
select tests.raises(
    $$ select tests.proposed('x', 5) $$, 'SY001',
    'action ''billing.issue_refund'' version 5 is not declared', null, '%',
    'a version that is not declared cannot be asked for'
);
select is(
    tests.version_of(tests.proposed('latest')), 3,
    'an equal repeat under a newer contract is still the same action'
);


-- Retiring

select tests.session('acme', 'ada');
set session authorization test_admin;
select is(
    (select array_agg(version || ' ' || retired_at::text)
    from synapsor.retire_action('billing.issue_refund', 4)),
    array['4 2026-01-01 13:00:00+00'],
    'retire_action returns what it retired'
);
select tests.advance('1 hour');
select is(
    (select retired_at from synapsor.retire_action('billing.issue_refund', 4)),
    '2026-01-01 13:00:00+00',
    'retiring again changes nothing'
);
select is(
    tests.version_of(tests.proposed('fall back')), 3,
    'the default is the latest version that is not retired'
);
select tests.raises(
    $$ select tests.proposed('x', 4) $$, 'SY001',
    'action ''billing.issue_refund'' version 4 is retired', null, '%',
    'a retired version cannot be asked for by number either'
);
select tests.session('acme', 'ada');
select is(
    (synapsor.declare_action(
        tests.contract('{"label": "next", "provider": "adyen", "queue": "next"}')
    )).version,
    5,
    'declaring again what was retired last makes the next version'
);
select is(
    (select array_agg(version order by version)
    from synapsor.retire_action('billing.issue_refund')),
    array[1, 2, 3, 4, 5],
    'without a version all are retired'
);
select tests.raises(
    $$ select tests.proposed('x') $$, 'SY001',
    'action ''billing.issue_refund'' is retired', null, '%', 'none is left: retired'
);
select tests.raises(
    $$ select tests.proposed('latest') $$, 'SY001', '%retired', null, '%',
    'not even for a repeat'
);
select tests.raises(
    $$ select * from synapsor.invoke_action('billing.issue_refund', '{}') $$, 'SY001',
    '%retired', null, '%', 'invoke_action raises it too'
);
select tests.raises(
    $$ select synapsor.preview_action('billing.issue_refund', '{}') $$, 'SY001',
    '%retired', null, '%', 'and preview_action'
);
select is(
    (select count(*) from synapsor.synapsor_action_invocations
    where status = 'validation_failed'), 0::bigint, 'and no row remains of it'
);
select tests.session('acme', 'ada');
select tests.raises(
    $$ select * from synapsor.retire_action('billing.no_such') $$, 'SY001',
    'action ''billing.no_such'' is not declared', null, '%', 'what is not declared is not retired'
);
select tests.raises(
    $$ select * from synapsor.retire_action('billing.issue_refund', 9) $$, 'SY001',
    '%version 9 is not declared', null, '%', 'nor a version of it'
);
select tests.raises(
    $$ select * from synapsor.retire_action(null) $$, 'SY001', '%NULL is not declared', null, '%',
    'nor null'
);

set session authorization test_worker;
select tests.session('acme', 'worker-1');
select is(
    (select array_agg((synapsor.confirm_external_action(claim.action_id, 'succeeded')).status)
    from synapsor.claim_external_actions('billing_external_actions', 10) as claim),
    array['succeeded', 'succeeded', 'succeeded'],
    'what is in flight finishes on its retired version'
);
reset session authorization;
select tests.session('acme', 'ada');
select is(
    (tests.declare(tests.contract('{"label": "reborn"}'))).version, 6,
    'a retired action comes back as its next version'
);
select is(tests.version_of(tests.proposed('reborn')), 6, 'which is then taken');


-- Authority

select
    is(
        has_function_privilege(login, function, 'execute'),
        login = 'test_admin',
        format('%s: %s, or not', login, function)
    )
from unnest(array[
    'test_caller', 'test_approver', 'test_worker', 'test_auditor', 'test_admin', 'test_gateway',
    'test_stranger'
]) as login
cross join unnest(array[
    'synapsor.declare_action(jsonb)', 'synapsor.retire_action(text, integer)'
]) as function;
select
    is(
        has_table_privilege(login, 'synapsor.synapsor_action_contracts', 'select'),
        login not in ('test_gateway', 'test_stranger'),
        format('%s reads contracts, or not', login)
    )
from unnest(array[
    'test_caller', 'test_approver', 'test_worker', 'test_auditor', 'test_admin', 'test_gateway',
    'test_stranger'
]) as login;
set session authorization test_admin;
select tests.raises(
    'update synapsor.action_contracts set definition = definition', '42501', '%', null, null,
    'not even an administrator changes a contract'
);
reset session authorization;
select synapsor.close_session();
set session authorization test_caller;
select is(
    (select count(*) > 0 from synapsor.synapsor_action_contracts), true,
    'contracts belong to no tenant: they are read without a session'
);

select * from finish();
rollback;
