-- What providers bear: rate, concurrency, pauses and circuit breakers, judged at claim (design.md
-- section 7). The breaker is tried with the cases of resilience4j's own tests (reference/pipeline.md,
-- C).

begin;

select no_plan();

\ir support/delivery.sql

create function tests.as_admin(statement text)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    execute statement;
end
$function$;

create function tests.declare(definition jsonb)
returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select synapsor.declare_provider(definition);
$function$;

-- So many actions named <contract> 1, 2, …
create function tests.queue_up(
    contract text, many integer, overrides jsonb default '{}', tenant text default 'acme', first integer default 1
)
returns void
language sql
set search_path = pg_catalog, pg_temp
as $function$
    select tests.queued(format('%s %s', contract, number), contract, overrides, tenant => tenant)
    from generate_series(first, first + many - 1) as number;
$function$;

create function tests.claimed(queue text, max_actions integer default 10, begins boolean default true)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform tests.worker();
    return (select count(*) from synapsor.claim_external_actions(queue, max_actions, begin => begins));
end
$function$;

-- One call after the other: each letter claims one action and confirms it, s succeeded, f failed, b
-- refused by the provider for good, u unknown; capitals after the call took 11 seconds.
create function tests.calls(queue text, letters text)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    letter text;
    claimed synapsor.claim;
    made text := '';
begin
    foreach letter in array string_to_array(letters, null) loop
        perform tests.worker();
        select * into claimed from synapsor.claim_external_actions(queue);
        exit when claimed.action_id is null;
        if letter = upper(letter) then
            perform tests.advance('11 s');
        end if;
        perform synapsor.confirm_external_action(
            claimed.action_id,
            case lower(letter) when 's' then 'succeeded' when 'u' then 'unknown' else 'failed' end,
            retryable => lower(letter) <> 'b', claim_token => claimed.claim_token
        );
        made := made || letter;
    end loop;
    return made;
end
$function$;

create function tests.health(provider text, account text default 'default')
returns text
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select concat_ws(' ', breaker_state, calls, failure_rate)
    from synapsor.synapsor_provider_health as health
    where health.provider = health.provider and health.provider = $1 and health.account = $2
        and health.tenant_id is null;
$function$;

create function tests.drain(queue text, step interval, times integer)
returns bigint
language plpgsql
as $function$
declare
    total bigint := 0;
begin
    for time in 1..times loop
        total := total + tests.claimed(queue);
        perform tests.advance(step);
    end loop;
    return total;
end
$function$;

create function tests.propose_of_shop(shop text, name text)
returns void
language plpgsql
security definer
as $function$
begin
    perform tests.session('acme', 'alice', extra => jsonb_build_object('shop', shop));
    insert into pg_temp.actions
    select name, action_id from synapsor.propose_external_action(
        'test.hidden', jsonb_build_object('charge_id', name, 'amount_cents', 1)
    );
end
$function$;

create function tests.a_breaker(name text, settings jsonb default '{}')
returns void
language plpgsql
as $function$
begin
    perform tests.declare(jsonb_build_object('provider', name, 'breaker', jsonb_build_object(
        'failure_rate_threshold', 50, 'minimum_calls', 5, 'window', 20, 'wait_open', '5 s',
        'half_open_calls', 4, 'slow_call_duration', '10 s'
    ) || settings));
    perform tests.queue_up(name, 30, jsonb_build_object(
        'provider', name, 'retry', '{"max_attempts": 1}'::jsonb, 'lease', '1 hour'
    ));
end
$function$;

select tests.at('2026-01-01 12:00+00');


-- What declare_provider accepts

