create type synapsor.policy as (
    policy text,
    kind text,
    mode text,
    definition jsonb,
    digest text,
    declared_by text,
    declared_at timestamptz
);

comment on type synapsor.policy is
'A registered policy, as declare_policy returns it. The definition has every default filled in.';

create type synapsor.policy_decision as (
    result text,
    reason text,
    guidance text,
    policy text,
    require_approval jsonb
);

comment on type synapsor.policy_decision is
'What the policies of a contract say together: `pass`, `warn` or `block`, the policy that said so
with its reason and guidance, and the approval {"role", "approvals"} that a warning demands.';

create type synapsor.policy_outcome as (
    result text,
    reason text,
    guidance text,
    metadata jsonb,
    require_approval jsonb,
    dispatch_evidence jsonb,
    evaluator text,
    preview_safe boolean,
    fallback text
);

comment on type synapsor.policy_outcome is
'What one policy says. While `evaluator` or `fallback` is set, that code is still to be asked, and
the rest is what stands if it is not. A null result: the policy takes no part (preview).';
