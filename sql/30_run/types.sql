create type synapsor.run as (
    run_id text,
    tenant_id text,
    workflow text,
    plan text,
    version text,
    state text,
    status text,
    principal text,
    input jsonb,
    output jsonb,
    correlation_id text,
    started_at timestamptz,
    finished_at timestamptz
);

comment on type synapsor.run is
'An agent workflow run or a plan instance, as the run verbs return it and as
synapsor_agent_workflow_runs shows it.';

create type synapsor.step as (
    step_id text,
    run_id text,
    step_key text,
    parent_step_key text,
    relation text,
    kind text,
    name text,
    state text,
    status text,
    branch_status text,
    sequence bigint,
    execute_case jsonb,
    input jsonb,
    exit_data jsonb,
    exit_code int,
    message text,
    pid int,
    security_context jsonb,
    risk text,
    action_id text,
    input_tokens int,
    output_tokens int,
    started_at timestamptz,
    finished_at timestamptz
);

comment on type synapsor.step is
'One node of a run, as the run verbs return it and as synapsor_agent_run_steps shows it.';
