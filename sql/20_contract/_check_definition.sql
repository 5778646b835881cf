-- What the pure package finds: the definition with its defaults, the reasons against it, its RFC
-- 8785 digest, and the intervals, paths and regular expressions that only the database can judge.
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

-- Asks PostgreSQL itself whether it can read a value of a definition; null when it can, else the
-- reason.
create or replace function synapsor._why_unreadable(kind text, value text)
returns text
language plpgsql
stable strict
set search_path = pg_catalog, pg_temp
as $function$
begin
    case kind
        when 'interval' then
            -- Longer ones lead out of the calendar, in the middle of other people's claims.
            if value::interval > interval '100 years' then
                return 'is longer than 100 years';
            end if;
            -- Judged in the shortest month: parts of different signs may come to nothing there.
            if timestamp '2001-02-01' + value::interval <= timestamp '2001-02-01' then
                return 'is not longer than zero';
            end if;
        when 'jsonpath' then
            perform ('strict ' || regexp_replace(value, '^\s*strict\s+', ''))::jsonpath;
            -- Nothing gives a variable its value: it would be an error of every proposal.
            if regexp_replace(value, '"(\\.|[^"\\])*"', '""', 'g') ~ '\$[\w"]' then
                return 'names a variable, but conditions have none';
            end if;
        when 'regex' then
            perform '' ~ value;
    end case;
    return null;
exception
    when data_exception or syntax_error or program_limit_exceeded then
        return format('is no %s that PostgreSQL can read: %s', kind, sqlerrm);
end;
$function$;
