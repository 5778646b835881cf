-- What the pure package finds: the plan's nodes, the reasons against it, and the regular
-- expressions that only the database can judge.
create or replace function synapsor._check_plan(definition jsonb)
returns jsonb
language plpython3u
immutable strict
set search_path = pg_catalog, pg_temp
as $python$
    if "plan" not in SD:
        plpy.execute("select synapsor._load_python()")
        SD["plan"] = GD["synapsor_python"]["plan"]
    return SD["plan"].check_plan_json(definition)
$python$;
