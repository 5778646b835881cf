-- Whose turn it is at a queue. Every backend keeps its own in a setting: it is a hint that nobody
-- has to lock or to trust; a backend that has none takes up anywhere.
create or replace function synapsor._whose_turn(queue text)
returns synapsor.turn
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    kept constant text := current_setting('synapsor.turn_' || md5(queue), true);
    colon constant integer := strpos(kept, ':');
    used constant text := left(kept, colon - 1);
begin
    if coalesce(colon, 0) < 2 or colon = length(kept) then
        return null;
    end if;
    return row(
        substr(kept, colon + 1), case when used ~ '^[0-9]{1,6}$' then used::integer end
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
    kept constant text := coalesce(turn.used || ':', 'over:') || turn.tenant_id;
begin
    if kept is distinct from current_setting(setting, true) and kept is not null then
        perform set_config(setting, kept, false);
    end if;
end;
$function$;
