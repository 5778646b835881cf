-- security definer: plans are written by nobody but their owner.
create or replace function synapsor.declare_plan(definition jsonb)
returns synapsor.plan
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    largest constant integer := 16 * 1024 * 1024;
    checked jsonb;
    latest synapsor.plans;
    declared synapsor.plans;
begin
    perform synapsor._require_object(definition, 'a plan', 'declare_plan');
    if octet_length(definition::text) > largest then
        raise exception using
            errcode = 'SY002',
            message = 'the plan is larger than 16 MiB',
            hint = 'Give its large values as parameters.';
    end if;
    checked := synapsor._check_plan(definition);
    perform synapsor._require_no_reasons(synapsor._reasons(checked), format(
        'the definition of %s', coalesce('plan ' || quote_literal(left(definition ->> 'Name', 200)), 'a plan')
    ));

    -- Declarations are rare and take turns, so that two equal ones cannot make two versions.
    lock table synapsor.plans in share row exclusive mode;
    select stored.* into latest
    from synapsor.plans as stored
    where stored.plan = checked ->> 'plan'
    order by stored.version desc
    limit 1;
    if latest.declared = definition then
        return synapsor._plan(latest);
    end if;

    insert into synapsor.plans (
        plan, version, name, label, is_active, declared, run_as, start_info, nodes, names_compensations,
        declared_by, declared_at
    )
    values (
        checked ->> 'plan', coalesce(latest.version, 0) + 1, checked ->> 'name', checked ->> 'label',
        (checked ->> 'is_active')::boolean, declare_plan.definition, nullif(checked -> 'run_as', 'null'),
        checked -> 'start_info', jsonb_array_length(checked -> 'nodes'),
        jsonb_path_exists(checked, '$.nodes[*].compensation ? (@ != null)'), synapsor._session() ->> 'principal',
        synapsor._now()
    )
    returning * into declared;
    insert into synapsor.plan_nodes (
        plan_id, node, parent, relation, name, segment, execute_case, handler, config, parameters, config_sets,
        parameter_sets, save_config_as, save_parameters_as, run_as, proxy, compensation, has_group, has_actions
    )
    select
        declared.plan_id, node.node, node.parent, node.relation, node.name, node.segment, node.execute_case,
        node.handler, node.config, node.parameters, node.config_sets, node.parameter_sets, node.save_config_as,
        node.save_parameters_as, node.run_as, node.proxy, node.compensation, node.has_group, node.has_actions
    from jsonb_to_recordset(checked -> 'nodes') as node (
        node integer, parent integer, relation text, name text, segment text, execute_case text[], handler jsonb,
        config jsonb, parameters jsonb, config_sets text[], parameter_sets text[], save_config_as text,
        save_parameters_as text, run_as jsonb, proxy text, compensation jsonb, has_group boolean, has_actions boolean
    );
    return synapsor._plan(declared);
end;
$function$;

grant execute on function synapsor.declare_plan to synapsor_admin;

comment on function synapsor.declare_plan is
'Validates a plan and stores it as the next version of its UniqueName, or Name where it has none. A
definition equal (as jsonb) to the latest version is a no-op and returns that version. Errors:
SY002 with every reason, one per line.

Keys, in the document''s own spelling: Name, UniqueName, Label, Description, IsActive,
DefaultHandlerType, RunAs, StartInfo, Actions. Of an action: Name, Description, ExecuteCase (a
status, or an array: any of them; left out it always matches), Handler {Type, Config}, Parameters,
ActionGroup, Actions, SaveExitDataAs {Config, Parameters}, RunAs {UserName, IsInheritable,
BlockInheritance}, Proxy (queue://name), Compensation {action, parameters}. Result is ignored. Names
may repeat. Handler types: action:<namespace.verb>, EchoHandler, EmptyHandler, or what a worker
serves: the operation of an external contract whose provider is `plan`. At most 20,000 actions on
200 levels. Source: reference/plans.md.';
