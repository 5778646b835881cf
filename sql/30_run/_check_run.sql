create or replace function synapsor._check_run(run_id text, kind text, action text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    run synapsor.runs := synapsor._own_run(run_id);
    workflow jsonb;
begin
    perform synapsor._require_open_run(run);
    workflow := synapsor._hold_workflow(run);
    if workflow is not null then
        perform synapsor._require_allowed_step(run, workflow, synapsor._step_kind(kind), action);
    end if;
end;
$function$;

-- Of an action, by the kind of its contract.
create or replace function synapsor._step_kind(kind text)
returns text
language sql
immutable
parallel safe
begin atomic
    select case kind when 'external' then 'external_action' else kind end;
end;

comment on function synapsor._check_run(text, text, text) is
'Returns when the session may add an action to the run now; else raises as _own_run does, SY040 when
the run is over, SY041 or SY005 when its workflow contract does not allow it.';
