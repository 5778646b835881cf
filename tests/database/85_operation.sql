-- Operating it: the kill switch, what to do after a restore, and the one deletion there is.

begin;

select plan(123);
select tests.show_events();

create function tests.proposed(
    charge text,
    action text default 'billing.issue_refund',
    tenant text default 'acme',
    by text default 'alice'
)
returns text
language plpgsql
security definer
as $function$
begin
    perform tests.session(tenant, by);
    return (synapsor.propose_external_action(
        action, jsonb_build_object('charge_id', charge, 'amount_cents', 100)
    )).action_id;
end
$function$;

create function tests.id(charge text)
returns text
language sql
stable
security definer
as $function$
    select invocation.action_id from synapsor.action_invocations as invocation
    where invocation.intent::jsonb -> 'arguments' ->> 'charge_id' = id.charge
$function$;

create function tests.statuses(variadic charges text[])
returns text[]
language sql
stable
security definer
as $function$
    select array_agg((
        select event.status from tests.events as event
        where event.action_id = tests.id(charge) order by event.sequence desc limit 1
    ) order by ordinality)
    from unnest(charges) with ordinality as charge (charge, ordinality)
$function$;

-- The charges that worker-1 is given; releases them again.
create function tests.claimable(queue text default 'billing_external_actions')
returns text[]
language plpgsql
security definer
as $function$
declare
    given text[];
begin
    perform tests.session('acme', 'worker-1');
    select array_agg(claim.arguments ->> 'charge_id' order by claim.arguments ->> 'charge_id')
    into given
    from synapsor.claim_external_actions(queue, 1000, begin => false) as claim;
    perform synapsor.release_claim(open.action_id, open.claim_token)
    from synapsor.open_external_actions as open
    where open.status = 'claimed' and open.queue = claimable.queue;
    return given;
end
$function$;

create function tests.rows(relation text)
returns bigint
language plpgsql
security definer
as $function$
declare
    found bigint;
begin
    execute format('select count(*) from synapsor.%I', relation) into found;
    return found;
end
$function$;

select tests.at('2026-01-01 12:00+00');
select tests.a_contract('{"poison_after": 50}');
select tests.a_contract('{"provider": "adyen", "poison_after": 50}', 'billing.other');
select tests.a_contract('{"queue": "mails"}', 'mail.send');
select tests.a_contract('{"approval": {"required": true}}', 'billing.slow');
select tests.proposed('refund');
select tests.proposed('other', 'billing.other', by => 'bob');
select tests.proposed('mail', 'mail.send');


-- suspend and resume

select tests.session('acme', 'ada');
set session authorization test_admin;
select is(
    to_jsonb(synapsor.suspend('queue', 'billing_external_actions', 'the provider is down')),
    '{"kind": "queue", "name": "billing_external_actions", "reason": "the provider is down",
      "suspended_by": "ada", "suspended_at": "2026-01-01T12:00:00+00:00"}',
    'suspend returns the suspension'
);
select is(
    (select array_agg(to_jsonb(stop)) from synapsor.synapsor_suspensions as stop),
    array[to_jsonb(synapsor.suspend('queue', 'billing_external_actions', 'the provider is down'))],
    'and synapsor_suspensions shows it'
);
select is(
    (synapsor.suspend('queue', 'billing_external_actions', 'still down')).reason, 'still down',
    'suspending again replaces the reason'
);
select is((select count(*) from synapsor.synapsor_suspensions), 1::bigint, 'there is one of it');
select is(tests.claimable(), null, 'nothing of a suspended queue is claimed');
select is(tests.claimable('mails'), array['mail'], 'but of another');
select is(
    (synapsor.resume('queue', 'billing_external_actions')).reason, 'still down',
    'resume returns what it lifted'
);
select ok(
    to_jsonb(synapsor.resume('queue', 'billing_external_actions')) is null,
    'and null when there was nothing, no row of nulls'
);
select is(tests.claimable(), array['other', 'refund'], 'then it is claimed again');
select tests.session('acme', 'ada');
select
    is(
        (
            with suspended as materialized (
                select (synapsor.suspend(kind, name, 'test')).kind
            ), given as materialized (
                select tests.claimable() as charges from suspended
            ), resumed as materialized (
                select (synapsor.resume(kind, name)).kind, charges from given
            )
            select charges from resumed
        ),
        expected, format('%s %s suspended: %s is claimed', kind, name, expected)
    )
