-- security definer: nobody but the owner changes an action's state.
create or replace function synapsor.extend_claim(
    action_id text,
    claim_token bigint,
    lease interval default null
)
returns synapsor.external_action
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    open constant synapsor.open_external_actions := synapsor._active_claim(action_id, claim_token);
begin
    if lease not between interval '1 second' and interval '1 day' then
        raise exception using
            errcode = 'SY003',
            message = format('a lease of %s is not possible', lease),
            detail = 'A lease is 1 second to 1 day long.';
    end if;
    perform synapsor._record_claim(action_id);
    update synapsor.open_external_actions as stored
    set claimed_at = null,
        lease_expires_at = greatest(
            stored.lease_expires_at,
            synapsor._now() + coalesce(extend_claim.lease, (synapsor._contract_of(open)).lease)
        )
    where stored.action_id = open.action_id;
    return synapsor._external_action(action_id, true);
end;
$function$;

grant execute on function synapsor.extend_claim to synapsor_worker;

comment on function synapsor.extend_claim is
'The heartbeat of a delivery: the lease ends no earlier than now plus lease (1 second to 1 day;
null takes the contract''s). Not a transition, so no event. Errors: SY003, SY011, SY030 to SY034.';
