-- What each reader sees: the documented columns, hidden and redacted values, other tenants, what is
-- stuck and why.

begin;

select plan(401);

-- Columns: exactly the documented ones, in their order; more may follow

create function tests.columns_of(relation regclass)
returns text[]
language sql
stable
as $function$
    select array_agg(attname::text order by attnum) from pg_attribute
    where attrelid = relation and attnum > 0 and not attisdropped
$function$;

create temporary table documented (relation text, columns text[]) on commit drop;
insert into documented
select relation, string_to_array(regexp_replace(columns, '\s+', '', 'g'), ',')
from (
    values
    (
        'synapsor_action_contracts',
        'action, version, label, kind, definition, digest, declared_by, declared_at, retired_at'
    ),
    (
        'synapsor_action_invocations',
        'action_id, tenant_id, action, version, kind, actor, actor_type, status, delivery_status,
        parameters, hidden, idempotency_key, payload_digest, run_id, step_key, correlation_id,
        causation_id, result, error_code, error_message, violations, created_at, completed_at,
        changed'
    ),
    (
        'synapsor_external_actions',
        'action_id, tenant_id, action, version, provider, account, operation, queue, status,
        arguments, hidden, idempotency_key, payload_digest, digest, principal, approvals_required,
        approvals_given, approval_expires_at, scheduled_at, priority, ordering_key, attempts,
        max_attempts, available_at, worker_principal, worker_label, claim_token,
        lease_expires_at, delivery_started_at, provider_request_id, response, error_code,
        error_message, run_id, step_key, correlation_id, created_at, queued_at, finished_at,
        changed'
    ),
    (
        'claim',
        'action_id, claim_token, tenant_id, action, version, provider, account, operation, queue,
        arguments, intent, digest, idempotency_key, attempt, lease_expires_at,
        delivery_started_at, purpose, run_id, step_key, correlation_id, traceparent'
    ),
    (
        'synapsor_external_action_events',
        'event_id, action_id, tenant_id, action, queue, event_type, status, is_current, sequence,
        actor, worker_principal, worker_label, attempt, claim_token, lease_expires_at,
        provider_request_id, error_code, note, detail, run_id, step_key, occurred_at'
    ),
    (
        'synapsor_pending_approvals',
        'action_id, tenant_id, action, version, arguments, digest, proposed_by, required_role,
        approvals_required, approvals_given, reviewers, risk, reason, created_at, expires_at'
    ),
    (
        'synapsor_approvals',
        'approval_id, action_id, reviewer, verdict, note, digest, decided_at'
    ),
    (
        'synapsor_agent_workflow_runs',
        'run_id, tenant_id, workflow, plan, version, state, status, principal, input, output,
        correlation_id, started_at, finished_at'
    ),
    (
        'synapsor_agent_run_steps',
        'step_id, run_id, step_key, parent_step_key, relation, kind, name, state, status,
        branch_status, sequence, execute_case, input, exit_data, exit_code, message, pid,
        security_context, risk, action_id, input_tokens, output_tokens, started_at, finished_at'
    ),
    ('synapsor_run_graph', 'run_id, from_step_key, to_step_key, edge'),
    (
        'synapsor_queue_stats',
        'queue, tenant_id, proposed, queued, due, claimed, unknown, oldest_due_at, paused, workers'
    ),
    ('synapsor_stuck_actions', 'action_id, status, since, cause, remedy'),
    (
        'synapsor_provider_health',
        'provider, account, tenant_id, breaker_state, failure_rate, calls, opens_until, tokens,
        in_flight, retry_after_until, paused'
    ),
    ('synapsor_workers', 'worker_principal, worker_label, queues, last_seen_at, held'),
    ('synapsor_error_codes', 'code, condition, meaning, retryable, http_status')
) as written (relation, columns);

