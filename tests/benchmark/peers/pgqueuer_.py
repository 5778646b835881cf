"""pgqueuer, through its own client and worker. See peers.py for the verbs."""

from __future__ import annotations

import asyncio
import sys
import time

import asyncpg
from pgqueuer.db import AsyncpgDriver
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode
from starting_gun import done, done_since, ready

PAYLOAD = b"n" * 300


async def main(verb: str, amount: int, batch: int) -> None:
    queries = Queries(AsyncpgDriver(await asyncpg.connect()))
    if verb == "prepare":
        await queries.install()
        return
    if verb == "pickup":
        await pick_up(queries, amount)
        return
    began = ready()
    if verb == "enqueue":
        for _ in range(amount):
            await queries.enqueue("job", PAYLOAD)
    elif verb == "enqueue_batch":
        for _ in range(0, amount, batch):
            await queries.enqueue(["job"] * batch, [PAYLOAD] * batch, [0] * batch)
    elif verb == "drain":
        manager = QueueManager(queries)

        @manager.entrypoint("job")
        async def job(_job: object) -> None:
            return

        await manager.run(batch_size=batch, mode=QueueExecutionMode.drain)
    done_since(began)


async def pick_up(client: Queries, amount: int) -> None:
    manager = QueueManager(Queries(AsyncpgDriver(await asyncpg.connect())))
    arrivals: asyncio.Queue[float] = asyncio.Queue()

    @manager.entrypoint("job")
    async def job(_job: object) -> None:
        arrivals.put_nowait(time.perf_counter())

    worker = asyncio.create_task(manager.run())
    ready()
    await asyncio.sleep(1)
    waits = []
    for _ in range(amount):
        await asyncio.sleep(0.02)
        await client.enqueue("job", PAYLOAD)
        committed = time.perf_counter()
        at = await asyncio.wait_for(arrivals.get(), 30)
        waits.append(max(at - committed, 0) * 1000)
    done(*waits)
    manager.shutdown.set()
    await worker


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
