create or replace function synapsor._as_run(stored synapsor.runs)
returns synapsor.run
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select row(
        stored.run_id, stored.tenant_id, stored.workflow, stored.plan, stored.version,
        synapsor._run_state(stored),
        stored.status, stored.principal,
        case when redacts then synapsor._shown(stored.input, 'read_model') else stored.input end,
        case when redacts then synapsor._shown(stored.output, 'read_model') else stored.output end,
        stored.correlation_id, stored.started_at, stored.finished_at
    )::synapsor.run
    from synapsor._has_redactions('read_model') as redacts;
$function$;

comment on function synapsor._as_run(synapsor.runs) is
'The stored row in the shape the verbs return, redacted like the view.';

-- A plan waits for approval as long as one of its nodes does.
create or replace function synapsor._run_state(run synapsor.runs)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
    if run.state = 'open' and run.plan is not null and exists (
        select from synapsor.run_steps as step
        inner join synapsor.open_external_actions as open using (action_id)
        where step.run_id = run.run_id and step.state <> 'finished' and open.status = 'proposed'
    ) then
        return 'waiting_approval';
    end if;
    return run.state;
end;
$function$;
