"""DBOS, through its own client and worker. See peers.py for the verbs."""

from __future__ import annotations

import os
import sys
import time

from dbos import DBOS, DBOSClient

URL = "postgresql://{PGUSER}@/{PGDATABASE}?host={PGHOST}&port={PGPORT}".format(**os.environ)


@DBOS.workflow(name="job")
def job(note: str) -> None:
    del note


def main(verb: str, amount: int, batch: int) -> float:
    del batch
    if verb in ("prepare", "drain"):
        DBOS(config={"name": "bench", "system_database_url": URL, "run_admin_server": False})
        began = time.perf_counter()
        DBOS.launch()
        DBOS.register_queue("bench", worker_concurrency=100, polling_interval_sec=0.01)
        while verb == "drain" and DBOS.list_queued_workflows():
            time.sleep(0.01)
        spent = time.perf_counter() - began
        DBOS.destroy()
        return amount / spent
    client = DBOSClient(system_database_url=URL)
    began = time.perf_counter()
    for _ in range(amount):
        client.enqueue({"workflow_name": "job", "queue_name": "bench"}, "n" * 280)
    return amount / (time.perf_counter() - began)


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
