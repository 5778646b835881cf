-- What a worker, an operator or a reconciliation says about an outcome: design.md section 5, rules
-- 2, 6, 8 and 9.

begin;

select plan(243);

\ir support/delivery.sql

-- Confirms with the token of the claim, unless another one or none is given (0: none).
create function tests.confirm(
    name text,
    status text,
    principal text default 'w1',
    token bigint default null,
    request text default null,
    retry_after interval default null,
    retryable boolean default null
)
returns synapsor.external_action
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform tests.worker(principal);
    return synapsor.confirm_external_action(
        tests.id(name), confirm.status, '{"object": "refund"}', request, 'declined', 'no funds',
        confirm.retry_after, confirm.retryable, nullif(coalesce(token, tests.token(name)), 0)
    );
end
$function$;

create function tests.answer(confirmed synapsor.external_action)
returns text
language sql
set search_path = pg_catalog, pg_temp
as $function$
    select confirmed.status || case when confirmed.changed then '' else ', unchanged' end;
$function$;

-- How the set-based verb judges one confirmation.
create function tests.judge(
    name text, status text, principal text default 'w1', further jsonb default '{}'
)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform tests.worker(principal);
    return concat_ws(
        ', ', case when judged.accepted then 'accepted' else judged.error_code end,
        case when judged.changed then 'changed' end, judged.status
    )
    from synapsor.confirm_external_actions(jsonb_build_array(
        jsonb_build_object(
            'action_id', tests.id(name), 'status', judge.status, 'claim_token', tests.token(name)
        ) || further
    )) as judged;
end
$function$;

create function tests.late(name text)
returns setof tests.events
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select event.* from tests.events as event
    where event.action_id = tests.id(late.name) and event.event_type = 'LateConfirmation'
    order by event.sequence;
$function$;

-- That a success is refused with this code, by either verb.
create function tests.refused(
    code text, name text, description text, principal text default 'w1', token bigint default 0
)
returns setof text
language plpgsql
as $function$
begin
    return next tests.raises(
        format('select tests.confirm(%L, %L, %L, %s)', name, 'succeeded', principal, token), code,
        description => code || ': ' || description
    );
    return next is(
        split_part(
            tests.judge(name, 'succeeded', principal, jsonb_build_object('claim_token',
            nullif(token, 0))), ',', 1
        ),
        code, code || ' from confirm_external_actions: ' || description
    );
end
$function$;

select tests.at('2026-01-01 12:00+00');


-- Success, and the same again

select tests.queued('done', 'done');
set session authorization test_worker;
select is(tests.claim('done'), 'done', 'claimed');
select tests.raises(
    format('select tests.confirm(%L, %L)', 'done', refused.status), 'SY003', '%is not an outcome',
    description => 'no outcome: ' || refused.status
)
from (values ('done'), (''), ('Succeeded'), ('queued')) as refused (status);
select tests.worker();
select tests.raises(
    format('select synapsor.confirm_external_action(%L, null)', tests.id('done')), 'SY003',
    description => 'no outcome: null'
);
create temporary table tokens as select tests.token('done') as done;
select is(
    (select row(
        confirmed.status, confirmed.changed, confirmed.provider_request_id, confirmed.response,
        confirmed.worker_principal, confirmed.attempts, confirmed.finished_at = synapsor._now(),
        confirmed.claim_token = tokens.done
    ) from tests.confirm('done', 'succeeded', request => 're_1') as confirmed, tokens)::text,
    '(succeeded,t,re_1,"{""object"": ""refund""}",w1,1,t,t)',
    'its worker confirms with what the provider answered'
);
select is(tests.stands('done'), 'succeeded Succeeded declined', 'an event is the outcome');
select is(
    tests.answer(tests.confirm('done', 'succeeded', token => repeats.token,
    request => repeats.request)),
    'succeeded, unchanged', repeats.description
)
from tokens cross join lateral (
    values
    (tokens.done, 're_1', 'an equal repeat changes nothing'),
    (0, 're_1', 'nor does one without the token'),
    (tokens.done, null, 'nor one that knows no request id')
) as repeats (token, request, description);
select tests.raises(
    format('select tests.confirm(%L, %L, token => 0, request => %L)', 'done', 'succeeded', 're_2'),
    'SY033',
    '%was confirmed otherwise by this claim', 'Stored: succeeded re_1. Given: succeeded re_2.',
    description => 'another request id is a conflict'
);
select tests.raises(
    format('select tests.confirm(%L, %L, token => 0)', 'done', conflict.status), 'SY033',
    description => 'another outcome too: ' || conflict.status
)
from (values ('failed'), ('unknown')) as conflict (status);
select tests.raises(
    format('select tests.confirm(%L, %L, %L, 0)', 'done', 'succeeded', 'w2'), 'SY032',
    description => 'another worker has no say'
);
select is(
    tests.judge('done', 'succeeded', further => jsonb_build_object('claim_token', tokens.done)),
    'accepted, succeeded', 'confirm_external_actions says the same of a repeat'
)
from tokens;
select is(
    tests.judge('done', 'failed', further => jsonb_build_object('claim_token', tokens.done)),
    'SY033, succeeded', 'and of a conflict'
)
from tokens;
select tests.queued('unbegun', 'unbegun');
select is(tests.claim('unbegun', begins => false), 'unbegun', 'a claim that never said it began');
select is(tests.answer(tests.confirm('unbegun', 'succeeded')), 'succeeded', 'may confirm too');
select tests.queued('quick', 'quick');
select is(tests.claim('quick'), 'quick', 'a first claim');
select is(
    tests.answer(tests.confirm('quick', 'succeeded', token => 0)), 'succeeded', 'needs no token'
);


