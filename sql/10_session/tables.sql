create table synapsor.session_keys (
    kid text collate "C" primary key,
    secret text not null,
    scope jsonb not null,
    added_at timestamptz not null default synapsor._now()
);

comment on table synapsor.session_keys is
'Secrets that sign session tokens. The one table that pg_dump leaves out: after a restore the keys
are added again. No check constraint stands on it, because a failing one would print the row.';
comment on column synapsor.session_keys.kid is
'Name of the key, as the token''s header gives it: 1 to 255 characters.';
comment on column synapsor.session_keys.secret is
'The secret of HMAC-SHA-256: the UTF-8 bytes of this text, at least 32.';
comment on column synapsor.session_keys.scope is
'What the key may assert, all defaults filled in: tenants ("*" or a list), roles, actor_types and,
optional, audience.';
comment on column synapsor.session_keys.added_at is 'When the key was added.';

-- The planner's statistics would keep samples of the secrets where pg_read_all_data can see them.
alter table synapsor.session_keys alter column secret set statistics 0;

create table synapsor.role_bindings (
    login name primary key,
    context jsonb not null,
    seen text[] not null default '{}',
    bound_at timestamptz not null default synapsor._now()
);

comment on table synapsor.role_bindings is
'Logins that always act as one principal; used when a transaction has opened no session.';
comment on column synapsor.role_bindings.login is
'Name of the login (session_user). A login renamed loses its binding, a login made anew under an
old name inherits it: remove the binding when you drop a login.';
comment on column synapsor.role_bindings.context is
'The session of that login; the only kind that may hold `tenants` ("*" or a list).';
comment on column synapsor.role_bindings.seen is
'The tenants that context names, for row-level policies, which are asked in every statement: a
null in it stands for every one.';
comment on column synapsor.role_bindings.bound_at is 'When the login was bound, last.';

select pg_catalog.pg_extension_config_dump('synapsor.role_bindings', '');

-- Without a policy nobody but the owner sees or writes a row: pg_read_all_data and
-- pg_write_all_data reach every table, but stop at row-level security.
alter table synapsor.session_keys enable row level security;
alter table synapsor.role_bindings enable row level security;
