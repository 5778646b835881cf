-- What propose_external_action and propose_external_actions admit: every refusal raises, so that the
-- business change around the call cannot commit without its intent.
create or replace function synapsor._bind_proposal(
    contract synapsor.action_contracts,
    session jsonb,
    arguments jsonb[],
    idempotency_keys text[],
    joined_run text,
    correlation_id text,
    causation_id text,
    scheduled_at timestamptz
)
returns synapsor.bound_parameters[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    bound synapsor.bound_parameters[];
    refused synapsor.bound_parameters;
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
    bound := synapsor._bind_all(
        contract.digest, contract.action, contract.version, arguments, idempotency_keys, session,
        date_part('epoch', synapsor._now())
    );
    foreach refused in array bound loop
        if refused.error_code is not null then
            raise exception using
                errcode = refused.error_code,
                message = case
                    when cardinality(arguments) > 1
                        then format('%s (element %s)', refused.error_message, refused.ordinal)
                    else refused.error_message
                end,
                detail = synapsor._describe_violations(refused.violations),
                hint = synapsor._hint_for_violations(refused.error_code, contract.action);
        end if;
    end loop;
    return bound;
end;
$function$;
