create or replace function synapsor._restore_belongings(before jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set client_min_messages = 'error'
as $function$
declare
    now_held jsonb;
    item jsonb;
begin
    if before is null
        and not exists (select from pg_cursor() as cursor where cursor.is_holdable)
        and not exists (select from pg_prepared_statement() as statement where statement.from_sql)
    then
        -- Locks of the transaction stay, and end with it.
        perform pg_advisory_unlock_all();
        return;
    end if;
    now_held := synapsor._belongings();
    for item in
        select value from jsonb_array_elements(now_held -> 'cursors')
        where not coalesce(before -> 'cursors' @> jsonb_build_array(value), false)
    loop
        -- It would be run to its end at COMMIT, as the login.
        execute format('close %I', item ->> 0);
    end loop;
    for item in
        select value from jsonb_array_elements(now_held -> 'statements')
        where not coalesce(before -> 'statements' @> jsonb_build_array(value), false)
    loop
        -- The login might execute it under the name of one of its own.
        execute format('deallocate %I', item ->> 0);
    end loop;

    if coalesce(before -> 'locks', '[]') = '[]' then
        perform pg_advisory_unlock_all();
        return;
    end if;
    for item in
        select value from jsonb_array_elements(now_held -> 'locks')
        where not before -> 'locks' @> jsonb_build_array(value)
    loop
        while synapsor._turn_advisory_lock(item, false) loop
            null;
        end loop;
    end loop;
    for item in
        select value from jsonb_array_elements(before -> 'locks')
        where not coalesce(now_held -> 'locks' @> jsonb_build_array(value), false)
    loop
        if not synapsor._turn_advisory_lock(item, true) then
            raise exception using
                errcode = 'SY013',
                message = 'user-supplied SQL gave away an advisory lock of the session, '
                    'which somebody else has taken';
        end if;
    end loop;
end;
$function$;

comment on function synapsor._restore_belongings(jsonb) is
'Closes, deallocates and unlocks what was not there before, and takes back the advisory locks that
are gone. How often a lock is held cannot be told: one that was held before may be held once more,
or once less. The owner''s only.';
