create or replace function synapsor._require_session_values(workflow jsonb, session jsonb)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
declare
    missing text;
begin
    select string_agg(required.key, ', ' order by required.ordinality) into missing
    from jsonb_array_elements_text(workflow -> 'session_requirements') with ordinality as required (key)
    where session ->> required.key is null;
    if missing is not null then
        raise exception using
            errcode = 'SY005',
            message = format('the session lacks what workflow %s requires', quote_literal(workflow ->> 'workflow')),
            detail = format('Missing: %s.', missing),
            hint = 'Whoever opens the session supplies these values.';
    end if;
end;
$function$;

comment on function synapsor._require_session_values(jsonb, jsonb) is
'SY005, with their names, when the session lacks values that the workflow contract requires.';
