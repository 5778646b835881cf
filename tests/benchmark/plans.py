"""What plans cost: nodes that are done at once, and going on after one confirmation.

A part of `make bench`. There is no leaner schema to measure beside: what counts is that a node
costs the same in a small plan and in a large one, and that a confirmation costs the same in both.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from typing import Any

import psycopg

SIZES = (100, 1_000, 10_000)
BRANCHES = 10
EXPLAINED = 1_000


@dataclass(frozen=True)
class Size:
    """What plans of one size came to: milliseconds, but microseconds for a node."""

    nodes: int
    start: float
    node: float
    advance: float
    explain: float | None


def _node(name: str, *below: dict[str, Any]) -> dict[str, Any]:
    return {
        "Name": name,
        "ExecuteCase": ["None", "Complete"],
        "Handler": {"Config": {"Values": {"ReturnStatus": "Complete"}}},
        "Actions": list(below),
    }


def _plan(nodes: int) -> dict[str, Any]:
    """Return a plan of that many inline nodes on three levels, and one that a worker delivers."""
    roots = nodes // (BRANCHES * BRANCHES)
    below = BRANCHES * BRANCHES - 1
    return {
        "Name": f"bench_{nodes}",
        "DefaultHandlerType": "EmptyHandler",
        "Actions": [
            *(
                _node(
                    f"root {root}",
                    *(
                        _node(
                            f"branch {branch}",
                            *(
                                _node(f"leaf {leaf}")
                                for leaf in range(below // BRANCHES - (branch == 0))
                            ),
                        )
                        for branch in range(BRANCHES)
                    ),
                )
                for root in range(roots)
            ),
            {
                "Name": "delivered",
                "Handler": {"Type": "action:bench.deliver"},
                "Actions": [_node(f"after {number}") for number in range(BRANCHES)],
            },
        ],
    }


def measure(dsn: str, repetitions: int) -> list[Size]:
    """Run the plans, one repetition of every size after the other, and return medians."""
    samples: dict[int, list[Size]] = {nodes: [] for nodes in SIZES}
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "select synapsor.declare_action(%s)",
            (json.dumps({"action": "bench.deliver", "queue": "bench_plans", "args": {}}),),
        )
        for nodes in SIZES:
            connection.execute("select synapsor.declare_plan(%s)", (json.dumps(_plan(nodes)),))
        for repetition in range(repetitions + 1):
            for nodes in SIZES:
                size = _measure(connection, nodes)
                # The first one imports and plans.
                if repetition > 0:
                    samples[nodes].append(size)
    return [_median(sizes) for sizes in samples.values()]


def _measure(connection: psycopg.Connection[Any], nodes: int) -> Size:
    context = {"tenant_id": "bench", "principal": "bench", "actor_type": "service_account"}
    with connection.transaction(force_rollback=True):
        connection.execute("select synapsor.set_session(%s)", (json.dumps(context),))
        [run_id], start = _timed(
            connection, "select run_id from synapsor.start_plan(%s)", f"bench_{nodes}"
        )
        claimed = connection.execute(
            "select action_id, claim_token from synapsor.claim_external_actions('bench_plans')"
        ).fetchone()
        connection.execute(
            "select synapsor.confirm_external_action(%s, 'succeeded', claim_token => %s)", claimed
        )
        [due], advance = _timed(connection, "select synapsor.run_due_steps()")
        assert due == 1
        explain = None
        if nodes == EXPLAINED:
            _, explain = _timed(connection, "select synapsor.explain_agent_run(%s)", run_id)
        stored = connection.execute(
            "select count(*), count(*) filter (where phase = 'ended'), min(run.state) "
            "from synapsor.run_steps inner join synapsor.runs as run using (run_id) "
            "where run_id = %s",
            (run_id,),
        ).fetchone()
        assert stored == (nodes + 1 + BRANCHES, nodes + 1 + BRANCHES, "completed"), stored
    return Size(nodes, start, start / nodes * 1000, advance, explain)


def _timed(
    connection: psycopg.Connection[Any], statement: str, *values: object
) -> tuple[tuple[Any, ...], float]:
    began = time.perf_counter()
    row = connection.execute(statement.encode(), values or None).fetchone()
    spent = (time.perf_counter() - began) * 1000
    assert row is not None
    return row, spent


def _median(sizes: list[Size]) -> Size:
    explained = [size.explain for size in sizes if size.explain is not None]
    return Size(
        sizes[0].nodes,
        statistics.median(size.start for size in sizes),
        statistics.median(size.node for size in sizes),
        statistics.median(size.advance for size in sizes),
        statistics.median(explained) if explained else None,
    )


def table(sizes: list[Size]) -> str:
    """Return one line per size: the target is 2 s for 1,000 nodes, and the same for every node."""
    lines = [
        f"{'plan of nodes':>14}  {'start':>12}  {'per node':>12}  {'confirmation':>12}  explain"
    ]
    for size in sizes:
        explain = "" if size.explain is None else f"{size.explain:.0f} ms (≤ 200)"
        lines.append(
            f"{size.nodes:>14,}  {size.start:>11,.0f} ms  {size.node:>11,.0f} µs  "
            f"{size.advance:>11,.1f} ms  {explain}".rstrip()
        )
    return "\n".join(lines)
