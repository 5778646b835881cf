-- security definer: nobody but the owner changes an action's state.
create or replace function synapsor.approve_external_action(
    action_id text,
    note text default null,
    expected_digest text default null
)
returns synapsor.external_action
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    open synapsor.open_external_actions;
    current synapsor.external_action := synapsor._external_action(action_id, false);
    request synapsor.approval_requests;
    given integer;
    digest bytea;
begin
    -- What is beyond approval is not locked: a reviewer's open transaction must not hold up its delivery.
    if current.status is null or current.status not in ('queued', 'claimed') then
        open := synapsor._lock_action(action_id);
        current := synapsor._external_action(action_id, false);
    end if;
    digest := synapsor._require_undrifted(action_id, expected_digest);
    if current.status in ('queued', 'claimed', 'unknown', 'succeeded') then
        if synapsor._session() ->> 'actor_type' <> 'natural_person' then
            perform synapsor._require_reviewer(open, current);
        end if;
        raise notice using
            message = format('action %s is %s already; nothing changed', current.action_id, current.status);
        return current;
    end if;
    perform synapsor._require_reviewer(open, current);
    select asked.* into strict request
    from synapsor.approval_requests as asked
    where asked.action_id = open.action_id;
    if request.separate_duties and current.principal = synapsor._session() ->> 'principal' then
        raise exception using
            errcode = 'SY023',
            message = format('%s proposed action %s and may not approve it', quote_ident(current.principal), current.action_id),
            detail = 'The contract separates the duties of proposing and approving.',
            hint = 'Another reviewer has to approve.';
    end if;
    perform synapsor._record_verdict(open, 'approved', note, digest);
    select count(*) into given
    from synapsor.approvals as approval
    where approval.action_id = open.action_id and approval.verdict = 'approved' and approval.voided_at is null;
    perform synapsor._move(
        open, 'Approved', note,
        jsonb_build_object('approvals_given', given, 'approvals_required', request.approvals_required)
    );
    if given >= request.approvals_required then
        open.last_sequence := open.last_sequence + 1;
        perform synapsor._queue_action(open, synapsor._contract_of(open), 'Queued');
    end if;
    return synapsor._external_action(action_id, true);
end;
$function$;

grant execute on function synapsor.approve_external_action to synapsor_approver;

comment on function synapsor.approve_external_action is
    'Records the session''s approval, with its note, of exactly the intent whose digest is stored; with the last one needed the action is '
    'queued. expected_digest: the digest the reviewer was shown, checked when given. Approving what is queued, claimed or done changes '
    'nothing and says so in a NOTICE. Errors: SY007 not a natural person or without the role, SY011 not found, SY021 rejected, '
    'expired, cancelled or failed, SY022 this reviewer counted already, SY023 proposer under separated duties, SY024 another digest. '
    'Source: design.md section 5, rule 4.';
