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
            and name <> ''
            and name = btrim(name)
            and length(name) <= 255
            -- Nor characters that cannot be seen: two reviewers must look like two.
            and name !~ E'[\\u0001-\\u001F\\u007F-\\u009F\\u00AD\\u061C\\u180E]'
            and name !~ E'[\\u200B-\\u200F\\u2028-\\u202E\\u2060-\\u206F\\uFEFF]',
        false
    );
end
$function$;

comment on function synapsor._is_session_name(jsonb) is
'Whether a JSON value may name a tenant, principal, role, key or audience: a text of 1 to 255
characters without blanks around it, none of them a control character or invisible.';
