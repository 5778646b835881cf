create type synapsor.contract as (
    action text,
    version integer,
    label text,
    kind text,
    definition jsonb,
    digest text,
    declared_by text,
    declared_at timestamptz,
    retired_at timestamptz
);

comment on type synapsor.contract is
'One version of an action contract, as declare_action returns it and synapsor_action_contracts
shows it.';
