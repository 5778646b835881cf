-- security definer: callers have no rights on the tables an invocation is recorded in.
create or replace function synapsor.invoke_action(
    action text,
    parameters jsonb,
    idempotency_key text default null,
    run_id text default null,
    step_key text default null,
    correlation_id text default null,
    causation_id text default null,
    scheduled_at timestamptz default null,
    version integer default null
)
returns synapsor.invocation
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    session constant jsonb := synapsor._session();
    contract constant synapsor.action_contracts := synapsor._resolve_contract(action, version);
    joined_run constant text := coalesce(run_id, session ->> 'run_id');
    invoked synapsor.invocation;
begin
    perform synapsor._gate(contract, session, joined_run);
    perform synapsor._check_options(correlation_id, causation_id, scheduled_at);
    select made.* into strict invoked
    from synapsor._invoke(
        contract, session, parameters, idempotency_key, joined_run, step_key, correlation_id, causation_id, scheduled_at
    ) as made;
    if invoked.tenant_id is null then
        return synapsor._invocation(invoked.action_id, invoked.changed);
    end if;
    return invoked;
end;
$function$;

grant execute on function synapsor.invoke_action to synapsor_caller;

comment on function synapsor.invoke_action is
'Performs an action along the one canonical path and returns the invocation. SY001 (unknown or
retired action), SY003 (of scheduled_at, correlation_id, causation_id), SY005 (no tenant), SY007
(not permitted, suspended), SY012 (not entitled) and SY040/SY011 (run) raise and leave no row. From
the moment the row exists nothing raises: a refusal is a row with a status (`validation_failed`,
`blocked_by_policy`, `failed`) and an error_code (SY003, SY004, SY005, SY008, SY009, SY010, SY011,
SY013, SY051, or the SQLSTATE its handler raised). An equal repeat returns the same invocation with
changed = false; of atomic actions and sagas only where a key was given or templated. A saga is
`running` until the run of its plan has ended: completed, or failed, compensated where it could be.

parameters: a JSON object, at most 64 KiB; idempotency_key: 1 to 250 characters; scheduled_at: not
claimed before. Source: design.md sections 4 to 6.';
