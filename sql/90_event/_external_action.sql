-- The rows verbs return: what their caller may see of the actions, in the order asked for. Written so
-- that it becomes part of the statement that asks.
create or replace function synapsor._shown_actions(action_ids text[])
returns setof synapsor.external_action
language sql
stable
begin atomic
    select
        action.action_id,
        action.tenant_id,
        action.action,
        action.version,
        action.provider,
        action.account,
        action.operation,
        action.queue,
        action.status,
        action.arguments,
        action.hidden,
        action.idempotency_key,
        action.payload_digest,
        action.digest,
        action.principal,
        action.approvals_required,
        action.approvals_given,
        action.approval_expires_at,
        action.scheduled_at,
        action.priority,
        action.ordering_key,
        action.attempts,
        action.max_attempts,
        action.available_at,
        action.worker_principal,
        action.worker_label,
        action.claim_token,
        action.lease_expires_at,
        action.delivery_started_at,
        action.provider_request_id,
        action.response,
        action.error_code,
        action.error_message,
        action.run_id,
        action.step_key,
        action.correlation_id,
        action.created_at,
        action.queued_at,
        action.finished_at,
        action.changed
    from synapsor._actions as action
    where action.action_id = any(action_ids)
    order by array_position(action_ids, action.action_id);
end;

create or replace function synapsor._external_action(action_id text, changed boolean)
returns synapsor.external_action
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    shown synapsor.external_action;
begin
    select action.* into shown
    from synapsor._shown_actions(array[action_id]) as action;
    shown.changed := changed;
    return shown;
end;
$function$;

create or replace function synapsor._invocation(action_id text, changed boolean)
returns synapsor.invocation
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    shown synapsor.invocation;
    tombstone synapsor.action_invocations;
begin
    select invocation.* into shown
    from synapsor.synapsor_action_invocations as invocation
    where invocation.action_id = _invocation.action_id;
    if not found then
        -- Purged: what the tombstone of its key still tells.
        select stored.* into strict tombstone
        from synapsor.action_invocations as stored
        where stored.action_id = _invocation.action_id;
        shown.action_id := tombstone.action_id;
        shown.tenant_id := tombstone.tenant_id;
        shown.action := tombstone.action;
        shown.version := tombstone.version;
        shown.actor := tombstone.actor;
        shown.actor_type := tombstone.actor_type;
        select contract.kind into strict shown.kind
        from synapsor.action_contracts as contract
        where contract.action = tombstone.action and contract.version = tombstone.version;
        if shown.kind = 'external' then
            shown.delivery_status := tombstone.purged_as;
        end if;
        shown.status := case
            when tombstone.purged_as = 'succeeded' then 'completed'
            when tombstone.purged_as in ('rejected', 'expired', 'cancelled') then 'cancelled'
            else tombstone.purged_as
        end;
        shown.payload_digest := encode(tombstone.payload_digest, 'hex');
        shown.created_at := tombstone.created_at;
    end if;
    shown.changed := changed;
    return shown;
end;
$function$;

-- One that has just been recorded and that nothing is opened for: what synapsor_action_invocations
-- shows of it, without asking again what is known.
create or replace function synapsor._shown_invocation(
    stored synapsor.action_invocations, contract synapsor.action_contracts
)
returns synapsor.invocation
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    audits constant boolean := pg_has_role(synapsor._caller_role(), 'synapsor_auditor', 'usage');
    redacts constant boolean := not audits and synapsor._has_redactions('action_evidence');
    intent constant jsonb := stored.intent::jsonb;
    parameters jsonb := coalesce(intent -> 'arguments', stored.parameters);
    result jsonb := stored.result;
begin
    if not audits then
        parameters := synapsor._redact(
            parameters,
            contract.redacted_fields || case when intent is null then contract.hidden_names else '{}' end
        );
    end if;
    if redacts then
        parameters := synapsor._shown(parameters, 'action_evidence');
        result := synapsor._shown(result, 'action_evidence');
    end if;
    return row(
        stored.action_id, stored.tenant_id, stored.action, stored.version, contract.kind, stored.actor,
        stored.actor_type, stored.status, null, parameters,
        case when audits then intent -> 'hidden' else synapsor._redact(intent -> 'hidden', contract.hidden_names) end,
        case
            when audits or not (stored.key_from_template and contract.key_is_sensitive) then stored.idempotency_key
            else '[redacted]'
        end,
        encode(stored.payload_digest, 'hex'), stored.run_id, stored.step_key,
        coalesce(stored.correlation_id, stored.action_id), stored.causation_id, result, stored.error_code,
        stored.error_message, stored.violations, stored.created_at, stored.completed_at, true
    )::synapsor.invocation;
end;
$function$;

-- One that has just been queued after approval: what _actions shows of it, without asking again what is
-- known. Nobody but an auditor sees all of it.
create or replace function synapsor._shown_queued(
    stored synapsor.action_invocations,
    contract synapsor.action_contracts,
    open synapsor.open_external_actions,
    request synapsor.approval_requests,
    approvals_given integer
)
returns synapsor.external_action
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    audits constant boolean := pg_has_role(synapsor._caller_role(), 'synapsor_auditor', 'usage');
    intent constant jsonb := stored.intent::jsonb;
    arguments jsonb := intent -> 'arguments';
    hidden jsonb := intent -> 'hidden';
begin
    if not audits then
        hidden := synapsor._redact(hidden, contract.hidden_names);
        if contract.redacted_fields <> '{}' then
            arguments := synapsor._redact(arguments, contract.redacted_fields);
        end if;
        if synapsor._has_redactions('action_evidence') then
            arguments := synapsor._shown(arguments, 'action_evidence');
        end if;
    end if;
    return row(
        stored.action_id, stored.tenant_id, stored.action, stored.version, contract.provider,
        case when audits or not contract.account_is_sensitive then stored.account else '[redacted]' end,
        contract.operation, stored.queue, open.status, arguments, hidden,
        case
            when audits or not (stored.key_from_template and contract.key_is_sensitive) then stored.idempotency_key
            else '[redacted]'
        end,
        encode(stored.payload_digest, 'hex'), encode(stored.digest, 'hex'), stored.actor, request.approvals_required,
        approvals_given, request.expires_at, stored.scheduled_at, contract.priority,
        case
            when stored.ordering_key is null or audits or not contract.ordering_key_is_sensitive
                then stored.ordering_key
            else '[redacted]'
        end,
        open.attempts, contract.max_attempts, open.available_at, null, null, open.claim_token, null, null, null, null,
        null, null, stored.run_id, stored.step_key, coalesce(stored.correlation_id, stored.action_id),
        stored.created_at, open.queued_at, null, true
    )::synapsor.external_action;
end;
$function$;
