-- A function, not a setting: whoever may type SQL could forge a lease's end with a setting. Tests
-- replace it inside a transaction that is rolled back.
create or replace function synapsor._now() returns timestamptz
language sql
volatile
parallel safe
begin atomic
    select pg_catalog.clock_timestamp();
end;

comment on function synapsor._now() is
'The time by which everything is judged: the clock of the database, at this very moment.';

grant execute on function synapsor._now() to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor, synapsor_admin,
synapsor_gateway;
