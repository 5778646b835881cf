create or replace function synapsor._check_handler_events(events jsonb) returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    problem text;
begin
    perform synapsor._check_events(events);
    select case
        when event.value ->> 'type' in ('ComplianceBlocked', 'StateTransitioned')
            or event.value ->> 'type' like 'AdapterInvocation%'
            then format('emitted %s, which only the platform emits', event.value ->> 'type')
        else format('emitted an event about %s, which only the platform tells of',
            event.value ->> 'subject_type')
    end
    into problem
    from jsonb_array_elements(events) as event
    where event.value ->> 'type' in ('ComplianceBlocked', 'StateTransitioned')
        or event.value ->> 'type' like 'AdapterInvocation%'
        or event.value ->> 'subject_type' in (
            'ActionInvocation', 'PolicyEvaluation', 'AdapterInvocation'
        )
    limit 1;
    if problem is not null then
        raise exception using
            errcode = 'SY013',
            message = 'the handler ' || problem,
            hint = 'Emit events of your own types about your own subjects.';
    end if;
end;
$function$;

comment on function synapsor._check_handler_events(jsonb) is
'Raises SY013 unless these are events a handler may emit: well-formed, and neither of the
platform''s types nor about the platform''s subjects.';
