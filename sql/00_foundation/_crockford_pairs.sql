create or replace function synapsor._crockford_pairs() returns bytea
language sql
immutable
parallel safe
begin atomic
    select
        string_agg(
            convert_to(substr(letters, high, 1) || substr(letters, low, 1), 'UTF8'),
            '' order by high, low
        )
    from (values ('0123456789ABCDEFGHJKMNPQRSTVWXYZ')) as alphabet (letters)
    cross join generate_series(1, 32) as high
    cross join generate_series(1, 32) as low;
end;

comment on function synapsor._crockford_pairs() is
'All 1024 pairs of letters of Crockford''s alphabet (no I, L, O, U) in order: pair n starts at
byte 2 n. Bytes, because finding a place in them takes no counting; a constant once it is planned.';

grant execute on function synapsor._crockford_pairs to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;
