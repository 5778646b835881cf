-- security definer: modules are written by nobody but their owner.
create or replace function synapsor.declare_module(namespace text, description text default null)
returns synapsor.module
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    declared synapsor.module;
begin
    if namespace is null or namespace !~ '^[a-z][a-z0-9-]*$' then
        raise exception using
            errcode = 'SY002',
            message = format('%s is not a namespace', quote_nullable(left(namespace, 64))),
            detail = 'A namespace is a lower-case letter followed by lower-case letters, digits and hyphens.';
    end if;
    insert into synapsor.modules as known (namespace, description, declared_by, declared_at)
    values (
        declare_module.namespace, declare_module.description, synapsor._session() ->> 'principal', synapsor._now()
    )
    on conflict on constraint modules_pkey
    do update set description = coalesce(excluded.description, known.description)
    returning known.namespace, known.description, known.declared_by, known.declared_at into declared;
    return declared;
end;
$function$;

grant execute on function synapsor.declare_module to synapsor_admin;

comment on function synapsor.declare_module is
'Declares a module: from now on the actions of its namespace are for entitled tenants only.
Declaring again changes at most the description. Errors: SY002. Source: seeds/pipeline-stages.txt,
stage 1.';
