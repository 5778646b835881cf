create extension synapsor cascade;

grant synapsor_caller to bench_caller;
grant synapsor_worker to bench_worker;
grant synapsor_caller, synapsor_approver to bench_reviewer;

select synapsor.bind_role('bench_caller', '{"tenant_id": "acme", "principal": "carl", "actor_type": "agent"}');
select synapsor.bind_role('bench_worker', '{"tenants": "*", "principal": "wanda", "actor_type": "service_account"}');
select synapsor.bind_role('bench_reviewer', '{"tenant_id": "acme", "principal": "rita"}');

-- Everything that every proposal pays for: typed arguments, hidden values, a key from a template, both digests.
select synapsor.declare_action('{
    "action": "billing.issue_refund",
    "kind": "external",
    "args": {
        "charge_id": {"type": "string", "required": true, "max_length": 64},
        "amount_cents": {"type": "integer", "required": true, "minimum": 1, "maximum": 500000},
        "note": {"type": "string", "max_length": 1000}
    },
    "hidden": {"tenant_id": {}, "principal": {}},
    "provider": "stripe",
    "operation": "refunds.create",
    "queue": "billing",
    "idempotency": {"key": "{tenant_id}:refund:{charge_id}", "idempotent": true, "window": "24 hours"}
}');

-- An atomic action with everything that one may have: a policy, a state machine, an event and an adapter step.
create role bench_app nologin;
create schema bench_app authorization bench_app;
grant usage on schema bench_app to synapsor_guest;

create table bench_app.invoices (
    id text primary key,
    state text not null,
    amount_cents bigint not null
) with (fillfactor = 50);

insert into bench_app.invoices (id, state, amount_cents)
select 'in_' || i, 'paid', 2500
from generate_series(1, 10000) as i;

alter table bench_app.invoices owner to bench_app;
grant select, update on bench_app.invoices to synapsor_guest;

create function bench_app.dispute_invoice(context jsonb, parameters jsonb) returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    update bench_app.invoices as invoice
    set state = parameters ->> 'target_state', amount_cents = (parameters ->> 'amount_cents')::bigint
    where invoice.id = parameters ->> 'invoice_id';
    return jsonb_build_object(
        'success', true,
        'data', jsonb_build_object('invoice_id', parameters -> 'invoice_id'),
        'events', jsonb_build_array(jsonb_build_object(
            'type', 'InvoiceDisputed', 'subject_type', 'Invoice', 'subject_id', parameters -> 'invoice_id',
            'payload', jsonb_build_object('amount_cents', parameters -> 'amount_cents')
        ))
    );
end;
$function$;

alter function bench_app.dispute_invoice owner to bench_app;

select synapsor.declare_policy('{
    "policy": "billing.dispute_limit.v1",
    "kind": "data",
    "conditions": [
        {"when": {"kind": "parameter", "path": "parameters.amount_cents", "operator": "gt", "value": 50000},
         "result": "block", "reason": "over the limit"}
    ]
}');

-- Ten conditions none of which holds: every one of them is asked.
select synapsor.declare_policy(jsonb_build_object(
    'policy', 'billing.ten_limits.v1',
    'kind', 'data',
    'conditions', (
        select jsonb_agg(jsonb_build_object(
            'when', jsonb_build_object(
                'kind', 'parameter', 'path', 'parameters.amount_cents', 'operator', 'gt', 'value', 50000 + i
            ),
            'result', 'block', 'reason', 'over the limit'
        ) order by i)
        from generate_series(1, 10) as i
    )
));

select synapsor.declare_state_machine('{
    "entity_type": "Invoice",
    "states": {"paid": "initial", "disputed": "active"},
    "transitions": [
        {"from": "paid", "to": "disputed", "action": "billing.dispute_invoice"},
        {"from": "disputed", "to": "paid", "action": "billing.dispute_invoice"}
    ]
}');

select synapsor.declare_action('{
    "action": "billing.tell_customer",
    "kind": "external",
    "args": {"invoice_id": {"type": "string", "required": true, "max_length": 64}},
    "hidden": {"tenant_id": {}},
    "queue": "billing",
    "idempotency": {"idempotent": true}
}');

