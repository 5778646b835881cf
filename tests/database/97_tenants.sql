-- Two tenants and a third, with the same principals, queues and keys: what is another tenant's does
-- not exist. There are two walls, the predicates of views and verbs and the row-level policies
-- behind them; everything is tried behind both and behind each of them alone.

begin;

select no_plan();

set local client_min_messages = error;

select tests.at('2026-01-01 12:00+00');


-- Every tenant has an action in every state, and a row in every table of tenants.

create temporary table tenants (tenant text primary key);
insert into tenants values ('acme'), ('globex'), ('initech');
create temporary table actions (
    tenant text, name text, action_id text, token bigint, primary key (tenant, name)
);
create temporary table runs (tenant text, run_id text primary key);
grant select on tenants, actions, runs to public;

-- User-supplied SQL of somebody who is nobody else.
create role app_owner;
create schema app authorization app_owner;
grant usage on schema app to public;
set role app_owner;
create function app.act(context jsonb, parameters jsonb)
returns jsonb
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select '{"success": true, "events": [
        {"type": "ThingHappened", "subject_type": "Thing", "subject_id": "shared"}
    ]}'::jsonb;
$function$;
create function app.collect(state jsonb, event jsonb)
returns jsonb
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$ select state || (event -> 'tenant_id') $function$;
reset role;

select synapsor.declare_policy(
    '{"policy": "test.passes.v1", "kind": "data",
      "conditions": [{"when": {"kind": "always"}, "result": "pass"}]}'
);
select synapsor.declare_policy(
    '{"policy": "test.blocks.v1", "kind": "data",
      "conditions": [{"when": {"kind": "always"}, "result": "block", "reason": "no"}]}'
);
select tests.a_contract(
    '{"queue": "shared", "ordering_key": "{charge_id}", "reconcile": {"operation": "refunds.find"},
      "idempotency": {"idempotent": false}, "policies": ["test.passes.v1"],
      "limits": [{"sum": "amount_cents", "max": 1000, "per": "day", "by": ["principal"]}]}',
    'test.plain'
);
select tests.a_contract('{"policies": ["test.blocks.v1"]}', 'test.blocked');
select tests.a_contract('{"queue": "adapters"}', 'test.adapted');
select synapsor.declare_action('{
    "action": "test.atomic", "kind": "atomic", "handler": "app.act(jsonb,jsonb)",
    "args": {"charge_id": {"type": "string"}}, "hidden": {"tenant_id": {}},
    "mutates_domain": true, "emits_events": ["ThingHappened"],
    "adapter_steps": [{
        "action": "test.adapted",
        "input": {"charge_id": "{parameters.charge_id}", "amount_cents": 1}
    }]
}');
select tests.a_contract('{"queue": "shared", "deliver_within": "1 hour"}', 'test.urgent');
select tests.a_contract(
    '{"queue": "shared", "approval": {"required": true, "role": "reviewer", "approvals": 2,
      "separate_duties": false, "expires_after": "1 hour"}}',
    'test.reviewed'
);

select synapsor.declare_workflow('{"workflow": "bounded", "max_steps": 10}');

-- A plan that saves a set and falls asleep.
select synapsor.declare_plan('{
    "Name": "sleeper", "DefaultHandlerType": "EmptyHandler", "Actions": [
        {"Name": "saved", "SaveExitDataAs": {"Parameters": "saved"}},
        {"Name": "asleep", "Handler": {"Config": {"Values": {"SleepMilliseconds": 3600000}}}}
    ]
}');
select synapsor.declare_provider(
    '{"provider": "stripe", "rate_limit": {"per_second": 1000, "per_tenant": 500},
      "concurrency": {"per_tenant": 100}}'
);
select synapsor.weigh_tenant(tenant, 2) from tenants;

-- One principal plays every part in every tenant: only the tenant tells them apart.
create function tests.pat(tenant text)
returns void
language sql
as $function$
    select tests.session(tenant, 'pat', array['reviewer']);
$function$;

create function tests.propose(tenant text, name text, action text, run_id text default null)
returns text
language plpgsql
as $function$
declare
    proposed synapsor.external_action;
