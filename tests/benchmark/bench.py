#!/usr/bin/env python3
"""Measures synapsor beside the leanest schema that does the same, and beside its peers.

    make bench          everything, three repetitions; peers are installed into .run/peers
    make bench-quick    ours and the lean one in under two minutes; fails when a ratio fell behind
    ARGS="--record"     keep this run's ratios as those that bench-quick holds us to

Everything runs in a durable cluster of its own (fsync and synchronous_commit on), interleaved:
each repetition measures every contender in turn. Figures are medians over the repetitions, a ratio
is the median of each repetition's own ratio to lean, because another minute is another machine.
Only ratios carry over to another machine; differences under 15 % mean nothing. What goes through
SQL is pgbench's work, with one script per contender and job in the folders beside this file; what
the scripts do around the verbs (building 300 bytes of arguments, aggregating what was claimed) is
the same for all. What peers take part in goes through clients: theirs, ours, and psycopg for lean.

Autovacuum is off and every run begins vacuumed, so that none pays for the one before.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmark import peers, plans, report  # noqa: E402
from benchmark.laboratory import CONTENDERS, CORES, FULL, QUICK, SETTINGS, Bench, run  # noqa: E402
from benchmark.processes import FailedError  # noqa: E402
from benchmark.scenarios import SCENARIOS  # noqa: E402
from support.cluster import REPOSITORY, Cluster, bindir, roomy_root  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmark.peers import Peer
    from benchmark.scenarios import Scenario

RESULTS = REPOSITORY / "build/benchmark"
RECORDED = HERE / "ratios.json"

SMALLER = """procrastinate, absurd and dbos, some hundreds a second, are given a fifth of the jobs.
WAL and dead tuples of peers are those of 1,000 jobs."""

SECOND_LOOKS = 2
FAILURES = (RuntimeError, AssertionError, FailedError, psycopg.Error)


def sweep() -> None:
    """Remove the clusters of runs that were killed."""
    for directory in roomy_root().glob("benchmark-*"):
        if not Path("/proc", directory.name.removeprefix("benchmark-")).exists():
            Cluster(directory).delete()


def tell(progress: str) -> None:
    """Show what is going on: on one line of the terminal, or on a line each."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{progress}", end="", file=sys.stderr, flush=True)
    elif progress:
        print(f"{datetime.now(UTC):%H:%M:%S}  {progress}", file=sys.stderr, flush=True)


def find_peers(bench: Bench) -> tuple[dict[Peer, str], dict[str, str]]:
    """Install and prepare the peers; return those that are there, and why others are not."""
    found, missing = {}, {}
    for peer in peers.PEERS:
        tell(f"installing {peer.name}")
        try:
            version = peers.install(peer)
            peers.prepare(peer, bench.cluster)
        except peers.UnavailableError as error:
            missing[peer.name] = str(error)
        else:
            found[peer] = version
    return found, missing


@dataclass
class Findings:
    """What was measured so far, and what could not be, and why."""

    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[report.Line]:
        return [
            report.Line(
                scenario.name,
                scenario.unit,
                scenario.target,
                scenario.less_is_better,
                self.samples[scenario.name],
                "once" if scenario.once else "peers once" if scenario.peers_once else "",
            )
            for scenario in SCENARIOS
            if scenario.name in self.samples and scenario.name not in self.broken
        ]


def measure(
    bench: Bench, chosen: Sequence[Scenario], found: dict[Peer, str], findings: Findings
) -> None:
    """Measure everything; what fails is told and does not take the rest with it."""
    for repetition in range(1, bench.effort.repetitions + 1):
        for scenario in chosen:
            if scenario.name in findings.broken or (scenario.once and repetition > 1):
                continue
            progress = f"{repetition}/{bench.effort.repetitions}  {scenario.name}"
            tell(progress)
            try:
                values = [scenario.measure(bench, contender) for contender in CONTENDERS]
            except FAILURES as error:
                findings.broken[scenario.name] = f"{type(error).__name__}: {error}"
                bench.start_anew()
                continue
            measured = findings.samples.setdefault(scenario.name, {})
            for contender, value in zip(CONTENDERS, values, strict=True):
                measured.setdefault(contender.name, []).append(value)
            if not found or scenario.peers is None or (scenario.peers_once and repetition > 1):
                continue
            for peer in found:
                tell(f"{progress}: {peer.name}")
                try:
                    value = scenario.peers(bench, peer)
                except peers.UnavailableError as error:
                    findings.missing[f"{peer.name}, {scenario.name}"] = str(error)
                    peers.prepare(peer, bench.cluster)
                else:
                    measured.setdefault(peer.name, []).append(value)
    tell("")


