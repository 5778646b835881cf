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

PAYLOAD = b"n" * 300


async def main(verb: str, amount: int, batch: int) -> float:
    driver = AsyncpgDriver(await asyncpg.connect())
    queries = Queries(driver)
    if verb == "prepare":
        await queries.install()
        return 0
    began = time.perf_counter()
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

        await manager.run(batch_size=100, mode=QueueExecutionMode.drain)
    return amount / (time.perf_counter() - began)


if __name__ == "__main__":
    print(asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
