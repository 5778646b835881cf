-- security definer: nobody but the owner writes suspensions.
create or replace function synapsor.suspend(kind text, name text, reason text)
returns synapsor.suspension
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    suspended synapsor.suspension;
    is_known boolean;
begin
    if kind is null or not kind = any(array['queue', 'provider', 'action', 'tenant', 'principal', 'all']) then
        raise exception using
            errcode = 'SY003',
            message = format('%s cannot be suspended', quote_nullable(kind)),
            hint = 'Suspend a queue, provider, action, tenant, principal, or all.';
    end if;
    if coalesce(reason, '') = '' or (coalesce(name, '') = '' and kind <> 'all') then
        raise exception using
            errcode = 'SY003',
            message = 'a suspension has a name and a reason',
            hint = 'Whoever meets the suspension is shown its reason.';
    end if;
    if length(name) > 255 then
        raise exception using
            errcode = 'SY003',
            message = 'the name of what is suspended is longer than 255 characters';
    end if;
    if kind = 'tenant' and not synapsor._caller_has('synapsor_admin') and not synapsor._sees_every_tenant()
        and not name = any(synapsor._visible_tenants())
    then
        raise exception using
            errcode = 'SY007',
            message = format('tenant %s is not this session''s to suspend', quote_ident(name)),
            detail = 'An approver suspends the tenants of his session.',
            hint = 'Ask an administrator.';
    end if;
    -- Whoever stops an emergency must not mistype in silence; of a contract to come it is still right.
    is_known := case kind
        when 'queue' then exists (
            select from synapsor.action_contracts as contract where contract.queue = suspend.name
        )
        when 'provider' then exists (
            select from synapsor.action_contracts as contract where contract.provider = suspend.name
        )
        when 'action' then exists (
            select from synapsor.action_contracts as contract where contract.action = suspend.name
        )
        else true
    end;
    if not is_known then
        raise notice using
            message = format('no contract uses %s %s', kind, quote_ident(name)),
            detail = 'The suspension is recorded and stops nothing yet.',
            hint = 'synapsor.synapsor_action_contracts lists what contracts use.';
    end if;
    insert into synapsor.suspensions as stop (kind, name, reason, suspended_by, suspended_at)
    values (
        suspend.kind,
        case when suspend.kind = 'all' then '' else suspend.name end,
        suspend.reason,
        synapsor._session() ->> 'principal',
        synapsor._now()
    )
    on conflict on constraint suspensions_pkey
    do update set reason = excluded.reason, suspended_by = excluded.suspended_by, suspended_at = excluded.suspended_at
    returning stop.kind, stop.name, stop.reason, stop.suspended_by, stop.suspended_at into suspended;
    return suspended;
end;
$function$;

grant execute on function synapsor.suspend to synapsor_approver, synapsor_admin;

comment on function synapsor.suspend is
'The kill switch. kind: queue, provider, action, tenant, principal or all (whose name does not
matter). Nothing suspended is claimed, a suspended tenant''s or principal''s proposals are refused
with SY007, claims in flight may still be confirmed. Suspending again replaces the reason. A notice tells when no
contract uses that queue, provider or action. Errors:
SY003. Source: design.md section 4.';