begin
    proposed := synapsor.propose_external_action(
        action, jsonb_build_object('charge_id', name, 'amount_cents', 1),
        idempotency_key => name, run_id => propose.run_id
    );
    insert into actions values (propose.tenant, propose.name, proposed.action_id, null);
    return proposed.action_id;
end
$function$;

create function tests.propose_and_claim(
    tenant text, name text, begins boolean default true, action text default 'test.plain'
)
returns text
language plpgsql
as $function$
begin
    perform tests.propose(tenant, name, action);
    update actions
    set token = claimed.claim_token
    from synapsor.claim_external_actions('shared', lease => '1 hour', begin => begins) as claimed
    where actions.action_id = claimed.action_id;
    return (select actions.action_id from actions where (actions.tenant, actions.name) = ($1, $2));
end
$function$;

create function tests.populate(tenant text)
returns void
language plpgsql
as $function$
declare
    new_run text;
begin
    perform tests.pat(tenant);
    perform synapsor.confirm_external_action(
        tests.propose_and_claim(tenant, 'succeeded'), 'succeeded'
    );
    perform synapsor.confirm_external_action(tests.propose_and_claim(tenant, 'failed'), 'failed');
    perform synapsor.confirm_external_action(tests.propose_and_claim(tenant, 'unknown'), 'unknown');
    perform tests.propose_and_claim(tenant, 'claimed', begins => false);
    perform tests.propose_and_claim(tenant, 'delivering', action => 'test.urgent');
    perform tests.propose(tenant, 'queued', 'test.plain');
    perform tests.propose(tenant, 'urgent', 'test.urgent');
    perform synapsor.cancel_external_action(
        tests.propose(tenant, 'cancelled', 'test.plain'), 'a reason'
    );
    perform synapsor.reject_external_action(
        tests.propose(tenant, 'rejected', 'test.reviewed'), 'a note'
    );
    perform synapsor.approve_external_action(
        tests.propose(tenant, 'proposed', 'test.reviewed'), 'a note'
    );
    insert into actions
    select populate.tenant, 'refused', refused.action_id
    from synapsor.invoke_action('test.plain', '{"charge_id": "refused"}') as refused;

    insert into actions
    select populate.tenant, 'blocked', blocked.action_id
    from synapsor.invoke_action('test.blocked', '{"charge_id": "b", "amount_cents": 1}') as blocked;

    -- An adapter step has ended, and its parent waits for run_due_steps.
    insert into actions
    select populate.tenant, 'parent', parent.action_id
    from synapsor.invoke_action('test.atomic', '{"charge_id": "a"}') as parent;
    insert into actions
    select populate.tenant, 'adapted', claimed.action_id, claimed.claim_token
    from synapsor.claim_external_actions('adapters') as claimed;
    perform synapsor.confirm_external_action(actions.action_id, 'succeeded')
    from actions
    where actions.tenant = populate.tenant and actions.name = 'adapted';

    new_run := (synapsor.start_agent_run('a workflow')).run_id;
    insert into runs values (populate.tenant, new_run);
    perform synapsor.record_agent_step(new_run, 'parent');
    perform synapsor.record_agent_step(new_run, 'child', parent_step_key => 'parent');
    perform tests.propose(tenant, 'step', 'test.plain', new_run);
    insert into actions
    select populate.tenant, 'refused step', refused.action_id
    from synapsor.invoke_action('test.plain', '{}', run_id => new_run) as refused;
    insert into runs values (populate.tenant, (synapsor.start_plan('sleeper')).run_id);
    insert into runs values (populate.tenant, (synapsor.start_agent_run('bounded')).run_id);
    perform synapsor.close_session();
end
$function$;

select lives_ok(
    format('select tests.populate(%L)', tenant), format('%s has its rows, keys and all', tenant)
)
from tenants;

