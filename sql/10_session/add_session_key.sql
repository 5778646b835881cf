create or replace function synapsor.add_session_key(
    kid text, secret text, scope jsonb default '{}'
) returns jsonb
language plpgsql
volatile
-- security definer: writes session_keys, which no caller may
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    complete constant jsonb := jsonb_build_object(
        'tenants', '*', 'roles', '[]'::jsonb, 'actor_types', '["natural_person", "agent"]'::jsonb
    ) || case when jsonb_typeof(scope) = 'object' then scope else '{}' end;
    problem text;
begin
    -- Everything is checked before the table sees the secret: its errors would print the row.
    if not synapsor._is_session_name(to_jsonb(kid)) or kid is null then
        problem := 'kid must be a text of 1 to 255 characters without control characters.';
    elsif secret is null or octet_length(convert_to(secret, 'UTF8')) < 32 then
        problem := 'secret must be at least 32 bytes long in UTF-8.';
    elsif octet_length(secret) > 4096 then
        problem := 'secret must be at most 4096 bytes long.';
    elsif scope is null or jsonb_typeof(scope) <> 'object' then
        problem := 'scope must be a JSON object.';
    elsif exists (
        select from jsonb_object_keys(scope) as known (key)
        where known.key not in ('tenants', 'roles', 'actor_types', 'audience')
    ) then
        problem := 'scope may hold tenants, roles, actor_types and audience only.';
    elsif complete -> 'tenants' <> '"*"'
        and not synapsor._is_session_name_list(complete -> 'tenants')
    then
        problem := 'scope.tenants must be "*" or an array of tenants.';
    elsif not synapsor._is_session_name_list(complete -> 'roles') then
        problem := 'scope.roles must be an array of roles.';
    elsif jsonb_typeof(complete -> 'actor_types') <> 'array'
        or not complete -> 'actor_types' <@ to_jsonb(synapsor._actor_types())
    then
        problem := format(
            'scope.actor_types must be an array of %s.',
            array_to_string(synapsor._actor_types(), ', ')
        );
    elsif scope ? 'audience' and not synapsor._is_session_name(scope -> 'audience') then
        problem := 'scope.audience must be a text of 1 to 255 characters without control '
            'characters.';
    end if;

    if problem is not null then
        raise exception using
            errcode = 'SY006',
            message = 'the session key is refused',
            detail = problem,
            hint = 'See the comment of add_session_key for what a key may assert.';
    end if;

    insert into synapsor.session_keys (kid, secret, scope)
    values (add_session_key.kid, add_session_key.secret, complete)
    on conflict on constraint session_keys_pkey do nothing;

    if not found then
        raise exception using
            errcode = 'SY006',
            message = format('session key %s exists already', kid),
            detail = 'A key never changes, so that a token means the same as long as it lives.',
            hint = 'Add the new secret under another kid, and remove the old key when its last '
                'token has expired.';
    end if;

    return complete;
end
$function$;

comment on function synapsor.add_session_key(text, text, jsonb) is
'Adds a secret that may sign session tokens under that kid, and returns its scope with the
defaults filled in. The secret is text, at least 32 bytes in UTF-8. scope bounds what its tokens
may assert: tenants ("*", the default, or a list), roles (default none), actor_types (default
natural_person and agent), audience (when given, a token must name it; when not, a token must name
none). SY006 when something does not fit or the kid is known. Pass the secret as a parameter: a
literal shows in logs. Keys are not dumped: add them again after a restore.';

grant execute on function synapsor.add_session_key(text, text, jsonb) to synapsor_admin;
