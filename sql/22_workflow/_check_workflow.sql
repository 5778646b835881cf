-- What the pure package finds: the definition with its defaults and the reasons against it.
create or replace function synapsor._check_workflow(definition jsonb)
returns jsonb
language plpython3u
immutable strict
set search_path = pg_catalog, pg_temp
as $python$
    if "workflow" not in SD:
        plpy.execute("select synapsor._load_python()")
        SD["workflow"] = GD["synapsor_python"]["workflow"]
    return SD["workflow"].check_workflow_json(definition)
$python$;
