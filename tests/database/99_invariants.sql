-- Rules that the catalogue can check, so that no review has to.

begin;

select plan(22);

do $do$
begin
    if exists (select from pg_available_extensions where name = 'plpgsql_check') then
        create extension plpgsql_check;
    end if;
end
$do$;

-- What the extension owns. Everything it makes lies in its schema.
create temporary view members as
select
    member.classid,
    member.objid
from pg_depend as member
inner join pg_extension as extension on member.refobjid = extension.oid
where
    member.refclassid = 'pg_extension'::regclass
    and member.deptype = 'e'
    and extension.extname = 'synapsor';

create temporary view functions as
select
    function.*,
    language.lanname as language,
    function.oid::regprocedure::text as signature
from pg_proc as function
inner join pg_language as language on function.prolang = language.oid
where function.pronamespace = 'synapsor'::regnamespace;

create temporary view relations as
select
    relation.*,
    relation.oid::regclass::text as name
from pg_class as relation
where relation.relnamespace = 'synapsor'::regnamespace;


-- Membership

select is_empty(
    $query$
    select signature from functions where oid not in (
        select objid from members where classid = 'pg_proc'::regclass
    )
    union all
    select name from relations where relkind in ('r', 'p', 'v', 'm', 'c') and oid not in (
        select objid from members where classid = 'pg_class'::regclass
    ) and oid not in (select typrelid from pg_type as type where type.oid in (
        select objid from members where classid = 'pg_type'::regclass
    ))
    $query$,
    'everything in the schema belongs to the extension'
);

select is_empty(
    $query$
    select described.type, described.identity
    from members, pg_identify_object(members.classid, members.objid, 0) as described
    where described.schema is distinct from 'synapsor'
        and described.identity <> 'synapsor'
        and described.identity not like '% on synapsor.%'
    $query$,
    'the extension puts nothing into another schema'
);


-- Ownership

select is_empty(
    $query$
    select signature, proowner::regrole from functions
    where proowner not in ('synapsor_owner'::regrole, 'synapsor_guest'::regrole)
    $query$,
    'functions belong to synapsor_owner or synapsor_guest'
);

select is_empty(
    $query$
    select name, relowner::regrole from relations where relowner <> 'synapsor_owner'::regrole
    $query$,
    'tables, views and sequences belong to synapsor_owner'
);

select is_empty(
    $query$
    select rolname from pg_roles
    where rolname in ('synapsor_owner', 'synapsor_guest')
        and (
            rolsuper or rolcreaterole or rolcreatedb or rolcanlogin or rolreplication
            or rolbypassrls
        )
    $query$,
    'synapsor_owner and synapsor_guest have no attributes'
);

select is_empty(
    $query$
    select roleid::regrole, member::regrole from pg_auth_members
    where roleid in ('synapsor_owner'::regrole, 'synapsor_guest'::regrole)
        or member in ('synapsor_owner'::regrole, 'synapsor_guest'::regrole)
    $query$,
    'synapsor_owner and synapsor_guest are members of no role and have no members'
);

select is_empty(
    $query$
    select rolname from pg_roles
    where rolname like 'synapsor\_%'
        and (
            rolsuper or rolcreaterole or rolcreatedb or rolcanlogin or rolreplication
            or rolbypassrls
        )
    $query$,
    'group roles have no attributes either'
);


-- Functions

select is_empty(
    $query$
    select signature from functions
    where prosqlbody is null
        and not coalesce(
            'search_path=pg_catalog, pg_temp' = any (proconfig), false
        )
    $query$,
    'every function has a pinned search_path, but for SQL bodies bound at creation'
);

select is_empty(
    $query$
    select signature from functions where prosqlbody is not null and prosecdef
    $query$,
    'what has no pinned search_path is no security definer'
);

select is_empty(
    $query$ select signature from functions where language like 'plpython%' and prosecdef $query$,
    'no PL/Python function is a security definer'
);

select is_empty(
    $query$
    select signature
    from functions, aclexplode(coalesce(proacl, acldefault('f', proowner))) as acl
    where acl.grantee = 0 and acl.privilege_type = 'EXECUTE'
        and proname not in ('open_session', 'close_session', 'current_session')
    $query$,
    'PUBLIC may execute nothing but open_session, close_session and current_session'
);

select is_empty(
    $query$
    select signature, acl.grantee::regrole
    from functions, aclexplode(coalesce(proacl, acldefault('f', proowner))) as acl
    where acl.grantee not in (0, proowner)
        and acl.grantee::regrole::text not in (
            'synapsor_caller', 'synapsor_approver', 'synapsor_worker', 'synapsor_auditor',
            'synapsor_admin', 'synapsor_gateway', 'synapsor_owner', 'synapsor_guest'
        )
    $query$,
    'functions are granted to roles of the extension only'
);


