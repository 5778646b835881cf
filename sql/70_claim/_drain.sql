-- Where a claim may begin to look. While somebody holds an old snapshot, what was claimed leaves its
-- entries in the indexes, and each claim would walk past all of them. A backend that drains a queue,
-- two dozen claims in a row that found all they wanted in one flow, therefore goes on behind what it claimed.
-- That passes over what became urgent meanwhile and what somebody gave back: once a second it looks
-- from the start again, and whenever it does not find enough. A hint in a setting, like whose turn
-- it is.
create or replace function synapsor._drained_to(queue text, asked_at timestamptz)
returns synapsor.drain
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $function$
declare
    kept constant text := current_setting('synapsor.drain_' || md5(queue), true);
    start synapsor.drain := synapsor._undrained();
    drain synapsor.drain;
begin
    begin
        drain := nullif(kept, '')::synapsor.drain;
    exception
        when data_exception then
            null;
    end;
    start.claims := coalesce(drain.claims, 0);
    return case when drain.looked_at between asked_at - interval '1 second' and asked_at then drain else start end;
end;
$function$;

create or replace function synapsor._drain_to(queue text, drain synapsor.drain, claimed text[], asked_at timestamptz)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    if claimed is null then
        drain := synapsor._undrained();
    else
        drain.claims := drain.claims % 1000000 + 1;
        if drain.claims >= 24 and drain.claims % 8 = 0 then
            if drain.tenant_id = '' then
                drain.looked_at := asked_at;
            end if;
            select last.tenant_id, last.account_id, last.rank, last.position
            into strict drain.tenant_id, drain.account_id, drain.rank, drain.position
            from synapsor.open_external_actions as last
            where last.action_id = any(claimed)
            order by last.rank desc, last.position desc
            limit 1;
        end if;
    end if;
    perform set_config('synapsor.drain_' || md5(queue), drain::text, false);
end;
$function$;

-- Before all that a queue has.
create or replace function synapsor._undrained()
returns synapsor.drain
language sql
immutable
begin atomic
    select row(0, '-infinity', '', 0, '-infinity', 0)::synapsor.drain;
end;
