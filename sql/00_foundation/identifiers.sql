create or replace function synapsor._ulid(prefix text, milliseconds bigint, random bytea) returns text
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
declare
    pairs constant bytea := synapsor._crockford_pairs();
begin
    -- Ten bits a pair. Of the two bytes behind a random pair only the low ten bits are used, which
    -- leaves out the bits a UUID fixes: all eighty are random.
    return prefix || encode(
        substr(pairs, 2 * ((milliseconds >> 40) & 1023)::integer + 1, 2)
        || substr(pairs, 2 * ((milliseconds >> 30) & 1023)::integer + 1, 2)
        || substr(pairs, 2 * ((milliseconds >> 20) & 1023)::integer + 1, 2)
        || substr(pairs, 2 * ((milliseconds >> 10) & 1023)::integer + 1, 2)
        || substr(pairs, 2 * (milliseconds & 1023)::integer + 1, 2)
        || substr(pairs, 2 * (get_byte(random, 0) << 8 & 768 | get_byte(random, 1)) + 1, 2)
        || substr(pairs, 2 * (get_byte(random, 2) << 8 & 768 | get_byte(random, 3)) + 1, 2)
        || substr(pairs, 2 * (get_byte(random, 4) << 8 & 768 | get_byte(random, 5)) + 1, 2)
        || substr(pairs, 2 * (get_byte(random, 6) << 8 & 768 | get_byte(random, 7)) + 1, 2)
        || substr(pairs, 2 * (get_byte(random, 8) << 8 & 768 | get_byte(random, 9)) + 1, 2)
        || substr(pairs, 2 * (get_byte(random, 10) << 8 & 768 | get_byte(random, 11)) + 1, 2)
        || substr(pairs, 2 * (get_byte(random, 12) << 8 & 768 | get_byte(random, 13)) + 1, 2)
        || substr(pairs, 2 * (get_byte(random, 14) << 8 & 768 | get_byte(random, 15)) + 1, 2),
        'escape'
    );
end
$function$;

comment on function synapsor._ulid(text, bigint, bytea) is
'A prefix and a ULID, 26 letters of Crockford''s alphabet: ten of the milliseconds, sixteen of the
low ten bits of eight times two bytes.';

grant execute on function synapsor._ulid to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

create or replace function synapsor._new_id(prefix text) returns text
language plpgsql
volatile
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
begin
    return synapsor._ulid(
        prefix, floor(date_part('epoch', synapsor._now()) * 1000)::bigint, uuid_send(gen_random_uuid())
    );
end
$function$;

comment on function synapsor._new_id(text) is
'A new identifier: the prefix (`act_`, `apr_` …) and a ULID of the database clock''s milliseconds
and eighty random bits. Identifiers of later milliseconds sort later under collation "C"; within a
millisecond the order is random.';
