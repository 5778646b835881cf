create or replace view synapsor.synapsor_suspensions with (security_barrier) as
with reader as materialized (
    select * from synapsor._reader
)

select
    stop.kind,
    stop.name,
    stop.reason,
    stop.suspended_by,
    stop.suspended_at
from synapsor.suspensions as stop
cross join reader
where
    stop.kind not in ('tenant', 'principal') or reader.sees_every_tenant
    or (stop.kind = 'tenant' and stop.name = any(reader.tenants))
    or (stop.kind = 'principal' and stop.name = reader.principal);

grant select on synapsor.synapsor_suspensions to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_suspensions is
'What is suspended, as far as it concerns the reader.';
comment on column synapsor.synapsor_suspensions.kind is
'queue, provider, action, tenant, principal or all.';
comment on column synapsor.synapsor_suspensions.name is 'Of what is suspended; empty for all.';
comment on column synapsor.synapsor_suspensions.reason is 'Why.';
comment on column synapsor.synapsor_suspensions.suspended_by is 'Who did it.';
comment on column synapsor.synapsor_suspensions.suspended_at is 'When.';
