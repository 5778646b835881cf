-- security definer: nobody but the owner changes an action's state.
create or replace function synapsor.confirm_external_actions(confirmations jsonb)
returns setof synapsor.confirmation
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- Plans live as long as the connection: one made while the tables were small must not read a
-- backlog. Each confirmation is found by its id.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $function$
declare
    confirmed_at constant timestamptz := synapsor._now();
    principal constant text := synapsor._session() ->> 'principal';
    sees_every constant boolean := synapsor._sees_every_tenant();
    tenants constant text[] := synapsor._visible_tenants();
    in_lanes text[];
    done boolean[];
    entry jsonb;
    ordinal bigint;
begin
    if confirmations is null or jsonb_typeof(confirmations) <> 'array' or jsonb_array_length(confirmations) > 10000 then
        raise exception using
            errcode = 'SY003',
            message = 'confirmations are a JSON array of at most 10000 objects';
    end if;
    -- In one order, so that two batches, or a batch and a claim, cannot wait for each other.
    select array_agg(locked.action_id) filter (where locked.ordering_key is not null) into in_lanes
    from (
        select open.action_id, open.ordering_key
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

    -- Plain successes of live claims, which is nearly all of them, end in one statement.
    with said as materialized (
        select
            element.ordinality, element.value as entry, element.value ->> 'action_id' as action_id,
            case
                when element.value ->> 'claim_token' ~ '^[0-9]{1,18}$' then (element.value ->> 'claim_token')::bigint
            end as claim_token,
            row_number() over (partition by element.value ->> 'action_id' order by element.ordinality) = 1 as is_first
        from jsonb_array_elements(confirmations) with ordinality as element
    ),

    judged as materialized (
        select said.action_id, said.ordinality, said.entry,
            coalesce(
                said.is_first and said.entry ->> 'status' = 'succeeded' and open.status = 'claimed'
                and open.purpose = 'deliver' and open.worker_principal = principal
                and open.claim_token = said.claim_token and open.lease_expires_at > confirmed_at
                and open.ordering_key is null and open.reports_to is null
                and (sees_every or open.tenant_id = any(tenants)),
                false
            ) as is_sound
        from said
        -- offset 0: by its id, whatever the planner thinks of the index of leases, which it would
        -- read for each.
        left join lateral (
            select held.*
            from synapsor.open_external_actions as held
            where held.action_id = said.action_id
            offset 0
        ) as open on true
    ),

    ended as (
        delete from synapsor.open_external_actions as open
        using judged
        where judged.is_sound and open.action_id = judged.action_id
        returning open.*, judged.entry
    ),

    recorded as (
        insert into synapsor.external_action_events (
            action_id, sequence, attempt, tenant_id, event_type, status, actor, occurred_at, claim_token,
            lease_expires_at, delivery_started_at, worker_principal, worker_label, confirmed, provider_request_id,
            error_code, detail
        )
        select
            ended.action_id, ended.last_sequence + 1, ended.attempts, ended.tenant_id,
            'Succeeded', 'succeeded', principal, confirmed_at, ended.claim_token, ended.lease_expires_at,
            ended.delivery_started_at, ended.worker_principal, ended.worker_label, 'succeeded',
            left(ended.entry ->> 'provider_request_id', 255), left(ended.entry ->> 'error_code', 255),
            nullif(jsonb_strip_nulls(jsonb_build_object(
                'response', nullif(nullif(synapsor._bounded(ended.entry -> 'response'), '{}'), 'null'),
                'error_message', left(ended.entry ->> 'error_message', 2000)
            )), '{}')
        from ended
    ),

    counted as (
        insert into synapsor.provider_outcomes (account_id, claim_token, recorded_at, calls)
        select
            ended.account_id, ended.claim_token, confirmed_at,
            string_agg(synapsor._call(limits, false, confirmed_at - ended.delivery_started_at), '')
        from ended
        inner join synapsor.provider_accounts as known using (account_id)
        inner join synapsor.provider_limits as limits using (limits_id)
        where ended.is_governed and limits.breaker_mode in ('enforce', 'monitor')
        group by ended.account_id, ended.claim_token
    )

    select array_agg(judged.is_sound order by judged.ordinality) into done
    from judged;

    for entry, ordinal in
        select element.value, element.ordinality
        from jsonb_array_elements(confirmations) with ordinality as element
        order by element.ordinality
    loop
        if done[ordinal] then
            return next row(entry ->> 'action_id', true, true, 'succeeded', null, null)::synapsor.confirmation;
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
