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
select synapsor.declare_module('crm', 'what is known of customers');
select synapsor.entitle_tenant('acme', 'crm');
select synapsor.set_member('acme', 'ada', array['billing_clerk'], array['crm.update']);
select synapsor.declare_redaction('action_evidence', 'charge_id', 'tokenize', 'a reason');
commit;

-- A plan that saves a set and falls asleep.
begin;
select tests.session('acme', 'ada');
select synapsor.declare_plan('{
    "Name": "sleeper", "DefaultHandlerType": "EmptyHandler", "Actions": [
        {"Name": "saved", "SaveExitDataAs": {"Parameters": "saved"}},
        {"Name": "asleep", "Handler": {"Config": {"Values": {"SleepMilliseconds": 3600000}}}}
    ]
}');
select state from synapsor.start_plan('sleeper');
commit;

-- A run, with an action in it that waits for approval.
begin;
select synapsor.declare_workflow('{"workflow": "bounded", "max_steps": 10}');
select tests.session('acme', 'agent-7', actor_type => 'agent');
select state from synapsor.start_agent_run('bounded');
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

-- The pipeline: an atomic action whose policy passes, whose state machine allows it, whose limit has
-- room, and whose adapter step has ended; another that is blocked.
create schema shop;
create table shop.invoices (id text primary key, state text not null);
insert into shop.invoices values ('i1', 'paid');
create function shop.record_refund(context jsonb, parameters jsonb)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    update shop.invoices set state = 'refunded' where id = parameters ->> 'invoice_id';
    return '{"success": true, "events": [
        {"type": "InvoiceRefunded", "subject_type": "Invoice", "subject_id": "i1"}
    ]}';
end
$function$;
-- A login of the tests that is no member of any role of the extension.
alter function shop.record_refund(jsonb, jsonb) owner to test_stranger;
alter table shop.invoices owner to test_stranger;
alter schema shop owner to test_stranger;
grant usage on schema shop to synapsor_guest;
grant select, update on shop.invoices to synapsor_guest;

begin;
select tests.session('acme', 'ada');
select policy from synapsor.declare_policy(
    '{"policy": "shop.limit.v1", "kind": "data", "conditions": [{
        "when": {
            "kind": "parameter", "path": "parameters.amount_cents", "operator": "gt", "value": 9
        },
        "result": "block", "reason": "over the limit"
    }]}'
);
select entity_type from synapsor.declare_state_machine(
    '{"entity_type": "Invoice", "states": {"paid": "initial", "refunded": "terminal"},
      "transitions": [{"from": "paid", "to": "refunded", "action": "shop.record_refund"}]}'
);
select tests.a_contract('{"queue": "mails"}', 'shop.send_mail');
select version from synapsor.declare_action('{
    "action": "shop.record_refund", "kind": "atomic", "handler": "shop.record_refund(jsonb,jsonb)",
    "args": {"invoice_id": {"type": "string"}, "amount_cents": {"type": "integer"}},
    "hidden": {"tenant_id": {}}, "mutates_domain": true,
    "emits_events": ["InvoiceRefunded"], "policies": ["shop.limit.v1"],
    "limits": [{"sum": "amount_cents", "max": 100, "per": "day"}],
    "state_machine": {
        "entity_type": "Invoice", "table": "shop.invoices", "id_column": "id",
        "state_column": "state", "entity_id": "{invoice_id}", "target_state": "refunded"
    },
    "adapter_steps": [{
        "action": "shop.send_mail", "input": {"charge_id": "ch_9", "amount_cents": 1}
    }]
}');
select status from synapsor.invoke_action(
    'shop.record_refund', '{"invoice_id": "i1", "amount_cents": 5}'
);
select status from synapsor.invoke_action(
    'shop.record_refund', '{"invoice_id": "i1", "amount_cents": 10}'
);
commit;

begin;
select tests.session('acme', 'worker-1');
select
    claim.action_id as mail,
    claim.claim_token as mail_token
from synapsor.claim_external_actions('mails') as claim \gset
select status from synapsor.confirm_external_action(
    :'mail', 'succeeded', claim_token => :mail_token
);
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

-- A provider with limits, what a tenant has used of them, and an outcome nobody has counted yet.
begin;
select version from synapsor.declare_provider(
    '{"provider": "letters", "rate_limit": {"per_second": 10, "per_tenant": 5}, "breaker": {}}'
);
select weight from synapsor.weigh_tenant('acme', 2);
select tests.a_contract('{"queue": "letters", "provider": "letters"}', 'shop.send_letter');
select tests.session('acme', 'ada');
select status from synapsor.propose_external_action(
    'shop.send_letter', '{"charge_id": "ch_letter", "amount_cents": 1}'
);
select tests.session('acme', 'worker-1', actor_type => 'service_account');
select confirmed.status
from synapsor.claim_external_actions('letters') as claimed
cross join lateral synapsor.confirm_external_action(
    claimed.action_id, 'succeeded', claim_token => claimed.claim_token
) as confirmed;
commit;
