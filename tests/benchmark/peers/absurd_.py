"""absurd, through its own client and worker. See peers.py for the verbs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import psycopg
from absurd_sdk import Absurd
from starting_gun import done, done_since, ready

PARAMETERS = {"note": "n" * 280}
DSN = "host={PGHOST} port={PGPORT} user={PGUSER} dbname={PGDATABASE}".format(**os.environ)


def main(verb: str, amount: int, batch: int) -> None:
    if verb == "prepare":
        control = Path(sys.executable).with_name("absurdctl")
        for words in (["init"], ["create-queue", "bench"]):
            subprocess.run([control, *words], check=True, stdout=sys.stderr)
        return
    with psycopg.connect(DSN, autocommit=True) as connection:
        queue = Absurd(connection, queue_name="bench")

        @queue.register_task("job")
        def job(_parameters: object, _context: object) -> None:
            return

        if verb == "pickup":
            pick_up(queue, amount)
            return
        began = ready()
        if verb == "drain":
            drain(connection, queue, batch)
        else:
            with connection.transaction() if verb == "enqueue_batch" else nullcontext():
                for _ in range(amount):
                    queue.spawn("job", PARAMETERS)
        done_since(began)


def drain(connection: psycopg.Connection, queue: Absurd, batch: int) -> None:
    waiting = "select exists(select from absurd.t_bench where state = 'pending')"
    while connection.execute(waiting).fetchone() == (True,):
        for _ in range(20):
            queue.work_batch(batch_size=batch)


def pick_up(client: Absurd, amount: int) -> None:
    with psycopg.connect(DSN, autocommit=True) as connection:
        worker = Absurd(connection, queue_name="bench")
        reached = threading.Event()

        @worker.register_task("job")
        def job(_parameters: object, _context: object) -> None:
            reached.set()

        thread = threading.Thread(target=worker.start_worker, daemon=True)
        thread.start()
        ready()
        waits = []
        for _ in range(amount):
            time.sleep(0.02)
            reached.clear()
            client.spawn("job", PARAMETERS)
            committed = time.perf_counter()
            assert reached.wait(30)
            waits.append((time.perf_counter() - committed) * 1000)
        done(*waits)
        worker.stop_worker()
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
