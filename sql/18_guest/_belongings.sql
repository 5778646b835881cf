-- What outlives even a call that is rolled back.
create or replace function synapsor._belongings()
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
    me constant integer := pg_backend_pid();
    found_any boolean;
begin
    -- Hardly anybody has any, and this is asked at every call of user-supplied SQL.
    found_any := exists (
        select from pg_lock_status() as held where held.locktype = 'advisory' and held.pid = me
    ) or exists (
        select from pg_cursor() as cursor where cursor.is_holdable
    ) or exists (
        select from pg_prepared_statement() as statement where statement.from_sql
    );
    if not found_any then
        return null;
    end if;
    return jsonb_build_object(
        'locks', coalesce((
            select jsonb_agg(jsonb_build_object(
                'one', held.classid, 'two', held.objid, 'of', held.objsubid,
                'shared', held.mode = 'ShareLock'
            ))
            from pg_lock_status() as held
            where held.locktype = 'advisory' and held.pid = me and held.granted
        ), '[]'),
        'cursors', coalesce((
            select jsonb_agg(jsonb_build_array(cursor.name, cursor.statement))
            from pg_cursor() as cursor
            where cursor.is_holdable
        ), '[]'),
        'statements', coalesce((
            select jsonb_agg(jsonb_build_array(statement.name, statement.statement))
            from pg_prepared_statement() as statement
            where statement.from_sql
        ), '[]')
    );
end;
$function$;

comment on function synapsor._belongings() is
'What the login''s session has of its own: advisory locks (those of its transaction too: the
catalogue does not tell), cursors WITH HOLD, statements of PREPARE; null when there is nothing.
What _restore_belongings takes.';
