create or replace function synapsor._check_run(run_id text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    run synapsor.runs := synapsor._own_run(run_id);
begin
    perform synapsor._require_open_run(run);
end;
$function$;

comment on function synapsor._check_run(text) is
'Returns when the session may add to the run now; else raises as _own_run does, or SY040 when the
run is over.';
