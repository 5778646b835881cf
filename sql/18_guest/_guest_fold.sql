create or replace function synapsor._guest_fold(named regprocedure, state jsonb, items jsonb[])
returns jsonb
language plpgsql
volatile
-- security definer: whatever is called here must find itself without the rights of the extension
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    item jsonb;
begin
    if current_user operator(pg_catalog.<>) 'synapsor_guest'::pg_catalog.name then
        raise exception using
            errcode = 'insufficient_privilege',
            message = 'the trampoline synapsor._guest_fold has been altered',
            hint = 'Make it SECURITY DEFINER and owned by synapsor_guest again.';
    end if;
    foreach item in array items loop
        execute pg_catalog.format('select %s($1, $2)', named::pg_catalog.regproc)
        into state using state, item;
        if state is null then
            raise exception using
                errcode = 'SY013',
                message = pg_catalog.format('%s returned no state', named);
        end if;
    end loop;
    return state;
end;
$function$;

comment on function synapsor._guest_fold(regprocedure, jsonb, jsonb[]) is
'Folds items into a state as synapsor_guest: the function is called as (state, item) for one after
the other. Callable by synapsor_owner alone, through _as_guest.';

grant execute on function synapsor._guest_fold to synapsor_owner;
