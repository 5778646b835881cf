-- Keys and tokens: who may open a session with nothing but a signature.

begin;

select plan(49);

-- Tokens as an issuer makes them. A payload is text, so that it may be wrong.
create function tests.sign(payload text, header text, secret text)
returns text
language plpython3u
as $python$
import base64
import hmac


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


text = encoded(header.encode()) + "." + encoded(payload.encode())
return text + "." + encoded(hmac.new(secret.encode(), text.encode(), "sha256").digest())
$python$;

create function tests.token(
    changes jsonb default '{}',
    kid text default 'main',
    secret text default 'a secret of thirty-two bytes or more'
)
returns text
language sql
stable
security definer
as $function$
    select tests.sign(
        jsonb_strip_nulls(jsonb_build_object(
            'sub', 'alice',
            'tenant_id', 'acme',
            'exp', floor(extract(epoch from synapsor._now())) + 3600
        ) || changes)::text,
        jsonb_build_object('alg', 'HS256', 'typ', 'JWT', 'kid', kid)::text,
        secret
    )
$function$;

create function tests.refused(changes jsonb, detail text, description text)
returns text
language sql
as $function$
    select tests.raises(
        format('select synapsor.open_session(%L)', tests.token(changes)),
        'SY006', 'the session token is refused', detail, '%', description
    )
$function$;


-- Keys

set session authorization test_admin;

select is(
    synapsor.add_session_key('main', 'a secret of thirty-two bytes or more'),
    '{"tenants": "*", "roles": [], "actor_types": ["natural_person", "agent"]}',
    'a key may assert every tenant, no role, and persons and agents'
);
select lives_ok(
    $$ select synapsor.add_session_key('narrow', 'another secret of thirty-two bytes',
        '{"tenants": ["acme"], "roles": ["reviewer"], "actor_types": ["system"],
          "audience": "refunds"}') $$,
    'or what its scope says'
);
select tests.raises(
    $$ select synapsor.add_session_key('main', repeat('x', 32)) $$,
    'SY006', 'session key main exists already', description => 'a known kid is refused'
);
select
    tests.raises(
        format('select synapsor.add_session_key(%s)', refused.arguments),
        'SY006', 'the session key is refused', refused.detail
    )
from (
    values
    ($$null, repeat('x', 32)$$, 'kid must%'),
    ($$'', repeat('x', 32)$$, 'kid must%'),
    ($$'k', null$$, 'secret must%'),
    ($$'k', repeat('x', 31)$$, 'secret must be at least 32 bytes%'),
    ($$'k', repeat('x', 4097)$$, 'secret must be at most%'),
    ($$'k', repeat('x', 32), null$$, 'scope must be a JSON object%'),
    ($$'k', repeat('x', 32), '[]'$$, 'scope must be a JSON object%'),
    ($$'k', repeat('x', 32), '{"tenant": "a"}'$$, 'scope may hold%'),
    ($$'k', repeat('x', 32), '{"tenants": "a"}'$$, 'scope.tenants must%'),
    ($$'k', repeat('x', 32), '{"roles": "*"}'$$, 'scope.roles must%'),
    ($$'k', repeat('x', 32), '{"actor_types": ["robot"]}'$$, 'scope.actor_types must%'),
    ($$'k', repeat('x', 32), '{"audience": ["a"]}'$$, 'scope.audience must%')
) as refused (arguments, detail);
select lives_ok(
    $$ select synapsor.add_session_key('umlauts', repeat('ä', 16)) $$, 'bytes count, in UTF-8'
);
select tests.raises(
    'select from synapsor.session_keys', '42501', description => 'administrators read no secret'
);


-- open_session

set session authorization test_stranger;

select is(
    synapsor.open_session(tests.token('{"ctx": {"current_customer_id": "c1"}}')),
    '{"principal": "alice", "tenant_id": "acme", "actor_type": "natural_person", "roles": [],
      "current_customer_id": "c1"}',
    'any login may open the session of a token'
);
select is(synapsor.current_session() ->> 'current_customer_id', 'c1', 'and it is in force');

