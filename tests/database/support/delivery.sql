-- Actions by a name of the test's own, and what workers do with them; for the tests of delivery.

select tests.show_events();

create temporary table actions (name text primary key, action_id text);
grant select on actions to public;

-- An action named `name` of contract test.<contract>, whose queue is the contract's name unless
-- told.
create function tests.queued(
    name text,
    contract text,
    overrides jsonb default '{}',
    due timestamptz default null,
    principal text default 'alice',
    tenant text default 'acme'
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform tests.a_contract(
        jsonb_build_object('queue', contract) || overrides, 'test.' || contract
    );
    perform tests.session(tenant, principal);
    insert into pg_temp.actions
    select queued.name, proposed.action_id
    from synapsor.propose_external_action(
        'test.' || contract, jsonb_build_object('charge_id', name, 'amount_cents', 100),
        scheduled_at => due
    ) as proposed;
end
$function$;

create function tests.id(name text)
returns text
language sql
set search_path = pg_catalog, pg_temp
as $function$
    select actions.action_id from pg_temp.actions where actions.name = id.name;
$function$;

-- Everything below acts as worker w1 of acme unless told.
create function tests.worker(principal text default 'w1', tenant text default 'acme')
returns void
language sql
set search_path = pg_catalog, pg_temp
as $function$
    select tests.session(tenant, principal, actor_type => 'service_account');
$function$;

-- Claims and returns the names of what was claimed, in the order returned.
create function tests.claim(
    queue text,
    max_actions integer default 10,
    begins boolean default true,
    purpose text default 'deliver',
    principal text default 'w1',
    lease interval default null
)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform tests.worker(principal);
    return coalesce(string_agg(actions.name, ', ' order by claimed.ordinality), 'nothing')
    from synapsor.claim_external_actions(
        queue, max_actions, claim.lease, null, claim.purpose, begins
    ) with ordinality as claimed
    left join pg_temp.actions on claimed.action_id = actions.action_id;
end
$function$;

create function tests.state(name text)
returns synapsor.open_external_actions
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select open.* from synapsor.open_external_actions as open
    where open.action_id = tests.id(state.name);
$function$;

create function tests.token(name text)
returns bigint
language sql
set search_path = pg_catalog, pg_temp
as $function$
    select (tests.state(name)).claim_token;
$function$;

-- The status and why, and the counters that rule 8 goes by: attempts, claims and deliveries lost.
create function tests.stands(name text)
returns text
language sql
security definer
set search_path = pg_catalog, pg_temp
as $function$
    select concat_ws(
        ' ', event.status, event.event_type, event.error_code,
        open.attempts || '/' || open.claims_lost || '/' || open.deliveries_lost
    )
    from tests.events as event
    left join synapsor.open_external_actions as open using (action_id)
    where event.action_id = tests.id(stands.name)
    order by event.sequence desc
    limit 1;
$function$;

create function tests.sweep(step interval default '61 s')
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform tests.advance(step);
    perform tests.worker();
    return synapsor.expire_claims();
end
$function$;
