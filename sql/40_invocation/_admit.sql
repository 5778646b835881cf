-- Records bound parameters as invocations, lets the policies decide, and opens what may go on: as
-- queued, as proposed where approval is asked for, or as pending where an atomic action is performed
-- next. Returned in the order given. A key that is held already answers with its action when the
-- payload is the same, and is refused when it is another. With raises_when_blocked a blocking policy
-- raises; without, the row says so. With refuses_dead so does a key held by what will not be
-- performed.
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
    retry jsonb default null,
    refuses_dead boolean default false
)
returns setof synapsor.external_action
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    admitted_at constant timestamptz := synapsor._now();
    due_at constant timestamptz := greatest(scheduled_at, admitted_at);
    tenant constant text := session ->> 'tenant_id';
    is_external constant boolean := contract.kind = 'external';
    straight_to constant text := case when is_external then 'queued' else 'pending' end;
    sees_hidden constant boolean := pg_has_role(synapsor._caller_role(), 'synapsor_auditor', 'usage');
    step_keys text[];
    recorded_ids text[];
    recorded_count integer;
    decisions synapsor.policy_decision[];
    -- By ordinal; null where all of them go straight on.
    statuses text[];
    -- What a workflow contract demands because of the risk of the run.
    demand synapsor.workflow_runs;
    asked synapsor.bound_parameters;
    admitted synapsor.external_action;
