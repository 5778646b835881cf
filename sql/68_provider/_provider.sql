create or replace function synapsor._provider(stored synapsor.provider_limits)
returns synapsor.provider
language sql
stable
begin atomic
    select row(
        stored.provider, stored.account, stored.version, stored.definition, stored.declared_by, stored.declared_at
    )::synapsor.provider;
end;
