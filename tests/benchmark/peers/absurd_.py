"""absurd, through its own client and worker. See peers.py for the verbs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
from absurd_sdk import Absurd

PARAMETERS = {"note": "n" * 280}


def main(verb: str, amount: int, batch: int) -> float:
    del batch
    database = "host={PGHOST} port={PGPORT} user={PGUSER} dbname={PGDATABASE}".format(**os.environ)
    if verb == "prepare":
        control = Path(sys.executable).with_name("absurdctl")
        for words in (["init"], ["create-queue", "bench"]):
            subprocess.run([control, *words], check=True, stdout=sys.stderr)
        return 0
    with psycopg.connect(database, autocommit=True) as connection:
        queue = Absurd(connection, queue_name="bench")

        @queue.register_task("job")
        def job(_parameters: object, _context: object) -> None:
            return

        began = time.perf_counter()
        if verb == "enqueue":
            for _ in range(amount):
                queue.spawn("job", PARAMETERS)
        elif verb == "enqueue_batch":
            with connection.transaction():
                for _ in range(amount):
                    queue.spawn("job", PARAMETERS)
        elif verb == "drain":
            for _ in range(0, amount, 10):
                queue.work_batch(batch_size=10)
        return amount / (time.perf_counter() - began)


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
