create or replace function synapsor._is_session_name_list(value jsonb) returns boolean
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
begin
    if value is null or jsonb_typeof(value) <> 'array' then
        return false;
    end if;
    return not exists (
        select from jsonb_array_elements(value) as element (name)
        where not synapsor._is_session_name(element.name)
    );
end
$function$;

comment on function synapsor._is_session_name_list(jsonb) is
'Whether a JSON value is an array of nothing but names (`_is_session_name`).';
