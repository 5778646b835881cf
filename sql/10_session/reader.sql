-- What the views ask of whoever reads them, once per statement.
create or replace view synapsor._reader as
select
    session.value ->> 'principal' as principal,
    session.value -> 'roles' as roles,
    session.value ->> 'actor_type' = 'natural_person' as is_person,
    synapsor._caller_has('synapsor_auditor') as audits,
    synapsor._caller_has('synapsor_approver') as approves,
    synapsor._caller_has('synapsor_worker') as works,
    synapsor._sees_every_tenant() as sees_every_tenant,
    synapsor._visible_tenants() as tenants
from (select synapsor._session() as value) as session;

comment on view synapsor._reader is 'The session and rights of the reader of a view; internal.';
