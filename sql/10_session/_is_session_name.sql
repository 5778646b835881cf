create or replace function synapsor._is_session_name(value jsonb) returns boolean
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
declare
    name constant text := value #>> '{}';
begin
    -- E'' means the same whatever the session's standard_conforming_strings.
    return coalesce(
        jsonb_typeof(value) = 'string'
            and btrim(name) <> ''
            and length(name) <= 255
            and name !~ E'[\\u0001-\\u001F\\u007F-\\u009F]',
        false
    );
end
$function$;

comment on function synapsor._is_session_name(jsonb) is
'Whether a JSON value may name a tenant, principal, role, key or audience: a text that is not blank,
of at most 255 characters, none of them a control character.';
