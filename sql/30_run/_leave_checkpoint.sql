create or replace function synapsor._leave_checkpoint(step synapsor.run_steps)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    checkpoint constant text := synapsor._new_id('stp_');
    chosen text;
begin
    if synapsor._is_control_step(step.kind) then
        return;
    end if;
    -- The second cannot be taken, nor be too long.
    foreach chosen in array array[step.step_key || ':checkpoint', 'checkpoint:' || checkpoint] loop
        continue when octet_length(chosen) > 2048;
        insert into synapsor.run_steps (
            step_id, run_id, tenant_id, step_key, parent_step_key, relation, kind, name, state, status, input,
            exit_data, started_at, finished_at
        )
        values (
            checkpoint, step.run_id, step.tenant_id, chosen, step.step_key, 'child', 'checkpoint', left(chosen, 200),
            'finished', 'completed',
            jsonb_strip_nulls(jsonb_build_object(
                'step', step.step_key, 'status', step.status, 'action_id', step.action_id
            )), '{}',
            synapsor._now(), synapsor._now()
        )
        on conflict on constraint a_step_key_names_one_step_of_its_run do nothing;
        exit when found;
    end loop;
end;
$function$;

comment on function synapsor._leave_checkpoint(synapsor.run_steps) is
'What CHECKPOINT EVERY STEP means: below the step, a checkpoint that is there as soon as the step is.';
