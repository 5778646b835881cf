-- security definer: nobody but the owner changes an invocation.
create or replace function synapsor.run_due_steps(max_steps integer default 1000)
returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    sees_every constant boolean := synapsor._sees_every_tenant();
    tenants constant text[] := synapsor._visible_tenants();
    due text[];
    parent text;
    stepped integer;
begin
    perform synapsor._warn_without_tenant();
    with taken as (
        delete from synapsor.due_invocations as mark
        where mark.mark in (
            select waiting.mark
            from synapsor.due_invocations as waiting
            where sees_every or waiting.tenant_id = any(tenants)
            order by waiting.due_at
            limit max_steps
            for update skip locked
        )
        returning mark.action_id
    )

    select array_agg(distinct taken.action_id order by taken.action_id) into due from taken;
    stepped := synapsor._advance_runs(coalesce(due, '{}'), max_steps);
    -- In the same order everywhere, so that two of these calls take turns. Runs come first, in the
    -- order of locks; those advanced have completed the actions of their own steps.
    foreach parent in array coalesce(due, '{}') loop
        perform synapsor._complete_parent(parent)
        where exists (
            select from synapsor.action_invocations as step where step.parent_action_id = parent
        );
    end loop;
    return coalesce(cardinality(due), 0) + stepped;
end;
$function$;

grant execute on function synapsor.run_due_steps to synapsor_worker, synapsor_admin;

comment on function synapsor.run_due_steps is
'Goes on with what has become due, at most max_steps ended waits and as many timers of the
session''s tenants, and returns their number: a plan''s node whose action has ended, or whose timer
has run out, is finished and its run advances; an action whose adapter steps have all ended is
completed, or failed when one of them failed. A run that cannot be advanced stops no other: the
reason is kept and it is tried again later. Callable by any scheduler whose login is bound;
workers call it right after confirming. Source: design.md section 8.';

-- Under the parent's lock, so that two steps ending at once cannot both miss that they were last.
create or replace function synapsor._complete_parent(action_id text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    parent synapsor.action_invocations;
    ended record;
    steps record;
    outcome text;
    reason text;
begin
    select invocation.* into parent
    from synapsor.action_invocations as invocation
    where invocation.action_id = _complete_parent.action_id and invocation.purged_as is null
    for no key update;
    if not found then
        return;
    end if;
    for ended in
        select step.action_id, step.action, external.status, external.provider_request_id, external.error_code
        from synapsor.action_invocations as step
        inner join synapsor._actions as external using (action_id)
        where step.parent_action_id = parent.action_id and external.finished_at is not null
            and not exists (
                select from synapsor.domain_events as told
                where told.tenant_id = parent.tenant_id and told.subject_type = 'AdapterInvocation'
                    and told.subject_id = step.action_id and told.occurred_at >= external.finished_at
                    and told.event_type in ('AdapterInvocationSucceeded', 'AdapterInvocationFailed')
            )
        order by step.action_id
    loop
        perform synapsor._append_events(parent, jsonb_build_array(jsonb_build_object(
            'type', case ended.status
                when 'succeeded' then 'AdapterInvocationSucceeded'
                else 'AdapterInvocationFailed'
            end,
            'subject_type', 'AdapterInvocation', 'subject_id', ended.action_id,
            'payload', jsonb_strip_nulls(jsonb_build_object(
                'action', ended.action, 'status', ended.status, 'provider_request_id', ended.provider_request_id,
                'error_code', ended.error_code
            ))
        )));
    end loop;
    select
        count(*) filter (where external.finished_at is null) as open,
        string_agg(
            format('%s %s', step.action, external.status), ', ' order by step.action_id
        ) filter (where external.finished_at is not null and external.status <> 'succeeded') as failures
    into steps
    from synapsor.action_invocations as step
    inner join synapsor._actions as external using (action_id)
    where step.parent_action_id = parent.action_id;
    outcome := case
        when steps.failures is not null then 'failed'
        when steps.open > 0 then 'running'
        else 'completed'
    end;
    reason := 'adapter steps ended otherwise than planned: ' || steps.failures;
    -- Several marks, one ending.
    if row(outcome, reason) is distinct from row(parent.status, parent.error_message) then
        update synapsor.action_invocations as invocation
        set status = outcome, error_code = case when outcome = 'failed' then 'SY013' end, error_message = reason,
            completed_at = case when outcome <> 'running' then synapsor._now() end
        where invocation.action_id = parent.action_id;
    end if;
end;
$function$;

-- A mark of its own for every ending: with one row per parent, a confirmation that found the row
-- there and is not committed yet would be missed by whoever takes that row meanwhile, and the parent
-- would stay running for good.
create or replace function synapsor._mark_due(action_id text, tenant_id text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    insert into synapsor.due_invocations (mark, action_id, tenant_id, due_at)
    values (gen_random_uuid(), _mark_due.action_id, _mark_due.tenant_id, synapsor._now());
end;
$function$;
