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
    sees_every constant boolean := synapsor._sees_every_tenant();
    tenants constant text[] := synapsor._tenants_of(session);
    principal constant text := session ->> 'principal';
    held synapsor.open_external_actions[];
    in_lanes text[];
    ended text[];
    governed text[];
    entry jsonb;
begin
    if confirmations is null or jsonb_typeof(confirmations) <> 'array' or jsonb_array_length(confirmations) > 10000 then
        raise exception using
            errcode = 'SY003',
            message = 'confirmations are a JSON array of at most 10000 objects';
    end if;
    -- In one order, so that two batches, or a batch and a claim, cannot wait for each other.
    select array_agg(locked.state), array_agg(locked.action_id) filter (where locked.ordering_key is not null)
    into held, in_lanes
    from (
        select open as state, open.action_id, open.ordering_key
        from synapsor.open_external_actions as open
        where open.action_id = any(array(
                select said.value ->> 'action_id' from jsonb_array_elements(confirmations) as said
            ))
            and (sees_every or open.tenant_id = any(tenants))
        order by open.action_id
        for update
    ) as locked;
    if in_lanes is not null then
        perform
        from synapsor.ordering_lanes as lane
        where exists (
            select from synapsor.open_external_actions as open
            where open.action_id = any(in_lanes) and open.tenant_id = lane.tenant_id and open.queue = lane.queue
                and open.ordering_key = lane.ordering_key
        )
        order by lane.tenant_id, lane.queue, lane.ordering_key
        for update;
    end if;

    -- Plain successes of live claims, which is nearly all of them, end together. What was said first
    -- of each is found in an object: a join of two lists is planned without knowing their length.
    with said as materialized (
        select
            jsonb_object_agg(element.value ->> 'action_id', element.value order by element.ordinality desc) as entries
        from jsonb_array_elements(confirmations) with ordinality as element
        where element.value ->> 'action_id' is not null
    ),

    sound as materialized (
        select judged.entry, open.*
        from unnest(held) as open
        cross join said
        cross join lateral (select said.entries -> open.action_id as entry offset 0) as judged
        where judged.entry ->> 'status' = 'succeeded' and open.status = 'claimed' and open.purpose = 'deliver'
            and open.worker_principal = principal and open.lease_expires_at > confirmed_at
            and judged.entry ->> 'claim_token' = open.claim_token::text
            and open.ordering_key is null and open.reports_to is null
    ),

    recorded as (
        insert into synapsor.external_action_events (
            action_id, sequence, attempt, tenant_id, event_type, status, actor, occurred_at, claim_token,
            lease_expires_at, delivery_started_at, worker_principal, worker_label, confirmed, provider_request_id,
            error_code, detail
        )
        select
            sound.action_id, sound.last_sequence + 1, sound.attempts, sound.tenant_id, 'Succeeded', 'succeeded',
            principal, confirmed_at, sound.claim_token, sound.lease_expires_at, sound.delivery_started_at,
            sound.worker_principal, sound.worker_label, 'succeeded',
            left(sound.entry ->> 'provider_request_id', 255), left(sound.entry ->> 'error_code', 255),
            case
                when sound.entry ?| array['response', 'error_message'] then nullif(
                    jsonb_strip_nulls(jsonb_build_object(
                        'response', nullif(nullif(synapsor._bounded(sound.entry -> 'response'), '{}'), 'null'),
                        'error_message', left(sound.entry ->> 'error_message', 2000)
                    )), '{}'
                )
            end
        from sound
    )

    select array_agg(sound.action_id), array_agg(sound.action_id) filter (where sound.is_governed)
    into ended, governed
    from sound;
    if ended is not null then
        delete from synapsor.open_external_actions as open where open.action_id = any(ended);
    end if;
    if governed is not null then
        insert into synapsor.provider_outcomes (account_id, claim_token, recorded_at, calls)
        select
            told.account_id, told.claim_token, confirmed_at,
            string_agg(synapsor._call(limits, false, confirmed_at - told.delivery_started_at), '')
        from unnest(held) as told
        inner join synapsor.provider_accounts as known using (account_id)
        inner join synapsor.provider_limits as limits using (limits_id)
        where told.action_id = any(governed) and limits.breaker_mode in ('enforce', 'monitor')
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
