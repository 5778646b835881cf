create or replace function synapsor._judge_step(
    run synapsor.runs,
    workflow jsonb,
    wanted synapsor.run_steps,
    stored synapsor.run_steps
)
returns synapsor.run_steps
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    if stored.step_id is null or wanted.name <> stored.name then
        perform synapsor._require_allowed_step(run, workflow, wanted.kind, wanted.name);
    end if;
    -- What is finished is not judged again: it has been approved where that was demanded.
    if stored.state = 'finished' then
        return wanted;
    end if;
    -- Or whoever waits for an approval would talk himself out of it.
    if stored.risk is not null and synapsor._risk_rank(wanted.risk) <= synapsor._risk_rank(stored.risk) then
        wanted.risk := stored.risk;
    end if;
    if (workflow ->> 'evidence_required')::boolean and wanted.status in ('completed', 'warned')
        and not synapsor._is_control_step(wanted.kind)
        and coalesce(wanted.evidence, '{}') in ('{}', '[]', '""', 'null', 'false')
    then
        raise exception using
            errcode = 'SY041',
            message = format('step %s has no evidence', quote_literal(left(wanted.step_key, 200))),
            detail = format('Workflow %s requires evidence of every completed capability step.',
                quote_literal(run.workflow)),
            hint = 'Record with it what its outcome rests on.';
    end if;
    return synapsor._demand_approval(workflow, wanted);
end;
$function$;

comment on function synapsor._judge_step(synapsor.runs, jsonb, synapsor.run_steps, synapsor.run_steps) is
'The step as its workflow contract lets it be recorded, held where its risk demands an approval; SY041
when it is outside the contract or lacks the evidence that the contract requires.';
