-- Who decides on a proposal, on exactly what, how often and until when; and cancelling (design.md
-- section 5, rules 3, 4, 10 and 11, and section 3).

begin;

select plan(195);
select tests.show_events();

-- A proposal of acme, whoever asks.
create function tests.proposed(
    charge text,
    action text default 'billing.issue_refund',
    by text default 'alice',
    amount numeric default 100,
    tenant text default 'acme',
    scheduled_at timestamptz default null
)
returns text
language plpgsql
security definer
as $function$
begin
    perform tests.session(tenant, by);
    return (synapsor.propose_external_action(
        action, jsonb_build_object('charge_id', charge, 'amount_cents', amount),
        scheduled_at => proposed.scheduled_at
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

create function tests.status_of(charge text)
returns text
language sql
stable
security definer
as $function$
    select event.status from tests.events as event
    where event.action_id = tests.id(status_of.charge) order by event.sequence desc limit 1
$function$;

create function tests.story(charge text)
returns text[]
language sql
stable
security definer
as $function$
    select array_agg(
        concat_ws(' ', event.event_type, event.status, event.actor, event.error_code, event.note)
        order by event.sequence
    )
    from tests.events as event
    where event.action_id = tests.id(story.charge)
$function$;

create function tests.reviewer(
    principal text, actor_type text default 'natural_person', tenant text default 'acme'
)
returns void
language sql
security definer
as $function$
    select tests.session(tenant, principal, array['billing_reviewer'], reviewer.actor_type)
$function$;

-- Claims one action as worker-1 and, perhaps, confirms it.
create function tests.delivered(charge text, outcome text default null, begin boolean default true)
returns void
language plpgsql
security definer
as $function$
begin
    perform tests.session('acme', 'worker-1');
    perform synapsor.claim_external_actions(
        'billing_external_actions', 1000, begin => delivered.begin
    );
    if outcome is not null then
        perform synapsor.confirm_external_action(tests.id(charge), outcome, retryable => false);
    end if;
end
$function$;

create function tests.tamper(charge text, old text default ':100,', new text default ':900,')
returns void
language sql
security definer
as $function$
    update synapsor.action_invocations as invocation
    set intent = replace(invocation.intent, tamper.old, tamper.new)
    where invocation.action_id = tests.id(tamper.charge)
$function$;

select tests.at('2026-01-01 12:00+00');
select tests.a_contract('{"approval": {"required": true, "role": "billing_reviewer"}}');
select tests.a_contract('{"approval": {"required": true}}', 'billing.any');
select tests.a_contract(
    '{"approval": {"required": true, "role": "billing_reviewer", "approvals": 3}}', 'billing.quorum'
);
select tests.a_contract(
    '{"approval": {"required": true, "role": "billing_reviewer", "separate_duties": true,
                   "approvals": 2}}', 'billing.separate'
);
select tests.a_contract(
    '{"approval": {"required": true, "role": "billing_reviewer", "expires_after": "1 hour",
                   "approvals": 2}}', 'billing.slow'
);
select tests.a_contract('{}', 'billing.free');


-- Approving

set session authorization test_caller;
select tests.proposed('one');
select is(
    (select array_agg(row(status, approvals_required, approvals_given, queued_at)::text)
    from synapsor.synapsor_external_actions where action_id = tests.id('one')),
    array['(proposed,1,0,)'],
    'a proposal that needs approval waits'
);
set session authorization test_worker;
select tests.session('acme', 'worker-1');
select is_empty(
    $$ select * from synapsor.claim_external_actions('billing_external_actions', 100) $$,
    'and cannot be claimed'
);
set session authorization test_approver;
select tests.reviewer('rita');
select tests.advance('1 minute');
select is(
    (select array_agg(row(
        status, approvals_required, approvals_given, queued_at, available_at, principal, changed
    )::text) from synapsor.approve_external_action(tests.id('one'), 'looks right')),
    array['(queued,1,1,"2026-01-01 12:01:00+00","2026-01-01 12:01:00+00",alice,t)'],
    'approved, it is queued'
);
select is(
    tests.story('one'),
    array['Proposed proposed alice', 'Approved proposed rita looks right', 'Queued queued rita'],
    'each transition is an event, with its actor and note'
);
select is(
    (select array_agg(row(
        approval.reviewer, approval.verdict, approval.note, approval.decided_at,
        approval.digest = external.digest, approval.approval_id ~ '^apr_[0-9A-Z]{26}$'
    )::text)
    from synapsor.synapsor_approvals as approval
    inner join synapsor.synapsor_external_actions as external using (action_id)),
    array['(rita,approved,"looks right","2026-01-01 12:01:00+00",t,t)'],
    'the approval is kept with its note and the digest of what will be sent'
);

