-- security definer: suspensions, lanes and workers are in no tenant's view; only what holds up the
-- session's own actions is told
create or replace function synapsor._delivery_context(action_ids text[])
returns table (
    action_id text,
    waits_behind text,
    suspended_kind text,
    suspended_name text,
    suspended_reason text,
    suspended_at timestamptz,
    worker_seen_at timestamptz,
    is_reconcilable boolean,
    suspended_by text,
    held_by text,
    held_reason text,
    held_until timestamptz
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select
        open.action_id,
        lane.action_id,
        suspension.kind,
        suspension.name,
        suspension.reason,
        suspension.suspended_at,
        worker.last_seen_at,
        open.status = 'unknown' and contract.reconcile_operation is not null
        and open.reconciliations < contract.reconcile_max_attempts,
        suspension.suspended_by,
        case when held.reason is not null then held.provider end,
        held.reason,
        held.until
    from synapsor.open_external_actions as open
    inner join synapsor.action_invocations as invocation
        on open.action_id = invocation.action_id
    inner join synapsor.action_contracts as contract
        on open.contract_id = contract.contract_id
    left join lateral (
        select earlier.action_id
        from synapsor.open_external_actions as earlier
        where
            open.status = 'queued'
            and open.ordering_key is not null
            and earlier.tenant_id = open.tenant_id
            and earlier.queue = open.queue
            and earlier.ordering_key = open.ordering_key
            and earlier.status in ('queued', 'claimed', 'unknown')
            and (
                earlier.position < open.position
                or exists (
                    select from synapsor.ordering_lanes as held
                    where
                        held.tenant_id = open.tenant_id
                        and held.queue = open.queue
                        and held.ordering_key = open.ordering_key
                        and held.holder = earlier.action_id
                        and held.holder <> open.action_id
                )
            )
        order by (earlier.status = 'queued'), earlier.position
        limit 1
    ) as lane on true
    left join lateral (
        select held.*
        from synapsor.suspensions as held
        where
            held.kind = 'all'
            or held.kind = 'queue' and held.name = open.queue
            or held.kind = 'provider' and held.name = contract.provider
            or held.kind = 'action' and held.name = invocation.action
            or held.kind = 'tenant' and held.name = open.tenant_id
            or held.kind = 'principal' and held.name = invocation.actor
        order by held.suspended_at
        limit 1
    ) as suspension on true
    left join lateral (
        select max(seen.last_seen_at) as last_seen_at
        from synapsor.workers as seen
        where open.queue = any(seen.queues)
    ) as worker on true
    left join lateral (
        select
            case
                when known.account = 'default' then known.provider
                when known.is_hidden and not synapsor._caller_has('synapsor_auditor') then known.provider
                else format('%s (account %s)', known.provider, known.account)
            end as provider,
            admission.reason,
            admission.until
        from synapsor.provider_accounts as known
        cross join lateral synapsor._peek_admission(known, open.tenant_id, synapsor._now()) as admission
        where
            open.status = 'queued'
            and known.account_id = open.account_id
            and known.limits_id is not null
    ) as held on true
    where
        open.action_id = any(action_ids)
        and open.status in ('queued', 'unknown')
        and (
            open.tenant_id = any((select synapsor._visible_tenants())::text[])
            or (select synapsor._sees_every_tenant())
        );
$function$;

grant execute on function synapsor._delivery_context(text[])
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._delivery_context(text[]) is
'What may hold up queued and unknown actions of the session''s tenants: the action ahead of theirs
under the same ordering key, the oldest suspension that covers them, what the limits of their
provider wait for and until when, when a worker last reported on their queue, and whether a worker
may still ask the provider about an unknown outcome.';

-- security definer: the view of these events, made for single actions, does not tell whether a
-- delivery had begun; tells no payload
create or replace function synapsor._delivery_history(action_ids text[])
returns table (
    action_id text,
    sequence int,
    event_type text,
    status text,
    actor text,
    worker_principal text,
    worker_label text,
    claim_token bigint,
    lease_expires_at timestamptz,
    began boolean,
    provider_request_id text,
    error_code text,
    confirmed text,
    note text,
    occurred_at timestamptz
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select
        event.action_id,
        event.sequence,
        event.event_type,
        event.status,
        event.actor,
        event.worker_principal,
        event.worker_label,
        event.claim_token,
        event.lease_expires_at,
        event.delivery_started_at is not null,
        event.provider_request_id,
        event.error_code,
        substring(
            event.detail -> 'confirmation' ->> 'status' from '^(?:succeeded|failed|unknown)$'
        ),
        left(event.note, 400),
        event.occurred_at
    from (
        select
            told.*,
            bool_or(
                told.event_type in (
                    'Cancelled', 'LeaseExpired', 'Released', 'LateConfirmation', 'ApprovalVoided',
                    'Retried', 'Settled', 'Quarantined'
                )
            ) over (partition by told.action_id) as is_notable
        from synapsor._events as told
        where
            told.action_id = any(action_ids)
            and (
                told.tenant_id = any((select synapsor._visible_tenants())::text[])
                or (select synapsor._sees_every_tenant())
            )
    ) as event
    where
        event.is_notable
        and event.event_type in (
            'Claimed', 'Cancelled', 'LeaseExpired', 'Released', 'LateConfirmation',
            'ApprovalVoided', 'Retried', 'Settled', 'Quarantined'
        );
$function$;

grant execute on function synapsor._delivery_history(text[])
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._delivery_history(text[]) is
'The claims and what went otherwise, in order of sequence, of those actions of the session''s
tenants that anything went otherwise with: claims lost, late confirmations, approvals void,
retries, settlements, a restored database, cancellations.';
