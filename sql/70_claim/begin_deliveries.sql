-- security definer: nobody but the owner changes an action's state.
create or replace function synapsor.begin_deliveries(deliveries jsonb)
returns setof synapsor.external_action
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select begun.*
    from (
        select delivery.*
        from jsonb_to_recordset(deliveries) as delivery (action_id text, claim_token bigint, request_digest text)
        order by delivery.action_id
    ) as ordered
    cross join lateral synapsor.begin_delivery(
        ordered.action_id, ordered.claim_token, ordered.request_digest
    ) as begun;
$function$;

grant execute on function synapsor.begin_deliveries to synapsor_worker;

comment on function synapsor.begin_deliveries is
    'begin_delivery for an array of {"action_id", "claim_token", "request_digest"}, all or nothing: the first refusal raises.';
