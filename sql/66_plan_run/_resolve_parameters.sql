create or replace function synapsor._resolve_parameters(request jsonb)
returns jsonb
language plpython3u
stable
set search_path = pg_catalog, pg_temp
as $python$
    if "parameters" not in SD:
        plpy.execute("select synapsor._load_python()")
        SD["parameters"] = GD["synapsor_python"]["parameters"]
        plpy.execute("select synapsor._load_regex()")
        SD["regex"] = GD["synapsor_regex"]
    return SD["parameters"].resolve_json(request, *SD["regex"])
$python$;
