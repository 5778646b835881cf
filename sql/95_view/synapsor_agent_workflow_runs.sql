create or replace view synapsor.synapsor_agent_workflow_runs
with (security_barrier) as
with reader as materialized (
    select
        *,
        synapsor._has_redactions('read_model') as redacts
    from synapsor._reader
)

select
    run.run_id,
    run.tenant_id,
    run.workflow,
    run.plan,
    run.version,
    case
        when
            run.state = 'open' and run.plan is not null and exists (
                select
                from synapsor.run_steps as step
                inner join synapsor.open_external_actions as open using (action_id)
                where step.run_id = run.run_id and step.state <> 'finished' and open.status = 'proposed'
            )
            then 'waiting_approval'
        else run.state
    end as state,
    run.status,
    run.principal,
    case when reader.redacts then synapsor._shown(run.input, 'read_model') else run.input end as input,
    case
        when reader.redacts then synapsor._shown(run.output, 'read_model') else run.output
    end as output,
    run.correlation_id,
    run.started_at,
    run.finished_at,
    walked.action_id as saga_action_id,
    walked.is_dry_run,
    walked.reason,
    walked.error,
    run.workflow_version
from synapsor.runs as run
cross join reader
left join synapsor.plan_runs as walked using (run_id)
where reader.sees_every_tenant or run.tenant_id = any(reader.tenants);

grant select on synapsor.synapsor_agent_workflow_runs
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_agent_workflow_runs is
'Agent workflow runs and plan instances of the session''s tenants. state: open, waiting_approval
and compensating go on, all others are over. Source: runs, plan_runs.';
comment on column synapsor.synapsor_agent_workflow_runs.run_id is 'Identifier of the run.';
comment on column synapsor.synapsor_agent_workflow_runs.tenant_id is 'The tenant it belongs to.';
comment on column synapsor.synapsor_agent_workflow_runs.workflow is
'The workflow an agent follows, as given; null for a plan.';
comment on column synapsor.synapsor_agent_workflow_runs.plan is
'The plan it is an instance of; null for an agent''s run.';
comment on column synapsor.synapsor_agent_workflow_runs.version is
'A workflow''s label, or a plan''s version in digits.';
comment on column synapsor.synapsor_agent_workflow_runs.state is
'open, waiting_approval and compensating go on; all others are over.';
comment on column synapsor.synapsor_agent_workflow_runs.status is
'An agent''s run: the status last given to complete_agent_run. A plan: the highest branch status.';
comment on column synapsor.synapsor_agent_workflow_runs.principal is
'Who started it; nobody else adds to it.';
comment on column synapsor.synapsor_agent_workflow_runs.input is 'What it was started with.';
comment on column synapsor.synapsor_agent_workflow_runs.output is
'What it ended with, or has to show while it waits.';
comment on column synapsor.synapsor_agent_workflow_runs.correlation_id is
'What ties its actions together: the session''s correlation_id, else the run_id.';
comment on column synapsor.synapsor_agent_workflow_runs.started_at is
'When it was started, by the database clock.';
comment on column synapsor.synapsor_agent_workflow_runs.finished_at is
'When it was over; null while it goes on.';
comment on column synapsor.synapsor_agent_workflow_runs.saga_action_id is
'Of a saga: the invocation that the run performs.';
comment on column synapsor.synapsor_agent_workflow_runs.is_dry_run is
'Plans: whether it was started as a dry run.';
comment on column synapsor.synapsor_agent_workflow_runs.reason is 'Plans: why it was cancelled.';
comment on column synapsor.synapsor_agent_workflow_runs.error is
'Plans: why it could not be advanced the last time; it is tried again.';
comment on column synapsor.synapsor_agent_workflow_runs.workflow_version is
'The version of the workflow contract it is bound to; null where the workflow is only a name.';
