-- From a caller's JSON to an intent: binding, validation, HIDDEN values, idempotency keys, and who
-- may ask at all (design.md section 5, rules 1 to 3, and section 6, stages 0 to 2).

begin;

select plan(221);

create function tests.session_of(principal text, extra jsonb default '{}')
returns void
language sql
security definer
as $function$
    select tests.session('acme', principal, extra => session_of.extra)
$function$;

-- The row of an invocation as it is stored, whoever asks.
create function tests.stored(action_id text)
returns synapsor.action_invocations
language sql
security definer
as $function$
    select invocation.* from synapsor.action_invocations as invocation
    where invocation.action_id = stored.action_id
$function$;

create function tests.rows()
returns bigint
language sql
security definer
as 'select count(*) from synapsor.action_invocations';

create function tests.end_of(action_id text, status text)
returns void
language plpgsql
security definer
as $function$
begin
    perform synapsor._finish(
        open, initcap(end_of.status), end_of.status, error_code => end_of.status
    )
    from synapsor.open_external_actions as open
    where open.action_id = end_of.action_id;
end
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

select tests.at('2026-01-01 12:00+00');
select tests.a_contract(
    '{"args": {
        "charge_id": {"type": "string", "required": true, "max_length": 64},
        "amount_cents": {"type": "integer", "required": true, "minimum": 1, "maximum": 500000},
        "note": {"type": "string", "min_length": 2, "pattern": "^[a-z ]+$"},
        "reason": {"type": "string", "enum": ["fraud", "duplicate"]},
        "rate": {"type": "number"},
        "partial": {"type": "boolean", "default": false},
        "lines": {"type": "array", "max_items": 3, "items": {"type": "object",
                  "properties": {"sku": {"type": "string", "required": true}}}},
        "meta": {"type": "object"},
        "nothing": {"type": "null"},
        "due": {"type": "string", "format": "date"}
     },
     "hidden": {"tenant_id": {}, "principal": {},
                "customer": {"from": "current_customer_id", "required": false}}}'
);
select tests.a_contract('{}', 'billing.plain');
select tests.session_of('alice');
set session authorization test_caller;


-- An accepted proposal

select is(
    to_jsonb(proposed)
    - array['action_id', 'correlation_id', 'payload_digest', 'digest'],
    '{"tenant_id": "acme", "action": "billing.issue_refund", "version": 1, "provider": "stripe",
      "account": "default", "operation": "refunds.create", "queue": "billing_external_actions",
      "status": "queued",
      "arguments": {"charge_id": "ch_1", "amount_cents": 100, "partial": false},
      "hidden": {"tenant_id": "[redacted]", "principal": "[redacted]", "customer": "[redacted]"},
      "idempotency_key": "[redacted]", "principal": "alice", "approvals_required": 0,
      "approvals_given": 0, "approval_expires_at": null, "scheduled_at": null, "priority": 0,
      "ordering_key": null, "attempts": 0, "max_attempts": 3,
      "available_at": "2026-01-01T12:00:00+00:00", "worker_principal": null,
      "worker_label": null, "claim_token": null, "lease_expires_at": null,
      "delivery_started_at": null, "provider_request_id": null, "response": null,
      "error_code": null, "error_message": null, "run_id": null, "step_key": null,
      "created_at": "2026-01-01T12:00:00+00:00", "queued_at": "2026-01-01T12:00:00+00:00",
      "finished_at": null, "changed": true}',
    'a proposal is bound, defaults filled in, and queued where no approval is asked'
)
from synapsor.propose_external_action(
    'billing.issue_refund', '{"charge_id": "ch_1", "amount_cents": 100}'
) as proposed;
select is(
    (select array_agg(event_type || ' ' || status || ' ' || actor || ' ' || sequence)
    from synapsor.synapsor_external_action_events),
    array['Queued queued alice 1'],
    'with its first event'
);
select is(
    (select to_jsonb(view) from synapsor.synapsor_external_actions as view),
    (select to_jsonb(proposed) || '{"changed": false}'
    from synapsor.propose_external_action(
        'billing.issue_refund', '{"charge_id": "ch_1", "amount_cents": 100}'
    ) as proposed),
    'the row returned is the row of the view'
);
reset session authorization;
select is(
    (select intent from synapsor.action_invocations),
    '{"action":"billing.issue_refund","arguments":{"amount_cents":100,"charge_id":"ch_1",'
    || '"partial":false},"hidden":{"customer":null,"principal":"alice","tenant_id":"acme"},'
    || '"idempotency_key":"acme:refund:ch_1:100","version":1}',
    'the intent is canonical JSON of action, arguments, hidden, idempotency_key and version'
);
select is(
    (select digest from synapsor.action_invocations),
    (select sha256(convert_to(intent, 'UTF8')) from synapsor.action_invocations),
    'the digest is the SHA-256 of exactly its bytes'
);
select is(
    (select payload_digest from synapsor.action_invocations),
    sha256(convert_to(
        '{"action":"billing.issue_refund","arguments":{"amount_cents":100,"charge_id":"ch_1",'
        || '"partial":false},"hidden":{"customer":null,"principal":"alice","tenant_id":"acme"}}',
        'UTF8'
    )),
    'the payload digest covers action, arguments and hidden; neither version nor key'
);
set session authorization test_caller;
select matches(digest, '^[0-9a-f]{64}$', 'digests are shown in lower-case hexadecimal')
from synapsor.synapsor_external_actions;
select matches(action_id, '^act_[0-9A-HJKMNP-TV-Z]{26}$', 'ids are prefixed Crockford ULIDs')
from synapsor.synapsor_external_actions;


-- HIDDEN values come from the session (rule 1)

select
    tests.raises(
        format(
            'select synapsor.propose_external_action(%L, %L)', 'billing.issue_refund',
            '{"charge_id": "ch_2", "amount_cents": 100, ' || overriding.json || '}'
        ),
        overriding.code, overriding.message, overriding.detail, '%', overriding.description
    )
