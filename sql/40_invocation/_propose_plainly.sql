-- A proposal about which there is nothing to decide: no policy, limit, approval, bound on its callers,
-- suspension, module or redaction could have a say. It decides nothing itself; null when there is
-- anything to decide, refuse or look up, which is then for the path that all proposals share
-- (_bind_proposal, _admit). Statements and expressions are few because each is made ready anew in
-- every transaction, at a higher price than that of running it.
create or replace function synapsor._propose_plainly(
    session jsonb, action text, arguments jsonb, idempotency_key text, version integer
)
returns synapsor.external_action
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
declare
    admitted_at constant timestamptz := synapsor._now();
    facts record;
    asked synapsor.bound_parameters;
begin
    select
        contract.contract_id, contract.account_id, contract.version, contract.digest, contract.queue, contract.provider,
        contract.operation, contract.priority, contract.max_attempts, contract.deliver_within,
        contract.key_is_sensitive, contract.ordering_key_is_sensitive, contract.hidden_shown,
        exists (select from synapsor.idle_queues as idle where idle.queue = contract.queue) as workers_sleep,
        _propose_plainly.session ->> 'tenant_id' as tenant, _propose_plainly.session ->> 'principal' as principal,
        contract.kind = 'external' and not contract.decides and not contract.approval_required
        and not contract.bounds_its_callers and contract.account_id is not null
        and contract.redacted_fields = '{}' and _propose_plainly.session ? 'tenant_id'
        and not exists (select from synapsor.suspensions)
        and not exists (select from synapsor.modules)
        and not exists (select from synapsor.redactions)
        and not pg_has_role(synapsor._caller_role(), 'synapsor_auditor', 'usage') as is_plain
    into facts
    from synapsor.action_contracts as contract
    where contract.action = _propose_plainly.action
        and (_propose_plainly.version is null or contract.version = _propose_plainly.version)
        and contract.retired_at is null
    order by contract.version desc
    limit 1;
    if facts.is_plain is not true then
        return null;
    end if;
    asked := synapsor._bind_one(
        facts.digest, action, facts.version, arguments, idempotency_key, session, date_part('epoch', admitted_at)
    );
    if asked.error_code is not null then
        return null;
    end if;

    insert into synapsor.action_invocations (
        action_id, tenant_id, action, version, actor, actor_type, status, holds_key, key_from_template, opened_as,
        created_at, idempotency_key, payload_digest, digest, intent, queue, account, ordering_key, traceparent
    )
    values (
        asked.action_id, facts.tenant, _propose_plainly.action, facts.version, facts.principal,
        session ->> 'actor_type', 'running', true, asked.key_from_template, 'queued', admitted_at,
        asked.idempotency_key, asked.payload_digest, asked.digest, asked.intent, facts.queue, asked.account,
        asked.ordering_key, session ->> 'traceparent'
    )
    on conflict (tenant_id, action, idempotency_key) where holds_key do nothing;
    if not found then
        return null;
    end if;
    insert into synapsor.open_external_actions (
        action_id, tenant_id, contract_id, account_id, last_sequence, status, position, rank, available_at, queued_at,
        expires_at, queue, ordering_key
    )
    values (
        asked.action_id, facts.tenant, facts.contract_id, facts.account_id, 1, 'queued',
        nextval('synapsor.queue_positions'),
        admitted_at - make_interval(mins => facts.priority), admitted_at, admitted_at,
        admitted_at + facts.deliver_within, facts.queue, asked.ordering_key
    );
    if facts.workers_sleep then
        perform synapsor._wake_workers(facts.queue);
    end if;
    return row(
        asked.action_id, facts.tenant, action, facts.version, facts.provider, asked.account, facts.operation,
        facts.queue, 'queued',
        case when asked.is_verbatim then arguments else asked.intent::jsonb -> 'arguments' end, facts.hidden_shown,
        case
            when asked.key_from_template and facts.key_is_sensitive then '[redacted]'
            else asked.idempotency_key
        end,
        encode(asked.payload_digest, 'hex'), encode(asked.digest, 'hex'), facts.principal, 0, 0, null, null,
        facts.priority, case when facts.ordering_key_is_sensitive then '[redacted]' else asked.ordering_key end,
        0, facts.max_attempts, admitted_at, null, null, null, null, null, null, null, null, null, null, null,
        asked.action_id, admitted_at, admitted_at, null, true
    )::synapsor.external_action;
end;
$function$;
