-- Plans as they are declared: versions, every reason at once, and the nodes the walk reads.

begin;

select plan(17);

select tests.at('2026-01-01 12:00');
select tests.session('acme', 'root');

create function tests.declared(definition jsonb)
returns text
language sql
security definer
as $function$
    select concat_ws(' ', declared.plan, declared.version, declared.nodes)
    from synapsor.declare_plan(definition) as declared
$function$;

select is(
    tests.declared('{"Name": "A", "Actions": [{"Name": "one"}]}'), 'A 1 1', 'a plan is declared by its name'
);
select is(tests.declared('{"Actions": [{"Name": "one"}], "Name": "A"}'), 'A 1 1', 'an equal one is no news');
select is(tests.declared('{"Name": "A", "Actions": [{"Name": "two"}]}'), 'A 2 1', 'another is its next version');
select is(tests.declared('{"Name": "A", "Actions": [{"Name": "one"}]}'), 'A 3 1', 'A, B, A makes three');
select is(
    tests.declared('{"Name": "A", "UniqueName": "a-1", "Actions": [{"Name": "one"}]}'), 'a-1 1 1',
    'a UniqueName names it'
);
select is(
    (
        select string_agg(
            concat_ws(' ', declared.plan, declared.version), ', ' order by declared.plan, declared.version
        )
        from synapsor.synapsor_plans as declared
    ), 'A 1, A 2, A 3, a-1 1', 'and all are shown'
);

select tests.raises(
    $$ select synapsor.declare_plan('{"Nam": "A", "Actions": [
        {"Name": "x", "ExecuteCase": "Fine", "RunAs": {"Password": "hush"}},
        {"Name": "y", "Handler": {"Type": "Echo", "Config": {"Dynamic": [
            {"Source": "s", "Target": "t", "Validation": "(("}
        ]}}}
    ]}') $$,
    'SY002', 'the definition of a plan is invalid',
    'Nam is not a known key%Name is required%ExecuteCase is none of%Password is refused%Validation is no regex%',
    description => 'every reason is told at once, those of the database too'
);
select unalike(
    tests.error($$ select synapsor.declare_plan('{"Name": "A", "Actions": [{"Name": "x",
        "RunAs": {"Password": "hush"}}]}') $$), '%hush%', 'without a secret'
);
select tests.raises('select synapsor.declare_plan(null)', 'SY002', 'a plan is a JSON object');
select tests.raises($$ select synapsor.declare_plan('[]') $$, 'SY002', 'a plan is a JSON object');
select tests.raises(
    $$ select synapsor.declare_plan(jsonb_build_object('Name', 'A', 'Description', repeat('x', 17000000))) $$,
    'SY002', '%16 MiB%'
);
select tests.raises(
    format(
        'select synapsor.declare_plan(%L)',
        '{"Name": "A", "Actions": [' || repeat('{"Name": "x", "Actions": [', 1500) || repeat(']}', 1500) || ']}'
    ), 'SY002', null, '%deep%', description => 'absurd depth is a reason, not a crash'
);
select is((select count(*) from synapsor.plans), 4::bigint, 'and nothing of all this was declared');

select tests.declared('{"Name": "B", "RunAs": {"UserName": "u"}, "Actions": [
    {"Name": "n/1", "Proxy": "queue://q", "ActionGroup": {"Name": "g"}, "Actions": [{"Name": "c"}, {"Name": "c"}],
        "Compensation": {"action": "a.undo"}}
]}');
select is(
    (
        select string_agg(concat_ws(' ', node.node, node.relation, node.segment, node.proxy), ', ' order by node.node)
        from synapsor.plan_nodes as node
        inner join synapsor.plans as declared on node.plan_id = declared.plan_id
        where declared.plan = 'B'
    ), '1 root n%2F1 q, 2 group g q, 3 child c q, 4 child c#2 q', 'nodes are kept in document order'
);
select is(
    (
        select names_compensations from synapsor.plans
        where plan = 'B'
    ), true, 'it is known to be a saga'
);
select is(
    (
        select bool_or(names_compensations) from synapsor.plans
        where plan <> 'B'
    ), false, 'and others not to be'
);
select is(
    (
        select count(*) from synapsor.plan_nodes
        where config is null and parameters is null
    ), 8::bigint,
    'what is not given is null'
);

select * from finish();
rollback;
