create or replace function synapsor._contract(stored synapsor.action_contracts)
returns synapsor.contract
language sql
stable
begin atomic
    select row(
        stored.action, stored.version, stored.label, stored.kind, stored.definition, encode(stored.digest, 'hex'),
        stored.declared_by, stored.declared_at, stored.retired_at
    )::synapsor.contract;
end;
