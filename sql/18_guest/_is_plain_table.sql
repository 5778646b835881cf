create or replace function synapsor._is_plain_table(named regclass) returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
begin
    return exists (
        select from pg_class as relation
        where relation.oid = named and relation.relkind = 'r'
            and not relation.relrowsecurity and not relation.relhassubclass
    ) and not exists (
        select from pg_index as index
        where index.indrelid = named and (index.indexprs is not null or index.indpred is not null)
    ) and not exists (
        select from pg_statistic_ext as statistics
        where statistics.stxrelid = named and statistics.stxexprs is not null
    ) and not exists (
        -- The first oid of what users make.
        select from pg_attribute as attribute
        where attribute.attrelid = named and attribute.attnum > 0 and attribute.atttypid >= 16384
    );
end;
$function$;

comment on function synapsor._is_plain_table(regclass) is
'Whether reading and locking a row of that table runs nothing that a user has written: no policy,
view, inheritance, index expression or predicate, statistics of an expression, or type of a user.';

grant execute on function synapsor._is_plain_table(regclass) to synapsor_guest;
