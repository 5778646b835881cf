-- Records bound parameters as external actions, all in one statement, and returns them in the order given. A key that is
-- held already answers with its action when the payload is the same, and is refused when it is another.
create or replace function synapsor._admit(
    contract synapsor.action_contracts,
    session jsonb,
    bound synapsor.bound_parameters [],
    run_id text,
    step_key text,
    correlation_id text,
    causation_id text,
    scheduled_at timestamptz
)
returns setof synapsor.external_action
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    admitted_at constant timestamptz := synapsor._now();
    due_at constant timestamptz := greatest(scheduled_at, admitted_at);
    tenant constant text := session ->> 'tenant_id';
    sees_hidden constant boolean := synapsor._caller_has('synapsor_auditor');
    action_ids text[] := array(select synapsor._new_id('act_') from generate_subscripts(bound, 1));
    step_keys text[];
    orphans text[];
    ordinals integer[];
    admitted synapsor.external_action[];
    asked synapsor.bound_parameters;
    place integer;
begin
    if run_id is not null then
        step_keys := array(
            select case
                when not exists (
                    select from synapsor.action_invocations as held
                    where held.tenant_id = tenant and held.action = contract.action
                        and held.idempotency_key = parameters.idempotency_key and held.holds_key
                ) then synapsor._join_run(
                    run_id,
                    step_key || case when parameters.ordinal > 1 then '#' || parameters.ordinal else '' end,
                    contract.action,
                    action_ids[parameters.ordinal]
                )
            end
            from unnest(bound) as parameters
            order by parameters.ordinal
        );
    end if;

    with numbered as materialized (
        select parameters.*, action_ids[parameters.ordinal] as action_id, document.intent as read_intent,
            case
                when contract.approval_required and synapsor._needs_approval(contract, document.intent, session)
                    then 'proposed'
                else 'queued'
            end as status
        from unnest(bound) as parameters
        cross join lateral (select parameters.intent::jsonb as intent offset 0) as document
        order by parameters.ordinal
    ),

    invocation as (
        insert into synapsor.action_invocations (
            action_id, tenant_id, action, version, actor, actor_type, status, holds_key, key_from_template, created_at,
            scheduled_at, idempotency_key, payload_digest, digest, intent, queue, account, ordering_key, run_id,
            step_key, correlation_id, causation_id, traceparent
        )
        select
            numbered.action_id, tenant, contract.action, contract.version, session ->> 'principal',
            session ->> 'actor_type', 'running', true, numbered.key_from_template, admitted_at, _admit.scheduled_at,
            numbered.idempotency_key, numbered.payload_digest, numbered.digest, numbered.intent, contract.queue,
            numbered.account, numbered.ordering_key, _admit.run_id, step_keys[numbered.ordinal], _admit.correlation_id,
            _admit.causation_id, session ->> 'traceparent'
        from numbered
        order by numbered.ordinal
        on conflict (tenant_id, action, idempotency_key) where holds_key do nothing
        returning action_invocations.action_id
    ),

    fresh as materialized (
        select numbered.*
        from numbered inner join invocation using (action_id)
        order by numbered.ordinal
    ),

    opened as (
        insert into synapsor.open_external_actions (
            action_id, tenant_id, contract_id, last_sequence, status, position, rank, available_at, queued_at,
            expires_at, queue, ordering_key
        )
        select
            fresh.action_id, tenant, contract.contract_id, 1, fresh.status, nextval('synapsor.queue_positions'),
            due_at - make_interval(mins => contract.priority), due_at,
            case when fresh.status = 'queued' then admitted_at end,
            case fresh.status
                when 'queued' then due_at + contract.deliver_within
                else admitted_at + contract.approval_expires_after
            end,
            contract.queue, fresh.ordering_key
        from fresh
        order by fresh.ordinal
    ),

    recorded as (
        insert into synapsor.external_action_events (
            action_id, sequence, event_id, tenant_id, event_type, status, actor, occurred_at
        )
        select
            fresh.action_id, 1, synapsor._new_id('evt_'), tenant, initcap(fresh.status), fresh.status,
            session ->> 'principal', admitted_at
        from fresh
    ),

    requested as (
        insert into synapsor.approval_requests (
            action_id, tenant_id, role, approvals_required, separate_duties, expires_at, requested_at
        )
        select
            fresh.action_id, tenant, contract.approval_role, contract.approvals_required, contract.separate_duties,
            admitted_at + contract.approval_expires_after, admitted_at
        from fresh
        where fresh.status = 'proposed'
    )

    select
        array_agg(fresh.ordinal order by fresh.ordinal),
        array_agg(row(
            fresh.action_id, tenant, contract.action, contract.version, contract.provider, fresh.account,
            contract.operation, contract.queue, fresh.status,
            case
                when sees_hidden then fresh.read_intent -> 'arguments'
                else synapsor._redact(fresh.read_intent -> 'arguments', contract.redacted_fields)
            end,
            case
                when sees_hidden then fresh.read_intent -> 'hidden'
                else synapsor._redact(fresh.read_intent -> 'hidden', contract.hidden_names)
            end,
            case
                when sees_hidden or not (fresh.key_from_template and contract.key_is_sensitive)
                    then fresh.idempotency_key
                else '[redacted]'
            end,
            encode(fresh.payload_digest, 'hex'), encode(fresh.digest, 'hex'), session ->> 'principal',
            case when fresh.status = 'proposed' then contract.approvals_required else 0 end, 0,
            case when fresh.status = 'proposed' then admitted_at + contract.approval_expires_after end,
            _admit.scheduled_at, contract.priority,
            case
                when fresh.ordering_key is null or sees_hidden or not contract.ordering_key_is_sensitive
                    then fresh.ordering_key
                else '[redacted]'
            end,
            0, contract.max_attempts, due_at, null, null, null, null, null, null, null, null, null, _admit.run_id,
            step_keys[fresh.ordinal], coalesce(_admit.correlation_id, fresh.action_id), admitted_at,
            case when fresh.status = 'queued' then admitted_at end, null, true
        )::synapsor.external_action order by fresh.ordinal)
    into ordinals, admitted
    from fresh;

    if due_at <= admitted_at and exists (
        select from unnest(admitted) as proposed where proposed.status = 'queued'
    ) then
        perform synapsor._wake_workers(contract.queue);
    end if;

    if cardinality(ordinals) = cardinality(bound) then
        return query select * from unnest(admitted);
        return;
    end if;
    if run_id is not null then
        -- Somebody else's equal proposal was faster: its step is the one that counts.
        orphans := array(
            select action_ids[late.ordinal] from unnest(bound) as late
            where array_position(ordinals, late.ordinal) is null
        );
        delete from synapsor.run_steps as step where step.action_id = any(orphans);
    end if;
    foreach asked in array bound loop
        place := array_position(ordinals, asked.ordinal);
        if place is not null then
            return next admitted[place];
        else
            return next synapsor._held_action(contract, tenant, asked);
        end if;
    end loop;
end;
$function$;
