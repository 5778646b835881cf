create or replace function synapsor._check_session(
    context jsonb, subject text, may_list_tenants boolean default false
) returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
declare
    checked jsonb := jsonb_build_object('actor_type', 'natural_person', 'roles', '[]'::jsonb);
    problem text;
begin
    -- No message repeats a value: it may come from a token.
    if context is null or jsonb_typeof(context) <> 'object' then
        problem := 'It must be a JSON object.';
    elsif octet_length(context::text) > 65536 then
        problem := 'It must not be larger than 64 KiB.';
    elsif not synapsor._is_session_name(context -> 'principal') then
        problem := 'principal must be a text of 1 to 255 characters without control characters.';
    elsif context ? 'tenant_id' and (
        not synapsor._is_session_name(context -> 'tenant_id') or context ->> 'tenant_id' = '*'
    ) then
        problem := 'tenant_id must be a text of 1 to 255 characters without control characters, '
            'and is one tenant.';
    elsif context ? 'actor_type' and (
        jsonb_typeof(context -> 'actor_type') <> 'string'
        or context ->> 'actor_type' <> all (synapsor._actor_types())
    ) then
        problem := format(
            'actor_type must be one of %s.', array_to_string(synapsor._actor_types(), ', ')
        );
    elsif context ? 'roles' and not synapsor._is_session_name_list(context -> 'roles') then
        problem := 'roles must be an array of texts of 1 to 255 characters without control '
            'characters.';
    elsif context ? 'tenants' and not may_list_tenants then
        problem := 'tenants may appear in the binding of a login only (bind_role).';
    elsif context ? 'tenants' and context -> 'tenants' <> '"*"' and (
        not synapsor._is_session_name_list(context -> 'tenants')
        or context -> 'tenants' = '[]'
        or context -> 'tenants' ? '*'
    ) then
        problem := 'tenants must be "*" or an array of tenants, at least one.';
    elsif jsonb_typeof(context -> 'tenants') = 'array' and context ? 'tenant_id'
        and not context -> 'tenants' ? (context ->> 'tenant_id')
    then
        problem := 'tenant_id must be one of the tenants.';
    end if;

    if problem is not null then
        raise exception using
            errcode = 'SY006',
            message = format('the %s is refused', subject),
            detail = problem,
            hint = 'A session names principal and, as needed, tenant_id, actor_type, roles and '
                'further values.';
    end if;

    return checked || context;
end
$function$;

comment on function synapsor._check_session(jsonb, text, boolean) is
'The session a context stands for, defaults filled in; SY006 when it is not one. `subject` is what
the message calls it.';
