"""DBOS, through its own client and worker. See peers.py for the verbs."""

from __future__ import annotations

import os
import sys
import threading
import time

from dbos import DBOS, DBOSClient
from starting_gun import done, done_since, ready

URL = "postgresql://{PGUSER}@/{PGDATABASE}?host={PGHOST}&port={PGPORT}".format(**os.environ)
OPTIONS = {"workflow_name": "job", "queue_name": "bench"}

reached = threading.Event()


@DBOS.workflow(name="job")
def job(note: str) -> None:
    del note
    reached.set()


def launch() -> None:
    DBOS(
        config={
            "name": "bench",
            "system_database_url": URL,
            "run_admin_server": False,
            "executor_id": str(os.getpid()),
        }
    )
    DBOS.launch()


def main(verb: str, amount: int, batch: int) -> None:
    del batch
    if verb in ("prepare", "drain", "pickup"):
        launch()
        began = ready() if verb != "prepare" else 0
        DBOS.register_queue("bench", worker_concurrency=100, polling_interval_sec=0.01)
        if verb == "drain":
            while DBOS.list_queued_workflows():
                time.sleep(0.01)
            done_since(began)
        elif verb == "pickup":
            pick_up(amount)
        DBOS.destroy()
        return
    client = DBOSClient(system_database_url=URL)
    began = ready()
    for _ in range(amount):
        client.enqueue(OPTIONS, "n" * 280)
    done_since(began)


def pick_up(amount: int) -> None:
    client = DBOSClient(system_database_url=URL)
    waits = []
    for _ in range(amount):
        time.sleep(0.02)
        reached.clear()
        client.enqueue(OPTIONS, "n" * 280)
        committed = time.perf_counter()
        assert reached.wait(30)
        waits.append((time.perf_counter() - committed) * 1000)
    done(*waits)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
