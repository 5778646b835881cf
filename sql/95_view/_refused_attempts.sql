-- security definer: reads invocations of the session's tenants by run, which the view, made for
-- single actions, finds only by looking at all of them; shows no parameters
create or replace function synapsor._refused_attempts(run_id text)
returns table (
    action_id text,
    action text,
    version int,
    step_key text,
    status text,
    error_code text,
    error_message text,
    violations jsonb,
    created_at timestamptz
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select
        invocation.action_id,
        invocation.action,
        invocation.version,
        invocation.step_key,
        invocation.status,
        invocation.error_code,
        invocation.error_message,
        invocation.violations,
        invocation.created_at
    from synapsor.action_invocations as invocation
    where
        invocation.run_id = _refused_attempts.run_id
        and invocation.status in ('validation_failed', 'blocked_by_policy')
        and invocation.purged_as is null
        and (
            invocation.tenant_id = any((select synapsor._visible_tenants())::text[])
            or (select synapsor._sees_every_tenant())
        )
        and not exists (
            select from synapsor.run_steps as step
            where step.action_id = invocation.action_id
        );
$function$;

grant execute on function synapsor._refused_attempts(text)
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._refused_attempts(text) is
'The attempts of a run of the session''s tenants that were refused and therefore became no step.';
