-- A lease ends without an outcome (design.md section 5, rule 8). Whoever gives it back may say why.
create or replace function synapsor._lose_claim(
    open synapsor.open_external_actions,
    event_type text,
    delay interval,
    error_code text default null,
    error_message text default null
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    lost_at constant timestamptz := synapsor._now();
    contract constant synapsor.action_contracts := synapsor._contract_of(open);
    begun boolean := open.delivery_started_at is not null;
    park_as constant text := coalesce(error_code, 'lease_lost');
    why constant jsonb := nullif(jsonb_strip_nulls(jsonb_build_object('error_message', error_message)), '{}');
begin
    if delay > interval '7 days' then
        delay := interval '7 days';
    end if;
    if open.purpose = 'reconcile' then
        perform synapsor._park(open, contract, event_type, park_as, why);
        return;
    end if;
    if begun then
        perform synapsor._record_outcome(open, true);
        open.deliveries_lost := open.deliveries_lost + 1;
        if not synapsor._may_repeat(open, contract, lost_at + coalesce(delay, interval '0') + contract.lease) then
            perform synapsor._park(open, contract, event_type, park_as, why);
            return;
        end if;
    else
        open.attempts := open.attempts - 1;
        open.claims_lost := open.claims_lost + 1;
        if open.claims_lost >= contract.poison_after then
            if open.deliveries_lost > 0 then
                perform synapsor._park(open, contract, event_type, 'poisoned');
            else
                perform synapsor._finish(
                    open, 'Failed', 'failed', error_code => 'poisoned',
                    detail => jsonb_build_object(
                        'error_message', format('%s claims in a row were lost before delivery began', open.claims_lost)
                    )
                );
            end if;
            return;
        end if;
    end if;
    open.status := 'queued';
    open.available_at := lost_at + greatest(coalesce(delay, interval '0'), interval '0');
    open.rank := open.available_at - make_interval(mins => contract.priority);
    if error_code is not null or error_message is not null then
        open.error_code := error_code;
        open.error_message := error_message;
    end if;
    perform synapsor._move(open, event_type, detail => why, error_code => error_code);
    -- After the event, which still tells whose delivery it was.
    update synapsor.open_external_actions as stored
    set lease_expires_at = null, delivery_started_at = null
    where stored.action_id = open.action_id;
    perform synapsor._wake_workers(open.queue);
end;
$function$;