from (
    values
    ('provider', 'stripe', array['other']),
    ('provider', 'adyen', array['refund']),
    ('action', 'billing.other', array['refund']),
    ('tenant', 'acme', null),
    ('tenant', 'globex', array['other', 'refund']),
    ('principal', 'bob', array['refund']),
    ('principal', 'worker-1', array['other', 'refund']),
    ('queue', 'mails', array['other', 'refund']),
    ('all', '', null),
    ('all', 'whatever', null)
) as suspension (kind, name, expected);
select is((select count(*) from synapsor.synapsor_suspensions), 0::bigint, 'all of it is lifted');
select
    tests.raises(
        format('select synapsor.suspend(%L, %L, %L)', kind, name, reason), 'SY003', message, null,
        '%', description
    )
from (
    values
    ('planet', 'x', 'r', '''planet'' cannot be suspended', 'kinds are known'),
    (null, 'x', 'r', 'NULL cannot be suspended', 'null is none'),
    ('queue', '', 'r', 'a suspension has a name and a reason', 'what is suspended has a name'),
    ('queue', null, 'r', 'a suspension has a name and a reason', 'null is no name'),
    ('queue', 'x', '', 'a suspension has a name and a reason', 'a suspension has a reason'),
    ('all', '', null, 'a suspension has a name and a reason', 'all has one too'),
    ('queue', repeat('x', 256), 'r', '%longer than 255 characters', 'a name is not too long')
) as suspension (kind, name, reason, message, description);

-- Proposals of a suspended tenant or principal

create temporary table suspended on commit drop as
select (synapsor.suspend('tenant', 'acme', 'unpaid')).kind as first,
    (synapsor.suspend('principal', 'carol', 'left')).kind as second;
set session authorization test_caller;
select tests.session('acme', 'alice');
select
    tests.raises(
        statement, 'SY007', 'tenant acme is suspended', 'Reason: unpaid.',
        '%synapsor.resume(''tenant'', ''acme'')%',
        'a suspended tenant asks for nothing: ' || statement
    )
from unnest(array[
    $$ select synapsor.propose_external_action('mail.send', '{}') $$,
    $$ select synapsor.invoke_action('mail.send', '{}') $$,
    $$ select synapsor.propose_external_actions('mail.send', array['{}'::jsonb]) $$,
    $$ select synapsor.preview_action('mail.send', '{}') $$
]) as statement;
select tests.raises(
    $$ select tests.proposed('x', tenant => 'globex', by => 'carol') $$, 'SY007',
    'principal carol is suspended', 'Reason: left.', '%', 'nor does a suspended principal'
);
select tests.proposed('theirs', tenant => 'globex');
select is(tests.statuses('theirs'), array['queued'], 'others do');
reset session authorization;
select synapsor.resume('tenant', 'acme');
select synapsor.resume('principal', 'carol');
select synapsor.suspend('all', '', 'fire');
set session authorization test_caller;
select tests.proposed('meanwhile');
select is(
    tests.statuses('meanwhile'), array['queued'],
    'what is suspended otherwise is still asked for: nothing is lost'
);

-- Claims in flight

reset session authorization;
select synapsor.resume('all', null);
select tests.session('acme', 'worker-1');
set session authorization test_worker;
select is(
    (select count(*) from synapsor.claim_external_actions('billing_external_actions', 1)),
    1::bigint,
    'an action is claimed'
);
set session authorization test_admin;
select synapsor.suspend('all', '', 'fire');
set session authorization test_worker;
select is(
    (select array_agg((synapsor.confirm_external_action(
        action_id, 'succeeded', claim_token => claim_token
    )).status)
    from synapsor.synapsor_external_actions where status = 'claimed'),
    array['succeeded'],
    'claims in flight may still be confirmed'
);
select is_empty(
    $$ select * from synapsor.claim_external_actions('mails', 1) $$, 'but nothing new is claimed'
);
set session authorization test_admin;
select synapsor.resume('all', '');

select
    is(
        has_function_privilege('test_' || login, verb, 'execute'), login = any(allowed),
        format('%s: %s, or not', login, verb)
    )
from unnest(array['caller', 'approver', 'worker', 'auditor', 'admin', 'gateway', 'stranger'])
    as login
cross join (
    values
    ('synapsor.suspend(text, text, text)', array['approver', 'admin']),
    ('synapsor.resume(text, text)', array['admin']),
    ('synapsor.quarantine_after_restore(text)', array['admin']),
    ('synapsor.purge(timestamptz, integer)', array['admin'])
) as verb (verb, allowed);


-- quarantine_after_restore

reset session authorization;
select tests.a_contract(
    '{"approval": {"required": true}, "queue": "drifting"}', 'billing.drifting'
);
select tests.proposed('q queued', 'mail.send');
select tests.proposed('q waits', 'billing.slow');
select tests.proposed('q approved', 'billing.slow');
select tests.proposed('q drifted', 'billing.drifting');
select tests.proposed('q cancelled', 'mail.send');
select tests.proposed('q theirs', 'mail.send', tenant => 'globex');
select synapsor.cancel_external_action(tests.id('q cancelled'))
from tests.session('acme', 'alice');
select tests.session('acme', 'rita');
select synapsor.approve_external_action(tests.id('q approved'));
select synapsor.approve_external_action(tests.id('q drifted'));
update synapsor.action_invocations set intent = intent || ' '
where action_id = tests.id('q drifted');
select tests.claimable('drifting');
select is(
    tests.statuses('q drifted'), array['proposed'], 'an approval is void, the action waits again'
);
select tests.session('acme', 'worker-1');
select is(
    (select count(*) from synapsor.claim_external_actions('billing_external_actions', 1)),
    1::bigint,
    'an action is claimed'
);
select tests.advance('1 hour');
select synapsor.close_session();
set session authorization test_admin;
select tests.raises(
    'select synapsor.quarantine_after_restore(null)', 'SY003', '%', null, '%',
    'a quarantine has a reason'
);
select is(tests.statuses('q queued'), array['queued'], 'else nothing happens');
create temporary table unfinished on commit drop as
select tests.rows('open_external_actions') as actions;
select is(
    synapsor.quarantine_after_restore('restored from last night')::bigint,
    (select actions - 1 from unfinished),
    'every unfinished action that had ever been queued is quarantined, whoever''s it is'
);
select is(
    tests.statuses(
        'q queued', 'q theirs', 'q approved', 'q drifted', 'q waits', 'q cancelled', 'mail'
    ),
    array['unknown', 'unknown', 'unknown', 'unknown', 'proposed', 'cancelled', 'unknown'],
    'it becomes unknown; what was never queued, or has ended, stays as it is'
);
select tests.session('acme', 'ada');
select is(
    (select array_agg(kind || ' ' || reason) from synapsor.synapsor_suspensions),
    array['all restored from last night'],
    'delivery halts'
);
select is(
    (select array_agg(row(event_type, status, actor, error_code, note, is_current)::text)
    from synapsor.synapsor_external_action_events
    where action_id = tests.id('q queued') and sequence > 1),
    array['(Quarantined,unknown,test_admin,quarantined,"restored from last night",t)'],
    'each is an event'
);
select is(
    (select array_agg(distinct row(status, lease_expires_at, error_code)::text)
    from synapsor.synapsor_external_actions where status = 'unknown'),
    array['(unknown,,quarantined)'],
    'no lease is left'
);
select is(
    synapsor.quarantine_after_restore('again'), 0, 'a second quarantine finds nothing to do'
);
select synapsor.resume('all', '');
set session authorization test_worker;
select tests.session('acme', 'worker-1');
select is_empty(
    $$ select * from synapsor.claim_external_actions('mails', 100) $$,
    'resumed, nothing unknown is delivered'
);
select tests.raises(
    (select format('select synapsor.confirm_external_action(%L, %L)', action_id, 'succeeded')
    from synapsor.synapsor_external_actions
    where status = 'unknown' and claim_token is not null limit 1),
    'SY031', '%', '%', '%', 'and the claim of before is over'
);
set session authorization test_approver;
select tests.session('acme', 'rita');
select is(
    (select array_agg((synapsor.settle_external_action(tests.id(charge), outcome)).status)
    from (values ('q queued', 'queued'), ('mail', 'succeeded')) as found (charge, outcome)),
    array['queued', 'succeeded'],
    'what became of each is settled one by one'
);
select tests.raises(
    format('select synapsor.cancel_external_action(%L)', tests.id('q approved')), 'SY014', '%', '%',
    '%', 'what may have been done is not cancelled'
);


-- purge

reset session authorization;
select tests.at('2026-03-01 00:00+00');
select tests.proposed('p succeeded', 'mail.send');
select tests.proposed('p rejected', 'billing.slow');
select tests.proposed('p cancelled', 'mail.send');
select tests.proposed('p theirs', 'mail.send', tenant => 'globex');
select tests.proposed('p open', 'mail.send');
select tests.session('acme', 'alice');
select synapsor.cancel_external_action(tests.id('p cancelled'));
select tests.session('acme', 'worker-1');
select synapsor.confirm_external_action(
    claim.action_id, 'succeeded', claim_token => claim.claim_token
)
from synapsor.claim_external_actions('mails', 100) as claim
where claim.arguments ->> 'charge_id' = 'p succeeded';
select tests.session('acme', 'rita');
select synapsor.reject_external_action(tests.id('p rejected'));
select tests.session('acme', 'alice');
select synapsor.invoke_action('mail.send', '{"charge_id": "p refused"}');
create temporary table action_of on commit drop as
select charge, tests.id(charge) as action_id
from unnest(array['p succeeded', 'p rejected', 'p cancelled', 'p theirs', 'p open']) as charge;
grant select on action_of to public;
select tests.session('globex', 'alice');
select synapsor.cancel_external_action(tests.id('p theirs'));
select tests.advance('1 hour');
select tests.proposed('p young', 'mail.send');
select tests.session('acme', 'alice');
select synapsor.cancel_external_action(tests.id('p young'));

set session authorization test_admin;
select tests.session('acme', 'ada');
select
    tests.raises(statement, 'SY003', 'purge takes a moment and a number%', null, null, statement)
from unnest(array[
    'select synapsor.purge(null)', 'select synapsor.purge(''2026-03-01'', 0)',
    'select synapsor.purge(''2026-03-01'', null)', 'select synapsor.purge(''2026-03-01'', -1)'
]) as statement;
create temporary table before_purge on commit drop as
select
    tests.rows('open_external_actions') as open,
    (select count(*) from synapsor.synapsor_external_action_events
    where action_id in (select action_id from action_of where charge = 'p open')) as events;
select is(synapsor.purge('2026-03-01 00:00+00'), 3, 'what had finished before is purged');
select is(
    (select array_agg(status order by status) from synapsor.synapsor_action_invocations
    where action = 'mail.send' and created_at >= '2026-03-01' and completed_at is not null),
    array['cancelled', 'cancelled', 'completed', 'validation_failed'],
    'what finished at that moment or later is not'
);
reset session authorization;
alter table synapsor.action_invocations no force row level security;
alter table synapsor.external_action_events no force row level security;
alter table synapsor.open_external_actions no force row level security;
set session authorization test_admin;
select is(synapsor.purge('2026-03-01 00:30+00', 3), 3, 'at most max_actions at a time');
select is(synapsor.purge('2026-03-01 00:30+00'), 1, 'and then the rest');
select is(synapsor.purge('2026-03-01 00:30+00'), 0, 'once');
reset session authorization;
alter table synapsor.action_invocations force row level security;
alter table synapsor.external_action_events force row level security;
alter table synapsor.open_external_actions force row level security;
set session authorization test_admin;
select is(
    (select count(*) from synapsor.synapsor_action_invocations where action_id in (
        select action_id from action_of where charge in ('p succeeded', 'p rejected', 'p cancelled')
    )),
    0::bigint, 'no view shows what was purged'
);
select is(
    (select count(*) from synapsor.synapsor_external_actions where action_id in (
        select action_id from action_of where charge in ('p succeeded', 'p rejected', 'p cancelled')
    )),
    0::bigint, 'nor as an external action'
);
select is(
    (select array_agg(arguments ->> 'charge_id' order by 1) from synapsor.synapsor_external_actions
    where action_id in (select action_id from action_of)),
    array['p open'], 'what is not finished is not purged'
);
select is(
    (select count(*) from synapsor.synapsor_external_actions
    where arguments ->> 'charge_id' = 'p young'),
    1::bigint, 'what finished later is not either'
);
reset session authorization;
create temporary table purged on commit drop as
select action_id from action_of where charge in ('p succeeded', 'p rejected', 'p cancelled');
select is(
    array[
        (select count(*) from tests.events where action_id in (table purged)),
        (select count(*) from synapsor.approvals where action_id in (table purged)),
        (select count(*) from synapsor.approval_requests where action_id in (table purged)),
        (select count(*) from synapsor.action_invocations
        where action_id in (table purged) and coalesce(intent, parameters::text) is not null),
        (select count(*) from synapsor.action_invocations
        where parameters ->> 'charge_id' = 'p refused')
    ],
    array[0, 0, 0, 0, 0]::bigint[],
    'events, approvals, requests, intents and refused attempts are gone'
);
select is(
    (select count(*) from synapsor.action_invocations
    where action_id in (table purged) and holds_key and purged_as is not null),
    3::bigint, 'a tombstone of each key remains'
);
select is(
    (select array_agg(row(status, actor, detail ->> 'purged')::text order by occurred_at, sequence)
    from tests.events
    where event_type = 'Purged' and occurred_at >= '2026-03-01'
        and (detail ->> 'before')::timestamptz = '2026-03-01 00:30+00'),
    array['(purged,ada,3)', '(purged,ada,1)'],
    'each purge leaves a counted event'
);
select is(
    tests.statuses('p theirs', 'theirs'), array['cancelled', 'unknown'],
    'another tenant''s is not purged, by whichever wall'
);
set session authorization test_caller;
select tests.raises(
    format('select tests.proposed(%L, %L)', charge, action), 'SY014',
    '%which is ' || substr(charge, 3), '%', '%',
    'the tombstone refuses a business change on what was ' || substr(charge, 3)
)
from (values ('p rejected', 'billing.slow'), ('p cancelled', 'mail.send')) as dead (charge, action);
select tests.session('acme', 'alice');
select is(
    (select array_agg(row(
        proposed.action_id = (select action_id from action_of where charge = 'p succeeded'),
        proposed.status, proposed.changed
    )::text)
    from synapsor.propose_external_action(
        'mail.send', '{"charge_id": "p succeeded", "amount_cents": 100}'
    ) as proposed),
    array['(t,succeeded,f)'],
    'what succeeded is not performed again after a purge'
);
select is(
    (select array_agg(row(
        invoked.action_id = (select action_id from action_of where charge = 'p succeeded'),
        invoked.status, invoked.delivery_status, invoked.actor, invoked.changed
    )::text)
    from synapsor.invoke_action(
        'mail.send', '{"charge_id": "p succeeded", "amount_cents": 100}'
    ) as invoked),
    array['(t,completed,succeeded,alice,f)'],
    'invoke_action answers with what the tombstone tells'
);
select tests.raises(
    $$ select synapsor.propose_external_action('mail.send',
        '{"charge_id": "p succeeded", "amount_cents": 999}', 'acme:refund:p succeeded:100') $$,
    'SY008', '%', '%', '%', 'nor does its key serve other values'
);
select tests.raises(
    format('select synapsor.%I(%L)', verb, (
        select action_id from action_of where charge = 'p succeeded'
    )),
    'SY011', '%', '%', '%', verb || ': a purged action does not exist'
)
from unnest(array['cancel_external_action', 'explain_action']) as verb;
reset session authorization;
select synapsor.close_session();
set session authorization test_admin;
select is(
    synapsor.purge('2026-03-02 00:00+00'), 2,
    'without a session every tenant''s is purged'
);
reset session authorization;
select is(
    (select array_agg(tenant_id || ' ' || (detail ->> 'purged') order by tenant_id)
    from tests.events
    where event_type = 'Purged' and (detail ->> 'before')::timestamptz = '2026-03-02 00:00+00'),
    array['acme 1', 'globex 1'],
    'with an event for each tenant'
);


-- Events are never rewritten

select
    tests.raises(
        statement, '55000', 'events are append-only', '%', '%synapsor.purge%',
        'not even a superuser may ' || statement
    )
from unnest(array[
    'update synapsor.external_action_events set note = ''nothing happened''',
    'delete from synapsor.external_action_events',
    'truncate synapsor.external_action_events'
]) as statement;
-- The first one is implied by the invocation, which is as final in that.
select
    tests.raises(
        statement, '55000', 'how an action began is append-only', '%', '%synapsor.purge%',
        'nor ' || statement
    )
