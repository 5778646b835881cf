-- What row-level policies ask, in every statement: the functions of the session where one is open or
-- housekeeping is at work, otherwise the binding of the login, at a third of their price. A setting
-- that somebody forges leads to the functions.
create or replace view synapsor._wall as
select
    case when setting.is_in_use then synapsor._visible_tenants() else binding.tenants end as tenants,
    case
        when setting.is_in_use then synapsor._sees_every_tenant() else binding.context -> 'tenants' = '"*"'
    end as sees_every_tenant
from (
    select
        coalesce(current_setting('synapsor.session', true), '') <> ''
        or coalesce(current_setting('synapsor.every_tenant', true), '') <> '' as is_in_use
) as setting
left join synapsor.role_bindings as binding on binding.login = session_user;

comment on view synapsor._wall is
'The tenants the session of whoever asks sees by name, and whether it sees every one; internal.';
