create or replace view synapsor.synapsor_queue_stats with (security_barrier) as
with reader as materialized (
    select * from synapsor._reader
),

clock as materialized (
    select synapsor._now() as reads
)

select
    open.queue,
    open.tenant_id,
    count(*) filter (where open.status = 'proposed') as proposed,
    count(*) filter (where open.status = 'queued') as queued,
    count(*) filter (where open.status = 'queued' and open.available_at <= clock.reads) as due,
    count(*) filter (where open.status = 'claimed') as claimed,
    count(*) filter (where open.status = 'unknown') as unknown,
    min(open.available_at) filter (where open.status = 'queued' and open.available_at <= clock.reads) as oldest_due_at,
    exists(
        select from synapsor.suspensions as stop
        where
            stop.kind = 'all' or (stop.kind = 'queue' and stop.name = open.queue)
            or (stop.kind = 'tenant' and stop.name = open.tenant_id)
    ) as paused,
    (
        select count(*)
        from synapsor.workers as worker
        where
            open.queue = any(worker.queues) and worker.last_seen_at > clock.reads - interval '1 minute'
    ) as workers
from synapsor.open_external_actions as open
cross join reader
cross join clock
where reader.sees_every_tenant or open.tenant_id = any(reader.tenants)
group by open.queue, open.tenant_id, clock.reads;

grant select on synapsor.synapsor_queue_stats to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_queue_stats is
'Unfinished external actions of the reader''s tenants, counted by queue and tenant.';
comment on column synapsor.synapsor_queue_stats.queue is 'Queue.';
comment on column synapsor.synapsor_queue_stats.tenant_id is 'Tenant.';
comment on column synapsor.synapsor_queue_stats.proposed is 'Waiting for approval.';
comment on column synapsor.synapsor_queue_stats.queued is
'Waiting for a worker, scheduled and backed-off ones included.';
comment on column synapsor.synapsor_queue_stats.due is
'Of those queued, the ones that may be claimed by their time.';
comment on column synapsor.synapsor_queue_stats.claimed is 'Held by workers.';
comment on column synapsor.synapsor_queue_stats.unknown is
'Of unknown outcome, waiting to be settled.';
comment on column synapsor.synapsor_queue_stats.oldest_due_at is
'Since when the longest-waiting due action could have been claimed.';
comment on column synapsor.synapsor_queue_stats.paused is
'Whether the queue, the tenant, or everything is suspended.';
comment on column synapsor.synapsor_queue_stats.workers is
'Workers of this queue seen in the last minute.';
