-- What is shown to whom inside a tenant: hidden values and redacted fields reach auditors, the
-- worker that holds the claim and whoever may decide on the approval, and nobody else, by no view,
-- no explanation, no row that a verb returns and no message.

begin;

select no_plan();

set local client_min_messages = error;

select tests.at('2026-01-01 12:00+00');

-- User-supplied SQL of somebody who is nobody else.
create role app_owner;
create schema app authorization app_owner;
grant usage on schema app to public;
set role app_owner;
create function app.tells(context jsonb)
returns jsonb
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select jsonb_build_object('result', 'pass', 'metadata', jsonb_build_object(
        'charge_id', context -> 'parameters' -> 'charge_id',
        'customer', context -> 'hidden' -> 'customer'
    ));
$function$;
reset role;
select synapsor.declare_policy(
    '{"policy": "test.tells.v1", "kind": "code", "evaluator": "app.tells(jsonb)"}'
);
select synapsor.declare_policy(
    '{"policy": "test.blocks.v1", "kind": "data",
      "conditions": [{"when": {"kind": "always"}, "result": "block", "reason": "no"}]}'
);


select synapsor.declare_provider('{"provider": "stripe", "concurrency": {"per_tenant": 1000}}');

-- Every action carries two secrets of its own: charge-<name> is redacted, customer-<name> hidden.
-- Both are in its idempotency key, the first in its ordering key.

create temporary table actions (name text primary key, action_id text, token bigint);
create temporary table runs (run_id text);
grant select on actions, runs to public;

create function tests.secretive(queue text, overrides jsonb default '{}')
returns void
language sql
as $function$
    select tests.a_contract(
        jsonb_build_object('queue', queue) || '{
            "hidden": {"tenant_id": {}, "customer": {"from": "customer"}},
            "redact": ["charge_id"],
            "ordering_key": "{charge_id}",
            "policies": ["test.tells.v1"],
            "idempotency": {"key": "{charge_id}:{customer}"},
            "reconcile": {"operation": "refunds.find"}
        }' || overrides,
        'test.' || queue
    );
$function$;

select tests.secretive('plain');
select tests.secretive('mistaken');
select tests.secretive('blocked', '{"policies": ["test.tells.v1", "test.blocks.v1"]}');
select tests.secretive(
    'reviewed', '{"approval": {"required": true, "role": "reviewer", "approvals": 3}}'
);

create function tests.arguments(name text)
returns jsonb
language sql
as $function$
    select jsonb_build_object('charge_id', 'charge-' || name, 'amount_cents', 1);
$function$;

create function tests.act(
    login text, principal text, secret text default '', roles text[] default '{}',
    actor_type text default 'natural_person', tenant text default 'acme'
)
returns void
language plpgsql
as $function$
begin
    perform tests.session(
        tenant, principal, roles, actor_type,
        jsonb_build_object('customer', 'customer-' || secret)
    );
    if login <> '' then
        execute format('set local session authorization %I', login);
    end if;
end
$function$;

create function tests.propose(name text, queue text, run_id text default null)
returns text
language plpgsql
as $function$
declare
    proposed synapsor.external_action;
begin
    perform tests.act('', 'alice', name);
    proposed := synapsor.propose_external_action(
        'test.' || queue, tests.arguments(name), run_id => propose.run_id
    );
    insert into actions values (propose.name, proposed.action_id);
    return proposed.action_id;
end
$function$;

-- By worker w1.
create function tests.claim(
    name text, lease interval default '1 hour', begins boolean default false
)
returns text
language plpgsql
as $function$
declare
    claimed synapsor.claim;
begin
    perform tests.propose(name, 'plain');
    perform tests.act('', 'w1');
    select claims.* into strict claimed
    from synapsor.claim_external_actions('plain', lease => claim.lease, begin => begins) as claims;
    update actions set token = claimed.claim_token where actions.action_id = claimed.action_id;
    return claimed.action_id;
end
$function$;

