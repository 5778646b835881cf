-- security definer: nobody but the owner changes an action's state.
create or replace function synapsor.cancel_external_action(action_id text, reason text default null)
returns synapsor.external_action
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    open constant synapsor.open_external_actions := synapsor._lock_action(action_id);
    proposer text;
    current synapsor.external_action;
begin
    select invocation.actor into strict proposer
    from synapsor.action_invocations as invocation
    where invocation.action_id = cancel_external_action.action_id;
    if proposer is distinct from synapsor._session() ->> 'principal'
        and not synapsor._caller_has('synapsor_approver') and not synapsor._caller_has('synapsor_admin')
    then
        raise exception using
            errcode = 'SY007',
            message = format('action %s was proposed by another principal', action_id),
            hint = 'Its proposer, an approver or an administrator may cancel it.';
    end if;
    if open.action_id is null then
        current := synapsor._external_action(action_id, false);
        if current.status = 'cancelled' then
            return current;
        end if;
    end if;
    if open.action_id is null or open.status = 'unknown' or open.delivery_started_at is not null
        or open.deliveries_lost > 0 or (open.status = 'claimed' and open.purpose = 'reconcile')
    then
        raise exception using
            errcode = 'SY014',
            message = format('action %s can no longer be cancelled', action_id),
            detail = case
                when open.action_id is null then format('It is %s.', current.status)
                else format('It is %s and its delivery has begun: the provider may have performed it.', open.status)
            end,
            hint = 'What was performed is undone by an action of its own, such as a compensation.';
    end if;
    perform synapsor._finish(open, 'Cancelled', 'cancelled', note => left(reason, 2000), error_code => 'cancelled');
    return synapsor._external_action(action_id, true);
end;
$function$;

grant execute on function synapsor.cancel_external_action to synapsor_caller, synapsor_approver;

comment on function synapsor.cancel_external_action is
'Cancels an action that is proposed, queued, or claimed but not yet being delivered. Its proposer
may, and any approver. Cancelling again changes nothing. Errors: SY007 another principal''s, SY011
not found, SY014 delivery has begun or the action ended otherwise. Source: design.md section 5,
rule 10.';
