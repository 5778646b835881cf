create table synapsor.plans (
    plan_id integer generated always as identity primary key,
    plan text collate "C" not null,
    version integer not null,
    name text not null,
    label text,
    is_active boolean not null,
    declared jsonb not null,
    run_as jsonb,
    start_info jsonb not null,
    nodes integer not null,
    names_compensations boolean not null,
    declared_by text not null,
    declared_at timestamptz not null,
    constraint one_plan_per_version unique (plan, version),
    constraint version_is_positive check (version > 0)
);

comment on table synapsor.plans is
'Plans, one row per version, immutable: trees of actions, whose nodes are in plan_nodes. They belong to no tenant.';
comment on column synapsor.plans.plan is 'The definition''s UniqueName, else its Name.';
comment on column synapsor.plans.declared is
'The definition exactly as declared: declaring an equal one again changes nothing.';
comment on column synapsor.plans.is_active is 'The definition''s IsActive, which the document does not enforce.';
comment on column synapsor.plans.names_compensations is
'Whether any of its actions names a Compensation: then its runs are sagas.';

select pg_catalog.pg_extension_config_dump('synapsor.plans', '');
select pg_catalog.pg_extension_config_dump('synapsor.plans_plan_id_seq', '');

create table synapsor.plan_nodes (
    plan_id integer not null,
    node integer not null,
    parent integer,
    relation text not null,
    name text not null,
    segment text not null,
    execute_case text[],
    handler jsonb not null,
    config jsonb,
    parameters jsonb,
    config_sets text[] not null,
    parameter_sets text[] not null,
    save_config_as text,
    save_parameters_as text,
    run_as jsonb,
    proxy text,
    compensation jsonb,
    has_group boolean not null,
    has_actions boolean not null,
    primary key (plan_id, node),
    constraint relation_is_known check (relation in ('root', 'group', 'child')),
    constraint roots_have_no_parent check ((relation = 'root') = (parent is null))
);

create index plan_nodes_below_a_node on synapsor.plan_nodes (plan_id, parent, relation, node);

comment on table synapsor.plan_nodes is
'The actions of a plan in document order, a group before the actions beside it, read once at the declaration, so
that the walk looks up what is below a node and nothing else.';
comment on column synapsor.plan_nodes.node is 'Its number in document order, from 1.';
comment on column synapsor.plan_nodes.segment is
'Its part of the step key: the name, with #2, #3 … where a sibling has it already.';
comment on column synapsor.plan_nodes.execute_case is
'The statuses it asks for, any of them; null: it runs always.';
comment on column synapsor.plan_nodes.handler is
'What runs it: {"type", "kind": "action" | "empty" | "echo" | "worker", "action", "operations"}.';
comment on column synapsor.plan_nodes.config is 'The handler''s Config: a ParameterInfo (reference/plans.md, A.6).';
comment on column synapsor.plan_nodes.parameters is 'Its Parameters: a ParameterInfo.';
comment on column synapsor.plan_nodes.config_sets is 'The named sets its Config takes from.';
comment on column synapsor.plan_nodes.parameter_sets is 'The named sets its Parameters take from.';
comment on column synapsor.plan_nodes.proxy is
'The queue on which the external deliveries of its subtree are offered.';
comment on column synapsor.plan_nodes.compensation is
'What undoes it: {"action", "input"}, the input a document of templates.';

select pg_catalog.pg_extension_config_dump('synapsor.plan_nodes', '');
