-- security definer: no view shows the nodes of a plan beside the steps of its run; filters by
-- session itself and tells nothing of a plan that synapsor_plans does not show
create or replace function synapsor._idle_nodes(run_id text)
returns table (
    parent_step_key text,
    node integer,
    name text,
    relation text,
    execute_case text[],
    why text,
    compared_status text,
    below integer
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
-- Tables that have grown a moment ago look small: a thousand steps would be joined one by one with
-- a thousand nodes, and each subtree's end sought in all of them.
set enable_nestloop = off
set enable_bitmapscan = off
set enable_seqscan = off
as $function$
    with walked as materialized (
        select plan_run.plan_id, plan_run.is_cancelled
        from synapsor.plan_runs as plan_run
        where plan_run.run_id = _idle_nodes.run_id
            and (
                plan_run.tenant_id = any((select synapsor._visible_tenants())::text[])
                or (select synapsor._sees_every_tenant())
            )
    ),

    seen as materialized (
        -- A root's parent is the run: node 0 with an empty key, so that the joins below are hashed.
        select
            step.step_key, coalesce(step.parent_step_key, '') as parent_step_key, step.kind, step.node, step.state,
            step.status, step.phase, step.query_status, step.retries, step.sequence
        from synapsor.run_steps as step
        where step.run_id = _idle_nodes.run_id and step.node is not null and exists (select from walked)
    ),

    hosts as (
        select seen.step_key, seen.node, seen.state, seen.status, seen.phase, seen.query_status, seen.sequence
        from seen
        where seen.kind <> 'container'
            -- Below an attempt that was repeated nothing runs any more.
            and not exists (select from seen as later where later.retries = seen.step_key)
        union all
        select '', 0, 'finished', 'None', 'actions', 0, 0
    ),

    idle as materialized (
        select
            walked.plan_id,
            nullif(host.step_key, '') as parent_step_key,
            planned.node,
            planned.name,
            planned.relation,
            planned.execute_case,
            case
                when host.state <> 'finished' then 'above'
                when planned.relation = 'child' and host.phase in ('handler', 'group') then 'group'
                when not synapsor._is_case(planned.execute_case, compared.value) then 'case'
                when walked.is_cancelled then 'cancelled'
                else 'empty'
            end as why,
            synapsor._status_name(compared.value) as compared_status,
            host.sequence
        from walked
        inner join synapsor.plan_nodes as planned using (plan_id)
        inner join hosts as host on coalesce(planned.parent, 0) = host.node
        cross join lateral (
            select case planned.relation
                when 'group' then synapsor._status_value(host.status) else host.query_status
            end
        ) as compared (value)
        where not exists (
            select from seen
            where seen.node = planned.node and seen.parent_step_key = host.step_key
        )
        order by host.sequence, planned.node
        limit 500
    )

    select
        idle.parent_step_key,
        idle.node,
        idle.name,
        idle.relation,
        idle.execute_case,
        idle.why,
        idle.compared_status,
        -- Nodes are numbered in document order: the first that hangs higher ends the subtree.
        coalesce(
            (
                select next.node
                from synapsor.plan_nodes as next
                where next.plan_id = idle.plan_id and next.node > idle.node and coalesce(next.parent, 0) < idle.node
                order by next.node
                limit 1
            ),
            (select plan.nodes + 1 from synapsor.plans as plan where plan.plan_id = idle.plan_id)
        ) - idle.node - 1
    from idle
    order by idle.sequence, idle.node;
$function$;

grant execute on function synapsor._idle_nodes
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._idle_nodes is
'The nodes of a plan instance of the session''s tenants that have not run though what they hang on has, the first 500,
and why: above (it has not ended), group (the one beside them has not ended), case (of another status than
compared_status), cancelled, or empty (ForEach found nothing). below: how many nodes hang on them.';
