create or replace view synapsor.synapsor_plans as
select
    stored.plan,
    stored.version,
    stored.name,
    stored.label,
    stored.nodes,
    stored.declared as definition,
    stored.declared_by,
    stored.declared_at
from synapsor.plans as stored;

grant select on synapsor.synapsor_plans to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_plans is
'Every declared plan, one row per version; start_plan takes the latest unless told otherwise. Source: plans.';
comment on column synapsor.synapsor_plans.plan is 'The definition''s UniqueName, else its Name.';
comment on column synapsor.synapsor_plans.version is '1, 2, 3 … of the plan.';
comment on column synapsor.synapsor_plans.name is 'The definition''s Name.';
comment on column synapsor.synapsor_plans.label is 'The definition''s Label.';
comment on column synapsor.synapsor_plans.nodes is 'How many actions it has.';
comment on column synapsor.synapsor_plans.definition is 'The definition as declared.';
comment on column synapsor.synapsor_plans.declared_by is 'Principal that declared it.';
comment on column synapsor.synapsor_plans.declared_at is 'When.';
