-- The path of propose_external_action and propose_external_actions: every refusal raises, so that
-- the business change around the call cannot commit without its intent.
create or replace function synapsor._propose(
    action text,
    arguments jsonb[],
    idempotency_keys text[],
    run_id text,
    step_key text,
    correlation_id text,
    causation_id text,
    scheduled_at timestamptz,
    version integer
)
returns setof synapsor.external_action
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    session constant jsonb := synapsor._session();
    contract constant synapsor.action_contracts := synapsor._resolve_contract(action, version);
    bound synapsor.bound_parameters[];
    refused synapsor.bound_parameters;
    proposed synapsor.external_action;
    joined_run constant text := coalesce(run_id, session ->> 'run_id');
begin
    if contract.kind <> 'external' then
        raise exception using
            errcode = 'SY003',
            message = format('%s is an %s action', contract.action, contract.kind),
            detail = 'Only external actions are proposed.',
            hint = 'Perform it with synapsor.invoke_action.';
    end if;
    perform synapsor._gate(contract, session, joined_run);
    perform synapsor._check_options(correlation_id, causation_id, scheduled_at);
    bound := array(select parameters from synapsor._bind(contract, arguments, idempotency_keys, session) as parameters);
    select parameters.* into refused
    from unnest(bound) as parameters
    where parameters.error_code is not null
    order by parameters.ordinal
    limit 1;
    if found then
        raise exception using
            errcode = refused.error_code,
            message = case
                when cardinality(arguments) > 1 then format('%s (element %s)', refused.error_message, refused.ordinal)
                else refused.error_message
            end,
            detail = synapsor._describe_violations(refused.violations),
            hint = synapsor._hint_for_violations(refused.error_code, contract.action);
    end if;
    for proposed in
        select *
        from synapsor._admit(
            contract, session, bound, joined_run, step_key, correlation_id, causation_id, scheduled_at,
            raises_when_blocked => true
        )
    loop
        if not proposed.changed and proposed.status in ('rejected', 'expired', 'cancelled', 'failed') then
            raise exception using
                errcode = 'SY014',
                message = format(
                    'the idempotency key of %s is held by action %s, which is %s',
                    proposed.action, proposed.action_id, proposed.status
                ),
                detail = 'A business change must not commit on an intent that will not be performed.',
                hint = 'Give the new intent an idempotency key of its own, or let an operator retry the failed action.';
        end if;
        return next proposed;
    end loop;
end;
$function$;