from (
    values
    (
        '"tenant_id": "globex"', 'SY004',
        'tenant_id of billing.issue_refund comes from the session, not from the caller',
        'tenant_id is hidden: it is bound from the session.', 'a hidden value cannot be overridden'
    ),
    ('"tenant_id": "acme"', 'SY004', 'tenant_id %', 'tenant_id is hidden%', 'not by an equal one'),
    ('"tenant_id": null', 'SY004', 'tenant_id %', 'tenant_id is hidden%', 'not by null'),
    ('"tenant_id": {"a": 1}', 'SY004', 'tenant_id %', 'tenant_id is hidden%', 'not by an object'),
    ('"customer": 1', 'SY004', 'customer %', 'customer is hidden%', 'not where it is optional'),
    (
        '"ten\u0061nt_id": "globex"', 'SY004', 'tenant_id %', 'tenant_id is hidden%',
        'an escape in the name is the name'
    ),
    (
        '"tenant_id": "globex", "tenant_id": "acme"', 'SY004', 'tenant_id %',
        'tenant_id is hidden%',
        'a duplicate key is no way around'
    ),
    (
        '"amount_cents": 1, "tenant_id": "globex", "Tenant_ID": "globex", "x": 1', 'SY004',
        'tenant_id %', '%x is not declared by the contract.%',
        'SY004 comes first, and every other violation is listed with it'
    ),
    (
        '"tenant_id": "globex", "principal": "root"', 'SY004',
        '2 arguments %come from the session%',
        'principal is hidden%tenant_id is hidden%', 'two overrides are two violations'
    ),
    (
        '"current_customer_id": 1', 'SY003', '1 argument%', 'current_customer_id is not declared%',
        'the session''s own name of a hidden value is just undeclared'
    ),
    ('"Tenant_ID": 1', 'SY003', '1 argument%', 'Tenant_ID is not declared%', 'in capitals'),
    ('"tenantId": 1', 'SY003', '1 argument%', 'tenantId is not declared%', 'in camel case'),
    ('"tenant-id": 1', 'SY003', '1 argument%', '["tenant-id"] is not declared%', 'with a dash'),
    ('" tenant_id": 1', 'SY003', '1 argument%', '[" tenant_id"] is not declared%', 'with a blank'),
    ('"tenant_id\n": 1', 'SY003', '1 argument%', '["tenant_id%"] is not%', 'with a line end'),
    ('"ｔenant_id": 1', 'SY003', '1 argument%', '% is not declared%', 'with a look-alike letter'),
    ('"tenant_id\u200b": 1', 'SY003', '1 argument%', '% is not declared%', 'with an invisible one'),
    ('"hidden": {"tenant_id": 1}', 'SY003', '1 argument%', 'hidden is not%', 'as a section'),
    ('"__proto__": {"tenant_id": 1}', 'SY003', '1 argument%', '__proto__ is%', 'as a prototype'),
    ('"hidden.tenant_id": 1', 'SY003', '1 argument%', '["hidden.tenant_id"] is not%', 'as a path')
) as overriding (json, code, message, detail, description);
select is(
    (select count(*) from synapsor.synapsor_action_invocations), 1::bigint,
    'a refused proposal leaves no row'
);
select unalike(
    tests.error($$ select synapsor.propose_external_action('billing.issue_refund',
        '{"charge_id": ["SECRET1"], "amount_cents": "SECRET2", "tenant_id": "SECRET3",
          "surplus": "SECRET4", "reason": "SECRET5", "note": "SECRET6"}') $$),
    '%SECRET%',
    'values are never repeated, neither the caller''s nor hidden ones'
);
select is(
    (synapsor.propose_external_action(
        'billing.issue_refund',
        '{"charge_id": "ch_meta", "amount_cents": 1, "meta": {"tenant_id": "globex"}}'
    )).tenant_id,
    'acme',
    'below the top level a name is just a name'
);
select tests.session_of('alice', '{"current_customer_id": "cus_SECRET"}');
select is(
    (tests.stored(
        (synapsor.propose_external_action(
            'billing.issue_refund', '{"charge_id": "ch_from", "amount_cents": 1}'
        )).action_id
    )).intent::jsonb -> 'hidden',
    '{"tenant_id": "acme", "principal": "alice", "customer": "cus_SECRET"}',
    'from names the session''s key'
);

-- Missing session values

reset session authorization;
select tests.a_contract(
    '{"hidden": {"tenant_id": {}, "customer": {"from": "current_customer_id"}}}', 'billing.personal'
);
select tests.session_of('alice');
set session authorization test_caller;
select tests.raises(
    $$ select synapsor.propose_external_action('billing.personal',
        '{"charge_id": "ch_1", "amount_cents": 1}') $$,
    'SY005', 'the session has no current_customer_id, which billing.personal needs',
    'customer is required.', '%', 'a HIDDEN is required unless it says otherwise'
);
select tests.session_of('alice', '{"current_customer_id": null}');
select tests.raises(
    $$ select synapsor.propose_external_action('billing.personal',
        '{"charge_id": "ch_1", "amount_cents": 1}') $$,
    'SY005', '%', '%', '%', 'null is missing'
);
select is(
    (select array_agg(status || ' ' || error_code)
    from synapsor.invoke_action(
        'billing.personal', '{"charge_id": "ch_1", "amount_cents": 1}'
    )),
    array['validation_failed SY005'],
    'invoke_action keeps the refusal as a row'
);
select tests.raises(
    $$ select synapsor.propose_external_action('billing.personal', '{"charge_id": 1}') $$,
    'SY003', '2 arguments%',
    E'charge_id is of type number, not string.\n%amount_cents is required.\ncustomer is required.',
    '%', 'invalid arguments come first, but everything is listed'
);

-- No session

select synapsor.close_session();
select
    tests.raises(
        unnest, 'SY005', 'the session names no tenant', '%test_caller%', '%set_session%',
        'without a session nothing is asked for: ' || unnest
    )
from unnest(array[
    $$ select synapsor.propose_external_action('billing.plain', '{"charge_id": "a"}') $$,
    $$ select synapsor.propose_external_actions('billing.plain', array['{}'::jsonb]) $$,
    $$ select synapsor.invoke_action('billing.plain', '{"tenant_id": "acme"}') $$,
    $$ select synapsor.preview_action('billing.plain', '{}') $$
]);
set session authorization test_gateway;
select synapsor.set_session('{"principal": "alice"}');
set session authorization test_caller;
select tests.raises(
    $$ select synapsor.propose_external_action('billing.plain',
        '{"charge_id": "a", "amount_cents": 1}') $$,
    'SY005', 'the session names no tenant', '%', '%', 'nor in a session without a tenant'
);
reset session authorization;
select synapsor.bind_role('test_caller_b', '{"principal": "every", "tenants": "*"}');
select synapsor.close_session();
set session authorization test_caller_b;
select tests.raises(
    $$ select synapsor.propose_external_action('billing.plain',
        '{"charge_id": "a", "amount_cents": 1}') $$,
    'SY005', 'the session names no tenant', '%', '%',
    'nor by a login that sees every tenant: which one is it for?'
);
reset session authorization;
select synapsor.bind_role('test_caller_b', null);
select tests.session_of('alice');
set session authorization test_caller;
select tests.raises(
    $$ select synapsor.propose_external_action('billing.no_such', '{}') $$, 'SY001',
    'action ''billing.no_such'' is not declared', null, '%', 'an unknown action cannot be proposed'
);
select tests.raises(
    $$ select synapsor.invoke_action('billing.no_such', '{}') $$, 'SY001', '%', null, '%',
    'nor invoked'
);
select tests.raises(
    $$ select synapsor.invoke_action(null, '{}') $$, 'SY001', '%NULL is not declared', null, '%',
    'nor null'
);
select tests.raises(
    $$ select synapsor.invoke_action('BILLING.ISSUE_REFUND', '{}') $$, 'SY001', '%', null, '%',
    'names have one spelling'
);


-- Validation: every violation, with path, rule and kind

select
    is(
        (
            select array_agg(
                concat_ws(
                    ' ', found.value ->> 'path', found.value ->> 'rule', found.value ->> 'kind'
                )
                order by found.ordinality
            )
            from jsonb_array_elements(
                synapsor.preview_action('billing.issue_refund', input.json::jsonb) -> 'violations'
            ) with ordinality as found
        ),
        input.violations, input.description
    )
from (
    values
    (
        '{}', array['charge_id required absent', 'amount_cents required absent'],
        'what is required is missed, all of it'
    ),
    ('[]', array['$ type array'], 'arguments are an object'),
    ('null', array['$ type null'], 'null are none'),
    ('"x"', array['$ type string'], 'nor is a text'),
    (
        '{"charge_id": 1, "amount_cents": "1"}',
        array['charge_id type number', 'amount_cents type string'], 'types are not converted'
    ),
    (
        '{"charge_id": null, "amount_cents": true}',
        array['charge_id type null', 'amount_cents type boolean'], 'null and true are no numbers'
    ),
    (
        '{"charge_id": "a", "amount_cents": 1.5}', array['amount_cents type number'],
        'a fraction is no integer'
    ),
    ('{"charge_id": "a", "amount_cents": 1.0}', null, '1.0 is one'),
    (
        '{"charge_id": "a", "amount_cents": 0}', array['amount_cents minimum number'],
        'not below the minimum'
    ),
    (
        '{"charge_id": "a", "amount_cents": 500001}', array['amount_cents maximum number'],
        'not above the maximum'
    ),
    (
        '{"charge_id": "a", "amount_cents": 9007199254740992}',
        array['amount_cents integer_range number'], 'not beyond what a double holds'
    ),
    (
        '{"charge_id": "a", "amount_cents": -9007199254740993}',
        array['amount_cents integer_range number'], 'on neither side'
    ),
    (
        '{"charge_id": "a", "amount_cents": 1, "rate": 1e400}', array['rate integer_range number'],
        'an infinity in disguise is refused'
    ),
    (
        '{"charge_id": "a", "amount_cents": 1, "rate": 0.1000000000000000055}',
        array['rate number number'], 'and a number that would be rounded'
    ),
    (
        '{"charge_id": "NaN", "amount_cents": "NaN", "rate": "Infinity"}',
        array['rate type string', 'amount_cents type string'], 'NaN and Infinity are texts'
    ),
    (
        '{"charge_id": "a", "amount_cents": 1, "note": "X"}',
        array['note min_length string', 'note pattern string'], 'each rule for itself'
    ),
    (
        '{"charge_id": "a", "amount_cents": 1, "reason": "because"}', array['reason enum string'],
        'one of the values'
    ),
    (
        '{"charge_id": "a", "amount_cents": 1, "due": "2026-02-30"}', array['due format string'],
        'formats are checked'
    ),
    (
        '{"charge_id": "a", "amount_cents": 1, "lines": [{"sku": "a"}, {"sku": 1}, {}, {"x": 1}]}',
        array[
            'lines max_items array', 'lines[1].sku type number', 'lines[2].sku required absent',
            'lines[3].x undeclared number', 'lines[3].sku required absent'
        ],
        'with the path into it'
    ),
    (
        '{"charge_id": "a", "amount_cents": 1, "surplus": 1, "more": []}',
        array['more undeclared array', 'surplus undeclared number'], 'nothing surplus'
    ),
    (
        '{"charge_id": "a", "amount_cents": 1, "nothing": 0}', array['nothing type number'],
        'null is a type'
    )
) as input (json, violations, description);

select
    matches(
        tests.error(format(
            'select synapsor.propose_external_action(%L, %L)', 'billing.issue_refund', input.json
        )),
        input.error, input.description
    )
from (
    values
    (
        format('{"charge_id": "%s", "amount_cents": 1}', repeat('x', 65)),
        '^SY003\|1 argument .*charge_id violates max_length 64\.', 'a text that is too long'
    ),
    (
        format('{"charge_id": "%s", "amount_cents": 1}', repeat('x', 70000)),
        '^SY003\|the arguments of billing.issue_refund are larger than 64 KiB', 'above 64 KiB'
    ),
    (
        format('{"charge_id": "%s", "amount_cents": 1}', repeat('x', 1048576)),
        '^SY003\|the arguments of billing.issue_refund are larger than 64 KiB', 'above 1 MiB'
    ),
    (
        format('{"tenant_id": "x", "charge_id": "%s", "amount_cents": 1}', repeat('x', 70000)),
        '^SY004\|tenant_id ', 'a hidden override is not hidden by size'
    ),
    (
        format('{"charge_id": "a", "amount_cents": 1, "meta": {"a": %s1%s}}',
            repeat('[', 31), repeat(']', 31)),
        '^SY003\|1 argument .* violates nesting 32', 'and not 33'
    ),
    (
        format('{"charge_id": "a", "amount_cents": 1, "meta": {"a": %s1%s}}',
            repeat('[', 3000), repeat(']', 3000)),
        '^SY003\|', 'let alone 3000'
    ),
    (
        format('{"charge_id": "a", "amount_cents": 1, "meta": {"a": %s}}', repeat('9', 5000)),
        '^SY003\|', 'a number of 5000 digits'
    )
) as input (json, error, description);
select
    is(
        tests.error(format(
            'select synapsor.propose_external_action(%L, %L)', 'billing.issue_refund', input.json
        )),
        null, input.description
    )
from (
    values
    (
        format('{"charge_id": "%s", "amount_cents": 1}', repeat('é', 64)),
        'characters count, not bytes'
    ),
    (
        format('{"charge_id": "a", "amount_cents": 1, "meta": {"a": %s1%s}}',
            repeat('[', 30), repeat(']', 30)), 'objects and arrays nest 32 deep'
    ),
    (
        '{"charge_id": "twice", "amount_cents": 2, "amount_cents": 3}',
        'of duplicate keys the last counts, as in jsonb'
    )
) as input (json, description);
select tests.raises(
    $$ select synapsor.propose_external_action('billing.issue_refund', '{"amount_cents": NaN}') $$,
    '22P02', 'invalid input syntax for type json', '%', null, 'NaN is not even JSON'
);
select tests.raises(
    $$ select synapsor.propose_external_action('billing.plain', '{"amount_cents": -Infinity}') $$,
    '22P02', 'invalid input syntax for type json', '%', null, 'nor is Infinity'
);
select tests.raises(
    $$ select synapsor.propose_external_action('billing.issue_refund', null) $$,
    'SY003', 'the arguments of billing.issue_refund are not a JSON object', '%', '%',
    'SQL''s null is no object either'
);
select is(
    (synapsor.invoke_action('billing.issue_refund', null)).error_code, 'SY003',
    'which invoke_action records'
);


-- Idempotency keys (rule 2)

select is(
    (tests.stored(
        (synapsor.propose_external_action(
            'billing.plain', '{"charge_id": "ch_k", "amount_cents": 1}', 'mine'
        )).action_id
    )).idempotency_key,
    'mine',
    'the caller''s key comes first'
);
select is(
    (tests.stored(
        (synapsor.propose_external_action(
            'billing.plain', '{"charge_id": "ch_k", "amount_cents": 1}'
        )).action_id
    )).idempotency_key,
    'acme:refund:ch_k:1',
    'then the contract''s template'
);
reset session authorization;
select tests.a_contract(
    '{"args": {"charge_id": {"type": "string"}, "amount_cents": {"type": "integer"}}}', 'billing.optional'
);
select tests.session_of('alice');
set session authorization test_caller;
select tests.raises(
    $$ select synapsor.propose_external_action('billing.optional', '{"charge_id": "ch_k"}') $$, 'SY003',
    detail_like => 'the idempotency key needs amount_cents, which was not passed.',
    description => 'an optional argument is not optional for the key'
);
select tests.raises(
    $$ select synapsor.propose_external_action('billing.optional', '{"charge_id": null, "amount_cents": 1}') $$,
    'SY003', description => 'nor is a null its text'
);
reset session authorization;
select tests.a_contract('{"idempotency": null}', 'billing.keyless');
select tests.session_of('alice');
set session authorization test_caller;
select is(
    proposed.idempotency_key, 'auto:' || proposed.payload_digest, 'then the payload digest'
)
from synapsor.propose_external_action(
    'billing.keyless', '{"charge_id": "ch_k", "amount_cents": 1}'
) as proposed;
select is(
    (synapsor.propose_external_action(
        'billing.keyless', '{"amount_cents": 1.0, "charge_id": "ch_k"}'
    )).changed,
    false,
    'equal values have one digest, however they are written'
);
select is(
    (synapsor.propose_external_action(
        'billing.plain', '{"charge_id": "ch_k", "amount_cents": 1}', 'mine'
    )).action_id,
    (synapsor.propose_external_action(
        'billing.plain', '{"charge_id": "ch_k", "amount_cents": 1}', 'mine'
    )).action_id,
    'same key and same values: the same action'
);
select is(
    (select array_agg(changed) from synapsor.propose_external_action(
        'billing.plain', '{"charge_id": "ch_k", "amount_cents": 1}', 'mine'
    )),
    array[false],
    'and nothing changed'
);
select is(
    (select count(*) from synapsor.synapsor_external_action_events as event
    where event.action_id = (synapsor.invoke_action(
        'billing.plain', '{"charge_id": "ch_k", "amount_cents": 1}', 'mine'
    )).action_id),
    1::bigint,
    'not even an event'
);
select tests.raises(
    $$ select synapsor.propose_external_action('billing.plain',
        '{"charge_id": "ch_k", "amount_cents": 2}', 'mine') $$,
    'SY008', 'the idempotency key of billing.plain is held by action act_% with other values',
    'Payload digest held: %, given: %.', '%',
    'same key and other values: refused, both digests told'
);
select matches(
    tests.error($$ select synapsor.propose_external_action('billing.plain',
        '{"charge_id": "ch_k", "amount_cents": 2}', 'mine') $$),
    'held: [0-9a-f]{64}, given: [0-9a-f]{64}',
    'which are two digests'
);
select tests.session_of('bob');
select tests.raises(
    $$ select synapsor.propose_external_action('billing.plain',
        '{"charge_id": "ch_k", "amount_cents": 1}', 'mine') $$,
    'SY008', '%', '%', '%', 'another principal''s hidden values are other values'
);
select tests.session_of('alice');
select is(
    (select array_agg(row(status, error_code, holds, key)::text) from (
        select refused.status, refused.error_code,
            (tests.stored(refused.action_id)).holds_key as holds,
            (tests.stored(refused.action_id)).idempotency_key as key
        from synapsor.invoke_action(
            'billing.plain', '{"charge_id": "ch_k", "amount_cents": 2}', 'mine'
        ) as refused
    ) as told),
    array['(validation_failed,SY008,f,mine)'],
    'invoke_action records the conflict in a row that does not hold the key'
);
select is(
    (synapsor.invoke_action(
        'billing.plain', '{"charge_id": "ch_k", "amount_cents": 1}', 'mine'
    )).changed,
    false,
    'which stays with the action that held it'
);
select is(
    (synapsor.propose_external_action(
        'billing.issue_refund', '{"charge_id": "ch_k", "amount_cents": 2}', 'mine'
    )).changed,
    true,
    'a key belongs to one action name'
);
reset session authorization;
select tests.session('globex', 'alice');
set session authorization test_caller;
select is(
    (synapsor.propose_external_action(
        'billing.plain', '{"charge_id": "ch_k", "amount_cents": 2}', 'mine'
    )).changed,
    true,
    'and to one tenant: another''s does not even conflict'
);
select tests.session_of('alice');
select
    tests.raises(
        format(
            'select synapsor.propose_external_action(%L, %L, %L)', 'billing.plain',
            '{"charge_id": "ch_k", "amount_cents": 1}', key
        ),
        'SY003', '1 argument%', detail, '%', description
    )
from (
    values
    ('', 'idempotency_key violates min_length 1.', 'an empty key is none'),
    (repeat('k', 251), 'idempotency_key violates max_length 250.', 'a key has 250 characters'),
    (E'a\nb', 'idempotency_key violates control_character.', 'and no control character')
) as input (key, detail, description);
select is(
    length((synapsor.propose_external_action(
        'billing.plain', '{"charge_id": "ch_k", "amount_cents": 1}', repeat('k', 250)
    )).idempotency_key),
    250,
    '250 are fine'
);
select is(
    (tests.stored((synapsor.invoke_action(
        'billing.plain', '{"charge_id": "ch_k", "amount_cents": 1}', repeat('k', 5000)
    )).action_id)).error_code,
    'SY003',
    'a key of 5000 characters is a refusal like others'
);

-- A key held by an intent that is dead

select
    is(
        (
            select tests.end_of(proposed.action_id, dead.status)::text
            from synapsor.propose_external_action(
                'billing.plain', '{"charge_id": "ch_dead", "amount_cents": 1}', dead.status
            ) as proposed
        ),
        '', 'an action is ' || dead.status
    )
from unnest(array['rejected', 'expired', 'cancelled', 'failed', 'succeeded']) as dead (status);
select
    tests.raises(
        format(
            'select synapsor.propose_external_action(%L, %L, %L)', 'billing.plain',
            '{"charge_id": "ch_dead", "amount_cents": 1}', dead.status
        ),
        'SY014', '%is held by action act_%, which is ' || dead.status, '%must not commit%', '%',
        'no business change may commit on an intent that was ' || dead.status
    )
from unnest(array['rejected', 'expired', 'cancelled', 'failed']) as dead (status);
select
    tests.raises(
        format(
            'select * from synapsor.propose_external_actions(
                %L, array[%L, %L]::jsonb[], array[%L, %L]
            )',
            'billing.plain', '{"charge_id": "ch_live", "amount_cents": 1}',
            '{"charge_id": "ch_dead", "amount_cents": 1}', 'live', dead.status
        ),
        'SY014', '%', '%', '%', 'nor many changes, of which one was ' || dead.status
    )
