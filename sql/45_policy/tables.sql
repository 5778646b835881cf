-- Policies attach to actions, never to tenants: this table has no tenant_id.

create table synapsor.policies (
    policy text collate "C" primary key,
    kind text not null,
    mode text not null,
    declared jsonb not null,
    definition jsonb not null,
    digest bytea not null,
    declared_by text not null,
    declared_at timestamptz not null,
    constraint policy_is_well_formed check (
        policy ~ '^[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*\.v[0-9]+$'
    ),
    constraint kind_is_known check (kind in ('data', 'code', 'hybrid')),
    constraint mode_is_known check (mode in ('enforce', 'shadow'))
);

comment on table synapsor.policies is
'Registered policies, immutable: the version is part of the id.';
comment on column synapsor.policies.policy is
'Policy id, ending in `.v` and a number (reference/pipeline.md, B.3).';
comment on column synapsor.policies.kind is
'`data`: a condition tree; `code`: a function; `hybrid`: a tree with a function behind it.';
comment on column synapsor.policies.mode is
'`enforce`, or `shadow`: evaluated and recorded, but never deciding.';
comment on column synapsor.policies.declared is
'The definition exactly as declared: declaring an equal one again changes nothing.';
comment on column synapsor.policies.definition is 'The definition with every default filled in.';
comment on column synapsor.policies.digest is
'SHA-256 of the RFC 8785 canonical JSON of the definition.';
comment on column synapsor.policies.declared_by is 'Principal that declared it.';
comment on column synapsor.policies.declared_at is 'When.';

select pg_catalog.pg_extension_config_dump('synapsor.policies', '');

-- Without check constraints: each insert would read and compile them anew (50_outbox/tables.sql).
create table synapsor.policy_evaluations (
    evaluation_id text collate "C" primary key,
    action_id text collate "C" not null,
    tenant_id text collate "C" not null,
    policy text collate "C" not null,
    kind text,
    mode text not null,
    result text not null,
    reason text,
    guidance text,
    metadata jsonb,
    dispatch_evidence jsonb not null,
    evaluated_at timestamptz not null
);

create index policy_evaluations_of_an_action on synapsor.policy_evaluations (action_id);

create index policy_evaluations_of_a_policy on synapsor.policy_evaluations (policy, evaluated_at);

alter table synapsor.policy_evaluations enable row level security;
alter table synapsor.policy_evaluations force row level security;
create policy tenants_see_their_own on synapsor.policy_evaluations using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.policy_evaluations is
'What each policy said about each invocation, and how it came to say so. Append-only; neither
reason nor evidence holds a HIDDEN value.';
comment on column synapsor.policy_evaluations.evaluation_id is '`pol_` and a ULID.';
comment on column synapsor.policy_evaluations.action_id is 'Invocation judged.';
comment on column synapsor.policy_evaluations.policy is
'Policy id the contract names, registered or not.';
comment on column synapsor.policy_evaluations.kind is
'Kind of the registered policy; null where none was registered.';
comment on column synapsor.policy_evaluations.mode is
'Mode of the policy: `enforce`, or `shadow`, which never decides.';
comment on column synapsor.policy_evaluations.result is '`pass`, `warn` or `block`.';
comment on column synapsor.policy_evaluations.reason is 'Why, for whoever asked.';
comment on column synapsor.policy_evaluations.guidance is 'What to do about it.';
comment on column synapsor.policy_evaluations.metadata is
'What an evaluator added, up to 64 KiB; null for a data policy.';
comment on column synapsor.policy_evaluations.dispatch_evidence is
'How the decision was reached: requested_policy_id; dispatch_path (`data`, `code`, or both);
definition_status (`valid`, `invalid`, `missing`); errors; of a data decision matched (top-level
conditions that held, up to the first that blocks), decided_by (the one that counted),
default_applied and conditions (the leaves that decided, with the literals of the definition); of
a fallback its trigger and policy; of code its policy id, version, signature, whether it is
registered, and the SHA-256 of its source.';
comment on column synapsor.policy_evaluations.evaluated_at is 'When, by the database''s clock.';

select pg_catalog.pg_extension_config_dump('synapsor.policy_evaluations', '');
