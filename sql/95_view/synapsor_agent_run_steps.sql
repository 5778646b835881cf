-- One look-up an action, whatever the planner believes of tables that have grown a moment ago.
create or replace view synapsor.synapsor_agent_run_steps
with (security_barrier) as
with reader as materialized (
    select
        *,
        synapsor._has_redactions('read_model') as redacts,
        synapsor._has_redactions('action_evidence') as redacts_results,
        synapsor._has_redactions('evidence_packet') as redacts_evidence
    from synapsor._reader
)

select
    step.step_id,
    step.run_id,
    step.step_key,
    coalesce(step.parent_step_key, above.step_key) as parent_step_key,
    case
        when step.parent_step_key is null and above.step_key is not null then 'child'
        else step.relation
    end as relation,
    step.kind,
    step.name,
    case
        when step.action_id is null or step.state = 'finished' then step.state
        when step.phase is not null and coalesce(action.status <> 'proposed', true) then 'running'
        when action.status in ('proposed', 'waiting_for_approval') then 'waiting'
        when action.status in ('pending', 'running', 'queued', 'claimed', 'unknown') then 'running'
        else 'finished'
    end as state,
    case
        when step.action_id is null or (step.phase is not null and step.state = 'finished') then step.status
        -- In a plan's words.
        when step.phase is not null then case action.status when 'proposed' then 'Waiting' else 'Running' end
        else coalesce(step.status, action.status, 'purged')
    end as status,
    step.branch_status,
    step.sequence,
    step.execute_case,
    coalesce(
        case when reader.redacts then synapsor._shown(step.input, 'read_model') else step.input end,
        action.arguments
    ) as input,
    coalesce(
        case
            -- Of a plan's node that is an action this is what the action came to, redacted as there.
            when reader.redacts_results and step.action_id is not null
                then synapsor._shown(synapsor._shown(step.exit_data, 'action_evidence'), 'read_model')
            when reader.redacts then synapsor._shown(step.exit_data, 'read_model')
            else step.exit_data
        end,
        case
            when reader.redacts_results then synapsor._shown(invocation.result, 'action_evidence')
            else invocation.result
        end,
        action.response
    ) as exit_data,
    step.exit_code,
    coalesce(step.message, invocation.error_message, action.error_message) as message,
    step.pid,
    step.security_context,
    step.risk,
    step.action_id,
    step.input_tokens,
    step.output_tokens,
    step.started_at,
    case
        when step.finished_at is not null or step.phase is not null then step.finished_at
        when action.status not in (
            'proposed', 'waiting_for_approval', 'pending', 'running', 'queued', 'claimed', 'unknown'
        ) then coalesce(invocation.completed_at, action.finished_at)
    end as finished_at,
    step.tenant_id,
    case
        when reader.redacts_evidence then synapsor._shown(step.evidence, 'evidence_packet')
        else step.evidence
    end as evidence,
    step.attempt,
    case
        when step.state = 'finished' then null
        when step.phase is null or step.action_id is null then step.wait ->> 'for'
        when action.status in ('proposed', 'waiting_for_approval') then 'approval'
        when action.status = 'unknown' then 'settlement'
        when action.status in ('queued', 'claimed') then 'delivery'
        else step.wait ->> 'for'
    end as waits_for,
    (step.wait ->> 'until')::timestamptz as waits_until,
    step.wait ->> 'role' as approval_role
from synapsor.run_steps as step
cross join reader
left join lateral (
    select
        recorded.parent_action_id,
        recorded.result,
        recorded.error_message,
        recorded.completed_at
    from synapsor.action_invocations as recorded
    where recorded.action_id = step.action_id and recorded.purged_as is null
    order by recorded.action_id
    limit 1
) as invocation on true
left join lateral (
    select
        shown.status,
        shown.arguments,
        shown.response,
        shown.error_message,
        shown.finished_at
    from synapsor._actions as shown
    where shown.action_id = step.action_id
    order by shown.action_id
    limit 1
) as action on true
left join lateral (
    select parent.step_key
    from synapsor.run_steps as parent
    where parent.action_id = invocation.parent_action_id and parent.run_id = step.run_id
    order by parent.sequence
    limit 1
) as above on true
where reader.sees_every_tenant or step.tenant_id = any(reader.tenants);

grant select on synapsor.synapsor_agent_run_steps
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_agent_run_steps is
'The steps of the session''s tenants'' runs. A step that is an action shows where the action
stands now (status: the delivery status, or purged once it was purged; of a plan''s node the
document''s word) and its arguments, redacted as in synapsor_external_actions; an adapter step is
below the step of its action. Ask for one run_id. Source: run_steps, action_invocations.';
comment on column synapsor.synapsor_agent_run_steps.step_id is 'Identifier of the step.';
comment on column synapsor.synapsor_agent_run_steps.run_id is 'The run it belongs to.';
comment on column synapsor.synapsor_agent_run_steps.step_key is 'Its name, unique in the run.';
comment on column synapsor.synapsor_agent_run_steps.parent_step_key is
'The step it is below; null for a root.';
comment on column synapsor.synapsor_agent_run_steps.relation is
'root, child, group or instance: how it hangs on its parent.';
comment on column synapsor.synapsor_agent_run_steps.kind is
'capability, checkpoint, interrupt, handoff, guardrail or the recorder''s word; external_action,
atomic and saga are actions.';
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
comment on column synapsor.synapsor_agent_run_steps.exit_code is 'Plans: the handler''s exit code.';
comment on column synapsor.synapsor_agent_run_steps.message is
'The reason of an interrupt or a hand-off; the error of an action.';
comment on column synapsor.synapsor_agent_run_steps.pid is
'Plans: the process number a handler reported.';
comment on column synapsor.synapsor_agent_run_steps.security_context is
'Plans: the session under which the node ran.';
comment on column synapsor.synapsor_agent_run_steps.risk is 'The risk the agent gave it.';
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
comment on column synapsor.synapsor_agent_run_steps.tenant_id is 'The run''s tenant.';
comment on column synapsor.synapsor_agent_run_steps.evidence is
'What its outcome rests on, as recorded.';
comment on column synapsor.synapsor_agent_run_steps.attempt is
'1, and one more each time a resumed plan tried the node again.';
comment on column synapsor.synapsor_agent_run_steps.approval_role is
'Of a step whose risk demands an approval: the role that gives it, by approve_external_action of its
step_id, or with that of an action after it.';
comment on column synapsor.synapsor_agent_run_steps.waits_for is
'Of a step whose risk demands it: approval. Plans, of an unfinished node: approval, delivery,
settlement (its outcome is unknown), adapter steps, saga or timer.';
comment on column synapsor.synapsor_agent_run_steps.waits_until is 'When a timer runs out.';
