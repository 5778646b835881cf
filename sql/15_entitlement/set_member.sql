-- security definer: members are written by nobody but their owner.
create or replace function synapsor.set_member(
    tenant_id text,
    principal text,
    roles text[] default '{}',
    permissions text[] default '{}'
)
returns synapsor.member
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    decided synapsor.member;
begin
    if coalesce(tenant_id, '') = '' or coalesce(principal, '') = '' then
        raise exception using
            errcode = 'SY003',
            message = 'a member has a tenant and a principal';
    end if;
    insert into synapsor.members as known (tenant_id, principal, roles, permissions, decided_by, decided_at)
    values (
        set_member.tenant_id, set_member.principal,
        array_remove(coalesce(set_member.roles, '{}'), null),
        array_remove(coalesce(set_member.permissions, '{}'), null),
        synapsor._session() ->> 'principal', synapsor._now()
    )
    on conflict on constraint members_pkey
    do update set
        roles = excluded.roles, permissions = excluded.permissions, decided_by = excluded.decided_by,
        decided_at = excluded.decided_at
    returning known.tenant_id, known.principal, known.roles, known.permissions, known.decided_by, known.decided_at
    into decided;
    return decided;
end;
$function$;

grant execute on function synapsor.set_member to synapsor_admin;

comment on function synapsor.set_member is
'Sets, in place of what was, the roles and permissions a principal holds within a tenant, and
returns them. Sessions opened from now on hold the roles besides their own. Errors: SY003.';
