-- security definer: callers have no rights on the tables an intent is recorded in.
create or replace function synapsor.propose_external_action(
    action text,
    arguments jsonb,
    idempotency_key text default null,
    run_id text default null,
    step_key text default null,
    correlation_id text default null,
    causation_id text default null,
    scheduled_at timestamptz default null,
    version integer default null
)
returns synapsor.external_action
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
declare
    session constant jsonb := synapsor._session();
    contract synapsor.action_contracts;
    joined_run text;
    bound synapsor.bound_parameters[];
    proposed synapsor.external_action;
begin
    if run_id is null and step_key is null and correlation_id is null and causation_id is null
        and scheduled_at is null and not session ? 'run_id'
    then
        proposed := synapsor._propose_plainly(session, action, arguments, idempotency_key, version);
        if proposed.action_id is not null then
            return proposed;
        end if;
    end if;

    contract := synapsor._resolve_contract(action, version);
    joined_run := coalesce(run_id, session ->> 'run_id');
    bound := synapsor._bind_proposal(
        contract, session, array[arguments], array[idempotency_key], joined_run, correlation_id, causation_id,
        scheduled_at
    );
    select admitted.*
    into proposed
    from synapsor._admit(
        contract, session, bound, joined_run, step_key, correlation_id, causation_id, scheduled_at,
        raises => true, proposed_arguments => array[arguments]
    ) as admitted;
    return proposed;
end;
$function$;

grant execute on function synapsor.propose_external_action to synapsor_caller;

comment on function synapsor.propose_external_action is
'Records the intent of an external action in the caller''s transaction, next to the business
change it belongs to, and returns it: `proposed` when it needs approval, `queued` otherwise. An
equal repeat (same idempotency key, same values) returns the same action with changed = false.
Every refusal raises: SY001 unknown or retired action, SY003 invalid arguments, SY004 hidden value
overridden, SY005 no tenant or session value missing, SY007 not permitted or suspended, SY008 key
held with other values, SY009 blocked by policy, SY014 key held by an action that failed, expired,
or was rejected or cancelled, SY040 no open run.

arguments: a JSON object, at most 64 KiB. idempotency_key: 1 to 250 characters; null takes the
contract''s template, or the digest of the values. scheduled_at: not claimed before. Source:
design.md sections 4 and 5, rules 1 to 3.';
