-- The tables that every action is written to (this one, action_invocations and
-- external_action_events) have no check constraints: each statement that writes would read and
-- compile them anew, at a tenth of a proposal's price.
--
-- Locks are taken in one order everywhere: runs (that of a saga after the one it is performed in, and
-- several in the order of their ids), then action_invocations, then open_external_actions, then
-- ordering_lanes, then rows of the same lane that wait for it. Nobody who holds an action asks for a
-- run: confirming, approving and sweeping only mark it as due. A row that waits for its lane never
-- asks for the lane itself, so the last step closes no circle.

create sequence synapsor.queue_positions;

comment on sequence synapsor.queue_positions is
'Numbers actions in the order in which they were queued.';

select pg_catalog.pg_extension_config_dump('synapsor.queue_positions', '');

create table synapsor.open_external_actions (
    action_id text collate "C" primary key,
    tenant_id text collate "C" not null,
    contract_id integer not null,
    account_id integer not null,
    generation smallint not null default 1,
    attempts smallint not null default 0,
    claims_lost smallint not null default 0,
    deliveries_lost smallint not null default 0,
    reconciliations smallint not null default 0,
    last_sequence integer not null,
    waits_for_lane boolean not null default false,
    is_governed boolean not null default false,
    status text not null,
    position bigint not null,
    rank timestamptz not null,
    available_at timestamptz not null,
    queued_at timestamptz,
    expires_at timestamptz,
    claim_token bigint,
    claimed_at timestamptz,
    lease_expires_at timestamptz,
    delivery_started_at timestamptz,
    first_delivery_at timestamptz,
    queue text collate "C" not null,
    ordering_key text collate "C",
    reports_to text collate "C",
    worker_principal text collate "C",
    worker_label text,
    purpose text,
    request_digest bytea,
    error_code text,
    error_message text
) with (fillfactor = 60);

create index ready_external_actions on synapsor.open_external_actions
(queue, tenant_id, account_id, rank, position)
where status = 'queued' and not waits_for_lane;

create index leased_external_actions on synapsor.open_external_actions (lease_expires_at)
where status = 'claimed';

create index governed_external_actions on synapsor.open_external_actions (account_id, tenant_id)
where status = 'claimed' and is_governed;

create index expiring_external_actions on synapsor.open_external_actions (expires_at)
where expires_at is not null and status in ('proposed', 'queued');

create index unknown_external_actions on synapsor.open_external_actions (queue, available_at)
where status = 'unknown';

create index external_actions_in_a_lane on synapsor.open_external_actions
(tenant_id, queue, ordering_key, position)
where ordering_key is not null and status in ('queued', 'claimed', 'unknown');

alter table synapsor.open_external_actions enable row level security;
alter table synapsor.open_external_actions force row level security;
create policy tenants_see_their_own on synapsor.open_external_actions using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.open_external_actions is
'External actions that are not finished: one narrow row each, the only one that changes. Every
transition locks it first. It is deleted when the action ends; the event of that transition is the
outcome.';
comment on column synapsor.open_external_actions.generation is
'How often an operator retried the failed action, plus one; above 1 it is appended to the
provider''s key as #n (design.md section 5, rule 2).';
comment on column synapsor.open_external_actions.attempts is
'Claims of this generation, less those lost before delivery began.';
comment on column synapsor.open_external_actions.claims_lost is
'Claims in a row lost before delivery began; at the contract''s poison_after the action is failed.';
comment on column synapsor.open_external_actions.deliveries_lost is
'Deliveries that began and whose outcome nobody reported: while above 0, a failure that is not the
provider''s answer proves nothing.';
comment on column synapsor.open_external_actions.waits_for_lane is
'Found behind another action of its ordering key at claim, and therefore kept out of the ready
index until that one ends.';
comment on column synapsor.open_external_actions.account_id is
'The account of the provider it goes to (provider_accounts); 0 where there is none.';
comment on column synapsor.open_external_actions.is_governed is
'Its last claim was a delivery to an account with limits: while claimed it fills the account''s
concurrency, and its outcome counts for the breaker.';
comment on column synapsor.open_external_actions.position is
'Order of queueing; orders a lane and breaks ties of rank.';
comment on column synapsor.open_external_actions.rank is
'available_at less priority minutes: the order of claiming (design.md section 5, rule 5).';
comment on column synapsor.open_external_actions.expires_at is
'When a proposal expires unapproved, or a queued action undelivered.';
comment on column synapsor.open_external_actions.claim_token is
'Of the last claim, kept after it ends: every claim gets a greater one.';
comment on column synapsor.open_external_actions.claimed_at is
'When it was claimed, as long as no event is stored since: the event `Claimed` is then this row,
afterwards it is implied by the next event or stored.';
comment on column synapsor.open_external_actions.worker_principal is
'Of the last claim, kept after it ends.';
comment on column synapsor.open_external_actions.reports_to is
'Of an adapter step: the invocation whose step it is, which run_due_steps completes when its steps
have ended.';
comment on column synapsor.open_external_actions.first_delivery_at is
'First begin_delivery of this generation: the provider''s key window runs from here.';
comment on column synapsor.open_external_actions.request_digest is
'SHA-256 of the first rendered request; a retry that renders another one is refused.';

select pg_catalog.pg_extension_config_dump('synapsor.open_external_actions', '');

create table synapsor.ordering_lanes (
    tenant_id text collate "C" not null,
    queue text collate "C" not null,
    ordering_key text collate "C" not null,
    holder text collate "C",
    primary key (tenant_id, queue, ordering_key)
);

alter table synapsor.ordering_lanes enable row level security;
alter table synapsor.ordering_lanes force row level security;
create policy tenants_see_their_own on synapsor.ordering_lanes using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.ordering_lanes is
'One row per ordering key in use, naming the one action in flight, or to go next. Whoever ends that
action locks the row and hands it to the earliest that is left; an action whose turn it already is
enters without a lock, holding its own row.';

select pg_catalog.pg_extension_config_dump('synapsor.ordering_lanes', '');