select tests.refused('{"exp": 1}', 'It has expired.', 'expired');
select is(
    synapsor.current_session() ->> 'principal', 'test_stranger',
    'a refused token ends the earlier session, even when the error is caught'
);
select tests.refused('{"exp": null}', 'exp is required.', 'without expiry');
select tests.refused('{"nbf": 99999999999}', 'It is not valid yet.', 'not valid yet');
select tests.refused('{"roles": ["a"]}', 'The key may not assert all%', 'roles beyond the scope');
select tests.refused('{"actor_type": "system"}', '%that actor_type.', 'actor type beyond it');
select tests.refused('{"aud": "refunds"}', '%another audience.', 'an audience, the key has none');
select tests.refused('{"ctx": {"roles": ["a"]}}', 'ctx must not hold%', 'roles in ctx');
select tests.refused('{"sub": "a\u0007"}', 'principal must%', 'a control character');
select tests.refused('{"tenant_id": "*"}', 'tenant_id must%', 'a star is no tenant');

select
    tests.raises(
        format('select synapsor.open_session(%L)', forged.token),
        'SY006', 'the session token is refused', forged.detail, '%', forged.description
    )
from (
    values
    (null, 'There is no token.', 'null'),
    ('', 'It does not consist of three%', 'empty'),
    (
        tests.token(secret => 'an invented secret of 32 bytes...'),
        'No session key verifies its signature.',
        'wrong key'
    ),
    (tests.token(kid => 'other'), 'No session key verifies its signature.', 'unknown kid'),
    (tests.token(kid => 'narrow'), 'No session key verifies its signature.', 'another key''s kid'),
    (
        tests.sign(
            '{"sub": "alice", "exp": 99999999999}', '{"alg": "none", "kid": "main"}',
            'a secret of thirty-two bytes or more'
        ),
        'Its algorithm is not HS256.',
        'alg none'
    ),
    (
        tests.sign(
            '{"sub": "alice", "sub": "eve", "exp": 99999999999}',
            '{"alg": "HS256", "kid": "main"}', 'a secret of thirty-two bytes or more'
        ),
        'Its payload is not a JSON object%without duplicate keys.',
        'duplicate claim'
    ),
    (
        tests.sign(
            '{"sub": "alice\u0000", "exp": 99999999999}',
            '{"alg": "HS256", "kid": "main"}', 'a secret of thirty-two bytes or more'
        ),
        'Its payload is not a JSON object%',
        'a NUL'
    ),
    (
        tests.sign(
            '{"sub": "alice\ud800", "exp": 99999999999}',
            '{"alg": "HS256", "kid": "main"}', 'a secret of thirty-two bytes or more'
        ),
        'Its payload is not a JSON object%',
        'half a surrogate pair'
    ),
    (repeat('x', 9000), 'It is larger than 8 KiB.', 'too large')
) as forged (token, detail, description);

select
    tests.raises(
        format('select synapsor.open_session(%L)', tests.token(
            narrow.changes, 'narrow', 'another secret of thirty-two bytes'
        )),
        'SY006', 'the session token is refused', narrow.detail, '%', narrow.description
    )
from (
    values
    (
        '{"tenant_id": "globex", "actor_type": "system", "aud": "refunds"}'::jsonb,
        'The key may not assert that tenant.',
        'another tenant'
    ),
    ('{"actor_type": "system"}', 'It names no audience%', 'audience left out'),
    ('{"actor_type": "system", "aud": ["x"]}', '%another audience.', 'another audience'),
    ('{"aud": "refunds"}', '%that actor_type.', 'the default actor type is outside the scope')
) as narrow (changes, detail, description);

select is(
    synapsor.open_session(tests.token(
        '{"roles": ["reviewer"], "actor_type": "system", "aud": ["x", "refunds"]}',
        'narrow', 'another secret of thirty-two bytes'
    )),
    '{"principal": "alice", "tenant_id": "acme", "actor_type": "system", "roles": ["reviewer"]}',
    'what the scope allows is asserted'
);

-- Time is the database's clock.
select set_config('tests.token', tests.token(), true);
reset session authorization;
select tests.at(synapsor._now());
select tests.advance('3629 s');
select lives_ok(
    'select synapsor.open_session(current_setting(''tests.token''))', '30 seconds of skew'
);
select tests.advance('2 s');
select tests.raises(
    'select synapsor.open_session(current_setting(''tests.token''))',
    'SY006', null, 'It has expired.', description => 'and no more'
);

set session authorization test_admin;
select lives_ok($$ select synapsor.remove_session_key('main') $$, 'a key can be removed');
select tests.raises(
    'select synapsor.open_session(tests.token())',
    'SY006', null, 'No session key verifies its signature.',
    description => 'then its tokens open nothing'
);
select tests.raises(
    $$ select synapsor.remove_session_key('main') $$, 'SY011',
    description => 'what is not there cannot be removed'
);

select * from finish();
rollback;
