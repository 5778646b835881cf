create or replace function synapsor._explained_lines(explanation text, format text)
returns setof jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $function$
begin
    if format = 'json' then
        return next explanation::jsonb;
        return;
    end if;
    return query
    select to_jsonb(line.text)
    from string_to_table(rtrim(explanation, E'\n'), E'\n') with ordinality as line (text, number)
    order by line.number;
end;
$function$;

grant execute on function synapsor._explained_lines(text, text) to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor, synapsor_admin, synapsor_gateway;

comment on function synapsor._explained_lines(text, text) is
'An explanation as rows of a statement: one object, or a string per line.';
