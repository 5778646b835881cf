create table synapsor.state_machines (
    entity_type text collate "C" not null,
    version integer not null,
    declared jsonb not null,
    declared_by text not null,
    declared_at timestamptz not null,
    primary key (entity_type, version),
    constraint entity_type_is_well_formed check (entity_type ~ '^[A-Z][a-zA-Z0-9]*$'),
    constraint version_is_positive check (version > 0)
);

comment on table synapsor.state_machines is
'State machines, one row per version, immutable. The latest version of an entity type judges, also
invocations made before it. They belong to no tenant.';
comment on column synapsor.state_machines.declared is
'The definition exactly as declared: {"entity_type", "states", "transitions", "description"}.';

select pg_catalog.pg_extension_config_dump('synapsor.state_machines', '');

-- No policy: nobody but the owner sees or writes a row, pg_write_all_data included.
alter table synapsor.state_machines enable row level security;