select is(
    (tests.columns_of(('synapsor.' || relation)::regclass))[:cardinality(columns)], columns,
    relation || ' has its documented columns, in their order'
)
from documented;
select is(
    (
        select array_agg(attname || ' ' || format_type(atttypid, atttypmod) order by attnum)
        from pg_attribute where attrelid = ('synapsor.' || type)::regclass
    ),
    (
        select array_agg(attname || ' ' || format_type(atttypid, atttypmod) order by attnum)
        from pg_attribute where attrelid = ('synapsor.' || view)::regclass and attnum <= count
    ),
    format('verbs return rows of %s', view)
)
from (
    values ('contract', 'synapsor_action_contracts', 9),
    ('invocation', 'synapsor_action_invocations', 24),
    ('external_action', 'synapsor_external_actions', 40),
    ('run', 'synapsor_agent_workflow_runs', 13), ('step', 'synapsor_agent_run_steps', 24),
    ('worker', 'synapsor_workers', 5)
) as shape (type, view, count);
select is(
    has_table_privilege('test_' || login, 'synapsor.' || relation, 'select'),
    login not in ('gateway', 'stranger') or relation = 'synapsor_error_codes',
    format('%s reads %s, or not', login, relation)
)
from unnest(array['caller', 'approver', 'worker', 'auditor', 'admin', 'gateway', 'stranger'])
    as login
cross join (select relation from documented where relation like 'synapsor%') as view;


-- Two tenants with a little of everything

create function tests.proposed(
    charge text,
    action text default 'billing.issue_refund',
    tenant text default 'acme',
    run_id text default null,
    scheduled_at timestamptz default null
)
returns text
language plpgsql
security definer
as $function$
begin
    perform tests.session(tenant, 'alice', extra => '{"card": "4242"}');
    return (synapsor.propose_external_action(
        action, jsonb_build_object('charge_id', charge, 'amount_cents', 100),
        run_id => proposed.run_id, scheduled_at => proposed.scheduled_at
    )).action_id;
end
$function$;

create function tests.id(charge text)
returns text
language sql
stable
security definer
as $function$
    select invocation.action_id from synapsor.action_invocations as invocation
    where invocation.intent::jsonb -> 'arguments' ->> 'charge_id' = id.charge
$function$;

select tests.at('2026-01-01 12:00+00');
select tests.a_contract(
    '{"approval": {"required": true, "role": "billing_reviewer"}, "redact": ["charge_id"],
      "hidden": {"tenant_id": {}, "card": {}}, "ordering_key": "{card}"}'
);
create temporary table run on commit drop as select null::text as run_id;
select tests.session('acme', 'alice');
update run set run_id = (synapsor.start_agent_run('refunds')).run_id;
grant select on run to public;
select tests.proposed('ch_secret', run_id => (select run_id from run));
select tests.proposed('ch_theirs', tenant => 'globex');

create function tests.sees(of text, login name, out seen text)
language plpgsql
as $function$
begin
    perform set_config('role', 'none', true);
    execute format('set local session authorization %I', login);
    execute case of
        when 'external' then
            $$ select concat_ws(' ', arguments ->> 'charge_id', hidden ->> 'card',
                hidden ->> 'tenant_id', idempotency_key, ordering_key)
            from synapsor.synapsor_external_actions where action_id = tests.id('ch_secret') $$
        when 'invocation' then
            $$ select concat_ws(' ', parameters ->> 'charge_id', hidden ->> 'card',
                hidden ->> 'tenant_id', idempotency_key)
            from synapsor.synapsor_action_invocations where action_id = tests.id('ch_secret') $$
        when 'pending' then
            $$ select arguments ->> 'charge_id' from synapsor.synapsor_pending_approvals
            where action_id = tests.id('ch_secret') $$
        when 'step' then
            $$ select input ->> 'charge_id' from synapsor.synapsor_agent_run_steps
            where action_id = tests.id('ch_secret') $$
        end
    into seen;
end
$function$;

