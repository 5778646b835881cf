create or replace function synapsor._suspended_on(queue text)
returns synapsor.suspended
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    suspended synapsor.suspended;
    actions text[];
    providers text[];
begin
    select
        coalesce(bool_or(stop.kind = 'all' or (stop.kind = 'queue' and stop.name = _suspended_on.queue)), false),
        array_agg(stop.name) filter (where stop.kind = 'tenant'),
        array_agg(stop.name) filter (where stop.kind = 'principal'),
        array_agg(stop.name) filter (where stop.kind = 'action'),
        array_agg(stop.name) filter (where stop.kind = 'provider')
    into suspended.everything, suspended.tenants, suspended.principals, actions, providers
    from synapsor.suspensions as stop;
    if actions is not null then
        suspended.contracts := array(
            select contract.contract_id
            from synapsor.action_contracts as contract
            where contract.action = any(actions)
        );
    end if;
    if providers is not null then
        suspended.accounts := array(
            select known.account_id
            from synapsor.provider_accounts as known
            where known.provider = any(providers)
        );
    end if;
    return suspended;
end;
$function$;
