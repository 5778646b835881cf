create or replace function synapsor._redact(value jsonb, fields text [])
returns jsonb
language sql
immutable
begin atomic
    select case
        when cardinality(fields) = 0 then value
        else value || coalesce(
            (select jsonb_object_agg(field, '[redacted]'::text) from unnest(fields) as field where value ? field),
            '{}'
        )
    end;
end;

grant execute on function synapsor._redact to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;
