-- Binds many sets of caller parameters to one contract in one call. Contracts are compiled once per
-- backend and kept by their digest: a version number alone could have been declared, rolled back,
-- and declared again with another content.
create or replace function synapsor._bind(
    contract synapsor.action_contracts,
    parameters jsonb[],
    idempotency_keys text[],
    session jsonb
)
returns setof synapsor.bound_parameters
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    return query
    select bound.*
    from unnest(synapsor._bind_all(
        contract.digest, contract.action, contract.version, parameters, idempotency_keys, session,
        date_part('epoch', synapsor._now())
    )) as bound;
end;
$function$;

create or replace function synapsor._bind_all(
    contract_digest bytea,
    action text,
    version integer,
    parameters jsonb[],
    idempotency_keys text[],
    session jsonb,
    at double precision
)
returns synapsor.bound_parameters[]
language plpython3u
set search_path = pg_catalog, pg_temp
as $python$
    if "binding" not in SD:
        import os

        plpy.execute("select synapsor._load_python()")
        SD["binding"] = GD["synapsor_python"]["binding"]
        SD["canonical"] = GD["synapsor_python"]["canonical"]
        SD["identifiers"] = GD["synapsor_python"]["identifiers"]
        SD["random"] = os.urandom
        SD["contracts"] = {}
        SD["definition_of"] = plpy.prepare(
            "select definition from synapsor.action_contracts where action = $1 and version = $2", ["text", "integer"]
        )
        # PostgreSQL's engine, unlike Python's, can be cancelled while it matches.
        is_match = plpy.prepare("select $2 ~ $1 as matches", ["text", "text"])
        SD["matches"] = lambda pattern, value: plpy.execute(is_match, [pattern, value])[0]["matches"]

    binding, identifiers, contracts = SD["binding"], SD["identifiers"], SD["contracts"]
    contract = contracts.get((contract_digest, version))
    if contract is None:
        definition = plpy.execute(SD["definition_of"], [action, version])[0]["definition"]
        if len(contracts) >= 256:
            contracts.clear()
        contract = contracts[contract_digest, version] = binding.compile_contract(
            action, version, SD["canonical"].loads(definition)
        )

    session_values = SD["canonical"].loads(session)
    action_ids = identifiers.ulids(
        "act_", int(at * 1000), SD["random"](identifiers.RANDOM_BYTES), len(parameters)
    )
    bound = []
    for ordinal, text in enumerate(parameters):
        # SQL's null is no object either.
        result = binding.bind(
            contract, "null" if text is None else text, session_values,
            idempotency_keys[ordinal] if idempotency_keys else None, SD["matches"],
        )
        bound.append((
            ordinal + 1, result.error_code, result.error_message,
            binding.violations_json(result.violations) if result.error_code else None,
            result.intent, result.digest, result.payload_digest, result.idempotency_key,
            result.key_from_template, result.ordering_key, result.account, action_ids[ordinal],
        ))
    return bound
$python$;
