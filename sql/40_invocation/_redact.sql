create or replace function synapsor._redact(value jsonb, fields text[])
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
declare
    field text;
begin
    if cardinality(fields) > 0 and jsonb_typeof(value) <> 'object' then
        return '"[redacted]"'::jsonb;
    end if;
    foreach field in array coalesce(fields, '{}') loop
        if value ? field then
            value := jsonb_set(value, array[field], '"[redacted]"');
        end if;
    end loop;
    return value;
end;
$function$;

grant execute on function synapsor._redact to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;
