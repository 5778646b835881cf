create extension synapsor cascade;

grant synapsor_caller to bench_caller;
grant synapsor_worker to bench_worker;

select synapsor.bind_role('bench_caller', '{"tenant_id": "acme", "principal": "carl", "actor_type": "agent"}');
select synapsor.bind_role('bench_worker', '{"tenants": "*", "principal": "wanda", "actor_type": "service_account"}');

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
