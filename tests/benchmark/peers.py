"""The queues others use, installed from their registries into .run/peers and measured as they are.

Each has a script in the folder peers: `<script> <verb> <amount> <batch>`, a program as processes.py
has them. Verbs: prepare, enqueue (one at a time), enqueue_batch, drain (its own worker, with a
handler that does nothing; batch is how many it may have in hand, at most ten where it takes them
one by one), and pickup, which prints instead how many milliseconds each of so many jobs waited for
a worker that slept. The database is the one of libpq's variables. What cannot be installed, or
fails, is reported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from benchmark.processes import PATIENCE, FailedError, run_together
from psycopg import sql
from support.cluster import PORT, RUN, SUPERUSER, Cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).resolve().parent / "peers"
HOME = RUN / "peers"


@dataclass(frozen=True)
class Peer:
    """A queue of somebody else: its script and what a registry calls its packages."""

    name: str
    script: str
    packages: tuple[str, ...]
    divisor: int = 1
    """Amounts that its worker must work off are divided by this: it does some hundreds a second."""

    @property
    def database(self) -> str:
        return f"peer_{self.script.partition('.')[0].strip('_')}"

    def command(self, verb: str, amount: int, batch: int) -> list[str]:
        runner = (
            "node" if self.script.endswith(".cjs") else str(HOME / self.script[:-4] / "bin/python")
        )
        return [runner, str(HERE / self.script), verb, str(amount), str(batch)]


PEERS = (
    Peer("procrastinate", "procrastinate_.py", ("procrastinate", "psycopg[binary]"), 5),
    Peer("pgqueuer", "pgqueuer_.py", ("pgqueuer", "asyncpg")),
    Peer("absurd", "absurd_.py", ("absurd-sdk", "absurdctl", "psycopg[binary]"), 5),
    Peer("dbos", "dbos_.py", ("dbos", "psycopg[binary]"), 5),
    Peer("graphile-worker", "graphile.cjs", ("graphile-worker", "pg")),
    Peer("pg-boss", "boss.cjs", ("pg-boss",)),
)


class UnavailableError(Exception):
    """A peer that cannot be measured here, and why."""


def install(peer: Peer) -> str:
    """Install a peer where it is not yet, and return its version."""
    HOME.mkdir(parents=True, exist_ok=True)
    if peer.script.endswith(".cjs"):
        folder = HOME / "node_modules" / peer.packages[0]
        if not folder.exists():
            _run(["npm", "install", "--no-audit", "--no-fund", "--prefix", HOME, *peer.packages])
        return str(json.loads((folder / "package.json").read_text())["version"])
    folder = HOME / peer.script[:-4]
    marker = folder / "installed"
    if not marker.exists():
        _run([sys.executable, "-m", "venv", folder])
        _run([folder / "bin/pip", "install", "--quiet", *peer.packages])
        marker.touch()
    asked = f"import importlib.metadata as m; print(m.version({peer.packages[0]!r}))"
    return _run([folder / "bin/python", "-c", asked]).strip()


def prepare(peer: Peer, cluster: Cluster) -> None:
    """Give a peer an empty database with its own tables."""
    with psycopg.connect(cluster.dsn(), autocommit=True) as connection:
        name = sql.Identifier(peer.database)
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))
        connection.execute(sql.SQL("create database {}").format(name))
    _run(peer.command("prepare", 0, 1), _place(peer, cluster))


def measure(
    peer: Peer,
    cluster: Cluster,
    verb: str,
    amount: int,
    *,
    batch: int = 1,
    processes: int = 1,
    look: Callable[[], None] = lambda: None,
) -> list[float]:
    """Let processes of a peer do something, each that much, and return what they print."""
    command = peer.command(verb, amount, batch)
    try:
        return run_together(command, processes, _place(peer, cluster), look)
    except (FailedError, OSError) as error:
        raise UnavailableError(f"{verb}: {error}") from None


def _place(peer: Peer, cluster: Cluster) -> dict[str, str]:
    return {
        "PGHOST": str(cluster.socket),
        "PGPORT": str(PORT),
        "PGUSER": SUPERUSER,
        "PGDATABASE": peer.database,
        "NODE_PATH": str(HOME / "node_modules"),
    }


def _run(command: Sequence[str | Path], place: dict[str, str] | None = None) -> str:
    words = [str(word) for word in command]
    try:
        finished = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
            env=os.environ | (place or {}),
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines()
        raise UnavailableError(f"{Path(words[0]).name}: {said[-1] if said else error}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{Path(words[0]).name}: {error}") from None
    return finished.stdout
