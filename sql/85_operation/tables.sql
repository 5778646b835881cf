create table synapsor.suspensions (
    kind text not null,
    name text collate "C" not null,
    reason text not null,
    suspended_by text not null,
    suspended_at timestamptz not null,
    primary key (kind, name),
    constraint kind_is_known check (kind in ('queue', 'provider', 'action', 'tenant', 'principal', 'all'))
);

comment on table synapsor.suspensions is
'What is suspended: nothing of it is claimed, and a suspended tenant or principal proposes nothing
(design.md section 4).';

select pg_catalog.pg_extension_config_dump('synapsor.suspensions', '');
