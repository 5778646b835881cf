-- security definer: callers have no rights on the tables an intent is recorded in.
create or replace function synapsor.propose_external_actions(
    action text,
    arguments jsonb[],
    idempotency_keys text[] default null,
    run_id text default null,
    step_key text default null,
    correlation_id text default null,
    scheduled_at timestamptz default null,
    version integer default null
)
returns setof synapsor.external_action
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    session constant jsonb := synapsor._session();
    contract constant synapsor.action_contracts := synapsor._resolve_contract(action, version);
    joined_run constant text := coalesce(run_id, session ->> 'run_id');
begin
    if array_ndims(arguments) > 1 or array_ndims(idempotency_keys) > 1 then
        raise exception using
            errcode = 'SY003',
            message = 'arguments and idempotency keys are arrays of one dimension',
            hint = 'Give one element per action.';
    end if;
    if idempotency_keys is not null and cardinality(idempotency_keys) <> cardinality(arguments) then
        raise exception using
            errcode = 'SY003',
            message = format(
                '%s argument objects came with %s idempotency keys',
                cardinality(arguments), cardinality(idempotency_keys)
            ),
            hint = 'Give one key per element, null where the contract makes it, or no keys at all.';
    end if;
    return query
    select admitted.*
    from synapsor._admit(
        contract, session,
        synapsor._bind_proposal(
            contract, session, coalesce(arguments, '{}'), idempotency_keys, joined_run, correlation_id, null,
            scheduled_at
        ),
        joined_run, step_key, correlation_id, null, scheduled_at, raises => true,
        -- Counted from 1, wherever the caller's array begins.
        proposed_arguments => coalesce(arguments[:], '{}')
    ) as admitted;
end;
$function$;

grant execute on function synapsor.propose_external_actions to synapsor_caller;

comment on function synapsor.propose_external_actions is
'propose_external_action for many argument objects at once, all or nothing, returned in the order
given. The first refusal raises and names its element. Errors as for propose_external_action;
SY003 when the keys do not match the arguments in number.';
