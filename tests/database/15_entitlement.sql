-- Stage 1 of the pipeline: which tenants may use a module, and what a principal must hold within its
-- tenant (design.md section 6; seeds/pipeline-stages.txt, stage 1).

begin;

select plan(110);

create function tests.rows_of(what text)
returns bigint
language sql
security definer
as $$ select count(*) from synapsor.action_invocations where action = what $$;

create function tests.asks(what text)
returns text
language plpgsql
as $$
declare
    code text;
begin
    return (synapsor.invoke_action(what, '{}')).status;
exception
    when others then
        get stacked diagnostics code = returned_sqlstate;
        return code;
end;
$$;

-- Declaring modules.
select tests.session('acme', 'root');
set session authorization test_admin;
select is(
    (select row(namespace, description, declared_by)::text from synapsor.declare_module('billing', 'money')),
    '(billing,money,root)', 'declare_module returns the module and who declared it'
);
select is(
    (synapsor.declare_module('billing')).description, 'money', 'declaring it again keeps its description'
);
select is((synapsor.declare_module('billing', 'cash')).description, 'cash', 'unless there is another one');
select lives_ok($$ select synapsor.declare_module('a') $$, 'one letter is a namespace');
select lives_ok($$ select synapsor.declare_module('a-9-') $$, 'digits and hyphens may follow');
select tests.raises(format('select synapsor.declare_module(%L)', bad), 'SY002', '%is not a namespace', '%')
from unnest(array['', 'Billing', '9a', '-a', 'a_b', 'a.b', 'a ', 'ä', E'a\n', null]) as bad;

-- Entitling tenants.
select tests.raises(
    $$ select synapsor.entitle_tenant('acme', 'nowhere') $$, 'SY011', 'module ''nowhere'' is not declared', '%',
    'Declare it with synapsor.declare_module.'
);
select tests.raises($$ select synapsor.entitle_tenant('acme', null) $$, 'SY011');
select is(
    (select row(tenant_id, namespace, enabled, decided_by)::text from synapsor.entitle_tenant('acme', 'billing')),
    '(acme,billing,t,root)', 'entitle_tenant returns the decision'
);
select is((synapsor.entitle_tenant('acme', 'billing', false)).enabled, false, 'which may be turned');
select is((synapsor.entitle_tenant('acme', 'billing', null)).enabled, false, 'an unknown decision entitles nobody');
select tests.raises($$ select synapsor.entitle_tenant('', 'billing') $$, 'SY003', 'an entitlement has a tenant');
select tests.raises($$ select synapsor.entitle_tenant(null, 'billing') $$, 'SY003');

-- Members.
select is(
    (
        select row(tenant_id, principal, roles, permissions, decided_by)::text
        from synapsor.set_member('acme', 'mia', array['clerk', null], array['refund', null])
    ),
    '(acme,mia,{clerk},{refund},root)', 'set_member returns what is held, without nulls'
);
select is(
    (select row(roles, permissions)::text from synapsor.set_member('acme', 'mia', array['auditor'])),
    '({auditor},{})', 'and replaces what was'
);
select is(
    (select row(roles, permissions)::text from synapsor.set_member('acme', 'mia', null, null)),
    '({},{})', 'null is nothing'
);
select tests.raises(format('select synapsor.set_member(%L, %L)', tenant, principal), 'SY003')
from (values ('', 'mia'), (null, 'mia'), ('acme', ''), ('acme', null)) as bad (tenant, principal);

-- Only administrators decide.
reset session authorization;
select ok(
    not pg_catalog.has_function_privilege(login, signature, 'execute') = (login <> 'test_admin'),
    format('%s by %s', signature, login)
)
from
    unnest(array[
        'test_caller', 'test_approver', 'test_worker', 'test_auditor', 'test_gateway', 'test_stranger', 'test_admin'
    ]) as login,
    unnest(array[
        'synapsor.declare_module(text,text)', 'synapsor.entitle_tenant(text,text,boolean)',
        'synapsor.set_member(text,text,text[],text[])'
    ]) as signature
order by login, signature;
select ok(
    not pg_catalog.has_table_privilege('test_admin', 'synapsor.' || name, 'select, insert, update, delete'),
    format('not even an administrator touches %s', name)
)
from unnest(array['modules', 'tenant_entitlements', 'members']) as name;

-- A tenant that is not entitled is refused, whoever asks, and nothing remains of it.
select synapsor.declare_action('{"action": "billing.bill", "args": {}, "queue": "q"}');
select synapsor.declare_action('{"action": "open.door", "args": {}, "queue": "q"}');
create temp table actor_types (name text, checked boolean);
insert into actor_types values
('natural_person', true), ('service_account', true), ('integration', true),
('agent', false), ('system', false), ('external_system', false);
grant select on actor_types to public;
create function tests.asks_as(what text, actor_type text, roles text[] default '{}', who text default 'ann')
returns text
language plpgsql
as $$
begin
    perform tests.session('acme', who, roles, actor_type);
    return tests.asks(what);
