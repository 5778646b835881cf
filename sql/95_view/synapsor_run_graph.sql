-- A query around the union: PostgreSQL flattens a bare one, and the barrier with it.
create or replace view synapsor.synapsor_run_graph
with (security_barrier) as
select
    edge.run_id,
    edge.from_step_key,
    edge.to_step_key,
    edge.edge
from (
    select
        step.run_id,
        step.parent_step_key as from_step_key,
        step.step_key as to_step_key,
        step.relation as edge
    from synapsor.run_steps as step
    where
        step.parent_step_key is not null
        and (
            step.tenant_id = any((select synapsor._visible_tenants())::text[])
            or (select synapsor._sees_every_tenant())
        )
    union all
    select
        effect.run_id,
        effect.step_key as from_step_key,
        cause.step_key as to_step_key,
        'caused_by' as edge
    from synapsor.run_steps as effect
    inner join synapsor.action_invocations as invocation
        on effect.run_id = invocation.run_id and effect.action_id = invocation.action_id
    inner join synapsor.run_steps as cause
        on effect.run_id = cause.run_id and invocation.causation_id = cause.action_id
    where
        effect.tenant_id = any((select synapsor._visible_tenants())::text[])
        or (select synapsor._sees_every_tenant())
) as edge;

grant select on synapsor.synapsor_run_graph
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_run_graph is
'The typed edges between the steps of a run. child, group, instance: from a step to one below it. '
'caused_by: from an action''s step to the step of the action that its causation_id names. '
'compensates and retries come with plans. Source: run_steps, action_invocations.';
comment on column synapsor.synapsor_run_graph.run_id is
'The run the edge belongs to.';
comment on column synapsor.synapsor_run_graph.from_step_key is
'The step above; of caused_by: the effect.';
comment on column synapsor.synapsor_run_graph.to_step_key is
'The step below; of caused_by: the cause.';
comment on column synapsor.synapsor_run_graph.edge is
'child, group, instance or caused_by; compensates and retries come with plans.';
