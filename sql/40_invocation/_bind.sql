-- Binds many sets of caller parameters to one contract in one call. Contracts are compiled once per
-- backend and kept by their digest: a version number alone could have been declared, rolled back,
-- and declared again with another content.
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
    if "bind" not in SD:
        plpy.execute("select synapsor._load_binding()")
        SD["bind"] = GD["synapsor_bind"]
    return SD["bind"](contract_digest, action, version, parameters, idempotency_keys, session, at)
$python$;

-- The same for one set of parameters: an array of it would cost a quarter more.
create or replace function synapsor._bind_one(
    contract_digest bytea,
    action text,
    version integer,
    parameters jsonb,
    idempotency_key text,
    session jsonb,
    at double precision
)
returns synapsor.bound_parameters
language plpython3u
set search_path = pg_catalog, pg_temp
as $python$
    if "bind" not in SD:
        plpy.execute("select synapsor._load_binding()")
        SD["bind"] = GD["synapsor_bind"]
    return SD["bind"](contract_digest, action, version, (parameters,), (idempotency_key,), session, at)[0]
$python$;

create or replace function synapsor._load_binding()
returns void
language plpython3u
set search_path = pg_catalog, pg_temp
as $python$
    if "loaded" in SD:
        return

    import os

    plpy.execute("select synapsor._load_python()")
    modules = GD["synapsor_python"]
    plain, identifiers = modules["plain"], modules["identifiers"]
    bind_plain, loads, ulids = plain.bind_plain, plain.loads, identifiers.ulids
    contracts = {}
    definition_of = plpy.prepare(
        "select definition from synapsor.action_contracts where action = $1 and version = $2", ["text", "integer"]
    )
    session_text = session_values = None

    def matches(pattern, value):
        # Made ready for the first pattern: few contracts have one.
        if "synapsor_regex" not in GD:
            plpy.execute("select synapsor._load_regex()")
        return GD["synapsor_regex"][0](pattern, value)

    def bind_fully(compiled, action, version, text, session, key):
        # Imported for the first proposal that is not plain.
        binding, canonical = modules["binding"], modules["canonical"]
        if compiled[1] is None:
            compiled[1] = binding.compile_contract(action, version, canonical.loads(compiled[2]))
        bound = binding.bind(compiled[1], text, canonical.loads(session), key, matches)
        return (
            bound.error_code, bound.error_message,
            binding.violations_json(bound.violations) if bound.error_code else None,
            bound.intent, bound.digest, bound.payload_digest, bound.idempotency_key,
            bound.key_from_template, bound.ordering_key, bound.account, False,
        )

    def bind(contract_digest, action, version, parameters, idempotency_keys, session, at):
        nonlocal session_text, session_values
        compiled = contracts.get((contract_digest, version))
        if compiled is None:
            definition = plpy.execute(definition_of, [action, version])[0]["definition"]
            if len(contracts) >= 256:
                contracts.clear()
            compiled = contracts[contract_digest, version] = [
                plain.compile_plain(action, version, loads(definition)), None, definition
            ]
        if session_text != session:
            session_text, session_values = session, loads(session)
        contract = compiled[0]
        action_ids = ulids("act_", int(at * 1000), os.urandom(identifiers.RANDOM_BYTES), len(parameters))
        bound = []
        for ordinal, text in enumerate(parameters):
            # SQL's null is no object either.
            if text is None:
                text = "null"
            key = idempotency_keys[ordinal] if idempotency_keys else None
            made = contract and bind_plain(contract, text, session_values, key)
            if made:
                bound.append((ordinal + 1, None, None, None, *made, action_ids[ordinal]))
            else:
                bound.append((
                    ordinal + 1, *bind_fully(compiled, action, version, text, session, key), action_ids[ordinal]
                ))
        return bound

    GD["synapsor_bind"] = bind
    SD["loaded"] = True
$python$;

comment on function synapsor._load_binding() is
'Publishes in GD["synapsor_bind"] what binds parameters.';