-- What is refused, alike by both verbs: not claimed SY030

select tests.queued('idle', 'idle');
select tests.refused('SY030', 'idle', 'queued');
select tests.refused('SY030', 'idle', 'queued, and a token is made up', token => 12345);
select tests.queued('waiting', 'waiting', '{"approval": {"required": true}}');
select tests.refused('SY030', 'waiting', 'proposed');
select is(tests.claim('idle', begins => false), 'idle', 'claimed');
select is(
    (synapsor.release_claim(tests.id('idle'), tests.token('idle'))).status, 'queued', 'given back'
);
select tests.refused('SY030', 'idle', 'given back');
select tests.refused('SY030', 'idle', 'given back by another worker', 'w2');
select tests.queued('ended', 'ended');
select is(tests.claim('ended', begins => false), 'ended', 'claimed');
reset session authorization;
select tests.session('acme', 'alice');
select is((synapsor.cancel_external_action(tests.id('ended'))).status, 'cancelled', 'cancelled');
set session authorization test_worker;
select tests.refused('SY030', 'ended', 'cancelled under the claim');
select tests.refused('SY011', 'no such action', 'never proposed');
select tests.queued('foreign', 'foreign', tenant => 'umbrella');
select tests.refused('SY011', 'foreign', 'another tenant''s');


-- Expired SY031, also after the sweep

select tests.queued('slow', 'slow', '{"idempotency": {"idempotent": true}}');
select is(tests.claim('slow'), 'slow', 'claimed for a minute');
create temporary table slow as select tests.token('slow') as token;
select tests.advance('60 s');
select tests.refused(
    'SY031', 'slow', 'the very moment the lease ends', token => slow.token
)
from slow;
select tests.refused('SY031', 'slow', 'without a token');
select tests.sweep('0 s');
select is((tests.state('slow')).status, 'queued', 'then it is swept');
select tests.refused('SY031', 'slow', 'swept and queued again', token => slow.token) from slow;
select tests.refused(
    'SY030', 'slow', 'swept, and never this worker''s', 'w2', slow.token
)
from slow;
select is(tests.claim('slow', principal => 'w2'), 'slow', 'claimed by another');
select tests.refused(
    'SY032', 'slow', 'which another worker holds now', token => slow.token
)
from slow;
select tests.refused('SY032', 'slow', 'with the other''s token', token => tests.token('slow'));
select tests.sweep();
select tests.refused('SY031', 'slow', 'lost by the other too', token => slow.token) from slow;
select is(tests.claim('slow'), 'slow', 'claimed by the first again');
select tests.refused(
    'SY034', 'slow', 'the stale token of the first claim', token => slow.token
)
from slow;
select tests.refused('SY034', 'slow', 'no token on a later claim');
select tests.refused('SY034', 'slow', 'a token not issued yet', token => tests.token('slow') + 1);
select is(
    tests.answer(tests.confirm('slow', 'succeeded')), 'succeeded', 'the latest token is in order'
);

