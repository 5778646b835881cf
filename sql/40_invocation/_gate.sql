-- Stages 0 and 1 of the pipeline: whatever is wrong here raises and leaves no row.
create or replace function synapsor._gate(
    contract synapsor.action_contracts,
    session jsonb,
    run_id text,
    is_plan boolean default false
)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    tenant constant text := session ->> 'tenant_id';
    principal constant text := session ->> 'principal';
begin
    if tenant is null then
        raise exception using
            errcode = 'SY005',
            message = 'the session names no tenant',
            detail = format('%s was asked for by %s outside of any tenant.', contract.action, quote_ident(principal)),
            hint = 'Open a session in this transaction (synapsor.open_session, synapsor.set_session), '
                'or bind the login (synapsor.bind_role).';
    end if;
    if exists (select from synapsor.suspensions) or exists (select from synapsor.modules) then
        perform synapsor._check_suspended(session);
        perform synapsor._check_entitlement(split_part(contract.action, '.', 1), tenant);
    end if;
    if contract.bounds_its_callers then
        perform synapsor._check_caller(contract, session);
    end if;
    if run_id is not null then
        perform synapsor._check_run(run_id, contract.kind, contract.action);
    elsif is_plan then
        -- The walk writes its steps itself, under its run's lock.
        return;
    elsif contract.bounds_its_callers and (contract.definition ->> 'require_run')::boolean then
        raise exception using
            errcode = 'SY040',
            message = format('%s is performed only inside a run', contract.action),
            hint = 'Start one with synapsor.start_agent_run and pass its run_id.';
    end if;
end;
$function$;

create or replace function synapsor._check_caller(contract synapsor.action_contracts, session jsonb)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    principal constant text := session ->> 'principal';
    actor_type constant text := session ->> 'actor_type';
    -- Opened once, not at every look.
    definition constant jsonb := contract.definition || '{}';
begin
    if jsonb_typeof(definition -> 'actor_types') = 'array' and not definition -> 'actor_types' ? actor_type then
        raise exception using
            errcode = 'SY007',
            message = format('%s may not be asked for by actor type %s', contract.action, actor_type),
            detail = format('The contract admits %s.', definition -> 'actor_types');
    end if;
    -- The other three actor types were authorised where they were let in
    -- (seeds/pipeline-stages.txt, stage 1).
    if actor_type in ('natural_person', 'service_account', 'integration') then
        if jsonb_array_length(definition -> 'required_roles') > 0
            and not (session -> 'roles') ?| array(select jsonb_array_elements_text(definition -> 'required_roles'))
        then
            raise exception using
                errcode = 'SY007',
                message = format('%s requires a role that %s does not hold', contract.action, quote_ident(principal)),
                detail = format('Any of these roles is enough: %s.', definition -> 'required_roles');
        end if;
        if jsonb_array_length(definition -> 'required_permissions') > 0 and exists (
            select jsonb_array_elements_text(definition -> 'required_permissions')
            except
            select unnest(member.permissions)
            from synapsor.members as member
            where member.tenant_id = session ->> 'tenant_id'
                and member.principal = _check_caller.session ->> 'principal'
        ) then
            raise exception using
                errcode = 'SY007',
                message = format(
                    '%s requires permissions that %s does not hold', contract.action, quote_ident(principal)
                ),
                detail = format('All of these are required: %s.', definition -> 'required_permissions'),
                hint = 'An administrator grants them with synapsor.set_member.';
        end if;
    end if;
end;
$function$;

-- What the caller says beside the arguments.
create or replace function synapsor._check_options(
    correlation_id text, causation_id text, scheduled_at timestamptz
)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
    if length(correlation_id) > 255 or length(causation_id) > 255 then
        raise exception using
            errcode = 'SY003',
            message = 'a correlation_id or causation_id has at most 255 characters';
    end if;
    -- Whatever shares its ordering key would wait behind it.
    if scheduled_at > synapsor._now() + interval '10 years' then
        raise exception using
            errcode = 'SY003',
            message = 'scheduled_at is more than 10 years ahead',
            hint = 'Leave it out to have the action performed at once.';
    end if;
end;
$function$;

create or replace function synapsor._check_suspended(session jsonb)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    suspension synapsor.suspensions;
begin
    select stop.* into suspension
    from synapsor.suspensions as stop
    where (stop.kind, stop.name) in (('tenant', session ->> 'tenant_id'), ('principal', session ->> 'principal'))
    limit 1;
    if found then
        raise exception using
            errcode = 'SY007',
            message = format('%s %s is suspended', suspension.kind, quote_ident(suspension.name)),
            detail = format('Reason: %s.', suspension.reason),
            hint = format('An administrator lifts it with synapsor.resume(%L, %L).', suspension.kind, suspension.name);
    end if;
end;
$function$;
