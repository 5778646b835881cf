-- The outbox itself: ordering lanes, cancelling, and what is not delivered in time.

begin;

select plan(103);
select tests.show_events();

create temporary table actions (name text primary key, action_id text);
grant select on actions to public;

-- An action of a contract and queue of its own. Charges differ by lane, amounts by action.
create function tests.queued(
    queue text,
    overrides jsonb default '{}',
    amount integer default 100,
    charge text default 'ch_1',
    due timestamptz default null,
    tenant text default 'acme'
)
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform tests.a_contract(
        overrides || jsonb_build_object('queue', queued.queue), 'test.' || queued.queue
    );
    perform tests.session(tenant, 'alice');
    return (synapsor.propose_external_action(
        'test.' || queued.queue,
        jsonb_build_object('charge_id', charge, 'amount_cents', amount),
        scheduled_at => due
    )).action_id;
end
$function$;

create function tests.claim(
    queue text,
    max_actions integer default 10,
    begins boolean default true,
    purpose text default 'deliver',
    tenant text default 'acme'
)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform tests.session(tenant, 'w1', actor_type => 'service_account');
    return coalesce(string_agg(named.name, ', ' order by claimed.ordinality), 'nothing')
    from synapsor.claim_external_actions(
        queue, max_actions, purpose => claim.purpose, "begin" => begins
    ) with ordinality as claimed
    left join pg_temp.actions as named on claimed.action_id = named.action_id;
end
$function$;

create function tests.end_as(action_id text, status text)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform tests.session('acme', 'w1', actor_type => 'service_account');
    return (synapsor.confirm_external_actions(jsonb_build_array(jsonb_build_object(
        'action_id', action_id, 'status', end_as.status, 'claim_token', (
            select max(open.claim_token) from synapsor.open_external_actions as open
            where open.action_id = end_as.action_id
        )
    )))).status;
end
$function$;

create function tests.cancel(action_id text, principal text default 'alice',
tenant text default 'acme')
returns synapsor.external_action
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform tests.session(tenant, principal);
    return synapsor.cancel_external_action(action_id, 'not wanted');
end
$function$;

create function tests.status(action_id text)
returns text
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select synapsor._delivery_status(action_id);
$function$;

create function tests.tamper(action_id text)
returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$
    update synapsor.action_invocations as invocation
    set intent = replace(invocation.intent, 'ch_', 'xx_')
    where invocation.action_id = tamper.action_id;
$function$;

create function tests.named(name text)
returns text
language sql
set search_path = pg_catalog, pg_temp
as $function$
    select actions.action_id from pg_temp.actions where actions.name = named.name;
$function$;

select tests.at('2026-01-01 12:00+00');


-- One after the other, without blocking others

insert into actions
values
('a', tests.queued('lane', '{"ordering_key": "{charge_id}"}', 1)),
('b', tests.queued('lane', '{"ordering_key": "{charge_id}"}', 2)),
('c', tests.queued('lane', '{"ordering_key": "{charge_id}"}', 3)),
('other', tests.queued('lane', '{"ordering_key": "{charge_id}"}', 1, 'ch_2')),
('elsewhere', tests.queued('lane', '{"ordering_key": "{charge_id}"}', 1, tenant => 'umbrella')),
('aside', tests.queued('aside', '{"ordering_key": "{charge_id}"}', 1));

