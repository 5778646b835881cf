create type synapsor.plan as (
    plan text,
    version integer,
    name text,
    label text,
    nodes integer,
    definition jsonb,
    declared_by text,
    declared_at timestamptz
);

comment on type synapsor.plan is
'A registered plan, as declare_plan returns it and synapsor_plans shows it.';
