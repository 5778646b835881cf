-- A long drain goes on behind what it claimed, for a second at a time: what it left behind costs no
-- claim, and nothing is forgotten. In one transaction nothing that was claimed leaves the indexes, as
-- if a snapshot were held open.

begin;

select plan(28);

\ir support/delivery.sql

create function tests.backlog(many integer, overrides jsonb default '{}', tenant text default 'acme')
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    contract constant text := 'test.drain' || coalesce(overrides ->> 'priority', '');
begin
    perform tests.a_contract('{"queue": "drain"}' || overrides, contract);
    perform tests.session(tenant, 'alice');
    perform synapsor.propose_external_actions(contract, array(
        select jsonb_build_object('charge_id', gen_random_uuid()::text, 'amount_cents', 100)
        from generate_series(1, many)
    ));
    perform synapsor.close_session();
end
$function$;

create function tests.claim(claims integer, max_actions integer default 10)
returns text
language sql
set search_path = pg_catalog, pg_temp
as $function$
    select string_agg(claimed.served, ', ' order by claimed.served)
    from (
        select format('%s %s', right(claim.action, -5), count(*)) as served
        from generate_series(1, claims) as time
        cross join lateral synapsor.claim_external_actions('drain', max_actions * sign(time)::integer) as claim
        group by claim.action
    ) as claimed;
$function$;

create function tests.pages_of_a_claim()
returns bigint
language plpgsql
as $function$
declare
    plan jsonb;
begin
    execute 'explain (analyze, buffers, timing off, format json)
        select from synapsor.claim_external_actions(''drain'', 10)' into plan;
    return (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::bigint
        + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::bigint;
end
$function$;

select tests.at('2026-01-01 12:00+00');
select synapsor.bind_role('test_worker', '{"tenants": "*", "principal": "w1", "actor_type": "service_account"}');

select tests.backlog(3000);
set session authorization test_worker;
select is(tests.claim(10), 'drain 100', 'a few claims');
reset session authorization;
select tests.backlog(1, '{"priority": 10}');
set session authorization test_worker;
select is(tests.claim(1), 'drain 9, drain10 1', 'what is urgent goes first');
select is(tests.claim(190), 'drain 1900', 'a long drain');
create temporary table pages as select tests.pages_of_a_claim() as drained;
reset session authorization;
select tests.backlog(1, '{"priority": 10}');
set session authorization test_worker;
select is(tests.claim(1), 'drain 10', 'for a moment it goes on behind what it claimed');
reset session authorization;
select tests.advance('1001 ms');
set session authorization test_worker;
select is(tests.claim(1), 'drain 9, drain10 1', 'a second later what is urgent goes first again');
select is(tests.claim(8), 'drain 80', 'and on');
reset session authorization;
select tests.backlog(1, '{"priority": 10}');
select tests.advance('1001 ms');
select set_config('synapsor.drain_' || md5('drain'), '', false);
set session authorization test_worker;
select cmp_ok(
    (select drained + 50 from pages), '<', tests.pages_of_a_claim(),
    'a claim from the start walks past all that was claimed'
);

reset session authorization;
select tests.backlog(1, '{"priority": 20}');
select tests.advance('10 s');
set session authorization test_worker;
select is(tests.claim(31), 'drain 309, drain20 1', 'long enough');
reset session authorization;
select tests.backlog(1, '{"priority": 30}');
set session authorization test_worker;
select is(tests.claim(1, 600), 'drain 564, drain30 1', 'what is too little is made up for from the start');
reset session authorization;
select tests.backlog(300, '{"priority": 20}');
select tests.advance('10 s');
set session authorization test_worker;
select is(tests.claim(30), 'drain20 300', 'all there is');
reset session authorization;
select tests.backlog(1, '{"priority": 30}');
set session authorization test_worker;
select is(tests.claim(1), 'drain30 1', 'and where nothing is left it is looked for at once');

-- What becomes due behind the drain, and another tenant's
reset session authorization;
select tests.backlog(600);
select tests.advance('10 s');
set session authorization test_worker;
select is(tests.claim(32), 'drain 320', 'the next one');
reset session authorization;
select tests.backlog(10, tenant => 'aaa');
select tests.backlog(10, tenant => 'zzz');
set session authorization test_worker;
select is(
    (
        select count(distinct claim.tenant_id)
        from generate_series(1, 3) as time
        cross join lateral synapsor.claim_external_actions('drain', 10 * sign(time)::integer) as claim
    ), 3::bigint, 'a tenant that comes is served in its turn'
);

-- Only what is looked at from the start begins the second anew.
reset session authorization;
select tests.advance('1 day');
select tests.backlog(3000);
set session authorization test_worker;
select isnt(tests.claim(120), null, 'a drain');
reset session authorization;
select tests.backlog(1, '{"priority": 30}');
select tests.advance('600 ms');
set session authorization test_worker;
select is(tests.claim(20), 'drain 200', 'goes on');
reset session authorization;
select tests.advance('600 ms');
set session authorization test_worker;
select is(tests.claim(1), 'drain 9, drain30 1', 'for no more than a second');

-- A claim that is lost during a drain is taken back in it.
select count(*) from synapsor.claim_external_actions('drain', 1, '2 seconds', "begin" => false);
select is(tests.claim(10), 'drain 100', 'a drain');
reset session authorization;
select tests.advance('1500 ms');
set session authorization test_worker;
select is(tests.claim(16), 'drain 160', 'goes on');
reset session authorization;
select tests.advance('600 ms');
set session authorization test_worker;
select is(tests.claim(1), 'drain 10', 'and on');
reset session authorization;
select is(
    (
        select count(*) from synapsor.open_external_actions as open
        where open.status = 'claimed' and open.lease_expires_at <= synapsor._now()
    ), 0::bigint, 'what was lost meanwhile is taken back'
);

-- With another tenant its rank counts at once.
set session authorization test_worker;
select is(tests.claim(32), 'drain 320', 'a drain again');
reset session authorization;
select tests.backlog(10, '{"priority": 30}');
select tests.backlog(10, tenant => 'zzz');
set session authorization test_worker;
select matches(tests.claim(1), 'drain30', 'where tenants take turns what is urgent goes first');

-- Whatever somebody writes into the setting is a hint at most.
reset session authorization;
select tests.backlog(100);
set session authorization test_worker;
select isnt(tests.claim(1), null, 'nonsense in the setting harms nothing: ' || forged)
from (
    values ('x'), ('(,,,,,)'), (E'\\'), ('(70,infinity,zzz,9,infinity,0)'), ('(-9,,a,1,,)'),
    ('(99,-infinity,,0,-infinity,0)')
) as setting (forged)
where set_config('synapsor.drain_' || md5('drain'), forged, false) is not null;
select * from finish();

rollback;