select is(
    tests.claim('lane'), 'a, other',
    'of one ordering key only the first is claimed, of another its own first'
);
select is(tests.claim('lane'), 'nothing', 'the rest waits');
select is(tests.claim('lane', tenant => 'umbrella'), 'elsewhere',
'the same key of another tenant is another lane'
);
select is(tests.claim('aside'), 'aside', 'the same key in another queue is another lane'
);
select is(tests.end_as(tests.named('a'), 'failed'), 'queued', 'the first one fails and backs off');
select is(tests.claim('lane'), 'nothing', 'back-off keeps the lane');
select isnt(tests.advance('2 s'), null, 'it is due again');
select is(tests.claim('lane'), 'a', 'it is claimed again before those behind it'
);
select is(tests.end_as(tests.named('a'), 'unknown'), 'unknown', 'nobody knows its outcome');
select is(tests.claim('lane'), 'nothing', 'an unknown outcome keeps the lane');
select is((tests.cancel(tests.named('b'))).status, 'cancelled', 'one that waits is cancelled');
select is(tests.claim('lane'), 'nothing', 'which calls nobody');
select tests.session('acme', 'operator');
select is(
    (synapsor.settle_external_action(tests.named('a'), 'succeeded')).status, 'succeeded',
    'the unknown outcome is settled'
);
select is(tests.claim('lane'), 'c', 'the next that still waits is called'
);
select is(tests.end_as(tests.named('c'), 'succeeded'), 'succeeded', 'the last of the lane ends');
select is_empty(
    $$ select from synapsor.ordering_lanes as left_over
    where left_over.queue = 'lane' and left_over.tenant_id = 'acme'
    and left_over.ordering_key = 'ch_1' $$,
    'and leaves no row of the lane'
);


-- However long a lane is, it is met once

insert into actions
select
    'behind ' || number as name,
    tests.queued('long', '{"ordering_key": "{charge_id}"}', number)
from generate_series(1, 60) as number;
insert into actions values ('beside', tests.queued('long', '{"ordering_key": "{charge_id}"}', 1,
'ch_2'));
select is(
    tests.claim('long', 1), 'behind 1',
    'a worker that takes one at a time gets the head of a long lane'
);
select is(tests.claim('long', 1), 'beside', 'and then what is beside the lane, not an empty hand');
select is(tests.end_as(tests.named('behind 1'), 'succeeded'), 'succeeded', 'the head ends');
select is(tests.claim('long', 10), 'behind 2', 'and the second of the lane goes');


-- The order is that of queueing

insert into actions
values
('asked', tests.queued(
    'order',
    '{"ordering_key": "{charge_id}", "approval": {"required": true,
      "unless": "$.args.amount_cents < 50"}}',
    100
)),
('unasked', tests.queued(
    'order',
    '{"ordering_key": "{charge_id}", "approval": {"required": true,
      "unless": "$.args.amount_cents < 50"}}',
    10
));
select tests.session('acme', 'bob');
select is(
    (synapsor.approve_external_action(tests.named('asked'))).status, 'queued',
    'an earlier proposal is approved later'
);
select is(tests.claim('order'), 'unasked', 'it goes behind what was queued meanwhile'
);
select is(tests.end_as(tests.named('unasked'), 'succeeded'), 'succeeded', 'which ends');
select is(tests.claim('order'), 'asked', 'and then it is its turn'
);

insert into actions
values
('later', tests.queued(
    'due', '{"ordering_key": "{charge_id}"}', 1, due => synapsor._now() + interval '1 hour'
)),
('now', tests.queued('due', '{"ordering_key": "{charge_id}"}', 2));
select is(tests.claim('due'), 'nothing', 'one that is due later keeps its place in the lane'
);
select tests.advance('1 hour');
select is(tests.claim('due'), 'later', 'and goes first');

insert into actions
values
('failed', tests.queued('retry', '{"ordering_key": "{charge_id}", "retry": {"max_attempts": 1}}',
1)),
('next', tests.queued('retry', '{"ordering_key": "{charge_id}", "retry": {"max_attempts": 1}}', 2));
select is(tests.claim('retry'), 'failed', 'the first is claimed');
select is(tests.end_as(tests.named('failed'), 'failed'), 'failed', 'and fails');
select tests.session('acme', 'operator');
select is(
    (synapsor.retry_external_action(tests.named('failed'))).status, 'queued',
    'an operator retries it'
);
select is(tests.claim('retry'), 'next', 'what was queued before the retry goes first');
select is(tests.end_as(tests.named('next'), 'succeeded'), 'succeeded', 'it ends');
select is(tests.claim('retry'), 'failed', 'then the retried one');


-- Whatever becomes of the head, the lane goes on

