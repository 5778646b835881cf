-- What the pure package finds: the definition with its defaults, the reasons against it, and the
-- intervals that only the database can judge.
create or replace function synapsor._check_provider(definition jsonb)
returns jsonb
language plpython3u
immutable strict
set search_path = pg_catalog, pg_temp
as $python$
    if "modules" not in SD:
        plpy.execute("select synapsor._load_python()")
        SD["modules"] = GD["synapsor_python"]
    return SD["modules"]["provider"].check_provider_json(definition)
$python$;
