-- What is kept of a document from outside: all of it up to 64 KiB, above that its size and SHA-256.
-- Nothing is refused for the size of its evidence, and nobody fills the evidence.
create or replace function synapsor._bounded(document jsonb)
returns jsonb
language sql
immutable
begin atomic
    select case
        when octet_length(document::text) <= 65536 then document
        else jsonb_build_object(
            'oversized', octet_length(document::text),
            'sha256', encode(sha256(convert_to(document::text, 'UTF8')), 'hex')
        )
    end;
end;
