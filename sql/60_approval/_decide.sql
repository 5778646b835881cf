-- An agent never decides (design.md section 3).
create or replace function synapsor._require_natural_person(session jsonb default synapsor._session())
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    actor_type constant text := session ->> 'actor_type';
begin
    if actor_type <> 'natural_person' then
        raise exception using
            errcode = 'SY007',
            message = format('actor type %s decides nothing', actor_type),
            detail = 'Approving, rejecting, settling and retrying are for natural persons.';
    end if;
end;
$function$;

-- What approving and rejecting share: who may decide, on what, and that the intent is still what it
-- was. Returns what is asked for.
create or replace function synapsor._require_reviewer(
    open synapsor.open_external_actions, action_id text, status text, session jsonb
)
returns synapsor.approval_requests
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    request synapsor.approval_requests;
    roles text[];
begin
    perform synapsor._require_natural_person(session);
    if open.status is distinct from 'proposed' then
        raise exception using
            errcode = 'SY021',
            message = format('action %s does not await approval', action_id),
            detail = format('It is %s.', status),
            hint = format('See what became of it: select synapsor.explain_action(%L).', action_id);
    end if;
    if open.expires_at <= synapsor._now() then
        raise exception using
            errcode = 'SY021',
            message = format('the proposal %s has expired', action_id),
            detail = format('It could be decided until %s.', open.expires_at),
            hint = format('See what became of it: select synapsor.explain_action(%L).', action_id);
    end if;
    select asked.* into strict request
    from synapsor.approval_requests as asked
    where asked.action_id = open.action_id;
    -- The contract's role and that of a workflow's risk: neither stands in for the other.
    roles := array_remove(array[request.role, nullif(request.risk_role, request.role)], null);
    if not coalesce(session -> 'roles', '[]') ?& roles then
        raise exception using
            errcode = 'SY007',
            message = format('action %s is decided by role %s', open.action_id, (
                select string_agg(quote_ident(role.name), ' and ' order by role.ordinality)
                from unnest(roles) with ordinality as role (name)
            )),
            detail = format('%s holds %s.', quote_ident(session ->> 'principal'), session -> 'roles');
    end if;
    return request;
end;
$function$;

create or replace function synapsor._require_undrifted(action_id text, expected_digest text)
returns synapsor.action_invocations
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    invocation synapsor.action_invocations;
begin
    select stored.* into strict invocation
    from synapsor.action_invocations as stored
    where stored.action_id = _require_undrifted.action_id;
    if expected_digest is not null and expected_digest <> encode(invocation.digest, 'hex') then
        raise exception using
            errcode = 'SY024',
            message = format('the digest of action %s is not the expected one', invocation.action_id),
            detail = format('Expected %s, found %s.', left(expected_digest, 64), encode(invocation.digest, 'hex')),
            hint = 'Look at the action again and decide on the digest shown.';
    end if;
    if sha256(convert_to(invocation.intent, 'UTF8')) <> invocation.digest then
        raise exception using
            errcode = 'SY024',
            message = format('the intent of action %s was changed after it was recorded', invocation.action_id),
            detail = format(
                'Recorded digest %s, digest of the intent now %s.', encode(invocation.digest, 'hex'),
                encode(sha256(convert_to(invocation.intent, 'UTF8')), 'hex')
            ),
            hint = 'Cancel or reject it, and find out who wrote to the table.';
    end if;
    return invocation;
end;
$function$;

create or replace function synapsor._record_verdict(
    open synapsor.open_external_actions, principal text, verdict text, note text, digest bytea
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    insert into synapsor.approvals (approval_id, action_id, tenant_id, reviewer, verdict, note, digest, decided_at)
    values (
        synapsor._new_id('apr_'), open.action_id, open.tenant_id, _record_verdict.principal, _record_verdict.verdict,
        _record_verdict.note, _record_verdict.digest, synapsor._now()
    )
    on conflict (action_id, reviewer) where voided_at is null do nothing;
    if not found then
        raise exception using
            errcode = 'SY022',
            message = format('%s has decided on action %s already', quote_ident(principal), open.action_id),
            detail = 'Each reviewer counts once.',
            hint = 'Another reviewer has to approve.';
    end if;
end;
$function$;