from unnest(array['rejected', 'expired', 'cancelled', 'failed']) as dead (status);
select is(
    (select array_agg(repeated.delivery_status || ' ' || repeated.status || ' ' || repeated.changed
        order by dead.ordinality)
    from unnest(array['rejected', 'expired', 'cancelled', 'failed', 'succeeded'])
        with ordinality as dead (status),
        synapsor.invoke_action(
            'billing.plain', '{"charge_id": "ch_dead", "amount_cents": 1}', dead.status
        ) as repeated),
    array[
        'rejected cancelled false', 'expired cancelled false', 'cancelled cancelled false',
        'failed failed false', 'succeeded completed false'
    ],
    'invoke_action returns it, whatever became of it'
);
select is(
    (synapsor.propose_external_action(
        'billing.plain', '{"charge_id": "ch_dead", "amount_cents": 1}', 'succeeded'
    )).status,
    'succeeded',
    'what succeeded is an answer'
);
select tests.raises(
    $$ select synapsor.propose_external_action('billing.plain',
        '{"charge_id": "ch_dead", "amount_cents": 2}', 'failed') $$,
    'SY008', '%', '%', '%', 'with other values it is a conflict first'
);

-- Dead without a sweep

reset session authorization;
select tests.a_contract(
    '{"approval": {"required": true, "expires_after": "1 hour"}}', 'billing.slow'
);
select tests.a_contract('{"deliver_within": "1 hour"}', 'billing.fresh');
select tests.session_of('alice');
set session authorization test_caller;
select is(
    (select array_agg(status order by status) from (
        select (synapsor.propose_external_action(
            action, '{"charge_id": "ch_late", "amount_cents": 1}'
        )).status
        from unnest(array['billing.slow', 'billing.fresh']) as action
    ) as proposed),
    array['proposed', 'queued'],
    'two intents with a limited life'
);
select tests.advance('59 minutes 59 seconds');
select is(
    (synapsor.propose_external_action(
        action, '{"charge_id": "ch_late", "amount_cents": 1}'
    )).changed,
    false,
    action || ' lives on to its last second'
)
from unnest(array['billing.slow', 'billing.fresh']) as action;
select tests.advance('1 second');
select tests.raises(
    format('select synapsor.propose_external_action(%L, %L)', action,
        '{"charge_id": "ch_late", "amount_cents": 1}'),
    'SY014', '%which is expired', '%', '%',
    action || ' that nobody approved or delivered in time is dead, swept or not'
)
from unnest(array['billing.slow', 'billing.fresh']) as action;
select is(
    (select array_agg(delivery_status || ' ' || changed) from synapsor.invoke_action(
        'billing.slow', '{"charge_id": "ch_late", "amount_cents": 1}'
    )),
    array['expired false'],
    'and shown so'
);

