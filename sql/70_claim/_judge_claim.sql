-- Whether this worker's claim on an action is the active one (design.md section 5, rule 6). `open`
-- is the locked state row, all null when the action has ended; a token left out means the worker's
-- latest claim.
create or replace function synapsor._judge_claim(
    open synapsor.open_external_actions, action_id text, token bigint
)
returns synapsor.verdict
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    principal constant text := synapsor._session() ->> 'principal';
    verdict synapsor.verdict;
    claims integer;
    last_claim synapsor._events;
begin
    if open.status = 'claimed' and open.worker_principal = principal and open.claim_token = token
        and open.lease_expires_at > synapsor._now()
    then
        return verdict;
    end if;
    select count(*) into claims
    from synapsor._events as event
    where event.action_id = _judge_claim.action_id and event.event_type = 'Claimed';
    select event.* into last_claim
    from synapsor._events as event
    where event.action_id = _judge_claim.action_id and event.event_type = 'Claimed'
    order by event.sequence desc
    limit 1;

    if claims = 0 then
        verdict.code := 'SY030';
        verdict.message := format('action %s is not claimed', action_id);
        verdict.detail := format('It is %s and no worker has claimed it.', coalesce(open.status, 'finished'));
        verdict.hint := 'Claim it first with synapsor.claim_external_actions.';
    elsif last_claim.worker_principal <> principal then
        -- A claim that ended without a successor is nobody's: only a live or decided one is another
        -- worker's.
        if open.status = 'queued' and exists (
            select from synapsor._events as event
            where event.action_id = _judge_claim.action_id and event.event_type = 'Claimed'
                and event.worker_principal = principal
        ) then
            verdict.code := 'SY031';
            verdict.message := format('the claim on action %s has expired', action_id);
            verdict.detail := 'It was claimed by another worker since.';
        elsif open.status = 'queued' then
            verdict.code := 'SY030';
            verdict.message := format('action %s is not claimed', action_id);
            verdict.detail := 'It is queued.';
        else
            verdict.code := 'SY032';
            verdict.message := format('action %s is claimed by another worker', action_id);
            verdict.detail := format('The last claim is of %s.', quote_ident(last_claim.worker_principal));
        end if;
        verdict.hint := 'Keep what the provider answered; the worker that holds the claim decides.';
    elsif token is not null and token <> last_claim.claim_token then
        verdict.code := 'SY034';
        verdict.message := format('the claim token for action %s is stale', action_id);
        verdict.detail := format('Given %s, the latest claim has %s.', token, last_claim.claim_token);
        verdict.hint := 'The action was claimed again since; only its latest claim may speak for it.';
    elsif open.status is distinct from 'claimed' then
        if exists (
            select from synapsor._events as event
            where event.action_id = _judge_claim.action_id and event.sequence > last_claim.sequence
                and (
                    event.event_type in ('LeaseExpired', 'Quarantined')
                    or (event.error_code = 'poisoned' and event.lease_expires_at <= event.occurred_at)
                )
        ) then
            verdict.code := 'SY031';
            verdict.message := format('the claim on action %s has expired', action_id);
            verdict.detail := format(
                'The lease ended at %s; the action is %s.', last_claim.lease_expires_at,
                coalesce(open.status, 'finished')
            );
            verdict.hint := 'Keep what the provider answered as evidence for reconciliation.';
        else
            verdict.code := 'SY030';
            verdict.message := format('action %s is not claimed', action_id);
            verdict.detail := format('The claim has ended; the action is %s.', coalesce(open.status, 'finished'));
            verdict.hint := 'Claim it again, or let an operator settle it.';
        end if;
    elsif open.lease_expires_at <= synapsor._now() then
        verdict.code := 'SY031';
        verdict.message := format('the claim on action %s has expired', action_id);
        verdict.detail := format('The lease ended at %s by the database''s clock.', open.lease_expires_at);
        verdict.hint := 'Extend claims in time; what the provider answered is evidence for reconciliation.';
    elsif token is null and (claims > 1 or (synapsor._contract_of(open)).require_claim_token) then
        verdict.code := 'SY034';
        verdict.message := format('the claim token for action %s is missing', action_id);
        verdict.detail := format('It was claimed %s times%s.', claims,
            case
                when (synapsor._contract_of(open)).require_claim_token then ', and its contract requires the token'
                else ''
            end);
        verdict.hint := 'Pass the claim_token that the claim returned.';
    end if;
    return verdict;
end;
$function$;

create or replace function synapsor._raise(verdict synapsor.verdict)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    -- A detail or hint cannot be null, and an empty one would still be shown as a line.
    if verdict.code is null then
        return;
    elsif verdict.detail is not null and verdict.hint is not null then
        raise exception using
            errcode = verdict.code, message = verdict.message, detail = verdict.detail, hint = verdict.hint;
    elsif verdict.detail is not null then
        raise exception using errcode = verdict.code, message = verdict.message, detail = verdict.detail;
    elsif verdict.hint is not null then
        raise exception using errcode = verdict.code, message = verdict.message, hint = verdict.hint;
    end if;
    raise exception using errcode = verdict.code, message = verdict.message;
end;
$function$;

-- The locked state row of this worker's active claim, or the refusal.
create or replace function synapsor._active_claim(action_id text, token bigint)
returns synapsor.open_external_actions
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    open constant synapsor.open_external_actions := synapsor._lock_action(action_id);
begin
    perform synapsor._raise(synapsor._judge_claim(open, action_id, token));
    return open;
end;
$function$;
