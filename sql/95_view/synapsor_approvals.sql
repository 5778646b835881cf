create or replace view synapsor.synapsor_approvals with (security_barrier) as
with reader as materialized (
    select * from synapsor._reader
)

select
    approval.approval_id,
    approval.action_id,
    approval.reviewer,
    approval.verdict,
    approval.note,
    encode(approval.digest, 'hex') as digest,
    approval.decided_at,
    approval.voided_at
from synapsor.approvals as approval
cross join reader
where reader.sees_every_tenant or approval.tenant_id = any(reader.tenants);

grant select on synapsor.synapsor_approvals to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_approvals is
'Reviewers'' verdicts on the actions of the reader''s tenants.';
comment on column synapsor.synapsor_approvals.approval_id is 'apr_ and a ULID.';
comment on column synapsor.synapsor_approvals.action_id is 'Action decided on.';
comment on column synapsor.synapsor_approvals.reviewer is 'Principal that decided.';
comment on column synapsor.synapsor_approvals.verdict is 'approved or rejected.';
comment on column synapsor.synapsor_approvals.note is 'What the reviewer noted.';
comment on column synapsor.synapsor_approvals.digest is 'SHA-256 of the intent decided on, in hex.';
comment on column synapsor.synapsor_approvals.decided_at is 'When.';
comment on column synapsor.synapsor_approvals.voided_at is
'When it ceased to count; null while it counts.';