-- Again

select is(
    (select array_agg(status || ' ' || changed)
    from synapsor.approve_external_action(tests.id('one'))),
    array['queued false'],
    'approving again changes nothing'
);
select tests.reviewer('ron');
select is(
    (select array_agg(status || ' ' || changed)
    from synapsor.approve_external_action(tests.id('one'), 'me too')),
    array['queued false'],
    'by another reviewer neither'
);
select tests.session('acme', 'bystander');
select is(
    (synapsor.approve_external_action(tests.id('one'))).changed, false,
    'nor by an approver without the role'
);
select tests.raises(
    format('select synapsor.reject_external_action(%L)', tests.id('one')), 'SY021',
    'action act_% does not await approval', 'It is queued.', null, 'queued, it is not rejected'
);
select tests.delivered('one');
select tests.reviewer('ron');
select is(
    (select array_agg(status || ' ' || changed)
    from synapsor.approve_external_action(tests.id('one'))),
    array['claimed false'],
    'claimed, approving changes nothing'
);
select tests.delivered('one', 'unknown');
select tests.reviewer('ron');
select is(
    (select array_agg(status || ' ' || changed)
    from synapsor.approve_external_action(tests.id('one'))),
    array['unknown false'],
    'of unknown outcome, approving changes nothing'
);
select synapsor.settle_external_action(tests.id('one'), 'succeeded');
select is(
    (select array_agg(status || ' ' || changed)
    from synapsor.approve_external_action(tests.id('one'))),
    array['succeeded false'],
    'succeeded, approving changes nothing'
);
select is(
    (select count(*) from synapsor.synapsor_approvals), 1::bigint,
    'and none of them was counted'
);
select is(
    (select count(*) from synapsor.synapsor_external_action_events where event_type = 'Approved'),
    1::bigint, 'nor is an event'
);


-- Who decides

select tests.proposed('two');
select
    tests.raises(
        format(
            'select tests.reviewer(%L, %L); select synapsor.%I(%L)', 'robot', actor_type, verb,
            tests.id('two')
        ),
        'SY007', 'actor type ' || actor_type || ' decides nothing', '%natural persons%', null,
        format('%s: %s decides nothing', verb, actor_type)
    )
from unnest(array['agent', 'system', 'service_account', 'external_system', 'integration'])
    as actor_type
cross join unnest(array['approve_external_action', 'reject_external_action']) as verb;
select is(tests.status_of('two'), 'proposed', 'and it waits still');
select tests.raises(
    format('select tests.reviewer(%L, %L); select synapsor.approve_external_action(%L)', 'robot',
        'agent', tests.id('one')),
    'SY007', 'actor type agent decides nothing', '%', null,
    'an agent does not even repeat an approval'
);
select
    tests.raises(
        format('select tests.session(%L, %L, %L); select synapsor.%I(%L)', 'acme', 'rita', roles,
            verb, tests.id('two')),
        'SY007', 'action act_% is decided by role billing_reviewer', 'rita holds %', null,
        format('%s with roles %s is refused', verb, roles)
    )
from unnest(array['{}', '{BILLING_REVIEWER}', '{billing}', '{billing_reviewer2}']) as roles
cross join unnest(array['approve_external_action', 'reject_external_action']) as verb;
select tests.proposed('any', 'billing.any');
select tests.session('acme', 'bystander');
select is(
    (synapsor.approve_external_action(tests.id('any'))).status, 'queued',
    'where the contract names no role any approver may'
);

select
    is(
        has_function_privilege('test_' || login, verb, 'execute'), login = any(allowed),
        format('%s: %s, or not', login, verb)
    )
from unnest(array['caller', 'approver', 'worker', 'auditor', 'admin', 'gateway', 'stranger'])
    as login
cross join (
    values
    ('synapsor.approve_external_action(text, text, text)', array['approver']),
    ('synapsor.reject_external_action(text, text)', array['approver']),
    ('synapsor.cancel_external_action(text, text)', array['caller', 'approver', 'admin']),
    ('synapsor.expire_approvals(integer)', array['worker', 'admin'])
) as verb (verb, allowed);


-- Another tenant's does not exist

