"""A durable cluster with the contenders that are measured by pgbench in it."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from support.cluster import SUPERUSER, Cluster, bindir

if TYPE_CHECKING:
    from typing import LiteralString

HERE = Path(__file__).resolve().parent
CORES = os.cpu_count() or 1
WARM_UP = 1  # seconds: a new connection plans and imports first, which has a line of its own

USERS = {"work": "bench_worker", "approval": "bench_reviewer"}

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
    calls: int
    """Made on one connection before its memory is looked at."""
    pickups: int
    history: int
    backlogs: tuple[int, ...]
    through_clients: int


FULL = Effort(
    repetitions=3,
    seconds=4,
    batches=30,
    actions={1: 4000, 10: 20000, 100: 60000},
    metered=4000,
    cold_starts=25,
    calls=10_000,
    pickups=200,
    history=1_000_000,
    backlogs=(10_000, 100_000, 1_000_000),
    through_clients=5000,
)
QUICK = Effort(
    repetitions=2,
    seconds=1,
    batches=8,
    actions={1: 200, 10: 2000, 100: 6000},
    metered=600,
    cold_starts=15,
    calls=1000,
    pickups=30,
    history=20_000,
    backlogs=(1000,),
    through_clients=1000,
)


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
            connection.execute("create role bench_reviewer login")
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
        self,
        contender: Contender,
        script: str,
        clients: int,
        *limits: str,
        batch: int = 1,
        queue: str = "billing",
    ) -> str:
        """Run a script and return what pgbench says about it."""
        user = USERS.get(script, "bench_caller")
        printed = run(
            bindir() / "pgbench",
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={clients}",
            f"--jobs={min(clients, CORES)}",
            f"--define=batch={batch}",
            f"--define=queue={queue}",
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

    def drop_backlog(self, contender: Contender) -> None:
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(f"delete from {contender.unfinished}")
        self.clean(contender)

    def start_anew(self) -> None:
        """Drop what a scenario that failed left."""
        for contender in CONTENDERS:
            self.drop_backlog(contender)
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute("delete from synapsor.ordering_lanes")

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
