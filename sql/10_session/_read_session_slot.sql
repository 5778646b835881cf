create or replace function synapsor._read_session_slot(nonce text, stamp bigint) returns jsonb
language plpython3u
volatile
parallel restricted
set search_path = pg_catalog, pg_temp
as $python$
slot = GD.get("synapsor_session")
if slot is None:
    return None
if slot[1] != stamp:
    del GD["synapsor_session"]
    return None
return slot[2] if slot[0] == nonce else None
$python$;

comment on function synapsor._read_session_slot(text, bigint) is
'The open session, when the nonce is its own; the session of another transaction is thrown away.
The owner''s only: whoever calls this chooses nonce and stamp.';