-- But for those that are read while the session itself is being determined: 99_invariants.sql.
create temporary view tables as
select relation.oid::regclass as name
from pg_class as relation
inner join pg_attribute as attribute on relation.oid = attribute.attrelid
where relation.relnamespace = 'synapsor'::regnamespace and relation.relkind in ('r', 'p')
    and attribute.attname = 'tenant_id' and not attribute.attisdropped
    and relation.relname not in ('members', 'tenant_entitlements');

-- What a query of tenants yields: their names, or nothing.
create function tests.list(query text)
returns text
language plpgsql
as $function$
declare
    listed text;
begin
    execute format(
        $$ select string_agg(distinct found.name, ', ' order by found.name)
        from (%s) as found (name) $$,
        query
    ) into listed;
    return coalesce(listed, 'nothing');
end
$function$;

select is(
    tests.list(format('select tenant_id from %s', name)), 'acme, globex, initech',
    format('there are rows of all in %s', name)
)
from tables;


-- Who asks

create temporary table scenarios (scenario text primary key, sees text);
insert into scenarios values
('a session of acme', 'acme'),
('a session of no tenant', 'nothing'),
('no session', 'nothing'),
('a binding to acme and globex', 'acme, globex'),
('a binding to all', 'acme, globex, initech'),
('a session of acme before a binding to all', 'acme');

create function tests.open(scenario text, login name)
returns void
language plpgsql
as $function$
begin
    perform synapsor.close_session();
    perform synapsor.bind_role(
        login,
        case
            when scenario like '%a binding to all' then '{"principal": "pat", "tenants": "*"}'
            when scenario like '%a binding to acme and globex'
                then '{"principal": "pat", "tenants": ["acme", "globex"]}'
        end::jsonb
    );
    if scenario like 'a session of acme%' then
        perform tests.pat('acme');
    elsif scenario = 'a session of no tenant' then
        perform synapsor.set_session('{"principal": "pat", "roles": ["reviewer"]}');
    end if;
end
$function$;

create temporary table logins (login name primary key);
insert into logins values
('test_caller'), ('test_approver'), ('test_worker'), ('test_auditor'), ('test_admin');


-- Views

-- These show nothing of a tenant, or are looked at below.
create temporary table views_of_no_tenant (name text primary key);
insert into views_of_no_tenant values
('synapsor_error_codes'), ('synapsor_action_contracts'), ('synapsor_plans'), ('synapsor_workflows'),
('synapsor_workers'),
('synapsor_suspensions');

-- By every column of a view that tells whose a row is.
create temporary view views as
select
    view.relname::text as name,
    string_agg(
        case attribute.attname
            when 'tenant_id' then format('select tenant_id from %s', view.oid::regclass)
            when 'run_id' then format(
                'select coalesce(runs.tenant, shown.run_id) from %s as shown
                left join pg_temp.runs using (run_id) where shown.run_id is not null',
                view.oid::regclass
            )
            else format(
                'select coalesce(actions.tenant, shown.action_id) from %s as shown
                left join pg_temp.actions using (action_id) where shown.action_id is not null',
                view.oid::regclass
            )
        end, ' union all '
    ) as query
from pg_class as view
inner join pg_attribute as attribute on view.oid = attribute.attrelid
where view.relnamespace = 'synapsor'::regnamespace and view.relkind in ('v', 'm')
    and view.relname not like '\_%'
    and attribute.attname in ('tenant_id', 'action_id', 'run_id')
group by view.oid, view.relname;

select set_eq(
    $$ select name from views union all select name from views_of_no_tenant $$,
    $$ select relname::text from pg_class
    where relnamespace = 'synapsor'::regnamespace and relkind in ('v', 'm')
        and relname not like '\_%' $$,
    'every view tells whose its rows are, or is known to show none of a tenant'
);

-- Undone afterwards, for it may be a claim.
create function tests.seen(scenario text, login name, query text)
returns text
language plpgsql
as $function$
declare
    listed text;
begin
    perform tests.open(scenario, login);
    execute format('set local session authorization %I', login);
    listed := tests.list(query);
    raise exception using errcode = 'UNDO0';
exception when sqlstate 'UNDO0' then
    return listed;
end
$function$;

