create or replace function synapsor._session() returns jsonb
language plpgsql
stable
parallel restricted
-- security definer: reads the session slot and role_bindings, which no caller may read
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    nonce constant text := current_setting('synapsor.session', true);
    context jsonb;
begin
    -- The setting is anybody's to write; only the nonce of this transaction's session means
    -- something. Without one Python is not even started.
    if nonce <> '' then
        context := synapsor._read_session_slot(nonce, synapsor._transaction_stamp());
    end if;

    if context is null then
        select
            case
                when (
                    select cardinality(member.roles) > 0
                    from synapsor.members as member
                    where member.tenant_id = binding.context ->> 'tenant_id'
                        and member.principal = binding.context ->> 'principal'
                ) then synapsor._with_member_roles(binding.context)
                else binding.context
            end
        into context
        from synapsor.role_bindings as binding
        where binding.login = session_user;
    end if;

    if context is null then
        context := jsonb_build_object(
            'principal', session_user, 'actor_type', 'natural_person', 'roles', '[]'::jsonb
        );
    end if;
    return context;
end
$function$;

comment on function synapsor._session() is
'The trusted session, never null: the one opened in this transaction, else the binding of the
login, else the bare login without a tenant. Keys: principal, actor_type, roles; tenant_id and
tenants where known; whatever else the session carries.';

grant execute on function synapsor._session() to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor, synapsor_admin,
synapsor_gateway;