end;
$$;
set session authorization test_caller;
select is(tests.asks_as('billing.bill', name), 'SY012', format('%s of a disabled tenant', name)) from actor_types;
select is(tests.asks_as('open.door', name), 'running', format('%s, module never declared', name)) from actor_types;
select is(tests.rows_of('billing.bill'), 0::bigint, 'a tenant that is not entitled leaves no row');
select tests.raises(
    $$ select synapsor.propose_external_action('billing.bill', '{}') $$, 'SY012',
    'tenant acme is not entitled to module billing', '%', '%entitle_tenant%'
);
select tests.raises($$ select synapsor.preview_action('billing.bill', '{}') $$, 'SY012');
reset session authorization;
select synapsor.entitle_tenant('other', 'billing');
set session authorization test_caller;
select is(tests.asks_as('billing.bill', 'agent'), 'SY012', 'what another tenant may is its own');
reset session authorization;
select synapsor.entitle_tenant('acme', 'billing');
set session authorization test_caller;
select is(tests.asks_as('billing.bill', name), 'running', format('%s of an entitled tenant', name)) from actor_types;

-- Roles: any of them; permissions: all of them; three actor types were authorised elsewhere.
reset session authorization;
select synapsor.declare_action(
    '{"action": "open.roles", "args": {}, "queue": "q", "required_roles": ["clerk", "boss"]}'
);
select synapsor.declare_action(
    '{"action": "open.rights", "args": {}, "queue": "q", "required_permissions": ["a", "b"]}'
);
select synapsor.set_member('acme', 'half', '{}', array['a']);
select synapsor.set_member('acme', 'full', '{}', array['b', 'a', 'c']);
select synapsor.set_member('other', 'half', array['clerk'], array['a', 'b']);
set session authorization test_caller;
select is(
    tests.asks_as('open.roles', name, array['other']), case when checked then 'SY007' else 'running' end,
    format('%s without a required role', name)
) from actor_types;
select is(
    tests.asks_as('open.roles', name, array['boss']), 'running', format('%s with one of the required roles', name)
) from actor_types;
select is(
    tests.asks_as('open.rights', name, who => 'half'), case when checked then 'SY007' else 'running' end,
    format('%s with half of the permissions', name)
) from actor_types;
select is(
    tests.asks_as('open.rights', name, who => 'full'), 'running', format('%s with all permissions', name)
) from actor_types;
select is(
    tests.rows_of('open.roles'), 1::bigint, 'a refusal for want of a role leaves no row, equal requests leave one'
);
select is(tests.rows_of('open.rights'), 1::bigint, 'nor does one for want of a permission');
select tests.session('acme', 'half');
select tests.raises(
    $$ select synapsor.invoke_action('open.rights', '{}') $$, 'SY007', '%requires permissions that half does not hold',
    '%["a", "b"]%', '%set_member%'
);
select is(tests.asks_as('open.rights', 'natural_person', who => 'nobody'), 'SY007', 'no member row holds nothing');

-- The roles of the member row are the session's too, opened or bound.
reset session authorization;
select synapsor.set_member('acme', 'rita', array['clerk', 'reviewer']);
select synapsor.set_member('other', 'rita', array['boss']);
set session authorization test_caller;
select tests.session('acme', 'rita', array['zeta', 'clerk']);
select is(
    synapsor.current_session() -> 'roles', '["clerk", "reviewer", "zeta"]', 'an opened session holds both, each once'
);
select tests.session('acme', 'someone', array['zeta']);
select is(synapsor.current_session() -> 'roles', '["zeta"]', 'another principal holds its own only');
select is(tests.asks_as('open.roles', 'natural_person', who => 'rita'), 'running', 'a member''s role is enough');
select synapsor.close_session();
reset session authorization;
select synapsor.bind_role('test_caller', '{"tenant_id": "acme", "principal": "rita", "roles": ["zeta"]}');
set session authorization test_caller;
select is(
    synapsor.current_session() -> 'roles', '["clerk", "reviewer", "zeta"]', 'a bound session holds both'
);
reset session authorization;
select synapsor.bind_role('test_approver', '{"tenants": ["acme", "other"], "principal": "rita", "roles": ["zeta"]}');
set session authorization test_approver;
select is(synapsor.current_session() -> 'roles', '["zeta"]', 'a session of several tenants has no member row');

-- A reviewer's role may come from there.
reset session authorization;
select synapsor.declare_action(
    '{"action": "open.review", "args": {}, "queue": "q", "approval": {"required": true, "role": "reviewer"}}'
);
select tests.session('acme', 'ann');
create temp table asked as select * from synapsor.propose_external_action('open.review', '{}');
grant select on asked to public;
select tests.session('other', 'rita');
set session authorization test_approver;
select tests.session('acme', 'someone');
select tests.raises($$ select synapsor.approve_external_action(action_id) from asked $$, 'SY007');
select tests.session('acme', 'rita');
select is(
    (select approved.status from asked, synapsor.approve_external_action(asked.action_id) as approved), 'queued',
    'whose member row names the role decides'
);

reset session authorization;
select * from finish();
rollback;
