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

-- What the views ask of whoever reads them, once per statement.
create or replace view synapsor._reader as
select
    asked.session ->> 'principal' as principal,
    asked.session -> 'roles' as roles,
    asked.session ->> 'actor_type' = 'natural_person' as is_person,
    pg_has_role(asked.caller, 'synapsor_auditor', 'usage') as audits,
    pg_has_role(asked.caller, 'synapsor_approver', 'usage') as approves,
    pg_has_role(asked.caller, 'synapsor_worker', 'usage') as works,
    array_position(asked.seen, null) is not null as sees_every_tenant,
    asked.seen as tenants
from (
    select
        synapsor._session() as session,
        synapsor._caller_role() as caller,
        wall.seen
    from synapsor._wall as wall
    -- Once, not once for every column.
    offset 0
) as asked;

comment on view synapsor._reader is 'The session and rights of the reader of a view; internal.';
