-- Identifiers, the catalogue of error codes, the roles.

begin;

select plan(11);

-- Identifiers

select matches(
    synapsor._new_id('act_'), '^act_0[0-9A-HJKMNP-TV-Z]{25}$', 'a prefix and 26 letters'
);
select
    is(
        count(distinct synapsor._new_id('')), 10000::bigint, 'no two are equal'
    )
from generate_series(1, 10000);
select is(
    (select min(times) > 150 and max(times) < 500 and count(*) = 16 * 32 from (
        select
            random.place,
            random.letter,
            count(*) as times
        from (
            select synapsor._new_id('') as id from generate_series(1, 10000)
        ) as made
        cross join
            lateral regexp_split_to_table(substr(made.id, 11), '')
            with ordinality as random (letter, place)
        group by random.place, random.letter
    ) as counted),
    true,
    'every random letter is every letter equally often'
);
select tests.at('2026-01-01 00:00:00.001+00');
select is(
    left(synapsor._new_id(''), 10), '01KDVDNA01', 'ten letters of milliseconds'
);


-- Error codes

set session authorization test_stranger;
select
    is(
        count(*), 28::bigint, 'everybody reads the catalogue of error codes'
    )
from synapsor.synapsor_error_codes;
select is_empty(
    $query$
    select code from synapsor.synapsor_error_codes
    where code !~ '^SY[0-9]{3}$'
        or condition !~ '^[a-z_]+$'
        or meaning !~ '^[A-Z].*[.]$'
        or retryable is null
        or http_status not between 400 and 599
    $query$,
    'every code is complete'
);
select
    is(
        count(distinct code) + count(distinct condition),
        56::bigint,
        'codes and conditions are unique'
    )
from synapsor.synapsor_error_codes;
reset session authorization;


-- Roles

select
    is(
        array_agg(rolname::text order by rolname),
        array[
            'synapsor_admin', 'synapsor_approver', 'synapsor_auditor', 'synapsor_caller',
            'synapsor_gateway', 'synapsor_guest', 'synapsor_owner', 'synapsor_worker'
        ],
        'the roles of the design, and no others'
    )
from pg_roles
where rolname like 'synapsor\_%' and not rolcanlogin;
select is(
    array_agg(rolname::text) filter (where shobj_description(oid, 'pg_authid') is null), null,
    'each tells what it is for'
)
from pg_roles
where rolname like 'synapsor\_%' and not rolcanlogin;
select is(
    pg_has_role('synapsor_admin', 'synapsor_caller', 'usage')
    and pg_has_role('synapsor_admin', 'synapsor_auditor', 'usage')
    and not pg_has_role('synapsor_admin', 'synapsor_approver', 'member')
    and not pg_has_role('synapsor_admin', 'synapsor_gateway', 'member')
    and not pg_has_role('synapsor_admin', 'synapsor_worker', 'member'),
    true,
    'an administrator is a caller and an auditor, and nothing else'
);
select is(
    has_schema_privilege('synapsor_owner', 'synapsor', 'create')
    or has_schema_privilege('synapsor_admin', 'synapsor', 'create')
    or has_schema_privilege('test_stranger', 'synapsor', 'create'),
    false,
    'nobody, not even the owner of the functions, can put anything into the schema'
);

select * from finish();
rollback;
