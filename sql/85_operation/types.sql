create type synapsor.suspension as (
    kind text,
    name text,
    reason text,
    suspended_by text,
    suspended_at timestamptz
);

comment on type synapsor.suspension is 'A suspension as suspend and resume return it.';
