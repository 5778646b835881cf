create or replace function synapsor._record_step(
    run_id text,
    step_key text,
    kind text,
    name text,
    status text,
    input jsonb default '{}',
    output jsonb default '{}',
    message text default null,
    parent_step_key text default null,
    risk text default null,
    evidence jsonb default null,
    input_tokens int default null,
    output_tokens int default null
)
returns synapsor.step
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    run synapsor.runs := synapsor._own_run(run_id);
    wanted synapsor.run_steps;
    stored synapsor.run_steps;
    workflow constant jsonb := synapsor._hold_workflow(run);
begin
    perform synapsor._require_step_key(step_key);
    -- coalesce: a null must fail these checks, not pass them.
    if not coalesce(
        status in (
            'running', 'waiting', 'waiting_approval',
            'completed', 'failed', 'cancelled', 'skipped', 'blocked', 'warned'
        ), false
    ) then
        raise exception using
            errcode = 'SY003',
            message = format('%s is no status of a step', coalesce(left(status, 100), 'null')),
            hint = 'Unfinished: running, waiting, waiting_approval. Finished: completed, failed, '
                || 'cancelled, skipped, blocked, warned.';
    end if;
    if not coalesce(kind ~ '^[a-z][a-z0-9_]{0,62}$', false) then
        raise exception using
            errcode = 'SY003',
            message = 'a kind is a lower-case word of at most 63 characters',
            hint = 'For example capability, checkpoint, interrupt, handoff or guardrail.';
    end if;
    if kind in ('external_action', 'atomic', 'saga') then
        raise exception using
            errcode = 'SY003',
            message = format('a step of kind %s is not recorded by hand', kind),
            detail = 'Such a step is evidence that an action was proposed.',
            hint = 'Pass the run_id when proposing the action: that records the step.';
    end if;
    if risk !~ '^[a-z][a-z0-9_]{0,62}$' then
        raise exception using
            errcode = 'SY003',
            message = 'a risk is a lower-case word of at most 63 characters',
            hint = 'For example low, medium or high.';
    end if;
    if length(name) > 200 or length(message) > 2000 then
        raise exception using
            errcode = 'SY003',
            message = 'a name has at most 200 and a reason at most 2000 characters',
            hint = 'Put longer text into the payload.';
    end if;
    if input_tokens < 0 or output_tokens < 0 then
        raise exception using
            errcode = 'SY003',
            message = 'tokens are counted from zero',
            hint = 'Leave them out when they are not known.';
    end if;

    wanted.step_id := synapsor._new_id('stp_');
    wanted.run_id := run.run_id;
    wanted.tenant_id := run.tenant_id;
    wanted.step_key := step_key;
    wanted.parent_step_key := parent_step_key;
    wanted.relation := case when parent_step_key is null then 'root' else 'child' end;
    wanted.kind := kind;
    wanted.name := coalesce(name, left(step_key, 200));
    wanted.state := case
        when status = 'running' then 'running'
        when status in ('waiting', 'waiting_approval') then 'waiting'
        else 'finished'
    end;
    wanted.status := status;
    wanted.input := synapsor._run_payload('input', input);
    wanted.exit_data := synapsor._run_payload('output', output);
    wanted.message := message;
    wanted.risk := risk;
    wanted.evidence := evidence;
    perform synapsor._run_payload('evidence', evidence);
    wanted.input_tokens := input_tokens;
    wanted.output_tokens := output_tokens;
    wanted.started_at := synapsor._now();
    wanted.attempt := 1;
    wanted.finished_at := case when wanted.state = 'finished' then wanted.started_at end;

    select step.*
    into stored
    from synapsor.run_steps as step
    where step.run_id = run.run_id and step.step_key = _record_step.step_key
    for update;

    if not found then
        perform synapsor._require_open_run(run);
        perform synapsor._require_parent_step(run.run_id, step_key, parent_step_key);
        wanted.sequence := nextval('synapsor.run_steps_sequence');
        if workflow is not null then
            wanted := synapsor._judge_step(run, workflow, wanted, null);
            perform synapsor._count_step(
                run, workflow, wanted.kind, wanted.name, true, coalesce(wanted.input_tokens, 0),
                coalesce(wanted.output_tokens, 0)
            );
        end if;
        insert into synapsor.run_steps
        select wanted.*
        on conflict on constraint a_step_key_names_one_step_of_its_run do nothing;
        if found then
            if (workflow ->> 'checkpoint_every_step')::boolean and wanted.state = 'finished' then
                perform synapsor._leave_checkpoint(wanted);
            end if;
            return synapsor._as_step(wanted);
        end if;
        -- Somebody else was first with this key; theirs is committed now.
        select step.*
        into strict stored
        from synapsor.run_steps as step
        where step.run_id = run.run_id and step.step_key = _record_step.step_key
        for update;
    end if;

    -- What the later record does not give is kept: the defaults are not news.
    wanted.step_id := stored.step_id;
    wanted.sequence := stored.sequence;
    wanted.started_at := stored.started_at;
    wanted.relation := stored.relation;
    wanted.parent_step_key := coalesce(parent_step_key, stored.parent_step_key);
    wanted.kind := case when kind = 'capability' then stored.kind else kind end;
    wanted.name := coalesce(name, stored.name);
    wanted.input := case when wanted.input = '{}' then stored.input else wanted.input end;
    wanted.exit_data := case
        when wanted.exit_data = '{}' then stored.exit_data
        else wanted.exit_data
    end;
    wanted.message := coalesce(message, stored.message);
    wanted.risk := coalesce(risk, stored.risk);
    wanted.evidence := coalesce(evidence, stored.evidence);
    wanted.input_tokens := coalesce(input_tokens, stored.input_tokens);
    wanted.output_tokens := coalesce(output_tokens, stored.output_tokens);
    wanted.finished_at := coalesce(stored.finished_at, wanted.finished_at);
    if workflow is not null then
        wanted := synapsor._judge_step(run, workflow, wanted, stored);
    end if;
    stored.wait := stored.wait - 'since';

    if wanted is not distinct from stored then
        return synapsor._as_step(stored);
    end if;

    perform synapsor._require_open_run(run);
    if stored.action_id is not null then
        raise exception using
            errcode = 'SY014',
            message = format('step %s of run %s is an action', left(step_key, 200), run.run_id),
            detail = format('Its state is the state of %s.', stored.action_id),
            hint = 'Choose another step_key.';
    end if;
    if stored.state = 'finished' then
        raise exception using
            errcode = 'SY014',
            message = format(
                'step %s of run %s is finished with other content', left(step_key, 200), run.run_id
            ),
            detail = format('It was %s at %s.', stored.status, stored.finished_at),
            hint = 'A finished step does not change; record another one.';
    end if;
    if wanted.kind <> stored.kind
        or wanted.parent_step_key is distinct from stored.parent_step_key then
        raise exception using
            errcode = 'SY014',
            message = format(
                'step %s of run %s has another kind or parent', left(step_key, 200), run.run_id
            ),
            detail = format(
                'Its kind is %s, its parent %s.',
                stored.kind, coalesce(left(stored.parent_step_key, 200), 'none')
            ),
            hint = 'Kind and parent are fixed when the step begins; record another step.';
    end if;

    if workflow is not null then
        perform synapsor._count_step(
            run, workflow, wanted.kind, wanted.name, false,
            coalesce(wanted.input_tokens, 0) - coalesce(stored.input_tokens, 0),
            coalesce(wanted.output_tokens, 0) - coalesce(stored.output_tokens, 0)
        );
    end if;
    update synapsor.run_steps
    set
        name = wanted.name,
        state = wanted.state,
        status = wanted.status,
        input = wanted.input,
        exit_data = wanted.exit_data,
        message = wanted.message,
        risk = wanted.risk,
        evidence = wanted.evidence,
        input_tokens = wanted.input_tokens,
        output_tokens = wanted.output_tokens,
        finished_at = wanted.finished_at,
        -- What is approved with a later action is what was there before it.
        wait = wanted.wait || jsonb_build_object('since', synapsor._now())
    where run_steps.run_id = run.run_id and run_steps.step_key = wanted.step_key;
    if (workflow ->> 'checkpoint_every_step')::boolean and wanted.state = 'finished' then
        perform synapsor._leave_checkpoint(wanted);
    end if;
    return synapsor._as_step(wanted);
end;
$function$;

comment on function synapsor._record_step is
'The one writer of recorded steps. A new key begins a step; a step not yet finished takes what a
later record adds; an equal repeat is an answer, also after the run is over. Raises as _check_run
does, and SY003, SY011 (parent), SY014, SY051; of a workflow contract SY005, SY041, SY042.';
