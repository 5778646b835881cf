-- Redactions: declared per class of documents, applied wherever those are shown to readers without
-- synapsor_auditor, never to what is stored (reference/pipeline.md, B.9).

begin;

select plan(132);

-- Declaring.
select tests.session('acme', 'root');
set session authorization test_admin;
select is(
    (
        select row(data_class, field_path, method, reason, declared_by)::text
        from synapsor.declare_redaction('asset_event', 'card.pan', 'nullify', 'PCI')
    ),
    '(asset_event,card.pan,nullify,PCI,root)', 'declare_redaction returns the rule'
);
select is(
    (select row(method, reason)::text from synapsor.declare_redaction('asset_event', 'card.pan', 'mask')), '(mask,)',
    'the same field again replaces it'
);
select tests.raises(
    $$ select synapsor.declare_redaction('events', 'a..b', 'blur') $$, 'SY002', 'the redaction is invalid',
    E'data_class ''events'' is not %\nmethod ''blur'' is not %\nfield_path is not a path%',
    '%',
    'every reason is given at once'
);
select tests.raises($$ select synapsor.declare_redaction(null, null, null) $$, 'SY002', '%', E'%\n%\n%');
select tests.raises(format($$ select synapsor.declare_redaction('asset_event', %L, 'drop') $$, path), 'SY002')
from unnest(array['', '.', 'a.', '.a', 'a b', E'a\n', '$.a ', repeat('a', 256)]) as path;
select lives_ok(format($$ select synapsor.declare_redaction('access_event', %L, 'drop') $$, path))
from unnest(array['a', 'a-b.ä', '1', repeat('a', 255)]) as path;
select lives_ok(format('select synapsor.declare_redaction(%L, %L, %L)', class, 'nowhere.' || method, method))
from
    unnest(array[
        'asset_event', 'read_model', 'raw_payload', 'evidence_packet', 'action_evidence', 'access_event'
    ]) as class,
    unnest(array['nullify', 'mask', 'hash', 'tokenize', 'generalize', 'drop']) as method;
reset session authorization;
select ok(
    has_function_privilege(login, 'synapsor.declare_redaction(text,text,text,text)', 'execute')
    = (login = 'test_admin'),
    login || ' and declare_redaction'
)
from
    unnest(
        array[
            'test_caller', 'test_approver', 'test_worker', 'test_auditor', 'test_gateway', 'test_stranger', 'test_admin'
        ]
    ) as login;
select ok(
    not has_table_privilege(login, 'synapsor.redaction_salts', 'select')
    and not has_function_privilege(login, 'synapsor._apply_redactions(jsonb,jsonb,text)', 'execute'),
    format('%s knows no salt, and applies no rules of his own', login)
)
from unnest(array['test_caller', 'test_admin', 'test_auditor', 'test_stranger']) as login;

-- One action with everything in it. Its handler tells the six fields in its result and its event.
delete from synapsor.redactions;
create role shop_owner;
create schema app authorization shop_owner;
grant usage on schema app to synapsor_guest;
create function app.record(context jsonb, parameters jsonb)
returns jsonb
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object(
        'success', true, 'data', parameters,
        'events', jsonb_build_array(jsonb_build_object(
            'type', 'Recorded', 'subject_type', 'Person', 'subject_id', 'p1',
            'payload', parameters || '{
                "big": 123456789012345678901234567890, "list": [{"a": "other", "b": 1}, {"a": "more", "b": 2}]
            }'
        ))
    )
$$;
alter function app.record(jsonb, jsonb) owner to shop_owner;
create function app.weigh(context jsonb)
returns jsonb
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$ select jsonb_build_object('result', 'pass', 'metadata', context -> 'parameters') $$;
alter function app.weigh(jsonb) owner to shop_owner;
select synapsor.declare_policy('{"policy": "people.weigh.v1", "kind": "code", "evaluator": "app.weigh(jsonb)"}');
select synapsor.declare_action(definition::jsonb || '{
    "args": {
        "nullify": {"type": "string"}, "mask": {"type": "string"}, "hash": {"type": "string"},
        "tokenize": {"type": "string"}, "generalize": {"type": "string"}, "drop": {"type": "string"}
    },
    "policies": ["people.weigh.v1"]
}')
from unnest(array[
    '{"action": "people.record", "kind": "atomic", "handler": "app.record(jsonb,jsonb)", "emits_events": ["Recorded"]}',
    '{"action": "people.send", "queue": "q"}',
    '{"action": "people.ask", "queue": "q", "approval": {"required": true, "role": "reviewer"}}'
]) as definition;
create function tests.document()
returns jsonb
language sql
as $$ select '{
    "nullify": "secret", "mask": "4111111111111111", "hash": "secret", "tokenize": "secret",
    "generalize": "1984-05-17", "drop": "secret"
}'::jsonb $$;