set session authorization test_admin;
select is(
    (select to_jsonb(declared) - 'declared_by' from synapsor.declare_provider(
        '{"provider": "full", "rate_limit": {"per_second": 2.5}, "concurrency": {"max": 10}, "breaker": {}}'
    ) as declared),
    '{"provider": "full", "account": "default", "version": 1, "declared_at": "2026-01-01T12:00:00+00:00",
      "definition": {
        "provider": "full", "account": "default", "description": null,
        "rate_limit": {"per_second": 2.5, "burst": 3, "per_tenant": null},
        "concurrency": {"max": 10, "per_tenant": null},
        "breaker": {"mode": "enforce", "failure_rate_threshold": 50, "slow_call_duration": "60 s",
          "slow_call_rate_threshold": 100, "minimum_calls": 100, "window": 100, "wait_open": "60 s",
          "half_open_calls": 10}}}'::jsonb,
    'a definition with resilience4j''s defaults'
);
select is(
    (synapsor.declare_provider('{"provider": "bare"}')).definition - 'breaker',
    '{"provider": "bare", "account": "default", "description": null, "rate_limit": null, "concurrency": null}'::jsonb,
    'a provider may have no limits'
);
select is(
    (synapsor.declare_provider('{"provider": "bare"}')).definition -> 'breaker' ->> 'mode', 'disabled',
    'and no breaker'
);
select is((synapsor.declare_provider('{"provider": "bare"}')).version, 1, 'the same again is no new version');
select is(
    (synapsor.declare_provider('{"provider": "bare", "concurrency": {"max": 1}}')).version, 2,
    'something else is'
);
select tests.raises(
    format('select synapsor.declare_provider(%L)', refused.definition), 'SY002', null, '%' || refused.reason || '%',
    description => 'refused: ' || refused.reason
)
from (
    values
    (null, 'A null was given'), ('[]', 'A array was given'), ('{}', 'provider is required'),
    ('{"provider": "p", "rate": 1}', 'rate is not a known key'),
    ('{"provider": "p", "rate_limit": {"burst": 1}}', 'per_second is required'),
    ('{"provider": "p", "rate_limit": {"per_second": 0}}', 'per_second is not above zero'),
    ('{"provider": "p", "rate_limit": {"per_second": -1}}', 'per_second is not from 0'),
    ('{"provider": "p", "rate_limit": {"per_second": "9"}}', 'per_second is a string'),
    ('{"provider": "p", "rate_limit": {"per_second": 1, "burst": 0}}', 'burst is not an integer from 1'),
    ('{"provider": "p", "rate_limit": {"per_second": 1, "per_tenant": 2}}', 'per_tenant is above per_second'),
    ('{"provider": "p", "concurrency": {}}', 'names neither max nor per_tenant'),
    ('{"provider": "p", "concurrency": {"max": 0}}', 'max is not an integer from 1'),
    ('{"provider": "p", "concurrency": {"max": 1, "per_tenant": 2}}', 'per_tenant is above max'),
    ('{"provider": "p", "breaker": {"mode": "on"}}', 'mode is none of'),
    ('{"provider": "p", "breaker": {"failure_rate_threshold": 101}}', 'failure_rate_threshold is not from 0 to 100'),
    ('{"provider": "p", "breaker": {"failure_rate_threshold": 0}}', 'failure_rate_threshold is not above zero'),
    ('{"provider": "p", "breaker": {"wait_open": "soon"}}', 'wait_open is no interval'),
    ('{"provider": "p", "breaker": {"slow_call_duration": "-1 s"}}', 'slow_call_duration is not longer than zero'),
    ('{"provider": "p", "breaker": {"window": 1001}}', 'window is not an integer from 1 to 1000')
) as refused (definition, reason);
select tests.raises(
    $$ select synapsor.declare_provider('{"provider": "p", "x": 1, "breaker": {"window": 0, "wait_open": "x"}}') $$,
    'SY002', null, E'%x is not%\n%window%\n%wait_open%', description => 'all reasons are told'
);
reset session authorization;
select tests.raises(
    $$ insert into synapsor.provider_states (account_id, refilled_at, breaker, probe_token)
    values (0, now(), 'HALF_OPEN', 1) $$, '23514',
    description => 'a breaker that never opened cannot be half open: CLOSED to HALF_OPEN is illegal'
);
set session authorization test_worker;


-- Without limits

select tests.queue_up('free', 3, '{"provider": "free"}');
select is(tests.claimed('free'), 3::bigint, 'a provider that nobody declared limits nobody');
reset session authorization;
select is_empty(
    $$ select from synapsor.provider_states inner join synapsor.provider_accounts using (account_id)
    where provider = 'free' $$, 'it touches no row'
);
select is(tests.health('free'), 'DISABLED 0', 'its health is told nevertheless');
set session authorization test_worker;


