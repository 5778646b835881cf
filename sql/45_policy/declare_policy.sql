create or replace function synapsor._policy(stored synapsor.policies)
returns synapsor.policy
language sql
stable
begin atomic
    select row(
        stored.policy, stored.kind, stored.mode, stored.definition, encode(stored.digest, 'hex'),
        stored.declared_by, stored.declared_at
    )::synapsor.policy;
end;

create or replace function synapsor.declare_policy(definition jsonb)
returns synapsor.policy
language plpgsql
-- security definer: policies are written by nobody but their owner
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    accepted constant jsonb := synapsor._require_valid_policy(definition);
    stored synapsor.policies;
begin
    insert into synapsor.policies (
        policy, kind, mode, declared, definition, digest, declared_by, declared_at
    )
    values (
        accepted ->> 'policy', accepted ->> 'kind', accepted ->> 'mode', declare_policy.definition,
        accepted, sha256(convert_to(synapsor._canonicalize(accepted), 'UTF8')),
        synapsor._session() ->> 'principal', synapsor._now()
    )
    on conflict on constraint policies_pkey do nothing
    returning policies.* into stored;
    if found then
        return synapsor._policy(stored);
    end if;

    select policies.* into strict stored
    from synapsor.policies
    where policies.policy = accepted ->> 'policy';
    -- What an older version stored may lack defaults of this one; what was typed does not.
    if definition not in (stored.declared, stored.definition) and accepted <> stored.definition then
        raise exception using
            errcode = 'SY002',
            message = format('policy %s is declared with another definition', stored.policy),
            detail = format(
                'It was declared by %s at %s.', quote_ident(stored.declared_by), stored.declared_at
            ),
            hint = 'A policy is immutable: declare the next version under an id of its own.';
    end if;
    return synapsor._policy(stored);
end
$function$;

grant execute on function synapsor.declare_policy to synapsor_admin;

comment on function synapsor.declare_policy is
'Registers a policy for contracts to name. An id is immutable: an equal definition again (as
jsonb) is a no-op, another one is SY002. Errors: SY002 with every reason, one per line.

Keys: policy (ends in .vN), kind, mode (`enforce`, or `shadow`: recorded, never deciding),
description, reason and guidance (for a warn or block that names none of its own). Kind data:
conditions, each {"when", "result": pass|warn|block, "reason", "guidance", "require_approval":
{"role", "approvals"} on warn}, and default (pass). The first condition that blocks decides, else
the first that warns, else one that passes, else the default. Kind code: evaluator, the signature
of a SECURITY DEFINER function (jsonb) returning jsonb {"result", "reason", "guidance",
"metadata", "require_approval"}, run read-only over {"tenant_id", "space_id", "action_id",
"action", "parameters", "mode", "now"}; preview_safe. Kind hybrid: conditions (none: missing),
default, and fallback {"policy": a code policy, "on_results" (warn, block), "triggers" (missing,
invalid, data_result)}.

Conditions: always; parameter (path, operator, value); comparison (left, operator, right); all,
any (conditions); not (condition); jsonpath (path: a strict predicate over {"args", "hidden",
"context"}, no wildcard). Operators: exists, equals, notEquals (or not_equals), gt, gte, lt, lte.
Paths: parameters.*, tenant_id, space_id, action_id, action, mode; digits index an array. Bounds:
5 deep, 20 conditions a group and in the top list, 100 in all, 12 segments, 500 characters. A
missing path makes a condition false; an ordered comparison of different types blocks. Source:
design.md section 6, reference/pipeline.md B.4.';
