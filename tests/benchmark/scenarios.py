"""What is measured. Every scenario is measured for each contender in turn.

A scenario that peers take part in goes through clients: ours, theirs and plain psycopg.
"""

from __future__ import annotations

import re
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from benchmark import peer_scenarios
from benchmark.laboratory import HERE, LEAN, SYNAPSOR, WARM_UP, rate
from benchmark.processes import run_together
from psycopg.types.json import Jsonb
from synapsor_pg import Client, Delivery, Outcome, Queue, Registry, Worker, succeeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.laboratory import Bench, Contender
    from benchmark.peers import Peer


@dataclass(frozen=True)
class Scenario:
    """One line of the report; `target` is the ratio to lean, or a bound in the scenario's unit."""

    name: str
    unit: str
    target: str
    measure: Callable[[Bench, Contender], float]
    less_is_better: bool = False
    quick: bool = True
    """Whether bench-quick measures it too."""
    once: bool = False
    """Measured in one repetition only: it takes long."""
    peers: Callable[[Bench, Peer], float] | None = None
    """What peers do meanwhile."""
    peers_once: bool = False
    """Peers are measured in one repetition only."""


def propose(clients: int) -> Callable[[Bench, Contender], float]:
    def measure(bench: Bench, contender: Contender) -> float:
        bench.clean(contender)
        seconds = WARM_UP + bench.effort.seconds
        printed = bench.pgbench(contender, "propose", clients, f"--time={seconds}", "--progress=1")
        rates = re.findall(r"^progress: .*?([0-9.]+) tps", printed, re.MULTILINE)
        bench.finish(contender)
        return statistics.mean(float(rate) for rate in rates[WARM_UP:])

    return measure


def propose_batch(batch: int) -> Callable[[Bench, Contender], float]:
    def measure(bench: Bench, contender: Contender) -> float:
        bench.clean(contender)
        limit = f"--transactions={bench.effort.batches}"
        printed = bench.pgbench(contender, "propose_batch", 1, limit, batch=batch)
        bench.finish(contender)
        return rate(printed) * batch

    return measure


def work(batch: int, workers: int) -> Callable[[Bench, Contender], float]:
    def measure(bench: Bench, contender: Contender) -> float:
        rounds = bench.effort.actions[batch] // batch // workers
        bench.fill(contender, rounds * batch * workers)
        limit = f"--transactions={rounds}"
        printed = bench.pgbench(contender, "work", workers, limit, batch=batch)
        assert bench.unfinished(contender) == 0
        return rate(printed) * batch

    return measure


def atomic(bench: Bench, contender: Contender) -> float:
    """Atomic actions with a policy, a state machine, an event and an adapter step."""
    # A connection keeps its plans: none is to be made for empty tables.
    bench.pgbench(contender, "atomic", 1, "--transactions=100")
    bench.clean(contender)
    seconds = WARM_UP + bench.effort.seconds
    printed = bench.pgbench(contender, "atomic", 1, f"--time={seconds}", "--progress=1")
    rates = re.findall(r"^progress: .*?([0-9.]+) tps", printed, re.MULTILINE)
    bench.empty(contender)
    # The script performs two.
    return 2 * statistics.mean(float(rate) for rate in rates[WARM_UP:])


def ten_conditions(bench: Bench, contender: Contender) -> float:
    """The decision of a policy of ten conditions, in microseconds, beside the same in PL/pgSQL."""
    script = (HERE / contender.name / "ten_conditions.sql").read_text()
    with psycopg.connect(bench.dsn(), autocommit=True) as connection:
        connection.execute(script.encode())
        row = connection.execute("select pg_temp.spent()").fetchone()
    assert row is not None
    return float(row[0])


def wal_bytes(bench: Bench, contender: Contender) -> float:
    """Proposed one at a time, claimed and confirmed ten at a time."""
    actions = bench.effort.metered
    bench.clean(contender)
    began = bench.wal_position()
    bench.pgbench(contender, "propose", 1, f"--transactions={actions}")
    bench.pgbench(contender, "work", 1, f"--transactions={actions // 10}", batch=10)
    written = bench.wal_position() - began
    assert bench.unfinished(contender) == 0
    return written / actions


