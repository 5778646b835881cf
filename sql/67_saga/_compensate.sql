-- Undoes what a run did, one effect after the other in the reverse order of completion. Returns the
-- state the run is in by that: `compensating` while an undoing waits, the outcome when none is left,
-- null when there was nothing to undo. Whatever is on record is not done again, so that it may be
-- called as often as one likes. An undoing that fails keeps no other from being tried.
create or replace function synapsor._compensate(walk synapsor.plan_walk)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    effect record;
    undoing synapsor.run_steps;
begin
    if walk.is_dry_run or not walk.names_compensations then
        return null;
    elsif exists (
        select from synapsor.run_steps as step
        where step.run_id = walk.run_id and step.compensates is not null and step.state <> 'finished'
    ) then
        return 'compensating';
    end if;
    for effect in
        select step.step_key, undone_by.compensation, coalesce(node.proxy, walk.queue) as queue
        from synapsor.run_steps as step
        inner join synapsor.plan_nodes as node
            on node.plan_id = walk.plan_id and node.node = step.node
        left join synapsor.action_invocations as invocation using (action_id)
        left join synapsor.action_contracts as contract
            on contract.action = invocation.action and contract.version = invocation.version
        cross join lateral (
            select coalesce(node.compensation, nullif(contract.definition -> 'compensate_with', 'null')) as compensation
        ) as undone_by
        where step.run_id = walk.run_id and step.state = 'finished' and step.kind <> 'container'
            and synapsor._status_value(step.status) < 512 and undone_by.compensation is not null
            -- What another run, or a caller, had asked for already is not this run's to undo.
            and (step.action_id is null or invocation.run_id = walk.run_id)
            and not exists (
                select from synapsor.run_steps as done
                where done.run_id = walk.run_id and done.step_key = step.step_key || '[compensation]'
            )
        order by step.finish_order desc
    loop
        undoing := synapsor._start_compensation(walk, effect.step_key, effect.compensation, effect.queue);
        if undoing.state <> 'finished' then
            return 'compensating';
        end if;
    end loop;
    return (
        select case
            when bool_or(step.evidence ->> 'outcome' = 'escalated') then 'escalated'
            when bool_or(step.evidence ->> 'outcome' = 'compensation_failed') then 'compensation_failed'
            when count(*) > 0 then 'compensated'
        end
        from synapsor.run_steps as step
        where step.run_id = walk.run_id and step.compensates is not null
    );
end;
$function$;

-- An undoing is an action like any other: under its node's security context, along the one canonical
-- path, with contract, policies and approval of its own. Its key is the step's: it is asked for once,
-- whatever key its contract would make.
create or replace function synapsor._start_compensation(
    walk synapsor.plan_walk, step_key text, compensation jsonb, queue text
)
returns synapsor.run_steps
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    effect synapsor.run_steps;
    step synapsor.run_steps;
    contract synapsor.action_contracts;
    named jsonb;
    kept jsonb;
    result synapsor.node_result;
    reason text;
begin
    select stored.* into strict effect
    from synapsor.run_steps as stored
    where stored.run_id = walk.run_id and stored.step_key = _start_compensation.step_key;
    step.step_id := synapsor._new_id('stp_');
    step.run_id := walk.run_id;
    step.tenant_id := walk.tenant_id;
    step.step_key := effect.step_key || '[compensation]';
    step.parent_step_key := effect.step_key;
    step.relation := 'child';
    step.compensates := effect.step_key;
    step.kind := 'compensation';
    step.name := compensation ->> 'action';
    step.state := 'running';
    step.status := 'New';
    step.sequence := nextval('synapsor.run_steps_sequence');
    step.security_context := effect.security_context;
    step.started_at := synapsor._now();
    step.attempt := 1;
    step.phase := 'handler';

    named := jsonb_build_object(
        'parameters', coalesce(effect.input -> 'parameters', '{}'), 'hidden', walk.session, 'result', effect.exit_data
    );
    if effect.action_id is not null then
        select jsonb_build_object(
            'parameters', (invocation.intent::jsonb) -> 'arguments', 'hidden', (invocation.intent::jsonb) -> 'hidden',
            'result', effect.exit_data
        ) into strict named
        from synapsor.action_invocations as invocation
        where invocation.action_id = effect.action_id;
    end if;
    kept := synapsor._borrow_session(walk.session || jsonb_build_object(
        'principal', step.security_context -> 'principal', 'roles', step.security_context -> 'roles'
    ));
    begin
        contract := synapsor._resolve_contract(compensation ->> 'action', null);
        contract.queue := coalesce(_start_compensation.queue, contract.queue);
        step.action_id := synapsor._invoke_node(
            walk, effect, step, contract, synapsor._render(compensation -> 'input', named),
            'compensate:' || effect.step_id
        );
        result := synapsor._node_result(step.action_id);
    exception
        when others then
            if synapsor._is_passing(sqlstate) then
                perform synapsor._return_session(kept);
                raise;
            end if;
            get stacked diagnostics reason = message_text;
            result := synapsor._failed_result(reason);
            step.action_id := null;
    end;
    perform synapsor._return_session(kept);
    step := synapsor._judge_compensation(step, result);
    insert into synapsor.run_steps select step.*;
    return step;
exception
    when query_canceled or assert_failure then
        perform synapsor._return_session(kept);
        raise;
end;
$function$;

-- What an undoing came to. It failed when it was performed and failed; what could not be done at all,
-- because there is no such action, or a policy, a reviewer or the clock was against it, is escalated:
-- a person has to see to it.
create or replace function synapsor._judge_compensation(
    step synapsor.run_steps, result synapsor.node_result
)
returns synapsor.run_steps
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    step.status := result.status;
    if not result.has_ended then
        step.state := case when result.waits_for = 'approval' then 'waiting' else 'running' end;
        step.wait := jsonb_build_object('for', result.waits_for);
        return step;
    end if;
    step.state := 'finished';
    step.phase := 'ended';
    step.branch_status := result.status;
    step.exit_data := case when result.exit_data <> 'null' then synapsor._bounded(result.exit_data) end;
    step.message := left(result.message, 2000);
    step.finished_at := synapsor._now();
    step.finish_order := nextval('synapsor.run_steps_sequence');
    step.wait := null;
    step.evidence := jsonb_build_object('outcome', case
        when synapsor._status_value(result.status) < 512 then 'compensated'
        when result.ended_as = 'failed' then 'compensation_failed'
        else 'escalated'
    end);
    return step;
end;
$function$;

create or replace function synapsor._look_at_compensation(
    walk synapsor.plan_walk, step synapsor.run_steps
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform synapsor._complete_parent(step.action_id)
    where exists (
        select from synapsor.action_invocations as adapter_step
        where adapter_step.parent_action_id = step.action_id
    );
    step := synapsor._judge_compensation(step, synapsor._node_result(step.action_id));
    update synapsor.run_steps as stored
    set state = step.state, phase = step.phase, status = step.status, branch_status = step.branch_status,
        exit_data = step.exit_data, message = step.message, finished_at = step.finished_at,
        finish_order = step.finish_order, wait = step.wait, evidence = step.evidence
    where stored.run_id = walk.run_id and stored.step_key = step.step_key;
end;
$function$;
