-- security definer: nobody but the owner writes suspensions.
create or replace function synapsor.resume(kind text, name text)
returns synapsor.suspension
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    resumed synapsor.suspension;
begin
    delete from synapsor.suspensions as stop
    where stop.kind = resume.kind and stop.name = case when resume.kind = 'all' then '' else resume.name end
    returning stop.kind, stop.name, stop.reason, stop.suspended_by, stop.suspended_at into resumed;
    if not found then
        raise notice using
            message = format('%s was not suspended', concat_ws(' ', kind, quote_ident(nullif(name, '')))),
            detail = 'Nothing is lifted.',
            hint = 'synapsor.synapsor_suspensions lists what is suspended.';
        return null;
    end if;
    perform pg_notify('synapsor_queues', idle.queue) from synapsor.idle_queues as idle
    where octet_length(idle.queue) < 8000;
    return resumed;
end;
$function$;

grant execute on function synapsor.resume to synapsor_admin;

comment on function synapsor.resume is
'Lifts a suspension and returns it; null, with a notice, when there was none. Source: design.md section 4.';
