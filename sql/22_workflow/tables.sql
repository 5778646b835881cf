create table synapsor.workflows (
    workflow text collate "C" not null,
    version integer not null,
    label text,
    declared jsonb not null,
    definition jsonb not null,
    declared_by text not null,
    declared_at timestamptz not null,
    constraint one_workflow_per_version primary key (workflow, version),
    constraint version_is_positive check (version > 0)
);

comment on table synapsor.workflows is
'Workflow contracts, one row per version, immutable: what an agent''s run of that workflow may do. They belong to no
tenant.';
comment on column synapsor.workflows.declared is
'The definition exactly as declared: declaring an equal one again changes nothing.';
comment on column synapsor.workflows.definition is 'The definition with every default filled in.';

select pg_catalog.pg_extension_config_dump('synapsor.workflows', '');

-- No policy: nobody but the owner sees or writes a row, pg_write_all_data included.
alter table synapsor.workflows enable row level security;

create table synapsor.workflow_runs (
    run_id text collate "C" primary key,
    tenant_id text collate "C" not null,
    steps integer not null default 0,
    tool_calls integer not null default 0,
    input_tokens bigint not null default 0,
    output_tokens bigint not null default 0,
    has_entered boolean not null default false,
    risk text,
    approval_role text
);

alter table synapsor.workflow_runs enable row level security;
alter table synapsor.workflow_runs force row level security;
create policy tenants_see_their_own on synapsor.workflow_runs using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.workflow_runs is
'What a workflow contract has counted of a run. Whoever adds to such a run locks its row here until commit, so that two
racing steps never exceed a limit together.';
comment on column synapsor.workflow_runs.steps is
'Recorded steps and actions asked for, but for checkpoints and guardrail events.';
comment on column synapsor.workflow_runs.tool_calls is
'Those of the steps that are capabilities, tools or actions.';
comment on column synapsor.workflow_runs.has_entered is
'Whether the contract''s entry capability has been recorded.';
comment on column synapsor.workflow_runs.risk is
'The highest risk of a step so far that demands an approval.';
comment on column synapsor.workflow_runs.approval_role is
'The role whose approval that risk, or any, demands of every action that follows.';

select pg_catalog.pg_extension_config_dump('synapsor.workflow_runs', '');
