create table synapsor.plan_runs (
    run_id text collate "C" primary key,
    tenant_id text collate "C" not null,
    plan_id integer not null,
    session jsonb not null,
    is_dry_run boolean not null,
    inside text[] not null,
    action_id text collate "C",
    queue text,
    pending integer not null default 0,
    branch_status integer not null default 0,
    is_cancelled boolean not null default false,
    reason text,
    steps integer not null default 0,
    attempts_failed integer not null default 0,
    error text
);

create index plan_runs_of_an_action on synapsor.plan_runs (action_id) where action_id is not null;

alter table synapsor.plan_runs enable row level security;
alter table synapsor.plan_runs force row level security;
create policy tenants_see_their_own on synapsor.plan_runs using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.plan_runs is
'What the walk of a plan instance needs to know beside its row in runs, whose lock guards this one too.';
comment on column synapsor.plan_runs.session is
'The session that started it: what happens later happens under it, whoever advances the run.';
comment on column synapsor.plan_runs.inside is 'The sagas it runs inside of, the outermost first.';
comment on column synapsor.plan_runs.action_id is 'Of a saga: the invocation that this run performs.';
comment on column synapsor.plan_runs.queue is
'Of a saga below a Proxy: the queue on which its external deliveries are offered.';
comment on column synapsor.plan_runs.pending is 'How many of its roots have not ended.';
comment on column synapsor.plan_runs.branch_status is 'The highest status of what has ended, as a number.';
comment on column synapsor.plan_runs.is_cancelled is 'Nothing new starts.';
comment on column synapsor.plan_runs.reason is 'Why it was cancelled.';
comment on column synapsor.plan_runs.steps is 'How many steps of its nodes there are.';
comment on column synapsor.plan_runs.attempts_failed is 'How often in a row it could not be advanced.';
comment on column synapsor.plan_runs.error is 'Why not, the last time; null when it could.';

select pg_catalog.pg_extension_config_dump('synapsor.plan_runs', '');

create table synapsor.plan_sets (
    run_id text collate "C" not null,
    tenant_id text collate "C" not null,
    kind text not null,
    name text collate "C" not null,
    value jsonb not null,
    primary key (run_id, kind, name),
    constraint kind_is_known check (kind in ('config', 'parameters'))
);

alter table synapsor.plan_sets enable row level security;
alter table synapsor.plan_sets force row level security;
create policy tenants_see_their_own on synapsor.plan_sets using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.plan_sets is
'The named Config and Parameter sets of a plan instance, resolved or saved from exit data; a later one of the same
name replaces the earlier.';

select pg_catalog.pg_extension_config_dump('synapsor.plan_sets', '');

create table synapsor.due_runs (
    mark uuid primary key,
    run_id text collate "C" not null,
    tenant_id text collate "C" not null,
    step_key text collate "C",
    due_at timestamptz not null
);

create index due_runs_by_time on synapsor.due_runs (due_at);

alter table synapsor.due_runs enable row level security;
alter table synapsor.due_runs force row level security;
create policy tenants_see_their_own on synapsor.due_runs using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.due_runs is
'Plan instances to be looked at, and when: one row per timer, per ended wait, and per attempt to advance that
failed. run_due_steps takes them.';
comment on column synapsor.due_runs.step_key is 'The step whose wait is over; null: look at the whole run.';

select pg_catalog.pg_extension_config_dump('synapsor.due_runs', '');
