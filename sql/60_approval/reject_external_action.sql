-- security definer: nobody but the owner changes an action's state.
create or replace function synapsor.reject_external_action(action_id text, note text default null)
returns synapsor.external_action
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    session constant jsonb := synapsor._session();
    open synapsor.open_external_actions;
    current synapsor.external_action;
    digest bytea;
begin
    if action_id like 'stp\_%' then
        return synapsor._decide_step(action_id, 'rejected', note);
    end if;
    open := synapsor._lock_action(action_id);
    if open.action_id is null then
        current := synapsor._external_action(action_id, false);
        if current.status = 'rejected' and exists (
            select from synapsor.approvals as approval
            where approval.action_id = reject_external_action.action_id and approval.verdict = 'rejected'
                and approval.reviewer = session ->> 'principal'
        ) then
            return current;
        end if;
    end if;
    perform synapsor._require_reviewer(open, action_id, coalesce(open.status, current.status), session);
    select invocation.digest into strict digest
    from synapsor.action_invocations as invocation
    where invocation.action_id = reject_external_action.action_id;
    -- A reviewer may still turn against what he approved.
    update synapsor.approvals as approval
    set voided_at = synapsor._now()
    where approval.action_id = reject_external_action.action_id and approval.voided_at is null
        and approval.reviewer = session ->> 'principal';
    perform synapsor._record_verdict(open, session ->> 'principal', 'rejected', note, digest);
    perform synapsor._finish(open, 'Rejected', 'rejected', note => note, error_code => 'rejected');
    return synapsor._external_action(action_id, true);
end;
$function$;

grant execute on function synapsor.reject_external_action to synapsor_approver;

comment on function synapsor.reject_external_action is
'Rejects a proposal, finally, with the reviewer''s note. The same reviewer rejecting again changes
nothing. Errors: SY007 not a natural person or without the role, SY011 not found, SY021 not
awaiting approval. A step of a run that waits for approval is rejected by its step_id, and ends as
blocked. Source: design.md section 5, rule 4.';