select tests.claim('claimed');
select synapsor.confirm_external_action(
    tests.claim('succeeded', begins => true), 'succeeded', '{"id": "re_1"}', 're_1'
);
select synapsor.confirm_external_action(
    tests.claim('failed', begins => true), 'failed', retryable => false
);
select synapsor.confirm_external_action(tests.claim('reconciling', begins => true), 'unknown');
select tests.advance('40 s');
select synapsor.claim_external_actions('plain', purpose => 'reconcile', lease => '1 hour');
select synapsor.confirm_external_action(tests.claim('unknown', begins => true), 'unknown');
-- The last one, for the next claim would take it back.
select tests.claim('lapsed', '1 minute');
select tests.advance('2 minutes');
select tests.propose('queued', 'plain');
select tests.propose('proposed', 'reviewed');
select tests.act('', 'ruth', roles => array['reviewer']);
select synapsor.approve_external_action(action_id)
from actions
where name = 'proposed';
select tests.act('', 'alice', 'step');
insert into runs select (synapsor.start_agent_run()).run_id;
select synapsor.record_agent_step(run_id, 'parent') from runs;
select synapsor.record_agent_step(run_id, 'child', parent_step_key => 'parent') from runs;
select tests.propose('step', 'plain', run_id) from runs;
-- It overrides a hidden value, even with its true value, and is kept as evidence.
insert into actions
select
    'refused' as name,
    (synapsor.invoke_action(
        'test.mistaken', tests.arguments('refused') || '{"customer": "customer-refused"}',
        run_id => run_id
    )).action_id as action_id
from runs;
-- An event tells that it was blocked.
select tests.act('', 'alice', 'blocked');
insert into actions
select
    'blocked' as name,
    (synapsor.invoke_action('test.blocked', tests.arguments('blocked'))).action_id as action_id;

select set_eq(
    $$ select coalesce(delivery_status, status) from synapsor.synapsor_action_invocations $$,
    array[
        'proposed', 'queued', 'claimed', 'unknown', 'succeeded', 'failed', 'validation_failed',
        'blocked_by_policy'
    ],
    'there is an action in every state that matters'
);


-- Views and explanations

-- All that the session user can read anywhere.
create function tests.everything()
returns text
language plpgsql
as $function$
declare
    content text;
    everything text := '';
    query text;