-- A tombstone keeps the key after the action is purged: see 85_operation.sql.


-- Who may ask (stages 0 and 1)

reset session authorization;
select tests.a_contract('{"actor_types": ["natural_person", "agent"]}', 'billing.selective');
select tests.a_contract('{"required_roles": ["teller", "boss"]}', 'billing.restricted');
select tests.a_contract('{"required_permissions": ["refund"]}', 'billing.permitted');
select tests.a_contract('{"policies": ["billing.limit.v1"]}', 'billing.judged');
select tests.a_contract(
    '{"limits": [{"sum": "amount_cents", "max": 0, "per": "day"}]}', 'billing.limited'
);
select tests.a_contract('{"require_run": true}', 'billing.in_run');
create function tests.attempt(action text, actor_type text, roles text[] default '{}')
returns text
language plpgsql
as $function$
begin
    perform tests.session('acme', 'somebody', roles, actor_type);
    return coalesce(
        left(tests.error(format(
            'select synapsor.propose_external_action(%L, %L)', action,
            jsonb_build_object('charge_id', actor_type || roles::text, 'amount_cents', 1)
        )), 5),
        'accepted'
    );
end
$function$;
set session authorization test_caller;
select is(
    tests.attempt('billing.selective', actor_type), expected,
    format('the contract names who may ask: %s is %s', actor_type, expected)
)
from (
    values ('natural_person', 'accepted'), ('agent', 'accepted'), ('system', 'SY007'),
    ('service_account', 'SY007'), ('external_system', 'SY007'), ('integration', 'SY007')
) as expectation (actor_type, expected);
select is(
    tests.attempt('billing.restricted', actor_type), expected,
    format('required roles bind %s: %s', actor_type, expected)
)
from (
    values ('natural_person', 'SY007'), ('service_account', 'SY007'), ('integration', 'SY007'),
    ('agent', 'accepted'), ('system', 'accepted'), ('external_system', 'accepted')
) as expectation (actor_type, expected);
select is(
    tests.attempt('billing.restricted', 'natural_person', array['clerk', 'boss']), 'accepted',
    'any of the roles is enough'
);
select is(
    tests.attempt('billing.restricted', 'natural_person', array['Boss', 'clerk']), 'SY007',
    'spelled exactly'
);
select is(
    tests.attempt('billing.permitted', actor_type), expected,
    format('permissions that nobody can hold yet bind %s: %s', actor_type, expected)
)
from (
    values ('natural_person', 'SY007'), ('service_account', 'SY007'), ('integration', 'SY007'),
    ('agent', 'accepted')
) as expectation (actor_type, expected);
select is(
    tests.attempt('billing.judged', 'natural_person'), 'SY009',
    'a policy that cannot be evaluated blocks'
);
select is(
    tests.attempt('billing.limited', 'natural_person'), 'SY051',
    'a limit that would be exceeded blocks: see 48_budget.sql'
);
select is(
    tests.attempt('billing.in_run', 'natural_person'), 'SY040', 'require_run asks for a run'
);
select tests.session_of('alice');
select is(
    (select array_agg(action || ' ' || status || ' ' || error_code order by action)
    from unnest(array['billing.judged', 'billing.limited']) as asked,
        synapsor.invoke_action(asked, '{"charge_id": "a", "amount_cents": 1}')),
    array['billing.judged blocked_by_policy SY009', 'billing.limited blocked_by_policy SY051'],
    'invoke_action records what is blocked'
);
select is(
    (select (preview -> 'valid')::text || (preview ->> 'error_code')
    from synapsor.preview_action(
        'billing.judged', '{"charge_id": "a", "amount_cents": 1}'
    ) as preview),
    'falseSY009',
    'and preview_action tells what a policy blocks'
);

