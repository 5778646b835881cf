create or replace function synapsor.explain_agent_run(run_id text, format text default 'text')
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    document jsonb;
    steps jsonb;
    action_ids text[];
    edges jsonb;
    explanation jsonb;
    whys jsonb;
    actions jsonb;
    approvals jsonb;
    policies jsonb;
    histories jsonb;
begin
    perform synapsor._require_explain_format(format, 'text', 'json', 'mermaid', 'dot');

    -- Payloads go in as previews: a line of text shows no more of them, and json has them below.
    select jsonb_build_object(
        'format', format,
        'run', jsonb_build_object(
            'run_id', run.run_id,
            'tenant_id', run.tenant_id,
            'workflow', run.workflow,
            'plan', run.plan,
            'version', run.version,
            'state', run.state,
            'status', case when run.plan is not null then run.status end,
            'is_dry_run', run.is_dry_run,
            'reason', left(run.reason, 400),
            'error', left(run.error, 400),
            'principal', run.principal,
            'input', synapsor._preview(run.input),
            'output', synapsor._preview(run.output),
            'started_at', run.started_at,
            'finished_at', run.finished_at
        )
    )
    into document
    from synapsor.synapsor_agent_workflow_runs as run
    where run.run_id = explain_agent_run.run_id;

    if document is null then
        raise exception using
            errcode = 'SY011',
            message = format('run %s does not exist', coalesce(left(run_id, 100), 'null')),
            detail = 'No such run is visible to this session.',
            hint = 'synapsor.synapsor_agent_workflow_runs lists the runs you can see.';
    end if;

    select
        coalesce(jsonb_agg(
            jsonb_build_object(
                'step_id', step.step_id,
                'step_key', step.step_key,
                'parent_step_key', step.parent_step_key,
                'relation', step.relation,
                'kind', step.kind,
                'name', step.name,
                'state', step.state,
                'status', step.status,
                'branch_status', step.branch_status,
                'input', synapsor._preview(step.input),
                'exit_data', synapsor._preview(step.exit_data),
                'message', left(step.message, 400),
                'execute_case', step.execute_case,
                'attempt', step.attempt,
                'waits_for', step.waits_for,
                'waits_until', step.waits_until,
                'approval_role', step.approval_role,
                'runs_as', step.security_context ->> 'principal',
                'risk', step.risk,
                'evidence', synapsor._preview(step.evidence),
                'outcome', step.evidence ->> 'outcome',
                'action_id', step.action_id,
                'input_tokens', step.input_tokens,
                'output_tokens', step.output_tokens,
                'started_at', step.started_at,
                'finished_at', step.finished_at
            )
            order by step.sequence
        ), '[]'),
        array_agg(step.action_id) filter (where step.action_id is not null)
    into steps, action_ids
    from synapsor.synapsor_agent_run_steps as step
    where step.run_id = explain_agent_run.run_id;

    -- An attempt that was refused is no step, but it belongs to what the agent did.
    select document || jsonb_build_object(
        'refusals', count(*),
        'refused', coalesce(jsonb_agg(
            jsonb_build_object(
                'action_id', refused.action_id,
                'name', refused.action,
                'version', refused.version,
                'step_key', coalesce(refused.step_key, refused.action),
                'status', refused.status,
                'error_code', refused.error_code,
                'error_message', left(refused.error_message, 400),
                'violations', synapsor._named_violations(refused.violations),
                'started_at', refused.created_at
            )
            order by refused.place
        ) filter (where refused.place <= 20), '[]')
    )
    into document
    from (
        select
            attempt.*,
            row_number() over (order by attempt.created_at, attempt.action_id) as place
        from synapsor._refused_attempts(explain_agent_run.run_id) as attempt
    ) as refused;

    select coalesce(jsonb_agg(
        to_jsonb(link) - 'run_id' order by link.edge, link.from_step_key, link.to_step_key
    ), '[]')
    into edges
    from synapsor.synapsor_run_graph as link
    where link.run_id = explain_agent_run.run_id;
    document := document || synapsor._explained_actions(action_ids) || jsonb_build_object(
        'steps', steps,
        'edges', edges,
        'idle', (
            select coalesce(jsonb_agg(to_jsonb(idle)), '[]')
            from synapsor._idle_nodes(explain_agent_run.run_id) as idle
        )
    );

    explanation := synapsor._explain(document);
    if format <> 'json' then
        return explanation ->> 'text';
    end if;

    whys := explanation -> 'why';
    actions := (document -> 'others') || (document -> 'external');
    approvals := synapsor._grouped_by_action(document -> 'approvals');
    policies := synapsor._grouped_by_action(document -> 'policies');
    histories := synapsor._grouped_by_action(document -> 'history');
    return (
        select jsonb_pretty(jsonb_build_object(
            'run', (
                select to_jsonb(run)
                from synapsor.synapsor_agent_workflow_runs as run
                where run.run_id = explain_agent_run.run_id
            ),
            'steps', coalesce(jsonb_agg(
                to_jsonb(step) || jsonb_build_object(
                    'why', coalesce(whys -> step.step_key, '[]'),
                    'action', actions -> step.action_id,
                    'approvals', approvals -> step.action_id,
                    'policies', policies -> step.action_id,
                    'history', histories -> step.action_id
                )
                order by step.sequence
            ), '[]'),
            'refused', document -> 'refused',
            'idle', document -> 'idle',
            'edges', edges
        ))
        from synapsor.synapsor_agent_run_steps as step
        where step.run_id = explain_agent_run.run_id
    );
end;
$function$;

grant execute on function synapsor.explain_agent_run(text, text)
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor.explain_agent_run(text, text) is
'What happened in a run, where each step stands, why, and what comes next. format text: a tree of
at most 100 columns, times relative so that a finished run always reads the same; json: an object
of run, steps (each with why, action, approvals, policies, history), refused (the first 20
attempts that became no step), idle (a plan''s nodes that have not run, and why) and edges, with
whole payloads; mermaid: a flowchart (Mermaid itself refuses more than 500 arrows); dot: a graph
for Graphviz. Shows what the views show to the session.
SY011 when there is no such run to see, SY003 for another format.';