select tests.proposed('theirs', tenant => 'globex');
select tests.reviewer('rita');
select
    is(
        tests.error(format('select synapsor.%I(%L)', verb, tests.id('theirs'))),
        replace(
            tests.error(format('select synapsor.%I(%L)', verb, 'act_00000000000000000000000000')),
            'act_00000000000000000000000000', tests.id('theirs')
        ),
        verb || ': another tenant''s action cannot be told from none'
    )
from unnest(array[
    'approve_external_action', 'reject_external_action', 'cancel_external_action'
]) as verb;
select
    tests.raises(
        format('select synapsor.%I(%L)', verb, tests.id('theirs')), 'SY011',
        'external action ''act_%'' does not exist', 'No such action is visible to this session.',
        '%', verb || ': it is SY011'
    )
from unnest(array[
    'approve_external_action', 'reject_external_action', 'cancel_external_action'
]) as verb;
reset session authorization;
alter table synapsor.open_external_actions no force row level security;
alter table synapsor.action_invocations no force row level security;
set session authorization test_approver;
select
    tests.raises(
        format('select synapsor.%I(%L)', verb, tests.id('theirs')), 'SY011', '%', '%', '%',
        verb || ': it asks for the tenant itself, row-level security is the second wall'
    )
from unnest(array[
    'approve_external_action', 'reject_external_action', 'cancel_external_action'
]) as verb;
reset session authorization;
alter table synapsor.open_external_actions force row level security;
alter table synapsor.action_invocations force row level security;
set session authorization test_approver;
select tests.raises(
    format('select synapsor.approve_external_action(%L, expected_digest => %L)', tests.id('theirs'),
        repeat('0', 64)),
    'SY011', '%', '%', '%', 'a digest is not a way to find out'
);
select tests.raises(
    'select synapsor.approve_external_action(null)', 'SY011', '%NULL does not exist', '%', '%',
    'null does not exist'
);
select synapsor.close_session();
select tests.raises(
    format('select synapsor.approve_external_action(%L)', tests.id('two')), 'SY011', '%', '%', '%',
    'without a session nothing exists'
);
reset session authorization;
select synapsor.bind_role(
    'test_approver_b',
    '{"principal": "regional", "tenants": ["acme", "globex"], "roles": ["billing_reviewer"]}'
);
set session authorization test_approver_b;
select is(
    (select array_agg((synapsor.approve_external_action(tests.id(charge))).status)
    from unnest(array['two', 'theirs']) as charge),
    array['queued', 'queued'],
    'a reviewer bound to several tenants decides in each of them'
);
set session authorization test_approver;


-- Quorum

select tests.proposed('quorum', 'billing.quorum');
select tests.reviewer('rita');
select is(
    (select array_agg(row(status, approvals_required, approvals_given, changed)::text)
    from synapsor.approve_external_action(tests.id('quorum'))),
    array['(proposed,3,1,t)'],
    'one of three approvals leaves it waiting'
);
select tests.raises(
    format('select synapsor.approve_external_action(%L)', tests.id('quorum')), 'SY022',
    'rita has decided on action act_% already', 'Each reviewer counts once.', '%',
    'the same reviewer counts once'
);
set session authorization test_approver_b;
select tests.reviewer('rita');
select tests.raises(
    format('select synapsor.approve_external_action(%L)', tests.id('quorum')), 'SY022', '%', '%',
    '%', 'also through another login'
);
select tests.reviewer('ron');
select is(
    (select array_agg(status || ' ' || approvals_given)
    from synapsor.approve_external_action(tests.id('quorum'))),
    array['proposed 2'],
    'the second counts'
);
select is(
    (select reviewers from synapsor.synapsor_pending_approvals
    where action_id = tests.id('quorum')),
    array['rita', 'ron'],
    'the pending approval names who approved'
);
select tests.reviewer('rosa');
select is(
    (select array_agg(status || ' ' || approvals_given)
    from synapsor.approve_external_action(tests.id('quorum'))),
    array['queued 3'],
    'the third queues it'
);
select is(
    tests.story('quorum'),
    array[
        'Proposed proposed alice', 'Approved proposed rita', 'Approved proposed ron',
        'Approved proposed rosa', 'Queued queued rosa'
    ],
    'and the story tells all of it'
);
select tests.proposed('turned', 'billing.quorum');
select tests.reviewer('rita');
select synapsor.approve_external_action(tests.id('turned'));
select is(
    (select array_agg(status || ' ' || approvals_given)
    from synapsor.reject_external_action(tests.id('turned'), 'on second thought')),
    array['rejected 0'],
    'who approved may still reject while it waits'
);


