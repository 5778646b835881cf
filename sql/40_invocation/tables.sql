create table synapsor.action_invocations (
    action_id text collate "C" primary key,
    tenant_id text collate "C" not null,
    action text collate "C" not null,
    version integer not null,
    actor text collate "C" not null,
    actor_type text not null,
    status text not null,
    holds_key boolean not null,
    key_from_template boolean not null,
    opened_as text,
    created_at timestamptz not null,
    completed_at timestamptz,
    scheduled_at timestamptz,
    idempotency_key text collate "C",
    payload_digest bytea,
    digest bytea,
    intent text,
    parameters jsonb,
    queue text collate "C",
    account text collate "C",
    ordering_key text collate "C",
    run_id text collate "C",
    step_key text collate "C",
    correlation_id text collate "C",
    causation_id text collate "C",
    traceparent text,
    parent_action_id text collate "C",
    retry jsonb,
    result jsonb,
    error_code text,
    error_message text,
    violations jsonb,
    purged_as text
) with (fillfactor = 90);

-- What differs comes first: most comparisons are decided by it.
create unique index one_action_per_idempotency_key on synapsor.action_invocations
(idempotency_key, tenant_id, action) where holds_key;

create index action_invocations_of_a_run on synapsor.action_invocations (run_id, step_key)
where run_id is not null;

create index adapter_steps_of_an_action on synapsor.action_invocations (parent_action_id)
where parent_action_id is not null;

alter table synapsor.action_invocations enable row level security;
alter table synapsor.action_invocations force row level security;
create policy tenants_see_their_own on synapsor.action_invocations using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.action_invocations is
'One row per attempt to perform an action, refused attempts included, written before anything is
decided. It holds what does not change: who asked for what, and the intent. Where an external
action stands is told by its row in open_external_actions or, once finished, by the event that
finished it.';
comment on column synapsor.action_invocations.status is
'Authoritative for refused attempts; an accepted external action stays `running` here and its
delivery tells the rest.';
comment on column synapsor.action_invocations.opened_as is
'`queued` or `proposed` where the action was opened with its recording, which is then its first
event and stored nowhere else; null where its first event is a row, or it has none.';
comment on column synapsor.action_invocations.holds_key is
'Whether this row is the one action of its (tenant, action, idempotency key); a refused attempt is
not.';
comment on column synapsor.action_invocations.intent is
'RFC 8785 canonical JSON of {"action", "arguments", "hidden", "idempotency_key", "version"}: what
is approved and what is sent are built from these bytes and nothing else (design.md section 5,
rule 3).';
comment on column synapsor.action_invocations.digest is 'SHA-256 of exactly the bytes of intent.';
comment on column synapsor.action_invocations.payload_digest is
'SHA-256 of the canonical JSON of {"action", "arguments", "hidden"}: tells an equal repeat from a
conflicting one (rule 2).';
comment on column synapsor.action_invocations.parameters is
'The caller''s parameters verbatim where no intent holds them; above 64 KiB only their size and
SHA-256.';
comment on column synapsor.action_invocations.correlation_id is
'The thread this attempt belongs to; null means its own action_id.';
comment on column synapsor.action_invocations.parent_action_id is
'Of an adapter step: the invocation whose step it is.';
comment on column synapsor.action_invocations.retry is
'Of an adapter step with a retry policy of its own: that policy, in place of the contract''s.';
comment on column synapsor.action_invocations.purged_as is
'Set by purge: the final status. Such a row is the tombstone of its idempotency key and is shown
by no view.';

select pg_catalog.pg_extension_config_dump('synapsor.action_invocations', '');
