-- Outcomes nobody knows, from the delivery to the person who settles them: what is held meanwhile,
-- who is told, and what the budget says at every turn (design.md sections 5 and 7).

begin;

select no_plan();

\ir support/delivery.sql

create function tests.consumed(action text)
returns numeric
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select coalesce(sum(budget.consumed), 0)
    from synapsor.budgets as budget
    where budget.budget::jsonb ->> 'action' = consumed.action;
$function$;

create function tests.propose(action text, charge text, cents integer, key text default null)
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    proposed synapsor.external_action;
begin
    perform tests.session('acme', 'alice');
    proposed := synapsor.propose_external_action(
        propose.action, jsonb_build_object('charge_id', charge, 'amount_cents', cents), idempotency_key => key
    );
    insert into pg_temp.actions values (charge, proposed.action_id) on conflict (name) do nothing;
    return proposed.status || case when proposed.changed then '' else ', unchanged' end;
exception when sqlstate 'SY051' then
    return 'SY051';
end
$function$;

create function tests.stuck(name text)
returns text
language sql
as $function$
    select cause || ' / ' || remedy
    from synapsor.synapsor_stuck_actions
    where action_id = tests.id(name);
$function$;

select tests.at('2026-01-31 12:00+00');
select tests.a_contract(
    '{"queue": "ask", "idempotency": {"idempotent": false, "key": "{charge_id}"}, "provider": "asked",
      "reconcile": {"operation": "refunds.find", "after": "30 s", "max_attempts": 2},
      "limits": [{"sum": "amount_cents", "max": 1000, "per": "day", "by": ["tenant_id"]}]}', 'test.ask'
);
select synapsor.declare_provider('{"provider": "asked", "concurrency": {"max": 1}}');
select is(tests.propose('test.ask', 'lost', 600), 'queued', 'an action takes its share');
set session authorization test_worker;
select is(tests.claim('ask'), 'lost', 'it is delivered');
select synapsor.confirm_external_action(tests.id('lost'), 'unknown', claim_token => tests.token('lost'));
select is(tests.consumed('test.ask'), 600::numeric, 'unknown holds its share');
select is(tests.propose('test.ask', 'more', 500), 'SY051', 'which others have to do without');
select is(tests.propose('test.ask', 'lost', 600), 'unknown, unchanged', 'and its key');
select is(tests.propose('test.ask', 'small', 300), 'queued', 'what fits is queued');
select is(tests.claim('ask'), 'small', 'and finds room at the provider');
select synapsor.confirm_external_action(tests.id('small'), 'succeeded', claim_token => tests.token('small'));
select is(
    tests.stuck('lost'), 'the outcome is unknown / A worker reconciles it; or settle it: '
    || format('select synapsor.settle_external_action(%L, …).', tests.id('lost')), 'it is listed'
);

select tests.advance('30 s');
select is(tests.claim('ask', purpose => 'reconcile'), 'lost', 'a worker asks');
select is(
    (
        select in_flight from synapsor.synapsor_provider_health
        where provider = 'asked'
    ), 0::bigint,
    'which is no delivery: it takes no room'
);
select tests.sweep();
select tests.advance('30 s');
select is(tests.claim('ask', purpose => 'reconcile'), 'lost', 'asks again');
select synapsor.release_claim(
    tests.id('lost'), tests.token('lost'), error_code => 'not_found_yet', error_message => 'no such refund'
);
select tests.advance('1 day');
select is(tests.claim('ask', purpose => 'reconcile'), 'nothing', 'and no more');
select is(
    tests.stuck('lost'), 'the outcome is unknown: not_found_yet / Ask the provider, then settle it: '
    || format('select synapsor.settle_external_action(%L, …).', tests.id('lost')), 'now it is for a person'
);
select is(tests.consumed('test.ask'), 900::numeric, 'its share is held for as long');
select is(tests.propose('test.ask', 'lost', 600), 'unknown, unchanged', 'and its key');
reset session authorization;
set session authorization test_approver;
select tests.session('acme', 'rita');
select is(
    (select row(settled.status, settled.provider_request_id)::text
    from synapsor.settle_external_action(
        tests.id('lost'), 'failed', '{"asked": "support"}', 'never arrived'
    ) as settled),
    '(failed,)', 'who settles it with evidence'
);
select is(tests.consumed('test.ask'), 300::numeric, 'as failed, and its share is given back');
reset session authorization;