-- Separate duties

set session authorization test_approver;
select tests.proposed('separate', 'billing.separate', by => 'rita');
select tests.reviewer('rita');
select tests.raises(
    format('select synapsor.approve_external_action(%L)', tests.id('separate')), 'SY023',
    'rita proposed action act_% and may not approve it', '%separates the duties%', '%',
    'with separate duties the proposer may not approve'
);
select tests.reviewer('ron');
select synapsor.approve_external_action(tests.id('separate'));
select tests.reviewer('rita');
select tests.raises(
    format('select synapsor.approve_external_action(%L)', tests.id('separate')), 'SY023', '%', '%',
    '%', 'not as the second of two either'
);
select is(
    (synapsor.reject_external_action(tests.id('separate'), 'my mistake')).status, 'rejected',
    'but may reject'
);
select tests.proposed('own', by => 'rita');
select tests.reviewer('rita');
select is(
    (synapsor.approve_external_action(tests.id('own'))).status, 'queued',
    'without separate duties a proposer with the role may'
);


-- The digest (rule 3)

select tests.proposed('digest');
select tests.reviewer('rita');
select tests.raises(
    format('select synapsor.approve_external_action(%L, expected_digest => %L)', tests.id('digest'),
        expected),
    'SY024', 'the digest of action act_% is not the expected one', 'Expected %, found %.', '%',
    'a false expected_digest is refused: ' || expected
)
from unnest(array[repeat('0', 64), '', 'x']) as expected;
select is(
    tests.status_of('digest') || (select count(*) from synapsor.synapsor_approvals
    where action_id = tests.id('digest')),
    'proposed0',
    'and nothing is recorded'
);
select is(
    (synapsor.approve_external_action(
        action_id, expected_digest => digest
    )).status,
    'queued',
    'the digest of the pending approval is the one expected'
)
from synapsor.synapsor_pending_approvals where action_id = tests.id('digest');
select tests.raises(
    format('select synapsor.approve_external_action(%L, expected_digest => %L)', tests.id('digest'),
        repeat('0', 64)),
    'SY024', '%', '%', '%', 'a false one is also refused once it is queued'
);

select tests.proposed('drift');
select tests.tamper('drift');
select tests.reviewer('rita');
select tests.raises(
    format('select synapsor.approve_external_action(%L)', tests.id('drift')), 'SY024',
    'the intent of action act_% was changed after it was recorded', '%', '%',
    'an intent that was changed is not approved'
);
select is(
    (synapsor.reject_external_action(tests.id('drift'))).status, 'rejected',
    'but can be rejected'
);
select tests.proposed('later drift');
select tests.reviewer('rita');
select synapsor.approve_external_action(tests.id('later drift'));
select tests.tamper('later drift');
select tests.delivered('later drift');
select tests.reviewer('rita');
select is(
    (select array_agg(row(status, approvals_given)::text) from synapsor.synapsor_external_actions
    where action_id = tests.id('later drift')),
    array['(proposed,0)'],
    'changed after approval, it waits again and its approvals are void'
);
select is(
    (tests.story('later drift'))[4], 'ApprovalVoided proposed worker-1 SY024',
    'which is an event with SY024'
);
select tests.raises(
    format('select synapsor.approve_external_action(%L)', tests.id('later drift')), 'SY024', '%',
    '%', '%', 'and what differs from what was recorded cannot be approved anew'
);

select tests.proposed('drift of two', 'billing.slow');
select tests.reviewer('rita');
select synapsor.approve_external_action(tests.id('drift of two'));
select tests.reviewer('ron');
select synapsor.approve_external_action(tests.id('drift of two'));
select tests.tamper('drift of two');
select tests.delivered('drift of two');
select tests.tamper('drift of two', ':900,', ':100,');
select tests.reviewer('rita');
select is(
    (select status || ' ' || approvals_given
    from synapsor.approve_external_action(tests.id('drift of two'))),
    'proposed 1',
    'of a quorum whose approvals were voided nothing is left: everybody is asked again'
);
select tests.reviewer('ron');
select is(
    (select status || ' ' || approvals_given
    from synapsor.approve_external_action(tests.id('drift of two'))),
    'queued 2',
    'and may approve again'
);


-- Rejecting is terminal

