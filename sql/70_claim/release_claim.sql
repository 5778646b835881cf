-- security definer: nobody but the owner changes an action's state.
create or replace function synapsor.release_claim(
    action_id text,
    claim_token bigint,
    delay interval default null,
    error_code text default null,
    error_message text default null
)
returns synapsor.external_action
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform synapsor._lose_claim(
        synapsor._active_claim(action_id, claim_token), 'Released', delay, left(error_code, 255),
        left(error_message, 2000)
    );
    return synapsor._external_action(action_id, true);
end;
$function$;

grant execute on function synapsor.release_claim to synapsor_worker;

comment on function synapsor.release_claim is
'Gives a claim back, claimable again after delay. Before begin_delivery that is all; after it the
outcome is unknown: the action is queued again only where the contract is idempotent and the
provider''s key window allows, otherwise it becomes `unknown`. error_code (255 characters) and
error_message (2000) tell why, as far as the worker knows: the action and the event `Released` keep
them, and an action that becomes `unknown` has this error_code instead of lease_lost. Errors: SY011, SY030 to SY034.
Source: design.md section 5, rule 8.';
