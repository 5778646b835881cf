-- security definer: nobody but the owner changes an action's state.
create or replace function synapsor.begin_delivery(
    action_id text,
    claim_token bigint,
    request_digest text default null
)
returns synapsor.external_action
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    open synapsor.open_external_actions := synapsor._active_claim(action_id, claim_token);
    begun_at constant timestamptz := synapsor._now();
    rendered bytea;
    changed boolean := false;
begin
    if request_digest !~ '^[0-9a-f]{64}$' then
        raise exception using
            errcode = 'SY003',
            message = 'a request digest is the SHA-256 of the rendered request in 64 lower-case hexadecimal digits';
    end if;
    if open.purpose <> 'deliver' then
        raise exception using
            errcode = 'SY014',
            message = format('action %s is claimed to be reconciled, not delivered', open.action_id),
            hint = 'Ask the provider, then settle it with synapsor.settle_external_action.';
    end if;
    rendered := decode(request_digest, 'hex');
    if open.request_digest <> rendered then
        raise exception using
            errcode = 'SY024',
            message = format('the request of action %s is not the one of the first attempt', open.action_id),
            detail = format('First attempt %s, now %s.', encode(open.request_digest, 'hex'), request_digest),
            hint = 'Render the request from the intent alone, with nothing that changes between attempts.';
    end if;
    if rendered is not null and open.request_digest is null then
        open.request_digest := rendered;
        changed := true;
    end if;
    if open.delivery_started_at is null then
        open.delivery_started_at := begun_at;
        open.first_delivery_at := coalesce(open.first_delivery_at, begun_at);
        open.claims_lost := 0;
        perform synapsor._move(open, 'DeliveryStarted');
        return synapsor._external_action(action_id, true);
    end if;
    if changed then
        update synapsor.open_external_actions as stored
        set request_digest = rendered
        where stored.action_id = open.action_id;
    end if;
    return synapsor._external_action(action_id, changed);
end;
$function$;

grant execute on function synapsor.begin_delivery to synapsor_worker;

comment on function synapsor.begin_delivery is
'Says that the first byte is about to be sent: from now on the action is never repeated blindly.
request_digest: SHA-256 of the rendered request (64 lower-case hex digits), kept; a retry that
renders another one is refused. Beginning again changes nothing. Errors: SY003, SY011, SY014
claimed to reconcile, SY024 another request, SY030 to SY034 as for confirming. Source: design.md
section 5, rule 8.';
