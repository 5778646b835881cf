-- The leanest schema that can do the same: one table, one INSERT per action, a claim is an UPDATE, an end a DELETE.
create schema lean;

create table lean.actions (
    id bigint generated always as identity primary key,
    state text not null default 'ready',
    payload jsonb not null
);

create index ready_actions on lean.actions (id) where state = 'ready';

create table lean.approvals (
    action_id bigint not null,
    reviewer text not null,
    decided_at timestamptz not null default clock_timestamp(),
    primary key (action_id, reviewer)
);

grant usage on schema lean to bench_caller, bench_worker, bench_reviewer;
grant insert on lean.actions to bench_caller;
grant select, insert, update on lean.actions to bench_reviewer;
grant insert on lean.approvals to bench_reviewer;
grant select, update, delete on lean.actions to bench_worker;

-- An atomic action by hand: the rows that synapsor.invoke_action writes, in tables with the same indexes, and no check.
create table lean.action_invocations (
    action_id text collate "C" primary key,
    tenant_id text collate "C" not null,
    action text collate "C" not null,
    version integer not null,
    actor text collate "C" not null,
    actor_type text not null,
    status text not null,
    holds_key boolean not null,
    created_at timestamptz not null,
    completed_at timestamptz,
    idempotency_key text collate "C",
    payload_digest bytea,
    digest bytea,
    intent text,
    run_id text collate "C",
    step_key text collate "C",
    correlation_id text collate "C",
    causation_id text collate "C",
    parent_action_id text collate "C",
    result jsonb
) with (fillfactor = 90);

create unique index one_action_per_idempotency_key on lean.action_invocations
(tenant_id, action, idempotency_key) where holds_key;
create index action_invocations_of_a_run on lean.action_invocations (run_id, step_key) where run_id is not null;
create index adapter_steps_of_an_action on lean.action_invocations (parent_action_id)
where parent_action_id is not null;

create table lean.policy_evaluations (
    evaluation_id text collate "C" primary key,
    action_id text collate "C" not null,
    tenant_id text collate "C" not null,
    policy text collate "C" not null,
    kind text,
    mode text not null,
    result text not null,
    dispatch_evidence jsonb not null,
    evaluated_at timestamptz not null
);

create index policy_evaluations_of_an_action on lean.policy_evaluations (action_id);
create index policy_evaluations_of_a_policy on lean.policy_evaluations (policy, evaluated_at);

