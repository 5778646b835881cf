create or replace function synapsor._verify_token(
    token text, secret text, scope jsonb, at double precision
) returns jsonb
language plpython3u
volatile
set search_path = pg_catalog, pg_temp
as $python$
if "jwt" not in SD:
    plpy.execute("select synapsor._load_python()")
    SD["jwt"] = GD["synapsor_python"]["jwt"]
return SD["jwt"].verify(token, secret, scope, at)
$python$;

comment on function synapsor._verify_token(text, text, jsonb, double precision) is
'The session a token asserts at that time (seconds since 1970), {"session": …}, or why it is
refused, {"detail": …, "hint": …}. A null secret stands for an unknown key.';
