-- Strict on purpose: only exactly true spares the approval; an error, null or a missing value asks
-- for it.
create or replace function synapsor._needs_approval(
    contract synapsor.action_contracts, intent jsonb, session jsonb
)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
begin
    return contract.approval_required and not coalesce(
        jsonb_path_query_first(
            jsonb_build_object('args', intent -> 'arguments', 'hidden', intent -> 'hidden', 'context', session),
            contract.approval_unless, '{}', true
        ) = 'true',
        false
    );
end;
$function$;
