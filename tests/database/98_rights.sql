-- Who may do what: the table of design.md section 3, tried out verb by verb and role by role.
--
-- The matrix is the test: a verb or view that is not in it fails, and so does one it grants to
-- somebody else than told. Every cell is asked of the catalogue and tried by a real call.

begin;

select no_plan();

create temporary table logins (login text primary key, place integer);
insert into logins values
('caller', 1), ('approver', 2), ('worker', 3), ('auditor', 4), ('admin', 5), ('gateway', 6),
('stranger', 7);

-- The lines of a matrix: a name, a cell for each login (x granted, . not), and what the call is
-- tried with.
create function tests.matrix(lines text)
returns table (name text, granted text, arguments text)
language sql
as $function$
    select
        cells[1],
        (
            select coalesce(string_agg(logins.login, ', ' order by logins.place), 'nobody')
            from logins where cells[logins.place + 1] = 'x'
        ),
        coalesce(array_to_string(cells[9:], ' '), '')
    from regexp_split_to_table(lines, '\n') as line
    cross join lateral regexp_split_to_array(btrim(line), '\s+') as cells
    where btrim(line) <> '';
$function$;

-- Runs a statement as a login with a session of acme, undoes it, and tells what came of it.
create function tests.attempt(login text, statement text)
returns text
language plpgsql
as $function$
declare
    code text;
    reason text;
begin
    perform tests.session('acme', 'alice');
    begin
        if login <> 'superuser' then
            execute format('set local session authorization %I', 'test_' || login);
        end if;
        execute statement;
        raise exception using errcode = 'UNDO0';
    exception when others then
        get stacked diagnostics code = returned_sqlstate, reason = message_text;
    end;
    return case
        when code = 'UNDO0' then 'done'
        when code like 'SY%' then 'judged'
        else code || ' ' || reason
    end;
end
$function$;

-- Which of the logins got through, and whoever met something else than the missing right to what
-- was asked for.
create function tests.who_gets_through(statement text, refusal text)
returns text
language sql
as $function$
    select coalesce(string_agg(
        case
            when tried.outcome in ('done', 'judged') then logins.login
            else format('%s (%s)', logins.login, tried.outcome)
        end,
        ', ' order by logins.place
    ), 'nobody')
    from logins
    cross join lateral tests.attempt(logins.login, statement) as tried (outcome)
    where tried.outcome <> '42501 ' || refusal;
$function$;


-- Verbs

-- Beyond the table of section 3: workers explain, because they read the views that an explanation
-- is made of; administrators sweep what has expired, as any scheduler may.
create temporary table verbs as
select * from tests.matrix($matrix$
    open_session              x x x x x x x  'token'
    close_session             x x x x x x x
    current_session           x x x x x x x
    set_session               . . . . . x .  '{"principal": "p"}'
    bind_role                 . . . . x . .  'test_caller', '{}'
    add_session_key           . . . . x . .  'k', repeat('k', 32)
    remove_session_key        . . . . x . .  'k'

    declare_action            . . . . x . .  '{}'
    retire_action             . . . . x . .  'test.none'
    declare_module            . . . . x . .  'none'
    entitle_tenant            . . . . x . .  'none', 'none'
    set_member                . . . . x . .  'none', 'none'
    declare_policy            . . . . x . .  '{}'
    declare_state_machine     . . . . x . .  '{}'
    declare_plan              . . . . x . .  '{}'
    declare_workflow          . . . . x . .  '{}'
    declare_provider          . . . . x . .  '{}'
    weigh_tenant              . . . . x . .  'none', 1
    declare_redaction         . . . . x . .  'none', 'none', 'none'
    replay_policy             . . . x x . .  'none.v1', null, null
    replay_events             . . . x x . .  'None', 'none', null, null

    start_agent_run           x . . . x . .
    record_agent_step         x . . . x . .  'run_none', 'step'
    checkpoint_agent_run      x . . . x . .  'run_none', 'step'
    interrupt_agent_run       x . . . x . .  'run_none', 'step', 'reason'
    hand_off_agent_run        x . . . x . .  'run_none', 'step', 'target', 'reason'
    record_guardrail_event    x . . . x . .  'run_none', 'step'
    complete_agent_run        x . . . x . .  'run_none'

    start_plan                x . . . x . .  'none'
    cancel_run                x x . . x . .  'run_none', 'reason'
    resume_run                x . . . x . .  'run_none'

    invoke_action             x . . . x . .  'test.none', '{}'
    preview_action            x . . . x . .  'test.none', '{}'
    propose_external_action   x . . . x . .  'test.none', '{}'
    propose_external_actions  x . . . x . .  'test.none', array['{}'::jsonb]
    cancel_external_action    x x . . x . .  'act_none', 'reason'

    approve_external_action   . x . . . . .  'act_none'
    reject_external_action    . x . . . . .  'act_none', 'note'
    retry_external_action     . x . . x . .  'act_none', 'note'
    settle_external_action    . x x . x . .  'act_none', 'failed'

    claim_external_actions    . . x . . . .  'none'
    begin_delivery            . . x . . . .  'act_none', 1
    begin_deliveries          . . x . . . .  '[]'
    extend_claim              . . x . . . .  'act_none', 1
    release_claim             . . x . . . .  'act_none', 1
    confirm_external_action   . . x . . . .  'act_none', 'failed'
    confirm_external_actions  . . x . . . .  '[]'
    worker_heartbeat          . . x . . . .  'label', array['none']
    expire_claims             . . x . x . .
    expire_approvals          . . x . x . .
    run_due_steps             . . x . x . .

    suspend                   . x . . x . .  'queue', 'none', 'reason'
    resume                    . . . . x . .  'queue', 'none'
    quarantine_after_restore  . . . . x . .  'reason'
    purge                     . . . . x . .  '2000-01-01'

    explain_action            x x x x x . .  'act_none'
    explain_agent_run         x x x x x . .  'run_none'
    execute                   x x x x x x .  'nonsense'
    explain_plan              x x x x x . .  'none'
$matrix$);

