-- Starts one node of a plan below a step, or as a root: the step, or for each value one, as they are
-- to be stored. Several instances of a group are below a container, which is returned first.
create or replace function synapsor._start_node(
    walk synapsor.plan_walk, node synapsor.plan_nodes, parent synapsor.run_steps
)
returns synapsor.run_steps[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    step synapsor.run_steps := synapsor._new_step(walk, node, parent.step_key);
    base_key constant text := step.step_key;
    container synapsor.run_steps;
    started synapsor.run_steps[] := array[]::synapsor.run_steps[];
    resolved jsonb;
    instance jsonb;
    ordinal bigint;
begin
    if walk.steps >= synapsor._most_steps() then
        return array[synapsor._end_handler(walk, node, step, synapsor._failed_result(
            format('the run has %s steps, and no run has more', walk.steps)
        ))];
    elsif node.config is null and node.parameters is null then
        return array[synapsor._run_handler(walk, node, parent, step, null, null)];
    end if;
    begin
        resolved := synapsor._resolve_node(walk, node, parent.exit_data);
    exception
        when others then
            if synapsor._is_passing(sqlstate) then
                raise;
            end if;
            resolved := jsonb_build_object('error', sqlerrm);
    end;
    if resolved ->> 'error' is not null then
        return array[synapsor._end_handler(walk, node, step, synapsor._failed_result(
            format('Exception in ResolveConfigAndParameters: [%s]', left(resolved ->> 'error', 1900))
        ))];
    elsif not (resolved ->> 'for_each')::boolean then
        instance := resolved -> 'instances' -> 0;
        return array[synapsor._run_handler(
            walk, node, parent, step, nullif(instance -> 'config', 'null'), nullif(instance -> 'parameters', 'null')
        )];
    end if;

    if node.relation = 'group' then
        container := step;
        container.kind := 'container';
        container.state := 'finished';
        container.status := 'None';
        container.finished_at := container.started_at;
        container.branch_status := 'None';
        container.query_status := 0;
        container.phase := 'instances';
        container.pending := 0;
        container.wait := null;
        started := started || container;
    end if;
    for instance, ordinal in
        select element.value, element.ordinality
        from jsonb_array_elements(resolved -> 'instances') with ordinality as element
    loop
        step := synapsor._new_step(walk, node, parent.step_key);
        step.step_key := base_key || '[' || ordinal || ']';
        if node.relation = 'group' then
            step.parent_step_key := base_key;
            step.relation := 'instance';
        end if;
        step := synapsor._run_handler(
            walk, node, parent, step, nullif(instance -> 'config', 'null'), nullif(instance -> 'parameters', 'null')
        );
        started := started || step;
        if node.relation = 'group' then
            if step.phase <> 'ended' then
                container.pending := container.pending + 1;
            else
                container.branch_status := synapsor._higher(container.branch_status, step.branch_status);
                container.query_status := greatest(container.query_status, synapsor._status_value(step.status));
            end if;
        end if;
    end loop;
    if node.relation = 'group' then
        if container.pending = 0 then
            container.phase := 'ended';
        end if;
        started[1] := container;
    end if;
    return started;
end;
$function$;

-- A step before its handler has run.
create or replace function synapsor._new_step(
    walk synapsor.plan_walk, node synapsor.plan_nodes, parent_step_key text
)
returns synapsor.run_steps
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    step synapsor.run_steps;
begin
    step.step_id := synapsor._new_id('stp_');
    step.run_id := walk.run_id;
    step.tenant_id := walk.tenant_id;
    step.parent_step_key := parent_step_key;
    step.step_key := synapsor._step_key(parent_step_key, node.segment);
    step.relation := node.relation;
    step.kind := 'handler';
    step.name := node.name;
    step.state := 'running';
    step.status := 'New';
    step.sequence := nextval('synapsor.run_steps_sequence');
    step.execute_case := case
        when cardinality(node.execute_case) = 1 then to_jsonb(node.execute_case[1])
        else to_jsonb(node.execute_case)
    end;
    step.security_context := case
        when node.run_as is null then walk.security_context
        else walk.security_context || jsonb_build_object('run_as', node.run_as)
    end;
    step.started_at := synapsor._now();
    step.attempt := 1;
    step.node := node.node;
    step.phase := 'handler';
    return step;
end;
$function$;

-- The path of names. One too long for its index keeps its end, and a digest of all before that.
create or replace function synapsor._step_key(parent_step_key text, segment text)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
declare
    path constant text := coalesce(parent_step_key || '/', '') || segment;
begin
    if octet_length(path) <= 1800 then
        return path;
    end if;
    return '…' || md5(path) || '/' || segment;
end;
$function$;

create or replace function synapsor._higher(one text, other text)
returns text
language sql
immutable
begin atomic
    select synapsor._status_name(greatest(synapsor._status_value(one), synapsor._status_value(other)));
end;

-- The node's configuration and parameters, and the named sets among them put down for others.
create or replace function synapsor._resolve_node(
    walk synapsor.plan_walk, node synapsor.plan_nodes, parent_exit_data jsonb
)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    registries jsonb := jsonb_build_object('config', jsonb_build_object(), 'parameters', jsonb_build_object());
    resolved jsonb;
begin
    if cardinality(node.config_sets) + cardinality(node.parameter_sets) > 0 then
        select jsonb_build_object(
            'config', coalesce(jsonb_object_agg(named.name, named.value) filter (where named.kind = 'config'), '{}'),
            'parameters',
            coalesce(jsonb_object_agg(named.name, named.value) filter (where named.kind = 'parameters'), '{}')
        ) into registries
        from synapsor.plan_sets as named
        where named.run_id = walk.run_id and named.name = any(node.config_sets || node.parameter_sets);
    end if;
    resolved := synapsor._resolve_parameters(jsonb_build_object(
        'config', node.config, 'parameters', node.parameters, 'registries', registries,
        'dynamic', walk.parameters, 'automatic', walk.automatic, 'parent_exit_data', parent_exit_data,
        'max_instances', least(10000, greatest(synapsor._most_steps() - walk.steps, 1))
    ));
    if resolved -> 'named' <> '{"config": {}, "parameters": {}}' then
        perform synapsor._save_set(walk, 'config', named.key, named.value)
        from jsonb_each(resolved -> 'named' -> 'config') as named;
        perform synapsor._save_set(walk, 'parameters', named.key, named.value)
        from jsonb_each(resolved -> 'named' -> 'parameters') as named;
    end if;
    return resolved;
end;
$function$;

create or replace function synapsor._save_set(walk synapsor.plan_walk, kind text, name text, value jsonb)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    insert into synapsor.plan_sets (run_id, tenant_id, kind, name, value)
    values (walk.run_id, walk.tenant_id, _save_set.kind, _save_set.name, coalesce(_save_set.value, 'null'))
    on conflict on constraint plan_sets_pkey do update set value = excluded.value;
end;
$function$;

-- For-each below for-each multiplies: a run, and the transaction it begins in, stay within bounds.
-- The node that goes beyond is Failed, and nothing new starts.
create or replace function synapsor._most_steps()
returns integer
language sql
immutable
begin atomic
    select 100000;
end;
