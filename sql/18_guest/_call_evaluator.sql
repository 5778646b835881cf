create or replace function synapsor._call_evaluator(signature text, context jsonb)
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $function$
declare
    called record;
begin
    called := synapsor._user_function(signature, array['jsonb'], 'jsonb');
    if called.problem is not null then
        perform synapsor._refuse_user_function(signature, called.problem);
    end if;
    return synapsor._as_guest('call', called.named, array[context], read_only => true);
end;
$function$;

comment on function synapsor._call_evaluator(text, jsonb) is
'Calls an evaluator, (context jsonb) returns jsonb, in a read-only subtransaction that is always
rolled back: a write raises 25006 and is the evaluator''s error. The owner''s only.';
