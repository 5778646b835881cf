create or replace function synapsor.explain_plan(
    plan text, parameters jsonb default '{}', format text default 'text', version integer default null
)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    most_previews constant integer := 200;
    outline jsonb;
    drawn jsonb;
begin
    perform synapsor._require_explain_format(format, 'text', 'json', 'mermaid', 'dot');
    if jsonb_typeof(coalesce(parameters, '{}')) <> 'object' then
        raise exception using
            errcode = 'SY003',
            message = 'the parameters of a plan are a JSON object',
            hint = 'Give a value for each Source of the plan''s Dynamic parameters.';
    end if;
    outline := synapsor._outline_plan(plan, version, coalesce(parameters, '{}'));
    drawn := synapsor._draw_outlook(outline || jsonb_build_object(
        'format', format,
        -- Only whoever may ask for an action is told what would come of it.
        'previews', case
            when has_function_privilege('synapsor.preview_action(text, jsonb)', 'execute')
                then synapsor._previewed_nodes(outline, most_previews)
            else '{}'
        end
    ));
    if format <> 'json' then
        return drawn ->> 'text';
    end if;
    return jsonb_pretty(jsonb_build_object(
        'plan', outline -> 'plan', 'parameters', outline -> 'parameters', 'counts', drawn -> 'counts',
        'nodes', drawn -> 'nodes'
    ));
end;
$function$;

grant execute on function synapsor.explain_plan
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor.explain_plan is
'What a plan, its latest version unless told, would do with these parameters; nothing is performed. Every node in order:
its execute case and whether it runs, may run or never runs; its handler, or that it is unknown; the parameter errors
that are certain already; its policies and what they say to the arguments (to whoever may ask for the action itself, of
the first 200 nodes whose arguments are known before a run, and where the node does not run as somebody else); the
approval it would wait for. format text, json (an object of plan, parameters, counts, nodes), mermaid or dot. Errors:
SY001 no such plan, SY003 another format, or parameters that are no object or nested deeper than 100 levels, SY051
parameters above 64 KiB.';

-- Of each node whose action and arguments are known: {"preview"}, or {"refusal"} where asking for
-- it raises. Security invoker: preview_action decides what is told.
create or replace function synapsor._previewed_nodes(outline jsonb, most integer)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    asked record;
    preview jsonb;
    previews jsonb := jsonb_build_object();
    code text;
    reason text;
begin
    for asked in
        select
            node.value ->> 'node' as node,
            node.value -> 'contract' ->> 'action' as action,
            coalesce(nullif(known.value -> 'parameters', 'null'), '{}') as arguments
        from jsonb_array_elements(outline -> 'nodes') with ordinality as node
        inner join jsonb_array_elements(outline -> 'foreseen') with ordinality as known
            on known.ordinality = node.ordinality
        where node.value -> 'handler' ->> 'kind' = 'action'
            and node.value -> 'contract' <> 'null'
            and known.value -> 'run_as' = 'null'
            and known.value -> 'known' ? 'parameters'
            and known.value -> 'errors' = '[]'
        order by node.ordinality
        limit most
    loop
        begin
            preview := synapsor.preview_action(asked.action, asked.arguments);
            previews := previews || jsonb_build_object(asked.node, jsonb_build_object(
                'preview', preview, 'violations', synapsor._named_violations(preview -> 'violations')
            ));
        exception
            when others then
                get stacked diagnostics code = returned_sqlstate, reason = message_text;
                -- A node that fails is an answer; an engine that cannot go on is not.
                if code not like 'SY%' then
                    raise;
                end if;
                previews := previews || jsonb_build_object(asked.node, jsonb_build_object(
                    'refusal', concat(code, ': ', reason)
                ));
        end;
    end loop;
    return previews;
end;
$function$;

grant execute on function synapsor._previewed_nodes
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._previewed_nodes is
'What preview_action says of the nodes of an outlined plan, by their numbers.';

-- security definer: callers may not load the embedded Python; what they pass in is all it sees
create or replace function synapsor._draw_outlook(document jsonb)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return synapsor._render_outlook(
        document || jsonb_build_object('plain', pg_catalog.getdatabaseencoding() <> 'UTF8')
    );
end;
$function$;

grant execute on function synapsor._draw_outlook
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on function synapsor._draw_outlook is
'The picture of an outlined plan: {"text", "nodes", "counts"}.';

create or replace function synapsor._render_outlook(document jsonb)
returns jsonb
language plpython3u
immutable
set search_path = pg_catalog, pg_temp
as $python$
if "outlook" not in SD:
    plpy.execute("select synapsor._load_python()")
    SD["outlook"] = GD["synapsor_python"]["outlook"]
return SD["outlook"].outlook_json(document)
$python$;

comment on function synapsor._render_outlook is 'outlook.outlook_json of the embedded package.';
