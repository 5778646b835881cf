create or replace function synapsor._require_step_key(step_key text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
begin
    if step_key is null or octet_length(step_key) not between 1 and 2048
        or step_key ~ '[[:cntrl:]]' then
        raise exception using
            errcode = 'SY003',
            message = 'a step_key has 1 to 2048 bytes and no control characters',
            hint = 'Name the step in a few words; the name is unique in its run.';
    end if;
end;
$function$;

comment on function synapsor._require_step_key(text) is 'SY003 unless the key can name a step.';
