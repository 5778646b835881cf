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
    if "plain" not in SD:
        import os

        plpy.execute("select synapsor._load_python()")
        modules = SD["modules"] = GD["synapsor_python"]
        SD["plain"] = modules["plain"]
        SD["identifiers"] = modules["identifiers"]
        SD["random"] = os.urandom
        SD["contracts"] = {}
        SD["session"] = None, None
        SD["definition_of"] = plpy.prepare(
            "select definition from synapsor.action_contracts where action = $1 and version = $2", ["text", "integer"]
        )
        # PostgreSQL's engine, unlike Python's, can be cancelled while it matches.
        is_match = plpy.prepare("select $2 ~ $1 as matches", ["text", "text"])
        SD["matches"] = lambda pattern, value: plpy.execute(is_match, [pattern, value])[0]["matches"]

        def bind_fully(compiled, action, version, text, session, key):
            # Imported for the first proposal that is not plain.
            binding, canonical = modules["binding"], modules["canonical"]
            if compiled[1] is None:
                compiled[1] = binding.compile_contract(action, version, canonical.loads(compiled[2]))
            bound = binding.bind(compiled[1], text, canonical.loads(session), key, SD["matches"])
            return (
                bound.error_code, bound.error_message,
                binding.violations_json(bound.violations) if bound.error_code else None,
                bound.intent, bound.digest, bound.payload_digest, bound.idempotency_key,
                bound.key_from_template, bound.ordering_key, bound.account,
            )

        SD["bind_fully"] = bind_fully

    plain, identifiers, contracts = SD["plain"], SD["identifiers"], SD["contracts"]
    compiled = contracts.get((contract_digest, version))
    if compiled is None:
        definition = plpy.execute(SD["definition_of"], [action, version])[0]["definition"]
        if len(contracts) >= 256:
            contracts.clear()
        compiled = contracts[contract_digest, version] = [
            plain.compile_plain(action, version, plain.loads(definition)), None, definition
        ]
    if SD["session"][0] != session:
        SD["session"] = session, plain.loads(session)
    contract, session_values = compiled[0], SD["session"][1]
    action_ids = identifiers.ulids(
        "act_", int(at * 1000), SD["random"](identifiers.RANDOM_BYTES), len(parameters)
    )
    bound = []
    for ordinal, text in enumerate(parameters):
        # SQL's null is no object either.
        if text is None:
            text = "null"
        key = idempotency_keys[ordinal] if idempotency_keys else None
        made = contract and plain.bind_plain(contract, text, session_values, key)
        if made:
            bound.append((ordinal + 1, None, None, None, *made, action_ids[ordinal]))
        else:
            bound.append((
                ordinal + 1, *SD["bind_fully"](compiled, action, version, text, session, key), action_ids[ordinal]
            ))
    return bound
$python$;
