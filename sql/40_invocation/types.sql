create type synapsor.invocation as (
    action_id text,
    tenant_id text,
    action text,
    version integer,
    kind text,
    actor text,
    actor_type text,
    status text,
    delivery_status text,
    parameters jsonb,
    hidden jsonb,
    idempotency_key text,
    payload_digest text,
    run_id text,
    step_key text,
    correlation_id text,
    causation_id text,
    result jsonb,
    error_code text,
    error_message text,
    violations jsonb,
    created_at timestamptz,
    completed_at timestamptz,
    changed boolean
);

comment on type synapsor.invocation is
'One attempt to perform an action, as invoke_action returns it and synapsor_action_invocations
shows it.';

create type synapsor.external_action as (
    action_id text,
    tenant_id text,
    action text,
    version integer,
    provider text,
    account text,
    operation text,
    queue text,
    status text,
    arguments jsonb,
    hidden jsonb,
    idempotency_key text,
    payload_digest text,
    digest text,
    principal text,
    approvals_required integer,
    approvals_given integer,
    approval_expires_at timestamptz,
    scheduled_at timestamptz,
    priority integer,
    ordering_key text,
    attempts integer,
    max_attempts integer,
    available_at timestamptz,
    worker_principal text,
    worker_label text,
    claim_token bigint,
    lease_expires_at timestamptz,
    delivery_started_at timestamptz,
    provider_request_id text,
    response jsonb,
    error_code text,
    error_message text,
    run_id text,
    step_key text,
    correlation_id text,
    created_at timestamptz,
    queued_at timestamptz,
    finished_at timestamptz,
    changed boolean
);

comment on type synapsor.external_action is
'The outbox side of an invocation, as every verb of approval and delivery returns it and
synapsor_external_actions shows it.';

create type synapsor.bound_parameters as (
    ordinal integer,
    error_code text,
    error_message text,
    violations jsonb,
    intent text,
    digest bytea,
    payload_digest bytea,
    idempotency_key text,
    key_from_template boolean,
    ordering_key text,
    account text,
    is_verbatim boolean,
    action_id text
);

comment on type synapsor.bound_parameters is
'What binding made of one set of caller parameters: an intent with its digests and keys, or a
refusal with every violation; and the identifier it will have.';
comment on column synapsor.bound_parameters.is_verbatim is
'The arguments of the intent are known to be equal to those given: nothing was filled in.';
