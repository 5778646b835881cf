-- What the pure package finds: the definition with its defaults, the reasons against it, and the
-- paths that only the database can judge.
create or replace function synapsor._check_policy(definition jsonb)
returns jsonb
language plpython3u
immutable strict
set search_path = pg_catalog, pg_temp
as $python$
    if "policy" not in SD:
        plpy.execute("select synapsor._load_python()")
        SD["policy"] = GD["synapsor_python"]["policy"]
    return SD["policy"].check_policy_json(definition)
$python$;

-- The definition with its defaults; SY002 with every reason when there is one against it.
create or replace function synapsor._require_valid_policy(definition jsonb)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    checked jsonb;
    accepted jsonb;
    reasons text[];
begin
    perform synapsor._require_object(definition, 'a policy', 'declare_policy');
    checked := synapsor._check_policy(definition);
    accepted := nullif(checked -> 'definition', 'null');
    reasons := synapsor._reasons(checked) || array(
        select concat_ws(' ', 'evaluator', refused.reason)
        from (
            select synapsor._check_user_function(
                accepted ->> 'evaluator', array['jsonb'], 'jsonb'
            ) as reason
        ) as refused
        where accepted ->> 'evaluator' is not null and refused.reason is not null
    ) || array(
        select format('fallback.policy names %s, which is a %s policy', stored.policy, stored.kind)
        from synapsor.policies as stored
        where stored.policy = accepted -> 'fallback' ->> 'policy' and stored.kind <> 'code'
    );
    perform synapsor._require_no_reasons(reasons, format(
        'the definition of %s', coalesce(quote_literal(left(definition ->> 'policy', 128)), 'a policy')
    ));
    return accepted;
end
$function$;