create function tests.views_show_their_tenants(walls text, readers text default 'test_%')
returns setof text
language sql
as $function$
    select is_empty(
        format(
            $query$
            select views.name, tests.seen(%1$L, %2$L, views.query) as seen from views
            where tests.seen(%1$L, %2$L, views.query) <> %3$L
            $query$,
            scenarios.scenario, logins.login, scenarios.sees
        ),
        format('%s: with %s, %s sees %s', walls, scenario, login, sees)
    )
    from scenarios cross join logins
    where logins.login like readers;
$function$;

select tests.views_show_their_tenants('both walls');

-- What explanations call to look behind the views
create function tests.private_readers(walls text)
returns setof text
language sql
as $function$
    select is(
        tests.seen(
            scenario, 'test_caller',
            $query$
            select actions.tenant from synapsor._delivery_context(
                array(select actions.action_id from actions)
            ) inner join actions using (action_id)
            union all
            select actions.tenant from synapsor._delivery_history(
                array(select actions.action_id from actions)
            ) inner join actions using (action_id)
            union all
            select actions.tenant from synapsor._policy_places(
                array(select actions.action_id from actions)
            ) inner join actions using (action_id)
            union all
            select actions.tenant from synapsor._adapter_steps(
                array(select actions.action_id from actions)
            ) as step inner join actions on actions.action_id = step.parent_action_id
            union all
            select actions.tenant from runs
            cross join lateral synapsor._refused_attempts(runs.run_id)
            inner join actions using (action_id)
            $query$
        ),
        sees, format('%s: explanations with %s', walls, scenario)
    )
    from scenarios;
$function$;

select tests.private_readers('both walls');

-- What auditors replay. A subject of that name is every tenant's own.
create function tests.replays(walls text)
returns setof text
language sql
as $function$
    select is(
        tests.seen(
            scenario, 'test_auditor',
            $query$
            select actions.tenant from synapsor.replay_policy('test.passes.v1', null, null)
            inner join actions using (action_id)
            $query$
        ),
        sees, format('%s: replay_policy with %s', walls, scenario)
    )
    from scenarios
    union all
    select is(
        tests.seen(
            scenario, 'test_auditor',
            $query$
            select tenant
            from synapsor.replay_events(
                'Thing', 'shared', '[]', 'app.collect(jsonb,jsonb)'
            ) as replayed, jsonb_array_elements_text(replayed.state) as tenant
            $query$
        ),
        sees, format('%s: replay_events with %s', walls, scenario)
    )
    from scenarios
    where sees in ('acme', 'nothing');
$function$;

select tests.replays('both walls');


-- Verbs that name an action or a run

create temporary table verbs (verb text primary key, id_of text, arguments text);
insert into verbs values
('cancel_external_action', 'action', $$%1$L, 'a reason'$$),
('approve_external_action', 'action', '%1$L'),
('reject_external_action', 'action', $$%1$L, 'a note'$$),
('retry_external_action', 'action', $$%1$L, 'a note'$$),
('settle_external_action', 'action', $$%1$L, 'succeeded'$$),
('begin_delivery', 'action', '%1$L, %2$s'),
('begin_deliveries', 'action', $$'[{"action_id": "%1$s", "claim_token": %2$s}]'$$),
('extend_claim', 'action', '%1$L, %2$s'),
('release_claim', 'action', '%1$L, %2$s'),
('confirm_external_action', 'action', $$%1$L, 'succeeded', claim_token => %2$s$$),
(
    'confirm_external_actions', 'action',
    $$'[{"action_id": "%1$s", "claim_token": %2$s, "status": "succeeded"}]'$$
),
('explain_action', 'action', '%1$L'),
('explain_agent_run', 'run', '%1$L'),
('record_agent_step', 'run', $$%1$L, 'parent'$$),
('checkpoint_agent_run', 'run', $$%1$L, 'new'$$),
('interrupt_agent_run', 'run', $$%1$L, 'new', 'a reason'$$),
('hand_off_agent_run', 'run', $$%1$L, 'new', 'somebody', 'a reason'$$),
('record_guardrail_event', 'run', $$%1$L, 'new'$$),
('complete_agent_run', 'run', '%1$L'),
('cancel_run', 'run', $$%1$L, 'a reason'$$),
('resume_run', 'run', '%1$L'),
('invoke_action', 'run', $$'test.plain', '{}', run_id => %1$L$$),
(
    'propose_external_action', 'run',
    $$'test.plain', '{"charge_id": "new", "amount_cents": 1}', run_id => %1$L$$
),
(
    'propose_external_actions', 'run',
    $$'test.plain', array['{"charge_id": "new", "amount_cents": 1}'::jsonb], run_id => %1$L$$
);