-- A run with one of each; confirmed, so that there is an answer and an event of it.
create temp table made (name text, id text);
grant select, insert on made to public;
select tests.session('acme', 'alice');
set session authorization test_caller;
insert into made select
'run' as name,
run_id
from synapsor.start_agent_run('support', tests.document());
insert into made
select
'atomic' as name,
action_id
from synapsor.invoke_action(
    'people.record', tests.document(), run_id => (select id from made
where name = 'run'), step_key => 'record'
);
insert into made select
'sent' as name,
action_id
from synapsor.propose_external_action('people.send', tests.document());
insert into made select
'asked' as name,
action_id
from synapsor.propose_external_action('people.ask', tests.document());
insert into made
select
'refused' as name,
action_id
from synapsor.invoke_action('people.send', tests.document() || '{"surplus": 1}');
select synapsor.record_agent_step(
    id, 'look', input => tests.document(), output => tests.document(), evidence => tests.document()
) from made
where name = 'run';
select synapsor.complete_agent_run(id, output => tests.document()) from made
where name = 'run';
reset session authorization;
select tests.session('acme', 'wanda', actor_type => 'service_account');
set session authorization test_worker;
select
    synapsor.confirm_external_action(
        claimed.action_id, 'succeeded', tests.document(), claim_token => claimed.claim_token
    )
from synapsor.claim_external_actions('q') as claimed;
reset session authorization;

-- Every place where such a document is shown; each as text, to be compared with what each method makes of it.
create function tests.places()
returns table (place text, shown jsonb)
language sql
as $$
    select 'asset_event payload', payload from synapsor.synapsor_events where event_type = 'Recorded'
    union all
    select 'asset_event cloud event', cloud_event -> 'data' from synapsor.synapsor_events where event_type = 'Recorded'
    union all
    select 'action_evidence parameters', parameters from synapsor.synapsor_action_invocations
    where action_id = (select id from made where name = 'atomic')
    union all
    select 'action_evidence refused parameters', parameters - 'surplus' from synapsor.synapsor_action_invocations
    where action_id = (select id from made where name = 'refused')
    union all
    select 'action_evidence result', result from synapsor.synapsor_action_invocations
    where action_id = (select id from made where name = 'atomic')
    union all
    select 'action_evidence provider''s result', result from synapsor.synapsor_action_invocations
    where action_id = (select id from made where name = 'sent')
    union all
    select 'action_evidence arguments', arguments from synapsor.synapsor_external_actions
    where action_id = (select id from made where name = 'sent')
    union all
    select 'action_evidence response', response from synapsor.synapsor_external_actions
    where action_id = (select id from made where name = 'sent')
    union all
    select 'action_evidence step of a run', input from synapsor.synapsor_agent_run_steps where step_key = 'record'
    union all
    select 'action_evidence result of a step', exit_data from synapsor.synapsor_agent_run_steps
    where step_key = 'record'
    union all
    select 'raw_payload event detail', detail -> 'response' from synapsor.synapsor_external_action_events
    where action_id = (select id from made where name = 'sent') and event_type = 'Succeeded'
    union all
    select 'evidence_packet metadata', metadata from synapsor.synapsor_policy_evaluations
    where action_id = (select id from made where name = 'atomic')
    union all
    select 'evidence_packet of a step', evidence from synapsor.synapsor_agent_run_steps where step_key = 'look'
    union all
    select 'read_model step input', input from synapsor.synapsor_agent_run_steps where step_key = 'look'
    union all
    select 'read_model step output', exit_data from synapsor.synapsor_agent_run_steps where step_key = 'look'
    union all
    select 'read_model run input', input from synapsor.synapsor_agent_workflow_runs
    union all
    select 'read_model run output', output from synapsor.synapsor_agent_workflow_runs
    union all
    select 'explained ' || part, synapsor.explain_action(made.id, 'json')::jsonb #> path
    from made, (values
        ('parameters', '{action,parameters}'::text[]), ('result', '{action,result}'),
        ('event', '{domain_events,0,payload}'), ('evidence', '{policies,0,metadata}')
    ) as listed (part, path)
    where made.name = 'atomic'
    union all
    select 'explained run ' || part, synapsor.explain_agent_run(made.id, 'json')::jsonb #> path
    from made, (values
        ('input', '{run,input}'::text[]), ('action', '{steps,0,input}'), ('result', '{steps,0,exit_data}'),
        ('step', '{steps,1,input}'), ('evidence', '{steps,1,evidence}')
    ) as listed (part, path)
    where made.name = 'run'
