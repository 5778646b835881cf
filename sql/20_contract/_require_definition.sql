-- What every declaration asks first: SY002 unless it was given a JSON object.
create or replace function synapsor._require_object(definition jsonb, subject text, verb text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
begin
    if jsonb_typeof(definition) is distinct from 'object' then
        raise exception using
            errcode = 'SY002',
            message = format('%s is a JSON object', subject),
            detail = format('A %s was given.', coalesce(jsonb_typeof(definition), 'null')),
            hint = format('See COMMENT ON FUNCTION synapsor.%s for the keys.', verb);
    end if;
end;
$function$;

-- The reasons of the pure checks, and after them those of PostgreSQL for what only it can judge.
create or replace function synapsor._reasons(checked jsonb)
returns text[]
language sql
stable
begin atomic
    select array(
        select concat_ws(' ', found.value ->> 'path', found.value ->> 'reason')
        from jsonb_array_elements(checked -> 'reasons') with ordinality as found
        order by found.ordinality
    ) || array(
        select concat_ws(' ', inspected.value ->> 'path', unreadable.reason)
        from jsonb_array_elements(_reasons.checked -> 'checks') with ordinality as inspected
        cross join
            lateral synapsor._why_unreadable(
                inspected.value ->> 'kind', inspected.value ->> 'value'
            ) as unreadable (reason)
        where unreadable.reason is not null
        order by inspected.ordinality
    );
end;

-- SY002 with every reason against a definition; nothing where there is none.
create or replace function synapsor._require_no_reasons(reasons text[], subject text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
begin
    if cardinality(reasons) > 0 then
        raise exception using
            errcode = 'SY002',
            message = format('%s is invalid', subject),
            detail = array_to_string(reasons, E'\n'),
            hint = 'Correct every line; nothing was declared.';
    end if;
end;
$function$;