begin
    for query in
        select format('select string_agg(to_jsonb(row)::text, '''') from %s as row', oid::regclass)
        from pg_class
        where relnamespace = 'synapsor'::regnamespace and relkind in ('v', 'm')
            and relname not like '\_%'
        union all
        select format(
            'select synapsor.explain_action(action_id, %L) from %s where action_id = %L',
            format, 'synapsor.synapsor_action_invocations', action_id
        )
        from actions cross join unnest(array['text', 'json']) as format
        union all
        select format(
            'select synapsor.explain_agent_run(run_id, %L) from %s where run_id = %L',
            format, 'synapsor.synapsor_agent_workflow_runs', run_id
        )
        from runs cross join unnest(array['text', 'json']) as format
    loop
        execute query into content;
        everything := everything || coalesce(content, '');
    end loop;
    return everything;
end
$function$;

-- The secrets of an action in a text: nothing, its charge, its customer, or both.
create function tests.secrets(content text, name text)
returns text
language sql
as $function$
    select coalesce(string_agg(secret, ' and '), 'nothing')
    from unnest(array['charge', 'customer']) as secret
    where content like '%' || secret || '-' || name || '%';
$function$;

create temporary table readers (
    login text, principal text, roles text[], actor_type text, tenant text, shown text[]
);
insert into readers
select
    login,
    principal,
    roles,
    actor_type,
    tenant,
    case shown
        when 'everything' then array(select name from actions)
        else string_to_array(shown, ' ')
    end as shown
from (values
    -- Who proposed it knew it then, and is shown it no more than a colleague.
    ('test_caller', 'alice', '{}'::text[], 'natural_person', 'acme', ''),
    ('test_caller', 'bob', '{}', 'natural_person', 'acme', ''),
    ('test_worker', 'w1', '{}', 'service_account', 'acme', 'claimed reconciling'),
    ('test_worker', 'w2', '{}', 'service_account', 'acme', ''),
    -- The name of the worker, or the role of the reviewer, is not enough.
    ('test_caller', 'w1', '{reviewer}', 'natural_person', 'acme', ''),
    ('test_approver', 'w1', '{}', 'natural_person', 'acme', ''),
    ('test_approver', 'rita', '{reviewer}', 'natural_person', 'acme', 'proposed'),
    ('test_approver', 'rita', '{accountant}', 'natural_person', 'acme', ''),
    ('test_approver', 'robot', '{reviewer}', 'agent', 'acme', ''),
    ('test_approver', 'rita', '{reviewer}', 'natural_person', 'globex', ''),
    ('test_worker', 'w1', '{reviewer}', 'natural_person', 'globex', ''),
    ('test_auditor', 'olga', '{}', 'natural_person', 'acme', 'everything'),
    ('test_auditor', 'olga', '{}', 'natural_person', 'globex', ''),
    ('test_admin', 'adam', '{}', 'natural_person', 'acme', 'everything')
) as reader (login, principal, roles, actor_type, tenant, shown);

create function tests.content_for(reader readers)
returns text
language plpgsql
as $function$
declare
    content text;
begin
    perform tests.act(
        reader.login, reader.principal, '', reader.roles, reader.actor_type, reader.tenant
    );
    content := tests.everything();
    reset session authorization;
    return content;
end
$function$;

create temporary table contents as
select
    readers.*,
    format('%s, %s %s of %s with %s', login, actor_type, principal, tenant, roles) as reader,
    tests.content_for(readers) as content
from readers;

select is(
    tests.secrets(content, name),
    case when name = any(shown) then 'charge and customer' else 'nothing' end,
    format('%s to %s', name, reader)
)
from contents cross join actions;

select is(
    content like '%' || action_id || '%', tenant = 'acme',
    'what keeps secrets is not that nothing is read by ' || reader
)
from contents inner join actions on name = 'queued';


-- A condition of the reader's own, cheaper than any other, is asked last, even without the policies
-- of the tables.

create temporary view tables as
select relation.oid::regclass as name
from pg_class as relation
where relation.relnamespace = 'synapsor'::regnamespace and relation.relforcerowsecurity;

create function tests.peek(value text)
returns boolean
language plpgsql
cost 0.0001
as $function$
begin
    if value = 'acme' or exists (select from actions where action_id = value)
        or exists (select from runs where run_id = value)
    then
        raise exception 'a row of acme was met';
    end if;
    return true;
end
$function$;

select lives_ok(format('alter table %s disable row level security', name)) from tables;
create temporary view peeks as
select
    format('select from %s where tests.peek(%I)', attrelid::regclass, attname) as query,
    format('a condition on %s of %s', attname, attrelid::regclass) as what
from pg_class as view
inner join pg_attribute as field on view.oid = field.attrelid
where view.relnamespace = 'synapsor'::regnamespace and view.relkind in ('v', 'm')
    and view.relname not like '\_%'
    and field.attname in ('tenant_id', 'action_id', 'run_id');
grant select on peeks to public;

select tests.act('test_auditor', 'olga');
select throws_ok(query, 'P0001', 'a row of acme was met', what || ' meets what it may') from peeks;
reset session authorization;
select tests.act('test_auditor', 'olga', tenant => 'globex');
select lives_ok(query, what || ' meets nothing else') from peeks;
reset session authorization;
select lives_ok(format('alter table %s enable row level security', name)) from tables;


-- What verbs return

-- Which secrets of the action a verb returns, or tells in an error; undone afterwards.
create function tests.told(login text, principal text, name text, statement text)
returns text
language plpgsql
as $function$
declare
    fact text;
    detail text;
    hint text;
    answer text;
begin
    begin
        perform tests.act(
            login, principal, name,
            case when login = 'test_approver' then array['reviewer'] else '{}' end
        );
        execute format(
            'select string_agg(to_jsonb(answer)::text, '''') from synapsor.%s as answer',
            replace(
                replace(
                    statement, '<id>', coalesce(
                        (select action_id from actions where actions.name = told.name), ''
                    )
                ),
                '<token>', coalesce(
                    (select token::text from actions where actions.name = told.name), ''
                )
            )
        ) into answer;
        raise exception using errcode = 'UNDO0';
    exception
        when sqlstate 'UNDO0' then
            return tests.secrets(answer, name);
        when others then
            get stacked diagnostics fact = message_text, detail = pg_exception_detail,
                hint = pg_exception_hint;
            return sqlstate || ' and ' || tests.secrets(concat(fact, detail, hint), name);
    end;
end
$function$;