select tests.proposed('no');
select tests.reviewer('rita');
select is(
    (select array_agg(row(status, error_code, finished_at is not null, changed)::text)
    from synapsor.reject_external_action(tests.id('no'), 'wrong customer')),
    array['(rejected,rejected,t,t)'],
    'rejected, it is finished'
);
select is(
    tests.story('no'),
    array['Proposed proposed alice', 'Rejected rejected rita rejected wrong customer'],
    'with who and why'
);
select is(
    (select status || ' ' || error_code from synapsor.synapsor_action_invocations
    where action_id = tests.id('no')),
    'cancelled rejected',
    'its invocation is cancelled, the error_code says which way'
);
select is(
    (synapsor.reject_external_action(tests.id('no'), 'again')).changed, false,
    'the same reviewer rejecting again changes nothing'
);
select tests.raises(
    format('select synapsor.approve_external_action(%L)', tests.id('no')), 'SY021',
    'action act_% does not await approval', 'It is rejected.', null, 'it cannot be approved'
);
select tests.reviewer('ron');
select tests.raises(
    format('select synapsor.reject_external_action(%L)', tests.id('no')), 'SY021', '%',
    'It is rejected.', null, 'nor rejected by another'
);


-- Expiry

select tests.at('2026-02-01 12:00+00');
select tests.proposed('late', 'billing.slow');
select tests.proposed('in time', 'billing.slow');
select tests.proposed('half', 'billing.slow');
select tests.proposed('late too', 'billing.slow', tenant => 'globex');
select tests.reviewer('rita');
select is(
    (select approval_expires_at from synapsor.synapsor_external_actions
    where action_id = tests.id('late')),
    '2026-02-01 13:00+00',
    'a proposal tells until when it may be approved'
);
select synapsor.approve_external_action(tests.id('in time'));
select synapsor.approve_external_action(tests.id('half'));
select tests.advance('59 minutes 59 seconds');
select tests.reviewer('ron');
select is(
    (select array_agg(status || ' ' || approvals_given)
    from synapsor.approve_external_action(tests.id('in time'))),
    array['queued 2'],
    'the last second counts, and so does an approval given before'
);
reset session authorization;
select synapsor.bind_role('test_worker', '{"principal": "worker-1", "tenant_id": "acme"}');
set session authorization test_worker;
select synapsor.close_session();
select is(synapsor.expire_approvals(), 0, 'nothing expires before its time');
select tests.advance('1 second');
set session authorization test_approver;
select tests.reviewer('ron');
select
    tests.raises(
        format('select synapsor.%I(%L)', verb, tests.id(charge)), 'SY021',
        'the proposal act_% has expired', 'It could be decided until 2026-02-01 13:00:00+00.',
        format('See what became of it: select synapsor.explain_action(%L).', tests.id(charge)),
        format('%s: the time is over for %s, although no sweep came by', verb, charge)
    )
from unnest(array['approve_external_action', 'reject_external_action']) as verb
cross join unnest(array['late', 'half']) as charge;
set session authorization test_worker;
select synapsor.close_session();
select is(synapsor.expire_approvals(1), 1, 'a sweep expires at most max_actions');
select is(synapsor.expire_approvals(), 1, 'and then the rest');
select is(synapsor.expire_approvals(), 0, 'once');
select is(
    array[tests.status_of('late'), tests.status_of('half'), tests.status_of('in time'),
        tests.status_of('late too')],
    array['expired', 'expired', 'queued', 'proposed'],
    'what nobody approved in time; not what was approved, and not another tenant''s'
);
select is(
    tests.story('late'),
    array['Proposed proposed alice', 'Expired expired worker-1 expired'],
    'which is an event'
);
select is(
    (select status || ' ' || error_code from synapsor.synapsor_action_invocations
    where action_id = tests.id('late')),
    'cancelled expired',
    'its invocation is cancelled as expired'
);
set session authorization test_approver;
select tests.reviewer('ron');
select tests.raises(
    format('select synapsor.approve_external_action(%L)', tests.id('late')), 'SY021',
    'action act_% does not await approval', 'It is expired.', null, 'expired, it cannot be approved'
);
select tests.proposed('no hurry');
select tests.advance('10 years');
select tests.reviewer('rita');
select is(
    (synapsor.approve_external_action(tests.id('no hurry'))).status, 'queued',
    'without expires_after a proposal waits for ever'
);


-- Unless: only exactly true spares the approval

reset session authorization;
create function tests.waits(condition text, arguments jsonb, extra jsonb default '{}')
returns text
language plpgsql
as $function$
declare
    number text := (select count(*) from synapsor.action_contracts)::text;