create temporary view functions as
select
    function.oid,
    function.proname::text as name,
    coalesce((
        select string_agg(logins.login, ', ' order by logins.place)
        from logins
        where has_function_privilege('test_' || logins.login, function.oid, 'execute')
    ), 'nobody') as granted
from pg_proc as function
where function.pronamespace = 'synapsor'::regnamespace;

select set_eq(
    $$ select name from functions where name not like '\_%' $$,
    'select name from verbs',
    'the matrix has every public function and no other'
);

select is(functions.granted, verbs.granted, format('EXECUTE on %s', functions.oid::regprocedure))
from functions
inner join verbs on functions.name = verbs.name
order by verbs.name;

select is(
    tests.who_gets_through(
        format('select * from synapsor.%I(%s)', verbs.name, verbs.arguments),
        'permission denied for function ' || verbs.name
    ),
    verbs.granted,
    'calling ' || verbs.name
)
from verbs
order by verbs.name;


-- Private functions

-- Executed by the owner alone, but for what runs with the rights of whoever reads a view or asks
-- for an explanation. These tell the caller only of itself, compute on their arguments, or filter
-- by session on their own (97_tenants.sql).
create temporary table readers as
select
    matrix.name,
    matrix.granted,
    matrix.arguments as reason
from tests.matrix($matrix$
    _now                     x x x x x x .  the clock
    _session                 x x x x x x .  the caller's own session
    _visible_tenants         x x x x x x .  of the caller's own session
    _sees_every_tenant       x x x x x x .  of the caller's own session
    _seen_tenants            x x x x x x .  of the caller's own session
    _caller_role             x x x x x x .  the caller itself
    _caller_has              x x x x x x .  the caller itself
    _parse_statement         x x x x x x .  statements: computes on its argument
    _explained_lines         x x x x x x .  statements: computes on its arguments
    _show                    x x x x x x .  statements: security invoker over the views
    _describe_action         x x x x x x .  statements: security invoker over the view
    _describe_workflow       x x x x x x .  statements: security invoker over the view
    _redact                  x x x x x . .  views: computes on its arguments
    _preview                 x x x x x . .  explanations: computes on its arguments
    _named_violations        x x x x x . .  explanations: computes on its arguments
    _describe_violations     x x x x x . .  explanations: computes on its arguments
    _require_explain_format  x x x x x . .  explanations: computes on its arguments
    _explain                 x x x x x . .  explanations: computes on its arguments
    _explained_actions       x x x x x . .  explanations: security invoker over the views
    _delivery_context        x x x x x . .  explanations: filters by session itself
    _held_up                 x x x x x . .  stuck actions: filters by session itself
    _provider_health         x x x x x . .  the view of its name: filters by session itself
    _refused_attempts        x x x x x . .  explanations: filters by session itself
    _idle_nodes              x x x x x . .  explanations: filters by session itself
    _delivery_history        x x x x x . .  explanations: filters by session itself
    _adapter_steps           x x x x x . .  explanations: filters by session itself
    _policy_places           x x x x x . .  explanations: filters by session itself
    _grouped_by_action       x x x x x . .  explanations: computes on its arguments
    _outline_plan            x x x x x . .  explanations: plans belong to no tenant; filters members by session
    _previewed_nodes         x x x x x . .  explanations: security invoker over preview_action
    _draw_outlook            x x x x x . .  explanations: computes on its arguments
    _crockford_pairs         x x x x x . .  views: computes on its arguments
    _ulid                    x x x x x . .  views: computes on its arguments
    _event_id                x x x x x . .  views: computes on its arguments
    _has_redactions          x x x x x . .  views: of the caller itself
    _shown                   x x x x x . .  views: computes on its arguments, by the rules
    _step_digest             x x x x x . .  views: computes on its arguments
    _cloud_event             x x x x x . .  views: computes on its arguments
    _as_uri_segment          x x x x x . .  views: computes on its arguments
$matrix$) as matrix;

