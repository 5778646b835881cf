"""Atomic actions at once: handlers that cross, reviewers and workers that race, one sequence."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import Barrier
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from concurrency.fleet import APPROVE, CANCEL, Fleet, Row, Second, call, calls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Database

WRITERS = 8
ROUNDS = 250

APPLICATION = """
create role pipeline_owner;
create schema app authorization pipeline_owner;
grant usage on schema app to synapsor_guest;
create table app.counters (id text primary key, n int not null default 0);
insert into app.counters values ('a'), ('b');
alter table app.counters owner to pipeline_owner;
create function app.work(context jsonb, parameters jsonb) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    counter text;
begin
    for counter in select jsonb_array_elements_text(parameters -> 'counters') loop
        update app.counters set n = n + 1 where id = counter;
        perform pg_sleep((parameters ->> 'pause')::float);
    end loop;
    return jsonb_build_object('success', true, 'events', jsonb_build_array(
        jsonb_build_object('type', 'Worked', 'subject_type', 'Shop', 'subject_id', 'one')
    ));
end $$;
alter function app.work(jsonb, jsonb) owner to pipeline_owner;
select synapsor.declare_action('{"action": "mail.send", "queue": "mail",
    "idempotency": {"idempotent": true}, "args": {"to": {"type": "string", "required": true}}}');
