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
    if jsonb_typeof(definition) is distinct from 'object' then
        raise exception using
            errcode = 'SY002',
            message = 'a policy is a JSON object',
            detail = format('A %s was given.', coalesce(jsonb_typeof(definition), 'null')),
            hint = 'See COMMENT ON FUNCTION synapsor.declare_policy for the keys.';
    end if;
    checked := synapsor._check_policy(definition);
    accepted := nullif(checked -> 'definition', 'null');
    reasons := array(
        select concat_ws(' ', found.value ->> 'path', found.value ->> 'reason')
        from jsonb_array_elements(checked -> 'reasons') with ordinality as found
        order by found.ordinality
    ) || array(
        select concat_ws(' ', inspected.value ->> 'path', unreadable.reason)
        from jsonb_array_elements(checked -> 'checks') with ordinality as inspected
        cross join lateral (
            select synapsor._why_unreadable(
                inspected.value ->> 'kind', inspected.value ->> 'value'
            ) as reason
        ) as unreadable
        where unreadable.reason is not null
        order by inspected.ordinality
    ) || array(
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
    if reasons <> '{}' then
        raise exception using
            errcode = 'SY002',
            message = format(
                'the definition of %s is invalid',
                coalesce(quote_literal(left(definition ->> 'policy', 128)), 'a policy')
            ),
            detail = array_to_string(reasons, E'\n'),
            hint = 'Correct every line; nothing was declared.';
    end if;
    return accepted;
end
$function$;
