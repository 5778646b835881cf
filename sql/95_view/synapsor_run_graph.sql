-- One look-up an action, whatever the planner believes of tables that have grown a moment ago.
create or replace view synapsor.synapsor_run_graph
with (security_barrier) as
-- A query around the union: PostgreSQL flattens a bare one, and the barrier with it.
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
        and step.compensates is null
        and (
            step.tenant_id = any((select synapsor._visible_tenants())::text[])
            or (select synapsor._sees_every_tenant())
        )
    union all
    select
        below.run_id,
        above.step_key as from_step_key,
        below.step_key as to_step_key,
        'child' as edge
    from synapsor.run_steps as below
    inner join lateral (
        select recorded.parent_action_id
        from synapsor.action_invocations as recorded
        where recorded.action_id = below.action_id
        order by recorded.action_id
        limit 1
    ) as invocation on true
    inner join lateral (
        select parent.step_key
        from synapsor.run_steps as parent
        where parent.action_id = invocation.parent_action_id and parent.run_id = below.run_id
        order by parent.sequence
        limit 1
    ) as above on true
    where
        below.parent_step_key is null
        and (
            below.tenant_id = any((select synapsor._visible_tenants())::text[])
            or (select synapsor._sees_every_tenant())
        )
    union all
    select
        effect.run_id,
        effect.step_key as from_step_key,
        cause.step_key as to_step_key,
        'caused_by' as edge
    from synapsor.run_steps as effect
    inner join lateral (
        select recorded.causation_id
        from synapsor.action_invocations as recorded
        where recorded.action_id = effect.action_id
        order by recorded.action_id
        limit 1
    ) as invocation on true
    inner join lateral (
        select named.step_key
        from synapsor.run_steps as named
        where named.action_id = invocation.causation_id and named.run_id = effect.run_id
        order by named.sequence
        limit 1
    ) as cause on true
    where
        effect.tenant_id = any((select synapsor._visible_tenants())::text[])
        or (select synapsor._sees_every_tenant())
    union all
    select
        later.run_id,
        later.step_key as from_step_key,
        earlier.step_key as to_step_key,
        earlier.edge
    from synapsor.run_steps as later
    cross join
        lateral (
            values (later.retries, 'retries'), (later.compensates, 'compensates')
        ) as earlier (step_key, edge)
    where
        earlier.step_key is not null
        and (
            later.tenant_id = any((select synapsor._visible_tenants())::text[])
            or (select synapsor._sees_every_tenant())
        )
) as edge;

grant select on synapsor.synapsor_run_graph
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_run_graph is
'The typed edges between the steps of a run. child, group, instance: from a step to one below it,
also from an action''s step to those of its adapter steps. caused_by: from an action''s step to
the step of the action that its causation_id names. retries: from a later attempt of a plan''s node
to the one before. compensates: from the step that undoes an effect to the step that had it. Source:
run_steps, action_invocations.';
comment on column synapsor.synapsor_run_graph.run_id is 'The run the edge belongs to.';
comment on column synapsor.synapsor_run_graph.from_step_key is
'The step above; of caused_by, retries and compensates: the later one.';
comment on column synapsor.synapsor_run_graph.to_step_key is
'The step below; of caused_by, retries and compensates: the earlier one.';
comment on column synapsor.synapsor_run_graph.edge is
'child, group, instance, caused_by, retries or compensates.';
