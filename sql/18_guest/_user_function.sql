-- Not the same rule as at declaration, but the rule: a handler may have been altered meanwhile.
create or replace function synapsor._user_function(
    signature text,
    argument_types text[],
    result_type text,
    out named regprocedure,
    out problem text
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
    problem := synapsor._guest_look_up(signature);
    if problem !~ '^[0-9]+$' then
        return;
    end if;
    named := problem::oid::regprocedure;
    problem := null;

    -- What is found at nearly every call, at a third of the price.
    perform
    from pg_proc as routine
    where routine.oid = named
        and routine.prokind = 'f' and not routine.proretset and routine.prosecdef
        and routine.prorettype = 'jsonb'::regtype and result_type = 'jsonb'
        and routine.proargtypes = array_to_string(
            array_fill('jsonb'::regtype::oid, array[cardinality(argument_types)]), ' '
        )::oidvector
        and 'jsonb' = all (argument_types)
        and array_to_string(routine.proconfig, E'\n') ~ '^search_path='
        and (select lanpltrusted from pg_language where oid = routine.prolang)
        and not pg_has_role(routine.proowner, 'synapsor_owner', 'member')
        and routine.proowner <> 'synapsor_guest'::regrole
        and not exists (select from pg_auth_members where member = routine.proowner)
        and has_function_privilege('synapsor_guest', routine.oid, 'execute')
        and not pg_is_other_temp_schema(routine.pronamespace)
        and routine.pronamespace <> pg_my_temp_schema();
    if found then
        return;
    end if;

    select nullif(concat_ws(
        ', ',
        case
            when routine.prokind <> 'f' or routine.proretset
                then 'is not a function that returns one value'
        end,
        case
            when routine.prorettype <> to_regtype(result_type)
                then format('returns %s, not %s',
                    format_type(routine.prorettype, null), result_type)
        end,
        case
            when array(select unnest(routine.proargtypes)) <> array(
                select to_regtype(argument.name)::oid
                from unnest(argument_types) with ordinality as argument (name, place)
                order by argument.place
            )
                then format('takes (%s), not (%s)',
                    pg_get_function_identity_arguments(routine.oid),
                    array_to_string(argument_types, ', '))
        end,
        case when not routine.prosecdef then 'is not SECURITY DEFINER' end,
        case
            when not exists (
                select from unnest(routine.proconfig) as clause (setting)
                where clause.setting like 'search_path=%'
            )
                then 'has no pinned search_path (SET search_path = …)'
        end,
        case
            when not language.lanpltrusted
                then format('is written in %s, an untrusted language', language.lanname)
        end,
        case
            when owner.rolsuper then format('is owned by the superuser %I', owner.rolname)
            when owner.rolname = 'synapsor_guest'
                or pg_has_role(owner.oid, 'synapsor_owner', 'member')
                then format('is owned by %I, which has the rights of the extension', owner.rolname)
            when exists (
                select from pg_roles as holder
                where holder.rolname in (
                    'synapsor_caller', 'synapsor_approver', 'synapsor_worker', 'synapsor_auditor', 'synapsor_admin',
                    'synapsor_gateway'
                ) and pg_has_role(owner.oid, holder.oid, 'member')
            ) then format(
                'is owned by %I, a member of a group role of the extension, and would act for whoever invokes it',
                owner.rolname
            )
            when exists (
                select from pg_roles as superuser
                where superuser.rolsuper and pg_has_role(owner.oid, superuser.oid, 'member')
            )
                then format('is owned by %I, a member of a superuser', owner.rolname)
        end,
        case
            when pg_is_other_temp_schema(routine.pronamespace)
                or routine.pronamespace = pg_my_temp_schema()
                then 'lives in a temporary schema'
        end,
        case
            when not has_function_privilege('synapsor_guest', routine.oid, 'execute')
                then format('may not be called by synapsor_guest '
                    '(grant execute on function %s to synapsor_guest)', named)
        end
    ), '')
    into problem
    from pg_proc as routine
    inner join pg_roles as owner on owner.oid = routine.proowner
    inner join pg_language as language on language.oid = routine.prolang
    where routine.oid = named;
end;
$function$;

comment on function synapsor._user_function(text, text[], text) is
'The function a signature names, and every reason against calling it, as predicates joined by
commas, null when there is none: design.md section 3, "Ownership". The owner''s only.';
