create or replace function synapsor._check_state_machine(definition jsonb) returns text[]
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
declare
    classes constant text[] := array[
        'initial', 'active', 'action_required', 'waiting', 'terminal', 'exception'
    ];
    states constant jsonb := case
        when jsonb_typeof(definition -> 'states') = 'object' then definition -> 'states' else '{}'
    end;
    transitions constant jsonb := case
        when jsonb_typeof(definition -> 'transitions') = 'array' then definition -> 'transitions'
        else '[]'
    end;
    reasons text[] := array[]::text[];
    item jsonb;
    path text;
    place integer := 0;
begin
    reasons := reasons || array(
        select format('%s is no key of a state machine', known.key)
        from jsonb_object_keys(definition) as known (key)
        where known.key not in ('entity_type', 'states', 'transitions', 'description')
    );
    if jsonb_typeof(definition -> 'entity_type') is distinct from 'string'
        or definition ->> 'entity_type' !~ '^[A-Z][a-zA-Z0-9]{0,127}$'
    then
        reasons := reasons
            || 'entity_type does not match ^[A-Z][a-zA-Z0-9]*$ in 128 characters'::text;
    end if;
    if definition ? 'description' and (
        jsonb_typeof(definition -> 'description') not in ('string', 'null')
        or length(definition ->> 'description') > 4000
    ) then
        reasons := reasons || 'description is not a text of at most 4000 characters'::text;
    end if;

    if jsonb_typeof(definition -> 'states') is distinct from 'object' or states = '{}' then
        reasons := reasons || 'states is not an object of at least one state and its class'::text;
    elsif (select count(*) from jsonb_object_keys(states)) > 200 then
        reasons := reasons || 'states has more than 200 states'::text;
    end if;
    reasons := reasons || array(
        select format('states.%s is not a name of 1 to 255 characters', left(state.key, 64))
        from jsonb_each(states) as state
        where not synapsor._is_session_name(to_jsonb(state.key))
        union all
        select format(
            'states.%s is none of %s', left(state.key, 64), array_to_string(classes, ', ')
        )
        from jsonb_each(states) as state
        where jsonb_typeof(state.value) <> 'string' or state.value #>> '{}' <> all (classes)
    );

    if jsonb_typeof(definition -> 'transitions') is distinct from 'array' then
        reasons := reasons || 'transitions is not an array'::text;
    elsif jsonb_array_length(transitions) > 1000 then
        reasons := reasons || 'transitions has more than 1000 items'::text;
    end if;
    for item in select value from jsonb_array_elements(transitions) limit 1000 loop
        path := format('transitions[%s]', place);
        place := place + 1;
        if jsonb_typeof(item) <> 'object' then
            reasons := reasons || (path || ' is not an object');
            continue;
        end if;
        reasons := reasons || array(
            select format('%s.%s is no key of a transition', path, left(known.key, 64))
            from jsonb_object_keys(item) as known (key)
            where known.key not in ('from', 'to', 'action')
        ) || array(
            select format('%s.%s is not one of the states', path, ends.name)
            from (values ('from'), ('to')) as ends (name)
            where jsonb_typeof(item -> ends.name) is distinct from 'string'
                or not states ? (item ->> ends.name)
        );
        if jsonb_typeof(item -> 'action') is distinct from 'string'
            or item ->> 'action' !~ '^[a-z][a-z0-9-]*\.[a-z][a-z0-9_]*$'
            or length(item ->> 'action') > 128
        then
            reasons := reasons || format(
                '%s.action does not match ^[a-z][a-z0-9-]*\.[a-z][a-z0-9_]*$ in 128 characters',
                path
            );
        end if;
    end loop;
    return reasons || array(
        select format('transitions names %s to %s by %s twice',
            left(twice.item ->> 'from', 64), left(twice.item ->> 'to', 64),
            left(twice.item ->> 'action', 128))
        from jsonb_array_elements(transitions) as twice (item)
        group by twice.item
        having count(*) > 1
    );
end;
$function$;

comment on function synapsor._check_state_machine(jsonb) is
'Every reason against the definition of a state machine, an object; none when it is sound.';
