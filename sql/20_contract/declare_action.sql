-- security definer: contracts are written by nobody but their owner.
create or replace function synapsor.declare_action(definition jsonb)
returns synapsor.contract
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    checked jsonb;
    reasons text[];
    accepted jsonb;
    latest synapsor.action_contracts;
    declared synapsor.action_contracts;
begin
    perform synapsor._require_object(definition, 'an action contract', 'declare_action');
    checked := synapsor._check_definition(definition);
    accepted := checked -> 'definition';
    reasons := synapsor._reasons(checked) || array(
        select concat_ws(' ', 'handler', refused.reason)
        from synapsor._check_user_function(
            definition ->> 'handler', array['jsonb', 'jsonb'], 'jsonb'
        ) as refused (reason)
        where jsonb_typeof(definition -> 'handler') = 'string' and refused.reason is not null
    );
    perform synapsor._require_no_reasons(reasons, format(
        'the definition of %s', coalesce(quote_nullable(definition ->> 'action'), 'an action')
    ));

    -- Declarations are rare and take turns, so that two equal ones cannot make two versions.
    lock table synapsor.action_contracts in share row exclusive mode;
    select contract.* into latest
    from synapsor.action_contracts as contract
    where contract.action = accepted ->> 'action'
    order by contract.version desc
    limit 1;
    if latest.declared = declare_action.definition and latest.retired_at is null then
        return synapsor._contract(latest);
    end if;

    insert into synapsor.action_contracts (
        action, version, label, kind, declared, definition, digest, declared_by, declared_at, provider, operation,
        queue, priority, lease, idempotent, key_window, max_attempts, retry_initial, retry_multiplier, retry_max,
        retry_jitter, require_claim_token, poison_after, deliver_within, reconcile_operation, reconcile_after,
        reconcile_max_attempts, approval_required, approval_role, approvals_required, separate_duties,
        approval_expires_after, approval_unless, redacted_fields, hidden_names, key_is_sensitive,
        ordering_key_is_sensitive, account_id
    )
    select
        accepted ->> 'action',
        coalesce(latest.version, 0) + 1,
        accepted ->> 'label',
        accepted ->> 'kind',
        declare_action.definition,
        accepted,
        sha256(convert_to(synapsor._canonicalize(accepted), 'UTF8')),
        synapsor._session() ->> 'principal',
        synapsor._now(),
        accepted ->> 'provider',
        accepted ->> 'operation',
        accepted ->> 'queue',
        (accepted ->> 'priority')::smallint,
        (accepted ->> 'lease')::interval,
        (accepted -> 'idempotency' ->> 'idempotent')::boolean,
        (accepted -> 'idempotency' ->> 'window')::interval,
        -- Not idempotent means one attempt, whatever `retry` says (design.md section 5, rule 9).
        case
            when (accepted -> 'idempotency' ->> 'idempotent')::boolean
                then (accepted -> 'retry' ->> 'max_attempts')::smallint
            else 1
        end,
        (accepted -> 'retry' ->> 'initial')::interval,
        (accepted -> 'retry' ->> 'multiplier')::double precision,
        (accepted -> 'retry' ->> 'max')::interval,
        accepted -> 'retry' ->> 'jitter' = 'full',
        (accepted ->> 'require_claim_token')::boolean,
        (accepted ->> 'poison_after')::smallint,
        (accepted ->> 'deliver_within')::interval,
        accepted -> 'reconcile' ->> 'operation',
        (accepted -> 'reconcile' ->> 'after')::interval,
        (accepted -> 'reconcile' ->> 'max_attempts')::smallint,
        (accepted -> 'approval' ->> 'required')::boolean,
        accepted -> 'approval' ->> 'role',
        (accepted -> 'approval' ->> 'approvals')::smallint,
        (accepted -> 'approval' ->> 'separate_duties')::boolean,
        (accepted -> 'approval' ->> 'expires_after')::interval,
        ('strict ' || regexp_replace(accepted -> 'approval' ->> 'unless', '^\s*strict\s+', ''))::jsonpath,
        array(select jsonb_array_elements_text(accepted -> 'redact')),
        array(select jsonb_object_keys(accepted -> 'hidden')),
        (checked ->> 'key_is_sensitive')::boolean,
        (checked ->> 'ordering_key_is_sensitive')::boolean,
        -- Numbered here, so that no business transaction meets another over it.
        case
            when not coalesce(accepted ->> 'account' ~ '\{', false)
                then synapsor._provider_account(accepted ->> 'provider', accepted ->> 'account')
        end
    returning * into declared;
    return synapsor._contract(declared);
end;
$function$;

grant execute on function synapsor.declare_action to synapsor_admin;

comment on function synapsor.declare_action is
'Validates an action contract and stores it as the next version of its action. A definition equal
(as jsonb) to the latest version is a no-op and returns that version. Errors: SY002 with every
reason, one per line.

Keys (design.md section 4): action, kind, description, label, args or args_schema, hidden,
provider, account, operation, queue, idempotency, approval, retry, lease, priority, ordering_key,
redact, require_claim_token, poison_after, deliver_within, reconcile, actor_types, required_roles,
require_run. An undeclared `idempotent` is false: such an action is sent once, whatever `retry`
says.

Atomic actions: handler names a SECURITY DEFINER function (context jsonb, parameters jsonb)
returns jsonb with a pinned search_path, owned by no superuser, returning {"success", "data",
"error", "events"}; state_machine binds it to the row it moves; adapter_steps become external
actions in the same transaction; emits_events lists the event types its handler may emit, at least
one when mutates_domain.

Sagas: plan names the plan that performs it, with its arguments as the plan''s parameters.
compensate_with {"action", "input"} names what undoes an action where a saga''s node names no
Compensation of its own.';