select is(tests.propose('test.ask', 'found', 400), 'queued', 'another one');
set session authorization test_worker;
select is(tests.claim('ask'), 'found', 'is delivered');
select tests.advance('2 min');
select is(tests.claim('ask'), 'nothing', 'and lost');
select is(tests.stands('found'), 'unknown LeaseExpired lease_lost 1/0/1', 'which nobody repeats blindly');
select tests.advance('30 s');
select is(tests.claim('ask', purpose => 'reconcile'), 'found', 'a worker asks');
select is(
    (select row(settled.status, settled.provider_request_id)::text
    from synapsor.settle_external_action(
        tests.id('found'), 'succeeded', '{"provider_request_id": "re_7", "found_by": "key"}',
        claim_token => tests.token('found')
    ) as settled), '(succeeded,re_7)', 'and settles it with what it found'
);
reset session authorization;
select is(
    (select event.detail -> 'evidence' ->> 'found_by' from synapsor.external_action_events as event
    where event.action_id = tests.id('found') and event.event_type = 'Settled'), 'key', 'the evidence is kept'
);
select is(tests.consumed('test.ask'), 700::numeric, 'what was done keeps its share');

-- Suspending stops the asking too; an open breaker does not: somebody has to find out
select is(tests.propose('test.ask', 'again', 1), 'queued', 'one more');
set session authorization test_worker;
select is(tests.claim('ask'), 'again', 'delivered');
select synapsor.confirm_external_action(tests.id('again'), 'unknown', claim_token => tests.token('again'));
select tests.advance('1 min');
reset session authorization;
select synapsor.declare_provider('{"provider": "asked", "breaker": {"mode": "forced_open"}}');
select synapsor.suspend('provider', 'asked', 'incident');
set session authorization test_worker;
select is(tests.claim('ask', purpose => 'reconcile'), 'nothing', 'a suspended provider is not asked');
reset session authorization;
select synapsor.resume('provider', 'asked');
set session authorization test_worker;
select is(tests.claim('ask', purpose => 'reconcile'), 'again', 'one whose breaker is open is');
reset session authorization;


-- Budgets: what waits for approval takes nothing, what is refused or expires gives it back

select tests.a_contract(
    '{"queue": "asked for", "approval": {"required": true, "role": "reviewer", "expires_after": "1 hour"},
      "deliver_within": "2 hours",
      "limits": [{"sum": "amount_cents", "max": 1000, "per": "month"}]}', 'test.reviewed'
);
create function tests.approve(name text)
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform tests.session('acme', 'rita', array['reviewer']);
    return (synapsor.approve_external_action(tests.id(name))).status;
end
$function$;
select is(tests.propose('test.reviewed', 'first', 700), 'proposed', 'a proposal');
select is(tests.propose('test.reviewed', 'second', 700), 'proposed', 'and another');
select is(tests.consumed('test.reviewed'), 0::numeric, 'take nothing');
select tests.session('acme', 'rita', array['reviewer']);
select is((synapsor.reject_external_action(tests.id('first'), 'no')).status, 'rejected', 'one is rejected');
select is(tests.consumed('test.reviewed'), 0::numeric, 'and has nothing to give back');
select is(tests.approve('second'), 'queued', 'approved, the other one');
select is(tests.consumed('test.reviewed'), 700::numeric, 'takes its share');
select is(tests.propose('test.reviewed', 'third', 700), 'proposed', 'a third one');
select is(tests.approve('third'), 'blocked_by_policy', 'finds too little left when it is approved');
select is(tests.consumed('test.reviewed'), 700::numeric, 'and takes nothing');

-- An approval that became void is given anew, and so is the share
update synapsor.approvals
set digest = '\x00'
where action_id = tests.id('second');
set session authorization test_worker;
select is(tests.claim('asked for'), 'nothing', 'what differs from what was approved is not sent');
reset session authorization;
select is(tests.stands('second'), 'proposed ApprovalVoided SY024 0/0/0', 'it waits for approval again');
select is(tests.consumed('test.reviewed'), 0::numeric, 'and its share is free');
select is(tests.approve('second'), 'queued', 'approved again');
select is(tests.consumed('test.reviewed'), 700::numeric, 'it takes it once');
select tests.advance('3 hours');
set session authorization test_worker;
select tests.worker();
select is(synapsor.expire_claims() > 0, true, 'not delivered in time');
reset session authorization;
select is(tests.consumed('test.reviewed'), 0::numeric, 'it gives it back');

-- Periods are of the calendar in UTC, wherever the session is
set local timezone = 'Pacific/Kiritimati';
select tests.at('2026-02-28 23:59:59+00');
select is(tests.propose('test.reviewed', 'february', 1000), 'proposed', 'on the last of February');
select is(tests.approve('february'), 'queued', 'all of it is taken');
select is(tests.propose('test.reviewed', 'too much', 1), 'proposed', 'in the same second');
select is(tests.approve('too much'), 'blocked_by_policy', 'not a cent is left');
select tests.at('2026-03-01 00:00:00+00');
select is(tests.propose('test.reviewed', 'march', 1000), 'proposed', 'the next month');
select is(tests.approve('march'), 'queued', 'has a budget of its own');

select * from finish();

rollback;
