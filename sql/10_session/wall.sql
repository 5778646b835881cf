-- What row-level policies ask, in every statement: the functions of the session where one is open or
-- housekeeping is at work, otherwise the binding of the login, at a third of their price. A setting
-- that somebody forges leads to the functions.
create or replace view synapsor._wall as
select
    case
        when setting.is_in_use then synapsor._visible_tenants()
        else (
            select binding.tenants
            from synapsor.role_bindings as binding
            where binding.login = session_user
        )
    end as tenants,
    case
        when setting.is_in_use then synapsor._sees_every_tenant()
        else (
            select binding.context -> 'tenants' = '"*"'
            from synapsor.role_bindings as binding
            where binding.login = session_user
        )
    end as sees_every_tenant,
    -- One look for both: null only where every tenant is seen.
    case
        when setting.is_in_use
            then case
                when not synapsor._sees_every_tenant() then coalesce(synapsor._visible_tenants(), '{}')
            end
        when coalesce((
            select binding.context -> 'tenants' = '"*"'
            from synapsor.role_bindings as binding
            where binding.login = session_user
        ), false) then null
        else coalesce((
            select binding.tenants
            from synapsor.role_bindings as binding
            where binding.login = session_user
        ), '{}')
    end as seen
from (
    select
        coalesce(current_setting('synapsor.session', true), '') <> ''
        or coalesce(current_setting('synapsor.every_tenant', true), '') <> '' as is_in_use
) as setting;

comment on view synapsor._wall is
'The tenants the session of whoever asks sees by name, whether it sees every one, and both in one:
the tenants seen, null for every one; internal.';
