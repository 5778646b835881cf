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
    session constant jsonb := synapsor._session();
    seen constant text[] := synapsor._seen_tenants();
    open synapsor.open_external_actions;
    current synapsor.external_action;
    invocation synapsor.action_invocations;
    request synapsor.approval_requests;
    contract synapsor.action_contracts;
    decision synapsor.policy_decision;
    exceeded jsonb;
    given integer;
    detail jsonb;
begin
    if action_id like 'stp\_%' then
        return synapsor._decide_step(action_id, 'approved', note, expected_digest);
    end if;
    -- What is beyond approval is not locked: a reviewer's open transaction must not hold up its
    -- delivery. What became a proposal again meanwhile is looked for again.
    loop
        select stored.* into open
        from synapsor.open_external_actions as stored
        where stored.action_id = approve_external_action.action_id and stored.status = 'proposed'
            and coalesce(stored.tenant_id = any(seen), true)
        for update;
        exit when found;
        current := synapsor._external_action(action_id, false);
        exit when current.status is distinct from 'proposed';
    end loop;
    if open.action_id is null and current.action_id is null then
        -- Says that it does not exist.
        open := synapsor._lock_action(action_id);
    end if;
    invocation := synapsor._require_undrifted(action_id, expected_digest);
    if current.status in ('queued', 'claimed', 'unknown', 'succeeded', 'running', 'completed') then
        perform synapsor._require_natural_person(session);
        raise notice using
            message = format('action %s is %s already; nothing changed', current.action_id, current.status);
        return current;
    end if;
    request := synapsor._require_reviewer(open, action_id, coalesce(open.status, current.status), session);
    if request.separate_duties and session ->> 'principal' in (
        invocation.actor,
        -- Whoever starts a plan asks for what its nodes do, whoever they run as.
        (select run.principal from synapsor.runs as run where run.run_id = invocation.run_id)
    ) then
        raise exception using
            errcode = 'SY023',
            message = format(
                '%s proposed action %s and may not approve it', quote_ident(invocation.actor), invocation.action_id
            ),
            detail = 'The contract separates the duties of proposing and approving.',
            hint = 'Another reviewer has to approve.';
    end if;
    perform synapsor._record_verdict(open, session ->> 'principal', 'approved', note, invocation.digest);
    select count(*) into given
    from synapsor.approvals as approval
    where approval.action_id = open.action_id and approval.verdict = 'approved' and approval.voided_at is null;
    detail := jsonb_build_object('approvals_given', given, 'approvals_required', request.approvals_required);
    if given < request.approvals_required then
        perform synapsor._move(open, 'Approved', note, detail);
        return synapsor._external_action(action_id, true);
    end if;
    open.last_sequence := open.last_sequence + 1;
    perform synapsor._record_event(open, 'Approved', open.status, note, detail);
    if request.risk_role is not null then
        perform synapsor._release_steps(invocation.run_id, request.risk_role, invocation.created_at);
    end if;
    contract := synapsor._contract_of(open);
    if contract.decides or contract.kind <> 'external' then
        -- Opened once, not at every look.
        contract.definition := contract.definition || '{}';
    end if;
    if contract.decides then
        -- What the policies said of the proposal may be another thing now.
        decision := synapsor._evaluate_policies(
            contract, open.action_id, open.tenant_id, invocation.intent::jsonb, 'execute'
        );
        if decision.result <> 'block' then
            exceeded := synapsor._consume(
                contract, open.action_id, open.tenant_id, invocation.actor, invocation.intent::jsonb,
                is_approved => true
            );
            if exceeded is not null then
                decision := synapsor._decide_exceeded(decision, contract, exceeded);
            end if;
        end if;
    end if;
    if decision.result = 'block' then
        perform synapsor._block(open.action_id, decision);
        perform synapsor._finish(
            open, 'BlockedByPolicy', 'blocked_by_policy', note => decision.reason,
            error_code => synapsor._blocked_with(decision)
        );
    elsif contract.kind = 'external' then
        open := synapsor._queue_action(open, contract, 'Queued');
        return synapsor._shown_queued(invocation, contract, open, request, given);
    else
        perform synapsor._finish(
            open, 'Performed', (synapsor._perform(contract, open.action_id, request.session)).status
        );
    end if;
    return synapsor._external_action(action_id, true);
end;
$function$;

grant execute on function synapsor.approve_external_action to synapsor_approver;

comment on function synapsor.approve_external_action is
'Records the session''s approval, with its note, of exactly the intent whose digest is stored;
with the last one needed the action is queued. expected_digest: the digest the reviewer was shown,
checked when given. Approving what is queued, claimed or done changes nothing and says so in a
NOTICE. The policies are asked again: if they block now, the call returns and the row says
blocked_by_policy. An atomic action is performed in this transaction. A step of a run whose risk
demands an approval is approved by its step_id; approving an action for the risk of its run approves
the steps that led to it. Errors: SY007 not a natural
person or without the role, SY011 not found, SY021 rejected, expired, cancelled or failed, SY022
this reviewer counted already, SY023 proposer under separated duties, SY024 another digest.
Source: design.md section 5, rule 4.';
