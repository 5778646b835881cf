create or replace function synapsor._write_session_slot(stamp bigint, context jsonb) returns text
language plpython3u
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $python$
import os

if context is None:
    GD.pop("synapsor_session", None)
    return ""
nonce = os.urandom(16).hex()
GD["synapsor_session"] = (nonce, stamp, context)
return nonce
$python$;

comment on function synapsor._write_session_slot(bigint, jsonb) is
'Keeps a session in the memory of this backend in place of any other and returns its nonce; a null
context only removes what is there. The owner''s only.';
