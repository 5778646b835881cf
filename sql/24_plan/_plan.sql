create or replace function synapsor._plan(stored synapsor.plans)
returns synapsor.plan
language sql
stable
begin atomic
    select row(
        stored.plan, stored.version, stored.name, stored.label, stored.nodes, stored.declared, stored.declared_by,
        stored.declared_at
    )::synapsor.plan;
end;
