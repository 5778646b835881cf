-- Starts the run of a saga: its arguments are the plan's parameters. Returns the invocation: `running`
-- until the run ends, which may be at once.
create or replace function synapsor._perform_saga(
    invocation synapsor.action_invocations, contract synapsor.action_contracts, session jsonb
)
returns synapsor.action_invocations
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    deepest constant integer := 10;
    inside text[];
begin
    select above.inside into inside
    from synapsor.plan_runs as above
    where above.run_id = invocation.run_id;
    if contract.action = any(inside) or cardinality(inside) >= deepest then
        raise exception using
            errcode = 'SY051',
            message = case
                when contract.action = any(inside) then format('saga %s performs itself', contract.action)
                else format('sagas are nested deeper than %s', deepest)
            end,
            detail = format('It would be performed inside of %s.', array_to_string(inside, ', ')),
            hint = 'A plan that does a thing again and again has no end; use ForEach for a list.';
    end if;
    perform synapsor._start_plan_run(
        synapsor._resolve_plan(contract.definition ->> 'plan', null), session,
        (invocation.intent::jsonb) -> 'arguments', false, coalesce(invocation.correlation_id, invocation.action_id),
        invocation.action_id, coalesce(inside, '{}') || contract.action, invocation.queue
    );
    select performed.* into strict invocation
    from synapsor.action_invocations as performed
    where performed.action_id = invocation.action_id;
    return invocation;
end;
$function$;

-- A saga's run is over: its invocation ends with it.
create or replace function synapsor._end_saga(walk synapsor.plan_walk, run synapsor.runs)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    outcome constant text := case run.state when 'completed' then 'completed' else 'failed' end;
begin
    update synapsor.action_invocations as performed
    set status = outcome, result = run.output, completed_at = run.finished_at,
        error_code = case when outcome = 'failed' then 'SY013' end,
        error_message = case when outcome = 'failed' then format('its plan is %s', run.state) end
    where performed.action_id = walk.action_id;
    if outcome = 'failed' then
        perform synapsor._give_back(walk.action_id);
    end if;
    perform synapsor._mark_due(walk.action_id, walk.tenant_id)
    where exists (
        select from synapsor.run_steps as step
        where step.action_id = walk.action_id and step.phase = 'handler' and step.state <> 'finished'
    );
end;
$function$;
