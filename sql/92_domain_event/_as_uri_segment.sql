create or replace function synapsor._as_uri_segment(value text) returns text
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
declare
    bytes constant bytea := convert_to(value, 'UTF8');
begin
    if value ~ '^[A-Za-z0-9._~-]*$' then
        return value;
    end if;
    return (
        select string_agg(
            case
                when get_byte(bytes, place) < 128
                    and chr(get_byte(bytes, place)) ~ '[A-Za-z0-9._~-]'
                    then chr(get_byte(bytes, place))
                else '%' || upper(lpad(to_hex(get_byte(bytes, place)), 2, '0'))
            end, '' order by place
        )
        from generate_series(0, octet_length(bytes) - 1) as place
    );
end;
$function$;

comment on function synapsor._as_uri_segment(text) is
'A text as one segment of a URI: each byte of its UTF-8 that is not unreserved is percent-encoded.';

grant execute on function synapsor._as_uri_segment(text) to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;