-- Rate

select tests.declare('{"provider": "rate", "rate_limit": {"per_second": 25, "burst": 50}}');
select tests.queue_up('rate', 120, '{"provider": "rate"}');
select is(tests.claimed('rate', 100), 50::bigint, 'the burst goes at once');
select is(tests.claimed('rate', 100), 0::bigint, 'then nothing');
select tests.advance('39 ms');
select is(tests.claimed('rate', 100), 0::bigint, 'not a millisecond too early');
select tests.advance('1 ms');
select is(tests.claimed('rate', 100), 1::bigint, 'one after a twenty-fifth of a second');
select tests.advance('1 s');
select is(tests.claimed('rate', 100), 25::bigint, '25 after a second');
select tests.advance('1 hour');
select tests.sweep();
select is(tests.claimed('rate', 100), 50::bigint, 'and never more than the burst');

select tests.declare('{"provider": "slow", "rate_limit": {"per_second": 0.5}}');
select tests.queue_up('slow', 5, '{"provider": "slow"}');
select is(tests.claimed('slow'), 1::bigint, 'a fraction: one call');
select tests.advance('1999 ms');
select is(tests.claimed('slow'), 0::bigint, 'and the next');
select tests.advance('1 ms');
select is(tests.claimed('slow'), 1::bigint, 'two seconds later');
select tests.advance('-1 hour');
select is(tests.claimed('slow'), 0::bigint, 'a clock that went back gives nothing');
select tests.advance('1 hour');
select is(tests.claimed('slow'), 0::bigint, 'and when it is right again nothing twice');

select tests.declare('{"provider": "third", "rate_limit": {"per_second": 3, "burst": 2}}');
select tests.queue_up('third', 40, '{"provider": "third"}');
select is(tests.drain('third', '100 ms', 101), 32::bigint, 'no rounding: three a second for ten seconds');

select tests.declare('{"provider": "tokens", "rate_limit": {"per_second": 1, "burst": 5}}');
select tests.queue_up('tokens', 9, '{"provider": "tokens"}');
select is(tests.claimed('tokens', 4, begins => false), 4::bigint, 'four are claimed');
select synapsor.release_claim(tests.id('tokens 1'), tests.token('tokens 1'));
select is(tests.claimed('tokens'), 1::bigint, 'a claim given back gives no token back');
select tests.declare('{"provider": "tokens", "rate_limit": {"per_second": 1, "burst": 100}}');
select is(tests.claimed('tokens'), 0::bigint, 'nor does another definition fill the bucket');
select tests.advance('3 s');
select tests.declare('{"provider": "tokens", "rate_limit": {"per_second": 100, "burst": 1}}');
select is(tests.claimed('tokens'), 1::bigint, 'but a smaller burst empties it');

-- The limits are the account's
select tests.declare('{"provider": "accounts", "account": "one", "rate_limit": {"per_second": 1}}');
select tests.declare('{"provider": "accounts", "account": "*", "rate_limit": {"per_second": 2}}');
select tests.queue_up('one', 3, '{"provider": "accounts", "account": "one", "queue": "accounts"}');
select tests.queue_up('two', 3, '{"provider": "accounts", "account": "two", "queue": "accounts"}');
select tests.queue_up('three', 3, '{"provider": "accounts", "account": "three", "queue": "accounts"}');
select is(
    tests.claim('accounts', 9), 'one 1, two 1, two 2, three 1, three 2',
    'an account of its own, and every other one by itself by *'
);
select tests.declare('{"provider": "accounts", "account": "two", "rate_limit": {"per_second": 1}}');
select tests.advance('10 s');
select is(
    tests.claim('accounts', 9), 'one 2, two 3, three 3', 'one is taken out of * by its own definition'
);
select tests.a_contract('{"provider": "hidden", "account": "{shop}", "queue": "hidden",
    "hidden": {"tenant_id": {}, "principal": {}, "shop": {}}}', 'test.hidden');
