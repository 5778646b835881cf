-- Plans by a name of the test's own, and what became of their runs; after support/delivery.sql.

-- A node that ends with a status; `more` is put over it.
create function tests.node(name text, status text default 'Complete', more jsonb default '{}')
returns jsonb
language sql
as $function$
    select jsonb_build_object(
        'Name', name,
        'Handler', jsonb_build_object(
            'Type', 'EmptyHandler', 'Config', jsonb_build_object('Values', jsonb_build_object('ReturnStatus', status))
        )
    ) || more
$function$;

create function tests.nodes(variadic nodes jsonb[])
returns jsonb
language sql
as 'select to_jsonb(nodes)';

create function tests.a_plan(name text, actions jsonb, more jsonb default '{}')
returns void
language sql
security definer
as $function$
    select synapsor.declare_plan(jsonb_build_object('Name', name, 'Actions', actions) || more)
$function$;

create temporary table runs (name text primary key, run_id text);
grant select, insert, update on runs to public;

create function tests.started(name text, parameters jsonb default '{}', dry_run boolean default false)
returns text
language sql
as $function$
    with started as (
        select * from synapsor.start_plan(started.name, started.parameters, started.dry_run)
    )

    insert into pg_temp.runs select started.name, run.run_id from started as run
    on conflict on constraint runs_pkey do update set run_id = excluded.run_id
    returning (select concat_ws(' ', state, status) from started)
$function$;

create function tests.run(name text)
returns text
language sql
as 'select run_id from pg_temp.runs where name = run.name';

create function tests.run_stands(name text)
returns text
language sql
security definer
as $function$
    select concat_ws(' ', state, status)
    from synapsor.synapsor_agent_workflow_runs
    where run_id = tests.run(run_stands.name)
$function$;

-- What ran, in order: key Status/BranchStatus.
create function tests.tree(name text)
returns text
language sql
security definer
as $function$
    select string_agg(
        format('%s %s', step_key, concat_ws('/', status, branch_status)), ', ' order by sequence
    )
    from synapsor.synapsor_agent_run_steps where run_id = tests.run(tree.name)
$function$;

create function tests.step(name text, step_key text)
returns synapsor.synapsor_agent_run_steps
language sql
security definer
as $function$
    select * from synapsor.synapsor_agent_run_steps
    where run_id = tests.run(step.name) and synapsor_agent_run_steps.step_key = step.step_key
$function$;

-- Advances as a scheduler of every tenant would, whose login has no session of its own.
create function tests.advance_runs()
returns integer
language plpgsql
security definer
as $function$
declare
    advanced integer;
begin
    perform synapsor.close_session();
    perform synapsor.bind_role(session_user, '{"principal": "scheduler", "tenants": "*"}');
    advanced := synapsor.run_due_steps();
    perform synapsor.bind_role(session_user, null);
    perform tests.session('acme', 'alice');
    return advanced;
end
$function$;

-- Names the action of a step, for support/delivery.sql.
create function tests.note(name text, plan text, step_key text)
returns void
language sql
as $function$
    insert into pg_temp.actions values (note.name, (tests.step(note.plan, note.step_key)).action_id)
$function$;