begin
    if run_id is not null then
        step_keys := synapsor._join_run_each(contract, tenant, bound, run_id, step_key, reports_to is null);
        select counted.* into demand
        from synapsor.workflow_runs as counted
        where counted.run_id = _admit.run_id and counted.approval_role is not null and _admit.reports_to is null;
    end if;
    if contract.decides then
        recorded_ids := synapsor._record_undecided(
            contract, session, bound, run_id, step_keys, correlation_id, causation_id, scheduled_at, reports_to,
            retry, admitted_at
        );
        decisions := synapsor._decide_each(
            contract, session, bound, array(select parameters.action_id from unnest(bound) as parameters),
            array(
                select parameters.ordinal from unnest(bound) as parameters
                where parameters.action_id = any(recorded_ids)
            ),
            raises_when_blocked
        );
    end if;
    if contract.decides or contract.approval_required or demand.approval_role is not null then
        statuses := synapsor._statuses(
            contract, session, bound, decisions, recorded_ids,
            case when demand.approval_role is not null then 'proposed' else straight_to end
        );
    end if;

    -- An atomic action is deduplicated only by a key somebody chose: doing the same twice may be
    -- meant.
    with fresh as materialized (
        select parameters.*, coalesce(statuses[parameters.ordinal], straight_to) as status
        from unnest(bound) as parameters
    ),

    recorded as (
        insert into synapsor.action_invocations (
            action_id, tenant_id, action, version, actor, actor_type, status, holds_key, key_from_template, opened_as,
            created_at, scheduled_at, idempotency_key, payload_digest, digest, intent, queue, account, ordering_key,
            run_id, step_key, correlation_id, causation_id, traceparent, parent_action_id, retry
        )
        select
            fresh.action_id, tenant, contract.action, contract.version, session ->> 'principal',
            session ->> 'actor_type', case when is_external then 'running' else 'pending' end,
            is_external or fresh.idempotency_key not like 'auto:%', fresh.key_from_template,
            nullif(fresh.status, 'pending'), admitted_at, _admit.scheduled_at, fresh.idempotency_key,
            fresh.payload_digest, fresh.digest, fresh.intent, contract.queue, fresh.account, fresh.ordering_key,
            _admit.run_id, step_keys[fresh.ordinal], _admit.correlation_id, _admit.causation_id,
            session ->> 'traceparent', _admit.reports_to, _admit.retry
        from fresh
        where not contract.decides
        on conflict (tenant_id, action, idempotency_key) where holds_key do nothing
        returning action_invocations.action_id
    ),

    opened as (
        insert into synapsor.open_external_actions (
            action_id, tenant_id, contract_id, account_id, last_sequence, status, position, rank, available_at,
            queued_at, expires_at, queue, ordering_key, reports_to
        )
        select
            fresh.action_id, tenant, contract.contract_id,
            coalesce(contract.account_id, synapsor._provider_account(contract.provider, fresh.account, true)), 1,
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
            and (contract.decides or fresh.action_id in (select recorded.action_id from recorded))
    )

    select count(*) into recorded_count from recorded;
    if contract.decides then
        recorded_count := cardinality(recorded_ids);
        insert into synapsor.external_action_events (
            action_id, sequence, tenant_id, event_type, status, actor, occurred_at
        )
        select parameters.action_id, 1, tenant, initcap(kept.status), kept.status, session ->> 'principal', admitted_at
        from unnest(bound) as parameters
        cross join lateral (select statuses[parameters.ordinal] as status) as kept
        where kept.status in ('proposed', 'queued');
    end if;
    if 'proposed' = any(statuses) then
        insert into synapsor.approval_requests (
            action_id, tenant_id, role, approvals_required, separate_duties, reason, expires_at, requested_at, session,
            risk, risk_role
        )
        select
            parameters.action_id, tenant,
            coalesce(decision.require_approval ->> 'role', contract.approval_role, demand.approval_role),
            greatest((decision.require_approval ->> 'approvals')::smallint, contract.approvals_required),
            contract.separate_duties, decision.reason, admitted_at + contract.approval_expires_after, admitted_at,
            case when not is_external then _admit.session end, demand.risk, demand.approval_role
        from unnest(bound) as parameters
        left join lateral (select (decisions[parameters.ordinal]).*) as decision on true
        where statuses[parameters.ordinal] = 'proposed' and exists (
            select from synapsor.open_external_actions as open where open.action_id = parameters.action_id
        );
    end if;
    if is_external and recorded_count > 0 and due_at <= admitted_at
        and coalesce('queued' = any(statuses), true)
    then
        perform synapsor._wake_workers(contract.queue);
    end if;

    if recorded_count = cardinality(bound) then
        return query
        select
            parameters.action_id, tenant, contract.action, contract.version, contract.provider,
            case when sees_hidden or not contract.account_is_sensitive then parameters.account else '[redacted]' end,
            contract.operation, contract.queue, kept.status,
            case
                when sees_hidden then document.intent -> 'arguments'
                when exists (
                    select from synapsor.redactions as redaction where redaction.data_class = 'action_evidence'
                )
                    then synapsor._shown(
                        synapsor._redact(document.intent -> 'arguments', contract.redacted_fields), 'action_evidence'
                    )
                when contract.redacted_fields = '{}' then document.intent -> 'arguments'
                else synapsor._redact(document.intent -> 'arguments', contract.redacted_fields)
            end,
            case when sees_hidden then document.intent -> 'hidden' else contract.hidden_shown end,
            case
                when sees_hidden or not (parameters.key_from_template and contract.key_is_sensitive)
                    then parameters.idempotency_key
                else '[redacted]'
            end,
            encode(parameters.payload_digest, 'hex'), encode(parameters.digest, 'hex'), session ->> 'principal',
            case
                when kept.status = 'proposed' then greatest(
                    ((decisions[parameters.ordinal]).require_approval ->> 'approvals')::integer,
                    contract.approvals_required
                )
                else 0
            end, 0,
            case when kept.status = 'proposed' then admitted_at + contract.approval_expires_after end,
            _admit.scheduled_at, contract.priority::integer,
            case
                when parameters.ordering_key is null or sees_hidden or not contract.ordering_key_is_sensitive
                    then parameters.ordering_key
                else '[redacted]'
            end,
            0, contract.max_attempts::integer, due_at, null::text, null::text, null::bigint, null::timestamptz,
            null::timestamptz, null::text, null::jsonb, null::text, null::text, _admit.run_id,
            step_keys[parameters.ordinal], coalesce(_admit.correlation_id, parameters.action_id), admitted_at,
            case when kept.status = 'queued' then admitted_at end, null::timestamptz, true
        from unnest(bound) as parameters
        cross join lateral (select coalesce(statuses[parameters.ordinal], straight_to) as status) as kept
        cross join lateral (select parameters.intent::jsonb as intent offset 0) as document;
        return;
    end if;

    recorded_ids := array(
        select invocation.action_id
        from synapsor.action_invocations as invocation
        where invocation.action_id = any(array(select parameters.action_id from unnest(bound) as parameters))
    );
    if run_id is not null then
        -- Somebody else's equal proposal was faster: its step is the one that counts.
        perform synapsor._leave_run(run_id, array(
            select parameters.action_id from unnest(bound) as parameters
            where not parameters.action_id = any(recorded_ids)
        ));
    end if;
    foreach asked in array bound loop
        if asked.action_id = any(recorded_ids) then
            return next synapsor._external_action(asked.action_id, true);
        else
            admitted := synapsor._held_action(contract, tenant, asked);
            if refuses_dead and admitted.status in ('rejected', 'expired', 'cancelled', 'failed') then
                raise exception using
                    errcode = 'SY014',
                    message = format(
                        'the idempotency key of %s is held by action %s, which is %s',
                        admitted.action, admitted.action_id, admitted.status
                    ),
                    detail = 'A business change must not commit on an intent that will not be performed.',
                    hint = 'Give the new intent an idempotency key of its own, '
                        'or let an operator retry the failed action.';
            end if;
            return next admitted;
        end if;
    end loop;
