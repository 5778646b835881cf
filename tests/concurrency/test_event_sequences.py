"""Sequences of events have no gaps, however many write to one subject at once."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from support.database import Database

WRITERS = 8
ROUNDS = 250

# What invoke_action does at its end, without what leads there: the verbs run as synapsor_owner.
APPEND = """
create function tests.append(action_id text, events jsonb)
returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
    return synapsor._append_events(
        jsonb_populate_record(
            null::synapsor.action_invocations,
            jsonb_build_object('action_id', action_id, 'tenant_id', 'acme', 'actor', 'alice',
                'actor_type', 'agent')
        ),
        events
    );
end
$function$;
alter function tests.append(text, jsonb) owner to synapsor_owner;
"""


@pytest.fixture
def prepared(database: Database) -> Database:
    """Give a database in which test_caller may append events of tenant acme."""
    with database.connect() as connection:
        connection.execute(APPEND)
        connection.execute("""select synapsor.bind_role('test_caller', '{"tenant_id": "acme"}')""")
    return database


def events(*subjects: str) -> str:
    return json.dumps(
        [{"type": "Counted", "subject_type": "Counter", "subject_id": name} for name in subjects]
    )


def sequences(database: Database, subject: str) -> list[int]:
    rows = database.connect().execute(
        "select sequence from synapsor.domain_events where subject_id = %s order by sequence",
        [subject],
    )
    return [sequence for (sequence,) in rows]


def attempts(database: Database, writer: int, subjects: list[str]) -> tuple[int, int]:
    """Append to all subjects in some order, round after round; return what stayed and what died."""
    chance = random.Random(writer)
    stayed = died = 0
    with psycopg.connect(database.dsn("test_caller"), autocommit=True) as connection:
        for turn in range(ROUNDS):
            chance.shuffle(subjects)
            undone = chance.random() < 0.2
            try:
                with connection.transaction(force_rollback=undone):
                    append(connection, f"act_{writer}_{turn}", events(*subjects))
                stayed += not undone
            except psycopg.errors.DeadlockDetected:
                died += 1
    return stayed, died


def append(connection: psycopg.Connection[Any], action_id: str, appended: str) -> None:
    connection.execute("select tests.append(%s, %s)", [action_id, appended])


def test_thousands_of_invocations_on_one_subject(prepared: Database) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        results = list(pool.map(lambda writer: attempts(prepared, writer, ["one"]), range(WRITERS)))
    stayed = sum(result[0] for result in results)
    assert sum(result[1] for result in results) == 0
    assert stayed > WRITERS * ROUNDS / 2
    assert sequences(prepared, "one") == list(range(1, stayed + 1))


def test_several_subjects_in_any_order_wait_and_do_not_die(prepared: Database) -> None:
    subjects = ["a", "b", "c", "d"]
    with ThreadPoolExecutor(WRITERS) as pool:
        results = list(
            pool.map(lambda writer: attempts(prepared, writer, list(subjects)), range(WRITERS))
        )
    stayed = sum(result[0] for result in results)
    assert sum(result[1] for result in results) == 0
    for subject in subjects:
        assert sequences(prepared, subject) == list(range(1, stayed + 1))


def test_who_comes_second_waits_for_the_first(prepared: Database) -> None:
    first = prepared.connect("test_caller")
    second = prepared.connect("test_caller")
    second.execute("set lock_timeout = '100 ms'")
    with first.transaction():
        append(first, "act_1", events("one", "one"))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            append(second, "act_2", events("one"))
        append(second, "act_3", events("another"))
    append(second, "act_4", events("one"))
    assert sequences(prepared, "one") == [1, 2, 3]
    assert sequences(prepared, "another") == [1]


def test_crossing_transactions_end_with_one_clean_failure(prepared: Database) -> None:
    first = prepared.connect("test_caller", autocommit=False)
    second = prepared.connect("test_caller", autocommit=False)
    append(first, "act_1", events("a"))
    append(second, "act_2", events("b"))
    with ThreadPoolExecutor(2) as pool:
        crossing = [
            pool.submit(append, first, "act_1", events("b")),
            pool.submit(append, second, "act_2", events("a")),
        ]
        errors = []
        # Whoever dies gives way at once, so that the other one can end.
        for connection, future in zip((first, second), crossing, strict=True):
            try:
                future.result(timeout=30)
                connection.commit()
            except psycopg.errors.DeadlockDetected as error:
                connection.rollback()
                errors.append(error)
    assert len(errors) == 1
    assert sequences(prepared, "a") == [1]
    assert sequences(prepared, "b") == [1]


def test_what_a_handler_leaves_outlives_no_transaction(prepared: Database) -> None:
    superuser = prepared.connect()
    superuser.execute(
        """
        create role event_app_owner;
        create schema app;
        grant usage on schema app to public;
        create function app.leaves(context jsonb, parameters jsonb) returns jsonb
        language plpgsql security definer set search_path = app, pg_temp
        as $$ begin execute parameters ->> 'sql'; return '{"success": true}'; end $$;
        alter function app.leaves(jsonb, jsonb) owner to event_app_owner;
        create function tests.call(parameters jsonb) returns jsonb
        language plpgsql security definer set search_path = pg_catalog, pg_temp
        as $$ begin
            return synapsor._call_user_function('app.leaves(jsonb,jsonb)',
                array['{}', parameters]);
        end $$;
        alter function tests.call(jsonb) owner to synapsor_owner;
        """
    )
    try:
        caller = prepared.connect("test_caller")
        for statement in (
            "set synapsor.session = 'forged'",
            "set synapsor.every_tenant = 'forged'",
            "do $$ begin set synapsor.session = 'x'; set local synapsor.session = ''; end $$",
            "select pg_advisory_lock(42)",
            "prepare application as select 1",
            "declare later cursor with hold for select 1",
        ):
            caller.execute("select tests.call(%s)", [json.dumps({"sql": statement})])
            left = caller.execute(
                """
                select coalesce(current_setting('synapsor.every_tenant', true), '')
                    || coalesce(current_setting('synapsor.session', true), '')
                    || (select count(*) from pg_prepared_statements where from_sql)
                    || (select count(*) from pg_cursors where is_holdable)
                    || (select count(*) from pg_locks
                        where locktype = 'advisory' and pid = pg_backend_pid())
                """
            ).fetchone()
            assert left == ("000",), statement
        with pytest.raises(psycopg.Error) as refused:
            caller.execute(
                "select tests.call(%s)",
                [
                    json.dumps(
                        {
                            "sql": "do $x$ begin set search_path = evil;"
                            " set local search_path = pg_catalog, pg_temp; end $x$"
                        }
                    )
                ],
            )
        assert refused.value.sqlstate == "SY013"
        caller.execute("set statement_timeout = '200 ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            caller.execute(
                "select tests.call(%s)",
                [json.dumps({"sql": "select pg_advisory_lock(42), pg_sleep(60)"})],
            )
        assert caller.execute(
            "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
        ).fetchone() == (0,)
        assert caller.execute("show search_path").fetchone() == ('"$user", public',)
    finally:
        superuser.execute("drop schema app cascade")
        superuser.execute("drop role event_app_owner")