-- Tables

select is_empty(
    $query$
    select name from relations
    where relkind in ('r', 'p', 'S')
        and name <> 'synapsor.session_keys'
        and oid <> all (
            select unnest(extconfig) from pg_extension where extname = 'synapsor'
        )
    $query$,
    'every table and sequence is marked for pg_dump, but for the secrets'
);

-- Who is a member of what is read while the session itself is being determined, and written by
-- administrators for any tenant: policies that ask for the session cannot be forced on the owner of
-- these two. They are enabled and there are none, so that nobody else sees or writes a row.
create temporary table read_for_the_session (name text primary key);
insert into read_for_the_session values ('synapsor.members'), ('synapsor.tenant_entitlements');

select is_empty(
    $query$
    select name from relations
    where relkind in ('r', 'p')
        and not (relrowsecurity and relforcerowsecurity)
        and name not in (select exempted.name from read_for_the_session as exempted)
        and exists (
            select from pg_attribute as attribute
            where attribute.attrelid = relations.oid
                and attribute.attname = 'tenant_id'
                and not attribute.attisdropped
        )
    $query$,
    'row-level security is enabled and forced on every table of tenants'
);

select is_empty(
    $query$
    select exempted.name from read_for_the_session as exempted
    left join relations using (name)
    where relrowsecurity is not true
        or exists (select from pg_policy as policy where policy.polrelid = relations.oid)
        or exists (
            select from aclexplode(relations.relacl) as acl where acl.grantee <> relations.relowner
        )
    $query$,
    'what is read for the session lets nobody but the owner see a row'
);

select is_empty(
    $query$
    select name, acl.grantee, acl.privilege_type
    from relations, aclexplode(relacl) as acl
    where acl.grantee <> relowner
        and acl.privilege_type <> 'SELECT'
    union all
    select name || '.' || attribute.attname, acl.grantee, acl.privilege_type
    from relations
    inner join pg_attribute as attribute on attribute.attrelid = relations.oid,
        aclexplode(attribute.attacl) as acl
    where acl.grantee <> relowner and acl.privilege_type <> 'SELECT'
    $query$,
    'nobody but the owner may change a row of any table'
);


-- A check constraint is read and compiled anew by each statement that writes.

select is_empty(
    $query$
    select conrelid::regclass, conname from pg_constraint
    where contype = 'c' and conrelid in (
        'synapsor.action_invocations'::regclass, 'synapsor.open_external_actions'::regclass,
        'synapsor.external_action_events'::regclass
    )
    $query$,
    'what every action is written to has no check constraint'
);


-- Comments

select is_empty(
    $query$
    select name from relations
    where relkind in ('r', 'p', 'v', 'm') and obj_description(oid, 'pg_class') is null
    $query$,
    'every table and view has a comment'
);

select is_empty(
    $query$
    select name || '.' || attribute.attname
    from relations
    inner join pg_attribute as attribute on attribute.attrelid = relations.oid
    where relkind in ('v', 'm') and relname not like '\_%'
        and attribute.attnum > 0 and not attribute.attisdropped
        and col_description(attribute.attrelid, attribute.attnum) is null
    $query$,
    'every column of a public view has a comment'
);

select is_empty(
    $query$
    select signature from functions
    where proname not like '\_%' and obj_description(oid, 'pg_proc') is null
    $query$,
    'every public function has a comment'
);


-- Views run as their owner and filter by session themselves.

select is_empty(
    $query$
    select name from relations
    where relkind = 'v'
        and not coalesce(
            reloptions && array['security_barrier=true', 'security_invoker=true']
            or reloptions && array['security_barrier=on', 'security_invoker=on'], false
        )
        and exists (
            select from pg_attribute as attribute
            where attribute.attrelid = relations.oid and attribute.attname = 'tenant_id'
        )
    $query$,
    'views of tenants are security barriers'
);


-- Bodies

select case
    when
        not exists (
            select from pg_extension
            where extname = 'plpgsql_check'
        )
        then skip('plpgsql_check is not installed (Debian: postgresql-NN-plpgsql-check)', 1)
    else is_empty(
        $query$
        select functions.signature, found.lineno, found.level, found.message
        from functions
        left join pg_trigger as trigger on trigger.tgfoid = functions.oid
        cross join lateral plpgsql_check_function_tb(
            functions.oid, coalesce(trigger.tgrelid, 0),
            fatal_errors => false, extra_warnings => true, performance_warnings => false
        ) as found
        where functions.language = 'plpgsql'
        $query$,
        'plpgsql_check finds nothing'
    )
end;

select * from finish();
rollback;
