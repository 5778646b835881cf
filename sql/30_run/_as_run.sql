create or replace function synapsor._as_run(stored synapsor.runs)
returns synapsor.run
language sql
immutable
set search_path = pg_catalog, pg_temp
as $function$
    select row(
        stored.run_id, stored.tenant_id, stored.workflow, stored.plan, stored.version, stored.state,
        stored.status, stored.principal, stored.input, stored.output, stored.correlation_id,
        stored.started_at, stored.finished_at
    )::synapsor.run;
$function$;

comment on function synapsor._as_run(synapsor.runs) is
'The stored row in the shape the verbs return.';
