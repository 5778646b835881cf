-- Ids by a name of the test's own.

create temporary table known (name text primary key, id text);
grant select, insert on known to public;

create function tests.remember(name text, id text) returns text
language sql
as $function$
    insert into known values (remember.name, remember.id)
    returning known.id;
$function$;

create function tests.known(name text) returns text
language sql
stable
as $function$
    select remembered.id from known as remembered where remembered.name = known.name;
$function$;
