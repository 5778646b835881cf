create or replace function synapsor._step_exists(run_id text, step_key text)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select exists (
        select from synapsor.run_steps as step
        where step.run_id = _step_exists.run_id and step.step_key = _step_exists.step_key
    );
$function$;

comment on function synapsor._step_exists(text, text) is 'Whether the run has a step of that key.';
