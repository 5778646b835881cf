-- State machines: what is declared, which transition is allowed, how an entity is looked up.

begin;

select plan(76);

create function tests.machine(overrides jsonb default '{}')
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
begin atomic
    select $json${
        "entity_type": "Invoice",
        "states": {"open": "initial", "paid": "active", "refunded": "terminal"},
        "transitions": [
            {"from": "open", "to": "paid", "action": "billing.record_payment"},
            {"from": "paid", "to": "refunded", "action": "billing.record_refund"}
        ]
    }$json$::jsonb || machine.overrides;
end;

create function tests.transition(
    from_state text, to_state text, action text, entity_type text default 'Invoice'
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform synapsor._check_transition(entity_type, from_state, to_state, action);
end
$function$;

create function tests.state(entity_id text, overrides jsonb default '{}')
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return synapsor._current_state(
        $json${
            "entity_type": "Invoice", "table": "app.invoices", "id_column": "id",
            "state_column": "state"
        }$json$::jsonb || overrides,
        entity_id
    );
end
$function$;

alter function tests.transition(text, text, text, text) owner to synapsor_owner;
alter function tests.state(text, jsonb) owner to synapsor_owner;


-- Declaring

select tests.session('acme', 'dora');
set session authorization test_admin;

select is(
    to_jsonb(machine) - 'declared_at',
    jsonb_build_object(
        'entity_type', 'Invoice', 'version', 1, 'states', tests.machine() -> 'states',
        'transitions', tests.machine() -> 'transitions', 'description', null, 'declared_by', 'dora'
    ),
    'the stored version is returned'
)
from synapsor.declare_state_machine(tests.machine()) as machine;
select is(
    (synapsor.declare_state_machine(tests.machine())).version, 1, 'the same again is no version'
);
select is(
    (synapsor.declare_state_machine(tests.machine('{"transitions": []}'))).version, 2,
    'another one is the next version'
);
select is(
    (synapsor.declare_state_machine(tests.machine())).version, 3, 'and A, B, A make three'
);
select is(
    (synapsor.declare_state_machine(tests.machine('{"entity_type": "A"}'))).version, 1,
    'each entity type counts for itself'
);
select is(
    (synapsor.declare_state_machine(jsonb_build_object(
        'entity_type', 'AllClasses', 'description', 'why', 'transitions', '[]'::jsonb, 'states',
        $json${"a": "initial", "b": "active", "c": "action_required", "d": "waiting",
            "e": "terminal", "in limbo": "exception"}$json$::jsonb
    ))).description,
    'why',
    'every class of state, any name of a state'
);

select tests.raises(
    format('select synapsor.declare_state_machine(%L)', definition),
    'SY002', null, detail, null, definition
)
from (
    values
    ('[]', 'A array was given.'),
    ('null', 'A null was given.'),
    (tests.machine('{"entity_type": "invoice"}')::text, 'entity_type does not match%'),
    (tests.machine('{"entity_type": "In voice"}')::text, 'entity_type does not match%'),
    (tests.machine('{"entity_type": 1}')::text, 'entity_type does not match%'),
    (tests.machine()::jsonb - 'entity_type' #>> '{}', 'entity_type does not match%'),
    (tests.machine('{"entity_type": "I\n"}')::text, 'entity_type does not match%'),
    (tests.machine(jsonb_build_object('entity_type', rpad('A', 129, 'a')))::text, 'entity_type%'),
    (tests.machine('{"states": {}}')::text, 'states is not an object of at least one%'),
    (tests.machine('{"states": ["open"]}')::text, 'states is not an object%'),
    (tests.machine('{"transitions": {}}')::text, 'transitions is not an array'),
    (tests.machine()::jsonb - 'transitions' #>> '{}', 'transitions is not an array'),
    (tests.machine('{"transitions": [1]}')::text, 'transitions[0] is not an object'),
    (tests.machine('{"color": "red"}')::text, 'color is no key of a state machine'),
    (tests.machine('{"description": 7}')::text, 'description is not a text%'),
    (
        tests.machine('{"states": {"open": "begun", "paid": "active", "refunded": 3}}')::text,
        'states.open is none of initial, active, action_required, waiting, terminal, exception'
        || E'\nstates.refunded is none of %'
    ),
    (
        tests.machine('{"states": {"open": "initial", " ": "active", "paid": "active",
            "refunded": "active"}}')::text,
        'states.  is not a name of 1 to 255 characters'
    ),
    (
        tests.machine('{"transitions": [{"from": "open", "to": "gone", "action": "x"}]}')::text,
        E'transitions[0].to is not one of the states\ntransitions[0].action does not match%'
    ),
    (
        tests.machine('{"transitions": [{"to": "open", "action": "a.b", "by": 1}]}')::text,
        E'transitions[0].by is no key of a transition\ntransitions[0].from is not one of %'
    ),
    (
        tests.machine('{"transitions": [{"from": "open", "to": "paid", "action": "a.b"},
            {"action": "a.b", "from": "open", "to": "paid"}]}')::text,
        'transitions names open to paid by a.b twice'
    ),
    (
        '{"entity_type": "x", "states": 1, "transitions": 1, "more": 1}',
        E'more is no key of a state machine\nentity_type %\nstates is %\ntransitions is %'
    )
) as refused (definition, detail);

set session authorization test_caller;
select tests.raises(
    'select synapsor.declare_state_machine(tests.machine())', '42501', null, null, null,
    'only administrators declare'
);
select tests.raises(
    'select * from synapsor.state_machines', '42501', null, null, null, 'nobody reads the table'
);


-- Judging

select lives_ok(
    $$ select tests.transition('paid', 'refunded', 'billing.record_refund') $$,
    'the exact (from, to, action) is allowed'
);
select tests.raises(
    format('select tests.transition(%L, %L, %L)', from_state, to_state, action),
    'SY010', message, detail, null, coalesce(from_state, 'null') || ' → ' || to_state
)
from (
    values
    (
        'open', 'refunded', 'billing.record_refund',
        'Invoice may not go from open to refunded by billing.record_refund',
        'From open lead: paid by billing.record_payment.'
    ),
    ('paid', 'refunded', 'billing.record_payment', null, 'From paid lead: refunded by billing%'),
    ('refunded', 'paid', 'billing.record_refund', null, 'From refunded lead: no transitions.'),
    ('paid', 'paid', 'billing.record_refund', null, 'From paid lead: %'),
    ('lost', 'paid', 'billing.record_payment', null, 'The present state, ''lost'', is not one of%'),
    (null, 'paid', 'billing.record_payment', null, 'The present state, null, is not one of%'),
    ('open', 'gone', 'billing.record_payment', null, 'The target state, ''gone'', is not one%'),
    ('open', null, 'billing.record_payment', null, 'The target state, null, is not one of%')
) as refused (from_state, to_state, action, message, detail);
select tests.raises(
    $$ select tests.transition('a', 'b', 'a.b', 'Nothing') $$,
    'SY010', null, 'No state machine is declared for Nothing.'
);

set session authorization test_admin;
select (synapsor.declare_state_machine(tests.machine('{"transitions": []}'))).version;
select tests.raises(
    $$ select tests.transition('paid', 'refunded', 'billing.record_refund') $$,
    'SY010', null, null, null, 'the latest version judges'
);
reset session authorization;


-- Looking up

create role app_owner;
create schema app;
grant usage, create on schema app to app_owner;
create table app.invoices (
    id uuid primary key, state text, number bigint unique, code varchar(3), padded char(5),
    amount numeric
);
insert into app.invoices values
('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'paid', 1, 'abc', 'ab', 1.50),
('b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', null, -2, 'xyz', 'x', 2),
('c0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'open', 3, 'abc', 'abcde', 3);
alter table app.invoices owner to app_owner;
do $do$
begin
    execute $sql$
        create schema "Odd schema";
        create table "Odd schema"."Odd ""table" ("Odd id" integer, "Odd state" varchar);
        insert into "Odd schema"."Odd ""table" values (1, 'odd');
        grant usage on schema "Odd schema" to synapsor_guest;
        grant select, update on "Odd schema"."Odd ""table" to synapsor_guest;
    $sql$;
end
$do$;

select tests.raises(
    $$ select tests.state('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11') $$,
    'SY007', 'the state of Invoice cannot be read: permission denied for schema app', null,
    'grant usage on schema app to synapsor_guest; '
    'grant select (id, state), update (state) on app.invoices to synapsor_guest;'
);
grant usage on schema app to synapsor_guest;
select tests.raises(
    $$ select tests.state('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11') $$,
    'SY007', '%permission denied for table invoices'
);
grant select (id, state), update (state) on app.invoices to synapsor_guest;

set session authorization test_caller;
select is(
    tests.state('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), 'paid', 'the grants of the hint suffice'
);
select is(tests.state('b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), null, 'a state may be null');
reset session authorization;

grant select, update on app.invoices to synapsor_guest;
select is(
    tests.state('1', $json${"table": "\"Odd schema\".\"Odd \"\"table\"", "id_column": "Odd id",
        "state_column": "Odd state"}$json$),
    'odd',
    'names need no manners'
);
select is(tests.state(id, jsonb_build_object('id_column', named)), state, named || ' ' || id)
from (
    values
    ('number', '1', 'paid'), ('number', '3', 'open'), ('amount', '1.50', 'paid'),
    ('padded', 'ab', 'paid'), ('padded', 'abcde', 'open'), ('code', 'xyz', null)
) as entity (named, id, state);
select tests.raises(
    format('select tests.state(%L, %L)', id, overrides), 'SY011',
    'Invoice ' || coalesce(quote_literal(id), 'null') || ' does not exist', detail, null,
    overrides || ' ' || coalesce(id, 'null')
)
from (
    values
    ('d0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{}', 'No row of app.invoices has that id%'),
    ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{}', '%as the database writes it.'),
    ('x; drop table app.invoices', '{}', 'No row%'),
    (null, '{}', 'No row%'),
    (' 1', '{"id_column": "number"}', 'No row%'),
    ('01', '{"id_column": "number"}', 'No row%'),
    ('99999999999999999999', '{"id_column": "number"}', 'No row%'),
    ('1.5', '{"id_column": "amount"}', 'No row%'),
    ('abcd', '{"id_column": "code"}', 'No row%'),
    ('abc', '{"id_column": "code"}', 'More than one row of app.invoices has that id.'),
    ('abcdef', '{"id_column": "padded"}', 'No row%'),
    ('1', '{"table": "app.nothing"}', 'The contract is bound to a table that does not fit: rel%'),
    ('1', '{"table": "invoices"}', 'The contract is bound to a table that does not fit%'),
    ('1', '{"id_column": "nothing"}', 'The contract is bound to a table that does not fit: col%'),
    ('1', '{"id_column": "number", "state_column": "nothing"}', 'The contract is bound to%')
) as missing (id, overrides, detail);

create temporary table invoices as select * from app.invoices;
select tests.raises(
    format('select tests.state(%L, %L)', '1', '{"id_column": "number", "table": "' || name || '"}'),
    'SY011', null, null, null, 'no temporary table stands in as ' || name
)
from (values ('invoices'), ('pg_temp.invoices')) as shadow (name);


-- Whatever the table runs, it runs as synapsor_guest, and leaves nothing behind

create table app.notes (note text);
grant insert on app.notes to public;
create function app.policy()
returns boolean
language plpgsql
as $function$
declare
    attack text;
    outcome text;
begin
    foreach attack in array array[
        'set local role synapsor_owner',
        'select count(*) from synapsor.action_contracts',
        'select synapsor._session()',
        'create or replace function synapsor._guest_state(table_name text, id_column text, '
        'state_column text, entity_id text, plain_only boolean) returns jsonb language sql as ''select null::jsonb'''
    ] loop
        outcome := 'succeeded';
        begin
            execute attack;
        exception
            when others then outcome := sqlstate;
        end;
        insert into app.notes values (current_user || ': ' || outcome);
    end loop;
    perform pg_advisory_lock(42), synapsor.close_session();
    return true;
end
$function$;
alter table app.invoices enable row level security;
create policy guests on app.invoices for all to synapsor_guest using (app.policy());

savepoint looking;
select tests.session('acme', 'alice');
select is(
    tests.state('1', '{"id_column": "number"}'), 'paid', 'a policy of the table is asked'
);
select results_eq(
    'select distinct note from app.notes', $$ values ('synapsor_guest: 42501') $$,
    'as synapsor_guest, who may do nothing'
);
select is(synapsor.current_session() ->> 'principal', 'alice', 'the session is the same');
select is(
    (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
    0::bigint, 'no lock is left'
);
rollback to looking;

create or replace function app.policy()
returns boolean
language plpgsql
as $function$
begin
    alter function synapsor._guest_state(text, text, text, text, boolean) security invoker;
    return true;
end
$function$;
select is(tests.state('1', '{"id_column": "number"}'), 'paid', 'what it can do is damage');
select tests.raises(
    $$ select tests.state('1', '{"id_column": "number"}') $$,
    'SY007', '%the trampoline synapsor._guest_state has been altered%', null, null,
    'but the trampoline then refuses to work'
);
rollback to looking;

drop policy guests on app.invoices;
create policy guests on app.invoices for all to synapsor_guest using (
    synapsor.current_session() ->> 'tenant_id' = 'acme'
);
select tests.session('acme', 'alice');
select is(tests.state('1', '{"id_column": "number"}'), 'paid', 'a policy may ask for the tenant');
select tests.session('globex', 'gil');
select tests.raises(
    $$ select tests.state('1', '{"id_column": "number"}') $$, 'SY011', null, null, null,
    'so that an entity of another tenant does not exist'
);

select * from finish();
rollback;
