create or replace function synapsor.replay_policy(
    policy text,
    since timestamptz,
    until timestamptz,
    definition jsonb default null
)
returns table (action_id text, recorded text, replayed text, differs boolean)
language plpgsql
-- security definer: reads intents with their hidden values, and evaluates as the extension does
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    family constant text := regexp_replace(policy, '\.v[0-9]+$', '');
    tenants constant text[] := synapsor._visible_tenants();
    sees_every_tenant constant boolean := synapsor._sees_every_tenant();
    draft jsonb;
    judged synapsor.policies;
    past record;
    outcome synapsor.policy_outcome;
begin
    if definition is null then
        select stored.* into judged
        from synapsor.policies as stored
        where stored.policy = replay_policy.policy;
        if not found then
            raise exception using
                errcode = 'SY011',
                message = format('policy %s is not registered', quote_nullable(left(policy, 128))),
                hint = 'Declare it with synapsor.declare_policy, or give a draft of it.';
        end if;
    else
        draft := synapsor._require_valid_policy(
            case
                when jsonb_typeof(definition) = 'object'
                    then jsonb_build_object('policy', replay_policy.policy) || definition
                else definition
            end
        );
        judged.policy := draft ->> 'policy';
        judged.kind := draft ->> 'kind';
        judged.digest := sha256(convert_to(synapsor._canonicalize(draft), 'UTF8'));
    end if;

    for past in
        select
            invocation.action_id,
            invocation.action,
            invocation.tenant_id,
            invocation.intent,
            evaluation.result,
            coalesce(evaluation.evaluated_at, invocation.created_at) as evaluated_at
        from synapsor.action_invocations as invocation
        inner join synapsor.action_contracts as contract
            on invocation.action = contract.action and invocation.version = contract.version
        left join lateral (
            select recorded_evaluation.result, recorded_evaluation.evaluated_at
            from synapsor.policy_evaluations as recorded_evaluation
            where recorded_evaluation.action_id = invocation.action_id
                and regexp_replace(recorded_evaluation.policy, '\.v[0-9]+$', '') = family
            order by
                recorded_evaluation.policy = replay_policy.policy desc,
                recorded_evaluation.evaluated_at desc,
                recorded_evaluation.evaluation_id desc
            limit 1
        ) as evaluation on true
        where (sees_every_tenant or invocation.tenant_id = any(tenants))
            and invocation.created_at >= coalesce(since, '-infinity')
            and invocation.created_at < coalesce(until, 'infinity')
            and invocation.intent is not null
            and exists (
                select from jsonb_array_elements_text(contract.definition -> 'policies') as listed
                where regexp_replace(listed.value, '\.v[0-9]+$', '') = family
            )
        order by invocation.created_at, invocation.action_id
    loop
        begin
            outcome := synapsor._evaluate_policy(
                judged.policy, judged.kind, judged.digest, draft,
                synapsor._policy_facts(
                    past.action, past.action_id, past.tenant_id, past.intent::jsonb, 'execute',
                    past.evaluated_at
                ),
                false
            );
        exception
            when others then
                outcome.result := 'error';
        end;
        action_id := past.action_id;
        recorded := past.result;
        replayed := outcome.result;
        differs := recorded is distinct from replayed;
        return next;
    end loop;
end
$function$;

grant execute on function synapsor.replay_policy to synapsor_auditor;

comment on function synapsor.replay_policy is
'What a policy, or a draft of one, would have said about past invocations of the session''s
tenants, created from since (included) until (excluded; null: no bound): those of contracts that
name this policy or another version of it. recorded is its latest result on record, else that of
another version, else null; replayed is pass, warn, block, or error where its evaluator raises.
Data policies give what they gave; evaluators see today''s tables. Nothing is stored. Errors:
SY011 (not registered), SY002 (the draft).';
