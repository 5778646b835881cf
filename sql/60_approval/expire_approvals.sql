-- security definer: nobody but the owner changes an action's state.
create or replace function synapsor.expire_approvals(max_actions integer default 1000)
returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return synapsor._expire('proposed', max_actions);
end;
$function$;

grant execute on function synapsor.expire_approvals to synapsor_worker, synapsor_admin;

comment on function synapsor.expire_approvals is
'Ends proposals whose time to be approved has run out, at most max_actions of the session''s
tenants, and returns their number. Callable by any scheduler whose login is bound; workers call it
too.';
