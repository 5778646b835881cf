-- The same ten conditions written out.
create or replace function pg_temp.exceeded(parameters jsonb) returns text
language plpgsql
as $function$
declare
    amount constant numeric := parameters -> 'amount_cents';
begin
    return case
        when amount > 50001 or amount > 50002 or amount > 50003 or amount > 50004 or amount > 50005
            or amount > 50006 or amount > 50007 or amount > 50008 or amount > 50009 or amount > 50010
            then 'over the limit'
    end;
end;
$function$;
create or replace function pg_temp.spent() returns float
language plpgsql
as $function$
declare
    rounds constant integer := 20000;
    parameters constant jsonb := jsonb_build_object(
        'invoice_id', 'in_1', 'target_state', 'disputed', 'amount_cents', 2500
    );
    began timestamptz := clock_timestamp();
begin
    for i in 1..rounds loop
        perform pg_temp.exceeded(parameters);
    end loop;
    return extract(epoch from clock_timestamp() - began) / rounds * 1e6;
end;
$function$;