select tests.queued('parked', 'parked', '{"idempotency": {"idempotent": false}}');
select is(tests.claim('parked'), 'parked', 'one that cannot be repeated');
create temporary table parked as select tests.token('parked') as token;
select tests.sweep();
select tests.refused('SY031', 'parked', 'swept and unknown', token => parked.token) from parked;
reset session authorization;
select tests.session('acme', 'operator');
select is(
    (synapsor.settle_external_action(tests.id('parked'), 'succeeded')).status, 'succeeded',
    'settled'
);
set session authorization test_worker;
select tests.refused('SY031', 'parked', 'swept and settled', token => parked.token) from parked;
select tests.queued('poisoned', 'poisoned', '{"poison_after": 1}');
select is(
    tests.claim('poisoned', begins => false), 'poisoned', 'one that is poisoned by its first loss'
);
create temporary table poisoned as select tests.token('poisoned') as token;
select tests.sweep();
select tests.refused(
    'SY031', 'poisoned', 'swept and failed', token => poisoned.token
)
from poisoned;
select tests.queued('quarantined', 'quarantined');
select is(tests.claim('quarantined'), 'quarantined', 'one in flight');
create temporary table quarantined as select tests.token('quarantined') as token;
reset session authorization;
select cmp_ok(synapsor.quarantine_after_restore('a test'), '>', 0, 'all is quarantined');
select isnt(synapsor.resume('all', ''), null, 'and delivery goes on');
set session authorization test_worker;
select tests.refused(
    'SY031', 'quarantined', 'quarantined', token => quarantined.token
)
from quarantined;


-- Another's SY032, stale or missing token SY034

select tests.queued('held', 'held', '{"require_claim_token": true}');
select is(tests.claim('held'), 'held', 'a contract that requires the token');
select tests.refused('SY032', 'held', 'another worker', 'w2');
select tests.refused(
    'SY032', 'held', 'another worker that has the token', 'w2', tests.token('held')
);
select tests.refused('SY034', 'held', 'no token, on the first claim even');
select tests.refused('SY034', 'held', 'an older token', token => tests.token('held') - 1);
select is(
    tests.answer(tests.confirm('held', 'succeeded')), 'succeeded', 'with the token it is accepted'
);
select tests.refused('SY032', 'held', 'ended by another worker', 'w2');


-- Failed and queued again, then repeated

select tests.queued('retried', 'retried', '{"retry": {"max_attempts": 3}}');
select is(tests.claim('retried'), 'retried', 'claimed');
create temporary table retried as select tests.token('retried') as token;
select is(
    tests.answer(tests.confirm('retried', 'failed', request => 'req_1')), 'queued',
    'failed: queued again'
);
select is(tests.stands('retried'), 'queued RetryScheduled declined 1/0/0', 'an attempt');
select is(
    tests.answer(tests.confirm('retried', 'failed', token => retried.token, request => 'req_1')),
    'queued, unchanged', 'the same again'
)
from retried;
select is(
    tests.answer(tests.confirm('retried', 'failed', token => 0)), 'queued, unchanged',
    'without a token too'
);
select tests.refused(
    'SY033', 'retried', 'after that it did not succeed', token => retried.token
)
from retried;
select tests.raises(
    format('select tests.confirm(%L, %L, token => %s, request => %L)', 'retried', 'failed',
    retried.token, 'req_2'),
    'SY033', description => 'nor fail otherwise'
)
from retried;
select tests.advance('1 s');
select is(
    tests.claim('retried', principal => 'w2'), 'retried', 'another worker has claimed it since'
);
select is(
    tests.answer(tests.confirm('retried', 'failed', token => retried.token, request => 'req_1')),
    'claimed, unchanged', 'the same again still is no news'
)
from retried;
select is(
    tests.answer(tests.confirm('retried', 'failed', 'w2')), 'queued', 'the other fails as well'
);
select tests.advance('2 s');
select is(tests.claim('retried'), 'retried', 'the first one claims it again');
select is(
    tests.answer(tests.confirm('retried', 'failed', token => retried.token, request => 'req_1')),
    'claimed, unchanged', 'its old claim is told apart by the token'
)
from retried;
select tests.refused(
    'SY033', 'retried', 'also for a conflict', token => retried.token
)
from retried;
select is(
    (select row(confirmed.status, confirmed.attempts, confirmed.error_code, confirmed.error_message)
    from tests.confirm('retried', 'failed') as confirmed)::text,
    '(failed,3,declined,"no funds")', 'the third failure is final'
);


-- Unknown

select tests.queued('lost', 'lost');
select is(tests.claim('lost'), 'lost', 'claimed');
create temporary table lost as select tests.token('lost') as token;
select is(tests.answer(tests.confirm('lost', 'unknown')), 'unknown', 'nobody knows');
select is((tests.state('lost')).lease_expires_at, null, 'and nobody holds it');
select is(tests.answer(tests.confirm('lost', 'unknown', token => lost.token)), 'unknown, unchanged',
'still')
from lost;
select tests.refused(
    'SY033', 'lost', 'a later insight is settled, not confirmed', token => lost.token
)
from lost;
select is(tests.claim('lost'), 'nothing', 'it is not delivered again');
reset session authorization;
select tests.session('acme', 'operator');
select is(
    (synapsor.settle_external_action(tests.id('lost'), 'failed')).status, 'failed', 'it is settled'
);
set session authorization test_worker;
select is(
    tests.answer(tests.confirm('lost', 'unknown', token => lost.token)), 'failed, unchanged',
    'a repeat remains one'
)
from lost;


