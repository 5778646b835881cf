"""What claiming reads: the plans of its statements, and how many pages, whatever lies about."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import psycopg
    from support.database import Database

QUEUE = "billing_external_actions"
CLAIM = f"select count(*) from synapsor.claim_external_actions('{QUEUE}', 10)"

Plan = dict[str, Any]


@pytest.fixture
def worker(database: Database) -> psycopg.Connection[Any]:
    """Give a worker of every tenant, to whom the server shows the plans of nested statements."""
    admin = database.connect()
    admin.execute("select tests.a_contract()")
    admin.execute("select synapsor.bind_role('test_worker', '{\"tenants\": \"*\"}')")
    admin.execute(
        "select synapsor.bind_role('test_caller', '{\"tenant_id\": \"acme\"}')",
    )
    return database.connect("test_worker")


def queue_up(database: Database, actions: int, prefix: str = "ch") -> None:
    caller = database.connect("test_caller")
    for start in range(0, actions, 1000):
        caller.execute(
            """select synapsor.propose_external_actions('billing.issue_refund', array(
                select jsonb_build_object('charge_id', %s::text || number, 'amount_cents', 1)
                from generate_series(%s::integer + 1, %s) as number))""",
            (prefix, start, min(start + 1000, actions)),
        )


def finish(database: Database, batches: int) -> None:
    worker = database.connect("test_worker")
    for _ in range(batches):
        worker.execute(
            f"""select count(*) from synapsor.confirm_external_actions((
                select jsonb_agg(jsonb_build_object('action_id', action_id,
                    'claim_token', claim_token, 'status', 'succeeded'))
                from synapsor.claim_external_actions('{QUEUE}', 1000)))"""
        )


def pages(worker: psycopg.Connection[Any]) -> int:
    """Return how many pages one claim touches once its connection is warm."""
    with worker.transaction():
        worker.execute(CLAIM)
    found = worker.execute(f"explain (analyze, buffers, format json) {CLAIM}").fetchone()
    assert found is not None
    plan = found[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def plans_of_a_claim(database: Database) -> list[Plan]:
    """Return the plans of every statement that a claim runs, as they were executed."""
    superuser = database.connect()
    superuser.execute("load 'auto_explain'")
    for name, value in {
        "auto_explain.log_min_duration": "0",
        "auto_explain.log_analyze": "on",
        "auto_explain.log_timing": "off",
        "auto_explain.log_nested_statements": "on",
        "auto_explain.log_format": "json",
        "auto_explain.log_level": "notice",
    }.items():
        superuser.execute("select set_config(%s, %s, false)", (name, value))
    superuser.execute("select synapsor.bind_role('postgres', '{\"tenants\": \"*\"}')")
    for _ in range(7):  # past the custom plans
        superuser.execute(CLAIM)
    told: list[str] = []
    superuser.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
    superuser.execute(CLAIM)
    found = [re.search(r"plan:\n(.*)", text, re.DOTALL) for text in told]
    return [json.loads(plan[1])["Plan"] for plan in found if plan]


def nodes(plan: Plan) -> list[Plan]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


def test_a_claim_walks_its_index_and_sorts_no_backlog(
    database: Database, worker: psycopg.Connection[Any]
) -> None:
    queue_up(database, 5000)
    database.connect().execute("analyze synapsor.open_external_actions")
    used = [node for plan in plans_of_a_claim(database) for node in nodes(plan)]
    hot = [node for node in used if node.get("Relation Name") == "open_external_actions"]
    assert any(node.get("Index Name") == "ready_external_actions" for node in hot)
    assert {node["Node Type"] for node in hot} <= {
        *("Index Scan", "Index Only Scan", "ModifyTable", "Update"),
    }
    # Nothing passes more rows than the ten that are claimed and what little lies around them.
    assert max(node["Actual Rows"] * node["Actual Loops"] for node in used) <= 40
    assert max(node.get("Rows Removed by Filter", 0) for node in hot) <= 1
    assert worker.execute(CLAIM).fetchone() == (10,)


def test_pages_do_not_grow_with_the_backlog(
    database: Database, worker: psycopg.Connection[Any]
) -> None:
    queue_up(database, 200)
    few = pages(worker)
    queue_up(database, 10000, "more")
    database.connect().execute("analyze synapsor.open_external_actions")
    assert pages(worker) <= few + 40


def test_pages_do_not_grow_with_history(
    database: Database, worker: psycopg.Connection[Any]
) -> None:
    queue_up(database, 200)
    few = pages(worker)
    finish(database, 1)
    queue_up(database, 8000, "past")
    finish(database, 8)
    admin = database.connect()
    assert admin.execute("select count(*) from synapsor.open_external_actions").fetchone() == (20,)
    admin.execute("vacuum (analyze) synapsor.open_external_actions")
    queue_up(database, 200, "again")
    assert pages(worker) <= few + 40
