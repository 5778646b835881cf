create or replace function synapsor._state_machine(stored synapsor.state_machines)
returns synapsor.state_machine
language sql
stable
begin atomic
    select row(
        stored.entity_type, stored.version, stored.declared -> 'states',
        stored.declared -> 'transitions', stored.declared ->> 'description', stored.declared_by,
        stored.declared_at
    )::synapsor.state_machine;
end;