-- Retries: how often, and when

select tests.queued(
    'once', 'once', '{"idempotency": {"idempotent": false}, "retry": {"max_attempts": 9}}'
);
select is(tests.claim('once'), 'once', 'not idempotent');
select is(
    tests.answer(tests.confirm('once', 'failed', retryable => true)), 'failed',
    'one attempt, whatever retry says'
);
select tests.queued('final', 'final');
select is(tests.claim('final'), 'final', 'idempotent');
select is(
    tests.answer(tests.confirm('final', 'failed', retryable => false)), 'failed',
    'and not retryable: one attempt'
);
select tests.queued('after', 'after', '{"retry": {"max_attempts": 9}}');
select is(tests.claim('after'), 'after', 'the provider says when');
select is(
    (tests.confirm('after', 'failed', retry_after => '5 min')).available_at,
    synapsor._now() + interval '5 min',
    'retry_after wins over the back-off'
);
select tests.advance('4 min 59 s');
select is(tests.claim('after'), 'nothing', 'not earlier');
select tests.advance('1 s');
select is(tests.claim('after'), 'after', 'but then');
select is(
    (tests.confirm('after', 'failed', retry_after => '1 year')).available_at,
    synapsor._now() + interval '7 days',
    'a week is the most'
);
select tests.advance('7 days');
select is(tests.claim('after'), 'after', 'a week later');
select is(
    (tests.confirm('after', 'failed', retry_after => '-1 hour')).available_at, synapsor._now(),
    'a retry_after in the past is now'
);
select is(tests.claim('after'), 'after', 'it is claimed at once');
select is(
    tests.judge('after', 'failed', further => '{"retry_after": "90 s"}'),
    'accepted, changed, queued',
    'confirm_external_actions takes it too'
);
select is(
    (tests.state('after')).available_at, synapsor._now() + interval '90 s', 'and waits as long'
);

reset session authorization;
select tests.a_contract(
    '{"retry": {"max_attempts": 9, "initial": "100 ms", "multiplier": 2, "max": "1 s",
      "jitter": "full"}}',
    'test.jitter'
);
select tests.a_contract(
    '{"retry": {"max_attempts": 9, "initial": "100 ms", "multiplier": 3, "max": "1 s",
      "jitter": "none"}}',
    'test.steady'
);
select tests.a_contract(
    '{"retry": {"max_attempts": 100, "initial": "1 hour", "multiplier": 100, "max": "30 days",
      "jitter": "none"}}',
    'test.steep'
);
create temporary table delays as
select
    attempt.number,
    synapsor._back_off(contract, attempt.number) as delay
from synapsor.action_contracts as contract,
    generate_series(1, 6) as attempt (number),
    generate_series(1, 500)
where contract.action = 'test.jitter';
select ok(
    min(delays.delay) >= interval '0' and max(delays.delay) <= bound.delay,
    format('attempt %s is retried within %s', bound.number, bound.delay)
)
from delays
inner join (
    values
    (1, interval '100 ms'), (2, '200 ms'), (3, '400 ms'), (4, '800 ms'), (5, '1 s'), (6, '1 s')
) as bound (number, delay) using (number)
group by bound.number, bound.delay
order by bound.number;
select ok(
    min(delays.delay) < bound.delay * 0.1 and max(delays.delay) > bound.delay * 0.9
    and avg(delays.delay) between bound.delay * 0.4 and bound.delay * 0.6,
    format('anywhere within %s', bound.delay)
)
from delays
inner join (values (1, interval '100 ms'), (3, '400 ms'), (6, '1 s')) as bound (number,
delay) using (number)
group by bound.number, bound.delay
order by bound.number;
select is(
    array(
        select synapsor._back_off(contract, attempt.number)
        from generate_series(1, 4) as attempt (number)
        order by attempt.number
    ),
    array[interval '100 ms', '300 ms', '900 ms', '1 s'], 'without jitter exactly'
)
from synapsor.action_contracts as contract
where contract.action = 'test.steady';
select is(
    synapsor._back_off(contract, attempt.number), interval '30 days',
    'no number of attempts is too much to reckon with: ' || attempt.number
)
from synapsor.action_contracts as contract, (values (5), (20), (99)) as attempt (number)
where contract.action = 'test.steep';
select tests.queued('backs off', 'backoff');
set session authorization test_worker;
select is(tests.claim('backoff'), 'backs off', 'a plain failure');
select ok(
    (tests.confirm('backs off', 'failed')).available_at
    between synapsor._now() + interval '1 microsecond' and synapsor._now() + interval '100 ms',
    'is retried after the back-off'
);

