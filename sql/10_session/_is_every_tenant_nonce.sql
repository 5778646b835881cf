create or replace function synapsor._is_every_tenant_nonce(nonce text, stamp bigint)
returns boolean
language plpython3u
volatile
parallel restricted
set search_path = pg_catalog, pg_temp
as $python$
return GD.get("synapsor_every_tenant") == (nonce, stamp)
$python$;

comment on function synapsor._is_every_tenant_nonce(text, bigint) is
'Whether `_as_every_tenant` is at work in this transaction under that nonce. The owner''s only.';