select is(
    tests.told('test_' || login, principal, name, statement), told,
    format('%s %s told by %s', login, principal, regexp_replace(statement, '\s+', ' ', 'g'))
)
from (values
    (
        'caller', 'alice', 'new', 'nothing',
        $$propose_external_action('test.plain', tests.arguments('new'))$$
    ),
    (
        'admin', 'adam', 'new', 'charge and customer',
        $$propose_external_action('test.plain', tests.arguments('new'))$$
    ),
    (
        'caller', 'alice', 'new', 'nothing',
        $$propose_external_action('test.reviewed', tests.arguments('new'))$$
    ),
    (
        'caller', 'alice', 'new', 'nothing',
        $$propose_external_actions('test.plain', array[tests.arguments('new')])$$
    ),
    (
        'caller', 'alice', 'queued', 'nothing',
        $$propose_external_action('test.plain', tests.arguments('queued'))$$
    ),
    (
        'caller', 'alice', 'new', 'nothing',
        $$invoke_action('test.plain', tests.arguments('new'))$$
    ),
    ('caller', 'alice', 'new', 'nothing', $$preview_action('test.plain', tests.arguments('new'))$$),
    (
        'caller', 'alice', 'queued', 'SY008 and nothing',
        $$propose_external_action(
            'test.plain', tests.arguments('queued') || '{"amount_cents": 2}'
        )$$
    ),
    (
        'caller', 'alice', 'new', 'SY003 and nothing',
        $$propose_external_action('test.plain', jsonb_build_object(
            'charge_id', 'charge-new' || repeat('x', 64), 'amount_cents', 0
        ))$$
    ),
    ('caller', 'alice', 'queued', 'nothing', $$cancel_external_action('<id>', 'a reason')$$),
    -- Two approvals of three: it may still be decided on. A decision ends that.
    (
        'approver', 'rita', 'proposed', 'charge and customer',
        $$approve_external_action('<id>')$$
    ),
    ('approver', 'rita', 'proposed', 'nothing', $$reject_external_action('<id>', 'a note')$$),
    ('approver', 'rita', 'unknown', 'nothing', $$settle_external_action('<id>', 'failed')$$),
    ('approver', 'rita', 'failed', 'nothing', $$retry_external_action('<id>', 'a note')$$),
    ('worker', 'w1', 'claimed', 'charge and customer', $$extend_claim('<id>', <token>)$$),
    ('worker', 'w1', 'claimed', 'charge and customer', $$begin_delivery('<id>', <token>)$$),
    ('worker', 'w1', 'claimed', 'nothing', $$release_claim('<id>', <token>)$$),
    ('worker', 'w1', 'claimed', 'nothing', $$confirm_external_action('<id>', 'succeeded')$$),
    ('worker', 'w1', 'claimed', 'nothing', $$confirm_external_action('<id>', 'failed')$$),
    ('worker', 'w2', 'claimed', 'SY032 and nothing', $$extend_claim('<id>', <token>)$$),
    ('worker', 'w1', 'reconciling', 'nothing', $$settle_external_action('<id>', 'failed')$$),
    ('worker', 'w2', 'queued', 'charge and customer', $$claim_external_actions('plain', 9)$$),
    (
        'worker', 'w2', 'unknown', 'charge and customer',
        $$claim_external_actions('plain', 9, purpose => 'reconcile')$$
    )
) as told (login, principal, name, told, statement);


-- What belongs to no tenant

select synapsor.suspend('tenant', tenant, 'a reason')
from (values ('acme'), ('globex'), ('initech')) as suspended (tenant);
select synapsor.suspend('principal', principal, 'a reason')
from (values ('alice'), ('bob')) as suspended (principal);
select synapsor.suspend('queue', 'elsewhere', 'a reason');
select tests.act('test_auditor', 'alice');
select set_eq(
    'select name from synapsor.synapsor_suspensions',
    array['acme', 'alice', 'elsewhere'],
    'of suspensions, those of other tenants and principals are not shown'
);
reset session authorization;

select tests.act('', 'w1');
select synapsor.worker_heartbeat('', array['plain']);
select tests.act('test_auditor', 'olga');
select is(
    (select held from synapsor.synapsor_workers), 3, 'of a worker, the claims of one''s own tenant'
);
reset session authorization;
select tests.act('test_auditor', 'olga', tenant => 'globex');
select is(
    (select held from synapsor.synapsor_workers), 0, 'and none of another'
);
reset session authorization;

select * from finish();
rollback;
