-- What a plan's nodes would be given and what serves them, as far as that is known before a run.
-- security definer: no view shows the nodes one by one, whether somebody is a member, or loads the
-- embedded Python; it tells nothing of a plan that synapsor_plans does not show.
create or replace function synapsor._outline_plan(plan text, version integer, parameters jsonb)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    declared constant synapsor.plans := synapsor._resolve_plan(plan, version);
    session constant jsonb := synapsor._session();
    outline jsonb;
begin
    with served as materialized (
        select handled.handler, synapsor._outlined_contract(handled.handler) as contract
        from (
            select distinct planned.handler
            from synapsor.plan_nodes as planned
            where planned.plan_id = declared.plan_id
        ) as handled
    )

    select jsonb_build_object(
        'plan', jsonb_build_object(
            'plan', declared.plan, 'version', declared.version, 'name', declared.name, 'label', declared.label
        ),
        'parameters', synapsor._run_payload('parameters', _outline_plan.parameters),
        'automatic', jsonb_build_object(
            'PlanStartInfo_Name', declared.name,
            'PlanStartInfo_UniqueName', declared.plan,
            'PlanStartInfo_IsActive', declared.is_active,
            'PlanStartInfo_InstanceId', '(of the run)',
            'PlanStartInfo_RequestNumber', coalesce(declared.start_info ->> 'RequestNumber', '(of the run)'),
            'PlanStartInfo_RequestUser', coalesce(declared.start_info ->> 'RequestUser', session ->> 'principal')
        ),
        -- Of those the plan names only: nobody learns here who else is a member.
        'members', (
            select coalesce(jsonb_agg(member.principal), '[]')
            from synapsor.members as member
            where member.tenant_id = session ->> 'tenant_id'
                and member.principal in (
                    select planned.run_as ->> 'UserName' from synapsor.plan_nodes as planned
                    where planned.plan_id = declared.plan_id
                )
        ),
        'nodes', jsonb_agg(to_jsonb(planned) || jsonb_build_object('contract', served.contract) order by planned.node)
    )
    into outline
    from synapsor.plan_nodes as planned
    left join served on served.handler = planned.handler
    where planned.plan_id = declared.plan_id;
    return outline || jsonb_build_object('foreseen', synapsor._foresee(outline));
end;
$function$;

grant execute on function synapsor._outline_plan
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._outline_plan is
'A plan as explain_plan reads it: plan, parameters, nodes (each with the contract that serves it, null where none does)
and foreseen, what is known of each before a run. SY001 when there is no such plan.';

create or replace function synapsor._foresee(outline jsonb)
returns jsonb
language plpython3u
stable
set search_path = pg_catalog, pg_temp
as $python$
    if "forecast" not in SD:
        plpy.execute("select synapsor._load_python()")
        SD["forecast"] = GD["synapsor_python"]["forecast"]
        plpy.execute("select synapsor._load_regex()")
        SD["regex"] = GD["synapsor_regex"]
    return SD["forecast"].foresee_json(outline, *SD["regex"])
$python$;

comment on function synapsor._foresee is 'forecast.foresee_json of the embedded package.';

-- The contract in use that performs a node: the action its handler names, or the external one whose
-- operation under provider `plan` is its handler type.
create or replace function synapsor._outlined_contract(handler jsonb)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select jsonb_build_object(
        'action', contract.action,
        'version', contract.version,
        'kind', contract.kind,
        'provider', contract.provider,
        'operation', contract.operation,
        'queue', contract.queue,
        'plan', contract.definition -> 'plan',
        'approval', jsonb_build_object(
            'required', contract.approval_required,
            'role', contract.approval_role,
            'approvals', contract.approvals_required,
            'unless', contract.definition -> 'approval' -> 'unless'
        ),
        'policies', (
            select coalesce(jsonb_agg(
                jsonb_build_object('policy', named.value, 'kind', stored.kind, 'mode', stored.mode)
                order by named.ordinality
            ), '[]')
            from jsonb_array_elements_text(contract.definition -> 'policies') with ordinality as named
            left join synapsor.policies as stored on stored.policy = named.value
        )
    )
    from synapsor.action_contracts as contract
    where contract.retired_at is null
        and case handler ->> 'kind'
            when 'action' then contract.action = handler ->> 'action'
            when 'worker' then
                contract.provider = 'plan' and contract.kind = 'external'
                and handler -> 'operations' ? contract.operation
            else false
        end
    order by
        array_position(array(select jsonb_array_elements_text(handler -> 'operations')), contract.operation),
        -- Of one action the latest version; of several that serve the same type the latest declared.
        case handler ->> 'kind' when 'action' then contract.version end desc,
        contract.declared_at desc,
        contract.contract_id desc
    limit 1;
$function$;
