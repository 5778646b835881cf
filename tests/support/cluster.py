#!/usr/bin/env python3
"""Throw-away PostgreSQL clusters: own data directory, own socket, nothing shared.

PostgreSQL refuses to run as root, so for root everything below runs as user postgres. A cluster is
only ever stopped through its own data directory. Standard library only: this also runs before the
virtual environment exists.

    cluster.py create DIRECTORY [--durable]   start afresh: stop, delete, initdb, start
    cluster.py start|stop|delete|status DIRECTORY
    cluster.py dsn DIRECTORY [DATABASE]       the connection string of its superuser
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REPOSITORY = Path(__file__).resolve().parents[2]
RUN = REPOSITORY / ".run"

SERVER_USER = "postgres"
SUPERUSER = "postgres"
PORT = 5432
LONGEST_SOCKET_PATH = 100
PATIENCE = 90

# What every throw-away cluster runs with. The socket is its only door.
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "max_connections": "100",
    "shared_buffers": "128MB",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_min_messages": "warning",
    "lc_messages": "C",
    "jit": "off",
}

# Without these a crash may lose everything, which a test database may.
CARELESS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


def server_user() -> str | None:
    """Return the user PostgreSQL must run as, or None where that is simply us."""
    return SERVER_USER if os.geteuid() == 0 else None


def run_as_server(
    command: Sequence[str | Path],
    *,
    directory: Path | None = None,
    output: Any = subprocess.PIPE,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run one program of the server as the server's user, without our PG* variables."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    environment |= {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
    identity: dict[str, Any] = {}
    if user := server_user():
        identity = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
        environment["HOME"] = "/"
    finished = subprocess.run(
        [str(word) for word in command],
        cwd=directory or "/",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
        **identity,
    )
    if check and finished.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {finished.stdout or '(see the server log)'}")
    return finished


def server_can_reach(directory: Path) -> bool:
    """Tell whether the server's user may enter that directory."""
    return server_user() is None or (
        run_as_server(["/usr/bin/env", "test", "-x", directory], check=False).returncode == 0
    )


def roomy_root() -> Path:
    """Return the folder for server files: .run here, or one below /var/tmp where that is closed.

    A clone in root's home, say, cannot be entered by user postgres.
    """
    RUN.mkdir(exist_ok=True)
    if server_can_reach(RUN):
        return RUN
    name = hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:12]
    elsewhere = Path("/var/tmp") / f"synapsor-{os.geteuid()}-{name}"
    elsewhere.mkdir(mode=0o755, exist_ok=True)
    status = elsewhere.lstat()
    if elsewhere.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise RuntimeError(f"{elsewhere} belongs to somebody else; remove it")
    return elsewhere


def environment() -> dict[str, str]:
    """Return what tests/support/prepare found out: PG_CONFIG, BINDIR, SERVER, …"""
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (RUN / "environment").read_text().splitlines():
            key, _, value = line.partition("=")
            found[key] = value
    return found


