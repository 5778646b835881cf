"""A process that proposes or works: client_process.py <contender> <verb> <dsn> <number>.

The number is how many it proposes one at a time, or its batch. See processes.py for when it begins.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))

import psycopg
from benchmark.scenarios import LEAN_CLAIM, enqueue_one_by_one
from starting_gun import done_since, ready
from synapsor_pg import Delivery, Outcome, Queue, Registry, Worker, succeeded


def enqueue(contender: str, dsn: str, amount: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        began = ready()
        enqueue_one_by_one(contender, connection, amount)
        done_since(began)


def drain(contender: str, dsn: str, batch: int) -> None:
    if contender == "lean":
        _drain_lean(dsn, batch)
        return
    registry = Registry()

    @registry.handler("stripe", "refunds.create")
    def refund(_delivery: Delivery) -> Outcome:
        return succeeded()

    worker = Worker(
        dsn,
        queues=[Queue("billing", begin="claim")],  # the contract's provider deduplicates
        registry=registry,
        batch=batch,
        concurrency=min(batch, 10),
    )
    began = ready()
    worker.run(until_idle=True, install_signals=False)
    done_since(began)


def _drain_lean(dsn: str, batch: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        began = ready()
        while True:
            row = connection.execute(LEAN_CLAIM, [batch]).fetchone()
            if row is None or not row[0]:
                break
            connection.execute("delete from lean.actions where id = any(%s)", [row[0]])
        done_since(began)


if __name__ == "__main__":
    (enqueue if sys.argv[2] == "enqueue" else drain)(sys.argv[1], sys.argv[3], int(sys.argv[4]))
