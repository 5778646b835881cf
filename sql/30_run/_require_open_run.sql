create or replace function synapsor._require_open_run(run synapsor.runs)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    if run.finished_at is not null then
        raise exception using
            errcode = 'SY040',
            message = format('run %s is over', run.run_id),
            detail = format('It was %s at %s.', run.state, run.finished_at),
            hint = 'Start another run.';
    end if;
end;
$function$;

comment on function synapsor._require_open_run(synapsor.runs) is 'SY040 when the run is over.';