def cold_start(clock: Callable[[int], float]) -> Callable[[Bench, Contender], float]:
    """The first propose of a new connection, connecting excluded: the fastest of several."""

    def measure(bench: Bench, contender: Contender) -> float:
        statement = _propose_statement(contender)
        times = []
        for _ in range(bench.effort.cold_starts):
            with psycopg.connect(bench.dsn("bench_caller"), autocommit=True) as connection:
                server = connection.info.backend_pid
                began = clock(server)
                connection.execute(statement, [time.time_ns()])
                times.append((clock(server) - began) * 1000)
        bench.finish(contender)
        return min(times)

    return measure


def wall_clock(_process: int) -> float:
    return time.perf_counter()


def processor_clock(process: int) -> float:
    """Return the seconds a process has computed. It hardly matters what else the machine does."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


def approval(bench: Bench, contender: Contender) -> float:
    """Proposals that a reviewer approves, round after round."""
    bench.clean(contender)
    seconds = WARM_UP + bench.effort.seconds
    printed = bench.pgbench(contender, "approval", 1, f"--time={seconds}", "--progress=1")
    rates = re.findall(r"^progress: .*?([0-9.]+) tps", printed, re.MULTILINE)
    bench.finish(contender)
    return statistics.mean(float(rate) for rate in rates[WARM_UP:])


def crowded(queue: str, tenants: int, lanes: int) -> Callable[[Bench, Contender], float]:
    """Claim a hundred at a time what many tenants, or many ordering keys, have queued."""

    def measure(bench: Bench, contender: Contender) -> float:
        actions = bench.effort.actions[100] // 1000 * 1000
        if contender is LEAN:
            bench.fill(contender, actions)
        else:
            with psycopg.connect(bench.dsn(), autocommit=True) as connection:
                connection.execute(
                    "select bench_app.fill(%s, %s, %s, %s)", (queue, actions, tenants, lanes)
                )
            bench.clean(contender)
        limit = f"--transactions={actions // 100}"
        printed = bench.pgbench(contender, "work", 1, limit, batch=100, queue=queue)
        assert bench.unfinished(contender) == 0
        return rate(printed) * 100

    return measure


def held_open(bench: Bench, contender: Contender) -> float:
    """The last fifth of a drain during which a snapshot stayed open, to the normal rate."""
    actions = bench.effort.actions[10]
    fifth = f"--transactions={actions // 50}"
    bench.fill(contender, actions // 5)
    normal = rate(bench.pgbench(contender, "work", 1, fifth, batch=10))
    with psycopg.connect(bench.dsn()) as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute("select count(*) from pg_class")
        bench.fill(contender, actions)
        bench.pgbench(contender, "work", 1, f"--transactions={actions * 4 // 50}", batch=10)
        last = rate(bench.pgbench(contender, "work", 1, fifth, batch=10))
    bench.clean(contender)
    return last / normal


def backlog(place: int) -> Callable[[Bench, Contender], float]:
    """Claim and confirm from a backlog: its length must not matter."""

    def measure(bench: Bench, contender: Contender) -> float:
        waiting = bench.effort.backlogs[min(place, len(bench.effort.backlogs) - 1)]
        bench.fill(contender, waiting)
        bench.pgbench(contender, "work", 1, "--transactions=5", batch=10)
        printed = bench.pgbench(contender, "work", 1, "--transactions=90", batch=10)
        # Working off what is left of a million would take minutes, and tell nothing.
        bench.drop_backlog(contender)
        return rate(printed) * 10

    return measure


def history(bench: Bench, contender: Contender) -> float:
    """The rate with many finished actions kept, to the rate before."""
    normal = work(10, 1)(bench, contender)
    if contender is SYNAPSOR:
        with psycopg.connect(bench.dsn(), autocommit=True) as connection:
            connection.execute("select bench_app.pretend_history(%s)", (bench.effort.history,))
        bench.clean(contender)
    return work(10, 1)(bench, contender) / normal


def dead_tuples(bench: Bench, contender: Contender) -> float:
    """Rows left for vacuum by one action: each update and each delete leaves one."""
    tables = [table.strip() for table in contender.tables.split(",")]

    def counted() -> int:
        with psycopg.connect(bench.dsn()) as connection:
            row = connection.execute(
                "select sum(n_tup_upd + n_tup_del) from pg_stat_user_tables"
                " where relid = any(%s::text[]::regclass[])",
                (tables,),
            ).fetchone()
        assert row is not None
        return int(row[0])

    actions = bench.effort.metered
    before = counted()
    bench.pgbench(contender, "propose", 1, f"--transactions={actions}")
    bench.pgbench(contender, "work", 1, f"--transactions={actions // 10}", batch=10)
    return (counted() - before) / actions


def memory(bench: Bench, contender: Contender) -> float:
    """What a connection's server process holds for itself after many proposals, in MB."""
    statement = _propose_statement(contender)
    with psycopg.connect(bench.dsn("bench_caller"), autocommit=True) as connection:
        for _ in range(bench.effort.calls):
            connection.execute(statement, [time.time_ns()], prepare=True)
        held = peer_scenarios.private_memory(connection.info.backend_pid)
    bench.finish(contender)
    return held


