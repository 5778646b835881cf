-- security definer: nobody but the owner changes an action's state.
create or replace function synapsor.confirm_external_action(
    action_id text,
    status text,
    response jsonb default '{}',
    provider_request_id text default null,
    error_code text default null,
    error_message text default null,
    retry_after interval default null,
    retryable boolean default null,
    claim_token bigint default null
)
returns synapsor.external_action
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    open constant synapsor.open_external_actions := synapsor._lock_action(action_id);
    verdict synapsor.verdict;
begin
    verdict := synapsor._confirm(
        open, action_id, status, response, provider_request_id, error_code, error_message, retry_after, retryable,
        claim_token
    );
    perform synapsor._raise(verdict);
    return synapsor._external_action(action_id, not verdict.repeated);
end;
$function$;

grant execute on function synapsor.confirm_external_action to synapsor_worker;

comment on function synapsor.confirm_external_action is
'Records the outcome of the session''s active claim: succeeded, failed (known not done; queued
again while retries are left) or unknown. claim_token may be left out on an action''s first claim
unless the contract requires it. response: kept up to 64 KiB; retry_after: wins over the back-off,
at most 7 days; retryable false: failed at once. An equal repeat changes nothing. After a delivery
whose outcome was lost, running out of retries ends in unknown unless retryable is false, because
only the provider''s own word tells that nothing was done. Errors: SY003, SY011, SY030 not
claimed, SY031 expired, SY032 another worker''s, SY033 confirmed otherwise, SY034 stale or missing
token. Source: design.md section 5, rules 6 and 9.';
