-- Without check constraints: those of both tables were a twentieth of an approval's price
-- (50_outbox/tables.sql).
create table synapsor.approval_requests (
    action_id text collate "C" primary key,
    tenant_id text collate "C" not null,
    role text,
    approvals_required smallint not null,
    separate_duties boolean not null,
    reason text,
    expires_at timestamptz,
    requested_at timestamptz not null,
    session jsonb,
    risk text,
    risk_role text
);

alter table synapsor.approval_requests enable row level security;
alter table synapsor.approval_requests force row level security;
create policy tenants_see_their_own on synapsor.approval_requests using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.approval_requests is
'What an invocation needs before it may go on: how many distinct reviewers, of which role, until
when. Written with the proposal.';
comment on column synapsor.approval_requests.role is
'The session role a reviewer must hold; null: any approver.';
comment on column synapsor.approval_requests.separate_duties is
'Whether the proposer is barred from approving.';
comment on column synapsor.approval_requests.reason is 'Why approval is asked for.';

comment on column synapsor.approval_requests.session is
'Of an action performed when approved: the session that asked for it, under which its adapter
steps are bound.';

comment on column synapsor.approval_requests.risk is
'The risk of the run''s steps because of which its workflow contract demands this approval; null: it does not.';
comment on column synapsor.approval_requests.risk_role is
'The role that the workflow contract demands for that risk; a reviewer holds it beside role.';

select pg_catalog.pg_extension_config_dump('synapsor.approval_requests', '');

create table synapsor.approvals (
    approval_id text collate "C" primary key,
    action_id text collate "C" not null,
    tenant_id text collate "C" not null,
    reviewer text collate "C" not null,
    verdict text not null,
    note text,
    digest bytea not null,
    decided_at timestamptz not null,
    voided_at timestamptz
);

create unique index one_verdict_per_reviewer on synapsor.approvals (action_id, reviewer)
where voided_at is null;

alter table synapsor.approvals enable row level security;
alter table synapsor.approvals force row level security;
create policy tenants_see_their_own on synapsor.approvals using (
    coalesce(tenant_id = any((select wall.seen from synapsor._wall as wall)::text[]), true)
);

comment on table synapsor.approvals is
'Reviewers'' verdicts, each bound to the digest of exactly what will be sent.';
comment on column synapsor.approvals.digest is
'SHA-256 of the intent the reviewer decided on; at claim it must equal the intent''s (design.md
section 5, rule 3).';
comment on column synapsor.approvals.voided_at is
'When the intent was found to differ from what was approved; such a verdict no longer counts.';

select pg_catalog.pg_extension_config_dump('synapsor.approvals', '');
