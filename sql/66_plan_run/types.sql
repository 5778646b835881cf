create type synapsor.node_result as (
    has_ended boolean,
    status text,
    exit_data jsonb,
    exit_code integer,
    message text,
    pid integer,
    waits_for text,
    ended_as text
);

comment on type synapsor.node_result is
'What came of a node''s handler so far: its status, and where it has not ended, what it waits for;
of an action that has, the word its delivery or invocation has for it.';

create type synapsor.plan_walk as (
    run_id text,
    tenant_id text,
    plan_id integer,
    principal text,
    session jsonb,
    security_context jsonb,
    parameters jsonb,
    automatic jsonb,
    is_dry_run boolean,
    is_cancelled boolean,
    steps integer,
    action_id text,
    queue text,
    names_compensations boolean,
    correlation_id text
);

comment on type synapsor.plan_walk is
'What one advance of a plan instance reads once: the run, the session it acts under, and what its
parameters are resolved from.';
