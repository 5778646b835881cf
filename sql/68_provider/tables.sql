-- Rows of provider_states are locked after those of open_external_actions and ordering_lanes, in
-- order of account_id; only a claim locks them.

create table synapsor.provider_limits (
    limits_id integer generated always as identity primary key,
    provider text collate "C" not null,
    account text collate "C" not null,
    version integer not null,
    declared jsonb not null,
    definition jsonb not null,
    declared_by text not null,
    declared_at timestamptz not null,
    per_second double precision,
    burst double precision,
    per_second_and_tenant double precision,
    burst_of_tenant double precision,
    max_in_flight integer,
    max_in_flight_of_tenant integer,
    breaker_mode text not null,
    failure_rate_threshold double precision not null,
    slow_call_duration interval not null,
    slow_call_rate_threshold double precision not null,
    minimum_calls integer not null,
    window_size integer not null,
    wait_open interval not null,
    half_open_calls integer not null,
    constraint one_definition_per_version unique (provider, account, version),
    constraint breaker_mode_is_known check (breaker_mode in ('enforce', 'monitor', 'disabled', 'forced_open')),
    constraint rate_has_a_burst check ((per_second is null) = (burst is null))
);

-- No policy: nobody but the owner sees or writes a row, pg_write_all_data included.
alter table synapsor.provider_limits enable row level security;

comment on table synapsor.provider_limits is
'What declare_provider said last about each (provider, account). Account * holds for each account
of the provider that has no row of its own. They belong to no tenant.';
comment on column synapsor.provider_limits.declared is
'The definition exactly as declared: an equal one (as jsonb) declares nothing.';
comment on column synapsor.provider_limits.definition is 'The definition with every default filled in.';

select pg_catalog.pg_extension_config_dump('synapsor.provider_limits', '');

select pg_catalog.pg_extension_config_dump('synapsor.provider_limits_limits_id_seq', '');

create table synapsor.provider_accounts (
    account_id integer generated always as identity primary key,
    provider text collate "C" not null,
    account text collate "C" not null,
    is_hidden boolean not null,
    limits_id integer,
    constraint one_number_per_account unique (provider, account)
);

create index provider_accounts_by_limits on synapsor.provider_accounts (limits_id) where limits_id is not null;

alter table synapsor.provider_accounts enable row level security;

comment on table synapsor.provider_accounts is
'Numbers the accounts of providers, so that actions and the ready index carry four bytes. A row
comes with the contract that names the account, or with the first action of an account that its
contract takes from the session.';
comment on column synapsor.provider_accounts.is_hidden is
'Its name came out of a session, and is shown only to whoever sees hidden values.';
comment on column synapsor.provider_accounts.limits_id is
'What was declared for it, by its name or for *; null: nothing limits it and no row is touched.';

select pg_catalog.pg_extension_config_dump('synapsor.provider_accounts', '');

select pg_catalog.pg_extension_config_dump('synapsor.provider_accounts_account_id_seq', '');

create table synapsor.provider_states (
    account_id integer primary key,
    tokens double precision not null default 0,
    refilled_at timestamptz not null,
    retry_after_until timestamptz,
    breaker text not null,
    calls text not null default '',
    opened_at timestamptz,
    probe_token bigint,
    constraint breaker_is_known check (
        breaker in ('CLOSED', 'OPEN', 'HALF_OPEN', 'DISABLED', 'FORCED_OPEN', 'METRICS_ONLY')
    ),
    -- An illegal transition such as CLOSED to HALF_OPEN has nothing to count from.
    constraint open_breakers_know_since_when check (
        (breaker in ('OPEN', 'HALF_OPEN')) = (opened_at is not null)
        and (breaker = 'HALF_OPEN') = (probe_token is not null)
    )
) with (fillfactor = 40);

alter table synapsor.provider_states enable row level security;

comment on table synapsor.provider_states is
'Token bucket, pause and circuit breaker of one account with limits. A claim that takes from it
locks the row until it commits, so that two claims never admit too much together; nobody else
writes it, and accounts do not meet.';
comment on column synapsor.provider_states.tokens is
'As of refilled_at; what it is now follows from the rate.';
comment on column synapsor.provider_states.calls is
'The sliding window of the breaker, one letter a call, the latest last: s succeeded, f failed, and
the same in capitals where the call was slow.';
comment on column synapsor.provider_states.probe_token is
'In state HALF_OPEN: claims with this token or a greater one are probes; the outcome of an earlier
claim tells nothing about now.';

select pg_catalog.pg_extension_config_dump('synapsor.provider_states', '');

create table synapsor.provider_tenant_states (
    account_id integer not null,
    tenant_id text collate "C" not null,
    tokens double precision not null,
    refilled_at timestamptz not null,
    primary key (account_id, tenant_id)
) with (fillfactor = 50);

alter table synapsor.provider_tenant_states enable row level security;
alter table synapsor.provider_tenant_states force row level security;
create policy tenants_see_their_own on synapsor.provider_tenant_states using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.provider_tenant_states is
'Token buckets of single tenants at an account whose rate limit has per_tenant. Written under the
lock of the account''s row in provider_states.';

select pg_catalog.pg_extension_config_dump('synapsor.provider_tenant_states', '');

create table synapsor.provider_outcomes (
    outcome_id bigint generated always as identity,
    account_id integer not null,
    claim_token bigint not null,
    recorded_at timestamptz not null,
    calls text not null,
    retry_after_until timestamptz,
    primary key (account_id, outcome_id)
);

alter table synapsor.provider_outcomes enable row level security;

comment on table synapsor.provider_outcomes is
'What confirmations brought for the breakers and pauses of accounts with limits: one row per batch,
account and claim, only ever inserted, so that confirmations wait for nobody. A claim counts them
into provider_states and deletes them.';
comment on column synapsor.provider_outcomes.calls is
'As in provider_states.calls, in the order of confirmation; empty where nothing counts.';

select pg_catalog.pg_extension_config_dump('synapsor.provider_outcomes', '');

select pg_catalog.pg_extension_config_dump('synapsor.provider_outcomes_outcome_id_seq', '');

create table synapsor.tenant_weights (
    tenant_id text collate "C" primary key,
    weight smallint not null,
    decided_by text not null,
    decided_at timestamptz not null,
    constraint weight_is_possible check (weight between 1 and 100)
);

alter table synapsor.tenant_weights enable row level security;
alter table synapsor.tenant_weights force row level security;
create policy tenants_see_their_own on synapsor.tenant_weights using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.tenant_weights is
'How many times the share of another tenant a tenant gets where both have work that is due; a
tenant without a row has weight 1.';

select pg_catalog.pg_extension_config_dump('synapsor.tenant_weights', '');

create type synapsor.opened_account as (
    limits synapsor.provider_limits,
    state synapsor.provider_states,
    admission synapsor.admission,
    limits_tenants boolean,
    is_free boolean
);

comment on type synapsor.opened_account is
'An account whose state a claim has locked, and what it admits.';
