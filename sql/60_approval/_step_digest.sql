-- What a reviewer decides on, where a step is no action: the step as it was recorded.
create or replace function synapsor._step_digest(step synapsor.run_steps)
returns bytea
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select sha256(convert_to(jsonb_build_object(
        'run_id', step.run_id, 'step_key', step.step_key, 'name', step.name, 'risk', step.risk,
        'input', step.input, 'output', step.exit_data, 'evidence', step.evidence
    )::text, 'UTF8'))
$function$;

grant execute on function synapsor._step_digest(synapsor.run_steps)
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._step_digest(synapsor.run_steps) is
'The digest stored with a verdict on a step; asked by synapsor_pending_approvals as its reader.';
