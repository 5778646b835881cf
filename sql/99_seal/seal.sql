-- Last of all, and again after every update: who owns what, and what everybody may call. Grants
-- stand beside each object; this takes away what PostgreSQL, or the administrator's default
-- privileges, gave without being asked. An update therefore also takes away what was granted by
-- hand to others than the group roles: make logins members of a group instead.
--
-- The schema stays with whoever creates the extension. Without CREATE on it synapsor_owner cannot
-- even replace its own functions.
do $block$
declare
    -- Called by everybody.
    public_functions constant regprocedure[] := array[
        'synapsor.open_session(text)',
        'synapsor.current_session()',
        'synapsor.close_session()'
    ]::regprocedure[];
    -- Read by everybody.
    public_relations constant regclass[] := array['synapsor.synapsor_error_codes']::regclass[];
    -- Trampolines to user-supplied SQL: they run with no rights at all.
    guest_functions constant regprocedure[] := array[
        'synapsor._guest_look_up(text)',
        'synapsor._guest_call(regprocedure, jsonb[])',
        'synapsor._guest_fold(regprocedure, jsonb, jsonb[])',
        'synapsor._guest_state(text, text, text, text, boolean)'
    ]::regprocedure[];
    trusted constant oid[] := array[
        'synapsor_owner', 'synapsor_guest', 'synapsor_caller', 'synapsor_approver',
        'synapsor_worker', 'synapsor_auditor', 'synapsor_admin', 'synapsor_gateway'
    ]::regrole[]::oid[];
    item record;
begin
    for item in
        select
            case routine.prokind when 'p' then 'procedure' when 'a' then 'aggregate'
                else 'function' end as kind,
            routine.oid::regprocedure::text as name,
            case when routine.oid = any (guest_functions::oid[]) then 'synapsor_guest'
                else 'synapsor_owner' end as owner
        from pg_proc as routine
        where routine.pronamespace = 'synapsor'::regnamespace
        union all
        select
            case relation.relkind when 'v' then 'view' when 'm' then 'materialized view'
                when 'S' then 'sequence' else 'table' end,
            relation.oid::regclass::text,
            'synapsor_owner'
        from pg_class as relation
        where relation.relnamespace = 'synapsor'::regnamespace
            and relation.relkind in ('r', 'p', 'v', 'm', 'S')
            -- The sequence of a column follows its table.
            and not exists (
                select from pg_depend as link
                where link.classid = 'pg_class'::regclass
                    and link.objid = relation.oid
                    and link.refclassid = 'pg_class'::regclass
                    and link.deptype in ('a', 'i')
            )
        union all
        select
            case type.typtype when 'd' then 'domain' else 'type' end,
            type.oid::regtype::text,
            'synapsor_owner'
        from pg_type as type
        left join pg_class as relation on relation.oid = type.typrelid
        where type.typnamespace = 'synapsor'::regnamespace
            -- Array and row types follow what they belong to.
            and (type.typtype in ('d', 'e', 'r') or relation.relkind = 'c')
    loop
        execute format('alter %s %s owner to %I', item.kind, item.name, item.owner);
    end loop;

    for item in
        select
            case routine.prokind when 'p' then 'procedure' else 'function' end as kind,
            routine.oid::regprocedure::text as name,
            acl.privilege_type as privilege,
            acl.grantee
        from pg_proc as routine
        cross join lateral aclexplode(
            coalesce(routine.proacl, acldefault('f', routine.proowner))
        ) as acl
        where routine.pronamespace = 'synapsor'::regnamespace
            and acl.grantee <> all (trusted)
            and not (acl.grantee = 0 and routine.oid = any (public_functions::oid[]))
        union all
        select
            case relation.relkind when 'S' then 'sequence' else 'table' end,
            relation.oid::regclass::text,
            acl.privilege_type,
            acl.grantee
        from pg_class as relation
        cross join lateral aclexplode(relation.relacl) as acl
        where relation.relnamespace = 'synapsor'::regnamespace
            and relation.relkind in ('r', 'p', 'v', 'm', 'S')
            and acl.grantee <> relation.relowner
            -- Tables and sequences are the owner's alone; a view may be read by whom it says.
            and not (
                relation.relkind in ('v', 'm')
                and acl.privilege_type = 'SELECT'
                and (
                    acl.grantee = any (trusted)
                    or (acl.grantee = 0 and relation.oid = any (public_relations::oid[]))
                )
            )
        union all
        -- A stranger's table with a column of our row type would block updates and the drop.
        select 'type', type.oid::regtype::text, acl.privilege_type, acl.grantee
        from pg_class as relation
        inner join pg_type as type on type.oid = relation.reltype
        cross join lateral aclexplode(
            coalesce(type.typacl, acldefault('T', type.typowner))
        ) as acl
        where relation.relnamespace = 'synapsor'::regnamespace
            and relation.relkind in ('r', 'p', 'v', 'c')
            and acl.grantee <> type.typowner
        union all
        select 'schema', 'synapsor', acl.privilege_type, acl.grantee
        from pg_namespace as namespace
        cross join lateral aclexplode(namespace.nspacl) as acl
        where namespace.nspname = 'synapsor'
            and acl.grantee <> namespace.nspowner
            and acl.privilege_type = 'CREATE'
    loop
        execute format(
            'revoke %s on %s %s from %s',
            item.privilege, item.kind, item.name,
            case when item.grantee = 0 then 'public'
                else quote_ident(pg_get_userbyid(item.grantee)) end
        );
    end loop;
end
$block$;
