-- By its UniqueName, else by a Name that one plan alone has.
create or replace function synapsor._resolve_plan(plan text, version integer)
returns synapsor.plans
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    resolved synapsor.plans;
begin
    select declared.* into resolved
    from synapsor.plans as declared
    where declared.plan = coalesce(
            (select same.plan from synapsor.plans as same where same.plan = _resolve_plan.plan limit 1),
            (
                select min(named.plan) from synapsor.plans as named
                where named.name = _resolve_plan.plan
                having count(distinct named.plan) = 1
            )
        )
        and (_resolve_plan.version is null or declared.version = _resolve_plan.version)
    order by declared.version desc
    limit 1;
    if not found then
        raise exception using
            errcode = 'SY001',
            message = format('plan %s%s is not declared', quote_nullable(left(plan, 200)), ' version ' || version),
            hint = 'Declare it with synapsor.declare_plan, or look for its name in synapsor.synapsor_plans.';
    end if;
    return resolved;
end;
$function$;
