create or replace function synapsor._join_run(
    run_id text,
    step_key text,
    action text,
    action_id text,
    parent_step_key text default null,
    kind text default 'external_action',
    is_asked boolean default true
)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    run synapsor.runs;
    used_step_key text := coalesce(step_key, action);
    workflow jsonb;
    joined synapsor.run_steps;
    holder text;
    -- The clash is resolved between a number known to be taken and one known to be free.
    taken bigint := 1;
    free bigint := 2;
    middle bigint;
begin
    if is_asked then
        run := synapsor._own_run(run_id);
        workflow := synapsor._hold_workflow(run);
        perform synapsor._require_open_run(run);
    else
        -- Under whose session, and how long after the run, depends on who approves what sets it going.
        select joined_run.* into strict run
        from synapsor.runs as joined_run
        where joined_run.run_id = _join_run.run_id
        for key share;
    end if;
    perform synapsor._require_step_key(used_step_key);
    perform synapsor._require_parent_step(run.run_id, used_step_key, parent_step_key);

    loop
        insert into synapsor.run_steps (
            step_id, run_id, tenant_id, step_key, parent_step_key, relation, kind, name, state,
            action_id, started_at
        )
        values (
            synapsor._new_id('stp_'), run.run_id, run.tenant_id, used_step_key,
            _join_run.parent_step_key,
            case when _join_run.parent_step_key is null then 'root' else 'child' end,
            _join_run.kind, _join_run.action, 'running', _join_run.action_id, synapsor._now()
        )
        on conflict on constraint a_step_key_names_one_step_of_its_run do nothing
        returning * into joined;
        if found then
            if workflow is not null then
                perform synapsor._count_step(run, workflow, kind, action, is_new => true);
                if (workflow ->> 'checkpoint_every_step')::boolean then
                    perform synapsor._leave_checkpoint(joined);
                end if;
            end if;
            exit;
        end if;

        if step_key is not null then
            select step.action_id
            into holder
            from synapsor.run_steps as step
            where step.run_id = run.run_id and step.step_key = used_step_key;
            exit when holder = action_id;
            raise exception using
                errcode = 'SY014',
                message = format('step %s of run %s is taken', left(step_key, 200), run.run_id),
                detail = coalesce(
                    'It is action ' || holder || '.', 'It was recorded as another step.'
                ),
                hint = 'Choose another step_key, or leave it out to have one chosen.';
        end if;

        -- The first free number of many in a few look-ups: double, then halve.
        taken := 1;
        free := 2;
        while synapsor._step_exists(run.run_id, action || '#' || free) loop
            taken := free;
            free := free * 2;
        end loop;
        while free - taken > 1 loop
            middle := (taken + free) / 2;
            if synapsor._step_exists(run.run_id, action || '#' || middle) then
                taken := middle;
            else
                free := middle;
            end if;
        end loop;
        used_step_key := action || '#' || free;
    end loop;
    return used_step_key;
end;
$function$;

comment on function synapsor._join_run(text, text, text, text, text, text, boolean) is
'Makes an action a step of the session''s open run and returns the step_key used: the one given,
else the action''s name, with #2, #3 … when that is taken. Raises as _check_run does, and SY014
when a given step_key names another step; the same action again is an answer. is_asked: by the agent,
so that its workflow contract counts it (SY042); what an action of the run sets going is no step of
the agent''s, and is in the run whoever approved that action.';
