-- security definer: nobody but the owner changes an action's state.
create or replace function synapsor.settle_external_action(
    action_id text,
    status text,
    evidence jsonb default '{}',
    note text default null,
    claim_token bigint default null
)
returns synapsor.external_action
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    open synapsor.open_external_actions := synapsor._lock_action(action_id);
    current constant synapsor.external_action := synapsor._external_action(action_id, false);
    contract synapsor.action_contracts;
    settled synapsor._events;
    detail jsonb;
begin
    if status is null or status not in ('succeeded', 'failed', 'queued') then
        raise exception using
            errcode = 'SY003',
            message = format('an outcome cannot be settled as %s', quote_nullable(left(status, 64))),
            hint = 'Settle it as succeeded, failed, or queued (known not done, to be done).';
    end if;
    select event.* into settled
    from synapsor._events as event
    where event.action_id = settle_external_action.action_id and event.event_type <> 'LateConfirmation'
    order by event.sequence desc
    limit 1;
    if open.status = 'claimed' and open.purpose = 'reconcile'
        and open.worker_principal = synapsor._session() ->> 'principal'
    then
        perform synapsor._raise(synapsor._judge_claim(
            -- Left out on the first reconciliation only: of two daemons of one principal the later
            -- claim decides.
            open, action_id, coalesce(claim_token, case when open.reconciliations = 1 then open.claim_token end)
        ));
    elsif open.status is distinct from 'unknown' and settled.event_type = 'Settled'
        and settled.status = settle_external_action.status
    then
        return current;
    elsif not synapsor._caller_has('synapsor_approver') and not synapsor._caller_has('synapsor_admin') then
        raise exception using
            errcode = 'SY007',
            message = format(
                '%s has not claimed action %s to reconcile it',
                quote_ident(synapsor._session() ->> 'principal'), current.action_id
            ),
            hint = 'Claim it with purpose reconcile, or ask an approver.';
    else
        perform synapsor._require_natural_person();
        if open.status is distinct from 'unknown'
            and not coalesce(open.status = 'queued' and open.deliveries_lost > 0, false)
        then
            raise exception using
                errcode = 'SY014',
                message = format('action %s is %s, not unknown', current.action_id, current.status),
                hint = 'Only an unknown outcome is settled; '
                    'a failed action is retried with synapsor.retry_external_action.';
        end if;
    end if;

    detail := jsonb_build_object('evidence', synapsor._bounded(coalesce(evidence, '{}')));
    if status = 'queued' then
        contract := synapsor._contract_of(open);
        -- Known not done: nothing is uncertain any more, and the provider's key window starts anew.
        open.deliveries_lost := 0;
        open.first_delivery_at := null;
        open.available_at := synapsor._now();
        perform synapsor._queue_action(open, contract, 'Settled', note, detail);
    else
        perform synapsor._finish(
            open, 'Settled', status, note, detail,
            error_code => case when status = 'failed' then coalesce(open.error_code, 'settled') end,
            provider_request_id => left(evidence ->> 'provider_request_id', 255)
        );
    end if;
    return synapsor._external_action(action_id, true);
end;
$function$;

grant execute on function synapsor.settle_external_action to synapsor_approver, synapsor_worker, synapsor_admin;

comment on function synapsor.settle_external_action is
'Ends the uncertainty of an unknown action, or of one queued again after a lost delivery:
succeeded, failed, or queued (known not done, to be done). An approver or administrator who is a
natural person may, and the worker that claimed it with purpose reconcile, which passes its
claim_token (it may leave it out on the first reconciliation). evidence: what was found, kept up
to 64 KiB; its provider_request_id, if any, is shown with the action. The same again changes
nothing. Errors: SY003, SY007, SY011, SY014 not unknown, SY031 the reconciliation''s claim has
expired, SY034 stale or missing token. Source: design.md sections 4 and 5.';