select set_eq(
    $$ select name, granted from functions where name like '\_%' and granted <> 'nobody' $$,
    'select name, granted from readers',
    'private functions are executed by nobody but the owner, with the listed exceptions'
);

select is_empty(
    $query$
    select functions.oid::regprocedure, role.rolname
    from functions
    cross join pg_roles as role
    where functions.name like '\_%'
        and functions.name not in (select name from readers)
        and role.rolname not in ('synapsor_owner', 'synapsor_guest')
        and not role.rolsuper
        and has_function_privilege(role.oid, functions.oid, 'execute')
    $query$,
    'by no other role of the cluster either'
);

-- A pretended elevation, a session out of thin air, the state of an action.
select is(
    tests.who_gets_through(
        'select synapsor.' || private.call,
        'permission denied for function ' || split_part(private.call, '(', 1)
    ),
    'nobody',
    'calling ' || split_part(private.call, '(', 1)
)
from (values
    ($$_as_every_tenant('select 1')$$),
    ($$_replace_session('{"principal": "root", "tenants": "*"}')$$),
    ($$_write_session_slot(1, '{"principal": "root", "tenants": "*"}')$$),
    ($$_read_session_slot('', 1)$$),
    ($$_lock_action('act_none')$$),
    ($$_finish(null, 'Failed', 'failed')$$),
    ($$_external_action('act_none', true)$$),
    ($$_purge(now(), 1)$$)
) as private (call);


-- What EXECUTE cannot tell: own and any, claimed and not

select tests.a_contract('{"queue": "rights"}', 'test.rights');
select tests.session('acme', 'alice');
create temporary table mine as
select proposed.action_id
from synapsor.propose_external_action(
    'test.rights', '{"charge_id": "c", "amount_cents": 1}'
) as proposed;
grant select on mine to public;

create function tests.as_bob(login text, statement text)
returns text
language plpgsql
as $function$
begin
    perform tests.session('acme', 'bob');
    execute format('set local session authorization %I', 'test_' || login);
    return tests.raises(
        statement, 'SY007', description => format('%s: %s', login, statement)
    );
end
$function$;

select tests.as_bob('caller', 'select synapsor.cancel_external_action(action_id, null) from mine');
reset session authorization;
select tests.as_bob(
    'worker', $$ select synapsor.settle_external_action(action_id, 'failed') from mine $$
);
reset session authorization;
select tests.session('acme', 'bob');
set session authorization test_approver;
select is(
    (select (synapsor.cancel_external_action(action_id, null)).status from mine),
    'cancelled',
    'an approver cancels any'
);
reset session authorization;


-- Views

create temporary table views as
select * from tests.matrix($matrix$
    synapsor_error_codes             x x x x x x x
    synapsor_action_contracts        x x x x x . .
    synapsor_plans                   x x x x x . .
    synapsor_workflows               x x x x x . .
    synapsor_action_invocations      x x x x x . .
    synapsor_external_actions        x x x x x . .
    synapsor_external_action_events  x x x x x . .
    synapsor_pending_approvals       x x x x x . .
    synapsor_approvals               x x x x x . .
    synapsor_policy_evaluations      x x x x x . .
    synapsor_events                  x x x x x . .
    synapsor_agent_workflow_runs     x x x x x . .
    synapsor_agent_run_steps         x x x x x . .
    synapsor_run_graph               x x x x x . .
    synapsor_queue_stats             x x x x x . .
    synapsor_stuck_actions           x x x x x . .
    synapsor_suspensions             x x x x x . .
    synapsor_workers                 x x x x x . .
    synapsor_provider_health         x x x x x . .
$matrix$);

create temporary view relations as
select
    relation.oid,
    relation.relname::text as name,
    relation.relkind as kind
from pg_class as relation
where relation.relnamespace = 'synapsor'::regnamespace
    and relation.relkind in ('r', 'p', 'v', 'm', 'S', 'f');

select set_eq(
    $$ select name from relations where kind in ('v', 'm') and name not like '\_%' $$,
    'select name from views',
    'the matrix has every public view and no other'
);

