"""One worker process of a benchmark: drain.py <contender> <dsn> <batch>.

It says "ready", begins when its standard input ends, and ends when nothing is left to do.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psycopg
from benchmark.scenarios import LEAN_CLAIM
from synapsor_pg import Delivery, Outcome, Queue, Registry, Worker, succeeded


def drain_lean(dsn: str, batch: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        begin()
        while True:
            row = connection.execute(LEAN_CLAIM, [batch]).fetchone()
            if row is None or not row[0]:
                return
            connection.execute("delete from lean.actions where id = any(%s)", [row[0]])


def drain(dsn: str, batch: int) -> None:
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
    begin()
    worker.run(until_idle=True, install_signals=False)


def begin() -> None:
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    (drain_lean if sys.argv[1] == "lean" else drain)(sys.argv[2], int(sys.argv[3]))
