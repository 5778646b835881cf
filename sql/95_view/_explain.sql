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
'The picture of a collected run or action: {"text": the tree, "why": {step_key or action_id: '
'[{"label", "text"}]}}.';

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
    select left(
        string_agg(
            concat_ws(' ', nullif(violation.value ->> 'path', ''), violation.value ->> 'rule'),
            ', '
            order by violation.ordinality
        ),
        400
    )
    from jsonb_array_elements(violations) with ordinality as violation;
$function$;

grant execute on function synapsor._named_violations(jsonb)
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._named_violations(jsonb) is
'Path and rule of each violation, in a line.';

create or replace function synapsor._explained_actions(action_ids text[])
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    collected jsonb;
begin
    select jsonb_build_object(
        'external', (
            select coalesce(jsonb_object_agg(
                action.action_id,
                jsonb_build_object(
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
            from synapsor.synapsor_external_actions as action
            where action.action_id = any(action_ids)
        ),
        'pending', (
            select coalesce(jsonb_object_agg(
                pending.action_id,
                jsonb_build_object(
                    'required_role', pending.required_role,
                    'reason', pending.reason,
                    'risk', pending.risk,
                    'expires_at', pending.expires_at
                )
            ), '{}')
            from synapsor.synapsor_pending_approvals as pending
            where pending.action_id = any(action_ids)
        ),
        'approvals', (
            select coalesce(jsonb_agg(
                jsonb_build_object(
                    'action_id', approval.action_id,
                    'reviewer', approval.reviewer,
                    'verdict', approval.verdict,
                    'note', left(approval.note, 400),
                    'decided_at', approval.decided_at
                )
                order by approval.decided_at, approval.approval_id
            ), '[]')
            from synapsor.synapsor_approvals as approval
            where approval.action_id = any(action_ids)
        ),
        'last', (
            select coalesce(jsonb_object_agg(
                event.action_id,
                jsonb_build_object(
                    'actor', event.actor,
                    'error_code', event.error_code,
                    'note', left(event.note, 400),
                    'occurred_at', event.occurred_at
                )
            ), '{}')
            from synapsor.synapsor_external_action_events as event
            where event.action_id = any(action_ids) and event.is_current
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
'What the views show of actions, as the explanation reads it: external, pending, last and context '
'by action_id, approvals in order. Security invoker: the views decide what is seen.';

create or replace function synapsor._require_explain_format(format text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
begin
    if not coalesce(format in ('text', 'json'), false) then
        raise exception using
            errcode = 'SY003',
            message = format(
                '%s is no format of an explanation', coalesce(left(format, 100), 'null')
            ),
            hint = 'Formats are text and json.';
    end if;
end;
$function$;

grant execute on function synapsor._require_explain_format(text)
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._require_explain_format(text) is
'SY003 unless the format is text or json.';
