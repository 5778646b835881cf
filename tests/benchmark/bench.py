#!/usr/bin/env python3
"""Measures synapsor beside the leanest schema that does the same, and prints both with their ratio.

    make bench          three repetitions of a few seconds each
    make bench-quick    the same in under two minutes, for everyday use

Everything runs in a durable cluster of its own (fsync and synchronous_commit on), interleaved:
each repetition measures every contender in turn. Rates are medians over the repetitions, the ratio
is the median of each repetition's own ratio, because another minute is another machine. Only ratios
carry over to another machine; differences under 15 % mean nothing. The work is pgbench's, with one
script per contender and job in the folders beside this file; what the scripts do around the verbs
(building 300 bytes of arguments, aggregating what was claimed) is the same for all.

Autovacuum is off and every run begins vacuumed, so that none pays for the one before.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import psycopg  # noqa: E402
from benchmark import plans  # noqa: E402
from support.cluster import REPOSITORY, SUPERUSER, Cluster, bindir, roomy_root  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import LiteralString

RESULTS = REPOSITORY / "build/benchmark/results.json"
CORES = os.cpu_count() or 1
WARM_UP = 1  # seconds: a new connection plans and imports first, which has a line of its own

SETTINGS = {
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "max_wal_size": "8GB",
}


@dataclass(frozen=True)
class Contender:
    """Somebody to measure: its scripts are in the folder of its name."""

    name: str
    tables: LiteralString
    unfinished: LiteralString
    steps: LiteralString


LEAN = Contender(
    "lean",
    "lean.actions, lean.action_invocations, lean.open_external_actions, "
    "lean.external_action_events, lean.policy_evaluations, lean.domain_events, "
    "lean.event_subjects, lean.invoices",
    "lean.actions",
    "lean.open_external_actions",
)
SYNAPSOR = Contender(
    "synapsor",
    "synapsor.open_external_actions, synapsor.action_invocations, synapsor.external_action_events, "
    "synapsor.policy_evaluations, synapsor.domain_events, synapsor.event_subjects, "
    "bench_app.invoices",
    "synapsor.open_external_actions",
    "synapsor.open_external_actions",
)
CONTENDERS = (LEAN, SYNAPSOR)


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    repetitions: int
    seconds: int
    batches: int
    actions: dict[int, int]
    metered: int
    cold_starts: int


FULL = Effort(3, 4, 30, {1: 4000, 10: 20000, 100: 60000}, 4000, 7)
QUICK = Effort(3, 1, 10, {1: 200, 10: 2000, 100: 8000}, 1000, 3)


@dataclass(frozen=True)
class Scenario:
    """One line of the report; `target` is the ratio to lean, or a bound in the scenario's unit."""

    name: str
    unit: str
    target: str
    measure: Callable[[Bench, Contender], float]


@dataclass(frozen=True)
class Line:
    """What a scenario came to."""

    name: str
    unit: str
    target: str
    medians: dict[str, float]
    ratio: float
    samples: dict[str, list[float]]


