create or replace view synapsor.synapsor_pending_approvals with (security_barrier) as
-- One query around both: of a bare union all the planner forgets the barrier.
select pending.*
from (
    select
        open.action_id,
        waiting.tenant_id,
        waiting.action,
        waiting.version,
        waiting.arguments,
        waiting.digest,
        waiting.principal as proposed_by,
        nullif(
            concat_ws(' and ', request.role, nullif(request.risk_role, request.role)), ''
        ) as required_role,
        waiting.approvals_required,
        waiting.approvals_given,
        array(
            select approval.reviewer
            from synapsor.approvals as approval
            where
                approval.action_id = waiting.action_id and approval.verdict = 'approved'
                and approval.voided_at is null
            order by approval.decided_at
        ) as reviewers,
        coalesce(request.risk, step.risk) as risk,
        request.reason,
        waiting.created_at,
        request.expires_at
    from synapsor.open_external_actions as open
    -- Looked up one by one (offset 0): joined, the view would be computed for every action there ever was.
    cross join
        lateral (
            select action.* from synapsor._actions as action
            where action.action_id = open.action_id
            offset 0
        ) as waiting
    inner join synapsor.approval_requests as request on open.action_id = request.action_id
    left join synapsor.run_steps as step on step.run_id = waiting.run_id and step.action_id = waiting.action_id
    where open.status = 'proposed' and waiting.status = 'proposed'
    union all
    -- A step whose risk demands an approval is decided on like an action, by its own id.
    select
        step.step_id,
        step.tenant_id,
        step.name collate "C" as action, -- noqa: RF02
        null as version,
        case when reader.redacts then synapsor._shown(step.input, 'read_model') else step.input end as arguments,
        encode(synapsor._step_digest(step), 'hex') as digest,
        run.principal collate "C" as proposed_by, -- noqa: RF02
        step.wait ->> 'role' as required_role,
        1 as approvals_required,
        0 as approvals_given,
        '{}' as reviewers,
        step.risk,
        format('the risk of step %s in run %s', step.step_key, step.run_id) as reason,
        step.started_at as created_at,
        null as expires_at
    from synapsor.run_steps as step
    inner join synapsor.runs as run on step.run_id = run.run_id
    cross join (
        select
            *,
            synapsor._has_redactions('read_model') as redacts
        from synapsor._reader
    ) as reader
    where
        step.state = 'waiting' and step.action_id is null and step.wait ->> 'for' = 'approval'
        and run.finished_at is null
        and (reader.sees_every_tenant or step.tenant_id = any(reader.tenants))
) as pending;

grant select on synapsor.synapsor_pending_approvals to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_pending_approvals is
'Actions of the reader''s tenants that wait for approval, whoever may decide sees every argument; and
the steps of open runs that wait for it because of their risk.';
comment on column synapsor.synapsor_pending_approvals.action_id is
'What to pass to approve_external_action or reject_external_action; of a step its step_id.';
comment on column synapsor.synapsor_pending_approvals.tenant_id is 'Tenant of the proposal.';
comment on column synapsor.synapsor_pending_approvals.action is
'namespace.verb; of a step its name.';
comment on column synapsor.synapsor_pending_approvals.version is
'Version of the contract; null for a step.';
comment on column synapsor.synapsor_pending_approvals.arguments is
'ARG values that will be sent; of a step its input.';
comment on column synapsor.synapsor_pending_approvals.digest is
'SHA-256 of exactly what will be sent, of a step as it was recorded, in hex; pass it as
expected_digest.';
comment on column synapsor.synapsor_pending_approvals.proposed_by is
'Principal that proposed it, or whose run the step is in.';
comment on column synapsor.synapsor_pending_approvals.required_role is
'Role a reviewer needs, two of them joined by `and`; null: any approver.';
comment on column synapsor.synapsor_pending_approvals.approvals_required is
'Distinct reviewers needed.';
comment on column synapsor.synapsor_pending_approvals.approvals_given is 'Approvals that count.';
comment on column synapsor.synapsor_pending_approvals.reviewers is 'Who approved so far, in order.';
comment on column synapsor.synapsor_pending_approvals.risk is
'The highest risk recorded in its run, where the workflow contract demands approval for it.';
comment on column synapsor.synapsor_pending_approvals.reason is
'Why approval is asked for, where more than the contract asks.';
comment on column synapsor.synapsor_pending_approvals.created_at is 'When it was proposed.';
comment on column synapsor.synapsor_pending_approvals.expires_at is
'When the proposal expires; null: never.';
