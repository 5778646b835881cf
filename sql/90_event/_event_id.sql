-- Nothing of an identifier has to be stored that follows from what is: an event is the n-th of its
-- action, at a moment.
create or replace function synapsor._event_id(action_id text, sequence integer, milliseconds bigint)
returns text
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
begin
    return synapsor._ulid(
        'evt_', milliseconds, sha256(convert_to(action_id || ':' || sequence, 'UTF8'))
    );
end
$function$;

grant execute on function synapsor._event_id to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;
