create or replace function synapsor._turn_advisory_lock(lock jsonb, taken boolean)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
    wide constant bigint := (lock ->> 'one')::bigint << 32 | (lock ->> 'two')::bigint;
    -- As two keys the lock has the same halves, and another `of`.
    one constant integer := (wide >> 32)::integer;
    two constant integer := wide::bit(32)::integer;
    shared constant boolean := (lock ->> 'shared')::boolean;
begin
    if lock ->> 'of' = '1' then
        return case
            when taken and shared then pg_try_advisory_lock_shared(wide)
            when taken then pg_try_advisory_lock(wide)
            when shared then pg_advisory_unlock_shared(wide)
            else pg_advisory_unlock(wide)
        end;
    end if;
    return case
        when taken and shared then pg_try_advisory_lock_shared(one, two)
        when taken then pg_try_advisory_lock(one, two)
        when shared then pg_advisory_unlock_shared(one, two)
        else pg_advisory_unlock(one, two)
    end;
end;
$function$;

comment on function synapsor._turn_advisory_lock(jsonb, boolean) is
'Takes, if it is free, or releases a session-level advisory lock of _belongings; whether that did
anything.';
