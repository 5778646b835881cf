create or replace function synapsor._set_session_aside()
returns jsonb
language plpython3u
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $python$
import json
import os

if "synapsor_fence" not in GD:
    GD["synapsor_fence"] = "synapsor_" + os.urandom(16).hex()
return json.dumps({
    "slot": GD.get("synapsor_session"),
    "elevation": GD.pop("synapsor_every_tenant", None),
    "fence": GD["synapsor_fence"],
})
$python$;

comment on function synapsor._set_session_aside() is
'What user-supplied SQL may change in the memory of this backend, as it is now, for
_put_session_back. Takes the elevation of _as_every_tenant away meanwhile. `fence` is a word that
no code but the owner''s ever sees. The owner''s only.';
