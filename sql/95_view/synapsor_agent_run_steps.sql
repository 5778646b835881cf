-- Actions are joined by run and action: the run alone, which a reader names, then finds all of them
-- in one index scan.
create or replace view synapsor.synapsor_agent_run_steps
with (security_barrier) as
select
    step.step_id,
    step.run_id,
    step.step_key,
    step.parent_step_key,
    step.relation,
    step.kind,
    step.name,
    case
        when step.action_id is null or step.state = 'finished' then step.state
        when coalesce(external.status, invocation.status) in (
            'proposed', 'waiting_for_approval'
        ) then 'waiting'
        when coalesce(external.status, invocation.status) in (
            'pending', 'running', 'queued', 'claimed', 'unknown'
        ) then 'running'
        else 'finished'
    end as state,
    case
        when step.action_id is null then step.status
        else coalesce(step.status, external.status, invocation.status, 'purged')
    end as status,
    step.branch_status,
    step.sequence,
    step.execute_case,
    coalesce(step.input, external.arguments) as input,
    coalesce(step.exit_data, invocation.result, external.response) as exit_data,
    step.exit_code,
    coalesce(step.message, invocation.error_message, external.error_message) as message,
    step.pid,
    step.security_context,
    step.risk,
    step.action_id,
    step.input_tokens,
    step.output_tokens,
    step.started_at,
    coalesce(step.finished_at, invocation.completed_at, external.finished_at) as finished_at,
    step.tenant_id,
    step.evidence
from synapsor.run_steps as step
left join synapsor.action_invocations as invocation
    on
        step.run_id = invocation.run_id
        and step.action_id = invocation.action_id
        and invocation.purged_as is null
left join synapsor.synapsor_external_actions as external
    on step.run_id = external.run_id and step.action_id = external.action_id
where
    step.tenant_id = any((select synapsor._visible_tenants())::text[])
    or (select synapsor._sees_every_tenant());

grant select on synapsor.synapsor_agent_run_steps
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_agent_run_steps is
'The steps of the session''s tenants'' runs. A step that is an action shows where the action '
'stands now (status: the delivery status, or purged once it was purged) and its arguments, '
'redacted as in synapsor_external_actions. Ask for one run_id. Source: run_steps, '
'action_invocations.';
comment on column synapsor.synapsor_agent_run_steps.step_id is
'Identifier of the step.';
comment on column synapsor.synapsor_agent_run_steps.run_id is
'The run it belongs to.';
comment on column synapsor.synapsor_agent_run_steps.step_key is
'Its name, unique in the run.';
comment on column synapsor.synapsor_agent_run_steps.parent_step_key is
'The step it is below; null for a root.';
comment on column synapsor.synapsor_agent_run_steps.relation is
'root, child, group or instance: how it hangs on its parent.';
comment on column synapsor.synapsor_agent_run_steps.kind is
'capability, checkpoint, interrupt, handoff, guardrail or the recorder''s word; '
'external_action, atomic and saga are actions.';
comment on column synapsor.synapsor_agent_run_steps.name is
'The capability, the action, or the target of a hand-off.';
comment on column synapsor.synapsor_agent_run_steps.state is
'running, waiting or finished; of an action: as it stands now.';
comment on column synapsor.synapsor_agent_run_steps.status is
'As recorded; of an action: its delivery status now, or its invocation''s.';
comment on column synapsor.synapsor_agent_run_steps.branch_status is
'Plans: the highest status of the node and everything below it.';
comment on column synapsor.synapsor_agent_run_steps.sequence is
'Order of beginning; grows, with gaps.';
comment on column synapsor.synapsor_agent_run_steps.execute_case is
'Plans: the status, or statuses, it asked of its parent.';
comment on column synapsor.synapsor_agent_run_steps.input is
'What it was given; of an action: the arguments, redacted.';
comment on column synapsor.synapsor_agent_run_steps.exit_data is
'What it produced; of an action: the result.';
comment on column synapsor.synapsor_agent_run_steps.exit_code is
'Plans: the handler''s exit code.';
comment on column synapsor.synapsor_agent_run_steps.message is
'The reason of an interrupt or a hand-off; the error of an action.';
comment on column synapsor.synapsor_agent_run_steps.pid is
'Plans: the process number a handler reported.';
comment on column synapsor.synapsor_agent_run_steps.security_context is
'Plans: the session under which the node ran.';
comment on column synapsor.synapsor_agent_run_steps.risk is
'The risk the agent gave it.';
comment on column synapsor.synapsor_agent_run_steps.action_id is
'The action it is; null for a step that was only recorded.';
comment on column synapsor.synapsor_agent_run_steps.input_tokens is
'Tokens read, as the agent counted.';
comment on column synapsor.synapsor_agent_run_steps.output_tokens is
'Tokens written, as the agent counted.';
comment on column synapsor.synapsor_agent_run_steps.started_at is
'When it began, by the database clock.';
comment on column synapsor.synapsor_agent_run_steps.finished_at is
'When it was finished; null while it is not.';
comment on column synapsor.synapsor_agent_run_steps.tenant_id is
'The run''s tenant.';
comment on column synapsor.synapsor_agent_run_steps.evidence is
'What its outcome rests on, as recorded.';
