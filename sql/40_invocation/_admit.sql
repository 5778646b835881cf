-- Records bound parameters as invocations, lets the policies decide, and opens what may go on: as
-- queued, as proposed where approval is asked for, or as pending where an atomic action is performed
-- next. Returned in the order given. A key that is held already answers with its action when the
-- payload is the same, and is refused when it is another. With raises a blocking policy or a refused
-- key raises; without, the row says so. A proposal, of which the arguments as given are passed too, is
-- shown to whoever asked for it, and refused where its key is held by what will not be performed. Of
-- what is no proposal the row tells at least the action, its status and whether it is new, or the error
-- and, as the response, its violations.
create or replace function synapsor._admit(
    contract synapsor.action_contracts,
    session jsonb,
    bound synapsor.bound_parameters[],
    run_id text,
    step_key text,
    correlation_id text,
    causation_id text,
    scheduled_at timestamptz,
    raises boolean,
    reports_to text default null,
    retry jsonb default null,
    proposed_arguments jsonb[] default null
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
    is_proposal constant boolean := proposed_arguments is not null;
    sees_hidden boolean;
    redacts boolean;
    step_keys text[];
    recorded_ids text[];
    are_all_recorded boolean;
    decisions synapsor.policy_decision[];
    straight_to text := case
        when contract.approval_required and contract.approval_unless is null then 'proposed'
        when is_external then 'queued'
        else 'pending'
    end;
    -- By ordinal; null where all of them go straight on.
    statuses text[];
    -- What a workflow contract demands because of the risk of the run.
    demand synapsor.workflow_runs;
    asked synapsor.bound_parameters;
    status text;
    intent jsonb;
    arguments jsonb;
    admitted synapsor.external_action;
    reason text;
    facts text;
begin
    if run_id is not null then
        step_keys := synapsor._join_run_each(contract, tenant, bound, run_id, step_key, reports_to is null);
        select counted.* into demand
        from synapsor.workflow_runs as counted
        where counted.run_id = _admit.run_id and counted.approval_role is not null and _admit.reports_to is null;
        if found then
            straight_to := 'proposed';
        end if;
    end if;
    if not contract.decides and contract.approval_required and straight_to <> 'proposed' then
        statuses := (synapsor._decide_each(contract, session, bound, null, straight_to, raises)).statuses;
    end if;

    -- An atomic action is deduplicated only by a key somebody chose: doing the same twice may be
    -- meant.
    with recorded as (
        insert into synapsor.action_invocations (
            action_id, tenant_id, action, version, actor, actor_type, status, holds_key, key_from_template, opened_as,
            created_at, scheduled_at, idempotency_key, payload_digest, digest, intent, queue, account, ordering_key,
            run_id, step_key, correlation_id, causation_id, traceparent, parent_action_id, retry
        )
        select
            parameters.action_id, tenant, contract.action, contract.version, session ->> 'principal',
            session ->> 'actor_type', case when is_external then 'running' else 'pending' end,
            is_external or parameters.idempotency_key not like 'auto:%', parameters.key_from_template,
            case
                when not contract.decides then nullif(coalesce(statuses[parameters.ordinal], straight_to), 'pending')
            end,
            admitted_at, _admit.scheduled_at, parameters.idempotency_key, parameters.payload_digest,
            parameters.digest, parameters.intent, contract.queue, parameters.account, parameters.ordering_key,
            _admit.run_id, step_keys[parameters.ordinal], _admit.correlation_id, _admit.causation_id,
            session ->> 'traceparent', _admit.reports_to, _admit.retry
        from unnest(bound) as parameters
        on conflict (tenant_id, action, idempotency_key) where holds_key do nothing
        returning action_invocations.action_id
    )

    select coalesce(array_agg(recorded.action_id), '{}') into recorded_ids from recorded;
    are_all_recorded := cardinality(recorded_ids) = cardinality(bound);
    if contract.decides then
        select decided.* into decisions, statuses
        from synapsor._decide_each(contract, session, bound, recorded_ids, straight_to, raises) as decided;
    end if;

    if statuses && '{proposed,queued}' or statuses is null and straight_to <> 'pending' then
        insert into synapsor.open_external_actions (
            action_id, tenant_id, contract_id, account_id, last_sequence, status, position, rank, available_at,
            queued_at, expires_at, queue, ordering_key, reports_to
        )
        select
            parameters.action_id, tenant, contract.contract_id,
            coalesce(contract.account_id, synapsor._provider_account(contract.provider, parameters.account, true)), 1,
            kept.status, nextval('synapsor.queue_positions'),
            due_at - make_interval(mins => contract.priority), due_at,
            case when kept.status = 'queued' then admitted_at end,
            case kept.status
                when 'queued' then due_at + contract.deliver_within
                else admitted_at + contract.approval_expires_after
            end,
            coalesce(contract.queue, ''), parameters.ordering_key, _admit.reports_to
        from unnest(bound) as parameters
        cross join lateral (select coalesce(statuses[parameters.ordinal], straight_to) as status) as kept
        where kept.status in ('proposed', 'queued')
            and (are_all_recorded or parameters.action_id = any(recorded_ids));
        if contract.decides then
            insert into synapsor.external_action_events (
                action_id, sequence, tenant_id, event_type, status, actor, occurred_at
            )
            select
                parameters.action_id, 1, tenant, initcap(kept.status), kept.status, session ->> 'principal', admitted_at
            from unnest(bound) as parameters
            cross join lateral (select statuses[parameters.ordinal] as status) as kept
            where kept.status in ('proposed', 'queued');
        end if;
    end if;
    if coalesce('proposed' = any(statuses), straight_to = 'proposed') then
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
        where coalesce(statuses[parameters.ordinal], straight_to) = 'proposed'
            and (are_all_recorded or parameters.action_id = any(recorded_ids));
    end if;
    if is_external and recorded_ids <> '{}' and due_at <= admitted_at
        and coalesce('queued' = any(statuses), straight_to = 'queued')
    then
        perform synapsor._wake_workers(contract.queue);
    end if;

    if are_all_recorded then
        if is_proposal then
            sees_hidden := pg_has_role(synapsor._caller_role(), 'synapsor_auditor', 'usage');
            redacts := not sees_hidden and synapsor._has_redactions('action_evidence');
        end if;
        foreach asked in array bound loop
            status := coalesce(statuses[asked.ordinal], straight_to);
            if not is_proposal then
                admitted.action_id := asked.action_id;
                admitted.status := status;
                admitted.changed := true;
                return next admitted;
                continue;
            end if;
            if sees_hidden or not asked.is_verbatim then
                intent := asked.intent::jsonb;
            end if;
            arguments := case
                when asked.is_verbatim then proposed_arguments[asked.ordinal] else intent -> 'arguments'
            end;
            if not sees_hidden and contract.redacted_fields <> '{}' then
                arguments := synapsor._redact(arguments, contract.redacted_fields);
            end if;
            if redacts then
                arguments := synapsor._shown(arguments, 'action_evidence');
            end if;
            admitted := row(
                asked.action_id, tenant, contract.action, contract.version, contract.provider,
                case when sees_hidden or not contract.account_is_sensitive then asked.account else '[redacted]' end,
                contract.operation, contract.queue, status, arguments,
                case when sees_hidden then intent -> 'hidden' else contract.hidden_shown end,
                case
                    when sees_hidden or not (asked.key_from_template and contract.key_is_sensitive)
                        then asked.idempotency_key
                    else '[redacted]'
                end,
                encode(asked.payload_digest, 'hex'), encode(asked.digest, 'hex'), session ->> 'principal',
                case
                    when status = 'proposed' then greatest(
                        ((decisions[asked.ordinal]).require_approval ->> 'approvals')::integer,
                        contract.approvals_required
                    )
                    else 0
                end, 0,
                case when status = 'proposed' then admitted_at + contract.approval_expires_after end,
                _admit.scheduled_at, contract.priority,
                case
                    when asked.ordering_key is null or sees_hidden or not contract.ordering_key_is_sensitive
                        then asked.ordering_key
                    else '[redacted]'
                end,
                0, contract.max_attempts, due_at, null, null, null, null, null, null, null, null, null, _admit.run_id,
                step_keys[asked.ordinal], coalesce(_admit.correlation_id, asked.action_id), admitted_at,
                case when status = 'queued' then admitted_at end, null, true
            )::synapsor.external_action;
            return next admitted;
        end loop;
        return;
    end if;

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
            continue;
        end if;
        admitted := null;
        begin
            admitted := synapsor._held_action(contract, tenant, asked);
        exception
            when sqlstate 'SY008' then
                if raises then
                    raise;
                end if;
                get stacked diagnostics reason = message_text, facts = pg_exception_detail;
                admitted.error_code := 'SY008';
                admitted.error_message := reason;
                admitted.response := jsonb_build_array(jsonb_build_object(
                    'path', '', 'rule', 'SY008', 'message', facts
                ));
        end;
        if is_proposal and admitted.status in ('rejected', 'expired', 'cancelled', 'failed') then
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
    end loop;
end;
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
