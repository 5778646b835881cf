-- Claiming, beginning, extending, releasing, losing a claim: design.md section 5, rules 3, 5, 7 and
-- 8.

begin;

select plan(262);

\ir support/delivery.sql

create function tests.confirm(name text, status text, principal text default 'w1')
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform tests.worker(principal);
    return (synapsor.confirm_external_action(
        tests.id(name), confirm.status, claim_token => tests.token(name)
    )).status;
end
$function$;

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

create function tests.tamper(name text)
returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$
    update synapsor.action_invocations as invocation
    set intent = replace(invocation.intent, '100', '900')
    where invocation.action_id = tests.id(tamper.name);
$function$;

select tests.at('2026-01-01 12:00+00');


-- Who may claim, and what a claim may ask for

set session authorization test_caller;
select tests.raises(
    'select synapsor.claim_external_actions(''none'')', '42501',
    description => 'a caller claims nothing'
);
reset session authorization;
set session authorization test_worker;
select tests.worker();
select
    tests.raises(
        format('select synapsor.claim_external_actions(%s)', refused.arguments), 'SY003',
        'a claim names%',
        description => 'refused: ' || refused.arguments
    )
from (
    values
    ('null'), ('''q'', 0'), ('''q'', 1001'), ('''q'', -1'), ('''q'', null'),
    ('''q'', 1, ''999 ms'''),
    ('''q'', 1, ''24 hours 1 s'''), ('''q'', 1, ''-1 h'''), ('''q'', purpose => ''steal'''),
    ('''q'', purpose => null')
) as refused (arguments);
select is(tests.claim('none'), 'nothing', 'a queue that nobody uses is empty');


-- What a claim brings

select tests.queued('row', 'row', '{"redact": ["charge_id"]}');
select tests.worker();
select is(
    (select to_jsonb(claimed) - array['digest', 'intent', 'claim_token']
    from synapsor.claim_external_actions('row', worker_label => 'daemon 7') as claimed),
    jsonb_build_object(
        'action_id', tests.id('row'), 'tenant_id', 'acme', 'action', 'test.row', 'version', 1,
        'provider', 'stripe', 'account', 'default', 'operation', 'refunds.create', 'queue', 'row',
        'arguments',
        '{"charge_id": "row", "amount_cents": 100, "tenant_id": "acme",
          "principal": "alice"}'::jsonb,
        'idempotency_key', 'acme:refund:row:100', 'attempt', 1, 'lease_expires_at',
        '2026-01-01T12:01:00+00:00',
        'delivery_started_at', null, 'purpose', 'deliver', 'run_id', null, 'step_key', null,
        'correlation_id', tests.id('row'), 'traceparent', null
    ),
    'a claim brings all that the worker needs, unredacted'
);
select is(
    (select row(state.status, state.worker_principal, state.worker_label, state.lease_expires_at)
    from tests.state('row') as state)::text,
    '(claimed,w1,"daemon 7","2026-01-01 12:01:00+00")',
    'the lease is the contract''s, the worker known'
);
select is(tests.stands('row'), 'claimed Claimed 1/0/0', 'the claim is an event');
select is(tests.claim('row', principal => 'w2'), 'nothing', 'nobody else claims it');

select tests.queued('bytes', 'bytes');
select tests.worker();
select is(
    (select row(claimed.digest = encode(sha256(convert_to(claimed.intent, 'UTF8')), 'hex'),
    claimed.lease_expires_at)
    from synapsor.claim_external_actions('bytes', lease => '90 s') as claimed)::text,
    '(t,"2026-01-01 12:01:30+00")',
    'the digest is of the intent; the worker may ask for another lease'
);


-- What is due, in which order

select tests.queued('first', 'due');
select tests.queued('second', 'due');
select tests.queued('third', 'due');
select tests.queued('in 10 min', 'due', due => synapsor._now() + interval '10 min');
select is(tests.claim('due', 2), 'first, second', 'no more than asked for, in queue order');
select is(tests.claim('due'), 'third', 'and nothing before it is due');
select tests.advance('9 min 59 s');
select is(
    tests.claim('due'), 'first, second, third',
    'not a second early; what was lost meanwhile is claimed again'
);
select tests.advance('1 s');
select is(tests.claim('due'), 'in 10 min', 'but then');

select tests.queued('plain', 'rank');
select tests.queued(
    'urgent', 'urgent', '{"queue": "rank", "priority": 10}', synapsor._now() + interval '9 min'
);
select tests.queued('patient', 'patient', '{"queue": "rank", "priority": -10}');
select tests.queued('late', 'rank', due => synapsor._now() + interval '9 min');
select is(tests.claim('rank', 1), 'plain', 'priority claims nothing that is not due');
select tests.as_admin($$ select synapsor.release_claim(open.action_id, open.claim_token)
    from synapsor.open_external_actions as open where open.action_id = tests.id('plain') $$);
select tests.advance('9 min');
select is(
    tests.claim('rank'), 'urgent, plain, late, patient',
    'ten minutes of priority go before nine minutes of waiting, and a negative one behind'
);
select tests.queued('old', 'old', '{"queue": "starve", "priority": -5}');
select tests.advance('20 min');
select tests.queued('new', 'new', '{"queue": "starve", "priority": 10}');
select is(tests.claim('starve', 1), 'old', 'nothing starves');
select is(tests.claim('starve', 1), 'new', 'the other comes after it');
select tests.queued('behind', 'behind', '{"queue": "negative", "priority": -1440}');
select is(
    tests.claim('negative'), 'behind', 'a negative priority delays nothing when nobody else waits'
);

-- Whoever asks for work takes back what was lost, in any queue of its tenants
select tests.queued('lost', 'lost');
select tests.claim('lost', lease => '30 s');
select tests.advance('29 s');
select is(tests.claim('elsewhere'), 'nothing', 'a claim that finds nothing');
select is(tests.stands('lost'), 'claimed Claimed 1/0/0', 'leaves a lease that lasts');
select tests.advance('1 s');
select tests.session('umbrella', 'w1', actor_type => 'service_account');
select is_empty(
    $$ select from synapsor.claim_external_actions('elsewhere') $$, 'another tenant''s claim'
);
select is(tests.stands('lost'), 'claimed Claimed 1/0/0', 'leaves this tenant''s leases');
select is(tests.claim('elsewhere'), 'nothing', 'but one of this tenant');
select is(
    tests.stands('lost'), 'queued LeaseExpired 1/0/1',
    'takes back one that is over, whatever the queue'
);
select is(tests.claim('lost'), 'lost', 'and it is claimed again');


reset session authorization;
create function tests.is_ranked(name text)
returns text
language sql
as $function$
    select is(
        (tests.state(name)).rank, (tests.state(name)).available_at - interval '7 min',
        'ranked when ' || name
    );
$function$;
select tests.queued('approved', 'ranked', '{"priority": 7, "approval": {"required": true}}');
select tests.session('acme', 'bob');
select is((synapsor.approve_external_action(tests.id('approved'))).status, 'queued', 'approved');
set session authorization test_worker;
select tests.is_ranked('approved');
select is(tests.claim('ranked'), 'approved', 'claimed');
select is(tests.confirm('approved', 'failed'), 'queued', 'failed');
select tests.is_ranked('approved');
select tests.advance('1 s');
select is(tests.claim('ranked'), 'approved', 'claimed again');
select tests.sweep();
select tests.is_ranked('approved');


-- The token grows, also against the clock

select tests.queued('token', 'token', '{"poison_after": 1000}');
select is(tests.claim('token', begins => false), 'token', 'a first claim');
select is(
    tests.token('token'), (extract(epoch from synapsor._now()) * 1000000)::bigint,
    'its token is the clock''s microseconds'
);
create temporary table seen as select tests.token('token') as token;
select tests.worker();
select is(
    (synapsor.release_claim(tests.id('token'), seen.token)).status, 'queued', 'given back'
)
from seen;
select is(tests.claim('token', begins => false), 'token', 'claimed again at the same instant');
select is(tests.token('token'), seen.token + 1, 'with the next token') from seen;
select is(
    (synapsor.release_claim(tests.id('token'), seen.token + 1)).status, 'queued', 'given back'
)
from seen;
select tests.advance('-2 hours');
update pg_temp.seen set token = tests.token('token');
select tests.as_admin($$ update synapsor.open_external_actions set available_at = '2020-01-01',
rank = '2020-01-01'
    where action_id = tests.id('token') $$);
select is(
    tests.claim('token', begins => false), 'token', 'claimed while the clock is two hours behind'
);
select is(tests.token('token'), seen.token + 1, 'the token grows nevertheless') from seen;
select tests.advance('2 hours 1 s');
select tests.sweep('60 s');
select is(tests.stands('token'), 'queued LeaseExpired 0/3/0', 'the clock is right again');
select is(tests.claim('token'), 'token', 'claimed once more');
select is(
    tests.token('token'), (extract(epoch from synapsor._now()) * 1000000)::bigint,
    'the clock leads again'
);


-- Claims commit synchronously

set local synchronous_commit = off;
select tests.queued('durable', 'durable');
select is(tests.claim('durable'), 'durable', 'a claim in a session without synchronous commit');
select is(
    current_setting('synchronous_commit'), 'on', 'makes this transaction commit synchronously'
);


-- begin_delivery

select tests.queued('begin', 'begin');
select tests.worker();
select tests.raises(
    format('select synapsor.begin_delivery(%L, 1)', tests.id('begin')), 'SY030',
    description => 'not claimed'
);
select is(tests.claim('begin', begins => false), 'begin', 'claimed without begin');
select is((tests.state('begin')).delivery_started_at, null, 'delivery has not begun');
select tests.raises(
    format('select synapsor.begin_delivery(%L, %s)', tests.id('begin'), tests.token('begin') - 1),
    'SY034',
    description => 'nobody begins with a stale token'
);
select tests.worker('w2');
select tests.raises(
    format('select synapsor.begin_delivery(%L, %s)', tests.id('begin'), tests.token('begin')),
    'SY032',
    description => 'nor another worker, even with the token'
);
select tests.worker('w1', 'umbrella');
select tests.raises(
    format('select synapsor.begin_delivery(%L, %s)', tests.id('begin'), tests.token('begin')),
    'SY011',
    description => 'nor another tenant''s'
);
select tests.worker();
select tests.raises(
    format('select synapsor.begin_delivery(%L, %s, %L)', tests.id('begin'), tests.token('begin'),
    refused.digest),
    'SY003', 'a request digest is%', description => 'no digest: ' || refused.digest
)
from (values (''), ('abc'), (repeat('A', 64)), (repeat('a', 63) || E'\n')) as refused (digest);
select tests.advance('5 s');
select is(
    (select row(begun.changed, begun.delivery_started_at = synapsor._now())
    from synapsor.begin_delivery(tests.id('begin'), tests.token('begin'), repeat('a',
    64)) as begun)::text,
    '(t,t)', 'its worker begins'
);
select is(tests.stands('begin'), 'claimed DeliveryStarted 1/0/0', 'which is an event');
select is(
    (synapsor.begin_delivery(tests.id('begin'), tests.token('begin'), repeat('a', 64))).changed,
    false,
    'beginning again changes nothing'
);
select tests.raises(
    format('select synapsor.begin_delivery(%L, %s, %L)', tests.id('begin'), tests.token('begin'),
    repeat('b', 64)),
    'SY024', '%is not the one of the first attempt', '%aaaa, now bbbb%',
    description => 'but not with another request'
);
select is(tests.confirm('begin', 'failed'), 'queued', 'it fails and is queued again');
select tests.advance('1 s');
select is(tests.claim('begin', begins => false), 'begin', 'the retry is claimed');
select tests.raises(
    format('select synapsor.begin_delivery(%L, %s, %L)', tests.id('begin'), tests.token('begin'),
    repeat('b', 64)),
    'SY024', description => 'a retry that renders another request is refused'
);
select is((tests.state('begin')).delivery_started_at, null, 'and has not begun');
select is(
    (synapsor.begin_delivery(tests.id('begin'), tests.token('begin'), repeat('a', 64))).changed,
    true,
    'with the same request it begins'
);
select tests.sweep();
select tests.raises(
    format('select synapsor.begin_delivery(%L, %s)', tests.id('begin'), tests.token('begin')),
    'SY031',
    description => 'not after its lease has ended and was swept'
);
select is(tests.claim('begin'), 'begin', 'claimed with begin');
select tests.raises(
    format('select synapsor.begin_delivery(%L, %s, %L)', tests.id('begin'), tests.token('begin'),
    repeat('b', 64)),
    'SY024', description => 'the digest of an earlier attempt counts for it too'
);
select tests.queued('told late', 'late');
select is(tests.claim('late'), 'told late', 'another one, claimed with begin');
select is(
    (synapsor.begin_delivery(tests.id('told late'), tests.token('told late'), repeat('c',
    64))).changed, true,
    'its digest may follow'
);
select is((tests.state('told late')).request_digest, decode(repeat('c', 64), 'hex'), 'and is kept');

select tests.queued('one', 'several');
select tests.queued('two', 'several');
select is(tests.claim('several', begins => false), 'one, two', 'two are claimed');
select tests.raises(
    format('select * from synapsor.begin_deliveries(%L)', jsonb_build_array(
        jsonb_build_object('action_id', tests.id('one'), 'claim_token', tests.token('one')),
        jsonb_build_object('action_id', tests.id('two'), 'claim_token', 1)
    )), 'SY034', description => 'begin_deliveries refuses all for one'
);
select tests.raises(
    format('select * from synapsor.begin_deliveries(%L)', jsonb_build_array(
        jsonb_build_object('action_id', tests.id('one'), 'claim_token', tests.token('one')),
        jsonb_build_object('claim_token', tests.token('two'))
    )), 'SY011', description => 'nor is one without an id passed over'
);
select tests.raises(
    format('select * from synapsor.begin_deliveries(%L)', jsonb_build_array(jsonb_build_object(
        'action_id', tests.id('one'), 'claim_token', tests.token('one'), 'request_digest', 'xyz'
    ))), 'SY003', description => 'and a digest that is none is named as such'
);
select is((tests.state('one')).delivery_started_at, null, 'none has begun');
select is(
    (select count(*) from synapsor.begin_deliveries(jsonb_build_array(
        jsonb_build_object('action_id', tests.id('one'), 'claim_token', tests.token('one')),
        jsonb_build_object('action_id', tests.id('two'), 'claim_token', tests.token('two'))
    )) as begun where begun.changed), 2::bigint, 'or begins all'
);


-- extend_claim

select tests.queued('extend', 'extend');
select tests.worker();
select tests.raises(
    format('select synapsor.extend_claim(%L, 1)', tests.id('extend')), 'SY030',
    description => 'nothing to extend'
);
select is(tests.claim('extend'), 'extend', 'claimed for a minute');
select tests.advance('30 s');
select is(
    (synapsor.extend_claim(tests.id('extend'), tests.token('extend'))).lease_expires_at,
    synapsor._now() + interval '60 s', 'extended to the contract''s lease from now'
);
select is(
    (synapsor.extend_claim(tests.id('extend'), tests.token('extend'), '1 s')).lease_expires_at,
    synapsor._now() + interval '60 s', 'never shortened'
);
select is(
    (synapsor.extend_claim(tests.id('extend'), tests.token('extend'), '5 min')).lease_expires_at,
    synapsor._now() + interval '5 min', 'by what the worker asks for'
);
select tests.raises(
    format('select synapsor.extend_claim(%L, %s, %L)', tests.id('extend'), tests.token('extend'),
    refused.lease),
    'SY003', description => 'not by ' || refused.lease
)
from (values ('0 s'), ('999 ms'), ('25 hours'), ('-1 hour')) as refused (lease);
select is(tests.stands('extend'), 'claimed Claimed 1/0/0', 'a heartbeat is no event');
select tests.raises(
    format('select synapsor.extend_claim(%L, %s)', tests.id('extend'), tests.token('extend') + 1),
    'SY034',
    description => 'not with another token'
);
select tests.worker('w2');
select tests.raises(
    format('select synapsor.extend_claim(%L, %s)', tests.id('extend'), tests.token('extend')),
    'SY032',
    description => 'not another''s'
);
select tests.sweep('4 min 59 s');
select is(tests.stands('extend'), 'claimed Claimed 1/0/0', 'the extended lease holds');
select tests.advance('1 s');
select tests.raises(
    format('select synapsor.extend_claim(%L, %s)', tests.id('extend'), tests.token('extend')),
    'SY031',
    description => 'an expired one cannot be revived'
);


-- A claim given back or lost before delivery began

select tests.queued('back', 'back');
select is(tests.claim('back', begins => false), 'back', 'claimed');
select is(
    (select row(released.status, released.attempts)
    from synapsor.release_claim(tests.id('back'), tests.token('back'), '10 s') as released)::text,
    '(queued,0)', 'given back, and no attempt'
);
select is(tests.claim('back', begins => false), 'nothing', 'not claimable before the delay');
select tests.advance('10 s');
select is(tests.claim('back', begins => false), 'back', 'but then');
select tests.raises(
    format('select synapsor.release_claim(%L, %s)', tests.id('back'), tests.token('back') - 1),
    'SY034',
    description => 'a stale token gives nothing back'
);
select tests.sweep('59 s');
select is(tests.stands('back'), 'claimed Claimed 1/1/0', 'a lease that lasts is not swept');
select tests.sweep('1 s');
select is(
    tests.stands('back'), 'queued LeaseExpired 0/2/0', 'one that has ended is; no attempt either'
);
select tests.queued('once', 'once', '{"idempotency": {"idempotent": false}}');
select is(tests.claim('once', begins => false), 'once', 'an action that is not idempotent');
select tests.sweep();
select is(
    tests.stands('once'), 'queued LeaseExpired 0/1/0', 'is claimable again too: nothing was sent'
);


-- Poison

select tests.queued('poison', 'poison', '{"poison_after": 3}');
select is(tests.claim('poison', begins => false), 'poison', 'first claim');
select tests.sweep();
select is(tests.claim('poison', begins => false), 'poison', 'second claim');
select is(
    (synapsor.release_claim(tests.id('poison'), tests.token('poison'))).status, 'queued',
    'two are lost'
);
select is(tests.claim('poison'), 'poison', 'the third begins');
select is(tests.confirm('poison', 'failed'), 'queued', 'and fails');
select tests.advance('1 s');
select is(tests.claim('poison', begins => false), 'poison', 'so that counting starts afresh');
select tests.sweep();
select is(tests.claim('poison', begins => false), 'poison', 'a second in a row');
select tests.sweep();
select is(tests.stands('poison'), 'queued LeaseExpired 1/2/0', 'is not enough');
select is(tests.claim('poison', begins => false), 'poison', 'a third');
select tests.sweep();
select is(tests.stands('poison'), 'failed Failed poisoned', 'is: failed as poisoned');
select tests.queued('unsure', 'unsure', '{"poison_after": 2}');
select is(tests.claim('unsure'), 'unsure', 'a delivery begins');
select tests.sweep();
select is(tests.claim('unsure', begins => false), 'unsure', 'after its loss a claim is lost');
select tests.sweep();
select is(tests.claim('unsure', begins => false), 'unsure', 'and another');
select tests.sweep();
select is(
    tests.stands('unsure'), 'unknown LeaseExpired poisoned 1/2/1',
    'what may have been performed is not failed but unknown'
);


-- A delivery lost after it began

select tests.queued('again', 'again');
select is(tests.claim('again'), 'again', 'an idempotent delivery begins');
select tests.sweep();
select is(tests.stands('again'), 'queued LeaseExpired 1/0/1', 'its loss makes it claimable again');
select tests.worker('w2');
select is(
    (select row(
        claimed.attempt, claimed.idempotency_key, claimed.claim_token > state.claim_token,
        claimed.delivery_started_at = synapsor._now() - interval '61 s'
    )
    from tests.state('again') as state, synapsor.claim_external_actions('again') as claimed)::text,
    '(2,acme:refund:again:100,t,t)', 'with the same key, by another worker, who is told'
);
select is(
    (synapsor.release_claim(tests.id('again'), tests.token('again'))).status, 'queued',
    'given back after beginning, it is a delivery lost'
);
select is(tests.stands('again'), 'queued Released 2/0/2', 'and counted');

select tests.queued('never', 'never', '{"idempotency": {"idempotent": false}, "reconcile": null}');
select is(tests.claim('never'), 'never', 'one that is not idempotent begins');
select tests.sweep();
select is(tests.stands('never'), 'unknown LeaseExpired lease_lost 1/0/1', 'its loss is unknown');
select is(tests.claim('never'), 'nothing', 'and never repeated blindly');
select tests.advance('1 year');
select is(tests.claim('never'), 'nothing', 'however long one waits');
select tests.queued('given up', 'gaveup', '{"idempotency": {"idempotent": false}}');
select is(tests.claim('gaveup', begins => false), 'given up', 'another is claimed');
select is(
    (synapsor.begin_delivery(tests.id('given up'), tests.token('given up'))).status, 'claimed',
    'begins'
);
select is(
    (synapsor.release_claim(tests.id('given up'), tests.token('given up'))).status, 'unknown',
    'and is given back: unknown'
);
select tests.queued('told', 'told', '{"idempotency": {"idempotent": false}}');
select is(tests.claim('told'), 'told', 'another one begins');
select is(
    (select row(told.status, told.error_code, told.error_message)
    from synapsor.release_claim(
        tests.id('told'), tests.token('told'), null, 'ReadTimeout', repeat('x', 2001)
    ) as told)::text,
    format('(unknown,ReadTimeout,%s)', repeat('x', 2000)), 'and is given back with the reason, which is kept'
);
select tests.queued('told too', 'toldtoo', '{"retry": {"max_attempts": 9}}');
select is(tests.claim('toldtoo'), 'told too', 'an idempotent one begins');
select is(
    (select row(told.status, told.error_code, told.error_message)
    from synapsor.release_claim(
        tests.id('told too'), tests.token('told too'), error_code => repeat('c', 256), error_message => 'no answer'
    ) as told)::text,
    format('(queued,%s,"no answer")', repeat('c', 255)), 'given back with the reason, it is queued with it'
);
select is(
    (select jsonb_build_array(event.status, event.error_code, event.detail)
    from synapsor.synapsor_external_action_events as event
    where event.action_id = tests.id('told too') and event.event_type = 'Released'),
    jsonb_build_array('queued', repeat('c', 255), '{"error_message": "no answer"}'::jsonb), 'and so is the event'
);
select is(tests.claim('toldtoo'), 'told too', 'it is tried again');
select tests.sweep();
select is(
    (select told.error_message from synapsor.synapsor_external_actions as told
    where told.action_id = tests.id('told too')),
    'no answer', 'a lease that runs out tells nothing new'
);

select tests.queued(
    'window', 'window',
    '{"idempotency": {"idempotent": true, "window": "10 min"}, "lease": "4 min",
      "poison_after": 1000}'
);
select is(tests.claim('window'), 'window', 'the provider remembers the key for ten minutes');
select tests.sweep('5 min');
select is(
    tests.stands('window'), 'queued LeaseExpired 1/0/1', 'the new lease would end within them'
);
select tests.advance('1 min');
select is(tests.claim('window'), 'window', 'a lease that ends with them is given');
select tests.sweep('4 min');
select is(
    tests.stands('window'), 'unknown LeaseExpired lease_lost 2/0/2',
    'but not one that would end after them'
);
select tests.queued(
    'recheck', 'recheck',
    '{"idempotency": {"idempotent": true, "window": "10 min"}, "lease": "4 min"}'
);
select is(tests.claim('recheck'), 'recheck', 'another one');
select tests.sweep('5 min');
select is(tests.stands('recheck'), 'queued LeaseExpired 1/0/1', 'is claimable when it is lost');
select tests.advance('1 min 1 s');
select is(tests.claim('recheck'), 'nothing', 'but not a minute later');
select is(
    tests.stands('recheck'), 'unknown OutcomeUnknown key_window_closed 1/0/1',
    'when it is checked again'
);
select tests.queued(
    'asked', 'asked', '{"idempotency": {"idempotent": true, "window": "10 min"}, "lease": "1 min"}'
);
select is(tests.claim('asked'), 'asked', 'a third one');
select tests.sweep('1 min');
select is(tests.claim('asked', lease => '9 min 1 s'), 'nothing', 'a lease asked for counts');
select is(
    tests.stands('asked'), 'unknown OutcomeUnknown key_window_closed 1/0/1', 'against the window'
);
select tests.queued(
    'delayed', 'delayed',
    '{"idempotency": {"idempotent": true, "window": "10 min"}, "lease": "1 min"}'
);
select is(tests.claim('delayed'), 'delayed', 'a fourth one');
select is(
    (synapsor.release_claim(tests.id('delayed'), tests.token('delayed'), '9 min 1 s')).status,
    'unknown',
    'a delay counts too'
);
select tests.queued(
    'from first', 'fromfirst',
    '{"idempotency": {"idempotent": true, "window": "10 min"}, "lease": "1 min",
      "retry": {"max_attempts": 9}}'
);
select is(tests.claim('fromfirst'), 'from first', 'a fifth one');
select tests.advance('30 s');
select is(tests.confirm('from first', 'failed'), 'queued', 'is known to have failed');
select tests.advance('8 min');
select is(tests.claim('fromfirst'), 'from first', 'eight minutes later it is sent again');
select tests.sweep();
select is(
    tests.stands('from first'), 'unknown LeaseExpired lease_lost 2/0/1',
    'the window runs from the first delivery, not from the last'
);
select tests.queued(
    'endless', 'endless', '{"idempotency": {"idempotent": true}, "poison_after": 2}'
);
select is(tests.claim('endless'), 'endless', 'without a window');
select tests.sweep('100 days');
select is(tests.claim('endless'), 'endless', 'the provider remembers for ever');
select tests.sweep();
select is(
    tests.stands('endless'), 'unknown LeaseExpired lease_lost 2/0/2',
    'but as many losses as poison_after are no accident'
);


-- What drifted from what was recorded or approved

select tests.queued('changed', 'drift', '{"approval": {"required": true}}');
select tests.as_admin($$ select tests.session('acme', 'bob') $$);
reset session authorization;
select is((synapsor.approve_external_action(tests.id('changed'))).status, 'queued', 'approved');
select tests.tamper('changed');
set session authorization test_worker;
select is(tests.claim('drift'), 'nothing', 'an intent changed after approval is not delivered');
select is(
    tests.stands('changed'), 'proposed ApprovalVoided SY024 0/0/0', 'it needs its approval anew'
);
reset session authorization;
select is(
    (select count(*) from synapsor.approvals as approval
    where approval.action_id = tests.id('changed') and approval.voided_at is null), 0::bigint,
    'the old one is void'
);
select is(
    (select array(select jsonb_object_keys(event.detail) order by 1)
    from tests.events as event
    where event.action_id = tests.id('changed') and event.event_type = 'ApprovalVoided'),
    array['intent_digest', 'recorded_digest'], 'and the event tells both digests'
);
select tests.queued('other', 'other', '{"approval": {"required": true}}');
select tests.session('acme', 'bob');
select is((synapsor.approve_external_action(tests.id('other'))).status, 'queued', 'approved');
update synapsor.approvals as approval set digest = sha256('another')
where approval.action_id = tests.id('other');
set session authorization test_worker;
select is(tests.claim('other'), 'nothing', 'an approval of something else does not count');
select is(tests.stands('other'), 'proposed ApprovalVoided SY024 0/0/0', 'it is asked for anew');
select tests.queued('free', 'free');
select tests.tamper('free');
select is(tests.claim('free'), 'nothing', 'without approval');
select is(tests.stands('free'), 'failed Failed SY024', 'a changed intent is failed');
select tests.queued('swapped', 'swapped');
select tests.queued('sound', 'swapped');
select tests.tamper('swapped');
select is(tests.claim('swapped', 1), 'sound', 'another one is claimed in its place');
select is(tests.stands('swapped'), 'failed Failed SY024', 'while it fails');
select tests.queued('spoilt ' || n, 'spoilt') from generate_series(1, 25) as n;
select tests.queued('intact', 'spoilt');
select tests.tamper('spoilt ' || n) from generate_series(1, 25) as n;
select is(tests.claim('spoilt', 1), 'nothing', 'a claim looks at so many of them');
select is(tests.claim('spoilt', 1), 'intact', 'and the next one goes on');
select tests.queued('bent', 'keyed', '{"ordering_key": "{amount_cents}"}');
select tests.queued('straight', 'keyed', '{"ordering_key": "{amount_cents}"}');
select tests.tamper('bent');
select is(tests.claim('keyed'), 'straight', 'its lane is handed on to the next one');
select is(tests.stands('bent'), 'failed Failed SY024', 'of its ordering key');
select tests.queued('sent', 'sent');
select is(tests.claim('sent'), 'sent', 'one that was being delivered');
select tests.sweep();
select tests.tamper('sent');
select is(tests.claim('sent'), 'nothing', 'and was changed afterwards');
select is(tests.stands('sent'), 'unknown OutcomeUnknown SY024 1/0/1', 'may have been performed');


-- What is suspended

reset session authorization;
select tests.queued(
    'stopped', 'stopped', '{"reconcile": {"operation": "refunds.find", "after": "1 s"}}'
);
select tests.queued(
    'asking', 'stopped', '{"reconcile": {"operation": "refunds.find", "after": "1 s"}}'
);
select is(tests.claim('stopped', 1), 'stopped', 'one is in flight');
select is(tests.confirm('stopped', 'unknown'), 'unknown', 'of unknown outcome');
select tests.advance('1 s');
create function tests.claim_while_suspended(kind text, name text, purpose text default 'deliver')
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    answer text;
begin
    perform synapsor.suspend(kind, claim_while_suspended.name, 'a test');
    answer := tests.claim('stopped', purpose => claim_while_suspended.purpose);
    perform synapsor.resume(kind, claim_while_suspended.name);
    return answer;
end
$function$;
select is(
    tests.claim_while_suspended(suspended.kind, suspended.name, purpose.name), 'nothing',
    format('to %s: nothing while %s %s is suspended', purpose.name, suspended.kind, suspended.name)
)
from (
    values
    ('queue', 'stopped'), ('provider', 'stripe'), ('action', 'test.stopped'), ('tenant', 'acme'),
    ('principal', 'alice'), ('all', '')
) as suspended (kind, name),
    (values ('deliver'), ('reconcile')) as purpose (name);
select tests.worker();
select isnt(synapsor.suspend(other.kind, 'other', 'a test'), null,
'another ' || other.kind || ' is suspended')
from (values ('queue'), ('provider'), ('action'), ('tenant'), ('principal')) as other (kind);
select is(tests.claim('stopped'), 'asking', 'which stops nothing here');
select is(tests.claim('stopped', purpose => 'reconcile'), 'stopped', 'nor reconciliation');
select isnt(synapsor.suspend('all', '', 'a test'), null, 'everything is suspended');
select is(tests.confirm('asking', 'succeeded'), 'succeeded', 'what is in flight may be confirmed');
select synapsor.resume('all', '');


-- To reconcile

select tests.queued(
    'ask', 'ask',
    '{"idempotency": {"idempotent": false, "key": "{tenant_id}:refund:{charge_id}"},
      "lease": "60 s",
      "reconcile": {"operation": "refunds.find", "after": "30 s", "max_attempts": 2}}'
);
set session authorization test_worker;
select is(tests.claim('ask', purpose => 'reconcile'), 'nothing', 'nothing queued is reconciled');
select is(tests.claim('ask'), 'ask', 'a delivery');
select is(tests.confirm('ask', 'unknown'), 'unknown', 'of unknown outcome');
select is(tests.claim('ask'), 'nothing', 'is not delivered again');
select is(tests.claim('ask', purpose => 'reconcile'), 'nothing', 'nor asked about at once');
select tests.advance('30 s');
select tests.worker('w2');
select is(
    (select row(
        claimed.operation, claimed.purpose, claimed.attempt, claimed.idempotency_key,
        claimed.delivery_started_at = synapsor._now() - interval '30 s'
    ) from synapsor.claim_external_actions('ask', purpose => 'reconcile') as claimed)::text,
    '(refunds.find,reconcile,1,acme:refund:ask,t)',
    'then any worker may ask, with the reconcile operation and the same key'
);
select is((tests.state('ask')).delivery_started_at, null, 'which is no delivery');
select tests.raises(
    format('select synapsor.begin_delivery(%L, %s)', tests.id('ask'), tests.token('ask')), 'SY014',
    description => 'nor can it become one'
);
select tests.raises(
    format(
        'select synapsor.confirm_external_action(%L, %L, claim_token => %s)', tests.id('ask'),
        'succeeded',
        tests.token('ask')
    ), 'SY033', '%is being reconciled', description => 'its outcome is settled, not confirmed'
);
select is(tests.claim('ask', purpose => 'reconcile'), 'nothing', 'one at a time');
select tests.sweep();
select is(
    tests.stands('ask'), 'unknown LeaseExpired lease_lost 1/0/0',
    'who asks may be lost: it stays unknown'
);
select tests.advance('30 s');
select is(tests.claim('ask', purpose => 'reconcile'), 'ask', 'and is asked about again');
select is(
    (synapsor.release_claim(tests.id('ask'), tests.token('ask'))).status, 'unknown',
    'given back, it stays unknown'
);
select tests.advance('1 hour');
select is(
    tests.claim('ask', purpose => 'reconcile'), 'nothing', 'not more often than the contract says'
);
select tests.queued('mute', 'mute', '{"idempotency": {"idempotent": false}}');
select is(tests.claim('mute'), 'mute', 'a provider that cannot be asked');
select is(tests.confirm('mute', 'unknown'), 'unknown', 'answers nothing');
select tests.advance('1 day');
select is(tests.claim('mute', purpose => 'reconcile'), 'nothing', 'and is not asked');


-- Which tenants' actions a worker gets

reset session authorization;
select tests.queued('ours', 'shared');
select tests.queued('theirs', 'shared', tenant => 'umbrella');
select tests.queued('others''', 'shared', tenant => 'initech');
select synapsor.close_session();
select synapsor.bind_role('test_worker', '{"principal": "fleet", "tenants": ["acme", "umbrella"]}');
select synapsor.bind_role('test_worker_b', '{"principal": "fleet", "tenants": "*"}');
set session authorization test_worker;
select is(
    (select array_agg(claimed.tenant_id order by claimed.tenant_id)
    from synapsor.claim_external_actions('shared', 10, "begin" => false) as claimed),
    array['acme', 'umbrella'], 'a worker bound to a list of tenants serves these'
);
set session authorization test_worker_b;
select is(
    (select array_agg(claimed.tenant_id order by claimed.tenant_id)
    from synapsor.claim_external_actions('shared', 10, "begin" => false) as claimed),
    array['initech'], 'a worker of every tenant gets the rest'
);
reset session authorization;
select tests.advance('61 s');
set session authorization test_worker;
select is(synapsor.expire_claims(1), 1, 'it sweeps as many as asked for');
select cmp_ok(synapsor.expire_claims(), '>=', 1, 'and then the rest');
select is(tests.stands('others'''), 'claimed Claimed 1/0/0', 'of its tenants');
set session authorization test_worker_b;
select cmp_ok(synapsor.expire_claims(), '>=', 1, 'the other sweeps its own');
select is(
    (select count(*) from synapsor.claim_external_actions('shared', 10, "begin" => false)), 3::bigint,
    'what nobody holds any more is claimed again'
);
reset session authorization;
delete from synapsor.suspensions;
select tests.advance('61 s');
set session authorization test_worker_b;
select is(
    (select count(*) from synapsor.claim_external_actions('shared', 10, "begin" => false)), 3::bigint,
    'where nothing else is ready, whoever asks takes over what was lost'
);
reset session authorization;
create role synapsor_test_unbound login in role synapsor_worker;
set session authorization synapsor_test_unbound;
select is_empty(
    $$ select * from synapsor.claim_external_actions('shared') $$,
    'a worker without tenants gets nothing'
);
select is(synapsor.expire_claims(), 0, 'and sweeps nothing');
reset session authorization;


-- Other tenants do not exist for the verbs themselves: row-level security is only the second wall

select tests.queued(
    'fenced', 'fence', '{"reconcile": {"operation": "refunds.find", "after": "1 s"}}'
);
select tests.queued(
    'stays', 'fence', '{"reconcile": {"operation": "refunds.find", "after": "1 s"}}'
);
select tests.queued('sent off', 'fence', '{"deliver_within": "10 s"}');
alter table synapsor.open_external_actions disable row level security;
alter table synapsor.action_invocations disable row level security;
alter table synapsor.external_action_events disable row level security;
set session authorization test_caller;
select tests.worker('w1', 'umbrella');
select tests.raises(
    format('select synapsor.cancel_external_action(%L)', tests.id('fenced')), 'SY011',
    description => 'not cancelled'
);
reset session authorization;
set session authorization test_worker;
select tests.worker('w1', 'umbrella');
select is_empty($$ select * from synapsor.claim_external_actions('fence') $$, 'not claimed');
select is(tests.claim('fence', 1), 'fenced', 'but by a worker of its tenant');
select tests.worker('w1', 'umbrella');
select tests.raises(
    format('select synapsor.confirm_external_action(%L, %L)', tests.id('fenced'), 'succeeded'),
    'SY011',
    description => 'not confirmed'
);
select is(
    (select judged.error_code
    from synapsor.confirm_external_actions(jsonb_build_array(jsonb_build_object(
        'action_id', tests.id('fenced'), 'status', 'succeeded', 'claim_token', tests.token('fenced')
    ))) as judged), 'SY011', 'nor with others'
);
select is(tests.confirm('fenced', 'unknown'), 'unknown', 'but by its worker');
select is(tests.claim('fence', 1), 'stays', 'which claims another');
select tests.advance('61 s');
select tests.worker('w1', 'umbrella');
select is_empty(
    $$ select * from synapsor.claim_external_actions('fence', purpose => 'reconcile') $$,
    'not asked about'
);
select is(synapsor.expire_claims(), 0, 'and not swept');
select tests.worker();
select cmp_ok(synapsor.expire_claims(), '>=', 2, 'but by its own');
reset session authorization;
alter table synapsor.open_external_actions enable row level security;
alter table synapsor.action_invocations enable row level security;
alter table synapsor.external_action_events enable row level security;
select synapsor.close_session();


-- Idle queues and workers

select is(
    (select count(*) from synapsor.idle_queues as idle where idle.queue = 'shared'), 1::bigint,
    'a claim that comes back empty marks its queue idle'
);
set session authorization test_worker_b;
select is(
    (select count(*) from synapsor.claim_external_actions('shared', 10)), 3::bigint,
    'all are claimed'
);
reset session authorization;
select is_empty(
    $$ select from synapsor.idle_queues as idle where idle.queue = 'shared' $$,
    'one that brings something does not'
);
set session authorization test_worker;
select tests.worker();
select is(
    (select row(worker.worker_principal, worker.worker_label, worker.queues,
    worker.last_seen_at = synapsor._now())
    from synapsor.worker_heartbeat('daemon 7', array['shared']) as worker)::text,
    '(w1,"daemon 7",{shared},t)', 'a worker reports itself'
);
reset session authorization;

select is(
    (select array_agg(distinct function.proname || '.' || argument.name
    order by function.proname || '.' || argument.name)
    from pg_proc as function,
        unnest(function.proargtypes::oid [], function.proargnames) as argument (type, name),
        pg_roles as grantee
    where function.pronamespace = 'synapsor'::regnamespace and argument.type in (
            'timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype, 'time'::regtype,
            'timetz'::regtype
        )
        and grantee.rolname like 'synapsor\_%' and grantee.rolname not in ('synapsor_owner',
        'synapsor_guest')
        and has_function_privilege(grantee.oid, function.oid, 'execute')),
    array[
        'invoke_action.scheduled_at', 'propose_external_action.scheduled_at',
        'propose_external_actions.scheduled_at', 'purge.before', 'replay_policy.since',
        'replay_policy.until'
    ],
    'no verb takes a moment from its caller to judge a lease by: client clocks do not matter'
);


-- The event of a claim is told by the row and then by the next event, and reads the same all along

reset session authorization;
create function tests.claimed_as_told(ending text, begins boolean, purpose text, statement text)
returns text
language plpgsql
as $function$
declare
    name constant text := 'told by ' || ending;
    queue constant text := 'tells' || replace(ending, ' ', '');
    told constant text := $$
        select string_agg(to_jsonb(event)::text, ' ' order by event.sequence)
        from synapsor._events as event
        where event.action_id = %L and event.event_type = 'Claimed'
    $$;
    before text;
    after text;
begin
    perform tests.queued(name, queue, '{"reconcile": {"operation": "refunds.find", "after": "1 s"}}');
    if claimed_as_told.purpose = 'reconcile' then
        perform tests.claim(queue);
        perform synapsor.confirm_external_action(tests.id(name), 'unknown', claim_token => tests.token(name));
        perform tests.advance('1 s');
    end if;
    perform tests.claim(queue, begins => begins, purpose => claimed_as_told.purpose);
    execute format(told, tests.id(name)) into before;
    perform tests.advance('1 s');
    execute format(statement, tests.id(name), tests.token(name));
    execute format(told, tests.id(name)) into after;
    return case when before = after then 'the same' else before || E'\n' || after end;
end
$function$;
select is(
    tests.claimed_as_told(ending, begins, purpose, statement), 'the same',
    'a claim that ends so is told alike: ' || ending
)
from (
    values
    ('confirming', true, 'deliver', 'select synapsor.confirm_external_action(%L, ''succeeded'', claim_token => %s)'),
    (
        'confirming with others', true, 'deliver', $$select synapsor.confirm_external_actions(jsonb_build_array(
            jsonb_build_object('action_id', %L, 'claim_token', %s, 'status', 'succeeded')))$$
    ),
    (
        'confirming what was not begun', false, 'deliver', $$select synapsor.confirm_external_actions(jsonb_build_array(
            jsonb_build_object('action_id', %L, 'claim_token', %s, 'status', 'succeeded')))$$
    ),
    ('failing', true, 'deliver', 'select synapsor.confirm_external_action(%L, ''failed'', claim_token => %s)'),
    (
        'not knowing', true, 'deliver', $$select synapsor.confirm_external_actions(jsonb_build_array(
            jsonb_build_object('action_id', %L, 'claim_token', %s, 'status', 'unknown')))$$
    ),
    ('beginning', false, 'deliver', 'select synapsor.begin_delivery(%L, %s)'),
    (
        'beginning with others', false, 'deliver', $$select synapsor.begin_deliveries(jsonb_build_array(
            jsonb_build_object('action_id', %L, 'claim_token', %s)))$$
    ),
    ('extending', true, 'deliver', 'select synapsor.extend_claim(%L, %s, ''1 h'')'),
    ('extending before the beginning', false, 'deliver', 'select synapsor.extend_claim(%L, %s, ''1 h'')'),
    ('releasing', false, 'deliver', 'select synapsor.release_claim(%L, %s)'),
    ('releasing after the beginning', true, 'deliver', 'select synapsor.release_claim(%L, %s)'),
    ('expiring', true, 'deliver', 'select tests.sweep(''1 h'') -- %L %s'),
    ('cancelling', false, 'deliver', 'select synapsor.cancel_external_action(%L) -- %s'),
    ('settling', true, 'reconcile', 'select synapsor.settle_external_action(%L, ''succeeded'', claim_token => %s)'),
    (
        'a late word of another', true, 'deliver', $$with heard as (
            select synapsor.confirm_external_actions(jsonb_build_array(
                jsonb_build_object('action_id', %L, 'claim_token', %s - 1, 'status', 'succeeded'))))
        select from heard$$
    )
) as endings (ending, begins, purpose, statement);

select is_empty(
    $$ select event.action_id from tests.events as event
    group by event.action_id having max(event.sequence) <> count(*) $$,
    'the events of every action count from 1 without gaps'
);
select is_empty(
    $$ select open.action_id from synapsor.open_external_actions as open
    where open.last_sequence is distinct from (
        select max(event.sequence) from tests.events as event
        where event.action_id = open.action_id
    ) $$,
    'and every state row knows its last'
);
select is_empty(
    $$ select event.action_id from tests.events as event
    where event.event_type = 'Claimed'
    group by event.action_id having count(distinct event.claim_token) <> count(*) $$,
    'no token was issued twice'
);

select * from finish();
rollback;