select tests.declare('{"provider": "hidden", "account": "*", "rate_limit": {"per_second": 1}}');
select tests.propose_of_shop(shop, shop || ' ' || number)
from unnest(array['north', 'south']) as shop, generate_series(1, 2) as number;
select is(tests.claim('hidden'), 'north 1, south 1', 'an account out of the session has limits of its own');
select is(
    (select count(*) from synapsor.synapsor_provider_health where provider = 'hidden'), 0::bigint,
    'whose name is not shown to a worker'
);
reset session authorization;
set session authorization test_auditor;
select tests.session('acme', 'otto');
select set_eq(
    $$ select account from synapsor.synapsor_provider_health where provider = 'hidden' $$,
    array['north', 'south'], 'but to an auditor'
);
reset session authorization;
set session authorization test_worker;


-- Concurrency

select tests.declare('{"provider": "busy", "concurrency": {"max": 3}}');
select tests.queue_up('busy', 9, '{"provider": "busy", "idempotency": {"idempotent": false}}');
select is(tests.claim('busy', begins => false), 'busy 1, busy 2, busy 3', 'as many as the maximum');
select is(tests.claim('busy'), 'nothing', 'and no more');
select synapsor.release_claim(tests.id('busy 1'), tests.token('busy 1'), '1 hour');
select is(tests.claim('busy'), 'busy 4', 'a claim given back makes room');
select synapsor.confirm_external_action(tests.id('busy 2'), 'succeeded', claim_token => tests.token('busy 2'));
select is(tests.claim('busy'), 'busy 5', 'so does success');
select tests.worker();
select synapsor.confirm_external_action(tests.id('busy 4'), 'unknown', claim_token => tests.token('busy 4'));
select is(tests.claim('busy'), 'busy 6', 'an unknown action holds no room');
select is(
    (select in_flight from synapsor.synapsor_provider_health where provider = 'busy'), 3::bigint,
    'three are in flight'
);
select tests.advance('60 s');
select is(tests.claimed('busy'), 3::bigint, 'a lease that ended makes room');
select tests.declare('{"provider": "busy", "concurrency": {"max": 1}}');
select tests.worker();
select is(tests.claim('busy'), 'nothing', 'a smaller maximum ends nothing that is in flight');

select tests.queue_up('later', 3, '{"provider": "later"}');
select is(tests.claim('later', 2), 'later 1, later 2', 'two of a provider without limits');
select tests.declare('{"provider": "later", "concurrency": {"max": 2}}');
select is(tests.claim('later'), 'nothing', 'count when it gets them');
select tests.worker();
select synapsor.confirm_external_action(tests.id('later 1'), 'succeeded', claim_token => tests.token('later 1'));
select is(tests.claim('later'), 'later 3', 'and make room when they end');

select tests.declare('{"provider": "shared", "concurrency": {"max": 5, "per_tenant": 2}}');
select tests.queue_up('shared', 5, '{"provider": "shared"}', tenant => 'acme');
select tests.queue_up('shared', 5, '{"provider": "shared"}', tenant => 'globex', first => 6);
select tests.queue_up('shared', 5, '{"provider": "shared"}', tenant => 'initech', first => 11);
select tests.as_admin($$ select synapsor.bind_role('test_worker', '{"tenants": "*", "principal": "w1"}') $$);
select synapsor.close_session();
create temporary table served as select * from synapsor.claim_external_actions('shared', 15);
select is((select count(*) from served), 5::bigint, 'all together at most the maximum');
select is((select max(many) from (
    select count(*) as many from served group by tenant_id
) as tenants), 2::bigint, 'each tenant at most its share');
select is((select count(distinct tenant_id) from served), 3::bigint, 'and everybody something');
select is_empty(
    $$ select from synapsor.claim_external_actions('shared', 15) $$, 'then it is full'
);
select tests.session('acme', 'w1', actor_type => 'service_account');
select is_empty(
    $$ select from synapsor.claim_external_actions('shared', 15) $$,
    'also for a worker that sees a single tenant'
);
select synapsor.close_session();
drop table served;