select is(
    tests.who_gets_through(
        format('select * from synapsor.%I', views.name),
        'permission denied for view ' || views.name
    ),
    views.granted,
    'reading ' || views.name
)
from views
order by views.name;


-- Everything else: nobody reads or writes a table, a sequence or a private view, nobody writes
-- through a public one.

create temporary view statements as
select
    relations.*,
    attempt.statement
from relations
cross join lateral (
    select quote_ident(attribute.attname) as name
    from pg_attribute as attribute
    where attribute.attrelid = relations.oid and attribute.attnum > 0
        and not attribute.attisdropped and attribute.attidentity = ''
    order by attribute.attnum
    limit 1
) as field
cross join lateral (values
    (format('select from %s', relations.oid::regclass)),
    (format('select %s from %s', field.name, relations.oid::regclass)),
    (format('insert into %s default values', relations.oid::regclass)),
    (format('update %s set %s = %s', relations.oid::regclass, field.name, field.name)),
    (format('delete from %s', relations.oid::regclass)),
    (format('truncate %s', relations.oid::regclass)),
    (format('lock table %s', relations.oid::regclass)),
    (format('select nextval(%L)', relations.oid::regclass)),
    (format('select setval(%L, 1)', relations.oid::regclass)),
    (format('comment on table %s is null', relations.oid::regclass)),
    (format('drop table %s', relations.oid::regclass))
) as attempt (statement)
where case
    when relations.kind = 'S' then attempt.statement ~ 'nextval|setval|^select from'
    when attempt.statement ~ 'nextval|setval' then false
    when relations.kind = 'v' and relations.name like 'synapsor\_%'
        then attempt.statement ~ '^(insert|update|delete)'
    when relations.kind = 'v' then attempt.statement ~ '^(select|insert|update|delete)'
    else true
end;

-- Some views cannot be written through by anybody, which is told before rights are looked at.
select is_empty(
    format(
        $query$
        select logins.login, statements.statement, tried.outcome
        from statements
        cross join logins
        cross join lateral tests.attempt(logins.login, statements.statement) as tried (outcome)
        where statements.oid = %s
            and tried.outcome not like '42501 permission denied for %%'
            and tried.outcome not like '42501 must be owner of %%'
            and not (statements.kind = 'v' and tried.outcome like '55000 cannot %%')
        $query$,
        relations.oid
    ),
    format('nobody touches %s', relations.name)
)
from relations
order by relations.kind, relations.name;

select is_empty(
    $query$
    select statement, tried.outcome
    from statements
    cross join lateral tests.attempt('superuser', statement) as tried (outcome)
    where tried.outcome like '42%' and tried.outcome not like '% row-level security policy %'
    $query$,
    'and it is not for the statements that they are refused'
);

select is_empty(
    $query$
    select role.rolname, relations.name, privilege
    from relations
    cross join pg_roles as role
    cross join unnest(array['select', 'insert', 'update', 'references']) as privilege
    where relations.kind <> 'S'
        and role.rolname ~ '^(synapsor|test)_' and role.rolname <> 'synapsor_owner'
        and has_any_column_privilege(role.oid, relations.oid, privilege)
        and not (privilege = 'select' and relations.name in (select name from views))
    union all
    select role.rolname, relations.name, privilege
    from relations
    cross join pg_roles as role
    cross join unnest(array['delete', 'truncate', 'trigger']) as privilege
    where relations.kind <> 'S'
        and role.rolname ~ '^(synapsor|test)_' and role.rolname <> 'synapsor_owner'
        and has_table_privilege(role.oid, relations.oid, privilege)
    $query$,
    'nor has anybody a right on a table, a column, or more than reading on a view'
);

-- These two predefined roles reach into every table, but not past a policy.
grant pg_read_all_data, pg_write_all_data to test_stranger;
select synapsor.add_session_key('kid', repeat('k', 32));
select synapsor.bind_role('test_caller', '{}');
create function tests.rows_shown(query text)
returns bigint
language plpgsql
as $function$
declare
    shown bigint;
begin
    set local session authorization test_stranger;
    execute query into shown;
    reset session authorization;
    return shown;
end
$function$;
select is(
    tests.rows_shown('select count(*) from ' || name), 0::bigint,
    'pg_read_all_data shows nothing of ' || name
)
from (values ('synapsor.session_keys'), ('synapsor.role_bindings')) as secrets (name);

-- Whoever may create something in the schema could stand in front of what is there.
select is_empty(
    $query$
    select rolname from pg_roles
    where not rolsuper and has_schema_privilege(oid, 'synapsor', 'create')
    $query$,
    'nobody creates anything in the schema'
);

select * from finish();
rollback;
