create table synapsor.external_action_events (
    action_id text collate "C" not null,
    sequence integer not null,
    attempt smallint,
    tenant_id text collate "C" not null,
    event_type text collate "C" not null,
    status text not null,
    actor text collate "C" not null,
    occurred_at timestamptz not null,
    claim_token bigint,
    claimed_at timestamptz,
    lease_expires_at timestamptz,
    delivery_started_at timestamptz,
    worker_principal text collate "C",
    worker_label text,
    confirmed text,
    provider_request_id text,
    error_code text,
    note text,
    detail jsonb,
    primary key (action_id, sequence)
);

alter table synapsor.external_action_events enable row level security;
alter table synapsor.external_action_events force row level security;
create policy tenants_see_their_own on synapsor.external_action_events using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.external_action_events is
'Every transition of every external action, written in the transaction that made it; append-only.
The event that finished an action is its outcome. Only purge removes events, whole actions at a
time. Not every event is a row: action_invocations.opened_as implies the first one, and one with
claimed_at the event `Claimed` before it. Read all of them from _events.';
comment on column synapsor.external_action_events.sequence is
'Counts the events of one action from 1, without gaps; most begin with 2 here.';
comment on column synapsor.external_action_events.status is
'The delivery status this event led to.';
comment on column synapsor.external_action_events.claimed_at is
'When the action was claimed, where this is the first event since: it stands for `Claimed` too, whose
sequence is one less.';
comment on column synapsor.external_action_events.confirmed is
'What a worker confirmed with this event: an equal confirmation of the same claim is a repeat
(design.md section 5, rule 6).';
comment on column synapsor.external_action_events.detail is
'What else belongs to the transition: the provider''s response, error_message, retry_at, the
digests that differed.';

select pg_catalog.pg_extension_config_dump('synapsor.external_action_events', '');