select tests.declare('{"provider": "metered", "rate_limit": {"per_second": 10, "burst": 10, "per_tenant": 2}}');
select tests.queue_up('metered', 20, '{"provider": "metered"}', tenant => 'acme');
select tests.queue_up('metered', 20, '{"provider": "metered"}', tenant => 'globex', first => 21);
select synapsor.close_session();
create temporary table served as select * from synapsor.claim_external_actions('metered', 40);
select is(
    (select string_agg(tenant_id || ' ' || many, ', ' order by tenant_id) from (
        select tenant_id, count(*) as many from served group by tenant_id
    ) as tenants), 'acme 2, globex 2', 'a tenant''s share of the rate'
);
select tests.advance('500 ms');
select is(
    (select count(*) from synapsor.claim_external_actions('metered', 40)), 2::bigint,
    'and of what comes in half a second'
);
drop table served;


-- Retry-After

select tests.declare('{"provider": "paused", "account": "a"}');
select tests.queue_up('paused', 3, '{"provider": "paused", "account": "a", "queue": "paused"}');
select tests.queue_up('other', 2, '{"provider": "paused", "account": "b", "queue": "paused"}');
select is(tests.claim('paused', 1), 'paused 1', 'one of an account');
select tests.worker();
select synapsor.confirm_external_action(
    tests.id('paused 1'), 'failed', retry_after => '30 s', claim_token => tests.token('paused 1')
);
select is(tests.claim('paused'), 'other 1, other 2', 'its Retry-After pauses the account, and no other');
select is(
    (select retry_after_until from synapsor.synapsor_provider_health where provider = 'paused' and account = 'a'),
    '2026-01-01 12:00:30+00'::timestamptz + (synapsor._now() - '2026-01-01 12:00+00'), 'as its health tells'
);
select tests.advance('29999 ms');
select is(tests.claim('paused'), 'nothing', 'for as long');
select tests.advance('1 ms');
select is(tests.claim('paused'), 'paused 2, paused 3, paused 1', 'and no longer');
select tests.worker();
select is(
    (select count(*) from synapsor.confirm_external_actions(jsonb_build_array(
        jsonb_build_object('action_id', tests.id('paused 2'), 'claim_token', tests.token('paused 2'),
            'status', 'failed', 'retry_after', '1 h'),
        jsonb_build_object('action_id', tests.id('paused 3'), 'claim_token', tests.token('paused 3'),
            'status', 'failed', 'retry_after', '1 s')
    )) where accepted), 2::bigint, 'two such answers in a batch'
);
select tests.advance('59 min');
select is(
    (select count(*) from synapsor.claim_external_actions('paused') where account = 'a'), 0::bigint,
    'the longer one counts'
);
select tests.advance('1 min 1 s');
select is(
    (select count(*) from synapsor.claim_external_actions('paused', 9) where account = 'a'), 3::bigint,
    'to its end'
);


-- The breaker: the cases of resilience4j


select tests.a_breaker('case1');
select is(tests.calls('case1', 'fffs'), 'fffs', '1: three failures and a success');
select is(tests.health('case1'), 'CLOSED 4', '1: below the minimum there is no rate');
select is(tests.calls('case1', 's'), 's', '1: the fifth call succeeds');
select is(tests.health('case1'), 'OPEN 5 60', '1: 60 % opens it, though the last one was a success');
select is(tests.claimed('case1'), 0::bigint, '1: the next is not permitted');

select tests.a_breaker('case2');
select is(tests.calls('case2', 'sssff'), 'sssff', '2: two failures of five');
select is(tests.health('case2'), 'CLOSED 5 40', '2: 40 % leave it closed');
select is(tests.calls('case2', 'f'), 'f', '2: the sixth fails');
select is(tests.health('case2'), 'OPEN 6 50', '2: the threshold itself opens it');
select is(
    (select opens_until from synapsor.synapsor_provider_health where provider = 'case2'),
    synapsor._now() + interval '5 s', '2: for as long as declared'
);

select tests.a_breaker('case3');
select is(tests.calls('case3', 'fffff'), 'fffff', '3: open');
select tests.advance('3 s');
select is(tests.claimed('case3'), 0::bigint, '3: not permitted after 3 s');
select is(tests.health('case3'), 'OPEN 5 100', '3: still open');
select tests.advance('3 s');
select is(tests.health('case3'), 'OPEN 5 100', '3: it is the next permit');
select is(tests.claimed('case3'), 1::bigint, '3: that is given after 6 s');
select is(tests.health('case3'), 'HALF_OPEN 0', '3: which half-opens it, with nothing counted');
select is(tests.claimed('case3'), 0::bigint, '4: one probe at a time');

