create or replace function synapsor._token_key_id(token text) returns jsonb
language plpython3u
volatile
set search_path = pg_catalog, pg_temp
as $python$
if "jwt" not in SD:
    plpy.execute("select synapsor._load_python()")
    SD["jwt"] = GD["synapsor_python"]["jwt"]
return SD["jwt"].key_id(token)
$python$;

comment on function synapsor._token_key_id(text) is
'The name of the key a token says it is signed with, {"kid": …}, or why it is no token of ours,
{"detail": …, "hint": …}. Nothing is verified yet.';