insert into actions
values
('head', tests.queued('drift', '{"ordering_key": "{charge_id}", "approval": {"required": true}}',
1)),
('tail', tests.queued('drift', '{"ordering_key": "{charge_id}", "approval": {"required": true}}',
2));
select tests.session('acme', 'bob');
select is(
    (synapsor.approve_external_action(name.action_id)).status, 'queued', name.name || ' is approved'
)
from actions as name
where name.name in ('head', 'tail')
order by name.name;
select is(tests.claim('drift', begins => false), 'head', 'the head holds the lane');
select is(tests.claim('drift'), 'nothing', 'the tail waits for it');
select is(
    (synapsor.release_claim(open.action_id, open.claim_token)).status, 'queued', 'it is given back'
)
from synapsor.open_external_actions as open
where open.action_id = tests.named('head');
select tests.tamper(tests.named('head'));
select is(tests.claim('drift', 1), 'tail', 'it drifts from what was approved: the lane goes on');
select is(tests.status(tests.named('head')), 'proposed', 'it needs its approval anew');
select is(tests.end_as(tests.named('tail'), 'succeeded'), 'succeeded', 'the tail ends');
insert into actions
values
('new', tests.queued('drift', '{"ordering_key": "{charge_id}", "approval": {"required": true}}',
3));
select is((tests.cancel(tests.named('head'))).status, 'cancelled', 'the drifted one is cancelled');
select tests.session('acme', 'bob');
select is(
    (synapsor.approve_external_action(tests.named('new'))).status, 'queued', 'a new one is queued'
);
select is(tests.claim('drift'), 'new', 'and finds the lane free');

insert into actions
values
('never claimed', tests.queued('fresh',
'{"ordering_key": "{charge_id}", "approval": {"required": true}}', 1)),
('behind it', tests.queued('fresh',
'{"ordering_key": "{charge_id}", "approval": {"required": true}}', 2));
select tests.session('acme', 'bob');
select synapsor.approve_external_action(tests.named('never claimed'));
select synapsor.approve_external_action(tests.named('behind it'));
select tests.session('acme', 'admin');
select synapsor.suspend('action', 'test.fresh', 'a look at the lane');
update synapsor.open_external_actions as open set waits_for_lane = true
where open.action_id = tests.named('behind it');
select synapsor.resume('action', 'test.fresh');
select tests.tamper(tests.named('never claimed'));
select is(
    tests.claim('fresh', 1), 'behind it',
    'a head that drifts before it ever held the lane frees it too'
);

insert into actions
values
('stale', tests.queued('hurry', '{"ordering_key": "{charge_id}", "deliver_within": "1 hour"}', 1)),
('patient', tests.queued('hurry', '{"ordering_key": "{charge_id}"}', 2));
select is(tests.claim('hurry', begins => false), 'stale', 'the head holds the lane');
select is(tests.claim('hurry'), 'nothing', 'the other waits');
select synapsor.release_claim(open.action_id, open.claim_token)
from synapsor.open_external_actions as open
where open.action_id = tests.named('stale');
select tests.advance('61 min');
select is(tests.claim('hurry'), 'patient', 'the head expires and the next goes');
select is(tests.status(tests.named('stale')), 'expired', 'within one claim');

insert into actions
values
('x', tests.queued('lost', '{"ordering_key": "{charge_id}"}', 1)),
('y', tests.queued('lost', '{"ordering_key": "{charge_id}"}', 2)),
('z', tests.queued('lost', '{"ordering_key": "{charge_id}"}', 3));
select is(tests.claim('lost'), 'x', 'one is in flight');
select is(tests.claim('lost'), 'nothing', 'two wait');
select is((tests.cancel(tests.named('z'))).status, 'cancelled', 'of which one is cancelled');
select tests.session('acme', 'admin');
savepoint restored;
select cmp_ok(
    synapsor.quarantine_after_restore('a restore'), '>', 1, 'then the database is restored'
);
select synapsor.resume('all', '');
insert into actions values ('after', tests.queued('lost', '{"ordering_key": "{charge_id}"}', 4));
select is(tests.claim('lost'), 'nothing', 'a new one waits for the quarantined');
select tests.session('acme', 'operator');
select is(
    (synapsor.settle_external_action(tests.named('x'), 'succeeded')).status, 'succeeded',
    'one is settled'
);
select is(tests.claim('lost'), 'nothing', 'there is still one before the new one');
select tests.session('acme', 'operator');
select is(
    (synapsor.settle_external_action(tests.named('y'), 'failed')).status, 'failed',
    'the other is settled'
);
select is(tests.claim('lost'), 'after', 'now the new one goes');
rollback to restored;