end;
$function$;

-- The rows that decisions and their evidence hang on; returns the identifiers of those recorded.
create or replace function synapsor._record_undecided(
    contract synapsor.action_contracts,
    session jsonb,
    bound synapsor.bound_parameters[],
    run_id text,
    step_keys text[],
    correlation_id text,
    causation_id text,
    scheduled_at timestamptz,
    reports_to text,
    retry jsonb,
    admitted_at timestamptz
)
returns text[]
language sql
set search_path = pg_catalog, pg_temp
as $function$
    with recorded as (
        insert into synapsor.action_invocations (
            action_id, tenant_id, action, version, actor, actor_type, status, holds_key, key_from_template,
            created_at, scheduled_at, idempotency_key, payload_digest, digest, intent, queue, account, ordering_key,
            run_id, step_key, correlation_id, causation_id, traceparent, parent_action_id, retry
        )
        select
            parameters.action_id, session ->> 'tenant_id', contract.action, contract.version,
            session ->> 'principal', session ->> 'actor_type',
            case when contract.kind = 'external' then 'running' else 'pending' end,
            contract.kind = 'external' or parameters.idempotency_key not like 'auto:%', parameters.key_from_template,
            admitted_at, _record_undecided.scheduled_at, parameters.idempotency_key, parameters.payload_digest,
            parameters.digest, parameters.intent, contract.queue, parameters.account, parameters.ordering_key,
            _record_undecided.run_id, step_keys[parameters.ordinal], _record_undecided.correlation_id,
            _record_undecided.causation_id, session ->> 'traceparent', reports_to, _record_undecided.retry
        from unnest(bound) as parameters
        on conflict (tenant_id, action, idempotency_key) where holds_key do nothing
        returning action_invocations.action_id
    )

    select coalesce(array_agg(recorded.action_id), '{}') from recorded;
$function$;

create or replace function synapsor._join_run_each(
    contract synapsor.action_contracts,
    tenant text,
    bound synapsor.bound_parameters[],
    run_id text,
    step_key text,
    is_asked boolean
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
                parameters.action_id,
                kind => synapsor._step_kind(contract.kind),
                is_asked => is_asked
            )
        end
        from unnest(bound) as parameters
        order by parameters.ordinal
    );
$function$;