class Pickup:
    """How long actions wait for a worker that slept: one run tells median and slowest."""

    def __init__(self) -> None:
        self.waits: dict[str, list[float]] = {}

    def median(self, bench: Bench, contender: Contender) -> float:
        return self._remember(contender, _pickups(bench, contender))

    def peers_median(self, bench: Bench, peer: Peer) -> float:
        return self._remember(peer, peer_scenarios.pickups(bench, peer))

    def slowest(self, _bench: Bench, contender: Contender | Peer) -> float:
        """All but the slowest in a hundred took no longer."""
        waits = self.waits[contender.name]
        return waits[min(int(0.99 * len(waits)), len(waits) - 1)]

    def _remember(self, contender: Contender | Peer, waits: list[float]) -> float:
        self.waits[contender.name] = sorted(waits)
        return statistics.median(waits)


def _pickups(bench: Bench, contender: Contender) -> list[float]:
    """From commit to the handler; for lean, to a listener that claimed: milliseconds."""
    reached: list[float] = []
    picked_up = threading.Event()

    def note() -> None:
        reached.append(time.perf_counter())
        picked_up.set()

    end, worker = (_lean_listener if contender is LEAN else _sleeping_worker)(bench, note)
    waits = []
    statement = _propose_statement(contender)
    try:
        with psycopg.connect(bench.dsn("bench_caller"), autocommit=True) as connection:
            for number in range(bench.effort.pickups + 5):
                time.sleep(0.02)
                picked_up.clear()
                with connection.transaction():
                    connection.execute(statement, [time.time_ns()], prepare=True)
                    if contender is LEAN:
                        connection.execute("notify lean_actions")
                committed = time.perf_counter()
                assert picked_up.wait(30)
                if number >= 5:
                    waits.append(max(reached[-1] - committed, 0) * 1000)
    finally:
        end()
        worker.join()
    bench.finish(contender)
    return waits


def _lean_listener(
    bench: Bench, note: Callable[[], None]
) -> tuple[Callable[[], None], threading.Thread]:
    over = threading.Event()
    listens = threading.Event()

    def listen() -> None:
        with psycopg.connect(bench.dsn("bench_worker"), autocommit=True) as connection:
            connection.execute("listen lean_actions")
            listens.set()
            while not over.is_set():
                # As long as it is asked for notifications, the connection does nothing else.
                if not list(connection.notifies(timeout=0.2, stop_after=1)):
                    continue
                row = connection.execute(LEAN_CLAIM, [1]).fetchone()
                if row is not None and row[0]:
                    note()
                    connection.execute("delete from lean.actions where id = any(%s)", [row[0]])

    worker = threading.Thread(target=listen)
    worker.start()
    listens.wait(30)
    return over.set, worker


def _sleeping_worker(
    bench: Bench, note: Callable[[], None]
) -> tuple[Callable[[], None], threading.Thread]:
    registry = Registry()

    @registry.handler("stripe", "refunds.create")
    def refund(_delivery: Delivery) -> Outcome:
        note()
        return succeeded()

    queue = Queue("billing", begin="claim")  # the contract's provider deduplicates
    made = Worker(bench.dsn("bench_worker"), queues=[queue], registry=registry)
    worker = threading.Thread(target=made.run, kwargs={"install_signals": False})
    worker.start()
    time.sleep(1)
    return made.stop, worker


