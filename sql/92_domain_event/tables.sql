-- Without check constraints, like the tables that every action is written to (50_outbox/tables.sql).
create table synapsor.domain_events (
    tenant_id text collate "C" not null,
    event_id text collate "C" not null,
    event_type text collate "C" not null,
    event_schema_version integer not null,
    subject_type text collate "C" not null,
    subject_id text collate "C" not null,
    sequence bigint not null,
    actor text collate "C" not null,
    actor_type text not null,
    action_id text collate "C" not null,
    payload jsonb not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null,
    correlation_id text collate "C" not null,
    causation_id text collate "C",
    primary key (tenant_id, subject_type, subject_id, sequence)
);

create index domain_events_of_an_action on synapsor.domain_events (action_id);
create index domain_events_of_a_thread on synapsor.domain_events (correlation_id);

alter table synapsor.domain_events enable row level security;
alter table synapsor.domain_events force row level security;
create policy tenants_see_their_own on synapsor.domain_events using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.domain_events is
'What happened to the subjects of a tenant, in the words of its contracts (reference/pipeline.md,
B.6); append-only, corrected by further events. Only purge removes events, whole actions at a
time.';
comment on column synapsor.domain_events.sequence is
'Counts the events of one (tenant, subject type, subject id) from 1, without gaps.';
comment on column synapsor.domain_events.action_id is 'The invocation that emitted it.';
comment on column synapsor.domain_events.occurred_at is
'When it happened, by whoever emitted it; recorded_at by default.';
comment on column synapsor.domain_events.recorded_at is
'When it was appended, by the database''s clock.';
comment on column synapsor.domain_events.causation_id is
'The direct cause: the invocation that emitted it.';

select pg_catalog.pg_extension_config_dump('synapsor.domain_events', '');

create table synapsor.event_subjects (
    tenant_id text collate "C" not null,
    subject_type text collate "C" not null,
    subject_id text collate "C" not null,
    last_sequence bigint not null,
    primary key (tenant_id, subject_type, subject_id)
) with (fillfactor = 70);

alter table synapsor.event_subjects enable row level security;
alter table synapsor.event_subjects force row level security;
create policy tenants_see_their_own on synapsor.event_subjects using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.event_subjects is
'The last sequence given out per subject. Its row lock, held until the transaction ends, is what
makes sequences gapless.';

select pg_catalog.pg_extension_config_dump('synapsor.event_subjects', '');
