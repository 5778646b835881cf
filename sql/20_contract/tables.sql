create table synapsor.action_contracts (
    contract_id integer generated always as identity primary key,
    action text collate "C" not null,
    version integer not null,
    label text,
    kind text not null,
    declared jsonb not null,
    definition jsonb not null,
    digest bytea not null,
    declared_by text not null,
    declared_at timestamptz not null,
    retired_at timestamptz,
    provider text,
    operation text,
    queue text,
    priority smallint not null,
    lease interval not null,
    idempotent boolean not null,
    key_window interval,
    max_attempts smallint not null,
    retry_initial interval not null,
    retry_multiplier double precision not null,
    retry_max interval not null,
    retry_jitter boolean not null,
    require_claim_token boolean not null,
    poison_after smallint not null,
    deliver_within interval,
    reconcile_operation text,
    reconcile_after interval,
    reconcile_max_attempts smallint,
    approval_required boolean not null,
    approval_role text,
    approvals_required smallint not null,
    separate_duties boolean not null,
    approval_expires_after interval,
    approval_unless jsonpath,
    redacted_fields text[] not null,
    hidden_names text[] not null,
    key_is_sensitive boolean not null,
    ordering_key_is_sensitive boolean not null,
    account_id integer,
    account_is_sensitive boolean not null generated always as (
        coalesce(definition ->> 'account' ~ '\{', false)
    ) stored,
    decides boolean not null generated always as (
        coalesce(jsonb_array_length(definition -> 'policies'), 0) > 0
        or coalesce(jsonb_array_length(definition -> 'limits'), 0) > 0
    ) stored,
    bounds_its_callers boolean not null generated always as (
        coalesce(not definition -> 'actor_types' ?& synapsor._actor_types(), false)
        or coalesce(jsonb_array_length(definition -> 'required_roles'), 0) > 0
        or coalesce(jsonb_array_length(definition -> 'required_permissions'), 0) > 0
        or coalesce((definition ->> 'require_run')::boolean, false)
    ) stored,
    hidden_shown jsonb not null generated always as (
        jsonb_object(hidden_names, array_fill('[redacted]'::text, array[cardinality(hidden_names)]))
    ) stored,
    constraint one_contract_per_version unique (action, version),
    constraint version_is_positive check (version > 0),
    constraint kind_is_known check (kind in ('external', 'atomic', 'saga')),
    constraint external_contracts_name_their_queue check (
        kind <> 'external' or (provider is not null and operation is not null and queue is not null)
    ),
    constraint attempts_are_possible check (max_attempts > 0),
    constraint leases_last check (lease > interval '0')
);

create index action_contracts_by_priority on synapsor.action_contracts (priority);

comment on table synapsor.action_contracts is
'Action contracts, one row per version, immutable but for retired_at. The definition is the
document as reviewed; the columns behind it are what the delivery path reads of it without opening
it again.';
comment on column synapsor.action_contracts.declared is
'The definition exactly as declared: an equal one (as jsonb) for the latest version declares
nothing.';
comment on column synapsor.action_contracts.definition is
'The definition with every default filled in.';
comment on column synapsor.action_contracts.digest is
'SHA-256 of the RFC 8785 canonical JSON of the definition.';
comment on column synapsor.action_contracts.lease is
'How long a claim lasts unless the worker asks otherwise.';
comment on column synapsor.action_contracts.idempotent is
'Whether the provider deduplicates by our key: only then is a delivery of unknown outcome repeated
(design.md section 5, rule 8).';
comment on column synapsor.action_contracts.key_window is
'How long, from the first begin_delivery, the provider remembers the key; null: for ever.';
comment on column synapsor.action_contracts.poison_after is
'Claims lost before delivery began after which the action is failed as poisoned.';
comment on column synapsor.action_contracts.approval_unless is
'SQL/JSON path predicate over {"args", "hidden", "context"}; exactly true means that no approval
is needed.';
comment on column synapsor.action_contracts.key_is_sensitive is
'The template of the idempotency key uses a HIDDEN or redacted value, so that the key is redacted
with it.';
comment on column synapsor.action_contracts.account_id is
'The number of its account (provider_accounts), 0 without a provider; null where each proposal
names the account.';
comment on column synapsor.action_contracts.account_is_sensitive is
'The account is a template, which may use a HIDDEN value.';
comment on column synapsor.action_contracts.decides is
'It has policies or limits: each invocation is decided on before it is opened.';
comment on column synapsor.action_contracts.bounds_its_callers is
'It asks for certain actor types, roles or permissions, or for a run.';
comment on column synapsor.action_contracts.hidden_shown is
'The HIDDEN values as shown to those who may not see them: every name, redacted.';

select pg_catalog.pg_extension_config_dump('synapsor.action_contracts', '');

select pg_catalog.pg_extension_config_dump('synapsor.action_contracts_contract_id_seq', '');
