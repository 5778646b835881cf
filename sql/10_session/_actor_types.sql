create or replace function synapsor._actor_types() returns text[]
language sql
immutable
parallel safe
begin atomic
    select array[
        'natural_person', 'agent', 'system', 'service_account', 'external_system', 'integration'
    ];
end;

comment on function synapsor._actor_types() is 'The kinds of actor a session may name.';
