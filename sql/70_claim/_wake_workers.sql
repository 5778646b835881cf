-- Only a queue whose workers sleep is notified: a NOTIFY in every transaction takes a global lock
-- at commit. A wake-up that is missed costs one poll interval.
create or replace function synapsor._wake_workers(queue text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform pg_notify('synapsor_queues', idle.queue)
    from synapsor.idle_queues as idle
    where idle.queue = _wake_workers.queue;
end;
$function$;
