-- Judges one confirmation and, when it is in order, carries it out. `changed` tells the two kinds
-- of acceptance apart; the verdict tells a refusal.
create or replace function synapsor._confirm(
    open synapsor.open_external_actions,
    action_id text,
    status text,
    response jsonb,
    provider_request_id text,
    error_code text,
    error_message text,
    retry_after interval,
    retryable boolean,
    token bigint
)
returns synapsor.verdict
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    verdict synapsor.verdict;
    contract synapsor.action_contracts;
    detail jsonb;
    delay interval;
begin
    if status is null or status not in ('succeeded', 'failed', 'unknown') then
        verdict.code := 'SY003';
        verdict.message := format('%s is not an outcome', quote_nullable(left(status, 64)));
        verdict.hint := 'Confirm succeeded, failed or unknown.';
        return verdict;
    end if;
    verdict := synapsor._judge_claim(open, action_id, token);
    if verdict.code is not null then
        return synapsor._judge_repeat(verdict, action_id, status, provider_request_id, token);
    end if;
    if open.purpose <> 'deliver' then
        verdict.code := 'SY033';
        verdict.message := format('the outcome of action %s is being reconciled', open.action_id);
        verdict.hint := 'Settle it with synapsor.settle_external_action.';
        return verdict;
    end if;

    contract := synapsor._contract_of(open);
    detail := synapsor._answer(response, error_message);
    provider_request_id := left(provider_request_id, 255);
    error_code := left(error_code, 255);
    perform synapsor._record_outcome(
        open,
        case when status <> 'failed' or retryable is not false then status <> 'succeeded' end,
        case when status <> 'succeeded' then retry_after end
    );
    if status = 'succeeded' then
        perform synapsor._finish(
            open, 'Succeeded', 'succeeded', null, detail, error_code, provider_request_id, confirmed => status
        );
    elsif status = 'failed' and coalesce(retryable, true) and open.attempts < contract.max_attempts then
        -- least and greatest pass over a null.
        delay := case
            when retry_after is null then synapsor._back_off(contract, open.attempts)
            else least(greatest(retry_after, interval '0'), interval '7 days')
        end;
        open.status := 'queued';
        open.available_at := synapsor._now() + delay;
        open.rank := open.available_at - make_interval(mins => contract.priority);
        open.error_code := error_code;
        open.error_message := left(error_message, 2000);
        perform synapsor._move(
            open, 'RetryScheduled', null, coalesce(detail, '{}') || jsonb_build_object('retry_at', open.available_at),
            error_code, provider_request_id, confirmed => status
        );
        update synapsor.open_external_actions as stored
        set lease_expires_at = null, delivery_started_at = null
        where stored.action_id = open.action_id;
    elsif status = 'failed' and (open.deliveries_lost = 0 or retryable is false) then
        perform synapsor._finish(
            open, 'Failed', 'failed', null, detail, error_code, provider_request_id, confirmed => status
        );
    else
        -- Also a failure that is not the provider's final word, after a delivery whose outcome
        -- nobody reported.
        open.status := 'unknown';
        open.available_at := synapsor._now() + coalesce(contract.reconcile_after, interval '0');
        open.expires_at := null;
        open.error_code := error_code;
        open.error_message := left(error_message, 2000);
        perform synapsor._move(
            open, 'OutcomeUnknown', null, detail, error_code, provider_request_id, confirmed => status
        );
        update synapsor.open_external_actions as stored
        set lease_expires_at = null
        where stored.action_id = open.action_id;
    end if;
    verdict.repeated := false;
    return verdict;
end;
$function$;

-- A worker that did not hear the answer says the same again: that is an answer. Something else than
-- before is a conflict.
create or replace function synapsor._judge_repeat(
    refusal synapsor.verdict,
    action_id text,
    status text,
    provider_request_id text,
    token bigint
)
returns synapsor.verdict
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    principal constant text := synapsor._session() ->> 'principal';
    said synapsor.external_action_events;
begin
    select event.* into said
    from synapsor.external_action_events as event
    where event.action_id = _judge_repeat.action_id and event.worker_principal = principal
        and event.confirmed is not null and event.event_type <> 'LateConfirmation'
        and event.claim_token = coalesce(token, (
            select latest.claim_token
            from synapsor._events as latest
            where latest.action_id = _judge_repeat.action_id and latest.event_type = 'Claimed'
                and latest.worker_principal = principal
            order by latest.sequence desc
            limit 1
        ))
    order by event.sequence desc
    limit 1;
    if not found then
        return refusal;
    end if;
    if said.confirmed = status
        and coalesce(said.provider_request_id = left(_judge_repeat.provider_request_id, 255), true)
    then
        refusal := null;
        refusal.repeated := true;
        return refusal;
    end if;
    refusal.code := 'SY033';
    refusal.message := format('action %s was confirmed otherwise by this claim', action_id);
    refusal.detail := format(
        'Stored: %s%s. Given: %s%s.', said.confirmed, ' ' || said.provider_request_id, status,
        ' ' || left(_judge_repeat.provider_request_id, 255)
    );
    refusal.hint := 'What was confirmed stands; an unknown outcome is settled with synapsor.settle_external_action.';
    return refusal;
end;
$function$;

-- Exponential with full jitter; the n-th attempt has just failed (design.md section 5, rule 9).
create or replace function synapsor._back_off(contract synapsor.action_contracts, attempts integer)
returns interval
language sql
volatile
begin atomic
    -- The factor is bounded before it is applied: an interval overflows.
    select contract.retry_initial * least(
        power(contract.retry_multiplier, least(attempts - 1, 60)),
        extract(epoch from contract.retry_max) / extract(epoch from contract.retry_initial)
    ) * case when contract.retry_jitter then random() else 1 end;
end;