$$;
select tests.session('acme', 'bob');
set session authorization test_caller;
-- The same, read by another login.
reset session authorization;
create function tests.as_login(login text)
returns table (place text, shown jsonb)
language plpgsql
as $$
begin
    execute format('set session authorization %I', login);
    perform tests.session('acme', 'bob');
    return query select * from tests.places();
    reset session authorization;
end;
$$;
set session authorization test_caller;
create temp table whole as select * from tests.places();
grant select on whole to public;
select is(
    (select count(*) from whole
where tests.document() <@ shown), 26::bigint,
    'without a rule every place shows its document whole'
);

reset session authorization;
select synapsor.declare_redaction(class, root || method, method)
from (values
    ('asset_event', ''),
    ('read_model', ''),
    ('raw_payload', 'response.'),
    ('evidence_packet', ''),
    ('action_evidence', '')
) as listed (class, root),
    unnest(array['nullify', 'mask', 'hash', 'tokenize', 'generalize', 'drop']) as method;
grant select, insert on made to public;
select tests.session('acme', 'bob');
set session authorization test_caller;
create temp table tokens as select distinct shown ->> 'tokenize' as token from tests.places();
grant select on tokens to public;
select
    is((select count(*) from tokens
where token ~ '^tok_[0-9a-f]{32}$'), 1::bigint, 'a surrogate is the same everywhere');
reset session authorization;
create function tests.redacted()
returns jsonb
language sql
as $$
    select jsonb_build_object(
        'nullify', null, 'mask', '************1111',
        'hash', 'sha256_' || encode(sha256('secret'), 'hex'),
        'tokenize', (select token from tokens where token like 'tok_%'), 'generalize', '1984'
    )
$$;
set session authorization test_caller;
select is(
    shown - array['list', 'big'], tests.redacted(), format('a caller sees the %s redacted', place)
) from tests.places()
order by place;
select is((shown ->> 'big')::numeric, 123456789012345678901234567890, 'what is not redacted stays exact')
from tests.places()
where place = 'asset_event payload';

reset session authorization;
select set_eq(
    format('select distinct shown - array[''list'', ''big''] from tests.as_login(%L)', login),
    'select tests.redacted()', login || ' sees nothing else'
)
from unnest(array['test_approver', 'test_worker']) as login;
select set_eq(
    format('select place, shown from tests.as_login(%L)', login),
    'select place, shown from whole',
    login || ' sees all of it'
)
from unnest(array['test_auditor', 'test_admin']) as login;

-- What a reader may see besides is not what an explanation tells him.
select tests.session('acme', 'bob');
set session authorization test_caller;
select unalike(synapsor.explain_action(id, format), '%secret%', format('explained to a caller: %s as %s', name, format))
from made, unnest(array['text', 'json']) as format
where name in ('atomic', 'sent', 'refused')
order by name, format;
select unalike(synapsor.explain_agent_run(id, format), '%secret%', format('a run explained to a caller as %s', format))
from made, unnest(array['text', 'json']) as format
where name = 'run'
order by format;
select alike(synapsor.explain_agent_run(id, 'text'), '%sha256_%', 'which tells what is left')
from made
where name = 'run';

-- Rows that verbs return are redacted like the views.
create temp table returned (verb text, shown jsonb);
grant all on returned to public;
insert into returned
select
'invoke_action parameters' as verb,
parameters
from synapsor.invoke_action('people.send', tests.document(), 'k1')
union all
select
'propose' as verb,
arguments
from synapsor.propose_external_action('people.send', tests.document(), 'k2')
union all
select
'propose again' as verb,
arguments
from synapsor.propose_external_action('people.send', tests.document(), 'k2')
union all
select
'propose many' as verb,
arguments
from synapsor.propose_external_actions('people.send', array[tests.document(), tests.document()], array['k3', 'k4'])
union all
select
'refused' as verb,
parameters - 'surplus' as shown
from synapsor.invoke_action('people.send', tests.document() || '{"surplus": 1}', 'k6')
union all
select
'preview' as verb,
'{"nullify": null}' || (synapsor.preview_action('people.send', tests.document()) -> 'arguments') as shown;
insert into returned
select
'cancel' as verb,
arguments
from
    synapsor.cancel_external_action(
        (synapsor.propose_external_action('people.send', tests.document(), 'k5')).action_id
    );
