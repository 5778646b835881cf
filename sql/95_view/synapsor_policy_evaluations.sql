create or replace view synapsor.synapsor_policy_evaluations with (security_barrier) as
with reader as materialized (
    select
        *,
        synapsor._has_redactions('evidence_packet') as redacts
    from synapsor._reader
)

select
    evaluation.evaluation_id,
    evaluation.action_id,
    evaluation.policy,
    evaluation.kind,
    evaluation.mode,
    evaluation.result,
    evaluation.reason,
    evaluation.guidance,
    case
        when reader.redacts
            then synapsor._shown(
                synapsor._redact(
                    evaluation.metadata, contract.redacted_fields || contract.hidden_names
                ),
                'evidence_packet'
            )
        else synapsor._redact(
            evaluation.metadata, contract.redacted_fields || contract.hidden_names
        )
    end as metadata,
    evaluation.dispatch_evidence,
    evaluation.evaluated_at
from synapsor.policy_evaluations as evaluation
cross join reader
left join synapsor.action_invocations as invocation
    on
        evaluation.action_id = invocation.action_id
        and not reader.audits
        and not (
            reader.approves and reader.is_person and exists (
                select
                from synapsor.open_external_actions as open
                left join synapsor.approval_requests as request using (action_id)
                where
                    open.action_id = evaluation.action_id and open.status = 'proposed'
                    and coalesce(open.expires_at > synapsor._now(), true)
                    and (request.role is null or reader.roles ? request.role)
            )
        )
left join synapsor.action_contracts as contract
    on invocation.action = contract.action and invocation.version = contract.version
where reader.sees_every_tenant or evaluation.tenant_id = any(reader.tenants);

grant select on synapsor.synapsor_policy_evaluations to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_policy_evaluations is
'What each policy said about each invocation of the reader''s tenants, and how it came to say so.';
comment on column synapsor.synapsor_policy_evaluations.evaluation_id is '`pol_` and a ULID.';
comment on column synapsor.synapsor_policy_evaluations.action_id is 'Invocation judged.';
comment on column synapsor.synapsor_policy_evaluations.policy is
'Policy id the contract names, registered or not.';
comment on column synapsor.synapsor_policy_evaluations.kind is
'`data`, `code` or `hybrid`; null where no such policy was registered.';
comment on column synapsor.synapsor_policy_evaluations.mode is
'`enforce`, or `shadow`: recorded, but never deciding.';
comment on column synapsor.synapsor_policy_evaluations.result is '`pass`, `warn` or `block`.';
comment on column synapsor.synapsor_policy_evaluations.reason is 'Why; null for most passes.';
comment on column synapsor.synapsor_policy_evaluations.guidance is 'What to do about it.';
comment on column synapsor.synapsor_policy_evaluations.metadata is
'What the evaluator added, up to 64 KiB; members named like a HIDDEN or `redact` field of the
contract are redacted for readers who may neither audit nor decide on the action''s approval, and
the redactions of class evidence_packet apply.';
comment on column synapsor.synapsor_policy_evaluations.dispatch_evidence is
'How the decision was reached: path taken, definition status and errors, the conditions that
decided (never the values they saw), fallback trigger, evaluator with version and source digest.';
comment on column synapsor.synapsor_policy_evaluations.evaluated_at is
'When, by the database''s clock.';
