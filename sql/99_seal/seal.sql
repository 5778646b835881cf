-- Last of all, and again after every update: who owns what, and what everybody may call. Grants
-- stand beside each object; this takes away what PostgreSQL, or the administrator's default
-- privileges, gave without being asked.
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
    guest_functions constant regprocedure[] := array[]::regprocedure[];
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
            grantee.name as grantee
        from pg_proc as routine
        cross join lateral aclexplode(
            coalesce(routine.proacl, acldefault('f', routine.proowner))
        ) as acl
        cross join lateral (
            select case when acl.grantee = 0 then 'public'
                else quote_ident(pg_get_userbyid(acl.grantee)) end as name
        ) as grantee
        where routine.pronamespace = 'synapsor'::regnamespace
            and acl.grantee <> all (trusted)
            and not (acl.grantee = 0 and routine.oid = any (public_functions::oid[]))
        union
        select
            case relation.relkind when 'S' then 'sequence' else 'table' end,
            relation.oid::regclass::text,
            grantee.name
        from pg_class as relation
        cross join lateral aclexplode(relation.relacl) as acl
        cross join lateral (
            select case when acl.grantee = 0 then 'public'
                else quote_ident(pg_get_userbyid(acl.grantee)) end as name
        ) as grantee
        where relation.relnamespace = 'synapsor'::regnamespace
            and relation.relkind in ('r', 'p', 'v', 'm', 'S')
            and acl.grantee <> all (trusted)
            and not (acl.grantee = 0 and relation.oid = any (public_relations::oid[]))
    loop
        execute format('revoke all on %s %s from %s', item.kind, item.name, item.grantee);
    end loop;
end
$block$;

revoke create on schema synapsor from public;