select set_eq(
    'select verb from verbs',
    $$ select distinct proname::text from pg_proc
    where pronamespace = 'synapsor'::regnamespace and proname not like '\_%'
        and proargnames[:pronargs]
        && array['action_id', 'action_ids', 'run_id', 'deliveries', 'confirmations'] $$,
    'every public function that names an action or a run is tried'
);

-- All a caller learns: the row, or code, message, detail and hint. Undone afterwards.
create function tests.answer(login name, verb text, arguments text, id text, token bigint)
returns text
language plpgsql
as $function$
declare
    code text;
    fact text;
    detail text;
    hint text;
    answer text;
begin
    begin
        perform tests.open('a session of acme', login);
        execute format('set local session authorization %I', login);
        execute format(
            'select string_agg(answer::text, E''\n'') from synapsor.%I(%s) as answer',
            verb, format(arguments, id, token)
        ) into answer;
        raise exception using errcode = 'UNDO0';
    exception when others then
        get stacked diagnostics code = returned_sqlstate, fact = message_text,
            detail = pg_exception_detail, hint = pg_exception_hint;
    end;
    return replace(
        case code
            when 'UNDO0' then answer
            else concat_ws(' / ', code, fact, detail, hint)
        end,
        id, '<id>'
    );
end
$function$;

create temporary view names as
select
    'action' as id_of,
    tenant,
    action_id as id,
    coalesce(token, 1) as token
from actions
union all
select
    'run' as id_of,
    tenant,
    run_id as id,
    1 as token
from runs;

create temporary view tries as
select
    verbs.*,
    logins.login,
    names.tenant,
    names.id,
    names.token,
    rpad(left(names.id, 4), 30, '0') as nobodys
from verbs
inner join names on verbs.id_of = names.id_of
cross join logins
where has_function_privilege(
    logins.login,
    (
        select function.oid from pg_proc as function
        where function.pronamespace = 'synapsor'::regnamespace and function.proname = verbs.verb
    ),
    'execute'
);

create function tests.others_do_not_exist(walls text)
returns setof text
language sql
as $function$
    select is_empty(
        format(
            $query$
            select login, answers.*
            from tries
            cross join lateral (
                select
                    tests.answer(login, verb, arguments, id, token) as others,
                    tests.answer(login, verb, arguments, nobodys, token) as nobodys
            ) as answers
            where tries.verb = %L and tries.tenant = 'globex'
                and (
                    answers.others is distinct from answers.nobodys
                    or answers.others not like '%%SY011%%'
                )
            $query$,
            verb
        ),
        format('%s: to %s, what is another tenant''s does not exist', walls, verb)
    )
    from verbs;
$function$;

select tests.others_do_not_exist('both walls');

select isnt_empty(
    format(
        $query$
        select from tries
        where verb = %L and tenant = 'acme'
            and tests.answer(login, verb, arguments, id, token) not like '%%SY011%%'
        $query$, verb
    ),
    format('to %s, one''s own does', verb)
)
from verbs;


-- Verbs that take what they find

-- Whose rows a statement changes; undone afterwards.
create function tests.snapshot(tenant text)
returns text
language plpgsql
as $function$
declare
    rows text;
    all_rows text := '';
    source record;
begin
    for source in select name from tables order by name loop
        execute format(
            $$ select string_agg(stored::text, '' order by stored::text)
            from %s as stored where stored.tenant_id = %L $$,
            source.name, snapshot.tenant
        ) into rows;
        all_rows := all_rows || md5(coalesce(rows, ''));
    end loop;
    return all_rows;
