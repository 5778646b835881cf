-- What the pure package finds: the definition with its defaults, the reasons against it, its RFC 8785 digest, and the
-- intervals, paths and regular expressions that only the database can judge.
create or replace function synapsor._check_definition(definition jsonb)
returns jsonb
language plpython3u
immutable strict
set search_path = pg_catalog, pg_temp
as $python$
    if "modules" not in SD:
        plpy.execute("select synapsor._load_python()")
        SD["modules"] = GD["synapsor_python"]
    return SD["modules"]["definition"].check_action_json(definition)
$python$;

create or replace function synapsor._canonicalize(value jsonb)
returns text
language plpython3u
immutable strict
set search_path = pg_catalog, pg_temp
as $python$
    if "modules" not in SD:
        plpy.execute("select synapsor._load_python()")
        SD["modules"] = GD["synapsor_python"]
    canonical = SD["modules"]["canonical"]
    return canonical.canonicalize(canonical.loads(value))
$python$;

-- Asks PostgreSQL itself whether it can read a value of a definition; null when it can, else the reason.
create or replace function synapsor._why_unreadable(kind text, value text)
returns text
language plpgsql
stable strict
set search_path = pg_catalog, pg_temp
as $function$
begin
    case kind
        when 'interval' then
            if value::interval <= interval '0' then
                return 'is not longer than zero';
            end if;
        when 'jsonpath' then
            perform ('strict ' || regexp_replace(value, '^\s*strict\s+', ''))::jsonpath;
        when 'regex' then
            perform '' ~ value;
    end case;
    return null;
exception
    when data_exception or syntax_error or program_limit_exceeded then
        return format('is not a %s that PostgreSQL can read: %s', kind, sqlerrm);
end;
$function$;
