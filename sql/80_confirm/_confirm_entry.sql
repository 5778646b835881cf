-- One element of confirm_external_actions, never raising for what it says.
create or replace function synapsor._confirm_entry(entry jsonb)
returns synapsor.confirmation
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    action_id constant text := entry ->> 'action_id';
    open synapsor.open_external_actions;
    verdict synapsor.verdict;
    retry_after interval;
    answer synapsor.confirmation;
begin
    answer.action_id := action_id;
    answer.accepted := false;
    answer.changed := false;
    begin
        open := synapsor._lock_action(action_id);
        retry_after := (entry ->> 'retry_after')::interval;
        if jsonb_typeof(entry) <> 'object'
            or coalesce(entry ->> 'claim_token' !~ '^[0-9]{1,18}$', false)
            or coalesce(jsonb_typeof(entry -> 'retryable') not in ('boolean', 'null'), false)
        then
            raise invalid_parameter_value using message = 'claim_token is a number and retryable a boolean';
        end if;
    exception
        when sqlstate 'SY011' then
            answer.error_code := 'SY011';
            answer.error_message := sqlerrm;
            return answer;
        when data_exception then
            answer.error_code := 'SY003';
            answer.error_message := left(sqlerrm, 500);
            return answer;
    end;
    verdict := synapsor._confirm(
        open, action_id, entry ->> 'status', coalesce(entry -> 'response', '{}'), entry ->> 'provider_request_id',
        entry ->> 'error_code', entry ->> 'error_message', retry_after, (entry ->> 'retryable')::boolean,
        (entry ->> 'claim_token')::bigint
    );
    if verdict.code is null then
        answer.accepted := true;
        answer.changed := not verdict.repeated;
    else
        answer.error_code := verdict.code;
        answer.error_message := verdict.message;
        perform synapsor._keep_late_confirmation(open, action_id, entry, verdict.code);
    end if;
    answer.status := synapsor._delivery_status(action_id);
    return answer;
end;
$function$;

create or replace function synapsor._delivery_status(action_id text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select coalesce(
        (
            select open.status
            from synapsor.open_external_actions as open
            where open.action_id = _delivery_status.action_id
        ),
        (
            select event.status
            from synapsor.external_action_events as event
            where event.action_id = _delivery_status.action_id
            order by event.sequence desc
            limit 1
        ),
        (
            select invocation.opened_as
            from synapsor.action_invocations as invocation
            where invocation.action_id = _delivery_status.action_id
        )
    );
$function$;

-- What a worker reports too late changes nothing and is never thrown away: it may be the only trace
-- of an effect.
create or replace function synapsor._keep_late_confirmation(
    open synapsor.open_external_actions, action_id text, entry jsonb, refused_with text
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    principal constant text := synapsor._session() ->> 'principal';
    facts constant jsonb := jsonb_build_object('confirmation', synapsor._bounded(entry), 'refused_with', refused_with);
    latest synapsor._events;
begin
    if refused_with = 'SY003' or not exists (
        select from synapsor._events as event
        where event.action_id = _keep_late_confirmation.action_id and event.event_type = 'Claimed'
            and event.worker_principal = principal
    ) or exists (
        select from synapsor.external_action_events as event
        where event.action_id = _keep_late_confirmation.action_id and event.event_type = 'LateConfirmation'
            and event.worker_principal = principal and event.detail = facts
    ) then
        return;
    end if;
    -- The state row of an ended action is gone; its invocation keeps the sequence whole.
    perform from synapsor.action_invocations as invocation
    where invocation.action_id = _keep_late_confirmation.action_id
    for no key update;
    perform from synapsor.open_external_actions as retried
    where retried.action_id = _keep_late_confirmation.action_id
    for update;
    perform synapsor._record_claim(action_id);
    select event.* into strict latest
    from synapsor._events as event
    where event.action_id = _keep_late_confirmation.action_id
    order by event.sequence desc
    limit 1;
    update synapsor.open_external_actions as stored
    set last_sequence = latest.sequence + 1, claimed_at = null
    where stored.action_id = latest.action_id;
    open.action_id := latest.action_id;
    open.tenant_id := latest.tenant_id;
    open.last_sequence := latest.sequence + 1;
    open.attempts := 0;
    open.worker_principal := principal;
    open.worker_label := null;
    open.claim_token := null;
    open.lease_expires_at := null;
    open.delivery_started_at := null;
    perform synapsor._record_event(
        open, 'LateConfirmation', latest.status,
        detail => facts,
        error_code => refused_with,
        provider_request_id => left(entry ->> 'provider_request_id', 255),
        claim_token => (entry ->> 'claim_token')::bigint
    );
end;
$function$;
