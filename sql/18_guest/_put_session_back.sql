create or replace function synapsor._put_session_back(kept jsonb)
returns void
language plpython3u
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $python$
import json

values = json.loads(kept)
for key, value in (
    ("synapsor_session", values["slot"]),
    ("synapsor_every_tenant", values["elevation"]),
):
    if value is None:
        GD.pop(key, None)
    else:
        GD[key] = tuple(value)
$python$;

comment on function synapsor._put_session_back(jsonb) is
'Makes the session and elevation of _set_session_aside those of this backend again. The owner''s
only: whoever calls this chooses them.';