select
    is(
        has_function_privilege(login, function, 'execute'),
        login in ('test_caller', 'test_admin'),
        format('%s: %s, or not', login, function)
    )
from unnest(array[
    'test_caller', 'test_approver', 'test_worker', 'test_auditor', 'test_admin', 'test_gateway',
    'test_stranger'
]) as login
cross join (
    select oid::regprocedure::text as function
    from pg_proc
    where pronamespace = 'synapsor'::regnamespace and proname in (
        'invoke_action', 'propose_external_action', 'propose_external_actions', 'preview_action'
    )
) as verb
order by function, login;


-- invoke_action: a row for every attempt

select tests.session_of('alice', '{"traceparent": "00-abc"}');
select is(
    to_jsonb(invoked) - array['action_id', 'payload_digest', 'created_at'],
    '{"tenant_id": "acme", "action": "billing.plain", "version": 1, "kind": "external",
      "actor": "alice", "actor_type": "natural_person", "status": "running",
      "delivery_status": "queued", "parameters": {"charge_id": "ch_i", "amount_cents": 1},
      "hidden": {"tenant_id": "[redacted]", "principal": "[redacted]"},
      "idempotency_key": "mine too", "run_id": null, "step_key": null, "correlation_id": "thread",
      "causation_id": "evt_1", "result": null, "error_code": null, "error_message": null,
      "violations": null, "completed_at": null, "changed": true}',
    'an accepted attempt is running, its delivery queued; without a run there is no step'
)
from synapsor.invoke_action(
    'billing.plain', '{"charge_id": "ch_i", "amount_cents": 1}', idempotency_key => 'mine too',
    step_key => 's', correlation_id => 'thread', causation_id => 'evt_1'
) as invoked;
select is(
    (select status || ' ' || delivery_status from synapsor.invoke_action(
        'billing.slow', '{"charge_id": "ch_i", "amount_cents": 1}'
    )),
    'waiting_for_approval proposed',
    'one that needs approval waits for it'
);
select is(
    to_jsonb(refused) - array['action_id', 'created_at', 'correlation_id'],
    '{"tenant_id": "acme", "action": "billing.plain", "version": 1, "kind": "external",
      "actor": "alice", "actor_type": "natural_person", "status": "validation_failed",
      "delivery_status": null, "parameters": {"tenant_id": "[redacted]", "amount_cents": "1"},
      "hidden": null, "idempotency_key": null, "payload_digest": null, "run_id": null,
      "step_key": null, "causation_id": null, "result": null, "error_code": "SY004",
      "error_message": "tenant_id of billing.plain comes from the session, not from the caller",
      "violations": [
        {"code": "SY004", "path": "tenant_id", "rule": "hidden", "kind": "string"},
        {"code": "SY003", "path": "amount_cents", "rule": "type", "kind": "string",
         "expected": "integer"},
        {"code": "SY003", "path": "charge_id", "rule": "required", "kind": "absent"}],
      "completed_at": "2026-01-01T13:00:00+00:00", "changed": true}',
    'a refused attempt is evidence: a row with everything that was wrong'
)
from synapsor.invoke_action(
    'billing.plain', '{"tenant_id": "globex", "amount_cents": "1"}'
) as refused;
select isnt(
    (synapsor.invoke_action('billing.plain', '{}')).action_id,
    (synapsor.invoke_action('billing.plain', '{}')).action_id,
    'each refused attempt is a row of its own'
);
select is(
    (select count(*) from synapsor.synapsor_external_actions as external
    where external.action_id in (
        select invocation.action_id from synapsor.synapsor_action_invocations as invocation
        where invocation.status in ('validation_failed', 'blocked_by_policy')
    )),
    0::bigint,
    'and no external action'
);
select is(
    (synapsor.invoke_action(
        'billing.plain', jsonb_build_object('charge_id', repeat('x', 1048576))
    )).parameters -> 'oversized',
    '1048593',
    'of more than 64 KiB only size and SHA-256 are kept'
);
reset session authorization;
select lives_ok(
    $$ select synapsor.declare_action('{"action": "at.omic", "kind": "atomic",
        "handler": "shop.refund(jsonb,jsonb)"}') $$, 'an atomic action'
);
set session authorization test_caller;
select tests.raises(
    $$ select synapsor.propose_external_action('at.omic', '{}') $$, 'SY003',
    'at.omic is an atomic action', 'Only external actions are proposed.', '%', 'is not proposed'
);


