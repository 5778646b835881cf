-- The only writer of domain events.
create or replace function synapsor._append_events(
    invocation synapsor.action_invocations, events jsonb, from_handler integer default 0
) returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
    appended integer;
begin
    perform synapsor._check_events(events, from_handler);

    with given as materialized (
        select
            event.value ->> 'type' as event_type,
            event.value ->> 'subject_type' collate "C" as subject_type,
            event.value ->> 'subject_id' collate "C" as subject_id,
            coalesce(event.value -> 'payload', '{}') as payload,
            coalesce((event.value ->> 'schema_version')::integer, 1) as schema_version,
            (event.value ->> 'occurred_at')::timestamptz as occurred_at,
            event.ordinality as place,
            row_number() over (
                partition by event.value ->> 'subject_type' collate "C",
                    event.value ->> 'subject_id' collate "C"
                order by event.ordinality desc
            ) as nth_from_last
        from jsonb_array_elements(events) with ordinality as event
    ),
    counted as (
        -- In sorted order, so that two invocations with the same subjects wait for each other
        -- instead of dying.
        insert into synapsor.event_subjects as subject (
            tenant_id, subject_type, subject_id, last_sequence
        )
        select invocation.tenant_id, given.subject_type, given.subject_id, count(*)
        from given
        group by given.subject_type, given.subject_id
        order by given.subject_type, given.subject_id
        on conflict on constraint event_subjects_pkey do update
        set last_sequence = subject.last_sequence + excluded.last_sequence
        returning subject.subject_type, subject.subject_id, subject.last_sequence
    )
    insert into synapsor.domain_events (
        tenant_id, event_id, event_type, event_schema_version, subject_type, subject_id, sequence,
        actor, actor_type, action_id, payload, occurred_at, recorded_at, correlation_id,
        causation_id
    )
    select
        invocation.tenant_id,
        synapsor._ulid(
            'evt_', floor(date_part('epoch', ready.recorded_at) * 1000)::bigint, uuid_send(gen_random_uuid())
        ),
        ready.event_type,
        ready.schema_version,
        ready.subject_type,
        ready.subject_id,
        ready.sequence,
        invocation.actor,
        invocation.actor_type,
        invocation.action_id,
        ready.payload,
        coalesce(ready.occurred_at, ready.recorded_at),
        ready.recorded_at,
        coalesce(invocation.correlation_id, invocation.action_id),
        invocation.action_id
    from (
        select
            given.*,
            counted.last_sequence - given.nth_from_last + 1 as sequence,
            synapsor._now() as recorded_at
        from given
        inner join counted using (subject_type, subject_id)
        order by given.place
        -- Keeps one reading of the clock per event.
        offset 0
    ) as ready;
    get diagnostics appended = row_count;
    return appended;
end;
$function$;

comment on function synapsor._append_events(synapsor.action_invocations, jsonb, integer) is
'Appends the events of an invocation, an array of {"type", "subject_type", "subject_id",
"payload", "occurred_at"?, "schema_version"?}, each under the next sequence of its subject, and
returns their number. SY013 when one is malformed. The owner''s only.';
