-- Helpers of the pgTAP files, loaded into the template database before the tests.
--
-- A file runs as a superuser, in one transaction that it rolls back. To act as somebody else:
--
--     set session authorization test_caller;      -- and back: reset session authorization;
--
-- which changes session_user and current_user, as a login of its own would. pgTAP and the helpers
-- below stay usable meanwhile.

create schema tests;
grant usage on schema tests to public;

comment on schema tests is 'Helpers of the pgTAP files; no part of the extension.';

-- Makes tests.events, for the rest of the transaction: every event, to whoever may read the tables
-- themselves. The extension's own view sees what its owner sees in the session.
create function tests.show_events()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    execute 'create or replace view tests.events with (security_invoker) as '
        || pg_get_viewdef('synapsor._events'::regclass);
end
$function$;


-- Stops the clock at an instant. Ends with the transaction.
create function tests.at(instant timestamptz)
returns timestamptz
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    execute format(
        'create or replace function synapsor._now() returns timestamptz language sql stable '
        'set search_path = pg_catalog, pg_temp as $sql$ select %L::timestamptz $sql$',
        instant
    );
    return instant;
end
$function$;


-- Moves the (then stopped) clock forward from where it stands.
create function tests.advance(step interval)
returns timestamptz
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return tests.at(synapsor._now() + step);
end
$function$;


-- Opens a session for the rest of the transaction, whoever asks.
create function tests.session(
    tenant text,
    principal text,
    roles text[] default '{}',
    actor_type text default 'natural_person',
    extra jsonb default '{}'
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform synapsor.set_session(
        jsonb_strip_nulls(jsonb_build_object(
            'tenant_id', tenant,
            'principal', principal,
            'roles', to_jsonb(roles),
            'actor_type', actor_type
        )) || extra
    );
end
$function$;


-- The contract of the documents, without provider limits, policies and approval, so that a proposal
-- of it is queued at once. `overrides` replaces whole top-level keys; a null removes one.
create function tests.contract(
    overrides jsonb default '{}',
    name text default 'billing.issue_refund'
)
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
begin atomic
    select jsonb_strip_nulls(
        jsonb_build_object('action', contract.name)
        || $json${
            "kind": "external",
            "description": "refunds a charge",
            "args": {
                "charge_id": {"type": "string", "required": true, "max_length": 64},
                "amount_cents": {
                    "type": "integer", "required": true, "minimum": 1, "maximum": 500000
                }
            },
            "hidden": {"tenant_id": {}, "principal": {}},
            "provider": "stripe",
            "account": "default",
            "operation": "refunds.create",
            "queue": "billing_external_actions",
            "idempotency": {
                "key": "{tenant_id}:refund:{charge_id}:{amount_cents}",
                "idempotent": true,
                "window": "24 hours"
            },
            "retry": {
                "max_attempts": 3, "initial": "100 ms", "multiplier": 2, "max": "1 s",
                "jitter": "full"
            },
            "lease": "60 s"
        }$json$::jsonb
        || contract.overrides
    );
end;


-- Declares that contract, whoever asks.
create function tests.a_contract(
    overrides jsonb default '{}',
    name text default 'billing.issue_refund'
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform synapsor.declare_action(tests.contract(a_contract.overrides, a_contract.name));
end
$function$;


-- Passes when the statement fails with that SQLSTATE and, where given, with texts LIKE these.
create function tests.raises(
    statement text,
    code text,
    message_like text default null,
    detail_like text default null,
    hint_like text default null,
    description text default null
)
returns text
language plpgsql
as $function$
declare
    found_code text;
    found_message text;
    found_detail text;
    found_hint text;
    line text := coalesce(description, format('raises %s: %s', code, statement));
begin
    begin
        execute statement;
    exception when others then
        get stacked diagnostics
            found_code = returned_sqlstate,
            found_message = message_text,
            found_detail = pg_exception_detail,
            found_hint = pg_exception_hint;
    end;
    if found_code is null then
        return fail(line) || E'\n' || diag('nothing was raised');
    elsif found_code = code
        and (message_like is null or found_message like message_like)
        and (detail_like is null or found_detail like detail_like)
        and (hint_like is null or found_hint like hint_like)
    then
        return pass(line);
    end if;
    return fail(line) || E'\n' || diag(format(
        E'raised:  %s: %s\n  detail: %s\n  hint: %s\nexpected: %s: %s\n  detail: %s\n  hint: %s',
        found_code, found_message, found_detail, found_hint,
        code, coalesce(message_like, '(any)'), coalesce(detail_like, '(any)'),
        coalesce(hint_like, '(any)')
    ));
end
$function$;

-- SQLSTATE, message, detail and hint of what a statement raises, in one text; null if nothing.
create function tests.error(statement text)
returns text
language plpgsql
as $function$
declare
    code text;
    message text;
    detail text;
    hint text;
begin
    execute statement;
    return null;
exception when others then
    get stacked diagnostics code = returned_sqlstate, message = message_text,
        detail = pg_exception_detail, hint = pg_exception_hint;
    return concat_ws('|', code, message, detail, hint);
end
$function$;
