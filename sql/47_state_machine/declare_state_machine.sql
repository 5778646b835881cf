create or replace function synapsor.declare_state_machine(definition jsonb)
returns synapsor.state_machine
language plpgsql
volatile
-- security definer: state machines are written by nobody but their owner
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    latest synapsor.state_machines;
    declared synapsor.state_machines;
begin
    perform synapsor._require_object(definition, 'a state machine', 'declare_state_machine');
    perform synapsor._require_no_reasons(synapsor._check_state_machine(definition), format(
        'the state machine of %s',
        coalesce(quote_nullable(left(definition ->> 'entity_type', 64)), 'an entity type')
    ));

    -- Declarations are rare and take turns, so that two equal ones cannot make two versions.
    lock table synapsor.state_machines in share row exclusive mode;
    select machine.*
    into latest
    from synapsor.state_machines as machine
    where machine.entity_type = definition ->> 'entity_type'
    order by machine.version desc
    limit 1;
    if latest.declared = definition then
        return synapsor._state_machine(latest);
    end if;

    insert into synapsor.state_machines as machine (
        entity_type, version, declared, declared_by, declared_at
    )
    values (
        definition ->> 'entity_type', coalesce(latest.version, 0) + 1, definition,
        synapsor._session() ->> 'principal', synapsor._now()
    )
    returning machine.* into declared;
    return synapsor._state_machine(declared);
end;
$function$;

comment on function synapsor.declare_state_machine(jsonb) is
'Declares the states of an entity type and which action may lead from one to another, and returns
the stored version: {"entity_type": "Invoice", "states": {"open": "initial", "paid": "active",
"refunded": "terminal"}, "transitions": [{"from": "paid", "to": "refunded", "action":
"billing.record_refund"}], "description"?}. Classes of states: initial, active, action_required,
waiting, terminal, exception. A definition equal (as jsonb) to the latest version is a no-op. The
latest version judges every transition from now on, also of invocations that wait for approval.
Errors: SY002 with every reason, one per line. Source: reference/pipeline.md, B.5.';

grant execute on function synapsor.declare_state_machine(jsonb) to synapsor_admin;
