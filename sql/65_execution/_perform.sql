-- Performs an atomic action: transition, handler, events and adapter steps all happen, or none of
-- them and the row says why; or starts the run of a saga (design.md section 6, stages 4 to 9).
-- Never raises for what its handler does. Returns the invocation as it is then.
create or replace function synapsor._perform(
    contract synapsor.action_contracts, action_id text, session jsonb
)
returns synapsor.action_invocations
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    invocation synapsor.action_invocations;
    performed record;
    outcome text;
    data jsonb;
    code text;
    reason text;
begin
    update synapsor.action_invocations as stored
    set status = 'running'
    where stored.action_id = _perform.action_id
    returning stored.* into strict invocation;
    begin
        if contract.kind = 'saga' then
            return synapsor._perform_saga(invocation, contract, session);
        end if;
        performed := synapsor._perform_handler(invocation, contract, session);
        outcome := case when performed.has_steps then 'running' else 'completed' end;
        data := performed.data;
    exception
        -- Input was wrong, or execution went wrong: operators are paged for the second only.
        when sqlstate 'SY003' then
            outcome := 'validation_failed';
            get stacked diagnostics code = returned_sqlstate, reason = message_text;
        when others then
            outcome := 'failed';
            get stacked diagnostics code = returned_sqlstate, reason = message_text;
    end;
    update synapsor.action_invocations as stored
    set status = outcome, result = data, error_code = code, error_message = left(reason, 2000),
        violations = case
            when outcome = 'validation_failed' then jsonb_build_array(jsonb_build_object(
                'code', code, 'path', '$', 'rule', 'handler', 'message', left(reason, 2000)
            ))
        end,
        completed_at = case when outcome <> 'running' then synapsor._now() end
    where stored.action_id = invocation.action_id
    returning stored.* into strict invocation;
    if outcome in ('failed', 'validation_failed') then
        perform synapsor._give_back(invocation.action_id);
    end if;
    return invocation;
end;
$function$;

-- What must be undone together, run by _perform in a subtransaction.
create or replace function synapsor._perform_handler(
    invocation synapsor.action_invocations,
    contract synapsor.action_contracts,
    session jsonb,
    -- Of the handler.
    out data jsonb,
    out has_steps boolean
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    intent constant jsonb := invocation.intent::jsonb;
    binding constant jsonb := nullif(contract.definition -> 'state_machine', 'null');
    named jsonb;
    result jsonb;
    emitted jsonb;
    from_handler integer;
    started jsonb;
    entity_id text;
    from_state text;
    to_state text;
    event jsonb;
begin
    if binding is not null then
        named := synapsor._render(
            jsonb_build_array(binding -> 'entity_id', binding -> 'target_state'),
            (intent -> 'arguments') || (intent -> 'hidden')
        );
        entity_id := named ->> 0;
        to_state := named ->> 1;
        from_state := synapsor._current_state(binding, entity_id);
        perform synapsor._check_transition(binding ->> 'entity_type', from_state, to_state, contract.action);
    end if;

    result := synapsor._call_user_function(contract.definition ->> 'handler', array[
        jsonb_build_object(
            'action_id', invocation.action_id, 'action', invocation.action, 'version', invocation.version,
            'tenant_id', invocation.tenant_id, 'principal', invocation.actor, 'actor_type', invocation.actor_type,
            'idempotency_key', invocation.idempotency_key, 'run_id', invocation.run_id,
            'correlation_id', coalesce(invocation.correlation_id, invocation.action_id),
            'causation_id', invocation.causation_id, 'hidden', intent -> 'hidden'
        ),
        intent -> 'arguments'
    ]);
    if jsonb_typeof(result) is distinct from 'object' or jsonb_typeof(result -> 'success') is distinct from 'boolean'
        or coalesce(jsonb_typeof(result -> 'events'), 'array') not in ('array', 'null')
    then
        raise exception using
            errcode = 'SY013',
            message = format('the handler of %s returned no result', contract.action),
            detail = 'A handler returns {"success": true or false, "data", "error", "events": […]}.';
    elsif not (result ->> 'success')::boolean then
        raise exception using
            errcode = 'SY013',
            message = coalesce(
                left(result ->> 'error', 2000), format('the handler of %s did not succeed', contract.action)
            );
    end if;

    emitted := coalesce(nullif(result -> 'events', 'null'), '[]');
    for place in 0 .. jsonb_array_length(emitted) - 1 loop
        event := emitted -> place;
        if not coalesce(contract.definition -> 'emits_events' ? (event ->> 'type'), false) then
            raise exception using
                errcode = 'SY013',
                message = format(
                    'the handler of %s emitted the undeclared event %s', contract.action,
                    coalesce(left(event ->> 'type', 64), 'without a type')
                ),
                detail = format('The contract emits %s.', contract.definition -> 'emits_events');
        end if;
    end loop;
    if (contract.definition ->> 'mutates_domain')::boolean and jsonb_array_length(emitted) = 0 then
        raise exception using
            errcode = 'SY013',
            message = format('the handler of %s emitted no event', contract.action),
            detail = 'An action that mutates its domain leaves at least one of its declared events.';
    end if;
    from_handler := jsonb_array_length(emitted);
    if binding is not null then
        if synapsor._current_state(binding, entity_id) is distinct from to_state then
            raise exception using
                errcode = 'SY010',
                message = format('the handler of %s did not bring %s %s to state %s', contract.action,
                    binding ->> 'entity_type', entity_id, to_state),
                detail = format('It is in state %s.', coalesce(synapsor._current_state(binding, entity_id), 'null'));
        end if;
        emitted := emitted || jsonb_build_array(jsonb_build_object(
            'type', 'StateTransitioned', 'subject_type', binding ->> 'entity_type', 'subject_id', entity_id,
            'payload', jsonb_build_object('from', from_state, 'to', to_state, 'action', contract.action)
        ));
    end if;
    data := result -> 'data';
    started := synapsor._start_adapter_steps(invocation, contract, session, coalesce(data, 'null'));
    has_steps := started <> '[]';
    perform synapsor._append_events(invocation, emitted || started, from_handler);
end;
$function$;

-- Fills templates in a document: {name}, or {root.name} for nested values; a template that is one
-- reference keeps its type.
create or replace function synapsor._render(document jsonb, named jsonb)
returns jsonb
language plpython3u
immutable strict
set search_path = pg_catalog, pg_temp
as $python$
    if "template" not in SD:
        plpy.execute("select synapsor._load_python()")
        SD["template"] = GD["synapsor_python"]["template"]
        SD["canonical"] = GD["synapsor_python"]["canonical"]
    loads = SD["canonical"].loads
    try:
        return SD["template"].render_json(loads(document), loads(named))
    except SD["template"].TemplateError as error:
        plpy.error(f"a template cannot be filled: {error}", sqlstate="SY013")
$python$;
