create or replace function synapsor._walk_of(run synapsor.runs)
returns synapsor.plan_walk
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    started synapsor.plan_runs;
    declared synapsor.plans;
    walk synapsor.plan_walk;
begin
    select stored.* into strict started
    from synapsor.plan_runs as stored
    where stored.run_id = run.run_id;
    select stored.* into strict declared
    from synapsor.plans as stored
    where stored.plan_id = started.plan_id;
    walk.run_id := run.run_id;
    walk.tenant_id := run.tenant_id;
    walk.plan_id := started.plan_id;
    walk.principal := run.principal;
    walk.session := started.session;
    walk.security_context := jsonb_build_object(
        'tenant_id', run.tenant_id, 'principal', run.principal, 'actor_type', started.session -> 'actor_type',
        'roles', started.session -> 'roles'
    );
    walk.parameters := run.input;
    walk.automatic := jsonb_build_object(
        'PlanStartInfo_Name', declared.name,
        'PlanStartInfo_UniqueName', declared.plan,
        'PlanStartInfo_IsActive', declared.is_active,
        'PlanStartInfo_InstanceId', run.run_id,
        'PlanStartInfo_RequestNumber', coalesce(declared.start_info ->> 'RequestNumber', run.correlation_id),
        'PlanStartInfo_RequestUser', coalesce(declared.start_info ->> 'RequestUser', run.principal)
    );
    walk.is_dry_run := started.is_dry_run;
    walk.is_cancelled := started.is_cancelled;
    walk.steps := started.steps;
    walk.action_id := started.action_id;
    walk.queue := started.queue;
    walk.names_compensations := started.action_id is not null or declared.names_compensations;
    walk.correlation_id := run.correlation_id;
    return walk;
end;
$function$;
