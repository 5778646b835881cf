-- security definer: nobody but the owner changes an action's state.
create or replace function synapsor.begin_deliveries(deliveries jsonb)
returns setof synapsor.external_action
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    begun_at constant timestamptz := synapsor._now();
    principal constant text := synapsor._session() ->> 'principal';
    sees_every constant boolean := synapsor._sees_every_tenant();
    tenants constant text[] := synapsor._visible_tenants();
    action_ids text[];
    begun text[];
    delivery record;
    shown synapsor.external_action;
begin
    if deliveries is null or jsonb_typeof(deliveries) <> 'array' or jsonb_array_length(deliveries) > 10000 then
        raise exception using
            errcode = 'SY003',
            message = 'deliveries are a JSON array of at most 10000 objects';
    end if;
    select array_agg(asked.value ->> 'action_id') into action_ids
    from jsonb_array_elements(deliveries) as asked;
    -- In one order, so that two batches cannot wait for each other.
    perform
    from synapsor.open_external_actions as open
    where open.action_id = any(action_ids) and (sees_every or open.tenant_id = any(tenants))
    order by open.action_id
    for update;

    with sound as (
        select distinct on (open.action_id)
            open.action_id, open.claimed_at, decode(asked.request_digest, 'hex') as request_digest
        from jsonb_to_recordset(deliveries) as asked (action_id text, claim_token bigint, request_digest text)
        inner join synapsor.open_external_actions as open using (action_id)
        where open.status = 'claimed' and open.purpose = 'deliver' and open.worker_principal = principal
            and open.claim_token = asked.claim_token and open.lease_expires_at > begun_at
            and open.delivery_started_at is null
            and case
                when asked.request_digest ~ '^[0-9a-f]{64}$'
                    then coalesce(open.request_digest = decode(asked.request_digest, 'hex'), true)
                else asked.request_digest is null
            end
            and (sees_every or open.tenant_id = any(tenants))
    ),

    started as (
        update synapsor.open_external_actions as open
        set
            delivery_started_at = begun_at,
            first_delivery_at = coalesce(open.first_delivery_at, begun_at),
            request_digest = coalesce(open.request_digest, sound.request_digest),
            claimed_at = null,
            claims_lost = 0,
            last_sequence = open.last_sequence + 1
        from sound
        where open.action_id = sound.action_id
        returning open.*, sound.claimed_at as told_with
    ),

    recorded as (
        insert into synapsor.external_action_events (
            action_id, sequence, attempt, tenant_id, event_type, status, actor, occurred_at, claim_token,
            claimed_at, lease_expires_at, delivery_started_at, worker_principal, worker_label
        )
        select
            started.action_id, started.last_sequence, started.attempts, started.tenant_id,
            'DeliveryStarted', 'claimed', principal, begun_at, started.claim_token,
            started.told_with, started.lease_expires_at, begun_at, started.worker_principal, started.worker_label
        from started
    )

    select coalesce(array_agg(started.action_id), '{}') into begun from started;

    for delivery in
        select asked.*
        from jsonb_to_recordset(deliveries) as asked (action_id text, claim_token bigint, request_digest text)
        where (asked.action_id = any(begun)) is not true
    loop
        perform synapsor.begin_delivery(delivery.action_id, delivery.claim_token, delivery.request_digest);
    end loop;
    for shown in
        select action.* from synapsor._shown_actions(action_ids) as action
    loop
        shown.changed := shown.action_id = any(begun);
        return next shown;
    end loop;
end;
$function$;

grant execute on function synapsor.begin_deliveries to synapsor_worker;

comment on function synapsor.begin_deliveries is
'begin_delivery for an array of {"action_id", "claim_token", "request_digest"}, at most 10000, all
or nothing: the first refusal raises. Returned in the order given.';
