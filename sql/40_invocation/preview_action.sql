-- security definer: reads contracts, and binds with the session's hidden values.
create or replace function synapsor.preview_action(action text, parameters jsonb)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    session constant jsonb := synapsor._session();
    contract constant synapsor.action_contracts := synapsor._resolve_contract(action, null);
    bound synapsor.bound_parameters;
    intent jsonb;
begin
    perform synapsor._gate(contract, session, session ->> 'run_id');
    select parameters_bound.* into strict bound
    from synapsor._bind(contract, array[parameters], null, session) as parameters_bound;
    if bound.error_code is null then
        begin
            perform synapsor._require_enforceable(contract);
        exception
            when sqlstate 'SY009' then
                bound.error_code := sqlstate;
                bound.error_message := sqlerrm;
        end;
    end if;
    intent := bound.intent::jsonb;
    return jsonb_strip_nulls(jsonb_build_object(
        'action', contract.action,
        'version', contract.version,
        'kind', contract.kind,
        'valid', bound.error_code is null,
        'error_code', bound.error_code,
        'error_message', bound.error_message,
        'violations', coalesce(bound.violations, '[]'),
        'arguments', synapsor._redact(intent -> 'arguments', contract.redacted_fields),
        'hidden', case
            when synapsor._caller_has('synapsor_auditor') then intent -> 'hidden'
            else synapsor._redact(intent -> 'hidden', contract.hidden_names)
        end,
        'payload_digest', encode(bound.payload_digest, 'hex'),
        'idempotency_key', case
            when not contract.key_is_sensitive or synapsor._caller_has('synapsor_auditor') then bound.idempotency_key
            else '[redacted]'
        end,
        'approval', case
            when bound.error_code is null then jsonb_strip_nulls(jsonb_build_object(
                'required', synapsor._needs_approval(contract, intent, session),
                'role', contract.approval_role,
                'approvals', contract.approvals_required
            ))
        end
    ));
end;
$function$;

grant execute on function synapsor.preview_action to synapsor_caller;

comment on function synapsor.preview_action is
    'What invoke_action would make of these parameters: bound values (hidden ones redacted), every violation, keys and digests, and whether '
    'approval would be needed. Stores nothing. Errors as invoke_action''s before the row: SY001, SY005, SY007.';
