-- What an event keeps of a provider's answer; null where there is nothing to keep. Not in SQL: inlined
-- into a statement, its parts would be made ready where nothing was answered too.
create or replace function synapsor._answer(response jsonb, error_message text)
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
begin
    return nullif(jsonb_strip_nulls(jsonb_build_object(
        'response', nullif(synapsor._bounded(response), '{}'), 'error_message', left(error_message, 2000)
    )), '{}');
end;
$function$;
