create or replace function synapsor._as_every_tenant(
    statement text, arguments text[] default '{}'
) returns setof text
language plpython3u
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $python$
import os

plans = SD.setdefault("plans", {})
if "switch" not in plans:
    plans["switch"] = plpy.prepare(
        "select set_config('synapsor.every_tenant', $1, true), synapsor._transaction_stamp() as at",
        ["text"],
    )
values = list(arguments or [])
key = (statement, len(values))
if key not in plans:
    plans[key] = plpy.prepare(statement, ["text"] * len(values))

outer = GD.get("synapsor_every_tenant")
nonce = os.urandom(16).hex()
stamp = plpy.execute(plans["switch"], [nonce])[0]["at"]
GD["synapsor_every_tenant"] = (nonce, stamp)
try:
    rows = plpy.execute(plans[key], values)
finally:
    # Memory first: nothing that follows can leave the elevation behind.
    if outer is None:
        del GD["synapsor_every_tenant"]
    else:
        GD["synapsor_every_tenant"] = outer
    plpy.execute(plans["switch"], [outer[0] if outer else ""])
return [next(iter(row.values())) for row in rows] if rows.nrows() and rows.colnames() else []
$python$;

comment on function synapsor._as_every_tenant(text, text[]) is
'Runs one of the extension''s own housekeeping statements ($1 … are the arguments, as text) with
all tenants visible, and returns the first column of its rows. The owner''s only. The statement
must name tables and private functions alone: whatever a user has written would see every tenant
too.';
