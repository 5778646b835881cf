create type synapsor.redaction as (
    data_class text,
    field_path text,
    method text,
    reason text,
    declared_by text,
    declared_at timestamptz
);

comment on type synapsor.redaction is 'A redaction rule, as declare_redaction returns it.';
