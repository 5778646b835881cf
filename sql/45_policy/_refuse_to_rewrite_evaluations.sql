create or replace function synapsor._refuse_to_rewrite_evaluations() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    -- Purge takes the rows of an invocation after the invocation itself.
    if tg_op = 'DELETE' and not exists (
        select from synapsor.action_invocations as invocation
        where invocation.action_id = old.action_id and invocation.purged_as is null
    ) then
        return old;
    end if;
    raise exception using
        errcode = 'object_not_in_prerequisite_state',
        message = 'policy evaluations are append-only',
        detail = format('%s of synapsor.%s was refused.', tg_op, tg_table_name),
        hint = 'Use synapsor.purge to remove finished actions with all their rows.';
end
$function$;

create or replace trigger policy_evaluations_are_append_only
before update or delete on synapsor.policy_evaluations
for each row execute function synapsor._refuse_to_rewrite_evaluations();

create or replace trigger policy_evaluations_are_not_truncated
before truncate on synapsor.policy_evaluations
for each statement execute function synapsor._refuse_to_rewrite_evaluations();
