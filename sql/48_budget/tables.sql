create table synapsor.budgets (
    tenant_id text collate "C" not null,
    budget text collate "C" not null,
    period_start timestamptz not null,
    consumed numeric not null,
    primary key (tenant_id, budget, period_start)
);

alter table synapsor.budgets enable row level security;
alter table synapsor.budgets force row level security;
create policy tenants_see_their_own on synapsor.budgets using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.budgets is
'What the limits of contracts have let through in a calendar hour, day or month (UTC). Whoever
consumes locks the row until commit, so that two racing proposals never exceed it together.';
comment on column synapsor.budgets.budget is
'Canonical JSON of the action, what is summed, the period, and the values the limit is counted by.';

select pg_catalog.pg_extension_config_dump('synapsor.budgets', '');

create table synapsor.budget_shares (
    action_id text collate "C" not null,
    tenant_id text collate "C" not null,
    budget text collate "C" not null,
    period_start timestamptz not null,
    amount numeric not null,
    primary key (action_id, budget)
);

alter table synapsor.budget_shares enable row level security;
alter table synapsor.budget_shares force row level security;
create policy tenants_see_their_own on synapsor.budget_shares using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.budget_shares is
'What one action took of its budgets: held while its outcome is unknown, given back when it is
cancelled, expires or fails.';

select pg_catalog.pg_extension_config_dump('synapsor.budget_shares', '');