-- One reader after the other; `shown` is what each of the four views shows.
create function tests.reads(
    login name, roles text[], actor_type text, principal text, full_sight boolean, who text
)
returns setof text
language plpgsql
as $function$
declare
    pending boolean := exists (
        select from synapsor.open_external_actions as open
        where open.action_id = tests.id('ch_secret') and open.status = 'proposed'
    );
begin
    perform tests.session('acme', principal, roles, actor_type);
    return next is(
        tests.sees('external', login),
        case when full_sight then 'ch_secret 4242 acme acme:refund:ch_secret:100 4242'
            else '[redacted] [redacted] [redacted] [redacted] [redacted]' end,
        who || ' sees of an action ' || case when full_sight then 'all' else 'no secret' end
    );
    return next is(
        tests.sees('invocation', login),
        case when full_sight then 'ch_secret 4242 acme acme:refund:ch_secret:100'
            else '[redacted] [redacted] [redacted] [redacted]' end,
        'and as much of the invocation'
    );
    return next is(
        tests.sees('step', login), case when full_sight then 'ch_secret' else '[redacted]' end,
        'and of the step'
    );
    if pending then
        return next is(
            tests.sees('pending', login),
            case when full_sight then 'ch_secret' else '[redacted]' end,
            'and of the pending approval'
        );
    end if;
    set local session authorization default;
end
$function$;

create temporary view readers as
select * from (
    values
    ('test_caller', array['billing_reviewer'], 'natural_person', 'alice', 'the proposer'),
    ('test_caller', array[]::text[], 'agent', 'bot', 'another caller'),
    ('test_approver', array[]::text[], 'natural_person', 'rolf', 'an approver without the role'),
    ('test_approver', array['billing_reviewer'], 'agent', 'bot', 'an agent with the role'),
    ('test_approver', array['billing_reviewer'], 'natural_person', 'rita', 'a reviewer'),
    ('test_worker', array['billing_reviewer'], 'natural_person', 'worker-1', 'the worker'),
    ('test_worker_b', array[]::text[], 'system', 'worker-2', 'another worker'),
    ('test_approver', array[]::text[], 'natural_person', 'worker-1', 'the worker''s namesake'),
    ('test_auditor', array[]::text[], 'natural_person', 'otto', 'an auditor'),
    ('test_admin', array[]::text[], 'natural_person', 'ada', 'an administrator')
) as reader (login, roles, actor_type, principal, who);

select tests.reads(
    login::name, roles, actor_type, principal,
    who in ('a reviewer', 'an auditor', 'an administrator'), 'proposed: ' || who
)
from readers;

select tests.session('acme', 'rita', array['billing_reviewer']);
select is(
    (select array_agg(arguments ->> 'charge_id')
    from synapsor.approve_external_action(tests.id('ch_secret'))),
    array['ch_secret'], 'a superuser is every role'
);
select tests.reads(
    login::name, roles, actor_type, principal, who in ('an auditor', 'an administrator'),
    'queued: ' || who
)
from readers;

select tests.session('acme', 'worker-1');
select is(
    (select array_agg(arguments ->> 'charge_id')
    from synapsor.claim_external_actions('billing_external_actions', 1, begin => false)),
    array['ch_secret'],
    'claimed'
);
select tests.reads(
    login::name, roles, actor_type, principal,
    who in ('the worker', 'an auditor', 'an administrator'), 'claimed: ' || who
)
from readers;

select tests.advance('60 s');
select tests.reads(
    login::name, roles, actor_type, principal, who in ('an auditor', 'an administrator'),
    'lease over: ' || who
)
from readers;
select tests.session('acme', 'worker-1');
select synapsor.expire_claims();
select synapsor.confirm_external_action(claim.action_id, 'succeeded', '{"id": "re_1"}', 're_1',
    claim_token => claim.claim_token)