begin
    perform synapsor.declare_action(jsonb_build_object(
        'action', 'unless.c' || number,
        'args', '{"amount": {"type": "number"}, "amounts": {"type": "array"},
                  "text": {"type": "string"}, "flag": {"type": "boolean"},
                  "object": {"type": "object"}}'::jsonb,
        'hidden', '{"principal": {}, "limit": {"required": false}}'::jsonb,
        'approval', jsonb_build_object('required', true, 'unless', condition)
    ));
    perform tests.session('acme', 'alice', array['teller'], extra => waits.extra);
    return (synapsor.propose_external_action('unless.c' || number, arguments)).status;
end
$function$;

select
    is(
        tests.waits(condition, arguments::jsonb, extra::jsonb), expected,
        format('unless %s: %s is %s', condition, arguments, expected)
    )
from (
    values
    ('$.args.amount <= 2500', '{"amount": 2500}', '{}', 'queued'),
    ('$.args.amount <= 2500', '{"amount": 2500.01}', '{}', 'proposed'),
    ('strict $.args.amount <= 2500', '{"amount": 2500}', '{}', 'queued'),
    ('$.args.amount <= 2500', '{}', '{}', 'proposed'),
    ('!($.args.amount > 2500)', '{}', '{}', 'proposed'),
    ('!exists($.args.amount)', '{}', '{}', 'proposed'),
    ('$.args.amount == null', '{}', '{}', 'proposed'),
    ('$.args.text <= 2500', '{"text": "1"}', '{}', 'proposed'),
    ('!($.args.text > 2500)', '{"text": "9999"}', '{}', 'proposed'),
    ('$.args.text <= "2500"', '{"amount": 1}', '{}', 'proposed'),
    ('$.args.amounts <= 2500', '{"amounts": [1]}', '{}', 'proposed'),
    ('$.args.amounts <= 2500', '{"amounts": [9999, 1]}', '{}', 'proposed'),
    ('$.args.amounts[0] <= 2500', '{"amounts": [1]}', '{}', 'queued'),
    ('$.args.amounts[0] <= 2500', '{"amounts": [9999, 1]}', '{}', 'proposed'),
    ('$.args.amounts[0] <= 2500', '{"amounts": []}', '{}', 'proposed'),
    ('$.args.amount[0] <= 2500', '{"amount": 1}', '{}', 'proposed'),
    ('$.args.amounts.size() < 2', '{"amounts": [1]}', '{}', 'queued'),
    ('$.args.amounts.size() < 2', '{"amount": 1}', '{}', 'proposed'),
    ('$.args.object.amount <= 2500', '{"object": {"amount": [1]}}', '{}', 'proposed'),
    ('$.args.object.amount <= 2500', '{"object": {"amount": 1}}', '{}', 'queued'),
    ('$.args.text like_regex "^ok"', '{"text": "ok then"}', '{}', 'queued'),
    ('$.args.object.list like_regex "^ok"', '{"object": {"list": ["ok"]}}', '{}', 'proposed'),
    ('$.args.flag', '{"flag": true}', '{}', 'queued'),
    ('$.args.flag', '{"flag": false}', '{}', 'proposed'),
    ('$.args.text', '{"text": "true"}', '{}', 'proposed'),
    ('$.args.amount', '{"amount": 1}', '{}', 'proposed'),
    ('$.args.object', '{"object": {}}', '{}', 'proposed'),
    ('$.args.amounts', '{"amounts": [true]}', '{}', 'proposed'),
    ('$.args.amounts ? (@ == 1)', '{"amounts": [1]}', '{}', 'proposed'),
    ('$.args.amount ? (@ < 5) < 5', '{"amount": 9}', '{}', 'proposed'),
    ('1 / $.args.amount > 0', '{"amount": 0}', '{}', 'proposed'),
    ('$.args.amount <= $.hidden.limit', '{"amount": 5}', '{"limit": 9}', 'queued'),
    ('$.args.amount <= $.hidden.limit', '{"amount": 5}', '{"limit": "9"}', 'proposed'),
    ('$.args.amount <= $.hidden.limit', '{"amount": 5}', '{"limit": [9]}', 'proposed'),
    ('$.args.amount <= $.hidden.limit', '{"amount": 5}', '{}', 'proposed'),
    ('$.hidden.principal == "alice"', '{}', '{}', 'queued'),
    ('$.hidden.principal == "Alice"', '{}', '{}', 'proposed'),
    ('$.context.actor_type == "natural_person"', '{}', '{}', 'queued'),
    ('$.context.tenant_id == "globex"', '{}', '{}', 'proposed'),
    ('$.context.roles[0] == "teller"', '{}', '{}', 'queued'),
    ('$.context.roles == "teller"', '{}', '{}', 'proposed'),
    ('$.args.amount <= 2500 && $.args.text == "a"', '{"amount": 1}', '{}', 'proposed'),
    ('$.args.amount <= 2500 || $.args.text == "a"', '{"amount": 1}', '{}', 'queued'),
    ('($.args.amount <= 2500) is unknown', '{}', '{}', 'queued')
) as unless (condition, arguments, extra, expected);
select is(
    tests.waits(null, '{"amount": 1}'), 'proposed', 'without an unless, required is required'
);


