-- Roles belong to the cluster, not to a database: they are no members of the extension, survive
-- `drop extension`, and a second database of the cluster finds them in place.
do $block$
declare
    wanted constant text[] := array[
        'synapsor_owner', 'synapsor_guest',
        'synapsor_caller', 'synapsor_approver', 'synapsor_worker', 'synapsor_auditor',
        'synapsor_admin', 'synapsor_gateway'
    ];
    -- The comment is as cluster-wide as the role: one of somebody else's is left alone.
    about constant jsonb := jsonb_build_object(
        'synapsor_owner', 'Owns the objects of the extension synapsor; nobody is a member.',
        'synapsor_guest', 'Has no rights: what synapsor runs functions of others as.',
        'synapsor_caller', 'Proposes and invokes actions of synapsor, records runs: applications and agents.',
        'synapsor_approver', 'Approves and rejects proposals of synapsor, suspends: reviewers.',
        'synapsor_worker', 'Claims, delivers and confirms actions of synapsor: worker daemons.',
        'synapsor_auditor', 'Reads everything of synapsor that its session''s tenants have, hidden values too.',
        'synapsor_admin', 'Declares contracts, binds logins and operates synapsor.',
        'synapsor_gateway', 'Sets the sessions of synapsor for whom it has authenticated itself.'
    );
    role_name text;
    problem text;
begin
    -- Two databases may install at once. An advisory lock ends at the database's border, a lock on
    -- the shared catalogue does not; nothing is locked when every role is there already.
    if exists (select from unnest(wanted) as name where to_regrole(name) is null)
        or not exists (
            select from pg_auth_members as membership
            where membership.roleid = to_regrole('synapsor_caller')
                and membership.member = to_regrole('synapsor_admin')
        )
        or not exists (
            select from pg_auth_members as membership
            where membership.roleid = to_regrole('synapsor_auditor')
                and membership.member = to_regrole('synapsor_admin')
        )
    then
        lock table pg_catalog.pg_authid in share row exclusive mode;
        foreach role_name in array wanted loop
            if to_regrole(role_name) is null then
                execute format('create role %I nologin', role_name);
                execute format('comment on role %I is %L', role_name, about ->> role_name);
            end if;
        end loop;
        foreach role_name in array array['synapsor_caller', 'synapsor_auditor'] loop
            if not exists (
                select from pg_auth_members as membership
                where membership.roleid = to_regrole(role_name)
                    and membership.member = to_regrole('synapsor_admin')
            ) then
                execute format('grant %I to synapsor_admin', role_name);
            end if;
        end loop;
    end if;

    -- Whoever is, or may become, one of these two has the rights of every verb (owner) or of every
    -- handler (guest): a role made beforehand under that name must be as powerless as ours.
    foreach role_name in array array['synapsor_owner', 'synapsor_guest'] loop
        select concat_ws(', ',
            case when role.rolsuper then 'it is a superuser' end,
            case when role.rolcreaterole then 'it may create roles' end,
            case when role.rolcreatedb then 'it may create databases' end,
            case when role.rolreplication then 'it may replicate' end,
            case when role.rolbypassrls then 'it bypasses row-level security' end,
            case when role.rolcanlogin then 'it may log in' end,
            case when exists (
                select from pg_auth_members as membership where membership.member = role.oid
            ) then 'it is a member of another role' end,
            case when exists (
                select from pg_auth_members as membership where membership.roleid = role.oid
            ) then 'it has members' end
        )
        into problem
        from pg_roles as role
        where role.rolname = role_name;

        if problem <> '' then
            raise exception using
                errcode = 'object_not_in_prerequisite_state',
                message = format('role %s exists and is not powerless', role_name),
                detail = format('About the role: %s.', problem),
                hint = 'Take the attributes and memberships away, or rename the role, '
                    'and create the extension again.';
        end if;
    end loop;

    -- The groups are handed out to logins; a group that is itself powerful hands that out too.
    for role_name, problem in
        select role.rolname, concat_ws(', ',
            case when role.rolsuper then 'it is a superuser' end,
            case when role.rolcreaterole then 'it may create roles' end,
            case when role.rolreplication then 'it may replicate' end,
            case when role.rolbypassrls then 'it bypasses row-level security' end,
            case when role.rolcanlogin then 'it may log in' end
        )
        from pg_roles as role
        where role.rolname = any (wanted)
    loop
        if problem <> '' then
            raise exception using
                errcode = 'object_not_in_prerequisite_state',
                message = format('role %s exists and is not a plain group', role_name),
                detail = format('About the role: %s.', problem),
                hint = 'Take the attributes away, or rename the role, '
                    'and create the extension again.';
        end if;
    end loop;
end
$block$;
