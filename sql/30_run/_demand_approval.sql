-- any, low, medium, high, critical; a word that nobody ranked is above them all.
create or replace function synapsor._risk_rank(risk text)
returns integer
language sql
immutable
parallel safe
begin atomic
    select coalesce(array_position(array['any', 'low', 'medium', 'high', 'critical'], risk), 6);
end;

-- The role whose approval a contract demands for a risk: by its own entry, else by that of the highest risk below it.
create or replace function synapsor._risk_role(workflow jsonb, risk text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $function$
    select policy.value ->> 'approval_role'
    from jsonb_each(workflow -> 'risk_policy') as policy
    where synapsor._risk_rank(policy.key) <= synapsor._risk_rank(risk)
    order by policy.key = risk desc, synapsor._risk_rank(policy.key) desc, policy.key
    limit 1;
$function$;

create or replace function synapsor._demand_approval(workflow jsonb, inout step synapsor.run_steps)
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    demanded constant text := synapsor._risk_role(workflow, step.risk);
begin
    if step.risk is null or demanded is null then
        return;
    end if;
    update synapsor.workflow_runs as counted
    set risk = step.risk, approval_role = demanded
    where counted.run_id = step.run_id
        and (counted.risk is null or synapsor._risk_rank(counted.risk) < synapsor._risk_rank(step.risk));
    if step.status in ('completed', 'warned') then
        step.wait := jsonb_build_object('for', 'approval', 'role', demanded, 'then', step.status);
        step.status := 'waiting_approval';
        step.state := 'waiting';
        step.finished_at := null;
    end if;
end;
$function$;

comment on function synapsor._demand_approval(jsonb, synapsor.run_steps) is
'A step whose risk demands an approval waits for it instead of ending, and every action that the run
asks for from now on needs it too.';
