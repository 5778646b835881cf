-- None of the ten conditions holds: every one is asked. Facts are read and evidence is written, as in every decision.
create or replace function pg_temp.spent() returns float
language plpgsql
as $function$
declare
    rounds constant integer := 20000;
    facts constant jsonb := synapsor._policy_facts(
        'billing.dispute_invoice', 'act_1', 'acme', jsonb_build_object(
            'arguments', jsonb_build_object('invoice_id', 'in_1', 'target_state', 'disputed', 'amount_cents', 2500),
            'hidden', jsonb_build_object('tenant_id', 'acme', 'principal', 'carl')
        ), 'execute', now()
    );
    named synapsor.policies;
    began timestamptz;
begin
    select stored.* into strict named
    from synapsor.policies as stored
    where stored.policy = 'billing.ten_limits.v1';
    perform synapsor._evaluate_definition(named.policy, named.kind, named.digest, null, facts);
    began := clock_timestamp();
    for i in 1..rounds loop
        perform synapsor._evaluate_definition(named.policy, named.kind, named.digest, null, facts);
    end loop;
    return extract(epoch from clock_timestamp() - began) / rounds * 1e6;
end;
$function$;
