create type synapsor.state_machine as (
    entity_type text,
    version integer,
    states jsonb,
    transitions jsonb,
    description text,
    declared_by text,
    declared_at timestamptz
);

comment on type synapsor.state_machine is
'One version of the state machine of an entity type, as declare_state_machine returns it.';
