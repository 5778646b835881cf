create type synapsor.workflow as (
    workflow text,
    version integer,
    label text,
    definition jsonb,
    declared_by text,
    declared_at timestamptz
);

comment on type synapsor.workflow is
'A registered workflow contract, as declare_workflow returns it and synapsor_workflows shows it.';
