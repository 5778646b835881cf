-- security definer: callers may not load the embedded Python; what they pass in is all it sees
create or replace function synapsor._explain(document jsonb)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return synapsor._render_explanation(
        document || jsonb_build_object(
            'now', synapsor._now(),
            'plain', pg_catalog.getdatabaseencoding() <> 'UTF8'
        )
    );
end;
$function$;

grant execute on function synapsor._explain(jsonb)
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._explain(jsonb) is
'The picture of a collected run or action: {"text": the tree, "why": {step_key or action_id:
[{"label", "text"}]}}.';

create or replace function synapsor._render_explanation(document jsonb)
returns jsonb
language plpython3u
immutable
set search_path = pg_catalog, pg_temp
as $python$
if "explain" not in SD:
    plpy.execute("select synapsor._load_python()")
    SD["explain"] = GD["synapsor_python"]["explain"]
return SD["explain"].explain_json(document)
$python$;

comment on function synapsor._render_explanation(jsonb) is
'explain.explain_json of the embedded package.';

create or replace function synapsor._preview(value jsonb)
returns text
language sql
immutable
begin atomic
    select case
        when value not in ('{}'::jsonb, 'null'::jsonb) then left(value::text, 400)
    end;
end;

grant execute on function synapsor._preview(jsonb)
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._preview(jsonb) is
'As much of a payload as a line can show; null for an empty one.';

create or replace function synapsor._named_violations(violations jsonb)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $function$
    -- Those with a message of their own are an error code's or a handler's, which is told already.
    select left(
        replace(synapsor._describe_violations(jsonb_path_query_array(violations, '$[*] ? (!exists (@.message))')),
            E'\n', ' '),
        400
    );
$function$;

grant execute on function synapsor._named_violations(jsonb)
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._named_violations(jsonb) is
'The sentences of violations, in a line.';

create or replace function synapsor._explained_actions(action_ids text[])
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    collected jsonb;
    delivered jsonb;
begin
    select coalesce(jsonb_object_agg(
        action.action_id,
        jsonb_build_object(
            'action', action.action,
            'version', action.version,
            'status', action.status,
            'provider', action.provider,
            'account', action.account,
            'operation', action.operation,
            'queue', action.queue,
            'approvals_required', action.approvals_required,
            'approvals_given', action.approvals_given,
            'scheduled_at', action.scheduled_at,
            'attempts', action.attempts,
            'max_attempts', action.max_attempts,
            'available_at', action.available_at,
            'worker_principal', action.worker_principal,
            'worker_label', action.worker_label,
            'lease_expires_at', action.lease_expires_at,
            'delivery_started_at', action.delivery_started_at,
            'provider_request_id', action.provider_request_id,
            'error_code', action.error_code,
            'error_message', action.error_message,
            'queued_at', action.queued_at
        )
    ), '{}')
    into delivered
    from synapsor.synapsor_external_actions as action
    where action.action_id = any(action_ids);

    select jsonb_build_object(
        'external', delivered,
        'others', (
            select coalesce(jsonb_object_agg(
                invocation.action_id,
                jsonb_build_object(
                    'action', invocation.action,
                    'version', invocation.version,
                    'kind', invocation.kind,
                    'status', invocation.status,
                    'error_code', invocation.error_code,
                    'error_message', left(invocation.error_message, 400),
                    'violations', synapsor._named_violations(invocation.violations),
                    'holds_key', coalesce(invocation.idempotency_key not like 'auto:%', false)
                )
            ), '{}')
            from synapsor.synapsor_action_invocations as invocation
            where invocation.action_id = any(array(
                select asked.action_id from unnest(action_ids) as asked (action_id)
                where not delivered ? asked.action_id
            ))
        ),
        'below', (
            select coalesce(jsonb_object_agg(parent.action_id, parent.below), '{}')
            from (
                select
                    step.parent_action_id as action_id,
                    jsonb_agg(step.action_id order by step.place) as below
                from synapsor._adapter_steps(action_ids) as step
                group by step.parent_action_id
            ) as parent
        ),
        'sagas', (
            select coalesce(jsonb_object_agg(
                saga.saga_action_id, jsonb_build_object('run_id', saga.run_id, 'state', saga.state)
            ), '{}')
            from synapsor.synapsor_agent_workflow_runs as saga
            where saga.saga_action_id = any(action_ids)
        ),
        'pending', (
            select coalesce(jsonb_object_agg(
                pending.action_id,
                jsonb_build_object(
                    'required_role', pending.required_role,
                    'approvals_required', pending.approvals_required,
                    'approvals_given', pending.approvals_given,
                    'reason', left(pending.reason, 400),
                    'risk', pending.risk,
                    'expires_at', pending.expires_at
                )
            ), '{}')
            from synapsor.synapsor_pending_approvals as pending
            where pending.action_id = any(action_ids)
        ),
        'policies', (
            select coalesce(jsonb_agg(
                jsonb_build_object(
                    'action_id', evaluation.action_id,
                    'policy', evaluation.policy,
                    'mode', evaluation.mode,
                    'result', evaluation.result,
                    'reason', left(evaluation.reason, 400),
                    'guidance', left(evaluation.guidance, 400),
                    'evaluated_at', evaluation.evaluated_at,
                    -- A picture shows a few of up to a hundred conditions.
                    'evidence', evaluation.dispatch_evidence || jsonb_build_object(
                        'conditions', jsonb_path_query_array(
                            evaluation.dispatch_evidence, '$.conditions[0 to 2]'
                        ),
                        'leaves', jsonb_array_length(
                            coalesce(evaluation.dispatch_evidence -> 'conditions', '[]')
                        )
                    )
                )
                order by evaluation.evaluated_at, named.place, evaluation.evaluation_id
            ), '[]')
            from synapsor.synapsor_policy_evaluations as evaluation
            left join synapsor._policy_places(action_ids) as named using (action_id, policy)
            where evaluation.action_id = any(action_ids)
        ),
        'approvals', (
            select coalesce(jsonb_agg(
                jsonb_build_object(
                    'action_id', approval.action_id,
                    'reviewer', approval.reviewer,
                    'verdict', approval.verdict,
                    'note', left(approval.note, 400),
                    'decided_at', approval.decided_at,
                    'voided_at', approval.voided_at
                )
                order by approval.decided_at, approval.reviewer, approval.approval_id
            ), '[]')
            from synapsor.synapsor_approvals as approval
            where approval.action_id = any(action_ids)
        ),
        'domain_events', (
            select coalesce(jsonb_agg(
                to_jsonb(event) - 'place' order by event.action_id, event.place
            ), '[]')
            from (
                select
                    emitted.action_id,
                    emitted.event_type,
                    emitted.subject_type,
                    emitted.subject_id,
                    emitted.sequence,
                    case when emitted.event_type = 'StateTransitioned'
                        then left(emitted.payload ->> 'from', 128)
                    end as "from",
                    case when emitted.event_type = 'StateTransitioned'
                        then left(emitted.payload ->> 'to', 128)
                    end as "to",
                    count(*) over (partition by emitted.action_id) as emitted,
                    row_number() over (
                        partition by emitted.action_id
                        order by
                            emitted.recorded_at,
                            emitted.subject_type,
                            emitted.subject_id,
                            emitted.sequence
                    ) as place
                from synapsor.synapsor_events as emitted
                where emitted.action_id = any(action_ids)
            ) as event
            where event.place <= 20
        ),
        'history', (
            select coalesce(jsonb_agg(
                to_jsonb(event) order by event.action_id, event.sequence
            ), '[]')
            from synapsor._delivery_history(action_ids) as event
        ),
        'context', (
            select coalesce(jsonb_object_agg(
                context.action_id, to_jsonb(context) - 'action_id'
            ), '{}')
            from synapsor._delivery_context(action_ids) as context
        )
    )
    into collected;
    return collected;
