-- Where the action of a plan's node stands, in the document's words (reference/plans.md, decision 7).
create or replace function synapsor._node_result(action_id text)
returns synapsor.node_result
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    invocation synapsor.action_invocations;
    contract synapsor.action_contracts;
    open synapsor.open_external_actions;
    outcome synapsor.external_action_events;
    result synapsor.node_result;
    ended_as text;
begin
    select stored.* into strict invocation
    from synapsor.action_invocations as stored
    where stored.action_id = _node_result.action_id;
    select declared.* into strict contract
    from synapsor.action_contracts as declared
    where declared.action = invocation.action and declared.version = invocation.version;
    select stored.* into open
    from synapsor.open_external_actions as stored
    where stored.action_id = _node_result.action_id;
    if found then
        result.has_ended := false;
        result.status := case open.status when 'proposed' then 'Waiting' else 'Running' end;
        result.waits_for := case open.status
            when 'proposed' then 'approval'
            when 'unknown' then 'settlement'
            else 'delivery'
        end;
        return result;
    end if;
    select event.* into outcome
    from synapsor.external_action_events as event
    where event.action_id = invocation.action_id and event.event_type <> 'LateConfirmation'
    order by event.sequence desc
    limit 1;
    ended_as := coalesce(
        invocation.purged_as, case when outcome.event_type <> 'Performed' then outcome.status end, invocation.status
    );
    if ended_as in ('pending', 'running') then
        result.has_ended := false;
        result.status := case ended_as when 'pending' then 'New' else 'Running' end;
        result.waits_for := case contract.kind when 'saga' then 'saga' else 'adapter steps' end;
        return result;
    end if;
    result.has_ended := true;
    result.ended_as := ended_as;
    result.exit_data := coalesce(
        invocation.result, outcome.detail -> 'response', outcome.detail -> 'evidence'
    );
    result.message := coalesce(
        invocation.error_message, outcome.detail ->> 'error_message', outcome.note, outcome.error_code,
        invocation.error_code
    );
    result.status := case
        when ended_as in ('succeeded', 'completed') and exists (
            select from synapsor.policy_evaluations as evaluation
            where evaluation.action_id = invocation.action_id and evaluation.result = 'warn'
                and evaluation.mode = 'enforce'
        ) then 'CompletedWithErrors'
        when ended_as in ('succeeded', 'completed') then 'Complete'
        when ended_as in ('cancelled', 'rejected', 'expired') then 'Cancelled'
        else 'Failed'
    end;
    if contract.provider = 'plan' and jsonb_typeof(result.exit_data) = 'object' then
        return synapsor._reported_result(result, result.exit_data);
    end if;
    if result.exit_data is null and result.status = 'Failed' then
        result.exit_data := to_jsonb(result.message);
    end if;
    return result;
end;
$function$;

-- What a handler served by a worker reported: its response, field by field as far as it makes sense.
create or replace function synapsor._reported_result(result synapsor.node_result, response jsonb)
returns synapsor.node_result
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
declare
    status constant integer := synapsor._status_value(response ->> 'status');
begin
    if result.status in ('Complete', 'CompletedWithErrors') and response ? 'status' then
        if status is null then
            return synapsor._failed_result(format(
                'the handler reported %s, which is no status', quote_literal(left(response ->> 'status', 64))
            ));
        end if;
        result.status := synapsor._status_name(status);
    end if;
    result.exit_data := nullif(response -> 'exit_data', 'null');
    result.message := coalesce(response ->> 'message', result.message);
    if response ->> 'exit_code' ~ '^-?[0-9]{1,9}$' then
        result.exit_code := (response ->> 'exit_code')::integer;
    end if;
    if response ->> 'pid' ~ '^[0-9]{1,9}$' then
        result.pid := (response ->> 'pid')::integer;
    end if;
    return result;
end;
$function$;
