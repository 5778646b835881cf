create or replace function synapsor._guest_state(
    table_name text, id_column text, state_column text, entity_id text, plain_only boolean
)
returns jsonb
language plpgsql
volatile
-- security definer: policies and types of the table may run anything, but without the rights of the
-- extension
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
    named regclass;
    id_type text;
    state text;
begin
    if current_user operator(pg_catalog.<>) 'synapsor_guest'::pg_catalog.name then
        raise exception using
            errcode = 'insufficient_privilege',
            message = 'the trampoline synapsor._guest_state has been altered',
            hint = 'Make it SECURITY DEFINER and owned by synapsor_guest again.';
    end if;
    named := pg_catalog.to_regclass(table_name);
    if named is null then
        raise undefined_table using
            message = pg_catalog.format('relation %s does not exist', table_name);
    end if;
    -- Without a type modifier, so that a cast never cuts an id short.
    if plain_only and not synapsor._is_plain_table(named) then
        return '{"plain": false}'::pg_catalog.jsonb;
    end if;
    select pg_catalog.format_type(attribute.atttypid, -1)
    into id_type
    from pg_catalog.pg_attribute as attribute
    inner join pg_catalog.pg_class as relation
        on relation.oid operator(pg_catalog.=) attribute.attrelid
    where attribute.attrelid operator(pg_catalog.=) named
        and attribute.attname operator(pg_catalog.=) id_column::pg_catalog.name
        and attribute.attnum operator(pg_catalog.>) 0
        and not attribute.attisdropped
        and relation.relpersistence operator(pg_catalog.<>) 't'::pg_catalog."char";
    if not found then
        raise undefined_column using
            message = pg_catalog.format(
                'column %I of relation %s does not exist', id_column, named
            );
    end if;
    -- The first condition finds the row by its index, the second insists on the id as the database
    -- writes it: one entity must not have several names.
    execute pg_catalog.format(
        'select %1$I::pg_catalog.text from %2$s '
        'where %3$I = $1::%4$s and %3$I::pg_catalog.text = $1 for update',
        state_column, named, id_column, id_type
    ) into strict state using entity_id;
    if plain_only and not synapsor._is_plain_table(named) then
        raise serialization_failure using
            message = pg_catalog.format('table %s has been altered meanwhile', named);
    end if;
    return pg_catalog.jsonb_build_object('state', state);
end;
$function$;

comment on function synapsor._guest_state(text, text, text, text, boolean) is
'Locks the one row of a table whose id has that text and returns {"state": …}; no_data_found or
too_many_rows when there is not exactly one. With plain_only it touches no table that runs what
users wrote, and returns {"plain": false}: then it is to be called through _as_guest. Callable by
synapsor_owner alone.';

grant execute on function synapsor._guest_state to synapsor_owner;
