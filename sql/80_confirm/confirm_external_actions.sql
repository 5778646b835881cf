-- security definer: nobody but the owner changes an action's state.
create or replace function synapsor.confirm_external_actions(confirmations jsonb)
returns setof synapsor.confirmation
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- Plans live as long as the connection: one made while the table was small must not read a backlog.
-- Each action is found by its id.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $function$
declare
    confirmed_at constant timestamptz := synapsor._now();
    session constant jsonb := synapsor._session();
    sees_every constant boolean := coalesce(session -> 'tenants' = '"*"', false);
    tenants constant text[] := case when not sees_every then synapsor._tenants_of(session) end;
    principal constant text := session ->> 'principal';
    ended text[];
    lanes synapsor.lane[];
    left_lanes synapsor.lane[];
    governed synapsor.delivery[];
    entry jsonb;
begin
    if confirmations is null or jsonb_typeof(confirmations) <> 'array' or jsonb_array_length(confirmations) > 10000 then
        raise exception using
            errcode = 'SY003',
            message = 'confirmations are a JSON array of at most 10000 objects';
    end if;

    -- Plain successes of live claims, which is nearly all of them, end together. What was said first
    -- of each is found in an object: a join of two lists is planned without knowing their length.
    with said as materialized (
        select
            jsonb_object_agg(element.value ->> 'action_id', element.value order by element.ordinality desc) as entries,
            array_agg(element.value ->> 'action_id') as action_ids
        from jsonb_array_elements(confirmations) with ordinality as element
        where element.value ->> 'action_id' is not null
    ),

    -- In one order, so that two batches, or a batch and a claim, cannot wait for each other.
    held as materialized (
        select
            open.action_id, open.tenant_id, open.queue, open.status, open.purpose, open.worker_principal,
            open.lease_expires_at, open.claim_token, open.ordering_key, open.reports_to, open.last_sequence,
            open.attempts, open.claimed_at, open.delivery_started_at, open.worker_label, open.is_governed,
            open.account_id
        from synapsor.open_external_actions as open
        where open.action_id = any((select said.action_ids from said)::text[])
            and (sees_every or open.tenant_id = any(tenants))
        order by open.action_id
        for update
    ),

    judged as materialized (
        select
            held.*, spoken.entry,
            spoken.entry ->> 'status' = 'succeeded' and held.status = 'claimed' and held.purpose = 'deliver'
            and held.worker_principal = principal and held.lease_expires_at > confirmed_at
            and spoken.entry ->> 'claim_token' = held.claim_token::text
            and held.reports_to is null as is_sound
        from held
        cross join said
        cross join lateral (select said.entries -> held.action_id as entry offset 0) as spoken
    ),

    recorded as (
        insert into synapsor.external_action_events (
            action_id, sequence, attempt, tenant_id, event_type, status, actor, occurred_at, claim_token, claimed_at,
            lease_expires_at, delivery_started_at, worker_principal, worker_label, confirmed, provider_request_id,
            error_code, detail
        )
        select
            sound.action_id, sound.last_sequence + 1, sound.attempts, sound.tenant_id, 'Succeeded', 'succeeded',
            principal, confirmed_at, sound.claim_token, sound.claimed_at, sound.lease_expires_at,
            sound.delivery_started_at, sound.worker_principal, sound.worker_label, 'succeeded',
            left(sound.entry ->> 'provider_request_id', 255), left(sound.entry ->> 'error_code', 255),
            case
                when sound.entry -> 'response' <> '{}' or sound.entry ->> 'error_message' is not null
                    then synapsor._answer(sound.entry -> 'response', sound.entry ->> 'error_message')
            end
        from judged as sound
        where sound.is_sound
    ),

    finished as (
        delete from synapsor.open_external_actions as open
        where open.action_id = any(array(select judged.action_id from judged where judged.is_sound))
    )

    select
        array_agg(judged.action_id) filter (where judged.is_sound),
        array_agg(row(judged.tenant_id, judged.queue, judged.ordering_key)::synapsor.lane)
            filter (where judged.ordering_key is not null),
        array_agg(row(judged.tenant_id, judged.queue, judged.ordering_key)::synapsor.lane)
            filter (where judged.ordering_key is not null and judged.is_sound),
        array_agg(row(judged.account_id, judged.claim_token, judged.delivery_started_at)::synapsor.delivery)
            filter (where judged.is_sound and judged.is_governed)
    into ended, lanes, left_lanes, governed
    from judged;
    if lanes is not null then
        perform
        from (select distinct held.* from unnest(lanes) as held) as held
        inner join synapsor.ordering_lanes as lane using (tenant_id, queue, ordering_key)
        order by lane.tenant_id, lane.queue, lane.ordering_key
        for update of lane;
        perform synapsor._hand_on(left_lanes);
    end if;
    if governed is not null then
        insert into synapsor.provider_outcomes (account_id, claim_token, recorded_at, calls)
        select
            told.account_id, told.claim_token, confirmed_at,
            string_agg(synapsor._call(limits, false, confirmed_at - told.started_at), '')
        from unnest(governed) as told
        inner join synapsor.provider_accounts as known using (account_id)
        inner join synapsor.provider_limits as limits using (limits_id)
        where limits.breaker_mode in ('enforce', 'monitor')
        group by told.account_id, told.claim_token;
    end if;

    if cardinality(ended) = jsonb_array_length(confirmations) then
        return query
        select said.value ->> 'action_id', true, true, 'succeeded', null::text, null::text
        from jsonb_array_elements(confirmations) as said;
        return;
    end if;
    for entry in
        select element.value
        from jsonb_array_elements(confirmations) with ordinality as element
        order by element.ordinality
    loop
        if entry ->> 'action_id' = any(ended) then
            return next row(entry ->> 'action_id', true, true, 'succeeded', null, null)::synapsor.confirmation;
            -- Said again, it is judged again.
            ended := array_remove(ended, entry ->> 'action_id');
        else
            return next synapsor._confirm_entry(entry);
        end if;
    end loop;
end;
$function$;

grant execute on function synapsor.confirm_external_actions to synapsor_worker;

comment on function synapsor.confirm_external_actions is
'confirm_external_action for an array of objects with the same keys (action_id, status, response,
provider_request_id, error_code, error_message, retry_after, retryable, claim_token), at most
10000. Each is judged on its own and none raises: accepted tells, and error_code and error_message
say why not. A refused one changes nothing, but where its worker had a claim on the action it is
kept as an event `LateConfirmation` with all it brought, as evidence for reconciliation. Source:
design.md section 5, rule 6.';