-- preview_action stores nothing

create temporary table rows_before on commit drop as select tests.rows() as rows;
select is(
    synapsor.preview_action('billing.slow', '{"charge_id": "ch_p", "amount_cents": 1}')
    - array['payload_digest'],
    '{"action": "billing.slow", "version": 1, "kind": "external", "valid": true,
      "violations": [], "arguments": {"charge_id": "ch_p", "amount_cents": 1},
      "hidden": {"tenant_id": "[redacted]", "principal": "[redacted]"},
      "idempotency_key": "[redacted]", "approval": {"required": true, "approvals": 1},
      "policy": {"result": "pass"}}',
    'preview_action shows what would be bound, redacted'
);
select is(
    synapsor.preview_action('billing.slow', '{"charge_id": "ch_p", "amount_cents": 1}')
    ->> 'payload_digest',
    (select payload_digest from synapsor.invoke_action(
        'billing.slow', '{"charge_id": "ch_p", "amount_cents": 1}'
    )),
    'with the digest that invoke_action then finds'
);
select is(tests.rows() - 1, (select rows from rows_before), 'preview_action stores no row');


-- Many at once

select is(
    (select array_agg(arguments ->> 'charge_id' || ' ' || changed order by ordinality)
    from synapsor.propose_external_actions(
        'billing.plain',
        array(select jsonb_build_object('charge_id', 'b' || n, 'amount_cents', n)
            from generate_series(1, 5) as n) || '{"charge_id": "b2", "amount_cents": 2}'::jsonb
    ) with ordinality),
    array['b1 true', 'b2 true', 'b3 true', 'b4 true', 'b5 true', 'b2 false'],
    'a batch comes back in its order; an equal element is the same action'
);
select is(
    (select array_agg(changed order by ordinality) from synapsor.propose_external_actions(
        'billing.plain',
        array['{"charge_id": "b6", "amount_cents": 1}', '{"charge_id": "b1", "amount_cents": 1}',
            '{"charge_id": "b7", "amount_cents": 1}']::jsonb[]
    ) with ordinality),
    array[true, false, true],
    'new and known ones mix'
);
create temporary table before_batch on commit drop as select tests.rows() as rows;
select tests.raises(
    $$ select * from synapsor.propose_external_actions('billing.plain', array[
        '{"charge_id": "b8", "amount_cents": 1}', '{"charge_id": "b9", "amount_cents": 0}'
        ]::jsonb[]) $$,
    'SY003', '1 argument of billing.plain is invalid (element 2)',
    'amount_cents violates minimum 1.', '%', 'the first bad element is named'
);
select tests.raises(
    $$ select * from synapsor.propose_external_actions('billing.plain', array[
        '{"charge_id": "b8", "amount_cents": 1}', '{"charge_id": "b8", "amount_cents": 2}'
        ]::jsonb[],
        array['one', 'one']) $$,
    'SY008', '%', '%', '%', 'two elements cannot share a key with other values'
);
select tests.raises(
    $$ select * from synapsor.propose_external_actions('billing.plain', array['{}'::jsonb],
        array['a', 'b']) $$,
    'SY003', '1 argument objects came with 2 idempotency keys', null, '%', 'one key per element'
);
select tests.raises(
    $$ select * from synapsor.propose_external_actions('billing.plain',
        array[array['{"charge_id": "b8", "amount_cents": 1}'::jsonb]]) $$,
    'SY003', '%one dimension', null, '%', 'arrays of arrays are refused'
);
select tests.raises(
    $$ select * from synapsor.propose_external_actions('billing.plain',
        array['{"charge_id": "b8", "amount_cents": 1}'::jsonb, null]) $$,
    'SY003', '%not a JSON object (element 2)', '%', '%', 'so is a null among them'
);
select is(
    tests.rows(), (select rows from before_batch), 'and none was recorded: all or nothing'
);
select is_empty(
    $$ select * from synapsor.propose_external_actions('billing.plain', '{}') $$,
    'nothing asked, nothing done'
);
select is(
    (select array_agg((tests.stored(action_id)).idempotency_key order by ordinality)
    from synapsor.propose_external_actions(
        'billing.plain',
        array['{"charge_id": "c1", "amount_cents": 1}', '{"charge_id": "c2", "amount_cents": 1}']
        ::jsonb[],
        array['given', null]
    ) with ordinality),
    array['given', 'acme:refund:c2:1'],
    'a null key is made by the contract'
);
select is(
    (select count(distinct (action_id, digest)) from synapsor.propose_external_actions(
        'billing.plain',
        array(select jsonb_build_object('charge_id', 'm' || n, 'amount_cents', 1)
            from generate_series(1, 500) as n)
    )),
    500::bigint,
    'five hundred at once'
);


