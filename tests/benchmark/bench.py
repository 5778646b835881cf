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
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmark import peers, plans, report  # noqa: E402
from benchmark.laboratory import CONTENDERS, CORES, FULL, QUICK, SETTINGS, Bench, run  # noqa: E402
from benchmark.scenarios import SCENARIOS  # noqa: E402
from support.cluster import REPOSITORY, Cluster, bindir, roomy_root  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.peers import Peer
    from benchmark.scenarios import Scenario

RESULTS = REPOSITORY / "build/benchmark"
RECORDED = HERE / "ratios.json"


def tell(progress: str) -> None:
    """Show what is going on, on one line of the terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{progress}", end="", file=sys.stderr, flush=True)


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


def measure_peer(bench: Bench, peer: Peer, verb: str) -> float:
    """Let a peer do what a scenario asks, and leave nothing behind."""
    amount = bench.effort.through_clients
    if verb == "enqueue":
        amount //= 5
    if verb == "drain":
        peers.measure(peer, bench.cluster, "enqueue_batch", amount, 1000)
        return peers.measure(peer, bench.cluster, "drain", amount)
    rate = peers.measure(peer, bench.cluster, verb, amount, 1000)
    peers.measure(peer, bench.cluster, "drain", amount)
    return rate


def measure(
    bench: Bench, chosen: Sequence[Scenario], found: dict[Peer, str], missing: dict[str, str]
) -> list[report.Line]:
    samples: dict[str, dict[str, list[float]]] = {scenario.name: {} for scenario in chosen}
    for repetition in range(1, bench.effort.repetitions + 1):
        for scenario in chosen:
            if scenario.once and repetition > 1:
                continue
            tell(f"{repetition}/{bench.effort.repetitions}  {scenario.name}")
            measured = samples[scenario.name]
            for contender in CONTENDERS:
                value = scenario.measure(bench, contender)
                measured.setdefault(contender.name, []).append(value)
            for peer in list(found) if scenario.peers else ():
                tell(f"{repetition}/{bench.effort.repetitions}  {scenario.name}: {peer.name}")
                try:
                    value = measure_peer(bench, peer, scenario.peers or "")
                except peers.UnavailableError as error:
                    missing[peer.name] = f"{scenario.name}: {error}"
                    del found[peer]
                else:
                    measured.setdefault(peer.name, []).append(value)
    tell("")
    for measured in samples.values():
        for name in missing:
            measured.pop(name, None)
    return [
        report.Line(
            scenario.name,
            scenario.unit,
            scenario.target,
            scenario.less_is_better,
            samples[scenario.name],
        )
        for scenario in chosen
    ]


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
    missing: dict[str, str] = {}
    try:
        cluster.create(durable=True, settings=SETTINGS)
        bench.prepare()
        facts = surroundings(bench)
        if any(scenario.peers for scenario in chosen):
            found, missing = find_peers(bench)
        versions = {peer.name: version for peer, version in found.items()}
        lines = measure(bench, chosen, found, missing)
        wants_plans = asked.only in "plans" and not asked.quick
        sizes = plans.measure(bench.dsn(), effort.repetitions) if wants_plans else []
    finally:
        cluster.delete()
    if lines:
        print(report.table(lines))
    if sizes:
        print(f"\n{plans.table(sizes)}")
    if versions:
        print("\npeers: " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    for name, reason in missing.items():
        print(f"not measured: {name} ({reason})")
    print(f"\n{effort.repetitions} repetitions, {CORES} cores, load {facts['load'][0]:.1f}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    document = facts | {
        "peers": versions,
        "not_measured": missing,
        "scenarios": [asdict(line) for line in lines],
        "plans": [asdict(each) for each in sizes],
    }
    (RESULTS / "results.json").write_text(json.dumps(document, indent=2) + "\n")
    title = f"Ratio to the leanest schema, {facts['commit']}, {CORES} cores; longer is better"
    (RESULTS / "ratios.svg").write_text(report.chart(lines, title))
    print(f"details: {(RESULTS / 'results.json').relative_to(REPOSITORY)}, ratios.svg beside it")
    return judge(lines, quick=asked.quick, record=asked.record)


def judge(lines: Sequence[report.Line], *, quick: bool, record: bool) -> int:
    """Hold a quick run to the recorded ratios, or record those of this one."""
    recorded: dict[str, float] = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    if record:
        now = {line.name: round(line.ratios[report.OURS], 3) for line in lines if line.ratios}
        RECORDED.write_text(json.dumps(recorded | now, indent=2) + "\n")
        print(f"recorded: {RECORDED.relative_to(REPOSITORY)}")
        return 0
    worse = report.regressions(lines, recorded)
    for one in worse:
        print(f"fell behind by a fifth or more: {one}", file=sys.stderr)
    return 1 if worse and quick else 0


if __name__ == "__main__":
    sys.exit(main())
