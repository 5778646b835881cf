-- security definer: the one documented deletion.
create or replace function synapsor.purge(before timestamptz, max_actions integer default 10000)
returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    if before is null or max_actions is null or max_actions < 1 then
        raise exception using
            errcode = 'SY003',
            message = 'purge takes a moment and a number of actions above zero';
    end if;
    if synapsor._session() ?| array['tenant_id', 'tenants'] then
        return synapsor._purge(before, max_actions);
    end if;
    return synapsor._as_every_tenant(
        'select synapsor._purge($1::timestamptz, $2::integer)', array[before::text, max_actions::text]
    )::integer;
end;
$function$;

grant execute on function synapsor.purge to synapsor_admin;

comment on function synapsor.purge is
'Removes invocations finished before a moment, with their events, approvals and evidence, at most
max_actions of them, oldest ids first, and returns their number. What remains is a tombstone of
each idempotency key, so that a repeated proposal is not performed again, and one `Purged` event
per tenant with the count. What belongs to a run whose workflow contract retains runs stays as long
as that says, and such a run goes whole afterwards; its steps'' evidence goes after evidence_days.
With a session, its tenants; without one, every tenant. Errors: SY003.';

create or replace function synapsor._purge(before timestamptz, max_actions integer)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    sees_every constant boolean := synapsor._sees_every_tenant();
    tenants constant text[] := synapsor._visible_tenants();
    purged text[];
begin
    with finished as (
        select invocation.action_id, ending.status
        from synapsor.action_invocations as invocation
        left join lateral (
            select event.event_type, event.status, event.occurred_at
            from synapsor.external_action_events as event
            where event.action_id = invocation.action_id
            order by event.sequence desc
            limit 1
        ) as outcome on true
        -- An action performed on approval may have steps still under way: its own row tells its end.
        cross join lateral (
            select
                case
                    when outcome.event_type is distinct from 'Performed' then outcome.status
                end as delivered,
                case
                    when outcome.event_type is distinct from 'Performed' then outcome.occurred_at
                end as delivered_at
        ) as delivery
        cross join lateral (
            select
                coalesce(delivery.delivered, invocation.status) as status,
                coalesce(delivery.delivered_at, invocation.completed_at) as ended_at
        ) as ending
        where invocation.purged_as is null and invocation.created_at < before
            and (sees_every or invocation.tenant_id = any(tenants))
            and ending.ended_at < before
            and (invocation.run_id is null or not synapsor._is_kept(invocation.run_id))
            and not exists (
                select from synapsor.open_external_actions as open where open.action_id = invocation.action_id
            )
            and not exists (
                select from synapsor.open_external_actions as step where step.reports_to = invocation.action_id
            )
            -- Steps go after their parent: it ends by what all of them came to, retried ones included.
            and not exists (
                select from synapsor.action_invocations as parent
                where parent.action_id = invocation.parent_action_id and parent.purged_as is null
            )
            and not exists (
                select from synapsor.due_invocations as mark where mark.action_id = invocation.action_id
            )
            -- A plan that goes on may yet have to undo it, and a saga has to hear of it.
            and not exists (
                select from synapsor.runs as run
                where run.run_id = invocation.run_id and run.plan is not null and run.finished_at is null
            )
        order by invocation.action_id
        limit max_actions
        for update of invocation skip locked
    ),

    emptied as (
        update synapsor.action_invocations as invocation
        set purged_as = finished.status, opened_as = null, intent = null, digest = null, parameters = null,
            violations = null, result = null, error_message = null, ordering_key = null, traceparent = null
        from finished
        where invocation.action_id = finished.action_id
        returning invocation.action_id, invocation.tenant_id
    ),

    counted as (
        insert into synapsor.external_action_events (
            action_id, sequence, tenant_id, event_type, status, actor, occurred_at, note, detail
        )
        select
            synapsor._new_id('act_'), 1, emptied.tenant_id, 'Purged', 'purged',
            synapsor._session() ->> 'principal', synapsor._now(),
            format('%s invocations finished before %s', count(*), before),
            jsonb_build_object('purged', count(*), 'before', before)
        from emptied
        group by emptied.tenant_id
    )

    select array_agg(emptied.action_id) into purged from emptied;
    delete from synapsor.external_action_events as event where event.action_id = any(purged);
    delete from synapsor.approvals as approval where approval.action_id = any(purged);
    delete from synapsor.approval_requests as request where request.action_id = any(purged);
    delete from synapsor.budget_shares as share where share.action_id = any(purged);
    delete from synapsor.domain_events as event where event.action_id = any(purged);
    delete from synapsor.policy_evaluations as evaluation where evaluation.action_id = any(purged);
    -- Of a plan's node the row tells more than of its action.
    delete from synapsor.run_steps as step where step.action_id = any(purged) and step.phase is null;
    -- What holds no key leaves no tombstone; last, because events may be deleted only of purged actions.
    delete from synapsor.action_invocations as invocation
    where invocation.action_id = any(purged) and not invocation.holds_key;
    perform synapsor._purge_runs(before, max_actions);
    return coalesce(cardinality(purged), 0);
end;
$function$;