from synapsor.claim_external_actions('billing_external_actions', 1) as claim;
select tests.reads(
    login::name, roles, actor_type, principal, who in ('an auditor', 'an administrator'),
    'finished: ' || who
)
from readers;

-- What verbs return

set session authorization test_approver;
select tests.proposed('ch_verb');
select tests.session('acme', 'rita', array['billing_reviewer']);
select is(
    (select arguments ->> 'charge_id' || ' ' || (hidden ->> 'card')
    from synapsor.approve_external_action(tests.id('ch_verb'))),
    '[redacted] [redacted]',
    'approved, there is nothing left to decide: the row returned is redacted like the view'
);
set session authorization test_worker;
select tests.session('acme', 'worker-1');
select is(
    (select arguments ->> 'charge_id' || ' ' || (arguments ->> 'card')
    from synapsor.claim_external_actions('billing_external_actions', 1, begin => false)),
    'ch_verb 4242',
    'a claim carries every value'
);
select is(
    (select arguments ->> 'charge_id' || ' ' || (hidden ->> 'card')
    from synapsor.begin_delivery(action_id, claim_token)),
    'ch_verb 4242',
    'the worker that holds it sees them in rows of verbs, too'
)
from synapsor.synapsor_external_actions where status = 'claimed';


-- The other tenant

reset session authorization;
select tests.session('globex', 'gina', array['billing_reviewer']);
select tests.session('acme', 'alice');
select synapsor.record_agent_step((select run_id from run), 'look', parent_step_key => null);
select synapsor.record_agent_step((select run_id from run), 'see', parent_step_key => 'look');
select synapsor.invoke_action('billing.issue_refund', '{}');
create function tests.tenants_in(relation text)
returns text[]
language plpgsql
as $function$
declare
    seen text[];
begin
    execute format(
        $$ select array_agg(distinct tenant order by tenant) from (
            select coalesce(to_jsonb(shown) ->> 'tenant_id', (
                select invocation.tenant_id from tests.invocations() as invocation
                where invocation.action_id = to_jsonb(shown) ->> 'action_id'
            ), 'acme') as tenant
            from synapsor.%I as shown
        ) as seen $$, relation
    )
    into seen;
    return seen;
end
$function$;
create function tests.invocations()
returns table (action_id text, tenant_id text)
language sql
security definer
as 'select action_id, tenant_id from synapsor.action_invocations';
select tests.proposed('ch_theirs 2', tenant => 'globex');
select tests.session('globex', 'rita', array['billing_reviewer']);
select synapsor.approve_external_action(tests.id('ch_theirs 2'));
select synapsor.record_agent_step(run_id, 'x') from synapsor.start_agent_run('theirs');
select tests.proposed('ch_ours');
select tests.session('acme', 'alice');
select tests.advance('2 days');

