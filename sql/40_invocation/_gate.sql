-- Stages 0 and 1 of the pipeline: whatever is wrong here raises and leaves no row.
create or replace function synapsor._gate(
    contract synapsor.action_contracts,
    session jsonb,
    run_id text
)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    principal text := session ->> 'principal';
    actor_type text := session ->> 'actor_type';
    -- Opened once, not at every look.
    definition constant jsonb := contract.definition || '{}';
    suspension synapsor.suspensions;
begin
    if session ->> 'tenant_id' is null then
        raise exception using
            errcode = 'SY005',
            message = 'the session names no tenant',
            detail = format('%s was asked for by %s outside of any tenant.', contract.action, quote_ident(principal)),
            hint = 'Open a session with synapsor.open_session or synapsor.set_session in this transaction, or bind the login with synapsor.bind_role.';
    end if;
    select stop.* into suspension
    from synapsor.suspensions as stop
    where (stop.kind, stop.name) in (('tenant', session ->> 'tenant_id'), ('principal', principal))
    limit 1;
    if found then
        raise exception using
            errcode = 'SY007',
            message = format('%s %s is suspended', suspension.kind, quote_ident(suspension.name)),
            detail = format('Reason: %s.', suspension.reason),
            hint = format('An administrator lifts it with synapsor.resume(%L, %L).', suspension.kind, suspension.name);
    end if;
    if jsonb_typeof(definition -> 'actor_types') = 'array' and not definition -> 'actor_types' ? actor_type then
        raise exception using
            errcode = 'SY007',
            message = format('%s may not be asked for by actor type %s', contract.action, actor_type),
            detail = format('The contract admits %s.', definition -> 'actor_types');
    end if;
    -- The other three actor types were authorised where they were let in (seeds/pipeline-stages.txt, stage 1).
    if actor_type in ('natural_person', 'service_account', 'integration') then
        if jsonb_array_length(definition -> 'required_roles') > 0
            and not (session -> 'roles') ?| array(select jsonb_array_elements_text(definition -> 'required_roles'))
        then
            raise exception using
                errcode = 'SY007',
                message = format('%s requires a role that %s does not hold', contract.action, quote_ident(principal)),
                detail = format('Any of these roles is enough: %s.', definition -> 'required_roles');
        end if;
        if jsonb_array_length(definition -> 'required_permissions') > 0 then
            raise exception using
                errcode = 'SY007',
                message = format('%s requires permissions that %s does not hold', contract.action, quote_ident(principal)),
                detail = format('All of these are required: %s.', definition -> 'required_permissions');
        end if;
    end if;
    if run_id is not null then
        perform synapsor._check_run(run_id);
    elsif (definition ->> 'require_run')::boolean then
        raise exception using
            errcode = 'SY040',
            message = format('%s is performed only inside a run', contract.action),
            hint = 'Start one with synapsor.start_agent_run and pass its run_id.';
    end if;
end;
$function$;
