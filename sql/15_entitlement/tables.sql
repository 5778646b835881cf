-- Written by administrators for any tenant, and read while the session itself is being determined:
-- these tables cannot force the session's row-level policy on their owner. Nobody else has any
-- right on them.

create table synapsor.modules (
    namespace text collate "C" primary key,
    description text,
    declared_by text not null,
    declared_at timestamptz not null,
    constraint namespace_is_well_formed check (namespace ~ '^[a-z][a-z0-9-]*$')
);

comment on table synapsor.modules is
'Namespaces of actions that tenants must be entitled to. Actions of a namespace that was never
declared need no entitlement.';

select pg_catalog.pg_extension_config_dump('synapsor.modules', '');

create table synapsor.tenant_entitlements (
    tenant_id text collate "C" not null,
    namespace text collate "C" not null references synapsor.modules,
    enabled boolean not null,
    decided_by text not null,
    decided_at timestamptz not null,
    primary key (tenant_id, namespace)
);

alter table synapsor.tenant_entitlements enable row level security;

comment on table synapsor.tenant_entitlements is
'Which tenants may use which declared modules; without a row they may not.';

select pg_catalog.pg_extension_config_dump('synapsor.tenant_entitlements', '');

create table synapsor.members (
    tenant_id text collate "C" not null,
    principal text collate "C" not null,
    roles text[] not null,
    permissions text[] not null,
    decided_by text not null,
    decided_at timestamptz not null,
    primary key (tenant_id, principal)
);

alter table synapsor.members enable row level security;

comment on table synapsor.members is
'Roles and permissions of principals within tenants. The roles are added to those of the session;
the permissions are asked for by contracts (required_permissions).';

select pg_catalog.pg_extension_config_dump('synapsor.members', '');