-- Cancelling

select is(
    (select row(cancelled.status, cancelled.error_code, cancelled.changed)
    from tests.cancel(tests.queued('cancel', amount => 1)) as cancelled)::text,
    '(cancelled,cancelled,t)', 'a queued action is cancelled'
);
select is(
    (tests.cancel(tests.queued('ask', '{"approval": {"required": true}}'))).status, 'cancelled',
    'a proposed one too'
);
insert into actions values ('claimed', tests.queued('claimed'));
select is(tests.claim('claimed', begins => false), 'claimed', 'and one that is claimed');
select is(
    (tests.cancel(tests.named('claimed'))).status, 'cancelled', 'as long as delivery has not begun'
);
select is(
    (tests.cancel(tests.named('claimed'))).changed, false, 'cancelling again changes nothing'
);
select tests.session('acme', 'w1', actor_type => 'service_account');
select tests.raises(
    format('select synapsor.begin_delivery(%L, null)', tests.named('claimed')), 'SY030',
    description => 'its worker may not begin any more'
);
select is(
    (select event.note from tests.events as event
    where event.action_id = tests.named('claimed') and event.event_type = 'Cancelled'),
    'not wanted', 'the reason is kept'
);

insert into actions values ('begun', tests.queued('begun',
'{"reconcile": {"operation": "refunds.find"}}'));
select is(tests.claim('begun'), 'begun', 'delivery begins');
select tests.raises(
    format('select tests.cancel(%L)', tests.named('begun')), 'SY014', '%no longer be cancelled',
    '%delivery has begun%', description => 'from then on it cannot be cancelled'
);
select is(tests.end_as(tests.named('begun'), 'unknown'), 'unknown', 'its outcome is unknown');
select tests.raises(
    format('select tests.cancel(%L)', tests.named('begun')), 'SY014',
    description => 'an unknown outcome cannot be cancelled'
);
select tests.advance('30 s');
select is(tests.claim('begun', purpose => 'reconcile'), 'begun', 'it is being reconciled');
select tests.raises(
    format('select tests.cancel(%L)', tests.named('begun')), 'SY014',
    description => 'what is being reconciled cannot be cancelled either'
);

insert into actions values ('lost', tests.queued('again'));
select is(tests.claim('again'), 'lost', 'another delivery begins');
select tests.advance('61 s');
select synapsor.expire_claims();
select is(tests.status(tests.named('lost')), 'queued', 'and is lost');
select tests.raises(
    format('select tests.cancel(%L)', tests.named('lost')), 'SY014',
    description => 'a delivery that may have happened cannot be cancelled'
);
select is(tests.claim('again'), 'lost', 'it is repeated');
select is(tests.end_as(tests.named('lost'), 'succeeded'), 'succeeded', 'and succeeds');
select tests.raises(
    format('select tests.cancel(%L)', tests.named('lost')), 'SY014', null, 'It is succeeded.',
    description => 'what ended otherwise cannot be cancelled'
);

insert into actions values ('known', tests.queued('known'));
select is(tests.claim('known'), 'known', 'a third one begins');
select is(tests.end_as(tests.named('known'), 'failed'), 'queued', 'and is known to have failed');
select is(
    (tests.cancel(tests.named('known'))).status, 'cancelled',
    'so it may be cancelled before its retry'
);