def measure_again(bench: Bench, findings: Findings, recorded: Mapping[str, float]) -> None:
    """Measure again what seems to have fallen behind: one slow second is no regression."""
    for _ in range(SECOND_LOOKS):
        worse = report.regressions(findings.lines(), recorded)
        if not worse:
            return
        measure(bench, [each for each in SCENARIOS if each.name in worse], {}, findings)


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
    parser = argparse.ArgumentParser(description="synapsor beside the leanest schema and its peers")
    parser.add_argument("--quick", action="store_true", help="under two minutes, without peers")
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    parser.add_argument("--repetitions", type=int, help="of every measurement")
    parser.add_argument("--record", action="store_true", help="hold bench-quick to these ratios")
    asked = parser.parse_args(arguments)
    chosen = [
        scenario
        for scenario in SCENARIOS
        if asked.only in scenario.name and (scenario.quick or not asked.quick)
    ]
    effort = QUICK if asked.quick else FULL
    if asked.repetitions:
        effort = replace(effort, repetitions=asked.repetitions)
    cluster = Cluster(roomy_root() / f"benchmark-{os.getpid()}")
    bench = Bench(cluster, effort)
    found: dict[Peer, str] = {}
    findings = Findings()
    # Interrupted or killed, a run tells what it has measured and leaves no server behind; what a
    # SIGKILL left, the next one removes.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sweep()
    try:
        cluster.create(durable=True, settings=SETTINGS)
        bench.prepare()
        facts = surroundings(bench)
        sizes: list[plans.Size] = []
        is_cut_short = False
        try:
            if not asked.quick and any(scenario.peers for scenario in chosen):
                found, findings.missing = find_peers(bench)
            measure(bench, chosen, found, findings)
            if asked.quick and not asked.record:
                measure_again(bench, findings, recorded())
            if asked.only in "plans" and not asked.quick:
                sizes = plans.measure(bench.dsn(), effort.repetitions)
        except KeyboardInterrupt:
            is_cut_short = True
        facts["versions"] = {peer.name: version for peer, version in found.items()}
        facts["is_cut_short"] = is_cut_short
        show(facts, findings, sizes)
    finally:
        cluster.delete()
    if is_cut_short:
        return 130
    if findings.broken:
        return 1
    return judge(findings.lines(), quick=asked.quick, record=asked.record)


def show(facts: dict[str, Any], findings: Findings, sizes: Sequence[plans.Size]) -> None:
    """Print the report, and write it as JSON and as a chart."""
    lines = findings.lines()
    unmeasured = findings.missing | findings.broken
    if lines:
        print(report.table(lines))
    if sizes:
        print(f"\n{plans.table(sizes)}")
    if facts["versions"]:
        print("\npeers: " + ", ".join(f"{name} {what}" for name, what in facts["versions"].items()))
        print(SMALLER)
    for name, reason in unmeasured.items():
        print(f"not measured: {name} ({reason})")
    if facts["is_cut_short"]:
        print("\ncut short: what is above was measured before")
    repetitions = facts["effort"]["repetitions"]
    print(f"\n{repetitions} repetitions, {CORES} cores, load {facts['load'][0]:.1f}", flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    document = facts | {
        "not_measured": unmeasured,
        "scenarios": [asdict(line) for line in lines],
        "plans": [asdict(each) for each in sizes],
    }
    (RESULTS / "results.json").write_text(json.dumps(document, indent=2) + "\n")
    title = f"Ratio to the leanest schema, {facts['commit']}, {CORES} cores; longer is better"
    (RESULTS / "ratios.svg").write_text(report.chart(lines, title))
    print(f"details: {(RESULTS / 'results.json').relative_to(REPOSITORY)}, ratios.svg beside it")


def recorded() -> dict[str, float]:
    return json.loads(RECORDED.read_text()) if RECORDED.exists() else {}


def judge(lines: Sequence[report.Line], *, quick: bool, record: bool) -> int:
    """Hold a quick run to the recorded ratios, or record those of this one."""
    before = recorded()
    if record:
        now = {line.name: round(line.ratios[report.OURS], 3) for line in lines if line.ratios}
        RECORDED.write_text(json.dumps(before | now, indent=2) + "\n")
        print(f"recorded: {RECORDED.relative_to(REPOSITORY)}")
        return 0
    worse = report.regressions(lines, before)
    for one in worse.values():
        print(f"fell behind by a fifth or more: {one}", file=sys.stderr)
    return 1 if worse and quick else 0


if __name__ == "__main__":
    sys.exit(main())
