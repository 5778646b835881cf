-- Takes an action's share of every budget its contract limits. Returns the limit that is exceeded,
-- and has then taken nothing; null when there is none. An approved action may exceed those limits
-- that ask for approval.
create or replace function synapsor._consume(
    contract synapsor.action_contracts,
    action_id text,
    tenant text,
    principal text,
    intent jsonb,
    is_approved boolean default false
)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    consumed_at constant timestamptz := synapsor._now();
    named constant jsonb := jsonb_build_object('tenant_id', tenant, 'principal', principal)
    || (intent -> 'arguments') || (intent -> 'hidden');
    share record;
    total numeric;
begin
    -- Budgets in one order, so that two proposals cannot wait for each other.
    for share in
        select counted.budget, counted.amount, counted.period_start, counted.most, counted.asked
        from (
            select
                jsonb_build_object(
                    'action', contract.action, 'sum', asked.value -> 'sum', 'per', asked.value -> 'per',
                    'by', (
                        select jsonb_object_agg(name, named -> name)
                        from jsonb_array_elements_text(coalesce(asked.value -> 'by', '[]')) as name
                    )
                )::text as budget,
                case
                    when asked.value ->> 'sum' is null then 1
                    else greatest((named ->> (asked.value ->> 'sum'))::numeric, 0)
                end as amount,
                date_trunc(asked.value ->> 'per', consumed_at, 'UTC') as period_start,
                (asked.value ->> 'max')::numeric as most,
                asked.value as asked
            from jsonb_array_elements(contract.definition -> 'limits') as asked
        ) as counted
        order by counted.budget collate "C"
    loop
        insert into synapsor.budgets as budget (tenant_id, budget, period_start, consumed)
        values (tenant, share.budget, share.period_start, share.amount)
        on conflict on constraint budgets_pkey do update set consumed = budget.consumed + excluded.consumed
        returning budget.consumed into total;
        insert into synapsor.budget_shares (action_id, tenant_id, budget, period_start, amount)
        values (_consume.action_id, tenant, share.budget, share.period_start, share.amount);
        if total > share.most and not (is_approved and share.asked ->> 'on_exceed' = 'approve') then
            perform synapsor._give_back(action_id);
            return share.asked;
        end if;
    end loop;
    return null;
end;
$function$;

create or replace function synapsor._give_back(action_id text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    share synapsor.budget_shares;
begin
    for share in
        select held.* from synapsor.budget_shares as held
        where held.action_id = _give_back.action_id
        order by held.budget
    loop
        update synapsor.budgets as budget
        set consumed = budget.consumed - share.amount
        where budget.tenant_id = share.tenant_id and budget.budget = share.budget
            and budget.period_start = share.period_start;
    end loop;
    delete from synapsor.budget_shares as held where held.action_id = _give_back.action_id;
end;
$function$;

create or replace function synapsor._name_exceeded(exceeded jsonb)
returns text
language sql
immutable
begin atomic
    select format(
        'the limit of %s %s per %s is exceeded', exceeded ->> 'max', coalesce(exceeded ->> 'sum', 'invocations'),
        exceeded ->> 'per'
    );
end;

-- What an exceeded limit makes of the policies' decision: another block, or a demand for approval.
create or replace function synapsor._decide_exceeded(
    decision synapsor.policy_decision, contract synapsor.action_contracts, exceeded jsonb
)
returns synapsor.policy_decision
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    decision.reason := synapsor._name_exceeded(exceeded);
    if exceeded ->> 'on_exceed' = 'approve' then
        decision.result := 'warn';
        decision.require_approval := coalesce(decision.require_approval, '{}')
        || jsonb_strip_nulls(jsonb_build_object(
            'role', contract.approval_role, 'approvals', contract.approvals_required
        ));
    else
        decision.result := 'block';
        decision.policy := null;
        decision.guidance := 'Wait for the next period, or ask for less.';
    end if;
    return decision;
end;
$function$;
