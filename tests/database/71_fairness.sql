-- Who gets how much of a queue: tenants take turns by weight, priority is a head start among a
-- tenant's own, and neither a long backlog nor a blocked provider makes others wait (design.md
-- section 5, rule 5).

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

create function tests.backlog(
    tenant text, many integer, contract text default 'fair', overrides jsonb default '{}'
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform tests.a_contract(jsonb_build_object('queue', 'fair') || overrides, 'test.' || contract);
    perform tests.session(tenant, 'alice');
    perform synapsor.propose_external_actions('test.' || contract, array(
        select jsonb_build_object('charge_id', number::text, 'amount_cents', 100)
        from generate_series(1, many) as number
    ));
    perform synapsor.close_session();
end
$function$;

-- The tenants that so many claims served, in the order of being served.
create function tests.turns(claims integer, max_actions integer default 1)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    served text := '';
begin
    for time in 1..claims loop
        served := served || coalesce((
            select string_agg(left(claimed.tenant_id, 1), '' order by claimed.tenant_id)
            from synapsor.claim_external_actions('fair', max_actions) as claimed
        ), '-');
    end loop;
    return served;
end
$function$;

create function tests.counted(served text)
returns text
language sql
immutable
as $function$
    select string_agg(letter || ' ' || many, ', ' order by letter)
    from (
        select letter, count(*) as many from string_to_table(served, null) as letter group by letter
    ) as letters;
$function$;

-- Pages that a statement touches, in memory or not.
create function tests.pages(statement text)
returns bigint
language plpgsql
as $function$
declare
    plan jsonb;
begin
    execute 'explain (analyze, buffers, timing off, format json) ' || statement into plan;
    return (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::bigint
        + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::bigint;
end
$function$;

-- Undone afterwards, and warm: the first call of a backend reads catalogues.
create function tests.pages_of_a_claim(queue text, max_actions integer default 1)
returns bigint
language plpgsql
as $function$
declare
    pages bigint;
    code text;
begin
    for time in 1..2 loop
        begin
            pages := tests.pages(format('select * from synapsor.claim_external_actions(%L, %s)', queue, max_actions));
            raise exception using errcode = 'UNDO0';
        exception when sqlstate 'UNDO0' then
            null;
        end;
    end loop;
    return pages;
end
$function$;

select tests.at('2026-01-01 12:00+00');
select synapsor.bind_role('test_worker', '{"tenants": "*", "principal": "w1", "actor_type": "service_account"}');


-- Turns

select tests.backlog('acme', 200);
select tests.backlog('globex', 1);
set session authorization test_worker;
select ok(tests.turns(2) in ('ag', 'ga'), 'of two claims one serves the tenant of one action');
select is(tests.turns(2), 'aa', 'the rest is the other''s');
reset session authorization;
select tests.backlog('initech', 1);
set session authorization test_worker;
select is(tests.counted(tests.turns(1, 10)), 'a 9, i 1', 'a batch serves everybody');
select is(tests.counted(tests.turns(1, 1)), 'a 1', 'and leaves nothing to nobody');
reset session authorization;
select tests.backlog('globex', 100);
select tests.backlog('initech', 100);
set session authorization test_worker;
select is(tests.counted(tests.turns(60)), 'a 20, g 20, i 20', 'three tenants, one after the other');
select is(tests.counted(tests.turns(2, 30)), 'a 20, g 20, i 20', 'in batches as well');
select ok(
    tests.turns(3) ~ '^(agi|gia|iag)$', 'in their order, whoever is first'
);

-- A backend that knows of no turn begins anywhere
create temporary table first_turns (served text);
grant all on first_turns to public;
reset session authorization;
do $do$
begin
    for time in 1..60 loop
        perform set_config('synapsor.turn_' || md5('fair'), '', false);
        set local session authorization test_worker;
        begin
            insert into first_turns select tests.turns(1);
            raise exception using errcode = 'UNDO0', message = (select string_agg(served, '') from first_turns);
        exception when sqlstate 'UNDO0' then
            reset session authorization;
            insert into first_turns values (right(sqlerrm, 1));
        end;
    end loop;
end
$do$;
select is(
    (select string_agg(distinct served, '' order by served) from first_turns), 'agi',
    'workers that keep no connection serve everybody too'
);
-- Whatever somebody writes into the setting is a hint at most.
select set_config('synapsor.turn_' || md5('fair'), forged, false)
from (values ('999999:nobody'), (':'), ('over:'), ('x'), ('-1:acme'), (E'\\')) as setting (forged);
set session authorization test_worker;
select is(length(tests.turns(1)), 1, 'nonsense in the setting harms nothing');

-- Weights
reset session authorization;
select is(
    (select row(weighed.tenant_id, weighed.weight)::text from synapsor.weigh_tenant('acme', 3) as weighed),
    '(acme,3)', 'a tenant of weight 3'
);
select tests.raises(
    format('select synapsor.weigh_tenant(%s)', refused), 'SY003', description => 'refused: ' || refused
)
from unnest(array['null, 1', ''''', 1', '''acme'', 0', '''acme'', 101', '''acme'', null']) as refused;
set session authorization test_worker;
select tests.turns(1);
select is(tests.counted(tests.turns(50)), 'a 30, g 10, i 10', 'has three times the turns');
-- Give or take what is left of the turn before.
select matches(
    tests.counted(tests.turns(1, 50)), '^a (29|30|31), g (9|10|11), i (9|10|11)$',
    'and the share of a batch'
);
reset session authorization;
select synapsor.weigh_tenant('acme', 1);


-- Priority is a head start among a tenant's own

delete from synapsor.open_external_actions;
select tests.queued('plain', 'plain', '{"queue": "rank"}');
select tests.queued('urgent', 'urgent', '{"queue": "rank", "priority": 10, "provider": "other"}');
select tests.queued('theirs', 'plain', '{"queue": "rank"}', tenant => 'globex');
set session authorization test_worker;
select synapsor.close_session();
create temporary table ranked as
select
    claimed.action_id,
    claimed.tenant_id,
    place
from generate_series(1, 3) as place
cross join lateral synapsor.claim_external_actions('rank', sign(place)::integer) as claimed;
reset session authorization;
select is(
    (
        select string_agg(actions.name, ', ' order by ranked.place)
        from ranked
        inner join actions on ranked.action_id = actions.action_id
        where ranked.tenant_id = 'acme'
    ),
    'urgent, plain', 'the urgent one of another provider goes first'
);
select is(
    (
        select count(*) from ranked
        where tenant_id = 'globex' and place <= 2
    ), 1::bigint,
    'but takes no other tenant''s turn'
);


-- An ordering key is first in, first out, whoever takes turns

select tests.backlog('acme', 30, 'lane', '{"queue": "fair", "ordering_key": "one"}');
select tests.backlog('globex', 5, 'free', '{"queue": "fair"}');
set session authorization test_worker;
create function pg_temp.lane() returns text language plpgsql as $function$
declare
    claimed synapsor.claim;
    served text := '';
begin
    for time in 1..12 loop
        for claimed in select * from synapsor.claim_external_actions('fair', 5) loop
            if claimed.tenant_id = 'acme' then
                served := concat_ws(',', nullif(served, ''), claimed.arguments ->> 'charge_id');
            end if;
            perform synapsor.confirm_external_action(
                claimed.action_id, 'succeeded', claim_token => claimed.claim_token
            );
        end loop;
    end loop;
    return served;
end
$function$;
select is(pg_temp.lane(), '1,2,3,4,5,6,7,8,9,10,11,12', 'one at a time, in the order of queueing');
reset session authorization;


-- Nobody looks through what others have queued

delete from synapsor.open_external_actions;
select synapsor.declare_provider('{"provider": "broken", "breaker": {"mode": "forced_open"}}');
select tests.backlog('acme', 10000, 'broken', '{"queue": "mixed", "provider": "broken"}');
select tests.backlog('acme', 1, 'sound', '{"queue": "mixed", "provider": "sound"}');
select tests.backlog('acme', 1, 'alone', '{"queue": "alone", "provider": "sound"}');
analyze synapsor.open_external_actions;
set session authorization test_worker;
select cmp_ok(
    tests.pages_of_a_claim('mixed'), '<=', tests.pages_of_a_claim('alone') + 60,
    'behind 10,000 of a provider whose breaker is open a claim touches a few pages more'
);
select is(
    (select count(*) from synapsor.claim_external_actions('mixed', 10)), 1::bigint,
    'and gets what is behind them'
);
select cmp_ok(
    tests.pages_of_a_claim('mixed'), '<=', 100::bigint, 'nor does it look through them for nothing'
);
reset session authorization;

select synapsor.suspend('provider', 'stopped', 'a test');
select tests.backlog('acme', 2000, 'stopped', '{"queue": "paused", "provider": "stopped"}');
select tests.backlog('acme', 1, 'sound', '{"queue": "paused", "provider": "sound"}');
set session authorization test_worker;
select cmp_ok(
    tests.pages_of_a_claim('paused'), '<=', tests.pages_of_a_claim('alone') + 20,
    'nor behind those of a suspended one'
);
reset session authorization;

select tests.backlog('globex', 2000, 'sound', '{"queue": "tenants", "provider": "sound"}');
select tests.backlog('zeta', 1, 'sound', '{"queue": "tenants", "provider": "sound"}');
set session authorization test_worker;
select tests.session('zeta', 'w1', actor_type => 'service_account');
select cmp_ok(
    tests.pages_of_a_claim('tenants'), '<=', 150::bigint,
    'a worker of one tenant does not look through another''s'
);
select is(
    (select count(*) from synapsor.claim_external_actions('tenants', 10)), 1::bigint, 'and gets its own'
);
select synapsor.close_session();
reset session authorization;

-- A thousand tenants
do $do$
begin
    for number in 1..1000 loop
        perform tests.session('tenant ' || number, 'alice');
        perform synapsor.propose_external_action(
            'test.alone', jsonb_build_object('charge_id', number::text, 'amount_cents', 1)
        );
    end loop;
    perform synapsor.close_session();
end
$do$;
analyze synapsor.open_external_actions;
set session authorization test_worker;
select count(*) from synapsor.claim_external_actions('alone', 1);
select cmp_ok(
    tests.pages_of_a_claim('alone'), '<=', 150::bigint, 'a claim looks at no more tenants than it serves'
);
select is(
    (select count(distinct tenant_id) from generate_series(1, 101) as time
    cross join lateral synapsor.claim_external_actions('alone', 10 * sign(time)::integer)), 1000::bigint,
    'and every one of a thousand is served'
);

select * from finish();

rollback;