-- Scheduling

select is(
    (select array_agg(row(status, scheduled_at, available_at)::text)
    from synapsor.propose_external_action(
        'billing.plain', '{"charge_id": "sched", "amount_cents": 1}',
        scheduled_at => '2026-01-02 00:00+00'
    )),
    array['(queued,"2026-01-02 00:00:00+00","2026-01-02 00:00:00+00")'],
    'a scheduled action is queued, and available then'
);
select is(
    (select array_agg(row(status, scheduled_at, available_at)::text)
    from synapsor.propose_external_action(
        'billing.plain', '{"charge_id": "sched past", "amount_cents": 1}',
        scheduled_at => '2020-01-01 00:00+00'
    )),
    array['(queued,"2020-01-01 00:00:00+00","2026-01-01 13:00:00+00")'],
    'what is scheduled for the past is due now'
);
select is(
    (synapsor.propose_external_action(
        'billing.plain', '{"charge_id": "sched", "amount_cents": 1}',
        scheduled_at => '2026-01-03 00:00+00'
    )).scheduled_at,
    '2026-01-02 00:00+00',
    'an equal repeat with another time changes nothing: the time is not the payload'
);
set session authorization test_worker;
select tests.session('acme', 'worker-1');
select is(
    (select count(*) from synapsor.claim_external_actions('billing_external_actions', 1000)
    where arguments ->> 'charge_id' = 'sched'),
    0::bigint,
    'before its time nobody claims it'
);
select tests.at('2026-01-02 00:00+00');
select is(
    (select count(*) from synapsor.claim_external_actions('billing_external_actions', 1000)
    where arguments ->> 'charge_id' = 'sched'),
    1::bigint,
    'at its time it is claimed'
);
set session authorization test_caller;
select tests.session_of('alice');
select is(
    (select array_agg(status || ' ' || changed) from synapsor.propose_external_action(
        'billing.plain', '{"charge_id": "sched", "amount_cents": 1}'
    )),
    array['claimed false'],
    'an equal repeat of what is being delivered is an answer'
);


-- A run in the session cannot be left

select tests.session('acme', 'bot', actor_type => 'agent');
create temporary table runs on commit drop as
select (synapsor.start_agent_run('refunds ' || n)).run_id, n from generate_series(1, 2) as n;
select tests.session(
    'acme', 'bot', actor_type => 'agent',
    extra => (select jsonb_build_object('run_id', run_id) from runs where n = 1)
);
select is(
    (select array_agg(row(proposed.run_id = runs.run_id, proposed.step_key)::text)
    from runs, synapsor.propose_external_action(
        'billing.in_run', '{"charge_id": "r", "amount_cents": 1}'
    ) as proposed where n = 1),
    array['(t,billing.in_run)'],
    'the session''s run is joined'
);
select tests.raises(
    format(
        'select synapsor.propose_external_action(%L, %L, run_id => %L)', 'billing.in_run',
        '{"charge_id": "r2", "amount_cents": 1}', (select run_id from runs where n = 2)
    ),
    'SY007', 'the session belongs to another run', '%', '%', 'and no other'
);
select tests.session('acme', 'other bot', actor_type => 'agent');
select tests.raises(
    format(
        'select synapsor.%I(%L, %L, run_id => %L)', verb, 'billing.in_run',
        '{"charge_id": "r2", "amount_cents": 1}', (select run_id from runs where n = 1)
    ),
    'SY007', '%belongs to another principal', null, '%',
    verb || ': another principal''s run is not joined'
)
from unnest(array['propose_external_action', 'invoke_action']) as verb;
select tests.session('globex', 'bot', actor_type => 'agent');
select is(
    tests.error(format(
        'select synapsor.propose_external_action(%L, %L, run_id => %L)', 'billing.in_run',
        '{"charge_id": "r2", "amount_cents": 1}', (select run_id from runs where n = 1)
    )),
    replace(
        tests.error(format(
            'select synapsor.propose_external_action(%L, %L, run_id => %L)', 'billing.in_run',
            '{"charge_id": "r2", "amount_cents": 1}', 'run_00000000000000000000000000'
        )),
        'run_00000000000000000000000000', (select run_id from runs where n = 1)
    ),
    'another tenant''s run does not exist'
);


-- Redaction of what a caller gets back

reset session authorization;
select tests.a_contract(
    '{"redact": ["charge_id"], "ordering_key": "{charge_id}"}', 'billing.discreet'
);
select tests.session_of('alice');
set session authorization test_caller;
select is(
    (select array_agg(concat_ws(' ', arguments, idempotency_key, ordering_key))
    from synapsor.propose_external_action(
        'billing.discreet', '{"charge_id": "secret", "amount_cents": 1}'
    )),
    array['{"charge_id": "[redacted]", "amount_cents": 1} [redacted] [redacted]'],
    'a field the contract redacts is redacted in arguments, and in keys made of it'
);
select is(
    (select idempotency_key from synapsor.propose_external_action(
        'billing.discreet', '{"charge_id": "secret", "amount_cents": 1}', 'my own'
    )),
    'my own',
    'a key the caller made is the caller''s'
);
select is(
    (synapsor.invoke_action('billing.discreet', '{"charge_id": "secret"}')).parameters,
    '{"charge_id": "[redacted]"}',
    'refused parameters are redacted too'
);
set session authorization test_admin;
select is(
    (select array_agg(concat_ws(' ', arguments, hidden, idempotency_key, ordering_key))
    from synapsor.propose_external_action(
        'billing.discreet', '{"charge_id": "seen", "amount_cents": 1}'
    )),
    array['{"charge_id": "seen", "amount_cents": 1} {"principal": "alice", "tenant_id": "acme"} '
        || 'acme:refund:seen:1 seen'],
    'an administrator, who is an auditor too, sees all of it'
);


