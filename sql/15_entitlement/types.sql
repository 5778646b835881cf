create type synapsor.module as (
    namespace text,
    description text,
    declared_by text,
    declared_at timestamptz
);

comment on type synapsor.module is 'A declared module, as declare_module returns it.';

create type synapsor.entitlement as (
    tenant_id text,
    namespace text,
    enabled boolean,
    decided_by text,
    decided_at timestamptz
);

comment on type synapsor.entitlement is
'Whether a tenant may use a module, as entitle_tenant returns it.';

create type synapsor.member as (
    tenant_id text,
    principal text,
    roles text [],
    permissions text [],
    decided_by text,
    decided_at timestamptz
);

comment on type synapsor.member is
'What a principal holds within a tenant, as set_member returns it.';
