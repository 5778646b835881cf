create or replace view synapsor.synapsor_stuck_actions with (security_barrier) as
with reader as materialized (
    select * from synapsor._reader
),

clock as materialized (
    select synapsor._now() as reads
),

held as materialized (
    select * from synapsor._held_up()
)

select
    stuck.action_id,
    stuck.status,
    stuck.since,
    stuck.cause,
    stuck.remedy
from (
    select
        open.action_id,
        open.status,
        case open.status
            when 'claimed' then open.lease_expires_at
            when 'proposed' then coalesce(open.expires_at, invocation.created_at)
            else open.available_at
        end as since,
        case
            when open.status = 'unknown'
                then 'the outcome is unknown' || coalesce(': ' || open.error_code, '')
            when open.status = 'claimed' and open.lease_expires_at <= clock.reads
                then format('the lease of %s has run out', open.worker_principal)
            when open.status = 'proposed' and open.expires_at <= clock.reads
                then 'nobody approved it in time'
            when
                open.status = 'proposed' and open.expires_at is null
                and invocation.created_at <= clock.reads - interval '1 day'
                then 'nobody has decided on it for a day'
            when open.status = 'queued' and stop.kind is not null
                then format('%s is suspended: %s', concat_ws(' ', stop.kind, nullif(stop.name, '')), stop.reason)
            when open.status = 'queued' and holder.status = 'unknown'
                then format('its ordering key is held by %s, whose outcome is unknown', holder.action_id)
            when open.status = 'queued' and serving.is_unserved
                then format('no worker of queue %s has been seen for a minute', open.queue)
            when open.status = 'queued' and held.reason = 'forced_open' then held.told
            when
                open.status = 'queued' and held.reason is not null
                and open.available_at <= clock.reads - interval '1 minute'
                then held.told
            when
                open.status = 'queued' and not open.waits_for_lane
                and open.available_at <= clock.reads - interval '15 minutes'
                then 'it has been due for more than 15 minutes'
        end as cause,
        case
            when
                open.status = 'unknown' and contract.reconcile_operation is not null
                and open.reconciliations < contract.reconcile_max_attempts
                then format(
                    'A worker reconciles it; or settle it: select synapsor.settle_external_action(%L, …).',
                    open.action_id
                )
            when open.status = 'unknown'
                then format(
                    'Ask the provider, then settle it: select synapsor.settle_external_action(%L, …).', open.action_id
                )
            when open.status = 'claimed' then 'Workers take it back; or now: select synapsor.expire_claims().'
            when open.status = 'proposed' and open.expires_at <= clock.reads
                then 'Workers end it; or now: select synapsor.expire_approvals().'
            when open.status = 'proposed'
                then format('Decide: select synapsor.approve_external_action(%L, …).', open.action_id)
            when stop.kind is not null then format('select synapsor.resume(%L, %L).', stop.kind, stop.name)
            when holder.status = 'unknown'
                then format('Settle it: select synapsor.settle_external_action(%L, …).', holder.action_id)
            when serving.is_unserved is not true and held.remedy is not null then held.remedy
            else format('Start workers: synapsor-pg worker --queue %s.', open.queue)
        end as remedy
    from synapsor.open_external_actions as open
    inner join synapsor.action_contracts as contract using (contract_id)
    inner join synapsor.action_invocations as invocation using (action_id)
    cross join reader
    cross join clock
    left join synapsor.ordering_lanes as lane
        on lane.tenant_id = open.tenant_id and lane.queue = open.queue and lane.ordering_key = open.ordering_key
    left join synapsor.open_external_actions as holder
        on holder.action_id = lane.holder and holder.action_id <> open.action_id
    left join lateral (
        select halt.*
        from synapsor.suspensions as halt
        where
            halt.kind = 'all'
            or (halt.kind, halt.name) in (
                ('queue', open.queue), ('tenant', open.tenant_id), ('action', contract.action),
                ('provider', contract.provider), ('principal', invocation.actor)
            )
        limit 1
    ) as stop on true
    cross join
        lateral (
            select
                open.available_at <= clock.reads - interval '1 minute' and not exists (
                    select from synapsor.workers as worker
                    where open.queue = any(worker.queues) and worker.last_seen_at > clock.reads - interval '1 minute'
                ) as is_unserved
        ) as serving
    left join held
        on
            open.status = 'queued' and held.account_id = open.account_id
            and (held.tenant_id is null or held.tenant_id = open.tenant_id)
    where reader.sees_every_tenant or open.tenant_id = any(reader.tenants)
) as stuck
where stuck.cause is not null;

grant select on synapsor.synapsor_stuck_actions to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_stuck_actions is
'Actions of the reader''s tenants that will not go on by themselves, or not soon, with the cause
and one call that mends it.';
comment on column synapsor.synapsor_stuck_actions.action_id is 'Action.';
comment on column synapsor.synapsor_stuck_actions.status is 'Its status.';
comment on column synapsor.synapsor_stuck_actions.since is 'Since when it is stuck.';
comment on column synapsor.synapsor_stuck_actions.cause is 'Why.';
comment on column synapsor.synapsor_stuck_actions.remedy is 'What to do.';
