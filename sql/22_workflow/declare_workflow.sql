-- security definer: workflows are written by nobody but their owner.
create or replace function synapsor.declare_workflow(definition jsonb)
returns synapsor.workflow
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    checked jsonb;
    accepted jsonb;
    latest synapsor.workflows;
    declared synapsor.workflows;
begin
    perform synapsor._require_object(definition, 'a workflow contract', 'declare_workflow');
    checked := synapsor._check_workflow(definition);
    accepted := checked -> 'definition';
    perform synapsor._require_no_reasons(synapsor._reasons(checked), format(
        'the definition of %s',
        coalesce('workflow ' || quote_literal(left(definition ->> 'workflow', 200)), 'a workflow')
    ));

    -- Declarations are rare and take turns, so that two equal ones cannot make two versions.
    lock table synapsor.workflows in share row exclusive mode;
    select stored.* into latest
    from synapsor.workflows as stored
    where stored.workflow = accepted ->> 'workflow'
    order by stored.version desc
    limit 1;
    if latest.declared = definition then
        return synapsor._workflow(latest);
    end if;

    insert into synapsor.workflows (workflow, version, label, declared, definition, declared_by, declared_at)
    values (
        accepted ->> 'workflow', coalesce(latest.version, 0) + 1, accepted ->> 'label', declare_workflow.definition,
        accepted, synapsor._session() ->> 'principal', synapsor._now()
    )
    returning * into declared;
    return synapsor._workflow(declared);
end;
$function$;

grant execute on function synapsor.declare_workflow to synapsor_admin;

comment on function synapsor.declare_workflow is
'Validates a workflow contract and stores it as the next version of its workflow. A definition equal
(as jsonb) to the latest version is a no-op and returns that version. Errors: SY002 with every
reason, one per line. A run keeps the version it was started with.

Keys: workflow; label; description; session_requirements, the session values that whoever adds to a
run must have (SY005); allowed_capabilities and allowed_actions, what steps and actions may be named
(SY041); entry_capability, which comes first; evidence_required, of completed capability steps;
checkpoint_every_step: each finished step and each action leaves a checkpoint of its own, written
with it; auto_branch_on_proposal, recorded only; risk_policy {"medium": {"approval_role": …}}: a step
of that risk, or a higher one without an entry of its own, waits for the role''s approval, and so
does every action after it (low, medium, high, critical; another word counts as the highest; any: every
action of the run);
max_steps, max_tool_calls, max_input_tokens, max_output_tokens (SY042); retention {"runs_days",
"evidence_days"}, kept and then removed by purge.

A list that is not given bounds nothing, but for one: a contract that names capabilities and no
actions allows no action. Of the steps, checkpoints and guardrail events count for nothing; tool
calls are capabilities, tools and actions. What an action sets going by its own contract (adapter
steps) was allowed with it. Sources: design.md sections 4 and 8, reference/external-actions.md 1.2.';
