"""procrastinate, through its own client and worker. See peers.py for the verbs."""

from __future__ import annotations

import asyncio
import sys
import time

import procrastinate
from starting_gun import done, done_since, ready

app = procrastinate.App(connector=procrastinate.PsycopgConnector())
arrivals: asyncio.Queue[float] = asyncio.Queue()


@app.task(name="job", queue="bench")
async def job(number: int, note: str) -> None:
    del number, note
    arrivals.put_nowait(time.perf_counter())


def main(verb: str, amount: int, batch: int) -> None:
    if verb == "drain":
        began = ready()
        app.run_worker(
            queues=["bench"],
            wait=False,
            concurrency=min(batch, 10),
            install_signal_handlers=False,
        )
        done_since(began)
        return
    if verb == "pickup":
        asyncio.run(pick_up(amount))
        return
    with app.open():
        if verb == "prepare":
            app.schema_manager.apply_schema()
            return
        began = ready()
        if verb == "enqueue":
            for number in range(amount):
                job.defer(number=number, note="n" * 270)
        elif verb == "enqueue_batch":
            for first in range(0, amount, batch):
                job.batch_defer(*({"number": first + n, "note": "n" * 270} for n in range(batch)))
        done_since(began)


async def pick_up(amount: int) -> None:
    async with app.open_async():
        worker = asyncio.create_task(
            app.run_worker_async(queues=["bench"], install_signal_handlers=False)
        )
        ready()
        await asyncio.sleep(1)
        waits = []
        for number in range(amount):
            await asyncio.sleep(0.02)
            await job.defer_async(number=number, note="n" * 270)
            committed = time.perf_counter()
            at = await asyncio.wait_for(arrivals.get(), 30)
            waits.append(max(at - committed, 0) * 1000)
        done(*waits)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
