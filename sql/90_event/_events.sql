-- Every event of every action, those included that another row implies: one fact is stored once.
create or replace view synapsor._events with (security_barrier) as
select
    event.*,
    synapsor._event_id(
        event.action_id, event.sequence, floor(date_part('epoch', event.occurred_at) * 1000)::bigint
    ) as event_id
from (
    select
        invocation.action_id,
        1 as sequence,
        null::smallint as attempt,
        invocation.tenant_id,
        initcap(invocation.opened_as) collate "C" as event_type,
        invocation.opened_as as status,
        invocation.actor,
        invocation.created_at as occurred_at,
        null::bigint as claim_token,
        null::timestamptz as lease_expires_at,
        null::timestamptz as delivery_started_at,
        null::text collate "C" as worker_principal,
        null::text as worker_label,
        null::text as confirmed,
        null::text as provider_request_id,
        null::text as error_code,
        null::text as note,
        null::jsonb as detail
    from synapsor.action_invocations as invocation
    where invocation.opened_as is not null
    union all
    select
        event.action_id,
        event.sequence,
        event.attempt,
        event.tenant_id,
        event.event_type,
        event.status,
        event.actor,
        event.occurred_at,
        event.claim_token,
        event.lease_expires_at,
        event.delivery_started_at,
        event.worker_principal,
        event.worker_label,
        event.confirmed,
        event.provider_request_id,
        event.error_code,
        event.note,
        event.detail
    from synapsor.external_action_events as event
    union all
    select
        event.action_id,
        event.sequence - 1 as sequence,
        event.attempt,
        event.tenant_id,
        'Claimed' as event_type,
        'claimed' as status,
        event.worker_principal as actor,
        event.claimed_at as occurred_at,
        event.claim_token,
        event.lease_expires_at,
        case when event.event_type <> 'DeliveryStarted' then event.delivery_started_at end as delivery_started_at,
        event.worker_principal,
        event.worker_label,
        null as confirmed,
        null as provider_request_id,
        null as error_code,
        null as note,
        null as detail
    from synapsor.external_action_events as event
    where event.claimed_at is not null
    union all
    select
        open.action_id,
        open.last_sequence as sequence,
        open.attempts as attempt,
        open.tenant_id,
        'Claimed' as event_type,
        'claimed' as status,
        open.worker_principal as actor,
        open.claimed_at as occurred_at,
        open.claim_token,
        open.lease_expires_at,
        open.delivery_started_at,
        open.worker_principal,
        open.worker_label,
        null as confirmed,
        null as provider_request_id,
        null as error_code,
        case when open.purpose = 'reconcile' then 'to reconcile' end as note,
        null as detail
    from synapsor.open_external_actions as open
    where open.claimed_at is not null
) as event;

comment on view synapsor._events is
'external_action_events, the first event of each action, for which its invocation stands, and each
`Claimed` for which a later event stands or, until there is one, the action itself; internal.';
