-- Whose turn it is at a queue. Every backend keeps its own in a setting: it is a hint that nobody
-- has to lock or to trust; a backend that has none begins anywhere.
create or replace function synapsor._turn(queue text)
returns synapsor.turn
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    kept constant text := current_setting('synapsor.turn_' || md5(queue), true);
begin
    return row(
        substring(kept from ':(.+)$') collate "C", substring(kept from '^([0-9]{1,6}):')::integer
    )::synapsor.turn;
end;
$function$;

create or replace function synapsor._pass_turn(queue text, turn synapsor.turn)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    setting constant text := 'synapsor.turn_' || md5(queue);
    kept constant text := turn.used || ':' || turn.tenant_id;
begin
    if turn.tenant_id is not null and coalesce(kept, 'over:' || turn.tenant_id)
        is distinct from current_setting(setting, true)
    then
        perform set_config(setting, coalesce(kept, 'over:' || turn.tenant_id), false);
    end if;
end;
$function$;
