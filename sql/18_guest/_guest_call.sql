create or replace function synapsor._guest_call(named regprocedure, arguments jsonb[])
returns jsonb
language plpgsql
volatile
-- security definer: whatever is called here must find itself without the rights of the extension
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    result jsonb;
begin
    if current_user operator(pg_catalog.<>) 'synapsor_guest'::pg_catalog.name then
        raise exception using
            errcode = 'insufficient_privilege',
            message = 'the trampoline synapsor._guest_call has been altered',
            hint = 'Make it SECURITY DEFINER and owned by synapsor_guest again.';
    end if;
    if pg_catalog.cardinality(arguments) operator(pg_catalog.=) 1 then
        execute pg_catalog.format('select %s($1)', named::pg_catalog.regproc)
        into result using arguments[1];
    else
        execute pg_catalog.format('select %s($1, $2)', named::pg_catalog.regproc)
        into result using arguments[1], arguments[2];
    end if;
    -- What it deferred would otherwise run at COMMIT: as the login, with its open session and all
    -- its rights, and too late for the invocation to say that it failed.
    if pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.=) 'off' then
        set constraints all immediate;
        set constraints all deferred;
    end if;
    return result;
end;
$function$;

comment on function synapsor._guest_call(regprocedure, jsonb[]) is
'Calls a function of one or two jsonb arguments as synapsor_guest. Constraints and triggers that
the transaction has deferred so far, the caller''s too, are checked and run before it returns;
those deferred later wait for COMMIT. Callable by synapsor_owner alone, through _as_guest.';

grant execute on function synapsor._guest_call to synapsor_owner;
