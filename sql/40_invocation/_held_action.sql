-- The action that holds an idempotency key already (design.md section 5, rule 2).
create or replace function synapsor._held_action(
    contract synapsor.action_contracts,
    tenant text,
    parameters synapsor.bound_parameters
)
returns synapsor.external_action
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    held synapsor.action_invocations;
    lapsed synapsor.open_external_actions;
    answer synapsor.external_action;
begin
    select invocation.* into strict held
    from synapsor.action_invocations as invocation
    where invocation.tenant_id = tenant and invocation.action = contract.action
        and invocation.idempotency_key = parameters.idempotency_key and invocation.holds_key;
    if held.payload_digest <> parameters.payload_digest then
        raise exception using
            errcode = 'SY008',
            message = format(
                'the idempotency key of %s is held by action %s with other values', held.action, held.action_id
            ),
            detail = format(
                'Payload digest held: %s, given: %s.',
                encode(held.payload_digest, 'hex'), encode(parameters.payload_digest, 'hex')
            ),
            hint = 'Repeat the call with the values of the first one, or give the new intent a key of its own.';
    end if;
    if held.purged_as is not null then
        answer.action_id := held.action_id;
        answer.tenant_id := held.tenant_id;
        answer.action := held.action;
        answer.version := held.version;
        answer.status := held.purged_as;
        answer.payload_digest := encode(held.payload_digest, 'hex');
        answer.created_at := held.created_at;
        answer.changed := false;
        return answer;
    end if;
    -- What nobody approved, or delivered, in time is dead, whether a sweep came by or not.
    select open.* into lapsed
    from synapsor.open_external_actions as open
    where open.action_id = held.action_id and open.expires_at <= synapsor._now() and open.deliveries_lost = 0
        and open.status in ('proposed', 'queued')
    for update;
    if found then
        perform synapsor._finish(lapsed, 'Expired', 'expired', error_code => 'expired');
    end if;
    return synapsor._external_action(held.action_id, false);
end;
$function$;