LEAN_CLAIM = """
    with claimed as (
        update lean.actions as action
        set state = 'claimed'
        where action.id = any(array(
            select ready.id from lean.actions as ready where ready.state = 'ready'
            order by ready.id limit %s for update skip locked
        ))
        returning action.id
    )
    select array_agg(id) from claimed
"""


def _propose_statement(contender: Contender) -> bytes:
    script = (HERE / contender.name / "propose.sql").read_text()
    return script.partition("\n")[2].replace(":number", "%s::bigint").encode()


def _arguments(number: int) -> dict[str, Any]:
    return {"charge_id": f"ch_{number}", "amount_cents": 2500, "note": "n" * 230}


def enqueue_one_by_one(contender: str, connection: psycopg.Connection[Any], amount: int) -> None:
    """Through a client, each committed."""
    client = Client(connection)
    first = time.time_ns()
    for number in range(first, first + amount):
        if contender == LEAN.name:
            connection.execute(
                "insert into lean.actions (payload) values (%s)", [Jsonb(_arguments(number))]
            )
        else:
            client.propose_external_action("billing.issue_refund", _arguments(number))


def client_enqueue(processes: int) -> Callable[[Bench, Contender], float]:
    """One at a time through clients, each a process of its own."""

    def measure(bench: Bench, contender: Contender) -> float:
        each = bench.effort.through_clients // (5 if processes == 1 else 10)
        seconds = _client_processes(bench, contender, "enqueue", each, processes)
        bench.finish(contender)
        return each * processes / max(seconds)

    return measure


def _client_processes(
    bench: Bench, contender: Contender, verb: str, number: int, processes: int
) -> list[float]:
    dsn = bench.dsn("bench_caller" if verb == "enqueue" else "bench_worker")
    script = HERE / "client_process.py"
    words = [sys.executable, script, contender.name, verb, dsn, str(number)]
    return run_together(words, processes)


def client_enqueue_batch(bench: Bench, contender: Contender) -> float:
    """A thousand at once through a client."""
    amount = bench.effort.through_clients
    began = time.perf_counter()
    _enqueue(bench, contender, amount)
    spent = time.perf_counter() - began
    bench.finish(contender)
    return amount / spent


def _enqueue(bench: Bench, contender: Contender, amount: int) -> None:
    with psycopg.connect(bench.dsn("bench_caller"), autocommit=True) as connection:
        client = Client(connection)
        for _ in range(0, amount, 1000):
            first = time.time_ns()
            many = [_arguments(number) for number in range(first, first + 1000)]
            if contender is LEAN:
                connection.execute(
                    "insert into lean.actions (payload) select unnest(%s::jsonb[])",
                    [[Jsonb(each) for each in many]],
                )
            else:
                client.propose_external_actions("billing.issue_refund", many)


def client_work(batch: int, processes: int) -> Callable[[Bench, Contender], float]:
    """Through workers with a handler that does nothing, each a process of its own."""

    def measure(bench: Bench, contender: Contender) -> float:
        amount = bench.effort.through_clients
        _enqueue(bench, contender, amount)
        bench.clean(contender)
        seconds = _client_processes(bench, contender, "drain", batch, processes)
        assert bench.unfinished(contender) == 0
        return amount / max(seconds)

    return measure


def client_held_open(bench: Bench, contender: Contender) -> float:
    """The last of some rounds during which a snapshot stayed open, to the normal rate."""
    round_of_work = client_work(100, 1)
    normal = round_of_work(bench, contender)
    with psycopg.connect(bench.dsn()) as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute("select count(*) from pg_class")
        for _ in range(peer_scenarios.ROUNDS):
            last = round_of_work(bench, contender)
    bench.clean(contender)
    return last / normal


PICKUP = Pickup()

