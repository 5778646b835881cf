-- security definer: nobody but the owner changes an action's state.
create or replace function synapsor.retry_external_action(action_id text, note text default null)
returns synapsor.external_action
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    open synapsor.open_external_actions := synapsor._lock_action(action_id);
    current synapsor.external_action;
    invocation synapsor.action_invocations;
    contract synapsor.action_contracts;
    history record;
    exceeded jsonb;
    generation smallint;
begin
    perform synapsor._require_natural_person();
    -- The ended action has no state row; its invocation makes two operators take turns.
    select stored.* into strict invocation
    from synapsor.action_invocations as stored
    where stored.action_id = retry_external_action.action_id
    for no key update;
    open := synapsor._lock_action(action_id);
    current := synapsor._external_action(action_id, false);
    select
        coalesce(
            max((event.detail ->> 'generation')::integer) filter (where event.event_type = 'Retried'), 1
        ) as generation,
        max(event.sequence) as last_sequence,
        max(event.claim_token) filter (where event.event_type = 'Claimed') as last_token
    into history
    from synapsor._events as event
    where event.action_id = invocation.action_id;
    if open.status in ('queued', 'claimed') and open.generation > 1 then
        return current;
    end if;
    if current.status <> 'failed' then
        raise exception using
            errcode = 'SY014',
            message = format('action %s is %s, not failed', current.action_id, current.status),
            hint = case current.status
                when 'unknown' then 'Settle it with synapsor.settle_external_action once its outcome is known.'
                else 'Only a failed action is retried.'
            end;
    end if;
    select declared.* into strict contract
    from synapsor.action_contracts as declared
    where declared.action = invocation.action and declared.version = invocation.version;
    exceeded := synapsor._consume(
        contract, invocation.action_id, invocation.tenant_id, invocation.actor, invocation.intent::jsonb,
        is_approved => true
    );
    if exceeded is not null then
        raise exception using
            errcode = 'SY051',
            message = synapsor._name_exceeded(exceeded),
            detail = format('Action %s gave its share back when it failed.', invocation.action_id),
            hint = 'Retry it in the next period.';
    end if;
    -- Somebody may have chosen such a key himself: two actions must not meet at the provider.
    generation := history.generation + 1;
    while exists (
        select from synapsor.action_invocations as other
        where other.tenant_id = invocation.tenant_id and other.action = invocation.action and other.holds_key
            and other.idempotency_key = invocation.idempotency_key || '#' || generation
    ) loop
        generation := generation + 1;
    end loop;
    insert into synapsor.open_external_actions (
        action_id, tenant_id, contract_id, account_id, generation, last_sequence, status, position, rank,
        available_at, queue, ordering_key, reports_to, claim_token
    )
    values (
        invocation.action_id, invocation.tenant_id, contract.contract_id,
        synapsor._provider_account(contract.provider, invocation.account, true), generation, history.last_sequence,
        'queued', nextval('synapsor.queue_positions'), synapsor._now(), synapsor._now(), invocation.queue,
        invocation.ordering_key, invocation.parent_action_id, history.last_token
    )
    returning * into open;
    perform synapsor._queue_action(open, contract, 'Retried', note, jsonb_build_object('generation', generation));
    return synapsor._external_action(action_id, true);
end;
$function$;

grant execute on function synapsor.retry_external_action to synapsor_approver, synapsor_admin;

comment on function synapsor.retry_external_action is
'Queues a failed action again, for a natural person who takes it on himself. The provider is given
the idempotency key with the generation appended (#2, #3, …), because providers replay stored
failures. Retrying what is queued again already changes nothing. Errors: SY007, SY011, SY014 not
failed, SY051 a limit is exceeded. Source: design.md section 5, rules 2 and 9.';