create temporary view shown_to_tenants as
select relation from documented
where relation like 'synapsor%' and relation not in (
    'synapsor_action_contracts', 'synapsor_error_codes', 'synapsor_workers', 'synapsor_run_graph',
    -- Accounts as a whole belong to no tenant: 97_tenants looks at the rest.
    'synapsor_provider_health'
);
grant select on shown_to_tenants to public;
set session authorization test_auditor;
select tests.session('acme', 'otto');
select is(tests.tenants_in(relation), array['acme'], relation || ' shows one tenant''s own')
from shown_to_tenants;
select is((select count(*) from synapsor.synapsor_run_graph), 1::bigint, 'its edge');
select tests.session('globex', 'otto');
select is(
    (select array_agg(distinct tenant_id) from (
        select tenant_id from synapsor.synapsor_external_actions
        union all select tenant_id from synapsor.synapsor_action_invocations
        union all select tenant_id from synapsor.synapsor_external_action_events
        union all select tenant_id from synapsor.synapsor_pending_approvals
        union all select tenant_id from synapsor.synapsor_queue_stats
        union all select tenant_id from synapsor.synapsor_agent_workflow_runs
        union all select tenant_id from synapsor.synapsor_agent_run_steps
    ) as seen),
    array['globex'],
    'and the other''s to the other'
);
select is((select count(*) from synapsor.synapsor_run_graph), 0::bigint, 'not the edge');
select is(
    (select count(*) from synapsor.synapsor_approvals where action_id = tests.id('ch_theirs 2')),
    (select count(*) from synapsor.synapsor_approvals),
    'its own approvals only'
);
select tests.session('initech', 'otto');
select is(
    tests.tenants_in(relation), null, relation || ' shows a tenant without anything nothing'
)
from shown_to_tenants;
select synapsor.close_session();
select is(tests.tenants_in(relation), null, relation || ' shows nothing without a session')
from shown_to_tenants;
reset session authorization;
select synapsor.bind_role('test_auditor', '{"tenants": "*"}');
set session authorization test_auditor;
select is(
    tests.tenants_in(relation), array['acme', 'globex'],
    relation || ' shows every tenant to who is bound to all'
)
from shown_to_tenants;
reset session authorization;
select synapsor.bind_role('test_auditor', '{"tenants": ["globex", "initech"]}');
set session authorization test_auditor;
select is(
    (select array_agg(distinct tenant_id) from synapsor.synapsor_external_actions), array['globex'],
    'and those of a list to who is bound to a list'
);
reset session authorization;
select synapsor.bind_role('test_auditor', null);

-- The second wall: what the views would show if they forgot to ask

create temporary table tenant_tables on commit drop as
select attribute.attrelid::regclass::text as name
from pg_attribute as attribute
inner join pg_class as relation on relation.oid = attribute.attrelid
where relation.relnamespace = 'synapsor'::regnamespace and relation.relkind = 'r'
    and attribute.attname = 'tenant_id';
grant select on tenant_tables to synapsor_owner;
create function tests.tenants_of(name text)
returns text[]
language plpgsql
as $function$
declare
    tenants text[];
begin
    execute format('select array_agg(distinct tenant_id order by tenant_id) from %s', name)
    into tenants;
    return tenants;
end
$function$;
select tests.session('globex', 'gina');
set role synapsor_owner;
select is(
    coalesce(tests.tenants_of(name), '{globex}'), array['globex'],
    'even the owner sees in ' || name || ' one tenant only'
)
from tenant_tables;
reset role;
select cmp_ok(
    (select count(*) from tenant_tables where cardinality(tests.tenants_of(name)) > 1),
    '>=', 6::bigint,
    'where there are several'
);

-- The first wall alone: row-level security does not hide a forgotten predicate

create function tests.lower_the_second_wall()
returns void
language plpgsql
as $function$
declare
    name text;
begin
    for name in select tenant_tables.name from tenant_tables loop
        execute format('alter table %s no force row level security', name);
    end loop;
end
$function$;
create function tests.raise_the_second_wall()
returns void
language plpgsql
as $function$
declare
    name text;
begin
    for name in select tenant_tables.name from tenant_tables loop
        execute format('alter table %s force row level security', name);
    end loop;
end
$function$;
select tests.lower_the_second_wall();
set session authorization test_auditor;
select tests.session('acme', 'otto');
select is(tests.tenants_in(relation), array['acme'], relation || ' itself asks for the tenant')
from shown_to_tenants;
reset session authorization;
select tests.raise_the_second_wall();


-- The story, and approvals

