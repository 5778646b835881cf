create or replace function synapsor._resolve_parameters(request jsonb)
returns jsonb
language plpython3u
stable
set search_path = pg_catalog, pg_temp
as $python$
    if "parameters" not in SD:
        plpy.execute("select synapsor._load_python()")
        SD["parameters"] = GD["synapsor_python"]["parameters"]
        # PostgreSQL's engine, unlike Python's, can be cancelled while it matches. In a replacement
        # only a backslash means something.
        matching = plpy.prepare("select $2 ~ $1 as matches", ["text", "text"])
        replacing = plpy.prepare(
            r"select regexp_replace($2, $1, replace($3, '\', '\\'), 'gi') as replaced", ["text", "text", "text"]
        )
        SD["matches"] = lambda pattern, text: plpy.execute(matching, [pattern, text])[0]["matches"]
        SD["replace"] = lambda pattern, text, value: plpy.execute(replacing, [pattern, text, value])[0]["replaced"]
    return SD["parameters"].resolve_json(request, SD["matches"], SD["replace"])
$python$;