end;
$function$;

grant execute on function synapsor._explained_actions(text[])
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._explained_actions(text[]) is
'What the views show of actions, as the explanation reads it: external, others, below, sagas,
pending and context by action_id; policies, approvals, domain_events and history in order. Security invoker:
the views decide what is seen.';

-- security definer: no view tells which invocation an adapter step belongs to; tells ids only
create or replace function synapsor._adapter_steps(action_ids text[])
returns table (parent_action_id text, action_id text, place integer)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select
        step.parent_action_id,
        step.action_id,
        -- Its key is its action's id and its place among the steps of the contract.
        substring(step.idempotency_key from '[0-9]+$')::integer
    from synapsor.action_invocations as step
    where
        step.parent_action_id = any(action_ids)
        and (
            step.tenant_id = any((select synapsor._visible_tenants())::text[])
            or (select synapsor._sees_every_tenant())
        );
$function$;

grant execute on function synapsor._adapter_steps(text[])
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._adapter_steps(text[]) is
'The adapter steps of invocations of the session''s tenants, with their places in the contract.';

-- security definer: looks up the contracts of many actions without showing them; policies asked at
-- one instant have no order of their own, and ids made in one millisecond none either
create or replace function synapsor._policy_places(action_ids text[])
returns table (action_id text, policy text, place bigint)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select invocation.action_id, named.value, min(named.ordinality)
    from synapsor.action_invocations as invocation
    inner join synapsor.action_contracts as contract using (action, version)
    cross join jsonb_array_elements_text(
        contract.definition -> 'policies'
    ) with ordinality as named
    where
        invocation.action_id = any(action_ids)
        and (
            invocation.tenant_id = any((select synapsor._visible_tenants())::text[])
            or (select synapsor._sees_every_tenant())
        )
    group by invocation.action_id, named.value;
$function$;

grant execute on function synapsor._policy_places(text[])
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._policy_places(text[]) is
'In which order the policies of the session''s tenants'' invocations are asked.';

create or replace function synapsor._require_explain_format(format text, variadic formats text[])
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
begin
    if not coalesce(format = any(formats), false) then
        raise exception using
            errcode = 'SY003',
            message = format(
                '%s is no format of an explanation', coalesce(left(format, 100), 'null')
            ),
            detail = 'An explanation is a picture for people or an object for programs.',
            hint = format('Formats are %s.', regexp_replace(array_to_string(formats, ', '), ', (\w+)$', ' and \1'));
    end if;
end;
$function$;

grant execute on function synapsor._require_explain_format(text, text[])
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._require_explain_format(text, text[]) is
'SY003 unless the format is one of these.';

create or replace function synapsor._grouped_by_action(listed jsonb)
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $function$
    select coalesce(jsonb_object_agg(one.action_id, one.members), '{}')
    from (
        select
            listed.value ->> 'action_id' as action_id,
            jsonb_agg(listed.value - 'action_id' order by listed.ordinality) as members
        from jsonb_array_elements(_grouped_by_action.listed) with ordinality as listed
        group by listed.value ->> 'action_id'
    ) as one;
$function$;

grant execute on function synapsor._grouped_by_action(jsonb)
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._grouped_by_action(jsonb) is
'The members of a list of objects that name an action_id, by that action_id, in their order.';