insert into actions values ('whose', tests.queued('whose'));
set session authorization test_caller;
select tests.raises(
    format('select tests.cancel(%L, %L)', tests.named('whose'), 'mallory'), 'SY007',
    '%another principal%',
    description => 'a caller cancels only his own'
);
select tests.raises(
    format('select tests.cancel(%L, %L, %L)', tests.named('whose'), 'alice', 'umbrella'), 'SY011',
    format('external action ''%s'' does not exist', tests.named('whose')),
    description => 'another tenant''s does not exist'
);
select tests.raises(
    'select tests.cancel(''act_0'')', 'SY011', 'external action ''act_0'' does not exist',
    description => 'as what never existed'
);
reset session authorization;
set session authorization test_approver;
select is(
    (tests.cancel(tests.named('whose'), 'bob')).status, 'cancelled',
    'an approver cancels anybody''s'
);
reset session authorization;


-- What is not delivered in time

insert into actions
values
('early', tests.queued('hurried', '{"deliver_within": "1 hour", "lease": "3 hours"}', 1)),
('slow', tests.queued('hurried', '{"deliver_within": "1 hour", "lease": "3 hours"}', 2)),
('planned', tests.queued(
    'hurried', '{"deliver_within": "1 hour", "lease": "3 hours"}', 3,
    due => synapsor._now() + interval '1 hour'
));
select tests.advance('59 min');
select is(tests.claim('hurried', 1), 'early', 'before its time is over an action is claimed');
select tests.advance('2 min');
select is(
    tests.claim('hurried', 1, begins => false), 'planned',
    'afterwards it is not; one planned for later is'
);
select is(tests.status(tests.named('slow')), 'expired', 'it expired, by the claim that met it');
select is(
    (select row(event.event_type, event.error_code) from tests.events as event
    where event.action_id = tests.named('slow') and event.sequence = 2)::text,
    '(Expired,expired)', 'and an event says so'
);
select tests.advance('60 min');
select is(synapsor.expire_claims(), 0, 'what is claimed does not expire in that way');
select synapsor.release_claim(open.action_id, open.claim_token)
from synapsor.open_external_actions as open
where open.action_id = tests.named('planned');
select is(synapsor.expire_claims(), 1, 'given back, it does');
select is(tests.status(tests.named('planned')), 'expired', 'by the sweep this time');
select tests.advance('2 hours');
select is(synapsor.expire_claims(), 1, 'the sweep takes back the lost delivery of the first');
select is(synapsor.expire_claims(), 0, 'and ends nothing that may have happened');
select is(tests.claim('hurried'), 'early', 'which is repeated, late as it is');

insert into actions values
('reviewed', tests.queued('approved',
'{"deliver_within": "1 hour", "approval": {"required": true}}'));
select tests.advance('2 hours');
select tests.session('acme', 'bob');
select is(
    (synapsor.approve_external_action(tests.named('reviewed'))).status, 'queued',
    'deliver_within says nothing about approval'
);
select tests.advance('59 min');
select is(tests.claim('approved'), 'reviewed', 'it counts from queueing');
select is(tests.end_as(tests.named('reviewed'), 'failed'), 'queued', 'a known failure');
select tests.advance('2 min');
select is(tests.claim('approved'), 'nothing', 'is not retried too late');
select is(tests.status(tests.named('reviewed')), 'expired', 'but expires');

select tests.advance('1 day');
select synapsor.expire_claims();
select tests.session('umbrella', 'w1', actor_type => 'service_account');
select synapsor.expire_claims();
insert into actions values ('foreign', tests.queued('foreign', '{"deliver_within": "1 hour"}',
tenant => 'umbrella'));
select tests.advance('2 hours');
set session authorization test_worker;
select tests.session('acme', 'w1', actor_type => 'service_account');
select is(synapsor.expire_claims(), 0, 'another tenant''s action is not swept');
select tests.session('umbrella', 'w1', actor_type => 'service_account');
select is(synapsor.expire_claims(0), 0, 'nor more than was asked for');
select is(synapsor.expire_claims(), 1, 'its own tenant''s worker sweeps it');
reset session authorization;

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

select * from finish();
rollback;
