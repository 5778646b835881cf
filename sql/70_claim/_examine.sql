-- Looks at candidates that cannot simply be leased and returns those that may be after all; the
-- others change state here: drifted from what was approved, too late to deliver, or too late to
-- repeat with the same key. One whose lane is in somebody's hands is passed over until the next
-- claim.
create or replace function synapsor._examine(
    special synapsor.open_external_actions[],
    lease interval,
    out claimable text[],
    out passed_over text[]
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    open synapsor.open_external_actions;
    passes boolean;
begin
    claimable := '{}';
    passed_over := '{}';
    foreach open in array special loop
        if open.ordering_key is null then
            passes := synapsor._passes(open, lease);
        else
            passes := synapsor._passes_at_once(open, lease);
        end if;
        if passes is null then
            passed_over := passed_over || open.action_id;
        elsif passes then
            claimable := claimable || open.action_id;
        end if;
    end loop;
end;
$function$;

create or replace function synapsor._passes(open synapsor.open_external_actions, lease interval)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    examined_at constant timestamptz := synapsor._now();
    contract constant synapsor.action_contracts := synapsor._contract_of(open);
begin
    if synapsor._has_drifted(open, contract) then
        return false;
    elsif open.expires_at <= examined_at and open.deliveries_lost = 0 then
        perform synapsor._finish(open, 'Expired', 'expired', error_code => 'expired');
        return false;
    elsif open.deliveries_lost > 0
        and not synapsor._may_repeat(open, contract, examined_at + coalesce(lease, contract.lease))
    then
        perform synapsor._park(open, contract, 'OutcomeUnknown', 'key_window_closed');
        return false;
    end if;
    return true;
end;
$function$;

-- Null when its lane is in somebody's hands.
create or replace function synapsor._passes_at_once(open synapsor.open_external_actions, lease interval)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '20ms'
as $function$
begin
    return synapsor._passes(open, lease);
exception
    when lock_not_available then
        return null;
end;
$function$;

-- Rule 3: what is sent must be what was recorded and what every counted approval was given for. If
-- not, the action needs its approval anew, or fails where none is asked.
create or replace function synapsor._has_drifted(
    open synapsor.open_external_actions, contract synapsor.action_contracts
)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    recorded bytea;
    found_now bytea;
    request synapsor.approval_requests;
    facts jsonb;
begin
    select invocation.digest, sha256(convert_to(invocation.intent, 'UTF8')) into strict recorded, found_now
    from synapsor.action_invocations as invocation
    where invocation.action_id = open.action_id;
    if recorded = found_now and not exists (
        select from synapsor.approvals as approval
        where approval.action_id = open.action_id and approval.voided_at is null
            and approval.verdict = 'approved' and approval.digest <> recorded
    ) then
        return false;
    end if;
    facts := jsonb_build_object(
        'recorded_digest', encode(recorded, 'hex'), 'intent_digest', encode(found_now, 'hex')
    );
    update synapsor.approvals as approval
    set voided_at = synapsor._now()
    where approval.action_id = open.action_id and approval.voided_at is null;
    select asked.* into request
    from synapsor.approval_requests as asked
    where asked.action_id = open.action_id;
    if open.deliveries_lost > 0 then
        perform synapsor._park(open, contract, 'OutcomeUnknown', 'SY024', facts);
    elsif found then
        -- Taken again when it is approved again.
        perform synapsor._give_back(open.action_id);
        perform synapsor._leave_lane(open);
        open.status := 'proposed';
        open.queued_at := null;
        open.expires_at := request.expires_at;
        perform synapsor._move(open, 'ApprovalVoided', detail => facts, error_code => 'SY024');
    else
        perform synapsor._finish(open, 'Failed', 'failed', detail => facts, error_code => 'SY024');
    end if;
    return true;
end;
$function$;

-- Rule 8: a delivery of unknown outcome is repeated only where the provider deduplicates by our
-- key, and still will when the new lease ends. Five lost in a row, or what poison_after says, are
-- not an accident any more.
create or replace function synapsor._may_repeat(
    open synapsor.open_external_actions, contract synapsor.action_contracts, lease_end timestamptz
)
returns boolean
language sql
stable
begin atomic
    select
        contract.idempotent
        and open.deliveries_lost < contract.poison_after
        and coalesce(open.first_delivery_at + contract.key_window >= lease_end, true);
end;

-- claimed or queued → unknown: nobody can know whether it was performed.
create or replace function synapsor._park(
    open synapsor.open_external_actions,
    contract synapsor.action_contracts,
    event_type text,
    error_code text,
    detail jsonb default null
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    open.status := 'unknown';
    open.available_at := synapsor._now() + coalesce(contract.reconcile_after, interval '0');
    open.lease_expires_at := null;
    open.expires_at := null;
    open.error_code := error_code;
    -- Of this, not of an earlier attempt.
    open.error_message := detail ->> 'error_message';
    perform synapsor._move(open, event_type, detail => detail, error_code => error_code);
end;
$function$;
