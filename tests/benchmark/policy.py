"""How long a data policy of ten conditions takes to decide (issue 3: at most 50 µs).

policy.py            the pure package alone
policy.py DSN        also within a database that has the extension, as a role that may declare
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from timeit import repeat
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plpython"))

from synapsor_plpython import policy

ROUNDS = 5
EVALUATIONS = 20_000
CONDITIONS = 10


def definition(deciding: bool) -> dict[str, Any]:
    """Ten conditions of every cheap kind; the last one holds where `deciding`."""
    limit = {"kind": "parameter", "path": "parameters.amount_cents", "operator": "gt"}
    same = {"kind": "comparison", "left": "tenant_id", "operator": "equals"}
    whens = [
        *({**limit, "value": 50_000 + step} for step in range(CONDITIONS - 4)),
        {**same, "right": "parameters.charge_id"},
        {"kind": "not", "condition": {**limit, "value": 0}},
        {"kind": "all", "conditions": [{**limit, "value": 0}, {**limit, "value": 90_000}]},
        {**limit, "value": 0 if deciding else 90_000},
    ]
    return {
        "policy": "bench.ten.v1",
        "kind": "data",
        "reason": "over the limit",
        "conditions": [{"when": when, "result": "block"} for when in whens],
    }


FACTS = json.dumps(
    {
        "args": {"charge_id": "ch_123", "amount_cents": 2500, "reason": "requested_by_customer"},
        "hidden": {"tenant_id": "acme", "principal": "alice", "customer": "cus_1"},
        "context": {
            "tenant_id": "acme",
            "space_id": None,
            "action_id": "act_01HYZ",
            "action": "billing.issue_refund",
            "mode": "execute",
            "now": "2026-01-01T00:00:00+00:00",
        },
    }
)


def pure(deciding: bool) -> float:
    """Return the microseconds of one evaluation, facts read and evidence written included."""
    compiled = policy.compile_policy(
        "bench.ten.v1", "data", definition(deciding), lambda _check: None
    )

    def once() -> None:
        outcome = policy.evaluate_json(compiled, FACTS, lambda _path: False)
        assert outcome.result == ("block" if deciding else "pass")
        json.dumps(outcome.evidence)

    return min(repeat(once, number=EVALUATIONS, repeat=ROUNDS)) / EVALUATIONS * 1e6


def in_database(dsn: str, deciding: bool) -> float:
    """Return the microseconds of one evaluation through PL/Python."""
    import psycopg

    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select * from synapsor.declare_policy(%s)", [json.dumps(definition(deciding))]
        )
        cursor.execute(
            """
            create function pg_temp.spent(facts jsonb) returns float language plpgsql as $$
            declare
                named constant synapsor.policies := stored
                    from synapsor.policies as stored where policy = 'bench.ten.v1';
                began timestamptz;
            begin
                perform synapsor._evaluate_definition(
                    named.policy, named.kind, named.digest, null, facts
                );
                began := clock_timestamp();
                for i in 1 .. 20000 loop
                    perform synapsor._evaluate_definition(
                        named.policy, named.kind, named.digest, null, facts
                    );
                end loop;
                return extract(epoch from clock_timestamp() - began) / 20000 * 1e6;
            end
            $$
            """
        )
        spent = []
        for _round in range(ROUNDS):
            cursor.execute("select pg_temp.spent(%s)", [FACTS])
            row = cursor.fetchone()
            assert row is not None
            spent.append(row[0])
        connection.rollback()
    return float(min(spent))


def main() -> None:
    """Print a line per measurement."""
    for deciding, name in ((False, "none holds"), (True, "the last blocks")):
        print(f"{CONDITIONS} conditions, {name}: {pure(deciding):.1f} µs in Python")
        if len(sys.argv) > 1:
            spent = in_database(sys.argv[1], deciding)
            print(f"{CONDITIONS} conditions, {name}: {spent:.1f} µs in PostgreSQL")


if __name__ == "__main__":
    main()
