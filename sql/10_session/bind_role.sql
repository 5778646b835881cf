create or replace function synapsor.bind_role(login name, context jsonb) returns jsonb
language plpgsql
volatile
-- security definer: writes role_bindings, which no caller may
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    checked jsonb;
begin
    if bind_role.context is null or bind_role.context = 'null' then
        -- Also for a login that is gone already: its name may be used again.
        delete from synapsor.role_bindings as binding
        where binding.login = bind_role.login;
        return null;
    end if;

    if bind_role.login is null
        or not exists (select from pg_roles as role where role.rolname = bind_role.login)
    then
        raise exception using
            errcode = 'SY011',
            message = format('login %s does not exist', coalesce(quote_ident(login), 'null')),
            detail = 'A binding belongs to a login of this cluster.',
            hint = 'Create the role first, then bind it.';
    end if;

    if jsonb_typeof(bind_role.context) = 'object' then
        checked := jsonb_build_object('principal', bind_role.login) || bind_role.context;
    end if;
    checked := synapsor._check_session(checked, 'binding', may_list_tenants => true);

    insert into synapsor.role_bindings as binding (login, context, seen, bound_at)
    values (bind_role.login, checked, synapsor._seen_by(checked), synapsor._now())
    on conflict on constraint role_bindings_pkey do update
    set context = excluded.context, seen = excluded.seen, bound_at = excluded.bound_at;

    if not checked ?| array['tenant_id', 'tenants'] then
        raise notice using
            message = format('login %s is bound to no tenant', quote_ident(login)),
            detail = 'It sees and does nothing that belongs to a tenant.',
            hint = 'Give the context a tenant_id, or tenants: a list, or "*" for all.';
    end if;
    return checked;
end
$function$;

comment on function synapsor.bind_role(name, jsonb) is
'Makes a login act as one principal whenever its transaction has opened no session; returns the
session it will have. principal defaults to the name of the login. Only here may `tenants` appear:
"*" or a list, for an auditor, an approver, a worker or a scheduler that serves several tenants. A
null context removes the binding; one without a tenant is bound with a notice. SY011 when there is
no such login, SY006 when the context is no session.';

grant execute on function synapsor.bind_role(name, jsonb) to synapsor_admin;
