create or replace function synapsor._workflow(stored synapsor.workflows)
returns synapsor.workflow
language sql
stable
begin atomic
    select row(
        stored.workflow, stored.version, stored.label, stored.definition, stored.declared_by, stored.declared_at
    )::synapsor.workflow;
end;
