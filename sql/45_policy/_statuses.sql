-- What becomes of each, by ordinal; `held` where its key was taken.
create or replace function synapsor._statuses(
    contract synapsor.action_contracts,
    session jsonb,
    bound synapsor.bound_parameters[],
    decisions synapsor.policy_decision[],
    recorded_ids text[],
    straight_to text
)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $function$
    select array_agg(
        case
            when not parameters.action_id = any(recorded_ids) then 'held'
            when decision.result = 'block' then 'blocked_by_policy'
            when decision.result = 'error' then 'failed'
            when decision.require_approval is not null
                or contract.approval_required
                and synapsor._needs_approval(contract, parameters.intent::jsonb, session)
                then 'proposed'
            else straight_to
        end
        order by parameters.ordinal
    )
    from unnest(bound) as parameters
    left join lateral (select (decisions[parameters.ordinal]).*) as decision on true;
$function$;
