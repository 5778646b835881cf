-- security definer: the caller may not write runs; the run gets the session's tenant and principal
create or replace function synapsor.start_agent_run(
    workflow text default null,
    input jsonb default '{}',
    version text default null
)
returns synapsor.run
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    session jsonb := synapsor._session();
    new_run_id text := synapsor._new_id('run_');
    bound synapsor.workflows;
    started synapsor.runs;
begin
    if session ->> 'tenant_id' is null then
        raise exception using
            errcode = 'SY005',
            message = 'the session has no tenant_id',
            detail = 'A run belongs to one tenant.',
            hint = 'Open a session with a tenant_id first.';
    end if;
    if session ->> 'run_id' is not null then
        raise exception using
            errcode = 'SY007',
            message = 'the session belongs to another run',
            detail = format('Its run_id is %s.', session ->> 'run_id'),
            hint = 'A session with a run_id works in that run only; open one without it.';
    end if;
    if workflow = '' or length(workflow) > 200 or length(version) > 200 then
        raise exception using
            errcode = 'SY003',
            message = 'a workflow and its version have 1 to 200 characters',
            hint = 'Leave the workflow out for a run without one.';
    end if;

    bound := synapsor._resolve_workflow(workflow, version);
    if bound.version is not null then
        perform synapsor._require_session_values(bound.definition, session);
        -- What any risk demands is demanded from the beginning.
        insert into synapsor.workflow_runs (run_id, tenant_id, approval_role)
        values (
            new_run_id, session ->> 'tenant_id', bound.definition -> 'risk_policy' -> 'any' ->> 'approval_role'
        );
    end if;
    insert into synapsor.runs (
        run_id, tenant_id, workflow, version, principal, input, correlation_id, started_at, workflow_version
    )
    values (
        new_run_id, session ->> 'tenant_id', start_agent_run.workflow,
        coalesce(start_agent_run.version, bound.label, bound.version::text),
        session ->> 'principal', synapsor._run_payload('input', start_agent_run.input),
        coalesce(session ->> 'correlation_id', new_run_id), synapsor._now(), bound.version
    )
    returning runs.* into started;
    return synapsor._as_run(started);
end;
$function$;

grant execute on function synapsor.start_agent_run(text, jsonb, text) to synapsor_caller;

comment on function synapsor.start_agent_run(text, jsonb, text) is
'Starts a run of the session''s tenant and principal, to which record_agent_step and the run_id of
proposals add steps. A workflow that was declared (declare_workflow) binds the run to that version of
its contract, given by label or number, else the latest; any other workflow is only a name, recorded
as given. SY005 without a tenant or a session value the contract requires, SY011 for a version that a
declared workflow does not have, SY007 when the session is bound to a run, SY003 for
a name above 200 characters or an input nested deeper than 100 levels, SY051 for one above 64 KiB.';
