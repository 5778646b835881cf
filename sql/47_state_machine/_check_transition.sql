create or replace function synapsor._check_transition(
    entity_type text, from_state text, to_state text, action text
) returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    machine jsonb;
    problem text;
    known text;
begin
    select stored.declared
    into machine
    from synapsor.state_machines as stored
    where stored.entity_type = _check_transition.entity_type
    order by stored.version desc
    limit 1;

    if machine is null then
        problem := format('No state machine is declared for %s.', entity_type);
    elsif not coalesce(machine -> 'states' ? from_state, false) then
        problem := format(
            'The present state, %s, is not one of the declared states.',
            coalesce(quote_literal(left(from_state, 64)), 'null')
        );
    elsif not coalesce(machine -> 'states' ? to_state, false) then
        problem := format(
            'The target state, %s, is not one of the declared states.',
            coalesce(quote_literal(left(to_state, 64)), 'null')
        );
    elsif not coalesce(machine -> 'transitions' @> jsonb_build_array(
        jsonb_build_object('from', from_state, 'to', to_state, 'action', action)
    ), false) then
        select string_agg(format('%s by %s', allowed ->> 'to', allowed ->> 'action'), ', ')
        into known
        from jsonb_array_elements(machine -> 'transitions') as allowed
        where allowed ->> 'from' = from_state;
        problem := format('From %s lead: %s.', from_state, coalesce(known, 'no transitions'));
    else
        return;
    end if;
    raise exception using
        errcode = 'SY010',
        message = format(
            '%s may not go from %s to %s by %s', entity_type,
            coalesce(left(from_state, 64), 'null'), coalesce(left(to_state, 64), 'null'), action
        ),
        detail = problem,
        hint = 'The latest version of the state machine judges; see '
            'synapsor.declare_state_machine.';
end;
$function$;

comment on function synapsor._check_transition(text, text, text, text) is
'Raises SY010 unless the latest state machine of the entity type has exactly that transition.';