insert into returned
select
part.name,
part.document
from synapsor.invoke_action('people.record', tests.document()) as done,
    lateral (values ('handler''s parameters', done.parameters), ('handler''s result', done.result))
        as part (name, document);
insert into made select
'second' as name,
run_id
from synapsor.start_agent_run('support', tests.document());
insert into returned
select
'start run' as verb,
input
from synapsor.start_agent_run('support', tests.document())
union all
select
'step input' as verb,
input
from synapsor.record_agent_step((select id from made
where name = 'second'), 's1', input => tests.document())
union all
select
'step output' as verb,
exit_data
from synapsor.record_agent_step((select id from made
where name = 'second'), 's2', output => tests.document())
union all
select
'complete run' as verb,
output
from synapsor.complete_agent_run((select id from made
where name = 'second'), output => tests.document());
select is(shown, tests.redacted(), format('the row returned is redacted: %s', verb)) from returned
order by verb;
reset session authorization;

-- Whoever decides sees what he decides on; whoever delivers, what he delivers.
select tests.session('acme', 'rita', array['reviewer']);
set session authorization test_approver;
select is(
    (select arguments from synapsor.synapsor_pending_approvals),
    tests.document(),
    'a reviewer sees what is to be approved'
);
select is(
    (select arguments from synapsor.approve_external_action((select id from made
where name = 'asked'))),
    tests.redacted(),
    'until it is decided'
);
reset session authorization;
select tests.session('acme', 'wanda', actor_type => 'service_account');
set session authorization test_worker;
create temp table held as select * from synapsor.claim_external_actions('q', 1);
select is((select arguments from held), tests.document(), 'a worker is given what to send');
select is(
    (select arguments from synapsor.synapsor_external_actions
where action_id = (select action_id from held)),
    tests.document(), 'and sees it while he holds it'
);
select is(
    (
        select row(answer.arguments, answer.response)::text
        from held,
            synapsor.confirm_external_action(
                held.action_id, 'succeeded', tests.document(), claim_token => held.claim_token
            ) as answer
    ),
    row(tests.redacted(), tests.redacted())::text, 'not when it is done'
);
reset session authorization;

-- Nothing stored has changed.
select is(
    (select payload ->> 'nullify' from synapsor.domain_events
where event_type = 'Recorded'
order by sequence limit 1), 'secret',
    'the event is stored whole'
);
select is(
    (select input from synapsor.runs
where run_id = (select id from made
where name = 'run')), tests.document(),
    'so is the run'
);
select is(
    (
        select intent::jsonb -> 'arguments' from synapsor.action_invocations
where action_id = (select id from made
where name = 'sent')
    ),
    tests.document(), 'and the intent'
);

-- Arrays stand for their elements; a path that leads nowhere changes nothing.
delete from synapsor.redactions;
select synapsor.declare_redaction('asset_event', 'list.a', 'drop');
select synapsor.declare_redaction('asset_event', 'list.nowhere', 'nullify');
select synapsor.declare_redaction('asset_event', 'nowhere.a', 'nullify');
select synapsor.declare_redaction('action_evidence', 'list.b', 'nullify');
select tests.session('acme', 'bob');
set session authorization test_caller;
select is(
    (select payload -> 'list' from synapsor.synapsor_events
where event_type = 'Recorded'
order by sequence limit 1),
    '[{"b": 1}, {"b": 2}]', 'each element of an array is redacted'
);
select is(
    (select payload - 'list' from synapsor.synapsor_events
where event_type = 'Recorded'
order by sequence limit 1),
    (select shown - 'list' from whole
where place = 'asset_event payload'),
    'and nothing else is, nor by another class''s rules'
);
select is(
    (
        select parameters from synapsor.synapsor_action_invocations
where action_id = (select id from made
where name = 'atomic')
    ),
    tests.document(), 'one class''s rules are not another''s'
);

-- Surrogates belong to this database.
reset session authorization;
select synapsor.declare_redaction('asset_event', 'tokenize', 'tokenize');
update synapsor.redaction_salts set salt = 'another';
select tests.session('acme', 'bob');
set session authorization test_caller;
select ok(
    (select payload ->> 'tokenize' ~ '^tok_' and payload ->> 'tokenize' <> (select token from tokens)
     from synapsor.synapsor_events
where event_type = 'Recorded'
order by sequence limit 1),
    'another salt makes another surrogate'
);
reset session authorization;
select is(
    (
        select count(*) from synapsor.redaction_salts, synapsor.declare_redaction('asset_event', 'x', 'drop')
where salt = 'another'
    ),
    1::bigint, 'further rules keep the salt'
);

select * from finish();
rollback;