def bindir() -> Path:
    """Return the folder with the programs of the server under test."""
    if folder := environment().get("BINDIR"):
        return Path(folder)
    raise RuntimeError("no PostgreSQL server: run `make prepare` and read what it says")


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold .run/<name>.lock, so that two runs in one clone wait for each other."""
    RUN.mkdir(exist_ok=True)
    with (RUN / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster, known by its directory, which is all that it owns on disk."""

    directory: Path

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    @property
    def socket(self) -> Path:
        """The folder of the socket: here, or a short one where this path is too long."""
        return (self.directory / "socket").resolve()

    @property
    def exists(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, as its own pid file has it."""
        try:
            return int((self.data / "postmaster.pid").read_text().splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def dsn(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        return f"host={self.socket} port={PORT} user={user} dbname={database}"

    def create(
        self,
        *,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
        start: bool = True,
    ) -> Cluster:
        """Make a new, empty cluster here, whatever was here before."""
        self.delete()
        self.directory.mkdir(parents=True)
        self._own(self.directory)
        self._make_socket()
        run_as_server(
            [
                bindir() / "initdb",
                f"--pgdata={self.data}",
                f"--username={SUPERUSER}",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
                "--no-instructions",
            ],
            directory=self.directory,
        )
        self.configure(SETTINGS | ({} if durable else CARELESS) | dict(settings or {}))
        return self.start() if start else self

    def configure(self, settings: Mapping[str, str]) -> None:
        """Append settings; they count from the next start or reload."""
        quoted = {"unix_socket_directories": str(self.socket), **settings}
        with (self.data / "postgresql.auto.conf").open("a") as file:
            for name, value in quoted.items():
                doubled = value.replace("'", "''")
                file.write(f"{name} = '{doubled}'\n")

    def start(self) -> Cluster:
        """Start the server and wait until it answers."""
        if not self.running():
            self._make_socket()
            # The server inherits pg_ctl's output: a pipe would never reach its end.
            try:
                self._control("start", "--wait", f"--log={self.log}", output=subprocess.DEVNULL)
            except RuntimeError as error:
                tail = "\n".join(self.log.read_text().splitlines()[-20:])
                raise RuntimeError(f"{self.directory} did not start:\n{tail}") from error
        return self

    def stop(self, mode: str = "fast") -> Cluster:
        """Stop the server: smart, fast, or immediate, which is a crash."""
        if self.running():
            try:
                self._control("stop", "--wait", f"--mode={mode}")
            except RuntimeError:
                self._control("stop", "--wait", "--mode=immediate")
        return self

    def restart(self, mode: str = "fast") -> Cluster:
        return self.stop(mode).start()

    def running(self) -> bool:
        return self.exists and self._control("status", check=False).returncode == 0

    def delete(self) -> None:
        """Stop the server and remove every file of it."""
        self.stop("immediate")
        link = self.directory / "socket"
        if link.is_symlink():
            shutil.rmtree(link.resolve(), ignore_errors=True)
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def _control(
        self, action: str, *options: str, output: Any = subprocess.PIPE, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return run_as_server(
            [
                bindir() / "pg_ctl",
                action,
                f"--pgdata={self.data}",
                f"--timeout={PATIENCE}",
                "--silent",
                *options,
            ],
            directory=self.directory,
            output=output,
            check=check,
        )

    def _make_socket(self) -> None:
        link = self.directory / "socket"
        if link.is_dir():
            return
        link.unlink(missing_ok=True)
        if len(str(link / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET_PATH:
            link.mkdir(mode=0o700)
            self._own(link)
        else:
            short = Path(tempfile.mkdtemp(prefix="synapsor-", dir="/tmp"))
            self._own(short)
            link.symlink_to(short)

    @staticmethod
    def _own(path: Path) -> None:
        if user := server_user():
            shutil.chown(path, user, pwd.getpwnam(user).pw_gid)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(description="throw-away PostgreSQL clusters")
    verbs = ["create", "start", "stop", "delete", "status", "dsn"]
    parser.add_argument("verb", choices=verbs)
    parser.add_argument("directory", type=Path)
    parser.add_argument("database", nargs="?", default="postgres")
    parser.add_argument("--durable", action="store_true", help="survive a crash: fsync and friends")
    asked = parser.parse_args(arguments)
    cluster = Cluster(asked.directory.resolve())
    if asked.verb == "create":
        cluster.create(durable=asked.durable)
    elif asked.verb == "start":
        if not cluster.exists:
            print(f"there is no cluster in {cluster.directory}", file=sys.stderr)
            return 1
        cluster.start()
    elif asked.verb == "stop":
        cluster.stop()
    elif asked.verb == "delete":
        cluster.delete()
    elif asked.verb == "status":
        return 0 if cluster.running() else 3
    else:
        print(cluster.dsn(asked.database))
    return 0


if __name__ == "__main__":
    sys.exit(main())
