-- What the end of one delivery tells about its provider: failed is null where it tells nothing, as
-- when the provider refused for good what it was asked for.
create or replace function synapsor._record_outcome(
    open synapsor.open_external_actions,
    failed boolean,
    retry_after interval default null
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    ended_at constant timestamptz := synapsor._now();
begin
    if not open.is_governed then
        return;
    end if;
    insert into synapsor.provider_outcomes (account_id, claim_token, recorded_at, calls, retry_after_until)
    select
        open.account_id, open.claim_token, ended_at, told.call,
        -- least passes over a null.
        ended_at + case when retry_after > interval '0' then least(retry_after, interval '7 days') end
    from synapsor.provider_accounts as known
    inner join synapsor.provider_limits as limits using (limits_id)
    cross join lateral (
        select coalesce(
            synapsor._call(limits, failed, ended_at - open.delivery_started_at), ''
        ) as call
    ) as told
    where known.account_id = open.account_id and (told.call <> '' or retry_after > interval '0');
end;
$function$;

-- The letter of a call in the window of a breaker; null where it does not count.
create or replace function synapsor._call(limits synapsor.provider_limits, failed boolean, took interval)
returns text
language sql
immutable
begin atomic
    select case
        when limits.breaker_mode not in ('enforce', 'monitor') then null
        when took >= limits.slow_call_duration then case when failed then 'F' when not failed then 'S' end
        when failed then 'f'
        when not failed then 's'
    end;
end;
