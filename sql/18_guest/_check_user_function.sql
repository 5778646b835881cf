create or replace function synapsor._check_user_function(
    signature text, argument_types text[], result_type text
)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
    return (synapsor._user_function(signature, argument_types, result_type)).problem;
end;
$function$;

comment on function synapsor._check_user_function(text, text[], text) is
'Null when user-supplied SQL of that signature may be called, else every reason against it, as
predicates ("is not …") joined by commas: it must be one existing function, named by schema and
argument types, SECURITY DEFINER, with a pinned search_path, in a trusted language, owned by a
role without the rights of a superuser or of the extension, and synapsor_guest must be allowed to
call it. The owner''s only.';