"""
CONTRACT = {
    "action": "shop.work",
    "kind": "atomic",
    "args": {
        "counters": {"type": "array", "items": {"type": "string"}},
        "pause": {"type": "number"},
        "number": {"type": "integer"},
        "mail": {"type": "string"},
    },
    "handler": "app.work(jsonb,jsonb)",
    "emits_events": ["Worked"],
}
MAILS = {
    "adapter_steps": [
        {"action": "mail.send", "input": {"to": "one"}},
        {"action": "mail.send", "input": {"to": "two"}},
    ]
}
INVOKE = "select * from synapsor.invoke_action('shop.work', %s)"
CLAIM = "select * from synapsor.claim_external_actions('mail', %s)"
CONFIRM = "select * from synapsor.confirm_external_action(%s, %s, claim_token => %s)"
RUN_DUE = "select synapsor.run_due_steps() as done"


class Shop(Fleet):
    """A fleet with an application whose handler counts."""

    @cached_property
    def admin(self) -> psycopg.Connection[Any]:
        return self.database.connect()

    @cached_property
    def caller(self) -> psycopg.Connection[Row]:
        return self.connect("test_caller")

    def connect(self, login: str, **options: Any) -> psycopg.Connection[Row]:
        """Connect so that waiting for good is a failure, not a hang."""
        return super().connect(login, options="-c statement_timeout=20s", **options)

    def declare(self, **overrides: Any) -> Shop:
        self.admin.execute(
            "select synapsor.declare_action(%s)", (json.dumps(CONTRACT | overrides),)
        )
        return self

    def invoke(self, **parameters: Any) -> Row:
        return call(self.caller, INVOKE, json.dumps({"pause": 0} | parameters))

    def counters(self) -> dict[str, int]:
        return dict(self.admin.execute("select id, n from app.counters").fetchall())

    def one(self, query: str, *values: object) -> Any:
        row = self.admin.execute(query, values or None).fetchone()
        assert row is not None
        return row[0]

    def stands(self, action_id: str) -> tuple[str, str | None, bool]:
        """Return status, error and whether it has ended."""
        [(status, code, has_ended)] = self.admin.execute(
            "select status, error_code, completed_at is not null"
            " from synapsor.action_invocations where action_id = %s",
            (action_id,),
        ).fetchall()
        return status, code, has_ended

    def sequences(self) -> list[int]:
        rows = self.admin.execute(
            "select sequence from synapsor.domain_events"
            " where subject_type = 'Shop' and subject_id = 'one' order by sequence"
        )
        return [sequence for (sequence,) in rows]

    def endings(self, parent: str) -> list[tuple[str, str]]:
        """Return what the parent's events say of its steps' endings."""
        return self.admin.execute(
            "select subject_id, event_type from synapsor.domain_events where action_id = %s"
            " and event_type like 'AdapterInvocation%%ed' and event_type not like '%%Started'"
            " order by subject_id, sequence",
            (parent,),
        ).fetchall()


@pytest.fixture
def shop(database: Database) -> Iterator[Shop]:
    admin = database.connect()
    admin.execute(APPLICATION)
    try:
        shop = Shop(database)
        shop.prepare()
        yield shop.declare()
    finally:
        database.close()
        with psycopg.connect(database(), autocommit=True) as admin:
            admin.execute("drop schema app cascade")
            admin.execute("drop role pipeline_owner")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(WRITERS) as pool:
        yield pool


def confirm(shop: Shop, login: str, claim: Row, status: str = "succeeded") -> None:
    call(shop.connect(login), CONFIRM, claim["action_id"], status, claim["claim_token"])


def test_of_two_handlers_that_cross_one_fails_cleanly(shop: Shop, pool: ThreadPoolExecutor) -> None:
    outcomes = list(
        pool.map(
            lambda order: call(
                shop.connect("test_caller"), INVOKE, json.dumps({"counters": order, "pause": 0.3})
            ),
            (["a", "b"], ["b", "a"]),
        )
    )
    assert sorted(outcome["status"] for outcome in outcomes) == ["completed", "failed"]
    [failed] = [outcome for outcome in outcomes if outcome["status"] == "failed"]
    assert failed["error_code"] == "40P01"
    assert shop.stands(failed["action_id"]) == ("failed", "40P01", True)
    assert shop.counters() == {"a": 1, "b": 1}
    assert shop.sequences() == [1]
    assert (
        shop.one(
            "select count(*) from synapsor.domain_events where action_id = %s", failed["action_id"]
        )
        == 0
    )


def test_thousands_of_invocations_on_one_subject(shop: Shop, pool: ThreadPoolExecutor) -> None:
    """Every fifth is undone after its event was counted, every seventh rolled back."""
    shop.declare(
        adapter_steps=[
            {
                "action": "mail.send",
                "input": {"nonsense": "{parameters.number}"},
                "when": '$.parameters.mail == "bad"',
            }
        ]
    )

    def write(writer: int) -> tuple[int, int]:
        completed = failed = 0
        with psycopg.connect(shop.database("test_caller"), autocommit=True) as connection:
            for turn in range(ROUNDS):
                number = writer * ROUNDS + turn
                parameters: dict[str, Any] = {"pause": 0, "number": number}
                if number % 5 == 0:
                    parameters["mail"] = "bad"
                undone = number % 7 == 0
                with connection.transaction(force_rollback=undone):
                    row = connection.execute(
                        f"select status from ({INVOKE}) as invoked", (json.dumps(parameters),)
                    ).fetchone()
                assert row is not None
                if not undone:
                    completed += row[0] == "completed"
                    failed += row[0] == "failed"
        return completed, failed

    results = list(pool.map(write, range(WRITERS)))
    completed = sum(result[0] for result in results)
    failed = sum(result[1] for result in results)
    total = WRITERS * ROUNDS
    kept = [number for number in range(total) if number % 7]
    assert completed == len([number for number in kept if number % 5])
    assert failed == len(kept) - completed
    assert shop.sequences() == list(range(1, completed + 1))
    assert shop.one(
        "select last_sequence from synapsor.event_subjects where subject_id = 'one'"
    ) == (completed)
    assert shop.one("select count(*) from synapsor.action_invocations") == len(kept)
    assert shop.one("select count(*) from synapsor.open_external_actions") == 0


@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize(
    ("first", "second", "then", "otherwise"),
    [
        (APPROVE, CANCEL, "SY014", "cancelled"),
        (CANCEL, APPROVE, "SY021", "completed"),
        (APPROVE, APPROVE, "completed, unchanged", "completed"),
    ],
    ids=["approve-cancel", "cancel-approve", "approve-approve"],
)
def test_deciding_on_an_atomic_action_takes_turns(
    shop: Shop,
    pool: ThreadPoolExecutor,
    first: str,
    second: str,
    then: str,
    otherwise: str,
    commits: bool,
) -> None:
    shop.declare(approval={"required": True, "approvals": 1})
    action_id = shop.invoke(counters=["a"])["action_id"]
    one = shop.connect("test_approver", autocommit=False)
    calls(one, first, action_id)
    two = Second(pool, shop.connect("test_approver_b"), second, action_id)
    assert two.waits(shop.admin)
    one.commit() if commits else one.rollback()
    assert two.outcome() == (then if commits else otherwise)
    is_cancelled = "cancelled" in ((otherwise,) if not commits else ()) or (
        commits and first == CANCEL
    )
    assert shop.counters()["a"] == (0 if is_cancelled else 1)
    assert shop.sequences() == ([] if is_cancelled else [1])
    assert shop.one("select count(*) from synapsor.open_external_actions") == 0
    shown = call(
        shop.connect("test_caller"),
        "select * from synapsor.synapsor_action_invocations where action_id = %s",
        action_id,
    )
    assert shown["status"] == ("cancelled" if is_cancelled else "completed")


def test_of_two_approvals_at_once_both_count(shop: Shop, pool: ThreadPoolExecutor) -> None:
    shop.declare(approval={"required": True, "approvals": 2})
    action_id = shop.invoke(counters=["a"])["action_id"]
    one = shop.connect("test_approver", autocommit=False)
    calls(one, APPROVE, action_id)
    two = Second(pool, shop.connect("test_approver_b"), APPROVE, action_id)
    assert two.waits(shop.admin)
    one.commit()
    assert two.outcome() == "completed"
    assert shop.counters()["a"] == 1
    assert shop.sequences() == [1]


def test_a_state_is_entered_once(shop: Shop, pool: ThreadPoolExecutor) -> None:
    """Two invocations for one entity: the second sees what the first has made of it."""
    admin = shop.admin
    admin.execute(
        """
        create table app.orders (id text primary key, state text not null);
        insert into app.orders values ('o1', 'open');
        alter table app.orders owner to pipeline_owner;
        grant select, update on app.orders to synapsor_guest;
        create function app.close(context jsonb, parameters jsonb) returns jsonb
        language sql security definer set search_path = pg_catalog, pg_temp
        as $$
            update app.orders set state = 'closed' where id = parameters ->> 'order';
            select '{"success": true}'::jsonb
        $$;
        alter function app.close(jsonb, jsonb) owner to pipeline_owner;
        select synapsor.declare_state_machine('{"entity_type": "Order",
            "states": {"open": "initial", "closed": "terminal"},
            "transitions": [{"from": "open", "to": "closed", "action": "shop.close"}]}');
        select synapsor.declare_action('{"action": "shop.close", "kind": "atomic",
            "args": {"order": {"type": "string", "required": true}},
            "handler": "app.close(jsonb,jsonb)",
            "state_machine": {"entity_type": "Order", "table": "app.orders", "id_column": "id",
                "state_column": "state", "entity_id": "{order}", "target_state": "closed"}}');
        """
    )
    asked = "select * from synapsor.invoke_action('shop.close', '{\"order\": \"o1\"}')"
    one = shop.connect("test_caller", autocommit=False)
    assert call(one, asked)["status"] == "completed"
    two = Second(pool, shop.connect("test_caller_b"), asked)
    assert two.waits(shop.admin)
    one.commit()
    assert two.outcome() == "failed"
    assert two.future.result()[0]["error_code"] == "SY010"
    assert shop.one("select count(*) from synapsor.domain_events") == 1


def test_a_sibling_confirmed_while_the_other_is_looked_at(shop: Shop) -> None:
    """A look that came too early, with a mark that was there already, loses nothing."""
    shop.declare(**MAILS)
    parent = shop.invoke()["action_id"]
    first, second = calls(shop.connect("test_worker"), CLAIM, 2)
    confirm(shop, "test_worker", first)
    slow = shop.connect("test_worker", autocommit=False)
    call(slow, CONFIRM, second["action_id"], "succeeded", second["claim_token"])
    assert call(shop.connect("test_worker_b"), RUN_DUE)["done"] == 1
    assert shop.stands(parent)[0] == "running"
    slow.commit()
    assert call(shop.connect("test_worker_b"), RUN_DUE)["done"] == 1
    assert shop.stands(parent) == ("completed", None, True)
    assert shop.endings(parent) == sorted(
        (step["action_id"], "AdapterInvocationSucceeded") for step in (first, second)
    )


def test_two_workers_confirm_and_go_on_in_one_transaction_each(
    shop: Shop, pool: ThreadPoolExecutor
) -> None:
    shop.declare(**MAILS)
    parent = shop.invoke()["action_id"]
    first, second = calls(shop.connect("test_worker"), CLAIM, 2)
    one = shop.connect("test_worker", autocommit=False)
    two = shop.connect("test_worker", autocommit=False)
    for connection, step in ((one, first), (two, second)):
        call(connection, CONFIRM, step["action_id"], "succeeded", step["claim_token"])
    call(one, RUN_DUE)
    waiting = Second(pool, two, RUN_DUE)
    assert waiting.waits(shop.admin)
    one.commit()
    waiting.future.result(timeout=20)
    two.commit()
    assert shop.stands(parent) == ("completed", None, True)
    assert len(shop.endings(parent)) == 2


def test_two_schedulers_do_not_wait_for_each_other(shop: Shop) -> None:
    shop.declare(**MAILS)
    parent = shop.invoke()["action_id"]
    for step in calls(shop.connect("test_worker"), CLAIM, 2):
        confirm(shop, "test_worker", step)
    one = shop.connect("test_worker", autocommit=False)
    assert call(one, RUN_DUE)["done"] == 1
    other = shop.connect("test_worker_b")
    other.execute("set lock_timeout = '2 s'")
    assert call(other, RUN_DUE)["done"] == 0
    one.rollback()
    assert shop.stands(parent)[0] == "running"
    assert call(other, RUN_DUE)["done"] == 1
    assert shop.stands(parent) == ("completed", None, True)


def test_every_parent_of_racing_workers_is_completed_once(
    shop: Shop, pool: ThreadPoolExecutor
) -> None:
    parents = 40
    shop.declare(**MAILS)
    ids = [shop.invoke(number=number)["action_id"] for number in range(parents)]
    shop.admin.execute(
        """
        create table app.endings (action_id text);
        grant insert on app.endings to public;
        grant usage on schema app to public;
        create function app.note() returns trigger language plpgsql as $$ begin
            insert into app.endings values (new.action_id); return new; end $$;
        create trigger note after update on synapsor.action_invocations for each row
        when (new.status = 'completed') execute function app.note();
        """
    )
    claims = calls(shop.connect("test_worker"), CLAIM, 2 * parents)
    assert len(claims) == 2 * parents
    both = Barrier(4)

    def work(share: list[Row]) -> None:
        with shop.connect("test_worker") as connection:
            both.wait()
            for step in share:
                call(connection, CONFIRM, step["action_id"], "succeeded", step["claim_token"])
                call(connection, RUN_DUE)

    list(pool.map(work, (claims[start::4] for start in range(4))))
    assert shop.one("select count(*) from synapsor.due_invocations") == 0
    assert {shop.stands(parent) for parent in ids} == {("completed", None, True)}
    assert shop.one("select count(*) from app.endings") == parents
    assert all(len(shop.endings(parent)) == 2 for parent in ids)


def test_a_worker_killed_between_confirming_and_going_on(shop: Shop) -> None:
    shop.declare(**MAILS)
    parent = shop.invoke()["action_id"]
    worker = shop.connect("test_worker")
    for step in calls(worker, CLAIM, 2):
        call(worker, CONFIRM, step["action_id"], "succeeded", step["claim_token"])
    shop.admin.execute("select pg_terminate_backend(%s, 5000)", (worker.info.backend_pid,))
    assert shop.stands(parent)[0] == "running"
    assert call(shop.connect("test_worker_b"), RUN_DUE)["done"] == 1
    assert shop.stands(parent) == ("completed", None, True)
    assert call(shop.connect("test_worker_b"), RUN_DUE)["done"] == 0
