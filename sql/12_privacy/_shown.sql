-- A document of a class as its reader may see it. Asked per document; views ask _has_redactions
-- first, once per statement. security definer: reads the rules and the salt, which no reader may.
create or replace function synapsor._shown(document jsonb, data_class text)
returns jsonb
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    rules jsonb;
begin
    if document is null then
        return null;
    end if;
    select jsonb_agg(jsonb_build_object('path', redaction.field_path, 'method', redaction.method)) into rules
    from synapsor.redactions as redaction
    where redaction.data_class = _shown.data_class;
    if rules is null then
        return document;
    end if;
    return synapsor._apply_redactions(document, rules, (select stored.salt from synapsor.redaction_salts as stored));
end;
$function$;

grant execute on function synapsor._shown to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

create or replace function synapsor._apply_redactions(document jsonb, rules jsonb, salt text)
returns jsonb
language plpython3u
immutable
parallel restricted
set search_path = pg_catalog, pg_temp
as $python$
    if "privacy" not in SD:
        plpy.execute("select synapsor._load_python()")
        SD["privacy"] = GD["synapsor_python"]["privacy"]
    return SD["privacy"].redact_json(document, rules, salt)
$python$;

-- Whether anything of a class is redacted for the reader.
-- security definer: reads the rules, which no reader may.
create or replace function synapsor._has_redactions(data_class text)
returns boolean
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return not synapsor._caller_has('synapsor_auditor') and exists (
        select from synapsor.redactions as redaction
        where redaction.data_class = _has_redactions.data_class
    );
end;
$function$;

grant execute on function synapsor._has_redactions to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;
