"""procrastinate, through its own client and worker. See peers.py for the verbs."""

from __future__ import annotations

import sys
import time

import procrastinate

app = procrastinate.App(connector=procrastinate.PsycopgConnector())


@app.task(name="job", queue="bench")
async def job(number: int, note: str) -> None:
    del number, note


def main(verb: str, amount: int, batch: int) -> float:
    with app.open():
        if verb == "prepare":
            app.schema_manager.apply_schema()
            return 0
        began = time.perf_counter()
        if verb == "enqueue":
            for number in range(amount):
                job.defer(number=number, note="n" * 270)
        elif verb == "enqueue_batch":
            for first in range(0, amount, batch):
                job.batch_defer(*({"number": first + n, "note": "n" * 270} for n in range(batch)))
    if verb == "drain":
        began = time.perf_counter()
        app.run_worker(queues=["bench"], wait=False, concurrency=10, install_signal_handlers=False)
    return amount / (time.perf_counter() - began)


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