SCENARIOS = (
    Scenario("propose, 1 client", "/s", "≥ .60x", propose(1)),
    Scenario("propose, 8 clients", "/s", "≥ .58x", propose(8)),
    Scenario("propose in batches of 1000", "/s", "≥ .35x", propose_batch(1000)),
    Scenario("claim+confirm, b1 w1", "/s", "", work(1, 1)),
    Scenario("claim+confirm, b1 w4", "/s", "≥ .85x", work(1, 4)),
    Scenario("claim+confirm, b10 w1", "/s", "", work(10, 1)),
    Scenario("claim+confirm, b10 w4", "/s", "≥ .90x", work(10, 4)),
    Scenario("claim+confirm, b100 w1", "/s", "", work(100, 1)),
    Scenario("claim+confirm, b100 w4", "/s", "≥ .95x", work(100, 4)),
    Scenario("approval round", "/s", "", approval),
    Scenario("1,000 tenants, b100 w1", "/s", "", crowded("crowd", 1000, 0)),
    Scenario("200 ordering keys, b100 w1", "/s", "", crowded("lanes", 1, 200)),
    Scenario("atomic, 1 client", "/s", "≥ .33x", atomic),
    Scenario("policy of 10 conditions", "µs", "≤ 50", ten_conditions, less_is_better=True),
    Scenario(
        "WAL per action",
        "bytes",
        "≤ 1600",
        wal_bytes,
        less_is_better=True,
        peers=peer_scenarios.wal_bytes,
        peers_once=True,
    ),
    Scenario(
        "dead tuples per action",
        "rows",
        "",
        dead_tuples,
        less_is_better=True,
        peers=peer_scenarios.dead_tuples,
        peers_once=True,
    ),
    Scenario(
        "cold first propose",
        "ms",
        "≤ 25",
        cold_start(wall_clock),
        less_is_better=True,
        quick=False,
    ),
    # What bench-quick holds us to: the lean one takes a millisecond, and a quotient of so little
    # tells most of what else the machine did.
    Scenario(
        "cold first propose, server's CPU",
        "ms",
        "",
        cold_start(processor_clock),
        less_is_better=True,
    ),
    Scenario(
        "memory of a connection",
        "MB",
        "",
        memory,
        less_is_better=True,
        peers=peer_scenarios.memory,
        peers_once=True,
    ),
    Scenario(
        "pick-up, p50",
        "ms",
        "≤ 3",
        PICKUP.median,
        less_is_better=True,
        quick=False,
        peers=PICKUP.peers_median,
        peers_once=True,
    ),
    Scenario(
        "pick-up, p99",
        "ms",
        "≤ 8",
        PICKUP.slowest,
        less_is_better=True,
        quick=False,
        peers=PICKUP.slowest,
        peers_once=True,
    ),
    Scenario("snapshot held open, last fifth", "x", "≥ .90", held_open, quick=False),
    Scenario(
        "the same through own worker, b100",
        "x",
        "≥ .90",
        client_held_open,
        quick=False,
        once=True,
        peers=peer_scenarios.held_open,
    ),
    Scenario(
        "enqueue through 1 client",
        "/s",
        "",
        client_enqueue(1),
        quick=False,
        peers=peer_scenarios.enqueue(1),
    ),
    Scenario(
        "enqueue through 8 clients",
        "/s",
        "",
        client_enqueue(8),
        quick=False,
        peers=peer_scenarios.enqueue(8),
        peers_once=True,
    ),
    Scenario(
        "enqueue through a client, 1000 at once",
        "/s",
        "",
        client_enqueue_batch,
        quick=False,
        peers=peer_scenarios.enqueue_batch,
    ),
    *(
        Scenario(
            f"own worker, b{batch} w{processes}",
            "/s",
            target,
            client_work(batch, processes),
            quick=False,
            peers=peer_scenarios.drain(batch, processes),
            peers_once=(batch, processes) != (100, 1),
        )
        for batch, processes, target in (
            (1, 1, ""),
            (1, 4, ""),
            (10, 1, ""),
            (10, 4, ""),
            (100, 1, "≥ 10000"),
            (100, 4, "≥ 25000"),
        )
    ),
    Scenario("backlog of 10,000, b10 w1", "/s", "", backlog(0), quick=False, once=True),
    Scenario("backlog of 100,000, b10 w1", "/s", "", backlog(1), quick=False, once=True),
    Scenario("backlog of 1,000,000, b10 w1", "/s", "", backlog(2), quick=False, once=True),
    # Last, because what it keeps would weigh on the others.
    Scenario("1,000,000 finished kept", "x", "≥ .97", history, quick=False, once=True),
)