select synapsor.declare_action('{
    "action": "billing.dispute_invoice",
    "kind": "atomic",
    "args": {
        "invoice_id": {"type": "string", "required": true, "max_length": 64},
        "target_state": {"type": "string", "required": true, "max_length": 64},
        "amount_cents": {"type": "integer", "required": true, "minimum": 1, "maximum": 500000},
        "note": {"type": "string", "max_length": 1000}
    },
    "hidden": {"tenant_id": {}, "principal": {}},
    "handler": "bench_app.dispute_invoice(jsonb,jsonb)",
    "mutates_domain": true,
    "emits_events": ["InvoiceDisputed"],
    "policies": ["billing.dispute_limit.v1"],
    "state_machine": {
        "entity_type": "Invoice", "table": "bench_app.invoices", "id_column": "id", "state_column": "state",
        "entity_id": "{invoice_id}", "target_state": "{target_state}"
    },
    "adapter_steps": [
        {"action": "billing.tell_customer", "input": {"invoice_id": "{result.invoice_id}"}}
    ]
}');

-- The same refund, approved by a person; for many tenants; and one charge after the other.
do $block$
declare
    refund constant jsonb := (
        select declared.definition - array['label', 'action']
        from synapsor.action_contracts as declared
        where declared.action = 'billing.issue_refund'
    );
    changes jsonb;
begin
    foreach changes in array array[
        '{"action": "billing.big_refund", "approval": {"required": true}}',
        '{"action": "billing.crowd_refund", "queue": "crowd"}',
        '{"action": "billing.lane_refund", "queue": "lanes", "ordering_key": "{note}"}'
    ]::jsonb[] loop
        perform synapsor.declare_action(jsonb_strip_nulls(
            jsonb_build_object(
                'kind', 'external', 'provider', 'stripe', 'operation', 'refunds.create', 'queue', 'billing',
                'args', refund -> 'args', 'hidden', refund -> 'hidden',
                'idempotency', '{"key": "{tenant_id}:refund:{charge_id}", "idempotent": true}'::jsonb
            ) || changes
        ));
    end loop;
end;
$block$;

-- Queue actions of so many tenants, each of which has so many ordering keys.
create function bench_app.fill(queue text, actions integer, tenants integer, lanes integer)
returns void
language plpgsql
as $function$
begin
    for tenant in 1..tenants loop
        perform synapsor.set_session(jsonb_build_object(
            'tenant_id', 'tenant ' || tenant, 'principal', 'carl', 'actor_type', 'agent'
        ));
        perform count(*) from synapsor.propose_external_actions(
            case queue when 'lanes' then 'billing.lane_refund' else 'billing.crowd_refund' end,
            array(
                select jsonb_build_object(
                    'charge_id', 'ch_' || gen_random_uuid(), 'amount_cents', 2500,
                    'note', case when lanes > 0 then 'lane ' || i % lanes else repeat('n', 230) end
                )
                from generate_series(1, actions / tenants) as i
            )
        );
    end loop;
end;
$function$;

-- What finished actions leave, as if they had been performed long ago.
create function bench_app.pretend_history(actions integer)
returns void
language plpgsql
as $function$
begin
    insert into synapsor.action_invocations (
        action_id, tenant_id, action, version, actor, actor_type, status, holds_key, key_from_template, opened_as,
        created_at, idempotency_key, payload_digest, digest, intent, queue, account
    )
    select
        'act_00' || lpad(i::text, 24, '0'), 'acme', 'billing.issue_refund', 1, 'carl', 'agent', 'running', true, true,
        'queued', now() - interval '30 days', 'acme:refund:old_' || i, sha256(i::text::bytea), sha256(i::text::bytea),
        '{"note":"' || repeat('n', 400) || '"}', 'billing', 'default'
    from generate_series(1, actions) as i;
    insert into synapsor.external_action_events (
        action_id, sequence, attempt, tenant_id, event_type, status, actor, occurred_at, claim_token, lease_expires_at,
        delivery_started_at, worker_principal, confirmed, provider_request_id
    )
    select
        'act_00' || lpad(i::text, 24, '0'), sequence, 1, 'acme', kind, lower(kind), 'wanda',
        now() - interval '30 days', i, now() - interval '30 days', now() - interval '30 days', 'wanda',
        case kind when 'Succeeded' then 'succeeded' end, case kind when 'Succeeded' then 're_1' end
    from generate_series(1, actions) as i
    cross join (values (2, 'Claimed'), (3, 'Succeeded')) as told (sequence, kind);
end;
$function$;
