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
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
    return query
    select *
    from synapsor._bind_all(
        contract.digest, contract.action, contract.version, parameters, idempotency_keys, session
    );
end;
$function$;

create or replace function synapsor._bind_all(
    contract_digest bytea,
    action text,
    version integer,
    parameters jsonb[],
    idempotency_keys text[],
    session jsonb
)
returns setof synapsor.bound_parameters
language plpython3u
stable
set search_path = pg_catalog, pg_temp
as $python$
    if "binding" not in SD:
        plpy.execute("select synapsor._load_python()")
        SD["binding"] = GD["synapsor_python"]["binding"]
        SD["canonical"] = GD["synapsor_python"]["canonical"]
        SD["contracts"] = {}
        SD["definition_of"] = plpy.prepare(
            "select definition from synapsor.action_contracts where action = $1 and version = $2", ["text", "integer"]
        )
        # PostgreSQL's engine, unlike Python's, can be cancelled while it matches.
        is_match = plpy.prepare("select $2 ~ $1 as matches", ["text", "text"])
        SD["matches"] = lambda pattern, value: plpy.execute(is_match, [pattern, value])[0]["matches"]

    binding, contracts = SD["binding"], SD["contracts"]
    contract = contracts.get((contract_digest, version))
    if contract is None:
        definition = plpy.execute(SD["definition_of"], [action, version])[0]["definition"]
        if len(contracts) >= 256:
            contracts.clear()
        contract = contracts[contract_digest, version] = binding.compile_contract(
            action, version, SD["canonical"].loads(definition)
        )

    session_values = SD["canonical"].loads(session)
    bound = []
    for ordinal, text in enumerate(parameters, 1):
        key = idempotency_keys[ordinal - 1] if idempotency_keys else None
        # SQL's null is no object either.
        text = "null" if text is None else text
        result = binding.bind(contract, text, session_values, key, SD["matches"])
        bound.append((
            ordinal, result.error_code, result.error_message,
            binding.violations_json(result.violations) if result.error_code else None,
            result.intent, result.digest, result.payload_digest, result.idempotency_key,
            result.key_from_template, result.ordering_key, result.account,
        ))
    return bound
$python$;
