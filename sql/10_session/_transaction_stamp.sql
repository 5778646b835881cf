create or replace function synapsor._transaction_stamp() returns bigint
language sql
stable
parallel restricted
begin atomic
    -- A double holds the microseconds of a second number exactly until the year 2255; text would
    -- change with TimeZone, and a number is not worth its time.
    select (date_part('epoch', transaction_timestamp()) * 1000000)::bigint;
end;

comment on function synapsor._transaction_stamp() is
'The transaction, as the microsecond it began: what a session is bound to.';
