-- An adapter step of a plan's node: a step below it, as below an agent's.
create or replace function synapsor._note_adapter_step(
    parent synapsor.action_invocations, action_id text, action text, ordinal bigint
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    adapter_key constant text := format('%s[adapter %s]', parent.step_key, ordinal);
begin
    update synapsor.action_invocations as joined
    set run_id = parent.run_id, step_key = adapter_key
    where joined.action_id = _note_adapter_step.action_id;
    insert into synapsor.run_steps (
        step_id, run_id, tenant_id, step_key, parent_step_key, relation, kind, name, state, action_id, started_at
    )
    values (
        synapsor._new_id('stp_'), parent.run_id, parent.tenant_id, adapter_key, parent.step_key, 'child',
        'external_action', _note_adapter_step.action, 'running', _note_adapter_step.action_id, synapsor._now()
    );
end;
$function$;