-- The short path of a proposal with nothing to decide

set session authorization test_caller;
select is(
    (select to_jsonb(proposed) - array['action_id', 'correlation_id', 'idempotency_key', 'digest']
    from synapsor.propose_external_action(
        'billing.plain', '{"charge_id": "ch_9", "amount_cents": 9}', 'short'
    ) as proposed),
    (select to_jsonb(proposed) - array['action_id', 'correlation_id', 'idempotency_key', 'digest']
    from synapsor.propose_external_actions(
        'billing.plain', array['{"charge_id": "ch_9", "amount_cents": 9}'::jsonb], array['long']
    ) as proposed),
    'comes to the same row as the long one'
);
reset session authorization;
select is(
    (select to_jsonb(short) - array['action_id', 'idempotency_key', 'digest', 'intent', 'created_at']
    from synapsor.action_invocations as short
    where short.idempotency_key = 'short'),
    (select to_jsonb(long) - array['action_id', 'idempotency_key', 'digest', 'intent', 'created_at']
    from synapsor.action_invocations as long
    where long.idempotency_key = 'long'),
    'and stores the same'
);
select is(
    (select to_jsonb(short) - array['action_id', 'position']
    from synapsor.open_external_actions as short
    inner join synapsor.action_invocations as stored using (action_id)
    where stored.idempotency_key = 'short'),
    (select to_jsonb(long) - array['action_id', 'position']
    from synapsor.open_external_actions as long
    inner join synapsor.action_invocations as stored using (action_id)
    where stored.idempotency_key = 'long'),
    'in the outbox too'
);

select tests.a_contract(
    '{"args": {
        "charge_id": {"type": "string", "required": true},
        "amount_cents": {"type": "integer", "required": true},
        "partial": {"type": "boolean", "default": true},
        "note": {"type": "string", "default": "none"}
     }}',
    'billing.filled'
);
set session authorization test_caller;
select is(
    array_agg(array[short.arguments, long.arguments] order by ordinal),
    array_agg(array[asked.expected, asked.expected] order by ordinal),
    'defaults that are left out, given, or overridden are told alike by both paths'
)
from unnest(
    array[
        '{"charge_id": "ch_1", "amount_cents": 9}',
        '{"charge_id": "ch_2", "amount_cents": 9, "note": "none"}',
        '{"note": "none", "partial": true, "charge_id": "ch_3", "amount_cents": 9}',
        '{"note": "é\u0007\"", "partial": false, "charge_id": "ch_4", "amount_cents": -0}'
    ]::jsonb[],
    array[
        '{"note": "none", "partial": true, "charge_id": "ch_1", "amount_cents": 9}',
        '{"note": "none", "partial": true, "charge_id": "ch_2", "amount_cents": 9}',
        '{"note": "none", "partial": true, "charge_id": "ch_3", "amount_cents": 9}',
        '{"note": "é\u0007\"", "partial": false, "charge_id": "ch_4", "amount_cents": 0}'
    ]::jsonb[]
) with ordinality as asked (arguments, expected, ordinal)
cross join lateral synapsor.propose_external_action('billing.filled', asked.arguments, 'short ' || ordinal) as short
cross join lateral synapsor.propose_external_action(
    'billing.filled', asked.arguments, 'long ' || ordinal, correlation_id => 'long'
) as long;
select is(
    (select array_agg(repeated.arguments order by repeated.idempotency_key)
    from synapsor.synapsor_external_actions as repeated
    where repeated.idempotency_key like 'short %'),
    array[
        '{"note": "none", "partial": true, "charge_id": "ch_1", "amount_cents": 9}',
        '{"note": "none", "partial": true, "charge_id": "ch_2", "amount_cents": 9}',
        '{"note": "none", "partial": true, "charge_id": "ch_3", "amount_cents": 9}',
        '{"note": "é\u0007\"", "partial": false, "charge_id": "ch_4", "amount_cents": 0}'
    ]::jsonb[],
    'as they are stored'
);
select is(
    (select array_agg(proposed.arguments order by proposed.ordinality)
    from synapsor.propose_external_actions(
        'billing.filled',
        '[5:7]={
            "{\"charge_id\": \"ch_1\", \"amount_cents\": 9, \"note\": \"a\", \"partial\": true}",
            "{\"charge_id\": \"ch_2\", \"amount_cents\": 9}",
            "{\"charge_id\": \"ch_3\", \"amount_cents\": 9, \"note\": \"c\", \"partial\": false}"
        }',
        array['first', 'second', 'third']
    ) with ordinality as proposed),
    array[
        '{"charge_id": "ch_1", "amount_cents": 9, "note": "a", "partial": true}',
        '{"charge_id": "ch_2", "amount_cents": 9, "note": "none", "partial": true}',
        '{"charge_id": "ch_3", "amount_cents": 9, "note": "c", "partial": false}'
    ]::jsonb[],
    'as well as of many, wherever the array of the caller begins'
);
reset session authorization;

set session authorization test_admin;
select is(
    (select proposed.hidden from synapsor.propose_external_action(
        'billing.plain', '{"charge_id": "ch_10", "amount_cents": 9}'
    ) as proposed),
    (select seen.hidden from synapsor.propose_external_actions(
        'billing.plain', array['{"charge_id": "ch_11", "amount_cents": 9}'::jsonb]
    ) as seen),
    'whoever sees hidden values sees them on both'
);
reset session authorization;

create temp table woken (queue text);
grant insert on woken to synapsor_owner;
create or replace function synapsor._wake_workers(queue text)
returns void
language sql
begin atomic
    insert into pg_temp.woken values (queue);
end;
set session authorization test_caller;
select from synapsor.propose_external_action('billing.filled', '{"charge_id": "ch_1", "amount_cents": 1}');
reset session authorization;
select is_empty('select * from woken', 'nobody is woken where nobody sleeps');
insert into synapsor.idle_queues (queue, since) values ('billing_external_actions', now());
set session authorization test_caller;
select from synapsor.propose_external_action('billing.filled', '{"charge_id": "ch_2", "amount_cents": 1}');
reset session authorization;
select results_eq('select queue from woken', array['billing_external_actions'], 'whoever sleeps at the queue is woken');

select * from finish();
rollback;
