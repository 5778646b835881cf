create or replace function synapsor._current_state(binding jsonb, entity_id text) returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
    found jsonb;
    table_name constant text := binding ->> 'table';
    reason text;
begin
    begin
        found := synapsor._guest_state(
            table_name, binding ->> 'id_column', binding ->> 'state_column', entity_id,
            plain_only => true
        );
        if found ? 'plain' then
            -- What follows may end in the handlers below.
            found := null;
            found := synapsor._as_guest(
                'state', null,
                array[
                    binding -> 'table', binding -> 'id_column', binding -> 'state_column',
                    to_jsonb(entity_id)
                ],
                read_only => false
            );
        end if;
    exception
        when insufficient_privilege then
            get stacked diagnostics reason = message_text;
            raise exception using
                errcode = 'SY007',
                message = format(
                    'the state of %s cannot be read: %s', binding ->> 'entity_type', reason
                ),
                detail = 'Tables that a state machine is bound to are read, and their rows locked, '
                    'by synapsor_guest.',
                hint = format(
                    'grant usage on schema %s to synapsor_guest; '
                    'grant select (%I, %I), update (%I) on %s to synapsor_guest;',
                    regexp_replace(table_name, '\.[^.]*$', ''),
                    binding ->> 'id_column', binding ->> 'state_column',
                    binding ->> 'state_column', table_name
                );
        when no_data_found then
            reason := null;
        when too_many_rows then
            reason := format('More than one row of %s has that id.', table_name);
        when undefined_table or undefined_column or invalid_name then
            get stacked diagnostics reason = message_text;
            reason := format('The contract is bound to a table that does not fit: %s.', reason);
        when data_exception or integrity_constraint_violation then
            -- A text that is no value of the column's type is the id of no row.
            reason := null;
    end;
    if found is null then
        raise exception using
            errcode = 'SY011',
            message = format(
                '%s %s does not exist', binding ->> 'entity_type',
                coalesce(quote_literal(left(entity_id, 64)), 'null')
            ),
            detail = coalesce(reason, format(
                'No row of %s has that id, written as the database writes it.', table_name
            )),
            hint = 'synapsor_guest looks for it, under the row-level policies of that table.';
    end if;
    return found ->> 'state';
end;
$function$;

comment on function synapsor._current_state(jsonb, text) is
'Locks the row of an entity FOR UPDATE, as synapsor_guest, and returns its state. SY011 when there
is not exactly one such row, SY007 with the missing GRANT when synapsor_guest may not. The
owner''s only.';