select tests.queued('doubtful', 'doubtful', '{"retry": {"max_attempts": 2}}');
select is(tests.claim('doubtful'), 'doubtful', 'a delivery');
select tests.sweep();
select is(tests.claim('doubtful'), 'doubtful', 'is lost and repeated');
select is(
    tests.answer(tests.confirm('doubtful', 'failed')), 'unknown',
    'its failing to be repeated does not prove that nothing was done'
);
select tests.queued('certain', 'certain', '{"retry": {"max_attempts": 2}}');
select is(tests.claim('certain'), 'certain', 'another');
select tests.sweep();
select is(tests.claim('certain'), 'certain', 'is lost and repeated');
select is(
    tests.answer(tests.confirm('certain', 'failed', retryable => false)), 'failed',
    'but the provider''s final word does'
);


-- confirm_external_actions: each on its own, none raises, nothing is thrown away

select tests.worker();
select tests.raises(
    format('select synapsor.confirm_external_actions(%L)', refused.document), 'SY003',
    'confirmations are%',
    description => 'no array: ' || refused.document
)
from (values ('null'), ('{}'), ('"x"'), ('7')) as refused (document);
select tests.raises(
    'select synapsor.confirm_external_actions(null)', 'SY003', description => 'nor null'
);
select tests.raises(
    $$ select synapsor.confirm_external_actions(to_jsonb(array_fill(1, array[10001]))) $$, 'SY003',
    description => 'nor more than ten thousand'
);
select is_empty($$ select synapsor.confirm_external_actions('[]') $$, 'none is nothing');
select is(
    (select array_agg(judged.error_code || ' ' || judged.accepted order by judged.ordinality)
    from synapsor.confirm_external_actions('[null, 7, "x", [], {}, {"action_id": null}]')
    with ordinality as judged),
    array_fill('SY011 false'::text, array[6]), 'what names no action is refused, each for itself'
);

