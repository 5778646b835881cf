create or replace function synapsor._run_payload(name text, payload jsonb)
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
declare
    -- A level takes two characters at least.
    is_long constant boolean := octet_length(payload::text) > 200;
begin
    if octet_length(payload::text) > 65536 then
        raise exception using
            errcode = 'SY051',
            message = format('%s is larger than 64 KiB', name),
            detail = format('It has %s bytes.', octet_length(payload::text)),
            hint = 'Keep large material elsewhere and record where it is.';
    end if;
    if is_long and jsonb_path_exists(payload, '$.**{101}') then
        raise exception using
            errcode = 'SY003',
            message = format('%s is nested deeper than 100 levels', name),
            hint = 'Flatten it, or record where it is kept.';
    end if;
    return coalesce(payload, '{}');
end;
$function$;

comment on function synapsor._run_payload(text, jsonb) is
'The payload itself, {} for null; SY051 above 64 KiB, SY003 when nested deeper than 100 levels.';
