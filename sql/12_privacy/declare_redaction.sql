-- security definer: redactions are written by nobody but their owner.
create or replace function synapsor.declare_redaction(
    data_class text,
    field_path text,
    method text,
    reason text default null
)
returns synapsor.redaction
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    reasons text[] := array_remove(array[
        case when not coalesce(data_class = any(array[
            'asset_event', 'read_model', 'raw_payload', 'evidence_packet', 'action_evidence', 'access_event'
        ]), false) then format(
            'data_class %s is not asset_event, read_model, raw_payload, evidence_packet, action_evidence '
            'or access_event',
            quote_nullable(left(data_class, 64))
        ) end,
        case when not coalesce(method = any(array[
            'nullify', 'mask', 'hash', 'tokenize', 'generalize', 'drop'
        ]), false) then format(
            'method %s is not nullify, mask, hash, tokenize, generalize or drop', quote_nullable(left(method, 64))
        ) end,
        case when not coalesce(field_path ~ '^[^.\s]+(\.[^.\s]+)*$' and length(field_path) <= 255, false)
            then 'field_path is not a path: field names joined by dots, 255 characters at most'
        end
    ], null);
    declared synapsor.redaction;
begin
    if cardinality(reasons) > 0 then
        raise exception using
            errcode = 'SY002',
            message = 'the redaction is invalid',
            detail = array_to_string(reasons, E'\n');
    end if;
    insert into synapsor.redaction_salts (salt)
    values (gen_random_uuid()::text || gen_random_uuid()::text)
    on conflict on constraint redaction_salts_pkey do nothing;
    insert into synapsor.redactions as known (data_class, field_path, method, reason, declared_by, declared_at)
    values (
        declare_redaction.data_class, declare_redaction.field_path, declare_redaction.method, declare_redaction.reason,
        synapsor._session() ->> 'principal', synapsor._now()
    )
    on conflict on constraint redactions_pkey
    do update set
        method = excluded.method, reason = excluded.reason, declared_by = excluded.declared_by,
        declared_at = excluded.declared_at
    returning known.data_class, known.field_path, known.method, known.reason, known.declared_by, known.declared_at
    into declared;
    return declared;
end;
$function$;

grant execute on function synapsor.declare_redaction to synapsor_admin;

comment on function synapsor.declare_redaction is
'Redacts a field of a class of documents whenever views and explanations show them to readers
without synapsor_auditor; declaring the same field again replaces its method. field_path: field
names joined by dots, from the root of the payload; arrays on the way stand for each of their
elements. Classes: asset_event (payloads of synapsor_events), action_evidence (arguments, parameters
and results of actions), raw_payload (details of external action events, so response.…, evidence.…
or confirmation.response.…), evidence_packet (metadata of policy evaluations, evidence of run
steps), read_model (input and output of runs and steps), access_event (none is shown yet). Methods:
nullify, mask (all but the last four characters), hash (sha256_…), tokenize (a stable surrogate),
generalize (the year of a date, the first digit of a number, the first letter of a text), drop.
Errors: SY002. Source:
reference/pipeline.md, B.9.';