select tests.queued('one', 'batch');
select tests.queued('two', 'batch');
select tests.queued('three', 'batch');
select tests.queued('four', 'batch');
select is(tests.claim('batch'), 'one, two, three, four', 'four are claimed');
select results_eq(
    format('select * from synapsor.confirm_external_actions(%L)', jsonb_build_array(
        jsonb_build_object('action_id', tests.id('three'), 'status', 'unknown', 'claim_token',
        tests.token('three')),
        jsonb_build_object('action_id', tests.id('two'), 'status', 'failed', 'claim_token',
        tests.token('two') - 1),
        jsonb_build_object('action_id', 'act_0', 'status', 'succeeded'),
        jsonb_build_object('action_id', tests.id('one'), 'status', 'succeeded', 'claim_token',
        tests.token('one')),
        jsonb_build_object('action_id', tests.id('four'), 'status', 'failed'),
        jsonb_build_object('action_id', tests.id('one'), 'status', 'succeeded', 'claim_token',
        tests.token('one')),
        jsonb_build_object('action_id', tests.id('two'), 'status', 'perhaps')
    )),
    format(
        'values (%1$L, true, true, %2$L, null, null), (%3$L, false, false, %4$L, %5$L, %6$L), '
        '(%7$L, false, false, null, %8$L, %9$L), (%10$L, true, true, %11$L, null, null), '
        '(%12$L, true, true, %13$L, null, null), (%10$L, true, false, %11$L, null, null), '
        '(%3$L, false, false, %4$L, %14$L, %15$L)',
        tests.id('three'), 'unknown', tests.id('two'), 'claimed', 'SY034',
        format('the claim token for action %s is stale', tests.id('two')), 'act_0', 'SY011',
        'external action ''act_0'' does not exist', tests.id('one'), 'succeeded', tests.id('four'),
        'queued',
        'SY003', '''perhaps'' is not an outcome'
    ),
    'each is judged alone and answered in the order given'
);
select is(
    (select row(
        late.sequence, late.error_code, late.actor, late.detail ->> 'refused_with',
        late.detail #>> '{confirmation,status}'
    ) from tests.late('two') as late)::text,
    '(3,SY034,w1,SY034,failed)', 'the stale one is kept as evidence, the nonsense is not'
);
select is(
    (select row(judged.accepted, judged.error_code)
    from synapsor.confirm_external_actions(jsonb_build_array(jsonb_build_object(
        'action_id', tests.id('two'), 'status', 'succeeded'
    ) || refused.further)) as judged)::text,
    '(f,SY003)', 'refused: ' || refused.further::text
)
from (
    values
    ('{"claim_token": "x"}'::jsonb), ('{"claim_token": -1}'), ('{"claim_token": 1.5}'),
    ('{"claim_token": 12345678901234567890}'), ('{"retry_after": "soon"}'), ('{"retryable": "no"}')
) as refused (further);
select is(
    tests.judge('two', 'succeeded'), 'accepted, changed, succeeded',
    'it is still there to be confirmed'
);

select tests.queued('contradiction', 'contradiction', '{"retry": {"max_attempts": 1}}');
select is(tests.claim('contradiction'), 'contradiction', 'one claimed');
select results_eq(
    format(
        'select judged.accepted, judged.error_code '
        'from synapsor.confirm_external_actions(%L) as judged',
        jsonb_build_array(
            jsonb_build_object(
                'action_id', tests.id('contradiction'), 'status', 'failed', 'claim_token',
                tests.token('contradiction')
            ),
            jsonb_build_object(
                'action_id', tests.id('contradiction'), 'status', 'succeeded',
                'claim_token', tests.token('contradiction')
            )
        )
    ),
    $$ values (true, null), (false, 'SY033') $$,
    'of two that contradict each other the first counts'
);

select tests.queued('evidence', 'evidence');
select is(tests.claim('evidence'), 'evidence', 'a delivery');
create temporary table evidence as select tests.token('evidence') as token;
select tests.sweep();
select is(tests.claim('evidence', principal => 'w2'), 'evidence', 'lost to another worker');
select is(
    tests.judge('evidence', 'succeeded', further => jsonb_build_object(
        'claim_token', evidence.token, 'provider_request_id', 're_9', 'response', '{"id": 9}'::jsonb
    )), 'SY032, claimed', 'the first one is too late'
)
from evidence;
select is(
    (select row(
        late.error_code, late.provider_request_id, late.worker_principal, late.actor, late.status,
        late.confirmed,
        late.claim_token = evidence.token, late.detail #> '{confirmation,response}'
    ) from tests.late('evidence') as late, evidence)::text,
    '(SY032,re_9,w1,w1,claimed,,t,"{""id"": 9}")', 'what it knows is kept'
);
select is(
    tests.judge('evidence', 'succeeded', further => jsonb_build_object(
        'claim_token', evidence.token, 'provider_request_id', 're_9', 'response', '{"id": 9}'::jsonb
    )), 'SY032, claimed', 'it says so again'
)
from evidence;
select is((select count(*) from tests.late('evidence')), 1::bigint, 'the same is kept once');
select is(
    tests.judge('evidence', 'succeeded', 'w3'), 'SY032, claimed', 'a worker that never had a claim'
);
select is((select count(*) from tests.late('evidence')), 1::bigint, 'leaves no evidence');
select is(tests.stands('evidence'), 'claimed LateConfirmation SY032 2/0/1', 'the claim stands');
select is(
    tests.answer(tests.confirm('evidence', 'succeeded', 'w2')), 'succeeded',
    'and its worker confirms'
);
select is(
    tests.judge('evidence', 'failed', further => jsonb_build_object('claim_token', evidence.token)),
    'SY032, succeeded', 'even after the end'
)
from evidence;
select is(
    (select array_agg(late.sequence) from tests.late('evidence') as late), array[5, 7],
    'evidence is taken, in sequence'
);
select tests.queued('big', 'big');
select is(tests.claim('big'), 'big', 'a last one');
select is(
    tests.judge('big', 'succeeded', further => jsonb_build_object(
        'response', jsonb_build_object('blob', repeat('x', 70000)), 'provider_request_id',
        repeat('r', 300),
        'error_message', repeat('m', 3000), 'error_code', repeat('e', 300)
    )), 'accepted, changed, succeeded', 'with more to say than is kept'
);
reset session authorization;
select is(
    (select row(
        length(event.provider_request_id), length(event.error_code),
        length(event.detail ->> 'error_message'),
        event.detail #>> '{response,oversized}'
    ) from tests.events as event
    where event.action_id = tests.id('big') and event.event_type = 'Succeeded')::text,
    '(255,255,2000,70012)', 'it is cut'
);


-- Settling

select tests.queued(
    'open', 'open',
    '{"idempotency": {"idempotent": false}, "reconcile": {"operation": "refunds.find",
      "after": "1 s"}}'
);
select is(tests.claim('open'), 'open', 'a delivery');
create function tests.settle(
    name text, status text, principal text default 'operator',
    actor_type text default 'natural_person',
    token bigint default null
)
returns synapsor.external_action
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform tests.session('acme', principal, actor_type => settle.actor_type);
    return synapsor.settle_external_action(
        tests.id(name), settle.status, '{"provider_request_id": "re_7", "found": true}',
        'looked it up',
        claim_token => token
    );
end
$function$;
set session authorization test_approver;
select tests.raises(
    'select tests.settle(''open'', ''succeeded'')', 'SY014', '%is claimed, not unknown',
    description => 'what is being delivered is not settled'
);
reset session authorization;
select is(tests.answer(tests.confirm('open', 'unknown')), 'unknown', 'its outcome is unknown');
set session authorization test_approver;
select tests.raises(
    format('select tests.settle(%L, %L)', 'open', refused.status), 'SY003',
    description => 'not settled as ' || refused.status
)
from (values ('unknown'), ('done'), ('cancelled')) as refused (status);
select tests.raises(
    'select tests.settle(''open'', ''succeeded'', ''bot'', ''agent'')', 'SY007', '%decides nothing',
    description => 'an agent settles nothing'
);
select tests.raises(
    'select tests.settle(''foreign'', ''succeeded'')', 'SY011',
    description => 'nor anybody another tenant''s'
);
reset session authorization;
set session authorization test_worker;
select tests.raises(
    'select tests.settle(''open'', ''succeeded'', ''w1'', ''service_account'')', 'SY007',
    '%has not claimed%',
    description => 'nor a worker that has not claimed it to reconcile'
);
reset session authorization;
set session authorization test_caller;
select tests.raises(
    'select tests.settle(''open'', ''succeeded'')', '42501', description => 'nor a caller'
);
reset session authorization;
set session authorization test_approver;
select is(
    (select row(
        settled.status, settled.changed, settled.provider_request_id, settled.response,
        settled.finished_at = synapsor._now()
    ) from tests.settle('open', 'succeeded') as settled)::text,
    '(succeeded,t,re_7,"{""found"": true, ""provider_request_id"": ""re_7""}",t)',
    'a person settles it with evidence'
);
select is(tests.stands('open'), 'succeeded Settled', 'which is an event');
select is(
    tests.answer(tests.settle('open', 'succeeded')), 'succeeded, unchanged',
    'the same again changes nothing'
);
select tests.raises(
    'select tests.settle(''open'', ''failed'')', 'SY014', description => 'something else is refused'
);
select tests.raises(
    'select tests.settle(''done'', ''succeeded'')', 'SY014',
    description => 'as is what was confirmed'
);
reset session authorization;

select tests.queued(
    'asked', 'asked', '{"reconcile": {"operation": "refunds.find", "after": "1 s"}}'
);
select is(tests.claim('asked'), 'asked', 'another delivery');
select is(tests.answer(tests.confirm('asked', 'unknown')), 'unknown', 'of unknown outcome');
select tests.advance('1 s');
set session authorization test_worker;
select is(tests.claim('asked', purpose => 'reconcile'), 'asked', 'a worker asks the provider');
select tests.raises(
    'select tests.settle(''asked'', ''failed'', ''w2'', ''service_account'')', 'SY007',
    description => 'which no other worker settles'
);
select tests.advance('60 s');
select tests.raises(
    'select tests.settle(''asked'', ''failed'', ''w1'', ''service_account'')', 'SY031',
    description => 'nor the same one too late'
);
select tests.sweep('0 s');
select tests.advance('1 s');
select is(tests.claim('asked', purpose => 'reconcile'), 'asked', 'it asks again');
select tests.raises(
    'select tests.settle(''asked'', ''queued'', ''w1'', ''service_account'')', 'SY034',
    description => 'and now has to say which of its claims speaks'
);
select is(
    tests.answer(tests.settle('asked', 'failed', 'w1', 'service_account', tests.token('asked'))),
    'failed',
    'and settles in time'
);
select is(tests.stands('asked'), 'failed Settled lease_lost', 'as failed');
select is(
    tests.answer(tests.settle('asked', 'failed', 'w1', 'service_account')), 'failed, unchanged',
    'the same again changes nothing for it either'
);
select tests.raises(
    'select tests.settle(''asked'', ''succeeded'', ''w1'', ''service_account'')', 'SY007',
    description => 'something else is not its to say any more'
);
reset session authorization;

select tests.queued(
    'undone', 'undone',
    '{"idempotency": {"idempotent": false, "key": "undone:{charge_id}"},
      "deliver_within": "1 hour"}'
);
select is(tests.claim('undone'), 'undone', 'a delivery');
select tests.sweep();
select is(tests.stands('undone'), 'unknown LeaseExpired lease_lost 1/0/1', 'is lost');
select tests.advance('2 hours');
set session authorization test_approver;
select is(
    (select row(settled.status, settled.changed, settled.error_code)
    from tests.settle('undone', 'queued') as settled)::text,
    '(queued,t,)', 'known not done, it is queued'
);
select is(tests.answer(tests.settle('undone', 'queued')), 'queued, unchanged', 'once');
select is(
    tests.stands('undone'), 'queued Settled 1/0/0', 'no delivery of it is uncertain any more'
);
reset session authorization;
set session authorization test_worker;
select tests.worker();
select is(
    (select row(claimed.action_id = tests.id('undone'), claimed.idempotency_key, claimed.attempt)
    from synapsor.claim_external_actions('undone') as claimed)::text,
    '(t,undone:undone,2)', 'and delivered with the same key, in new time'
);
select is(
    tests.answer(tests.confirm('undone', 'failed')), 'failed', 'once, as it is not idempotent'
);
reset session authorization;


-- An operator's retry

create function tests.retry(
    name text, principal text default 'operator', actor_type text default 'natural_person'
)
returns synapsor.external_action
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform tests.session('acme', principal, actor_type => retry.actor_type);
    return synapsor.retry_external_action(tests.id(name), 'the account was topped up');
end
$function$;
select tests.queued(
    'redo', 'redo', '{"idempotency": {"idempotent": false, "key": "redo:{charge_id}"}}'
);
set session authorization test_approver;
select tests.raises(
    'select tests.retry(''redo'')', 'SY014', '%is queued, not failed',
    description => 'nothing to retry'
);
reset session authorization;
select is(tests.claim('redo'), 'redo', 'claimed');
create temporary table redo as select tests.token('redo') as token;
grant select on redo to public;
select is(
    (synapsor.begin_delivery(tests.id('redo'), redo.token, repeat('a', 64))).status, 'claimed',
    'begun'
)
from redo;
select is(tests.answer(tests.confirm('redo', 'failed')), 'failed', 'and failed');
select is(
    tests.judge('redo', 'succeeded', further => '{"claim_token": 999999999999999999}'),
    'SY034, failed',
    'a late confirmation brings a token of its own making'
);
select tests.advance('1 day');
set session authorization test_caller;
select tests.raises(
    'select tests.retry(''redo'')', '42501', description => 'a caller retries nothing'
);
reset session authorization;
set session authorization test_approver;
select tests.raises(
    'select tests.retry(''redo'', ''bot'', ''agent'')', 'SY007', '%decides nothing',
    description => 'nor an agent'
);
select tests.raises(
    'select tests.retry(''foreign'')', 'SY011', description => 'nor anybody another tenant''s'
);
select tests.raises('select tests.retry(''done'')', 'SY014', description => 'nor what succeeded');
select is(
    (select row(retried.status, retried.changed, retried.attempts, retried.error_code,
    retried.finished_at)
    from tests.retry('redo') as retried)::text,
    '(queued,t,0,,)', 'an approver retries it'
);
select is(tests.stands('redo'), 'queued Retried 0/0/0', 'which is an event');
select is(tests.answer(tests.retry('redo')), 'queued, unchanged', 'again, it changes nothing');
reset session authorization;
set session authorization test_worker;
select tests.worker();
select is(
    (select row(
        claimed.idempotency_key, claimed.attempt, claimed.delivery_started_at,
        claimed.claim_token = (extract(epoch from synapsor._now()) * 1000000)::bigint,
        claimed.claim_token > redo.token
    ) from redo, synapsor.claim_external_actions('redo') as claimed)::text,
    '(redo:redo#2,1,,t,t)', 'the provider is given the key''s next generation; the token goes on'
);
select is(
    (synapsor.begin_delivery(tests.id('redo'), tests.token('redo'), repeat('b', 64))).status,
    'claimed',
    'its request may differ from that of the first generation'
);
select tests.refused('SY033', 'redo', 'of the first generation', token => redo.token) from redo;
select is(tests.answer(tests.confirm('redo', 'failed')), 'failed', 'it fails again');
reset session authorization;
set session authorization test_approver;
select is(tests.answer(tests.retry('redo')), 'queued', 'and is retried again');
reset session authorization;
set session authorization test_worker;
select tests.worker();
select is(
    (select claimed.idempotency_key from synapsor.claim_external_actions('redo') as claimed),
    'redo:redo#3',
    'with the third key'
);
select is(tests.answer(tests.confirm('redo', 'succeeded')), 'succeeded', 'and succeeds at last');
reset session authorization;

select is_empty(
    $$ select open.action_id from synapsor.open_external_actions as open
    where open.action_id = tests.id('done') $$, 'nothing of what ended is open'
);
select is_empty(
    $$ select event.action_id from tests.events as event
    group by event.action_id having max(event.sequence) <> count(*) $$,
    'the events of every action count from 1 without gaps'
);
select is_empty(
    $$ select open.action_id from synapsor.open_external_actions as open
    where open.last_sequence is distinct from (
        select max(event.sequence) from tests.events as event
        where event.action_id = open.action_id
    ) $$,
    'and every state row knows its last'
);

select * from finish();
rollback;
