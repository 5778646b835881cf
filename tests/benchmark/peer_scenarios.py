"""What peers do in the scenarios that they take part in. Each leaves the peer's database empty.

Their databases are reached through their own clients alone, and their workers work until nothing is
left: hence there is nothing of theirs beside a backlog of which only the head is claimed, nor
beside a million finished. Whose worker does some hundreds a second is given a fifth of the amount.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from benchmark import peers

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.laboratory import Bench
    from benchmark.peers import Peer

    Measure = Callable[[Bench, Peer], float]

ROUNDS = 5


def enqueue(processes: int) -> Measure:
    def measure(bench: Bench, peer: Peer) -> float:
        each = bench.effort.through_clients // (5 if processes == 1 else 10)
        seconds = peers.measure(peer, bench.cluster, "enqueue", each, processes=processes)
        peers.prepare(peer, bench.cluster)
        return each * processes / max(seconds)

    return measure


def enqueue_batch(bench: Bench, peer: Peer) -> float:
    amount = bench.effort.through_clients // peer.divisor
    [seconds] = peers.measure(peer, bench.cluster, "enqueue_batch", amount, batch=1000)
    peers.prepare(peer, bench.cluster)
    return amount / seconds


def drain(batch: int, processes: int) -> Measure:
    def measure(bench: Bench, peer: Peer) -> float:
        rate = _fill_and_drain(bench, peer, batch, processes)
        peers.prepare(peer, bench.cluster)
        return rate

    return measure


def _fill_and_drain(bench: Bench, peer: Peer, batch: int, processes: int = 1) -> float:
    amount = bench.effort.through_clients // peer.divisor
    peers.measure(peer, bench.cluster, "enqueue_batch", amount, batch=1000)
    with psycopg.connect(_dsn(bench, peer), autocommit=True) as connection:
        connection.execute("vacuum (analyze)")
    seconds = peers.measure(peer, bench.cluster, "drain", amount, batch=batch, processes=processes)
    return amount / max(seconds)


def held_open(bench: Bench, peer: Peer) -> float:
    """The last of some rounds during which a snapshot stayed open, to the normal rate."""
    normal = _fill_and_drain(bench, peer, 100)
    with psycopg.connect(_dsn(bench, peer)) as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute("select count(*) from pg_class")
        for _ in range(ROUNDS):
            last = _fill_and_drain(bench, peer, 100)
    peers.prepare(peer, bench.cluster)
    return last / normal


def wal_bytes(bench: Bench, peer: Peer) -> float:
    return _through(bench, peer, bench.wal_position)


def dead_tuples(bench: Bench, peer: Peer) -> float:
    def counted() -> int:
        with psycopg.connect(_dsn(bench, peer)) as connection:
            row = connection.execute(
                "select sum(n_tup_upd + n_tup_del) from pg_stat_user_tables"
            ).fetchone()
        assert row is not None
        return int(row[0] or 0)

    return _through(bench, peer, counted)


def _through(bench: Bench, peer: Peer, meter: Callable[[], int]) -> float:
    """What a meter shows of each job that is enqueued alone and worked off with nine others."""
    amount = bench.effort.metered // 4
    before = meter()
    peers.measure(peer, bench.cluster, "enqueue", amount)
    peers.measure(peer, bench.cluster, "drain", amount, batch=10)
    shown = meter() - before
    peers.prepare(peer, bench.cluster)
    return shown / amount


def memory(bench: Bench, peer: Peer) -> float:
    held: list[float] = []

    def look() -> None:
        with psycopg.connect(bench.dsn()) as connection:
            for (pid,) in connection.execute(
                "select pid from pg_stat_activity where datname = %s", (peer.database,)
            ):
                held.append(private_memory(pid))

    peers.measure(peer, bench.cluster, "enqueue", bench.effort.calls, look=look)
    peers.prepare(peer, bench.cluster)
    return max(held)


def private_memory(pid: int) -> float:
    """Return what a process holds for itself, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    held = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    assert held is not None
    return int(held[1]) / 1024


def pickups(bench: Bench, peer: Peer) -> list[float]:
    waits = peers.measure(peer, bench.cluster, "pickup", bench.effort.pickups + 5)[5:]
    peers.prepare(peer, bench.cluster)
    return waits


def _dsn(bench: Bench, peer: Peer) -> str:
    return bench.cluster.dsn(peer.database)
