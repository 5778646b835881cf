"""A run's limits under concurrency: racing steps and proposals never exceed them together."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from support.database import Database

RACERS = 8
ALLOWED = 5
PROPOSE = """
synapsor.propose_external_action('billing.issue_refund',
    jsonb_build_object('charge_id', %s::text || %s::text, 'amount_cents', 1), run_id => %s)
"""
REPEAT = """
synapsor.propose_external_action('billing.issue_refund',
    '{"charge_id": "the same", "amount_cents": 1}', run_id => %s)
"""


def _start(database: Database, **limits: Any) -> str:
    with database.connect() as admin:
        admin.execute(
            "select synapsor.declare_workflow(%s)", [json.dumps({"workflow": "short", **limits})]
        )
        admin.execute("select tests.a_contract()")
        admin.execute(
            "select synapsor.bind_role('test_caller', %s)",
            [json.dumps({"principal": "ada", "tenant_id": "acme"})],
        )
    with database.connect("test_caller") as caller:
        started = caller.execute("select run_id from synapsor.start_agent_run('short')").fetchone()
    assert started is not None
    return str(started[0])


def _race(database: Database, call: str, arguments: list[list[Any]]) -> list[str]:
    """Make the calls at once and return what came of each: done, or the error's code."""
    barrier = Barrier(len(arguments))

    def one(values: list[Any]) -> str:
        with psycopg.connect(database("test_caller")) as connection:
            barrier.wait()
            try:
                connection.execute("select " + call, values)
                connection.commit()
            except psycopg.Error as error:
                return str(error.sqlstate)
        return "done"

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(one, arguments))


@pytest.mark.parametrize(
    ("limit", "call"),
    [
        ("max_steps", "synapsor.record_agent_step(%s, %s)"),
        ("max_tool_calls", "synapsor.record_agent_step(%s, %s)"),
        ("max_output_tokens", "synapsor.record_agent_step(%s, %s, output_tokens => 1)"),
        (
            "max_tool_calls",
            PROPOSE,
        ),
    ],
)
def test_racing_steps_never_exceed_a_limit(database: Database, limit: str, call: str) -> None:
    run_id = _start(database, **{limit: ALLOWED})
    outcomes = _race(
        database,
        call,
        [[run_id, f"step {number}", run_id][: call.count("%s")] for number in range(RACERS)],
    )
    assert sorted(outcomes) == ["SY042"] * (RACERS - ALLOWED) + ["done"] * ALLOWED
    with database.connect() as admin:
        steps = admin.execute("select count(*) from synapsor.run_steps").fetchone()
    assert steps == (ALLOWED,)


@pytest.mark.parametrize(
    "call",
    [
        "synapsor.record_agent_step(%s, 'the same')",
        REPEAT,
    ],
)
def test_equal_repeats_at_once_count_once(database: Database, call: str) -> None:
    run_id = _start(database, max_steps=1)
    assert _race(database, call, [[run_id]] * RACERS) == ["done"] * RACERS


def test_the_entry_comes_first_whoever_is_faster(database: Database) -> None:
    run_id = _start(database, entry_capability="first")
    outcomes = _race(
        database,
        "synapsor.record_agent_step(%s, %s, name => %s)",
        [[run_id, f"{name} {number}", name] for number in range(4) for name in ("first", "second")],
    )
    assert outcomes[::2] == ["done"] * 4
    with database.connect() as admin:
        order = admin.execute("select name from synapsor.run_steps order by sequence").fetchall()
    assert order[0] == ("first",)
    assert outcomes[1::2].count("done") == sum(name == "second" for (name,) in order)