-- Cancelling (rule 10)

set session authorization test_caller;
select tests.proposed('c proposed');
select is(
    (select array_agg(row(status, error_code, finished_at is not null, changed)::text)
    from synapsor.cancel_external_action(tests.id('c proposed'), 'not needed')),
    array['(cancelled,cancelled,t,t)'],
    'the proposer cancels what is proposed'
);
select is(
    tests.story('c proposed'),
    array['Proposed proposed alice', 'Cancelled cancelled alice cancelled not needed'],
    'which is an event, with the reason'
);
select is(
    (synapsor.cancel_external_action(tests.id('c proposed'))).changed, false,
    'cancelling again changes nothing'
);
select is(
    (select status || ' ' || error_code from synapsor.synapsor_action_invocations
    where action_id = tests.id('c proposed')),
    'cancelled cancelled',
    'its invocation is cancelled'
);
select tests.proposed('c queued', 'billing.free');
select is(
    (synapsor.cancel_external_action(tests.id('c queued'))).status, 'cancelled',
    'what is queued too'
);
select tests.proposed('c claimed', 'billing.free');
select tests.delivered('c claimed', begin => false);
select tests.session('acme', 'alice');
select is(
    (synapsor.cancel_external_action(tests.id('c claimed'))).status, 'cancelled',
    'and what is claimed, while its delivery has not begun'
);
set session authorization test_worker;
select tests.session('acme', 'worker-1');
select tests.raises(
    format('select synapsor.begin_delivery(%L, %s)', tests.id('c claimed'), (
        select claim_token from synapsor.synapsor_external_actions
        where action_id = tests.id('c claimed')
    )),
    'SY030', '%', '%', '%', 'whose worker then cannot begin'
);
set session authorization test_caller;
select tests.proposed('c begun', 'billing.free');
select tests.delivered('c begun');
select tests.session('acme', 'alice');
select tests.raises(
    format('select synapsor.cancel_external_action(%L)', tests.id('c begun')), 'SY014',
    'action act_% can no longer be cancelled', 'It is claimed and its delivery has begun%', '%',
    'once delivery has begun it cannot be cancelled'
);
select tests.delivered('c begun', 'unknown');
select tests.session('acme', 'alice');
select tests.raises(
    format('select synapsor.cancel_external_action(%L)', tests.id('c begun')), 'SY014', '%',
    'It is unknown%', '%', 'nor when nobody knows its outcome'
);
select tests.proposed('c lost', 'billing.free');
select tests.delivered('c lost');
select tests.advance('2 minutes');
set session authorization test_worker;
select tests.session('acme', 'worker-1');
select synapsor.expire_claims();
set session authorization test_caller;
select tests.session('acme', 'alice');
select tests.raises(
    format('select synapsor.cancel_external_action(%L)', tests.id('c lost')), 'SY014', '%',
    'It is queued and its delivery has begun%', '%',
    'nor when it is queued again after a delivery that was lost'
);
select is(tests.status_of('c lost'), 'queued', 'as it is here');
select tests.proposed('c failed', 'billing.free');
select tests.delivered('c failed', 'failed');
select tests.proposed('c succeeded', 'billing.free');
select tests.delivered('c succeeded', 'succeeded');
select tests.session('acme', 'alice');
select tests.raises(
    format('select synapsor.cancel_external_action(%L)', tests.id(charge)), 'SY014', '%',
    'It is ' || tests.status_of(charge) || '.', '%', tests.status_of(charge) || ' is final'
)
from unnest(array['c failed', 'c succeeded', 'no', 'late']) as charge;
select tests.proposed('c other', by => 'bob');
select tests.session('acme', 'alice');
select tests.raises(
    format('select synapsor.cancel_external_action(%L)', tests.id('c other')), 'SY007',
    'action act_% was proposed by another principal', null, '%',
    'a caller cancels only what is its own'
);
set session authorization test_approver;
select tests.reviewer('rita');
select is(
    (synapsor.cancel_external_action(tests.id('c other'), 'duplicate')).status, 'cancelled',
    'an approver cancels anybody''s'
);
select tests.raises(
    format('select synapsor.approve_external_action(%L)', tests.id(charge)), 'SY021', '%',
    'It is ' || tests.status_of(charge) || '.', null, tests.status_of(charge) || ' is not approved'
)
from unnest(array['c other', 'c failed']) as charge;


