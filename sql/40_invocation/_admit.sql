-- Records bound parameters as invocations, all in one statement, lets the policies decide, and
-- opens what may go on: as queued, as proposed where approval is asked for, or as pending where an
-- atomic action is performed next. Returned in the order given. A key that is held already answers
-- with its action when the payload is the same, and is refused when it is another. With
-- raises_when_blocked a blocking policy raises; without, the row says so.
create or replace function synapsor._admit(
    contract synapsor.action_contracts,
    session jsonb,
    bound synapsor.bound_parameters[],
    run_id text,
    step_key text,
    correlation_id text,
    causation_id text,
    scheduled_at timestamptz,
    raises_when_blocked boolean,
    reports_to text default null,
    retry jsonb default null
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
    redacts constant boolean := synapsor._has_redactions('action_evidence');
    is_external constant boolean := contract.kind = 'external';
    action_ids text[] := array(select synapsor._new_id('act_') from generate_subscripts(bound, 1));
    step_keys text[];
    recorded_count integer;
    recorded_ordinals integer[];
    decisions synapsor.policy_decision[];
    ordinals integer[];
    admitted synapsor.external_action[];
    asked synapsor.bound_parameters;
    place integer;
    any_queued boolean;
    any_proposed boolean;
    -- One number where the contract names the account itself.
    one_account constant integer := case
        when contract.provider is null or not contract.definition ->> 'account' ~ '\{'
            then synapsor._provider_account(contract.provider, contract.definition ->> 'account')
    end;
begin
    if run_id is not null then
        step_keys := synapsor._join_run_each(contract, tenant, bound, action_ids, run_id, step_key);
    end if;

    -- An atomic action is deduplicated only by a key somebody chose: doing the same twice may be
    -- meant.
    insert into synapsor.action_invocations (
        action_id, tenant_id, action, version, actor, actor_type, status, holds_key, key_from_template, created_at,
        scheduled_at, idempotency_key, payload_digest, digest, intent, queue, account, ordering_key, run_id,
        step_key, correlation_id, causation_id, traceparent, parent_action_id, retry
    )
    select
        action_ids[parameters.ordinal], tenant, contract.action, contract.version, session ->> 'principal',
        session ->> 'actor_type', case when is_external then 'running' else 'pending' end,
        is_external or parameters.idempotency_key not like 'auto:%', parameters.key_from_template, admitted_at,
        _admit.scheduled_at, parameters.idempotency_key, parameters.payload_digest, parameters.digest,
        parameters.intent, contract.queue, parameters.account, parameters.ordering_key, _admit.run_id,
        step_keys[parameters.ordinal], _admit.correlation_id, _admit.causation_id, session ->> 'traceparent',
        _admit.reports_to, _admit.retry
    from unnest(bound) as parameters
    order by parameters.ordinal
    on conflict (tenant_id, action, idempotency_key) where holds_key do nothing;
    get diagnostics recorded_count = row_count;
    if recorded_count = cardinality(bound) then
        recorded_ordinals := array(select generate_subscripts(bound, 1));
    else
        recorded_ordinals := array(
            select parameters.ordinal
            from unnest(bound) as parameters
            inner join synapsor.action_invocations as recorded
                on recorded.action_id = action_ids[parameters.ordinal]
            order by parameters.ordinal
        );
    end if;

    if jsonb_array_length(contract.definition -> 'policies') > 0
        or jsonb_array_length(contract.definition -> 'limits') > 0
    then
        decisions := synapsor._decide_each(
            contract, session, bound, action_ids, recorded_ordinals, raises_when_blocked
        );
    end if;

    with fresh as materialized (
        select parameters.*, action_ids[parameters.ordinal] as action_id, document.intent as read_intent,
            case
                when decision.result = 'block' then 'blocked_by_policy'
                when decision.result = 'error' then 'failed'
                when decision.require_approval is not null
                    or contract.approval_required and synapsor._needs_approval(contract, document.intent, session)
                    then 'proposed'
                when is_external then 'queued'
                else 'pending'
            end as status,
            greatest(
                (decision.require_approval ->> 'approvals')::smallint, contract.approvals_required
            ) as approvals_required
        from unnest(bound) as parameters
        cross join lateral (select parameters.intent::jsonb as intent offset 0) as document
        left join lateral (select (decisions[parameters.ordinal]).*) as decision on true
        where parameters.ordinal = any(recorded_ordinals)
        order by parameters.ordinal
    ),

    opened as (
        insert into synapsor.open_external_actions (
            action_id, tenant_id, contract_id, account_id, last_sequence, status, position, rank, available_at,
            queued_at, expires_at, queue, ordering_key, reports_to
        )
        select
            fresh.action_id, tenant, contract.contract_id,
            coalesce(one_account, synapsor._provider_account(contract.provider, fresh.account, true)), 1,
            fresh.status, nextval('synapsor.queue_positions'),
            due_at - make_interval(mins => contract.priority), due_at,
            case when fresh.status = 'queued' then admitted_at end,
            case fresh.status
                when 'queued' then due_at + contract.deliver_within
                else admitted_at + contract.approval_expires_after
            end,
            coalesce(contract.queue, ''), fresh.ordering_key, _admit.reports_to
        from fresh
        where fresh.status in ('proposed', 'queued')
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
        where fresh.status in ('proposed', 'queued')
    )

    select
        array_agg(fresh.ordinal order by fresh.ordinal),
        array_agg(row(
            fresh.action_id, tenant, contract.action, contract.version, contract.provider,
            case
                when sees_hidden or not contract.definition ->> 'account' ~ '\{' then fresh.account
                else '[redacted]'
            end,
            contract.operation, contract.queue, fresh.status,
            case
                when sees_hidden then fresh.read_intent -> 'arguments'
                when redacts then synapsor._shown(
                    synapsor._redact(fresh.read_intent -> 'arguments', contract.redacted_fields), 'action_evidence'
                )
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
            case when fresh.status = 'proposed' then fresh.approvals_required else 0 end, 0,
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
        )::synapsor.external_action order by fresh.ordinal),
        bool_or(fresh.status = 'queued'), bool_or(fresh.status = 'proposed')
    into ordinals, admitted, any_queued, any_proposed
    from fresh;

    if any_proposed then
        insert into synapsor.approval_requests (
            action_id, tenant_id, role, approvals_required, separate_duties, reason, expires_at, requested_at, session
        )
        select
            proposed.action_id, tenant, coalesce(decision.require_approval ->> 'role', contract.approval_role),
            proposed.approvals_required, contract.separate_duties, decision.reason, proposed.approval_expires_at,
            admitted_at, case when not is_external then _admit.session end
        from unnest(admitted) with ordinality as proposed
        left join lateral (select (decisions[ordinals[proposed.ordinality]]).*) as decision on true
        where proposed.status = 'proposed';
    end if;
    if due_at <= admitted_at and any_queued then
        perform synapsor._wake_workers(contract.queue);
    end if;

    if cardinality(ordinals) = cardinality(bound) then
        return query select * from unnest(admitted);
        return;
    end if;
    if run_id is not null then
        -- Somebody else's equal proposal was faster: its step is the one that counts.
        delete from synapsor.run_steps as step
        where step.action_id = any(action_ids)
            and not array_position(action_ids, step.action_id) = any(coalesce(ordinals, '{}'));
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

create or replace function synapsor._join_run_each(
    contract synapsor.action_contracts,
    tenant text,
    bound synapsor.bound_parameters[],
    action_ids text[],
    run_id text,
    step_key text
)
returns text[]
language sql
set search_path = pg_catalog, pg_temp
as $function$
    select array(
        select case
            when not exists (
                select from synapsor.action_invocations as held
                where held.tenant_id = tenant and held.action = contract.action
                    and held.idempotency_key = parameters.idempotency_key and held.holds_key
            ) then synapsor._join_run(
                run_id,
                step_key || case when parameters.ordinal > 1 then '#' || parameters.ordinal else '' end,
                contract.action,
                action_ids[parameters.ordinal],
                kind => case contract.kind when 'external' then 'external_action' else contract.kind end
            )
        end
        from unnest(bound) as parameters
        order by parameters.ordinal
    );
$function$;
