create or replace function synapsor.explain_action(action_id text, format text default 'text')
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    document jsonb;
    explanation jsonb;
begin
    perform synapsor._require_explain_format(format);

    select jsonb_build_object(
        'action', jsonb_build_object(
            'action_id', invocation.action_id,
            'tenant_id', invocation.tenant_id,
            'action', invocation.action,
            'version', invocation.version,
            'kind', invocation.kind,
            'actor', invocation.actor,
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
            'finished_at', invocation.completed_at
        )
    )
    into document
    from synapsor.synapsor_action_invocations as invocation
    where invocation.action_id = explain_action.action_id;

    if document is null then
        raise exception using
            errcode = 'SY011',
            message = format('action %s does not exist', coalesce(left(action_id, 100), 'null')),
            hint = 'synapsor.synapsor_action_invocations lists the actions you can see.';
    end if;

    document := document || synapsor._explained_actions(array[action_id]);

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
            'approvals', document -> 'approvals',
            'pending', document -> 'pending' -> invocation.action_id,
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
'One action: what was asked, who approved, where it stands, why, what comes next, and its story. '
'format text (at most 100 columns) or json (an object of action, delivery, why, approvals, '
'pending, events). Shows what the views show to the session, never a hidden value. SY011 when '
'there is no such action to see, SY003 for another format.';
