-- The leanest schema that can do the same: one table, one INSERT per action, a claim is an UPDATE, an end a DELETE.
create schema lean;

create table lean.actions (
    id bigint generated always as identity primary key,
    state text not null default 'ready',
    payload jsonb not null
);

create index ready_actions on lean.actions (id) where state = 'ready';

grant usage on schema lean to bench_caller, bench_worker;
grant insert on lean.actions to bench_caller;
grant select, update, delete on lean.actions to bench_worker;
