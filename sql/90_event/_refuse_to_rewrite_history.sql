create or replace function synapsor._refuse_to_rewrite_history() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    if tg_op = 'DELETE' and exists (
        select from synapsor.action_invocations as invocation
        where invocation.action_id = old.action_id and invocation.purged_as is not null
    ) then
        return old;
    end if;
    raise exception using
        errcode = 'object_not_in_prerequisite_state',
        message = 'events are append-only',
        detail = format('%s of synapsor.%s was refused.', tg_op, tg_table_name),
        hint = 'Use synapsor.purge to remove finished actions with all their rows.';
end;
$function$;

-- What an invocation stands for as the first event of its action is as final as the others.
create or replace function synapsor._refuse_to_rewrite_the_beginning() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    if tg_op = 'UPDATE' and (
        new.purged_as is not null
        or (new.action_id, new.tenant_id, new.actor, new.created_at, new.opened_as)
        is not distinct from (old.action_id, old.tenant_id, old.actor, old.created_at, old.opened_as)
    ) then
        return new;
    end if;
    if tg_op = 'DELETE' and old.opened_as is null then
        return old;
    end if;
    raise exception using
        errcode = 'object_not_in_prerequisite_state',
        message = 'how an action began is append-only',
        detail = format('%s of synapsor.%s was refused.', tg_op, tg_table_name),
        hint = 'Use synapsor.purge to remove finished actions with all their rows.';
end;
$function$;

create or replace trigger beginnings_are_append_only
before update of action_id, tenant_id, actor, created_at, opened_as or delete on synapsor.action_invocations
for each row execute function synapsor._refuse_to_rewrite_the_beginning();

create or replace trigger beginnings_are_not_truncated
before truncate on synapsor.action_invocations
for each statement execute function synapsor._refuse_to_rewrite_the_beginning();

create or replace trigger external_action_events_are_append_only
before update or delete on synapsor.external_action_events
for each row execute function synapsor._refuse_to_rewrite_history();

create or replace trigger external_action_events_are_not_truncated
before truncate on synapsor.external_action_events
for each statement execute function synapsor._refuse_to_rewrite_history();
