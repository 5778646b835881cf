create or replace function synapsor._refuse_user_function(signature text, problem text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    raise exception using
        errcode = 'SY013',
        message = format(
            '%s is not called: it %s', coalesce(left(signature, 200), 'null'), problem
        ),
        hint = 'User-supplied SQL is a SECURITY DEFINER function with a pinned search_path, owned '
            'by a role that is no superuser.';
end;
$function$;
