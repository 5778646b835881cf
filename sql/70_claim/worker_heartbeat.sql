-- security definer: nobody but the owner writes the list of workers.
create or replace function synapsor.worker_heartbeat(worker_label text, queues text[])
returns synapsor.worker
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    principal constant text := synapsor._session() ->> 'principal';
    seen synapsor.worker;
begin
    perform synapsor._warn_without_tenant();
    insert into synapsor.workers as known (worker_principal, worker_label, queues, last_seen_at)
    values (
        principal,
        left(coalesce(worker_heartbeat.worker_label, ''), 255),
        coalesce(worker_heartbeat.queues, '{}'),
        synapsor._now()
    )
    on conflict on constraint workers_pkey
    do update set queues = excluded.queues, last_seen_at = excluded.last_seen_at;
    select worker.* into seen
    from synapsor.synapsor_workers as worker
    where worker.worker_principal = principal
        and worker.worker_label = left(coalesce(worker_heartbeat.worker_label, ''), 255);
    return seen;
end;
$function$;

grant execute on function synapsor.worker_heartbeat to synapsor_worker;

comment on function synapsor.worker_heartbeat is
'Reports a worker alive: its label (at most 255 characters; tells daemons of one principal apart)
and the queues it serves. Returns its row of synapsor_workers. Warns a session that serves no tenant.';
