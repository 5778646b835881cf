-- The four functions of synapsor_guest are written so that no search_path changes what they mean,
-- and each begins by asking who it is. What users wrote may run as synapsor_guest (a row-level
-- policy, say), who may ALTER what he owns, to SECURITY INVOKER for one: the body, which he cannot
-- replace, would then run as synapsor_owner.
create or replace function synapsor._guest_look_up(signature text)
returns text
language plpgsql
stable
-- security definer: names are looked up with the rights of synapsor_guest, who will make the call
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    named oid;
begin
    if current_user operator(pg_catalog.<>) 'synapsor_guest'::pg_catalog.name then
        raise exception using
            errcode = 'insufficient_privilege',
            message = 'the trampoline synapsor._guest_look_up has been altered',
            hint = 'Make it SECURITY DEFINER and owned by synapsor_guest again.';
    end if;
    begin
        named := pg_catalog.to_regprocedure(signature)::pg_catalog.oid;
    exception
        when insufficient_privilege then
            return 'is in a schema that synapsor_guest may not use '
                '(grant usage on schema … to synapsor_guest)';
        when others then
            named := null;
    end;
    if named is null then
        return 'does not exist; it is named by schema and argument types, as in '
            'app.record_refund(jsonb,jsonb)';
    end if;
    return named::pg_catalog.text;
end;
$function$;

comment on function synapsor._guest_look_up(text) is
'The oid of the function a signature names, as text; else why there is none, as a predicate.';

grant execute on function synapsor._guest_look_up to synapsor_owner;
