-- Limits: what a contract lets through in an hour, a day or a month, exactly (design.md section 7).

begin;

select plan(24);

create function tests.pay(cents integer, customer text default 'c1', what text default 'billing.pay')
returns text
language plpgsql
as $function$
begin
    return (synapsor.propose_external_action(
        what, jsonb_build_object('amount_cents', cents, 'customer', customer),
        idempotency_key => gen_random_uuid()::text
    )).status;
exception
    when sqlstate 'SY051' then return 'SY051';
end
$function$;

create function tests.consumed()
returns numeric
language sql
security definer
as 'select sum(consumed) from synapsor.budgets';

select synapsor.declare_action(jsonb_build_object(
    'action', what, 'args', '{"amount_cents": {"type": "integer"}, "customer": {"type": "string"}}'::jsonb,
    'hidden', '{"tenant_id": {}}'::jsonb, 'limits', jsonb_build_array(limits), 'queue', 'q',
    'idempotency', '{"idempotent": true}'::jsonb
))
from (values
    ('billing.pay', '{"sum": "amount_cents", "max": 1000, "per": "day", "by": ["tenant_id"]}'::jsonb),
    ('billing.ask', '{"sum": "amount_cents", "max": 1000, "per": "day", "by": ["customer"], "on_exceed": "approve"}'),
    ('billing.count', '{"max": 2, "per": "hour"}')
) as sample (what, limits);

select tests.at('2026-03-01 12:00+00');
select tests.session('acme', 'alice');
set session authorization test_caller;
select is(tests.pay(600), 'queued', 'what is within the limit is queued');
select is(tests.pay(500), 'SY051', 'what exceeds it is refused with SY051');
select is(tests.pay(400), 'queued', 'a refused proposal has taken nothing');
select is(tests.pay(1), 'SY051', 'then the budget is consumed to the last cent');
create temp table t as select * from synapsor.invoke_action('billing.pay', '{"amount_cents": 1}');
select is((select status || ' ' || error_code from t), 'blocked_by_policy SY051', 'invoke_action records the refusal');
select is(
    (select status from synapsor.cancel_external_action((
        select action_id from synapsor.synapsor_external_actions
where arguments ->> 'amount_cents' = '600'
    ))), 'cancelled', 'a cancellation'
);
select is(tests.pay(600), 'queued', 'gives its share back');
select is(tests.pay(1), 'SY051', 'and no more');
select is(tests.pay(1, what => 'billing.count'), 'queued', 'a limit without a sum counts');
select is(tests.pay(1, what => 'billing.count'), 'queued', 'invocations');
select is(tests.pay(1, what => 'billing.count'), 'SY051', 'up to its maximum');
reset session authorization;
select tests.session('globex', 'gus');
set session authorization test_caller;
select is(tests.pay(1000), 'queued', 'another tenant has a budget of its own');
reset session authorization;
select tests.session('acme', 'alice');
select tests.advance('1 hour');
set session authorization test_caller;
select is(tests.pay(1, what => 'billing.count'), 'queued', 'the next calendar hour begins anew');
select is(tests.pay(1), 'SY051', 'a day takes longer');
select is(tests.pay(1000, what => 'billing.ask'), 'queued', 'a limit may be counted by any bound value');
select is(tests.pay(700, 'c2', 'billing.ask'), 'queued', 'each value has a budget of its own');
select is(tests.pay(400, 'c2', 'billing.ask'), 'proposed', 'and exceeding it may ask for approval');
reset session authorization;
create temp table before as select tests.consumed() as consumed;
select tests.session('acme', 'ann');
set session authorization test_approver;
select is(
    (select approved.status from synapsor.synapsor_pending_approvals as pending
        cross join lateral synapsor.approve_external_action(pending.action_id) as approved),
    'queued', 'an approved action exceeds it'
);
reset session authorization;
select is(tests.consumed() - (select consumed from before), 400::numeric, 'and counts all the same');
create temp table consumed_before as select tests.consumed() as consumed;
grant select on consumed_before to public;

-- Failure gives back, unknown holds, an operator's retry takes again.
select tests.session('acme', 'worker', actor_type => 'service_account');
set session authorization test_worker;
create temp table claimed as
select * from synapsor.claim_external_actions('q', 100)
where arguments ->> 'amount_cents' in ('600', '400', '1000');
grant select on claimed to public;
select synapsor.confirm_external_action(action_id, 'unknown', claim_token => claim_token)
from claimed
where action = 'billing.pay' and arguments ->> 'amount_cents' = '400';
select is(tests.consumed(), (select consumed from consumed_before), 'an unknown outcome holds its share');
select synapsor.confirm_external_action(action_id, 'failed', retryable => false, claim_token => claim_token)
from claimed
where action = 'billing.pay' and arguments ->> 'amount_cents' = '600';
select is(tests.consumed(), (select consumed - 600 from consumed_before), 'a failure gives it back');
reset session authorization;
select tests.session('acme', 'alice');
set session authorization test_caller;
select is(tests.pay(500), 'queued', 'for others');
reset session authorization;
select tests.session('acme', 'ann');
set session authorization test_approver;
select tests.raises(
    format($$ select synapsor.retry_external_action(%L) $$, (
        select action_id from claimed
where action = 'billing.pay' and arguments ->> 'amount_cents' = '600'
    )), 'SY051', description => 'so that a retry finds the budget consumed'
);
reset session authorization;
select tests.at('2026-03-02 12:00+00');
set session authorization test_approver;
select is(
    (select status from synapsor.retry_external_action((
        select action_id from claimed
where action = 'billing.pay' and arguments ->> 'amount_cents' = '600'
    ))), 'queued', 'until the next day'
);
reset session authorization;

select * from finish();
rollback;