set session authorization test_caller;
select tests.session('acme', 'alice');
select is(
    (select array_agg(concat_ws(' ', sequence, event_type, status, actor, worker_principal, attempt,
        provider_request_id, is_current) order by sequence)
    from synapsor.synapsor_external_action_events where action_id = tests.id('ch_secret')),
    array[
        '1 Proposed proposed alice f', '2 Approved proposed rita f', '3 Queued queued rita f',
        '4 Claimed claimed worker-1 worker-1 1 f',
        '5 LeaseExpired queued worker-1 worker-1 f',
        '6 Claimed claimed worker-1 worker-1 1 f',
        '7 Succeeded succeeded worker-1 worker-1 1 re_1 t'
    ],
    'the whole story of an action, its last event the current one'
);
select is(
    (select array_agg(row(
        proposed_by, required_role, approvals_required, approvals_given, reviewers, created_at,
        expires_at
    )::text)
    from synapsor.synapsor_pending_approvals where action_id = tests.id('ch_ours')),
    array['(alice,billing_reviewer,1,0,{},"2026-01-01 12:01:00+00",)'],
    'a pending approval says what it takes'
);


-- What is stuck

reset session authorization;
select tests.at('2026-06-01 12:00+00');
select tests.a_contract('{"queue": "s"}', 'stuck.plain');
select tests.a_contract(
    '{"queue": "s", "reconcile": {"operation": "refunds.find", "max_attempts": 1}}',
    'stuck.reconciled'
);
select tests.a_contract('{"queue": "s", "ordering_key": "lane"}', 'stuck.ordered');
select tests.a_contract('{"queue": "s", "approval": {"required": true}}', 'stuck.undecided');
select tests.a_contract(
    '{"queue": "s", "approval": {"required": true, "expires_after": "1 hour"}}', 'stuck.lapsed'
);

create function tests.stuck(charge text)
returns text
language sql
security definer
as $function$
    select concat_ws('|', status, since, replace(cause, action_id, 'it'), remedy)
    from synapsor.synapsor_stuck_actions where action_id = tests.id(stuck.charge)
$function$;
create function tests.given(charge text, outcome text default null)
returns void
language plpgsql
security definer
as $function$
begin
    perform tests.session('stuck', 'worker-1');
    perform synapsor.claim_external_actions('s', 100);
    if outcome is not null then
        perform synapsor.confirm_external_action(
            tests.id(charge), outcome, error_code => 'timeout'
        );
    end if;
end
$function$;

select tests.proposed('unknown', 'stuck.plain', 'stuck');
select tests.proposed('reconciled', 'stuck.reconciled', 'stuck');
select tests.proposed('first', 'stuck.ordered', 'stuck');
select tests.given('unknown', 'unknown');
select tests.given('reconciled', 'unknown');
select tests.given('first', 'unknown');
select tests.proposed('second', 'stuck.ordered', 'stuck');
select tests.proposed('leased', 'stuck.plain', 'stuck');
select tests.given('leased');
select tests.proposed('undecided', 'stuck.undecided', 'stuck');
select tests.proposed('undecided later', 'stuck.undecided', 'stuck', scheduled_at => '2026-07-01');
select tests.proposed('lapsed', 'stuck.lapsed', 'stuck');
select tests.proposed('due', 'stuck.plain', 'stuck');
select tests.proposed('later', 'stuck.plain', 'stuck', scheduled_at => '2026-07-01');
select tests.session('stuck', 'worker-1');

