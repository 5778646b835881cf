-- What row-level policies ask, in every statement: the session where one is open or housekeeping is at
-- work, otherwise the binding of the login, at a third of that price. A setting that somebody forges
-- leads to the session.
create or replace view synapsor._wall as
select
    case
        when
            current_setting('synapsor.session', true) <> ''
            or current_setting('synapsor.every_tenant', true) <> ''
            then synapsor._seen_tenants()
        else coalesce((
            select binding.seen
            from synapsor.role_bindings as binding
            where binding.login = session_user
        ), '{}')
    end as seen;

comment on view synapsor._wall is
'The tenants that the session of whoever asks sees: a list, with a null in it where every one is
seen, so that `coalesce(tenant_id = any(seen), true)` tells; internal.';
