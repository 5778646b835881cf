-- Locks unknown actions whose provider can be asked what became of them.
create or replace function synapsor._reconcilable(queue text, max_actions integer, suspended synapsor.suspended)
returns text[]
language sql
set search_path = pg_catalog, pg_temp
as $function$
    select coalesce(array_agg(askable.action_id order by askable.available_at), '{}')
    from (
        select open.action_id, open.available_at
        from synapsor.open_external_actions as open
        inner join synapsor.action_contracts as contract using (contract_id)
        where open.queue = _reconcilable.queue and open.status = 'unknown'
            and open.available_at <= synapsor._now()
            and (
                (select synapsor._sees_every_tenant())
                or open.tenant_id = any((select synapsor._visible_tenants())::text [])
            )
            and contract.reconcile_operation is not null
            and open.reconciliations < contract.reconcile_max_attempts
            and (suspended.tenants is null or not open.tenant_id = any(suspended.tenants))
            and (suspended.contracts is null or not open.contract_id = any(suspended.contracts))
            and (suspended.accounts is null or not open.account_id = any(suspended.accounts))
            and (suspended.principals is null or not exists (
                select from synapsor.action_invocations as proposal
                where proposal.action_id = open.action_id and proposal.actor = any(suspended.principals)
            ))
        order by open.available_at
        limit max_actions
        for update of open skip locked
    ) as askable;
$function$;
