create or replace function synapsor._show(what text)
returns setof jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
    case what
        when 'external' then
            return query
            select to_jsonb(shown) from synapsor.synapsor_external_actions as shown
            order by shown.created_at, shown.action_id;
        when 'contracts' then
            return query
            select to_jsonb(shown) from synapsor.synapsor_action_contracts as shown
            order by shown.action, shown.version;
        when 'workflows' then
            return query
            select to_jsonb(shown) from synapsor.synapsor_workflows as shown order by shown.workflow, shown.version;
        when 'runs' then
            return query
            select to_jsonb(shown) from synapsor.synapsor_agent_workflow_runs as shown
            order by shown.started_at, shown.run_id;
        when 'pending' then
            return query
            select to_jsonb(shown) from synapsor.synapsor_pending_approvals as shown
            order by shown.created_at, shown.action_id;
        when 'queues' then
            return query
            select to_jsonb(shown) from synapsor.synapsor_queue_stats as shown order by shown.queue, shown.tenant_id;
    end case;
end;
$function$;

grant execute on function synapsor._show(text) to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor, synapsor_admin, synapsor_gateway;

comment on function synapsor._show(text) is
'The rows of the view that a SHOW statement names, oldest first. Security invoker: the view decides.';
