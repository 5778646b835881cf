create or replace function synapsor._call_user_function(signature text, arguments jsonb[])
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
    called record;
begin
    called := synapsor._user_function(
        signature, array_fill('jsonb'::text, array[cardinality(arguments)]), 'jsonb'
    );
    if called.problem is not null then
        perform synapsor._refuse_user_function(signature, called.problem);
    end if;
    return synapsor._as_guest('call', called.named, arguments, read_only => false);
end;
$function$;

comment on function synapsor._call_user_function(text, jsonb[]) is
'Calls user-supplied SQL of one or two jsonb arguments, after asking again whether it may be
called (SY013 with the reasons). Its own errors are raised as they are. The owner''s only.';
