-- The one door to what users wrote.
create or replace function synapsor._as_guest(
    task text, named regprocedure, arguments jsonb[], read_only boolean
)
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
    session_setting constant text :=
        coalesce(current_setting('synapsor.session', true), '');
    elevation_setting constant text :=
        coalesce(current_setting('synapsor.every_tenant', true), '');
    belongings constant jsonb := synapsor._belongings();
    kept constant jsonb := synapsor._set_session_aside();
    fence constant text := 'pg_catalog, pg_temp, ' || (kept ->> 'fence');
    result jsonb;
    is_done boolean := false;
begin
    begin
        if read_only then
            -- Cannot be turned off again inside a subtransaction; STABLE would not prevent writes.
            perform set_config('transaction_read_only', 'on', true);
        else
            -- A plain SET search_path inside would outlive this call. It shows by the fence being
            -- gone, whatever is set and however that is hidden, because no code inside sees the
            -- fence. What stood beneath cannot be read from here, so the call is undone instead.
            perform set_config('search_path', fence, true);
        end if;
        result := case task
            when 'call' then synapsor._guest_call(named, arguments)
            when 'fold' then synapsor._guest_fold(named, arguments[1], arguments[2:])
            when 'state' then synapsor._guest_state(
                arguments[1] #>> '{}', arguments[2] #>> '{}', arguments[3] #>> '{}',
                arguments[4] #>> '{}', plain_only => false
            )
        end;
        if read_only then
            is_done := true;
            raise exception 'undo';
        elsif current_setting('search_path') <> fence then
            raise exception using
                errcode = 'SY013',
                message = format(
                    '%s changed search_path beyond its own end',
                    coalesce(named::text, 'the look-up of a state')
                ),
                hint = 'Give the function a SET clause, or use SET LOCAL.';
        end if;
    exception
        when others or query_canceled or assert_failure then
            perform synapsor._put_session_back(kept);
            perform synapsor._restore_belongings(belongings);
            if not is_done then
                raise;
            end if;
            return result;
    end;
    perform synapsor._put_session_back(kept);
    -- A value set for the login's session may hide behind one of the transaction: both are set.
    perform set_config('synapsor.session', '', false);
    perform set_config('synapsor.session', session_setting, true);
    perform set_config('synapsor.every_tenant', '', false);
    perform set_config('synapsor.every_tenant', elevation_setting, true);
    perform synapsor._restore_belongings(belongings);
    return result;
end;
$function$;

comment on function synapsor._as_guest(text, regprocedure, jsonb[], boolean) is
'Runs user-supplied SQL without the rights of the extension: task `call`, with the arguments of
the function; `fold`, with the state and then the items; `state`, with table, id column, state
column and id, each a JSON string. Whether it fails or not, it puts back what that did to the
session, to session-level advisory locks, cursors WITH HOLD and prepared statements; a search_path
changed beyond the function''s end is an error (SY013). Other settings made by a plain SET,
temporary objects and LISTEN stay, as those of any function that the login calls. With read_only
nothing may be written, and nothing stays. Whether the function may be called at all is asked
before (_user_function). The owner''s only.';