@dataclass(frozen=True)
class Bench:
    """A cluster with every contender in it."""

    cluster: Cluster
    effort: Effort

    def dsn(self, user: str = SUPERUSER) -> str:
        return self.cluster.dsn("postgres", user)

    def prepare(self) -> None:
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute("create role bench_caller login")
            connection.execute("create role bench_worker login")
        for contender in CONTENDERS:
            run(
                bindir() / "psql",
                "--no-psqlrc",
                "--quiet",
                "--set=ON_ERROR_STOP=1",
                f"--file={HERE / contender.name / 'prepare.sql'}",
                self.dsn(),
            )

    def clean(self, contender: Contender) -> None:
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(f"vacuum (analyze) {contender.tables}")

    def unfinished(self, contender: Contender) -> int:
        with psycopg.connect(self.dsn()) as connection:
            row = connection.execute(f"select count(*) from {contender.unfinished}").fetchone()
        assert row is not None
        return int(row[0])

    def wal_position(self) -> int:
        with psycopg.connect(self.dsn()) as connection:
            row = connection.execute("select pg_current_wal_insert_lsn() - '0/0'").fetchone()
        assert row is not None
        return int(row[0])

    def pgbench(
        self, contender: Contender, script: str, clients: int, *limits: str, batch: int = 1
    ) -> str:
        """Run a script and return what pgbench says about it."""
        user = "bench_worker" if script == "work" else "bench_caller"
        printed = run(
            bindir() / "pgbench",
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={clients}",
            f"--jobs={min(clients, CORES)}",
            f"--define=batch={batch}",
            f"--file={HERE / contender.name / f'{script}.sql'}",
            *limits,
            self.dsn(user),
        )
        if not re.search(r"^number of failed transactions: 0 ", printed, re.MULTILINE):
            raise RuntimeError(f"{contender.name} {script}:\n{printed}")
        return printed

    def finish(self, contender: Contender) -> None:
        """Empty the backlog that proposing left, so that it weighs on nobody."""
        if left := self.unfinished(contender):
            self.pgbench(contender, "work", 1, f"--transactions={-(-left // 1000)}", batch=1000)
        assert self.unfinished(contender) == 0

    def empty(self, contender: Contender) -> None:
        """Drop the adapter steps that atomic actions left: nobody delivers them here."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(f"delete from {contender.steps}")
        self.clean(contender)

    def fill(self, contender: Contender, actions: int) -> None:
        assert self.unfinished(contender) == 0
        batch = min(actions, 1000)
        for size, times in ((batch, actions // batch), (actions % batch, 1)):
            if size:
                limit = f"--transactions={times}"
                self.pgbench(contender, "propose_batch", 1, limit, batch=size)
        assert self.unfinished(contender) == actions
        self.clean(contender)


def run(*command: str | Path) -> str:
    """Run a program and return what it prints."""
    finished = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{finished.stdout}")
    return finished.stdout


def rate(printed: str) -> float:
    """Return the transactions per second of a whole run, connecting excluded."""
    found = re.search(r"^tps = ([0-9.]+)", printed, re.MULTILINE)
    assert found is not None
    return float(found[1])


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


def cold_start(bench: Bench, contender: Contender) -> float:
    """The first propose of a new connection, connecting excluded, in milliseconds."""
    script = (HERE / contender.name / "propose.sql").read_text()
    statement = script.partition("\n")[2].replace(":number", "%s::bigint")
    times = []
    for _ in range(bench.effort.cold_starts):
        with psycopg.connect(bench.dsn("bench_caller"), autocommit=True) as connection:
            began = time.perf_counter()
            connection.execute(statement.encode(), [time.time_ns()])
            times.append((time.perf_counter() - began) * 1000)
    bench.finish(contender)
    return statistics.median(times)


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
    Scenario("atomic, 1 client", "/s", "≥ .33x", atomic),
    Scenario("policy of 10 conditions", "µs", "≤ 50", ten_conditions),
    Scenario("WAL per action", "bytes", "≤ 1600", wal_bytes),
    Scenario("cold first propose", "ms", "≤ 25", cold_start),
)


def measure(bench: Bench, chosen: Sequence[Scenario]) -> list[Line]:
    samples: dict[str, dict[str, list[float]]] = {
        scenario.name: {contender.name: [] for contender in CONTENDERS} for scenario in chosen
    }
    for repetition in range(1, bench.effort.repetitions + 1):
        for scenario in chosen:
            tell(f"{repetition}/{bench.effort.repetitions}  {scenario.name}")
            for contender in CONTENDERS:
                value = scenario.measure(bench, contender)
                samples[scenario.name][contender.name].append(value)
    tell("")
    return [line(scenario, samples[scenario.name]) for scenario in chosen]


def line(scenario: Scenario, samples: dict[str, list[float]]) -> Line:
    pairs = zip(samples[SYNAPSOR.name], samples[LEAN.name], strict=True)
    return Line(
        scenario.name,
        scenario.unit,
        scenario.target,
        {name: statistics.median(values) for name, values in samples.items()},
        statistics.median(ours / lean for ours, lean in pairs),
        samples,
    )


def tell(progress: str) -> None:
    """Show what is going on, on one line of the terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{progress}", end="", file=sys.stderr, flush=True)


def table(lines: Sequence[Line]) -> str:
    rows = [["", "lean", "synapsor", "", "ratio", "target"]]
    for each in lines:
        digits = 1 if each.unit in ("ms", "µs") else 0
        medians = [f"{each.medians[contender.name]:,.{digits}f}" for contender in CONTENDERS]
        rows.append([each.name, *medians, each.unit, f"{each.ratio:.2f}x", each.target])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligns = ["<", ">", ">", "<", ">", "<"]
    return "\n".join(
        "  ".join(
            f"{cell:{align}{width}}" for cell, align, width in zip(row, aligns, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def surroundings(bench: Bench) -> dict[str, Any]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": run("git", "-C", REPOSITORY, "describe", "--always", "--dirty").strip(),
        "server": run(bindir() / "postgres", "--version").strip(),
        "cores": CORES,
        "load": os.getloadavg(),
        "effort": asdict(bench.effort),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="synapsor beside the leanest schema")
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    parser.add_argument("--repetitions", type=int, help="of every measurement")
    asked = parser.parse_args(arguments)
    chosen = [scenario for scenario in SCENARIOS if asked.only in scenario.name]
    effort = QUICK if asked.quick else FULL
    if asked.repetitions:
        effort = Effort(**asdict(effort) | {"repetitions": asked.repetitions})
    cluster = Cluster(roomy_root() / f"benchmark-{os.getpid()}")
    bench = Bench(cluster, effort)
    try:
        cluster.create(durable=True, settings=SETTINGS)
        bench.prepare()
        facts = surroundings(bench)
        lines = measure(bench, chosen)
        sizes = plans.measure(bench.dsn(), effort.repetitions) if asked.only in "plans" else []
    finally:
        cluster.delete()
    if lines:
        print(table(lines))
    if sizes:
        print(f"\n{plans.table(sizes)}")
    print(f"\n{effort.repetitions} repetitions, {CORES} cores, load {facts['load'][0]:.1f}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    document = facts | {
        "scenarios": [asdict(each) for each in lines],
        "plans": [asdict(each) for each in sizes],
    }
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    print(f"details: {RESULTS.relative_to(REPOSITORY)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