create table lean.domain_events (
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

create index domain_events_of_an_action on lean.domain_events (action_id);
create index domain_events_of_a_thread on lean.domain_events (correlation_id);

create table lean.event_subjects (
    tenant_id text collate "C" not null,
    subject_type text collate "C" not null,
    subject_id text collate "C" not null,
    last_sequence bigint not null,
    primary key (tenant_id, subject_type, subject_id)
) with (fillfactor = 70);

create sequence lean.queue_positions;

create table lean.open_external_actions (
    action_id text collate "C" primary key,
    tenant_id text collate "C" not null,
    contract_id integer not null,
    last_sequence integer not null,
    status text not null,
    position bigint not null,
    rank timestamptz not null,
    available_at timestamptz not null,
    queued_at timestamptz,
    expires_at timestamptz,
    lease_expires_at timestamptz,
    queue text collate "C" not null,
    ordering_key text collate "C",
    reports_to text collate "C"
) with (fillfactor = 60);

create index ready_external_actions on lean.open_external_actions (queue, rank, position) where status = 'queued';
create index leased_external_actions on lean.open_external_actions (lease_expires_at) where status = 'claimed';
create index expiring_external_actions on lean.open_external_actions (expires_at)
where expires_at is not null and status in ('proposed', 'queued');
create index unknown_external_actions on lean.open_external_actions (queue, available_at) where status = 'unknown';
create index external_actions_in_a_lane on lean.open_external_actions (tenant_id, queue, ordering_key, position)
where ordering_key is not null and status in ('queued', 'claimed', 'unknown');

create table lean.external_action_events (
    action_id text collate "C" not null,
    sequence integer not null,
    event_id text collate "C" not null,
    tenant_id text collate "C" not null,
    event_type text collate "C" not null,
    status text not null,
    actor text collate "C" not null,
    occurred_at timestamptz not null,
    primary key (action_id, sequence)
);

create table lean.invoices (
    id text primary key,
    state text not null,
    amount_cents bigint not null
) with (fillfactor = 50);

insert into lean.invoices (id, state, amount_cents)
select 'in_' || i, 'paid', 2500
from generate_series(1, 10000) as i;

create function lean.append_event(
    tenant text, type text, subject text, subject_id text, document jsonb, actor text, action_id text
)
returns void
language plpgsql
as $function$
declare
    next_sequence bigint;
begin
    insert into lean.event_subjects as known (tenant_id, subject_type, subject_id, last_sequence)
    values (tenant, subject, append_event.subject_id, 1)
    on conflict on constraint event_subjects_pkey do update set last_sequence = known.last_sequence + 1
    returning known.last_sequence into next_sequence;
    insert into lean.domain_events (
        tenant_id, event_id, event_type, event_schema_version, subject_type, subject_id, sequence, actor, actor_type,
        action_id, payload, occurred_at, recorded_at, correlation_id, causation_id
    )
    values (
        tenant, 'evt_' || gen_random_uuid(), type, 1, subject, append_event.subject_id, next_sequence, actor, 'agent',
        append_event.action_id, document, clock_timestamp(), clock_timestamp(), append_event.action_id,
        append_event.action_id
    );
end;
$function$;

create function lean.dispute_invoice(parameters jsonb)
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    made_id constant text := 'act_' || gen_random_uuid();
    step_id constant text := 'act_' || gen_random_uuid();
    began constant timestamptz := clock_timestamp();
    invoice_id constant text := parameters ->> 'invoice_id';
    intent constant text := parameters::text;
    step_input constant text := jsonb_build_object('invoice_id', invoice_id)::text;
begin
    insert into lean.action_invocations (
        action_id, tenant_id, action, version, actor, actor_type, status, holds_key, created_at, idempotency_key,
        payload_digest, digest, intent
    )
    values (
        made_id, 'acme', 'billing.dispute_invoice', 1, 'carl', 'agent', 'running', false, began,
        'auto:' || made_id, sha256(convert_to(intent, 'UTF8')), sha256(convert_to(intent, 'UTF8')), intent
    );
    insert into lean.policy_evaluations (
        evaluation_id, action_id, tenant_id, policy, kind, mode, result, dispatch_evidence, evaluated_at
    )
    values (
        'pol_' || gen_random_uuid(), made_id, 'acme', 'billing.dispute_limit.v1', 'data', 'enforce', 'pass',
        '{"errors": [], "matched": [], "conditions": [], "decided_by": null, "dispatch_path": ["data"],
        "default_applied": true, "definition_status": "valid", "requested_policy_id": "billing.dispute_limit.v1"}',
        clock_timestamp()
    );
    update lean.invoices as invoice
    set state = parameters ->> 'target_state', amount_cents = (parameters ->> 'amount_cents')::bigint
    where invoice.id = invoice_id;
    perform lean.append_event(
        'acme', 'InvoiceDisputed', 'Invoice', invoice_id,
        jsonb_build_object('amount_cents', parameters -> 'amount_cents'), 'carl', made_id
    );
    perform lean.append_event(
        'acme', 'StateTransitioned', 'Invoice', invoice_id,
        jsonb_build_object('to', parameters -> 'target_state', 'action', 'billing.dispute_invoice'), 'carl', made_id
    );
    insert into lean.action_invocations (
        action_id, tenant_id, action, version, actor, actor_type, status, holds_key, created_at, idempotency_key,
        payload_digest, digest, intent, correlation_id, causation_id, parent_action_id
    )
    values (
        step_id, 'acme', 'billing.tell_customer', 1, 'carl', 'agent', 'running', true, clock_timestamp(),
        made_id || ':1', sha256(convert_to(step_input, 'UTF8')), sha256(convert_to(step_input, 'UTF8')), step_input,
        made_id, made_id, made_id
    );
    insert into lean.open_external_actions (
        action_id, tenant_id, contract_id, last_sequence, status, position, rank, available_at, queued_at, expires_at,
        queue, reports_to
    )
    values (
        step_id, 'acme', 2, 1, 'queued', nextval('lean.queue_positions'), began, began, began,
        began + interval '1 day', 'billing', made_id
    );
    insert into lean.external_action_events (
        action_id, sequence, event_id, tenant_id, event_type, status, actor, occurred_at
    )
    values (step_id, 1, 'evt_' || gen_random_uuid(), 'acme', 'Queued', 'queued', 'carl', clock_timestamp());
    perform lean.append_event(
        'acme', 'AdapterInvocationStarted', 'AdapterInvocation', step_id,
        jsonb_build_object('step', 1, 'action', 'billing.tell_customer'), 'carl', made_id
    );
    update lean.action_invocations as stored
    set status = 'running', result = step_input::jsonb
    where stored.action_id = made_id;
    return made_id;
end;
$function$;

grant execute on function lean.dispute_invoice to bench_caller;