select is(
    tests.stuck('unknown'),
    format(
        'unknown|2026-06-01 12:00:00+00|the outcome is unknown: timeout|'
        'Ask the provider, then settle it: select synapsor.settle_external_action(%L, …).',
        tests.id('unknown')
    ),
    'an unknown outcome is stuck at once'
);
select is(
    split_part(tests.stuck('reconciled'), '|', 4),
    format(
        'A worker reconciles it; or settle it: select synapsor.settle_external_action(%L, …).',
        tests.id('reconciled')
    ),
    'a worker reconciles it where the contract says how'
);
select is(
    tests.stuck('second'),
    format('queued|2026-06-01 12:00:00+00|its ordering key is held by %s, whose outcome is unknown|'
        'Settle it: select synapsor.settle_external_action(%1$L, …).', tests.id('first')),
    'and what is behind it under the same ordering key'
);
select is(tests.stuck(charge), null, charge || ' is not stuck yet')
from unnest(array['leased', 'undecided', 'lapsed', 'due', 'later']) as charge;
select is(
    (select array_agg(delivery_status || ' ' || status order by delivery_status)
    from synapsor.synapsor_action_invocations
    where action_id in (
        select tests.id(charge) from unnest(array['unknown', 'leased', 'lapsed', 'due']) as charge
    )),
    array[
        'claimed running', 'proposed waiting_for_approval', 'queued running', 'unknown running'
    ],
    'an invocation is running until its delivery has ended'
);
select tests.advance('60 s');
select is(
    tests.stuck('leased'),
    'claimed|2026-06-01 12:01:00+00|the lease of worker-1 has run out|'
    || 'Workers take it back; or now: select synapsor.expire_claims().',
    'a lease that has run out'
);
select is(
    tests.stuck('due'),
    'queued|2026-06-01 12:00:00+00|no worker of queue s has been seen for a minute|'
    || 'Start workers: synapsor-pg worker --queue s.',
    'due for a minute, and no worker'
);
select tests.session('stuck', 'worker-1');
select synapsor.worker_heartbeat('a', array['s', 'other']);
select is(tests.stuck('due'), null, 'with a worker it is not');
select tests.advance('59 s');
select is(tests.stuck('due'), null, 'while that was seen');
select tests.advance('13 minutes 1 s');
select synapsor.worker_heartbeat('a', array['s']);
select is(
    tests.stuck('due'),
    'queued|2026-06-01 12:00:00+00|it has been due for more than 15 minutes|'
    || 'Start workers: synapsor-pg worker --queue s.',
    'due for a quarter of an hour in spite of workers'
);
select tests.advance('45 minutes');
select is(
    tests.stuck('lapsed'),
    'proposed|2026-06-01 13:00:00+00|nobody approved it in time|'
    || 'Workers end it; or now: select synapsor.expire_approvals().',
    'a proposal whose time is over'
);
select is(tests.stuck('undecided'), null, 'one without a limit waits a day');
select tests.advance('23 hours');
select is(
    tests.stuck('undecided'),
    format(
        'proposed|2026-06-01 12:00:00+00|nobody has decided on it for a day|'
        'Decide: select synapsor.approve_external_action(%L, …).', tests.id('undecided')
    ),
    'then it is stuck'
);
select is(
    tests.stuck('undecided later'),
    replace(tests.stuck('undecided'), tests.id('undecided'), tests.id('undecided later')),
    'also when it is scheduled for later: the decision is late'
);
select is(tests.stuck('later'), null, 'what is scheduled for later is not stuck');
create temporary table suspension (kind text, name text) on commit drop;
insert into suspension values ('queue', 's'), ('tenant', 'stuck'), ('action', 'stuck.plain'),
('provider', 'stripe'), ('principal', 'alice'), ('all', '');
create function tests.stuck_while(kind text, name text)
returns text
language plpgsql
as $function$
declare
    stuck text;
begin
    perform synapsor.suspend(kind, name, 'a reason');
    stuck := regexp_replace(tests.stuck('due'), '^[^|]*\|[^|]*\|', '');
    perform synapsor.resume(kind, name);
    return stuck;
end
$function$;
select is(
    tests.stuck_while(kind, name),
    format(
        '%s is suspended: a reason|select synapsor.resume(%L, %L).', trim(kind || ' ' || name),
        kind, name
    ),
    format('suspended by %s', kind)
)
from suspension;
select unalike(
    tests.stuck_while(kind, 'something else'), '%suspended%', 'not by another ' || kind
)
from suspension where kind <> 'all';
select tests.session('acme', 'otto');
select is(
    (select count(*) from synapsor.synapsor_stuck_actions where action_id = tests.id('due')),
    0::bigint, 'another tenant''s stuck actions are not shown'
);


