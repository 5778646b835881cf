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
) as event;

comment on view synapsor._events is
'external_action_events and the first event of each action, which its invocation stands for;
internal.';
