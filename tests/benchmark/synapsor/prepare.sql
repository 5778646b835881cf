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
