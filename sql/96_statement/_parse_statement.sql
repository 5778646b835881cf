-- security definer: whoever may execute statements need not know the embedded package; computes on its argument alone
create or replace function synapsor._parse_statement(statement text)
returns jsonb
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return synapsor._read_statement(statement);
end;
$function$;

grant execute on function synapsor._parse_statement(text) to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor, synapsor_admin, synapsor_gateway;

comment on function synapsor._parse_statement(text) is
'What a statement asks for, {"verb", "arguments", "notices"}, or why it is none, {"error"}.';

create or replace function synapsor._read_statement(statement text)
returns jsonb
language plpython3u
immutable
set search_path = pg_catalog, pg_temp
as $python$
if "statement" not in SD:
    plpy.execute("select synapsor._load_python()")
    SD["statement"] = GD["synapsor_python"]["statement"]
return SD["statement"].parse_json(statement)
$python$;

comment on function synapsor._read_statement(text) is 'statement.parse_json of the embedded package.';
