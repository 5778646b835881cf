create or replace function synapsor.replay_events(
    subject_type text,
    subject_id text,
    initial jsonb,
    reducer regprocedure,
    after_sequence bigint default 0,
    out state jsonb,
    out applied bigint,
    out sequence bigint,
    out warnings jsonb
)
language plpgsql
volatile
-- security definer: reads domain_events, which no caller may
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    called record;
    owners text[];
    batch jsonb[] := array[]::jsonb[];
    seen text[] := array[]::text[];
    event synapsor.domain_events;
begin
    if coalesce(after_sequence, 0) < 0 then
        raise exception using
            errcode = 'SY003',
            message = 'after_sequence is less than 0',
            hint = 'Pass the sequence of the last event that initial already contains, or 0.';
    end if;
    called := synapsor._user_function(reducer::text, array['jsonb', 'jsonb'], 'jsonb');
    if called.problem is not null then
        perform synapsor._refuse_user_function(reducer::text, called.problem);
    end if;

    owners := array(
        select subject.tenant_id
        from synapsor.event_subjects as subject
        where subject.subject_type = replay_events.subject_type
            and subject.subject_id = replay_events.subject_id
            and (
                (select synapsor._sees_every_tenant())
                or subject.tenant_id = any ((select synapsor._visible_tenants())::text[])
            )
        limit 2
    );
    if cardinality(owners) > 1 then
        raise exception using
            errcode = 'SY003',
            message = format('%s %s is a subject of several tenants', subject_type, subject_id),
            hint = 'Replay in a session of one tenant.';
    end if;

    state := coalesce(initial, 'null');
    applied := 0;
    sequence := coalesce(after_sequence, 0);
    warnings := '[]';

    if sequence > 0 and not exists (
        select from synapsor.domain_events as known
        where known.tenant_id = owners[1]
            and known.subject_type = replay_events.subject_type
            and known.subject_id = replay_events.subject_id
            and known.sequence = replay_events.after_sequence
    ) then
        warnings := warnings || jsonb_build_object(
            'warning', 'cursor_not_found', 'sequence', sequence
        );
    end if;

    for event in
        select stored.*
        from synapsor.domain_events as stored
        where stored.tenant_id = owners[1]
            and stored.subject_type = replay_events.subject_type
            and stored.subject_id = replay_events.subject_id
            and stored.sequence > replay_events.sequence
        order by stored.sequence, stored.recorded_at
    loop
        if event.sequence > sequence + 1 then
            warnings := warnings || jsonb_build_object(
                'warning', 'missing_sequence', 'from', sequence + 1, 'to', event.sequence - 1
            );
        end if;
        sequence := event.sequence;
        if event.event_id = any (seen) then
            warnings := warnings || jsonb_build_object(
                'warning', 'duplicate_event', 'sequence', sequence, 'event_id', event.event_id
            );
            continue;
        end if;
        seen := seen || event.event_id;
        batch := batch || to_jsonb(event);
        applied := applied + 1;
        if cardinality(batch) = 1000 then
            state := synapsor._as_guest(
                'fold', called.named, array[state] || batch, read_only => true
            );
            batch := '{}';
        end if;
    end loop;
    if cardinality(batch) > 0 then
        state := synapsor._as_guest('fold', called.named, array[state] || batch, read_only => true);
    end if;
end;
$function$;

comment on function synapsor.replay_events(text, text, jsonb, regprocedure, bigint) is
'Folds the events of one subject of the session''s tenants into a state, in order of their
sequence, from the one behind after_sequence: reducer(state jsonb, event jsonb) returns the next
state, and is held to what handlers are (SECURITY DEFINER, pinned search_path, an owner without
power), and called read-only. An event is an object with the columns of synapsor_events, without
cloud_event. Returns the state, how many events were applied, the last sequence seen, and
warnings, an array of {"warning": "missing_sequence", "from", "to"} (a gap), {"warning":
"duplicate_event", "sequence", "event_id"} (left out) and {"warning": "cursor_not_found",
"sequence"} (there is no event of after_sequence; those behind it are applied all the same).
Errors: SY003, SY013, the reducer''s own. Source: reference/pipeline.md, B.6.';

grant execute on function synapsor.replay_events(text, text, jsonb, regprocedure, bigint)
to synapsor_auditor;
