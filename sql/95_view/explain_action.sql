create or replace function synapsor.explain_action(action_id text, format text default 'text')
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    document jsonb;
    explanation jsonb;
    step_ids constant text[] := array(
        select step.action_id
        from synapsor._adapter_steps(array[explain_action.action_id]) as step
        order by step.place
    );
begin
    perform synapsor._require_explain_format(format, 'text', 'json');

    select jsonb_build_object(
        'action', jsonb_build_object(
            'action_id', invocation.action_id,
            'tenant_id', invocation.tenant_id,
            'action', invocation.action,
            'version', invocation.version,
            'kind', invocation.kind,
            'actor', invocation.actor,
            'bound', case when invocation.hidden <> '{}' then invocation.hidden end,
            'status', coalesce(invocation.delivery_status, invocation.status),
            'input', synapsor._preview(invocation.parameters),
            'exit_data', synapsor._preview(invocation.result),
            'run_id', invocation.run_id,
            'step_key', invocation.step_key,
            'causation_id', invocation.causation_id,
            'started_at', invocation.created_at,
            'error_code', invocation.error_code,
            'error_message', left(invocation.error_message, 400),
            'violations', synapsor._named_violations(invocation.violations),
            'finished_at', case
                when invocation.status not in ('pending', 'running', 'waiting_for_approval')
                    then invocation.completed_at
            end
        )
    )
    into document
    from synapsor.synapsor_action_invocations as invocation
    where invocation.action_id = explain_action.action_id;

    if document is null then
        raise exception using
            errcode = 'SY011',
            message = format('action %s does not exist', coalesce(left(action_id, 100), 'null')),
            detail = 'No such action is visible to this session.',
            hint = coalesce(
                (
                    select format('It is no action but waits for %s: explain_agent_run tells of it.', pending.reason)
                    from synapsor.synapsor_pending_approvals as pending
                    where pending.action_id = explain_action.action_id
                ),
                'synapsor.synapsor_action_invocations lists the actions you can see.'
            );
    end if;

    document := document || synapsor._explained_actions(array[action_id] || step_ids);

    select document || jsonb_build_object(
        'steps', coalesce(jsonb_agg(
            jsonb_build_object(
                'action_id', step.action_id,
                'action', step.action,
                'status', coalesce(step.delivery_status, step.status),
                'input', synapsor._preview(step.parameters),
                'exit_data', synapsor._preview(step.result),
                'error_code', step.error_code,
                'error_message', left(step.error_message, 400),
                'violations', null,
                'started_at', step.created_at,
                'finished_at', step.completed_at
            )
            order by array_position(step_ids, step.action_id)
        ), '[]')
    )
    into document
    from synapsor.synapsor_action_invocations as step
    where step.action_id = any(step_ids);

    -- A step of the contract that was not started was not wanted; one that failed to start undid
    -- the whole action.
    select document || jsonb_build_object(
        'skipped', coalesce(jsonb_agg(
            jsonb_build_object('place', step.ordinality, 'action', step.value ->> 'action')
            order by step.ordinality
        ), '[]')
    )
    into document
    from synapsor.synapsor_action_contracts as contract
    cross join jsonb_array_elements(
        contract.definition -> 'adapter_steps'
    ) with ordinality as step
    where
        contract.action = document -> 'action' ->> 'action'
        and contract.version = (document -> 'action' ->> 'version')::integer
        and contract.kind = 'atomic'
        and (
            cardinality(step_ids) > 0
            or document -> 'action' ->> 'status' in ('running', 'completed')
        )
        and not exists (
            select from synapsor.synapsor_events as event
            where
                event.action_id = explain_action.action_id
                and event.event_type = 'AdapterInvocationStarted'
                and event.payload -> 'step' = to_jsonb(step.ordinality)
        );

    select document || jsonb_build_object(
        'story', coalesce(jsonb_agg(
            jsonb_build_object(
                'event_type', event.event_type,
                'status', event.status,
                'actor', event.actor,
                'worker_label', event.worker_label,
                'attempt', event.attempt,
                'provider_request_id', event.provider_request_id,
                'error_code', event.error_code,
                'note', left(event.note, 400),
                'occurred_at', event.occurred_at
            )
            order by event.sequence
        ), '[]')
    )
    into document
    from synapsor.synapsor_external_action_events as event
    where event.action_id = explain_action.action_id;

    explanation := synapsor._explain(document);
    if format = 'text' then
        return explanation ->> 'text';
    end if;

    return (
        select jsonb_pretty(jsonb_build_object(
            'action', to_jsonb(invocation) - 'hidden' - 'changed',
            'delivery', document -> 'external' -> invocation.action_id,
            'why', explanation -> 'why' -> invocation.action_id,
            'waiting_for', jsonb_strip_nulls(document -> 'context' -> invocation.action_id),
            'bound', coalesce(document -> 'action' -> 'bound', '{}'),
            'policies', (
                select coalesce(jsonb_agg(
                    to_jsonb(evaluation) - 'action_id'
                    order by evaluation.evaluated_at, named.place, evaluation.evaluation_id
                ), '[]')
                from synapsor.synapsor_policy_evaluations as evaluation
                left join synapsor._policy_places(array[explain_action.action_id]) as named
                    using (policy)
                where evaluation.action_id = invocation.action_id
            ),
            'approvals', jsonb_path_query_array(
                document, '$.approvals[*] ? (@.action_id == $id)',
                jsonb_build_object('id', invocation.action_id)
            ),
            'pending', document -> 'pending' -> invocation.action_id,
            'transition', jsonb_path_query_first(
                document,
                '$.domain_events[*] ? (@.action_id == $id && @.event_type == "StateTransitioned")',
                jsonb_build_object('id', invocation.action_id)
            ) - array['action_id', 'event_type', 'sequence', 'emitted'],
            'domain_events', (
                select coalesce(jsonb_agg(
                    to_jsonb(event) - array['cloud_event', 'tenant_id', 'action_id']
                    order by
                        event.recorded_at, event.subject_type, event.subject_id, event.sequence
                ), '[]')
                from synapsor.synapsor_events as event
                where event.action_id = invocation.action_id
            ),
            'steps', (
                select coalesce(jsonb_agg(
                    to_jsonb(step) - array['hidden', 'changed'] || jsonb_build_object(
                        'delivery', document -> 'external' -> step.action_id,
                        'why', explanation -> 'why' -> step.action_id
                    )
                    order by array_position(step_ids, step.action_id)
                ), '[]')
                from synapsor.synapsor_action_invocations as step
                where step.action_id = any(step_ids)
            ),
            'skipped', document -> 'skipped',
            'events', document -> 'story'
        ))
        from synapsor.synapsor_action_invocations as invocation
        where invocation.action_id = explain_action.action_id
    );
end;
$function$;

grant execute on function synapsor.explain_action(text, text)
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor.explain_action(text, text) is
'One invocation, whatever became of it: what was asked and what the session bound, what each
policy said and by which condition, who approved, the transition, the domain events, the adapter
steps with their own state, where it stands, why, what comes next, and its story. format text (at
most 100 columns) or json (an object of action, delivery, why, waiting_for, bound, policies, approvals,
pending, transition, domain_events, steps, skipped, events). Shows what the views show to the
session: hidden values only to whoever sees them there. SY011 when there is no such action to see,
SY003 for another format.';
