-- A step whose risk demands an approval has no intent that would be sent: it is approved, or not, as it was recorded.
create or replace function synapsor._decide_step(
    step_id text, verdict text, note text, expected_digest text default null
)
returns synapsor.external_action
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    session constant jsonb := synapsor._session();
    sees_every constant boolean := synapsor._sees_every_tenant();
    tenants constant text[] := synapsor._visible_tenants();
    step synapsor.run_steps;
    open synapsor.open_external_actions;
    digest bytea;
    decided synapsor.external_action;
begin
    select waiting.* into step
    from synapsor.run_steps as waiting
    where waiting.step_id = _decide_step.step_id and waiting.state = 'waiting' and waiting.wait ->> 'for' = 'approval'
        and (sees_every or waiting.tenant_id = any(tenants))
    for update;
    if not found then
        if exists (
            select from synapsor.approvals as approval
            where approval.action_id = _decide_step.step_id and (sees_every or approval.tenant_id = any(tenants))
        ) then
            raise exception using
                errcode = 'SY021',
                message = format('step %s does not await approval', step_id),
                detail = 'It has been decided on.';
        end if;
        raise exception using
            errcode = 'SY011',
            message = format('no step %s awaits approval', left(step_id, 100)),
            hint = 'Look for what waits in synapsor.synapsor_pending_approvals.';
    end if;
    perform synapsor._require_natural_person(session);
    if not coalesce(session -> 'roles' ? (step.wait ->> 'role'), false) then
        raise exception using
            errcode = 'SY007',
            message = format('step %s is decided by role %s', step.step_id, quote_ident(step.wait ->> 'role')),
            detail = format('%s holds %s.', quote_ident(session ->> 'principal'), session -> 'roles');
    end if;
    digest := synapsor._step_digest(step);
    if expected_digest <> encode(digest, 'hex') then
        raise exception using
            errcode = 'SY024',
            message = format('the digest of step %s is not the expected one', step.step_id),
            detail = format('Expected %s, found %s.', left(expected_digest, 64), encode(digest, 'hex')),
            hint = 'Look at the step again.';
    end if;
    open.action_id := step.step_id;
    open.tenant_id := step.tenant_id;
    perform synapsor._record_verdict(open, session ->> 'principal', verdict, note, digest);
    step := synapsor._end_step(step, case verdict when 'approved' then step.wait ->> 'then' else 'blocked' end);
    decided.action_id := step.step_id;
    decided.tenant_id := step.tenant_id;
    decided.action := step.name;
    decided.status := step.status;
    decided.digest := encode(digest, 'hex');
    decided.approvals_required := 1;
    decided.approvals_given := (verdict = 'approved')::integer;
    decided.run_id := step.run_id;
    decided.step_key := step.step_key;
    decided.created_at := step.started_at;
    decided.finished_at := step.finished_at;
    decided.changed := true;
    return decided;
end;
$function$;

create or replace function synapsor._end_step(inout step synapsor.run_steps, status text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    update synapsor.run_steps as ended
    set status = _end_step.status, state = 'finished', finished_at = synapsor._now(), wait = null
    where ended.run_id = step.run_id and ended.step_key = step.step_key
    returning ended.* into strict step;
    if exists (
        select from synapsor.runs as run
        inner join synapsor.workflows as bound
            on run.workflow = bound.workflow and run.workflow_version = bound.version
        where run.run_id = step.run_id and (bound.definition ->> 'checkpoint_every_step')::boolean
    ) then
        perform synapsor._leave_checkpoint(step);
    end if;
end;
$function$;

-- Whoever approves an action for the risk of its run approves what led to it.
create or replace function synapsor._release_steps(run_id text, role text, before timestamptz)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    step synapsor.run_steps;
begin
    for step in
        select waiting.*
        from synapsor.run_steps as waiting
        where waiting.run_id = _release_steps.run_id and waiting.state = 'waiting'
            and waiting.wait ->> 'for' = 'approval' and waiting.wait ->> 'role' = _release_steps.role
            and coalesce((waiting.wait ->> 'since')::timestamptz, waiting.started_at) <= before
        order by waiting.sequence
        for update
    loop
        perform synapsor._end_step(step, step.wait ->> 'then');
    end loop;
end;
$function$;
