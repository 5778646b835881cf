create or replace function synapsor._check_events(events jsonb, from_handler integer default 0) returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    event jsonb;
    problem text;
    hint text := 'An event is {"type", "subject_type", "subject_id", "payload", "occurred_at"?, "schema_version"?}.';
begin
    if jsonb_typeof(events) is distinct from 'array' then
        problem := 'events is not an array';
    elsif jsonb_array_length(events) > 1000 then
        problem := 'events has more than 1000 items';
    end if;
    if problem is null then
        for place in 0 .. jsonb_array_length(events) - 1 loop
            event := events -> place;
            problem := case
                when jsonb_typeof(event) <> 'object' then ' is not an object'
                when jsonb_typeof(event -> 'type') is distinct from 'string'
                    or event ->> 'type' !~ '^[A-Z][a-zA-Z0-9]*$' or length(event ->> 'type') > 128
                    then '.type is not PascalCase of at most 128 characters'
                when jsonb_typeof(event -> 'subject_type') is distinct from 'string'
                    or event ->> 'subject_type' !~ '^[A-Z][a-zA-Z0-9]*$'
                    or length(event ->> 'subject_type') > 128
                    then '.subject_type is not PascalCase of at most 128 characters'
                when not synapsor._is_session_name(event -> 'subject_id')
                    then '.subject_id is not a text of 1 to 255 characters'
                when coalesce(jsonb_typeof(event -> 'payload'), 'object') <> 'object'
                    then '.payload is not an object'
                when octet_length((event -> 'payload')::text) > 65536
                    then '.payload is larger than 64 KiB'
                when event ? 'schema_version' and (
                    jsonb_typeof(event -> 'schema_version') <> 'number'
                    or event ->> 'schema_version' !~ '^[1-9][0-9]{0,8}$'
                ) then '.schema_version is not an integer from 1 to 999999999'
                when event ? 'occurred_at' and not synapsor._is_instant(event -> 'occurred_at')
                    then '.occurred_at is not an instant'
                when (event - array[
                    'type', 'subject_type', 'subject_id', 'payload', 'schema_version', 'occurred_at'
                ]) <> '{}'
                    -- Without a subquery, which the whole expression would pay for.
                    then ' has the unknown key ' || left(jsonb_path_query_first(event - array[
                        'type', 'subject_type', 'subject_id', 'payload', 'schema_version', 'occurred_at'
                    ], '$.keyvalue().key') #>> '{}', 64)
            end;
            if problem is not null then
                problem := format('events[%s]%s', place, problem);
                exit;
            end if;
            if place < from_handler then
                problem := case
                    when event ->> 'type' in ('ComplianceBlocked', 'StateTransitioned')
                        or event ->> 'type' like 'AdapterInvocation%'
                        then format('the handler emitted %s, which only the platform emits', event ->> 'type')
                    when event ->> 'subject_type' in ('ActionInvocation', 'PolicyEvaluation', 'AdapterInvocation')
                        then format(
                            'the handler emitted an event about %s, which only the platform tells of',
                            event ->> 'subject_type'
                        )
                end;
                if problem is not null then
                    hint := 'Emit events of your own types about your own subjects.';
                    exit;
                end if;
            end if;
        end loop;
    end if;
    if problem is not null then
        raise exception using
            errcode = 'SY013',
            message = problem,
            hint = hint;
    end if;
end;
$function$;

comment on function synapsor._check_events(jsonb, integer) is
'Raises SY013 for the first event that has not the shape of one, or that, among the first so many,
which a handler emitted, has a type of the platform''s or is about a subject of the platform''s.';

create or replace function synapsor._is_instant(value jsonb) returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
    -- RFC 3339: other spellings would depend on the settings of whoever calls.
    return jsonb_typeof(value) = 'string'
        and value #>> '{}' ~ '^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d(:?\d\d)?)$'
        and (value #>> '{}')::timestamptz is not null;
exception
    when data_exception then
        return false;
end;
$function$;

comment on function synapsor._is_instant(jsonb) is
'Whether a JSON value is an instant as RFC 3339 writes it, with its offset.';