select tests.a_breaker('case4');
select is(tests.calls('case4', 'fffff'), 'fffff', '4: open');
select tests.advance('5 s');
select is(tests.calls('case4', 'sss'), 'sss', '4: three probes');
select is(tests.health('case4'), 'HALF_OPEN 3', '4: are not enough to decide');
select is(tests.claimed('case4'), 1::bigint, '4: the fourth is the last permit');
select is(tests.claimed('case4'), 0::bigint, '4: exactly four are given');

select tests.a_breaker('case5');
select is(tests.calls('case5', 'fffff'), 'fffff', '5: open');
select tests.advance('5 s');
select is(tests.calls('case5', 'ffsf'), 'ffsf', '5: three of four probes fail');
select is(tests.health('case5'), 'OPEN 4 75', '5: 75 % opens it again');
select is(tests.claimed('case5'), 0::bigint, '5: and nothing is permitted');

select tests.a_breaker('case6');
select is(tests.calls('case6', 'fffff'), 'fffff', '6: open');
select tests.advance('5 s');
select is(tests.calls('case6', 'fsss'), 'fsss', '6: one of four probes fails');
select is(tests.health('case6'), 'CLOSED 0', '6: 25 % closes it, with nothing counted');
select is(tests.claimed('case6', 5), 5::bigint, '6: and everything flows');

select tests.a_breaker('case7', '{"slow_call_rate_threshold": 75}');
select is(tests.calls('case7', 'sSsss'), 'sSsss', '7: one slow call of five');
select is(tests.health('case7'), 'CLOSED 5 0', '7: leaves it closed');
select is(tests.calls('case7', 'SSSSSSSSSS'), 'SSSSSSSSSS', '7: ten more');
select is(tests.health('case7'), 'CLOSED 15 0', '7: eleven of fifteen do too');
select is(tests.calls('case7', 'SSSS'), 'S', '7: twelve of sixteen open it');
select is(tests.health('case7'), 'OPEN 16 0', '7: though not one failed');
select tests.advance('5 s');
select is(tests.calls('case7', 'SSSs'), 'SSSs', '7: three slow of four probes');
select is(tests.health('case7'), 'OPEN 4 0', '7: open it again');

select tests.a_breaker('case8');
select is(tests.calls('case8', 'bbbbbbbbff'), 'bbbbbbbbff', '8: what the provider refuses for good');
select is(tests.health('case8'), 'CLOSED 2', '8: does not count');
select is(tests.calls('case8', 'fff'), 'fff', '8: open');
select tests.advance('5 s');
select is(tests.calls('case8', 'bbbbbb'), 'bbbbbb', '8: as a probe it gives its permit back');
select is(tests.health('case8'), 'HALF_OPEN 0', '8: and decides nothing');

select tests.a_breaker('case9', '{"mode": "forced_open"}');
select is(tests.claimed('case9'), 0::bigint, '9: forced open');
select tests.advance('10 days');
select is(tests.claimed('case9'), 0::bigint, '9: it never leaves by time');
select is(tests.health('case9'), 'FORCED_OPEN 0', '9: as its health tells');

select tests.a_breaker('case10');
select tests.advance('10 days');
select is(tests.calls('case10', 's'), 's', '10: a closed one');
select is(tests.health('case10'), 'CLOSED 1', '10: never half-opens by time');

select tests.a_breaker('monitor', '{"mode": "monitor"}');
select is(tests.calls('monitor', 'ffffffffff'), 'ffffffffff', 'METRICS_ONLY counts');
select is(tests.health('monitor'), 'METRICS_ONLY 10 100', 'and stops nothing');
select tests.declare('{"provider": "monitor", "breaker": {"minimum_calls": 5}}');
select is(tests.health('monitor'), 'CLOSED 0', 'another mode begins with nothing counted');
select tests.declare('{"provider": "monitor", "breaker": {"mode": "disabled"}}');
select is(tests.calls('monitor', 'ffffff'), 'ffffff', 'DISABLED stops nothing');
select is(tests.health('monitor'), 'DISABLED 0', 'and counts nothing');

