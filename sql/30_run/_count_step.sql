create or replace function synapsor._count_step(
    run synapsor.runs,
    workflow jsonb,
    kind text,
    name text,
    is_new boolean,
    input_tokens int default 0,
    output_tokens int default 0
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    counted synapsor.workflow_runs;
    exceeded record;
begin
    update synapsor.workflow_runs as stored
    set
        steps = stored.steps + (is_new and kind not in ('checkpoint', 'guardrail'))::int,
        tool_calls = stored.tool_calls + (
            is_new and kind in ('capability', 'tool', 'external_action', 'atomic', 'saga')
        )::int,
        input_tokens = stored.input_tokens + _count_step.input_tokens,
        output_tokens = stored.output_tokens + _count_step.output_tokens,
        has_entered = stored.has_entered or coalesce(
            name = workflow ->> 'entry_capability' and not synapsor._is_control_step(kind), false
        )
    where stored.run_id = run.run_id
    returning stored.* into strict counted;

    select limits.name, limits.counted, workflow ->> limits.name as maximum
    into exceeded
    from (values
        ('max_steps', counted.steps::bigint),
        ('max_tool_calls', counted.tool_calls::bigint),
        ('max_input_tokens', counted.input_tokens),
        ('max_output_tokens', counted.output_tokens)
    ) as limits (name, counted)
    where limits.counted > (workflow ->> limits.name)::bigint
    limit 1;
    if found then
        raise exception using
            errcode = 'SY042',
            message = format('run %s would exceed %s of workflow %s', run.run_id, exceeded.name,
                quote_literal(run.workflow)),
            detail = format('The contract allows %s; with this step it would be %s.', exceeded.maximum,
                exceeded.counted),
            hint = 'Complete the run, or start another one.';
    end if;
end;
$function$;

comment on function synapsor._count_step(synapsor.runs, jsonb, text, text, boolean, int, int) is
'Adds a step to what the contract counts of its run, whose counts are locked. SY042 past a limit.';
