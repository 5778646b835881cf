create or replace view synapsor.synapsor_workers with (security_barrier) as
select
    worker.worker_principal,
    worker.worker_label,
    worker.queues,
    worker.last_seen_at,
    (
        select count(*)
        from synapsor.open_external_actions as held
        where
            held.status = 'claimed' and held.worker_principal = worker.worker_principal
            and coalesce(held.worker_label, '') = worker.worker_label
    )::integer as held
from synapsor.workers as worker;

grant select on synapsor.synapsor_workers to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_workers is
'Workers that reported themselves, and how many actions of the reader''s tenants each holds.';
comment on column synapsor.synapsor_workers.worker_principal is 'Principal the worker acts as.';
comment on column synapsor.synapsor_workers.worker_label is 'Tells workers of one principal apart.';
comment on column synapsor.synapsor_workers.queues is 'Queues it serves.';
comment on column synapsor.synapsor_workers.last_seen_at is 'Its last heartbeat.';
comment on column synapsor.synapsor_workers.held is 'Actions it has claimed.';
