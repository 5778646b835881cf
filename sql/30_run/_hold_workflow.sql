-- Whoever adds to the run takes turns from here to the end of the transaction: what the contract
-- counts is counted exactly, and what it wants first was there first.
create or replace function synapsor._hold_workflow(run synapsor.runs)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    session constant jsonb := synapsor._session();
    workflow jsonb;
begin
    if run.workflow_version is null then
        return null;
    end if;
    perform from synapsor.workflow_runs as counted where counted.run_id = run.run_id for no key update;
    select stored.definition || '{}' into strict workflow
    from synapsor.workflows as stored
    where stored.workflow = run.workflow and stored.version = run.workflow_version;
    perform synapsor._require_session_values(workflow, session);
    return workflow;
end;
$function$;

comment on function synapsor._hold_workflow(synapsor.runs) is
'The contract that the run is bound to, its counts locked; null for a run without one. SY005 when
the session lacks a value the contract requires.';