-- Queues

select tests.at('2026-08-01 12:00+00');
select tests.a_contract('{"queue": "q"}', 'queue.plain');
select tests.a_contract('{"queue": "q", "approval": {"required": true}}', 'queue.proposed');
select tests.proposed('q unknown', 'queue.plain', 'q1');
select tests.session('q1', 'worker-1');
select synapsor.confirm_external_action(action_id, 'unknown')
from synapsor.claim_external_actions('q', 1);
select tests.proposed('q claimed', 'queue.plain', 'q1');
select tests.session('q1', 'worker-1');
select count(*) from synapsor.claim_external_actions('q', 1, worker_label => 'a');
select tests.proposed('q due', 'queue.plain', 'q1');
select tests.advance('1 minute');
select tests.proposed('q due 2', 'queue.plain', 'q1');
select tests.proposed('q later', 'queue.plain', 'q1', scheduled_at => '2026-08-02');
select tests.proposed('q proposed', 'queue.proposed', 'q1');
select tests.proposed('q finished', 'queue.plain', 'q1');
select tests.session('q1', 'alice');
select synapsor.cancel_external_action(tests.id('q finished'));
select tests.proposed('q else', 'queue.plain', 'q2');
select tests.session('q1', 'worker-1');
select (synapsor.worker_heartbeat('a', array['q', 'z'])).held;
select (synapsor.worker_heartbeat('b', array['z'])).held;
set session authorization test_caller;
select is(
    (select array_agg(to_jsonb(stats)) from synapsor.synapsor_queue_stats as stats),
    array['{"queue": "q", "tenant_id": "q1", "proposed": 1, "queued": 3, "due": 2, "claimed": 1,
        "unknown": 1, "oldest_due_at": "2026-08-01T12:00:00+00:00", "paused": false, "workers": 1}'
        ::jsonb],
    'a queue is counted by tenant: what waits, what is due since when, what is held, who serves it'
);
select is(
    (select array_agg(row(worker_principal, worker_label, queues, last_seen_at, held)::text
        order by worker_label)
    from synapsor.synapsor_workers where last_seen_at >= '2026-08-01'),
    array[
        '(worker-1,a,"{q,z}","2026-08-01 12:01:00+00",1)',
        '(worker-1,b,{z},"2026-08-01 12:01:00+00",0)'
    ],
    'workers are listed with what they hold'
);
select tests.advance('60 s');
select is(
    (select workers from synapsor.synapsor_queue_stats), 0::bigint,
    'a worker not seen for a minute does not count'
);
reset session authorization;
create function tests.paused_while(kind text, name text)
returns boolean
language plpgsql
as $function$
declare
    paused boolean;
begin
    perform synapsor.suspend(kind, name, 'a reason');
    select stats.paused into strict paused from synapsor.synapsor_queue_stats as stats;
    perform synapsor.resume(kind, name);
    return paused;
end
$function$;
select is(
    tests.paused_while(kind, name), paused,
    format('suspended %s %s: paused is %s', kind, name, paused)
)
from (
    values ('queue', 'q', true), ('tenant', 'q1', true), ('all', '', true), ('queue', 'z', false),
    ('tenant', 'q2', false), ('provider', 'stripe', false), ('action', 'queue.plain', false)
) as suspension (kind, name, paused);


-- Suspensions

select synapsor.suspend(kind, name, 'a reason')
from (
    values ('queue', 'q'), ('tenant', 'q1'), ('tenant', 'q2'), ('principal', 'alice'),
    ('principal', 'bob')
) as suspension (kind, name);
set session authorization test_caller;
select tests.session('q1', 'alice');
select is(
    (select array_agg(kind || ' ' || name order by kind, name) from synapsor.synapsor_suspensions),
    array['principal alice', 'queue q', 'tenant q1'],
    'suspensions of other tenants and principals are nobody else''s business'
);

select * from finish();
rollback;
