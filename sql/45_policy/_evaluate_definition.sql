-- What a policy says by its definition alone. Compiled once per backend and kept by digest. A draft
-- is evaluated in place of what is stored.
create or replace function synapsor._evaluate_definition(
    policy text, kind text, digest bytea, draft jsonb, facts jsonb
)
returns synapsor.policy_outcome
language plpython3u
stable
set search_path = pg_catalog, pg_temp
as $python$
    if "policy" not in SD:
        plpy.execute("select synapsor._load_python()")
        SD["policy"] = GD["synapsor_python"]["policy"]
        SD["loads"] = GD["synapsor_python"]["canonical"].loads
        SD["dumps"] = __import__("json").dumps
        SD["policies"] = {}
        SD["definition_of"] = plpy.prepare(
            "select definition from synapsor.policies where policy = $1", ["text"]
        )
        reading = plpy.prepare(
            "select synapsor._why_unreadable($1, $2) as reason", ["text", "text"]
        )
        SD["why_unreadable"] = lambda check: plpy.execute(reading, [check.kind, check.value])[0][
            "reason"
        ]
        SD["judging"] = plpy.prepare(
            "select coalesce(jsonb_path_query_first($1, $2, '{}', true) = 'true', false) as held",
            ["jsonb", "jsonpath"],
        )

    policies = SD["policies"]
    compiled = policies.get(digest)
    if compiled is None:
        definition = draft
        if definition is None:
            definition = plpy.execute(SD["definition_of"], [policy])[0]["definition"]
        if len(policies) >= 256:
            policies.clear()
        compiled = policies[digest] = SD["policy"].compile_policy(
            policy, kind, SD["loads"](definition), SD["why_unreadable"]
        )

    def judge(path):
        try:
            return plpy.execute(SD["judging"], [facts, path])[0]["held"]
        except plpy.spiexceptions.FeatureNotSupported:
            return False  # dates that need a time zone are never suppressed

    outcome = SD["policy"].evaluate_json(compiled, facts, judge)
    dumps = SD["dumps"]
    return (
        outcome.result,
        outcome.reason,
        outcome.guidance,
        None,
        None if outcome.require_approval is None else dumps(outcome.require_approval),
        dumps(outcome.evidence),
        outcome.evaluator,
        outcome.preview_safe,
        outcome.fallback,
    )
$python$;
