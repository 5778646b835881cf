-- security definer: reads contracts, and binds with the session's hidden values.
create or replace function synapsor.preview_action(action text, parameters jsonb)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return synapsor._preview_action(synapsor._resolve_contract(action, null), synapsor._session(), parameters);
end;
$function$;

grant execute on function synapsor.preview_action to synapsor_caller;

comment on function synapsor.preview_action is
'What invoke_action would make of these parameters: bound values (hidden ones redacted), every
violation, keys and digests, what the policies say (mode preview), and whether approval would be
needed. Stores nothing. Errors as invoke_action''s before the row: SY001, SY005, SY007.';

create or replace function synapsor._preview_action(
    contract synapsor.action_contracts, session jsonb, parameters jsonb, is_plan boolean default false
)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    bound synapsor.bound_parameters;
    intent jsonb;
    decision synapsor.policy_decision;
    demanded text;
begin
    perform synapsor._gate(contract, session, session ->> 'run_id', is_plan);
    bound := synapsor._bind_one(
        contract.digest, contract.action, contract.version, parameters, null, session,
        date_part('epoch', synapsor._now())
    );
    intent := bound.intent::jsonb;
    select counted.approval_role into demanded
    from synapsor.workflow_runs as counted
    where counted.run_id = session ->> 'run_id' and not is_plan;
    if bound.error_code is null then
        decision := synapsor._evaluate_policies(contract, null, session ->> 'tenant_id', intent, 'preview');
        if decision.result = 'block' then
            bound.error_code := 'SY009';
            bound.error_message := format('%s is blocked by policy %s', contract.action, decision.policy);
        end if;
    end if;
    return jsonb_strip_nulls(jsonb_build_object(
        'action', contract.action,
        'version', contract.version,
        'kind', contract.kind,
        'valid', bound.error_code is null,
        'error_code', bound.error_code,
        'error_message', bound.error_message,
        'violations', coalesce(bound.violations, '[]'),
        'arguments', case
            when synapsor._has_redactions('action_evidence') then synapsor._shown(
                synapsor._redact(intent -> 'arguments', contract.redacted_fields), 'action_evidence'
            )
            else synapsor._redact(intent -> 'arguments', contract.redacted_fields)
        end,
        'hidden', case
            when synapsor._caller_has('synapsor_auditor') then intent -> 'hidden'
            else synapsor._redact(intent -> 'hidden', contract.hidden_names)
        end,
        'payload_digest', encode(bound.payload_digest, 'hex'),
        'idempotency_key', case
            when not contract.key_is_sensitive or synapsor._caller_has('synapsor_auditor') then bound.idempotency_key
            else '[redacted]'
        end,
        'policy', case
            when decision.result is not null then jsonb_strip_nulls(to_jsonb(decision))
        end,
        'approval', case
            when bound.error_code is null then jsonb_strip_nulls(jsonb_build_object(
                'required', decision.require_approval is not null or demanded is not null
                    or synapsor._needs_approval(contract, intent, session),
                'role', coalesce(decision.require_approval ->> 'role', contract.approval_role, demanded),
                'approvals', greatest(
                    (decision.require_approval ->> 'approvals')::integer, contract.approvals_required
                )
            ))
        end
    ));
end;
$function$;
