-- Runs and their steps: one model for what an agent did and for the instances of a plan.
-- No foreign key joins a step to its run: a step is written on the path of every proposal, and the
-- verbs have locked the run's key before they write one.

create table synapsor.runs (
    run_id text collate "C" not null,
    tenant_id text collate "C" not null,
    workflow text,
    plan text,
    version text,
    state text not null default 'open',
    status text,
    principal text not null,
    input jsonb not null default '{}',
    output jsonb not null default '{}',
    correlation_id text not null,
    started_at timestamptz not null,
    finished_at timestamptz,
    workflow_version integer,
    constraint a_run_has_one_row primary key (run_id),
    constraint a_run_is_a_workflows_or_a_plans check (workflow is null or plan is null),
    constraint a_run_is_in_a_known_state check (
        state in (
            'open', 'waiting_approval', 'completed', 'failed', 'cancelled',
            'compensating', 'compensated', 'compensation_failed', 'escalated'
        )
    ),
    constraint a_run_has_an_end_when_it_is_over check (
        (finished_at is not null) = (state not in ('open', 'waiting_approval', 'compensating'))
    )
);

create index runs_by_tenant on synapsor.runs (tenant_id, started_at);

alter table synapsor.runs enable row level security;
alter table synapsor.runs force row level security;

create policy tenants_see_their_own on synapsor.runs
using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

select pg_catalog.pg_extension_config_dump('synapsor.runs', '');

comment on table synapsor.runs is
'Agent workflow runs and plan instances, one row each. Written by start_agent_run and
complete_agent_run (and by plans); read through synapsor_agent_workflow_runs.';
comment on column synapsor.runs.run_id is 'run_ and a ULID; unique over all tenants.';
comment on column synapsor.runs.tenant_id is
'The tenant of the session that started the run; the only one that sees it.';
comment on column synapsor.runs.workflow is
'Name of the workflow the agent follows, as given; null for a plan and for a run without one.';
comment on column synapsor.runs.plan is
'Name of the plan this run is an instance of; null for an agent''s run.';
comment on column synapsor.runs.version is
'A workflow''s version as given, else the label or number of the one it is bound to; a plan''s version
number in digits.';
comment on column synapsor.runs.workflow_version is
'The version of the declared workflow contract that the run is bound to; null where the workflow is only a name.';
comment on column synapsor.runs.state is
'open, waiting_approval and compensating go on; completed, failed, cancelled, compensated,
compensation_failed and escalated are over.';
comment on column synapsor.runs.status is
'An agent''s run: the status last given to complete_agent_run. A plan: the highest branch status.';
comment on column synapsor.runs.principal is
'Who started the run, from the session; nobody else may add to it.';
comment on column synapsor.runs.input is 'What the run was started with; at most 64 KiB.';
comment on column synapsor.runs.output is
'What the run ended with, or has to show while it waits; at most 64 KiB.';
comment on column synapsor.runs.correlation_id is
'The session value correlation_id, else the run_id: what ties the run''s actions together.';
comment on column synapsor.runs.started_at is 'Database clock.';
comment on column synapsor.runs.finished_at is
'Database clock; null exactly while the run goes on.';

create sequence synapsor.run_steps_sequence as bigint;

select pg_catalog.pg_extension_config_dump('synapsor.run_steps_sequence', '');

comment on sequence synapsor.run_steps_sequence is
'Numbers steps in the order they were begun, without locking their run.';

create table synapsor.run_steps (
    step_id text collate "C" not null,
    run_id text collate "C" not null,
    tenant_id text collate "C" not null,
    step_key text collate "C" not null,
    parent_step_key text collate "C",
    relation text not null default 'root',
    kind text not null,
    name text not null,
    state text not null,
    status text,
    branch_status text,
    sequence bigint not null default nextval('synapsor.run_steps_sequence'),
    execute_case jsonb,
    input jsonb,
    exit_data jsonb,
    exit_code int,
    message text,
    pid int,
    security_context jsonb,
    risk text,
    evidence jsonb,
    action_id text collate "C",
    input_tokens int,
    output_tokens int,
    started_at timestamptz not null,
    finished_at timestamptz,
    attempt int not null default 1,
    retries text collate "C",
    compensates text collate "C",
    node int,
    phase text,
    pending int,
    query_status int,
    wait jsonb,
    finish_order bigint,
    constraint a_step_key_names_one_step_of_its_run primary key (run_id, step_key),
    constraint a_step_key_fits_its_index check (octet_length(step_key) between 1 and 2048),
    constraint a_step_has_a_known_relation check (
        relation in ('root', 'child', 'group', 'instance')
    ),
    constraint a_step_is_a_root_or_has_a_parent check (
        (relation = 'root') = (parent_step_key is null)
    ),
    constraint a_step_is_not_its_own_parent check (parent_step_key <> step_key),
    constraint a_step_is_in_a_known_state check (state in ('running', 'waiting', 'finished')),
    constraint a_step_has_an_end_when_it_is_finished check (
        (finished_at is not null) = (state = 'finished')
    ),
    constraint tokens_are_counted_from_zero check (input_tokens >= 0 and output_tokens >= 0),
    constraint attempts_are_counted_from_one check (attempt > 0),
    constraint a_phase_is_known check (
        phase in ('handler', 'group', 'instances', 'actions', 'ended', 'retried')
    ),
    constraint nothing_pending_is_zero check (pending >= 0)
);

