create or replace function synapsor._as_run(stored synapsor.runs)
returns synapsor.run
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select row(
        stored.run_id, stored.tenant_id, stored.workflow, stored.plan, stored.version, stored.state,
        stored.status, stored.principal,
        case when redacts then synapsor._shown(stored.input, 'read_model') else stored.input end,
        case when redacts then synapsor._shown(stored.output, 'read_model') else stored.output end,
        stored.correlation_id, stored.started_at, stored.finished_at
    )::synapsor.run
    from synapsor._has_redactions('read_model') as redacts;
$function$;

comment on function synapsor._as_run(synapsor.runs) is
'The stored row in the shape the verbs return, redacted like the view.';