select tests.a_breaker('window', '{"window": 4, "minimum_calls": 4, "failure_rate_threshold": 100}');
select is(tests.calls('window', 'fffsffff'), 'fffsffff', 'the window slides');
select is(tests.health('window'), 'OPEN 4 100', 'over the last calls');


-- What else counts

select tests.a_breaker('counts', '{"minimum_calls": 3, "half_open_calls": 2}');
select is(tests.calls('counts', 'u'), 'u', 'unknown counts as failed');
select is(tests.health('counts'), 'CLOSED 1', 'one');
select is(tests.claimed('counts', 1), 1::bigint, 'a delivery that begins');
select tests.advance('1 hour');
select tests.worker();
select synapsor.expire_claims();
select is(tests.health('counts'), 'CLOSED 2', 'and is lost counts');
select is(tests.claimed('counts', 1, begins => false), 1::bigint, 'one that does not begin');
select tests.advance('1 hour');
select tests.worker();
select synapsor.expire_claims();
select is(tests.health('counts'), 'CLOSED 2', 'does not');
create temporary table early as select * from synapsor.claim_external_actions('counts', 4);
select is((select count(*) from early), 4::bigint, 'four more begin');
select is(
    (select count(*) from synapsor.confirm_external_actions((
        select jsonb_agg(jsonb_build_object(
            'action_id', action_id, 'claim_token', claim_token, 'status', 'failed', 'retryable', true
        )) from (select * from early limit 2) as first
    )) where accepted), 2::bigint, 'two of which fail, in one batch'
);
select is(tests.health('counts'), 'OPEN 3 100', 'open at the first of them');
select tests.advance('5 s');
select is(tests.claimed('counts'), 1::bigint, 'the probe');
select tests.worker();
select is(
    (select count(*) from synapsor.confirm_external_actions((
        select jsonb_agg(jsonb_build_object(
            'action_id', action_id, 'claim_token', claim_token, 'status', 'succeeded'
        )) from early
    )) where changed), 2::bigint, 'what began before succeeds late'
);
select is(tests.health('counts'), 'HALF_OPEN 0', 'which tells nothing about now');
select is(tests.claimed('counts'), 0::bigint, 'and gives no second probe');
select is(tests.health('counts'), 'HALF_OPEN 0', 'nor has the claim counted it');
select tests.advance('1 hour');
select is(tests.claimed('counts'), 1::bigint, 'a probe that is lost makes room for the next');
select is(tests.health('counts'), 'HALF_OPEN 1', 'and counts');


-- One provider's trouble is not another's

select tests.a_breaker('down', '{"minimum_calls": 1}');
select is(tests.calls('down', 'f'), 'f', 'a provider fails');
select tests.queue_up('up', 2, '{"provider": "up", "queue": "down"}');
select is(tests.claim('down'), 'up 1, up 2', 'the other one behind it in the queue flows');


-- Operators

select tests.as_admin($$ select synapsor.suspend('provider', 'stopped', 'incident 7') $$);
select tests.queue_up('stopped', 2, '{"provider": "stopped"}');
select is(tests.claim('stopped'), 'nothing', 'a suspended provider''s actions are not claimed');
select is(
    (select paused from synapsor.synapsor_provider_health where provider = 'stopped'), true,
    'its health says so'
);
select tests.as_admin($$ select synapsor.resume('provider', 'stopped') $$);
select is(tests.claim('stopped'), 'stopped 1, stopped 2', 'until it is resumed');

select tests.raises(
    $$ select synapsor.declare_provider('{"provider": "x"}') $$, '42501',
    description => 'a worker declares no provider'
);
reset session authorization;


-- Why is this not running, and when will it

create function tests.says(name text)
returns text
language plpgsql
as $function$
declare
    told text := synapsor.explain_action(tests.id(name));