create index run_steps_below_a_node on synapsor.run_steps (run_id, parent_step_key)
where node is not null;

create index run_steps_under_way on synapsor.run_steps (run_id) where state <> 'finished';

create index run_steps_waiting_by_id on synapsor.run_steps (step_id) where state = 'waiting';

create index run_steps_awaiting_approval on synapsor.run_steps (tenant_id)
where state = 'waiting' and action_id is null and wait ->> 'for' = 'approval';

create index run_steps_of_actions on synapsor.run_steps (action_id) where action_id is not null;

alter table synapsor.run_steps enable row level security;
alter table synapsor.run_steps force row level security;

create policy tenants_see_their_own on synapsor.run_steps
using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

select pg_catalog.pg_extension_config_dump('synapsor.run_steps', '');

comment on table synapsor.run_steps is
'The nodes of runs: what an agent recorded, the actions it proposed, and the nodes of plans that ran.
The row of an action that an agent proposed never changes after it is written: its state is the
action''s, which synapsor_agent_run_steps joins. The row of a plan''s node ends with its handler,
and tells what came of everything below it.';
comment on column synapsor.run_steps.step_id is 'stp_ and a ULID.';
comment on column synapsor.run_steps.tenant_id is 'The run''s tenant.';
comment on column synapsor.run_steps.step_key is
'The caller''s name of the step, unique in its run, 1 to 2048 bytes. A plan''s nodes use the path
of names.';
comment on column synapsor.run_steps.parent_step_key is
'A step of the same run that was there before this one; fixed when the step begins.';
comment on column synapsor.run_steps.relation is
'How the step hangs on its parent: root (on none), child; group and instance are a plan''s.';
comment on column synapsor.run_steps.kind is
'capability, checkpoint, interrupt, handoff, guardrail or a caller''s own word; external_action,
atomic and saga are written only by the action itself.';
comment on column synapsor.run_steps.name is
'What was done: a capability, an action, the target of a hand-off; else the step key.';
comment on column synapsor.run_steps.state is
'running, waiting, finished. Of a step with an action_id: what it was at the proposal.';
comment on column synapsor.run_steps.status is
'running, waiting, waiting_approval; completed, failed, cancelled, skipped, blocked, warned
(finished). Null where an action or a plan has its own.';
comment on column synapsor.run_steps.branch_status is
'Plans: the highest status of the node and of everything below it.';
comment on column synapsor.run_steps.sequence is
'The order in which steps were begun; grows, with gaps, over all runs.';
comment on column synapsor.run_steps.execute_case is
'Plans: the status, or the array of statuses, the node asked of its parent.';
comment on column synapsor.run_steps.input is
'What the step was given; at most 64 KiB. Null for an action''s step: arguments are stored once.';
comment on column synapsor.run_steps.exit_data is 'What the step produced; at most 64 KiB.';
comment on column synapsor.run_steps.exit_code is 'Plans: the handler''s exit code.';
comment on column synapsor.run_steps.message is
'The reason of an interrupt or a hand-off; a plan''s message of a node.';
comment on column synapsor.run_steps.pid is 'Plans: the process number a handler reported.';
comment on column synapsor.run_steps.security_context is
'Plans: the session under which the node ran.';
comment on column synapsor.run_steps.risk is
'The risk the agent gives the step, such as low, medium or high.';
comment on column synapsor.run_steps.evidence is
'What the step''s outcome rests on; at most 64 KiB.';
comment on column synapsor.run_steps.action_id is
'The invocation this step is; null for a step that was only recorded.';
comment on column synapsor.run_steps.input_tokens is
'Tokens the step read, as the agent counted them.';
comment on column synapsor.run_steps.output_tokens is
'Tokens the step wrote, as the agent counted them.';
comment on column synapsor.run_steps.attempt is
'1, and one more each time a resumed plan tried the node again.';
comment on column synapsor.run_steps.retries is
'Plans: the step of the failed attempt before this one.';
comment on column synapsor.run_steps.compensates is 'Plans: the step whose effect this one undoes.';
comment on column synapsor.run_steps.node is
'Plans: the number of the node in plan_nodes; null for every other step.';
comment on column synapsor.run_steps.phase is
'Plans: where the walk is: at the node''s handler, its group, its for-each instances or its
actions, or ended with everything below it; retried: a later attempt stands in its place.';
comment on column synapsor.run_steps.pending is
'Plans: how many of the steps below it in this phase have not ended.';
comment on column synapsor.run_steps.query_status is
'Plans: what the execute cases of its actions are compared with: its own status, raised by its
group''s. Of a container: the highest status of its instances.';
comment on column synapsor.run_steps.wait is
'Plans: what an unfinished node waits for, such as {"for": "timer", "until": …, "result": …}.';
comment on column synapsor.run_steps.finish_order is
'Plans: grows with every handler that ends; effects are compensated in the reverse of it.';
comment on column synapsor.run_steps.started_at is
'Database clock, when the step was first recorded.';
comment on column synapsor.run_steps.finished_at is
'Database clock, when it was recorded as finished; null exactly while it is not.';
