create type synapsor.claim as (
    action_id text,
    claim_token bigint,
    tenant_id text,
    action text,
    version integer,
    provider text,
    account text,
    operation text,
    queue text,
    arguments jsonb,
    intent text,
    digest text,
    idempotency_key text,
    attempt integer,
    lease_expires_at timestamptz,
    delivery_started_at timestamptz,
    purpose text,
    run_id text,
    step_key text,
    correlation_id text,
    traceparent text
);

comment on type synapsor.claim is
'A worker''s fenced lease on an external action, with everything needed to perform it: arguments
are ARG and HIDDEN values together, delivery_started_at is that of an earlier attempt.';

create type synapsor.suspended as (
    everything boolean,
    tenants text [],
    principals text [],
    contracts integer [],
    accounts integer [],
    rank_ahead interval,
    has_limits boolean,
    has_weights boolean
);

comment on type synapsor.suspended is
'What a claim on one queue has to leave out, null where nothing of that kind is suspended; how far
ahead of its time a rank may be; and whether any provider has limits or any tenant a weight.';

create type synapsor.flow as (
    tenant_id text,
    account_id integer,
    weight integer,
    is_governed boolean,
    most integer
);

comment on type synapsor.flow is
'What of a queue is ready of one tenant for one account of a provider; most: what the account''s
limits let begin, null where it has none.';

create type synapsor.turn as (
    tenant_id text,
    used integer
);

comment on type synapsor.turn is
'Whose turn it is at a queue, and how many actions of its share it had already; used is null when
its turn is over and the next tenant''s begins.';

create type synapsor.drain as (
    claims integer,
    looked_at timestamptz,
    tenant_id text,
    account_id integer,
    rank timestamptz,
    position bigint
);

comment on type synapsor.drain is
'How far a backend has drained a queue: how many claims in a row found all they wanted, when it last
looked from the start, and what it claimed last. Before all of it where it looks from the start.';

create type synapsor.allotment as (
    shares integer [],
    next synapsor.turn
);

comment on type synapsor.allotment is
'How many actions a claim takes of each flow it was given, and whose turn it is afterwards.';

create type synapsor.verdict as (
    code text,
    message text,
    detail text,
    hint text,
    repeated boolean
);

comment on type synapsor.verdict is
'How a worker''s call on a claim is judged: all null when it is in order; repeated when this claim
said the same before.';

create type synapsor.worker as (
    worker_principal text,
    worker_label text,
    queues text [],
    last_seen_at timestamptz,
    held integer
);

comment on type synapsor.worker is
'A worker as worker_heartbeat returns it and synapsor_workers shows it.';