from unnest(array[
    'update synapsor.action_invocations set actor = ''somebody else'' where opened_as is not null',
    'update synapsor.action_invocations set created_at = now() where opened_as is not null',
    'update synapsor.action_invocations set opened_as = null where opened_as is not null',
    'delete from synapsor.action_invocations where opened_as is not null',
    'truncate synapsor.action_invocations'
]) as statement;
select is(
    (select count(*) from tests.events where event_id !~ '^evt_[0-9A-HJKMNP-TV-Z]{26}$'), 0::bigint,
    'an event has an identifier like any other'
);
select is(
    (select count(distinct event_id) from tests.events), (select count(*) from tests.events),
    'of its own'
);
select is(
    (select array_agg(event_id order by action_id, sequence) from tests.events),
    (select array_agg(event_id order by action_id, sequence) from tests.events),
    'and always the same'
);
set session authorization test_admin;
select
    tests.raises(
        statement, '42501', '%', null, null, 'no right, for an administrator, to ' || statement
    )
from unnest(array[
    'update synapsor.external_action_events set note = ''nothing happened''',
    'delete from synapsor.external_action_events',
    'truncate synapsor.external_action_events',
    'insert into synapsor.suspensions values (''all'', '''', ''x'', ''x'', now())'
]) as statement;


-- What purging an action of the pipeline takes along

reset session authorization;
select synapsor.declare_policy(
    '{"policy": "mail.blocks.v1", "kind": "data",
      "conditions": [{"when": {"kind": "always"}, "result": "block", "reason": "no"}]}'
);
select tests.a_contract('{"policies": ["mail.blocks.v1"]}', 'mail.blocked');
select tests.session('acme', 'alice');
create temporary table blocked on commit drop as
select action_id
from synapsor.invoke_action('mail.blocked', '{"charge_id": "p blocked", "amount_cents": 1}');
create function tests.kept_of_blocked()
returns text
language sql
as $function$
    select concat_ws(
        ' ',
        (select count(*) from synapsor.domain_events where action_id in (table blocked)),
        (select count(*) from synapsor.policy_evaluations where action_id in (table blocked)),
        (select count(*) from synapsor.event_subjects where subject_id in (table blocked))
    )
$function$;
select is(tests.kept_of_blocked(), '1 1 1', 'what was blocked has an event and evidence');
select throws_ok(
    'delete from synapsor.domain_events', '55000', 'events are append-only',
    'which nobody else deletes'
);
select tests.advance('1 hour');
select synapsor.purge(synapsor._now());
select is(
    tests.kept_of_blocked(), '0 0 1',
    'a purge removes both; of the subject its last sequence remains, which is not given out again'
);

select * from finish();
rollback;