-- Approval and schedule, approval and retirement

select tests.proposed('tomorrow', scheduled_at => synapsor._now() + interval '1 day');
select tests.reviewer('rita');
select is(
    (select status || ' ' || (available_at = scheduled_at)::text
    from synapsor.approve_external_action(tests.id('tomorrow'))),
    'queued true',
    'approved early, it still waits for its time'
);
select tests.proposed('retired');
reset session authorization;
select synapsor.retire_action('billing.issue_refund');
set session authorization test_approver;
select tests.reviewer('rita');
select is(
    (synapsor.approve_external_action(tests.id('retired'))).status, 'queued',
    'a retired contract''s proposals are decided as before'
);

-- Rule 11

reset session authorization;
select is(
    (select count(*) from (
        select sequence, row_number() over (partition by action_id order by sequence) as expected
        from tests.events
    ) as numbered where sequence <> expected),
    0::bigint,
    'events of an action are numbered from 1 without gaps'
);
select is(
    (select count(*) from synapsor.open_external_actions as open
    where open.status <> (
        select event.status from tests.events as event
        where event.action_id = open.action_id order by event.sequence desc limit 1
    ) or open.last_sequence <> (
        select max(event.sequence) from tests.events as event
        where event.action_id = open.action_id
    )),
    0::bigint,
    'and the latest event always tells the state'
);

-- What the last approval returns is what the view shows, whoever approves.
create role both_reviewer login;
grant synapsor_approver, synapsor_auditor to both_reviewer;
grant usage on schema tests to both_reviewer;
select synapsor.declare_action(jsonb_strip_nulls('{
    "action": "test.shown", "kind": "external", "provider": "bank", "operation": "pay", "queue": "shown",
    "args": {"charge_id": {"type": "string", "required": true}, "amount_cents": {"type": "integer"}},
    "hidden": {"tenant_id": {}, "principal": {}, "space": {"required": false}},
    "account": "{principal}", "ordering_key": "{principal}:{charge_id}", "redact": ["charge_id"],
    "idempotency": {"key": "{principal}:{charge_id}", "idempotent": true}, "deliver_within": "1 hour",
    "approval": {"required": true, "role": "reviewer", "expires_after": "1 hour"}, "priority": 5
}'));
create function tests.unlike(action_id text)
returns setof text
language plpgsql
as $function$
declare
    approved constant synapsor.external_action := synapsor.approve_external_action(action_id, 'a note');
begin
    return query
    select format('%s: %s, not %s', field.key, field.value, to_jsonb(stored) -> field.key)
    from jsonb_each(to_jsonb(approved)) as field
    cross join synapsor.synapsor_external_actions as stored
    where stored.action_id = unlike.action_id and field.key <> 'changed'
        and field.value is distinct from to_jsonb(stored) -> field.key
    union all
    select 'not queued' where approved.status is distinct from 'queued'
    union all
    select 'not shown' where not exists (
        select from synapsor.synapsor_external_actions as stored where stored.action_id = unlike.action_id
    );
end;
$function$;
create function tests.expect_alike(login text, charge text, action text default 'test.shown')
returns text
language plpgsql
as $function$
declare
    proposed constant text := tests.proposed(
        charge, action, scheduled_at => case charge when 'later' then now() + interval '1 day' end
    );
    told text;
begin
    perform tests.session('acme', 'rita', array['reviewer', 'billing_reviewer']);
    perform set_config('session_authorization', login, true);
    told := is_empty(
        format('select tests.unlike(%L)', proposed), format('%s is returned as it is shown to %s', charge, login)
    );
    reset session authorization;
    return told;
end;
$function$;
select tests.expect_alike('test_approver', 'at once');
select tests.expect_alike('both_reviewer', 'audited');
select tests.expect_alike('test_approver', 'later');
select synapsor.declare_redaction('action_evidence', 'amount_cents', 'nullify');
select tests.expect_alike('test_approver', 'masked');
select tests.expect_alike('both_reviewer', 'not masked');

select * from finish();
rollback;
