create type synapsor.provider as (
    provider text,
    account text,
    version integer,
    definition jsonb,
    declared_by text,
    declared_at timestamptz
);

comment on type synapsor.provider is
'What holds for an account of a provider, as declare_provider returns it: the definition with its
defaults.';

create type synapsor.admission as (
    most integer,
    reason text,
    until timestamptz
);

comment on type synapsor.admission is
'How many more deliveries may begin: null where nothing limits them. With 0, why: forced_open,
retry_after, breaker_open, probing, full, or rate_limited; and until when, where time alone ends it.';

create type synapsor.tenant_weight as (
    tenant_id text,
    weight integer,
    decided_by text,
    decided_at timestamptz
);

comment on type synapsor.tenant_weight is 'A tenant''s weight as weigh_tenant returns it.';

create type synapsor.pending_outcomes as (
    rows bigint,
    change_something boolean
);

comment on type synapsor.pending_outcomes is
'Outcomes that are recorded but not counted: how many rows, and whether they could change what an
account admits.';

create type synapsor.delivery as (
    account_id integer,
    claim_token bigint,
    started_at timestamptz
);

comment on type synapsor.delivery is
'A delivery that has ended, as far as its provider''s account counts it.';
