-- One of everything: at least one row in every table, written by the verbs alone.
-- A new table that stays empty here fails tests/upgrade/test_dump_restore.py.

\set ON_ERROR_STOP on

begin;
select tests.session('acme', 'ada');
select tests.a_contract(
    '{"approval": {"required": true, "role": "billing_reviewer"}}', 'billing.approved_refund'
);
select tests.a_contract('{"ordering_key": "{charge_id}", "redact": ["charge_id"]}');
select tests.a_contract('{"description": "its second version", "ordering_key": "{charge_id}"}');
select tests.a_contract('{}', 'billing.retired_refund');
select synapsor.retire_action('billing.retired_refund');
select synapsor.bind_role('test_auditor', '{"tenants": "*", "principal": "olga"}');
select synapsor.add_session_key('key-1', 'a secret of at least thirty-two bytes');
select synapsor.suspend('queue', 'paused_queue', 'maintenance');
commit;

-- A run, with an action in it that waits for approval.
begin;
select tests.session('acme', 'agent-7', actor_type => 'agent');
select run_id from synapsor.start_agent_run('refunds', '{"ticket": 7}') \gset
select step_key from synapsor.record_agent_step(:'run_id', 'lookup', output => '{"found": true}');
select action_id as waiting from synapsor.propose_external_action(
    'billing.approved_refund', '{"charge_id": "ch_1", "amount_cents": 100}',
    run_id => :'run_id', step_key => 'refund'
) \gset
select action_id as doomed from synapsor.propose_external_action(
    'billing.approved_refund', '{"charge_id": "ch_2", "amount_cents": 100}'
) \gset
select action_id as approved from synapsor.propose_external_action(
    'billing.approved_refund', '{"charge_id": "ch_3", "amount_cents": 100}'
) \gset
commit;

begin;
select tests.session('acme', 'rita', array['billing_reviewer']);
select status from synapsor.approve_external_action(:'approved', 'fine', null);
select status from synapsor.reject_external_action(:'doomed', 'not this one');
commit;

-- Refused attempts are rows too.
begin;
select tests.session('acme', 'agent-7', actor_type => 'agent');
select status from synapsor.invoke_action('billing.issue_refund', '{"charge_id": 5}');
commit;

-- Queued, two of them in one lane; another tenant's; one that is over before it began.
begin;
select tests.session('acme', 'ada');
select count(*) from synapsor.propose_external_actions(
    'billing.issue_refund',
    array[
        '{"charge_id": "ch_4", "amount_cents": 1}', '{"charge_id": "ch_4", "amount_cents": 2}',
        '{"charge_id": "ch_5", "amount_cents": 3}', '{"charge_id": "ch_6", "amount_cents": 4}'
    ]::jsonb[]
);
select action_id as regretted from synapsor.propose_external_action(
    'billing.issue_refund', '{"charge_id": "ch_7", "amount_cents": 5}'
) \gset
select status from synapsor.cancel_external_action(:'regretted', 'no longer wanted');
commit;

begin;
select tests.session('globex', 'gus');
select status from synapsor.propose_external_action(
    'billing.issue_refund', '{"charge_id": "ch_8", "amount_cents": 6}'
);
commit;

-- A queue with nothing in it, and a worker: one action succeeds, one fails, one is unknown, and one
-- stays claimed.
begin;
select tests.session('acme', 'worker-1');
select synapsor.worker_heartbeat('worker-1 on host a', array['billing_external_actions']);
select count(*) from synapsor.claim_external_actions('an_idle_queue');
select count(*) as claimed from synapsor.claim_external_actions('billing_external_actions', 4);
with mine as (
    select
        action.action_id,
        action.claim_token,
        row_number() over (order by action.action_id) as number
    from synapsor.synapsor_external_actions as action
    where action.status = 'claimed'
)

select outcome.status
from mine
inner join (values (1, 'succeeded'), (2, 'failed'), (3, 'unknown')) as told (number, status)
    on mine.number = told.number
cross join lateral synapsor.confirm_external_action(
    mine.action_id, told.status, '{"id": "re_1"}',
    error_code => case told.status when 'failed' then 'card_declined' end,
    retryable => false, claim_token => mine.claim_token
) as outcome;
commit;