begin
    return (
        select string_agg(regexp_replace(btrim(line), '\s+', ' ', 'g'), '; ')
        from regexp_split_to_table(told, '\n') as line
        where btrim(line) ~ '^(waiting|suspended|next|note) '
    );
end
$function$;
create function tests.stuck(name text)
returns text
language sql
as $function$
    select cause || ' / ' || remedy from synapsor.synapsor_stuck_actions where action_id = tests.id(name);
$function$;

set session authorization test_worker;
select tests.worker();
select synapsor.worker_heartbeat('daemon', array['why', 'other queue']);
select tests.declare('{"provider": "why", "rate_limit": {"per_second": 0.1, "burst": 1}}');
select tests.queue_up('why', 2, '{"provider": "why"}');
select is(tests.claimed('why'), 1::bigint, 'one goes');
select is(
    tests.says('why 2'), 'waiting for the rate limit of why, free again in 10 s; next a worker may claim it then',
    'rate limited, and until when'
);
select is(
    synapsor.explain_action(tests.id('why 2'), 'json')::jsonb -> 'waiting_for' ->> 'held_until',
    to_jsonb(synapsor._now() + interval '10 s') #>> '{}', 'to the microsecond in json'
);
select is(tests.stuck('why 2'), null, 'which is nothing to worry about');
select tests.advance('2 min');
select synapsor.worker_heartbeat('daemon', array['why']);
select tests.declare('{"provider": "why", "concurrency": {"max": 1}}');
select is(tests.claimed('why'), 1::bigint, 'one goes');
select tests.worker();
select synapsor.confirm_external_action(
    action_id, 'failed', retryable => false, claim_token => claim_token
)
from synapsor.synapsor_external_actions where status = 'claimed' and queue = 'why';
select tests.queue_up('why', 2, '{"provider": "why"}', first => 3);
select tests.advance('2 min');
select tests.worker();
select synapsor.worker_heartbeat('daemon', array['why']);
select is(tests.claimed('why', 1), 1::bigint, 'one is under way');
select is(
    tests.says('why 4'),
    'waiting for why: as many deliveries are under way as it may have at once; '
    'next a worker may claim it once one of them has ended', 'full'
);
select is(
    tests.stuck('why 4'),
    'provider why has as many deliveries under way as it may have / '
    'Workers end them; or declare a higher maximum: synapsor.declare_provider.', 'for a while already'
);
select tests.declare('{"provider": "why", "breaker": {"minimum_calls": 1, "half_open_calls": 1}}');
select tests.worker();
select synapsor.confirm_external_action(
    action_id, 'failed', retryable => true, retry_after => '1 s', claim_token => claim_token
)
from synapsor.synapsor_external_actions where status = 'claimed' and queue = 'why';
select is(
    tests.says('why 4'),
    'waiting for why, which asked not to be called, for another 1 s; next a worker may claim it then',
    'the provider asked to wait'
);
select tests.advance('1 s');
select is(
    tests.says('why 4'),
    'waiting for why, whose breaker is open; a probe may go in 59 s; next a worker may claim it then',
    'its breaker is open'
);
select matches(tests.stuck('why 4'), '^the breaker of provider why is open until 2026-.*provider_health', 'until then');
select tests.advance('59 s');
select tests.worker();
select is(tests.claimed('why', 1), 1::bigint, 'a probe goes');
select is(
    tests.says('why 4'),
    'waiting for why: its breaker is half open and a probe is under way; '
    'next a worker may claim it once one of them has ended', 'and another one waits for it'
);
select tests.declare('{"provider": "why", "breaker": {"mode": "forced_open"}}');
select is(
    tests.says('why 4'),
    'waiting for why, whose breaker is forced open; next an administrator declares the provider anew: declare_provider',
    'forced open'
);
select tests.as_admin($$ select synapsor.suspend('provider', 'why', 'incident 7') $$);
select is(
    tests.says('why 4'),
    'suspended provider why by w1: "incident 7"; next an administrator or approver calls resume',
    'suspended, by whom and why, before all else'
);
select is(
    tests.stuck('why 4'), 'provider why is suspended: incident 7 / select synapsor.resume(''provider'', ''why'').',
    'and how to lift it'
);
reset session authorization;

select * from finish();

rollback;