end
$function$;

create function tests.touched(
    scenario text, login name, statement text, later interval
)
returns text
language plpgsql
as $function$
declare
    touched text;
    before jsonb := (select jsonb_object_agg(tenant, tests.snapshot(tenant)) from tenants);
begin
    perform tests.advance(later);
    perform tests.open(scenario, login);
    execute format('set local session authorization %I', login);
    execute statement;
    reset session authorization;
    select string_agg(tenant, ', ' order by tenant) into touched
    from tenants where tests.snapshot(tenant) <> before ->> tenant;
    raise exception using errcode = 'UNDO0';
exception when sqlstate 'UNDO0' then
    return coalesce(touched, 'nothing');
end
$function$;

create temporary table sweeps (what text, login name, later interval, statement text);
insert into sweeps values
(
    'claiming', 'test_worker', '0',
    $$ select * from synapsor.claim_external_actions('shared', 1000) $$
),
(
    'claiming to reconcile', 'test_worker', '1 hour',
    $$ select * from synapsor.claim_external_actions('shared', 1000, purpose => 'reconcile') $$
),
(
    'confirming all there is', 'test_worker', '0',
    $$ select * from synapsor.confirm_external_actions((
        select jsonb_agg(jsonb_build_object(
            'action_id', action_id, 'status', 'succeeded', 'claim_token', token
        )) from pg_temp.actions where token is not null
    )) $$
),
('expiring claims', 'test_worker', '1 hour', 'select synapsor.expire_claims()'),
('expiring approvals', 'test_worker', '1 hour', 'select synapsor.expire_approvals()'),
('going on after adapter steps', 'test_worker', '0', 'select synapsor.run_due_steps()'),
('purging', 'test_admin', '1 hour', $$ select synapsor.purge('2026-02-01') $$);

create function tests.sweeps_keep_to_their_tenants(walls text)
returns setof text
language sql
as $function$
    select is(
        tests.touched(scenario, sweeps.login, sweeps.statement, sweeps.later), sees,
        format('%s: with %s, %s', walls, scenario, what)
    )
    from scenarios cross join sweeps
    -- An administrator outside of any tenant purges every tenant, as documented.
    where not (what = 'purging' and sees = 'nothing');
$function$;

select tests.sweeps_keep_to_their_tenants('both walls');

select is(
    tests.seen(
        scenario, 'test_worker',
        $$ select tenant_id from synapsor.claim_external_actions('shared', 1000) $$
    ),
    sees, 'a claim hands out, with ' || scenario
)
from scenarios;


-- The first wall alone

select lives_ok(format('alter table %s disable row level security', name)) from tables;

select tests.views_show_their_tenants('the first wall', 'test_auditor');
select tests.private_readers('the first wall');
select tests.replays('the first wall');
select tests.others_do_not_exist('the first wall');
select tests.sweeps_keep_to_their_tenants('the first wall');

select lives_ok(format('alter table %s enable row level security', name)) from tables;


-- The second wall alone: the owner of the tables, who asks for no tenant

create function tests.as_owner(scenario text, query text)
returns text
language plpgsql
as $function$
declare
    answer text;
begin
    perform tests.open(scenario, session_user);
    set local role synapsor_owner;
    begin
        execute query into answer;
    exception when others then
        answer := sqlstate;
    end;
    reset role;
    return coalesce(answer, 'nothing');
end
$function$;

select is(
    tests.as_owner(
        scenario,
        format(
            $$ select string_agg(distinct tenant_id, ', ' order by tenant_id) from %s $$, name
        )
    ),
    sees,
    format('the second wall: with %s, %s', scenario, name)
)
from tables cross join scenarios;

select is(
    tests.as_owner(
        'a session of acme',
        format(
            $$ insert into %1$s
            select (jsonb_populate_record(null::%1$s, to_jsonb(s) || '{"tenant_id": "globex"}')).*
            from %1$s as s limit 1 $$,
            name
        )
    ),
    '42501',
    format('the second wall: nothing is written into another tenant of %s', name)
)
from tables;

select * from finish();
rollback;
