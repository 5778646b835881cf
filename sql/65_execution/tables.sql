create table synapsor.due_invocations (
    mark uuid primary key,
    action_id text collate "C" not null,
    tenant_id text collate "C" not null,
    due_at timestamptz not null
);

alter table synapsor.due_invocations enable row level security;
alter table synapsor.due_invocations force row level security;
create policy tenants_see_their_own on synapsor.due_invocations using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.due_invocations is
'Invocations one of whose adapter steps has ended, once per ending: run_due_steps looks at them next. Confirming
only marks them, so that what follows can never undo a provider''s outcome.';

select pg_catalog.pg_extension_config_dump('synapsor.due_invocations', '');
