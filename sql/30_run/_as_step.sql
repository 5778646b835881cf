create or replace function synapsor._as_step(stored synapsor.run_steps)
returns synapsor.step
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select row(
        stored.step_id, stored.run_id, stored.step_key, stored.parent_step_key, stored.relation,
        stored.kind, stored.name, stored.state, stored.status, stored.branch_status,
        stored.sequence, stored.execute_case,
        case when redacts then synapsor._shown(stored.input, 'read_model') else stored.input end,
        case
            when redacts then synapsor._shown(stored.exit_data, 'read_model')
            else stored.exit_data
        end,
        stored.exit_code, stored.message, stored.pid, stored.security_context, stored.risk, stored.action_id,
        stored.input_tokens, stored.output_tokens, stored.started_at, stored.finished_at
    )::synapsor.step
    from synapsor._has_redactions('read_model') as redacts;
$function$;

comment on function synapsor._as_step(synapsor.run_steps) is
'The stored row in the shape the verbs return, redacted like the view.';
