"""PgBouncer in transaction mode before a throw-away cluster: own files, own port, ended by pid."""

from __future__ import annotations

import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from support.cluster import PORT, server_user
from support.database import LOGINS

if TYPE_CHECKING:
    from types import TracebackType

    from support.database import Database

PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
PATIENCE = 10.0


class Pooler:
    """A context manager; ``dsn(login)`` leads through the pooler's few server connections."""

    def __init__(self, database: Database, *, pool_size: int = 2) -> None:
        """Write the configuration; nothing runs before the block."""
        self._database = database
        self._user = server_user()
        self._folder = Path(tempfile.mkdtemp(prefix="synapsor-pooler-", dir="/tmp"))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        users = self._folder / "users.txt"
        users.write_text("".join(f'"{login}" ""\n' for login in LOGINS))
        self._config = self._folder / "pgbouncer.ini"
        self._config.write_text(
            "[databases]\n"
            f"{database.name} = host={database.cluster.socket} port={PORT}\n"
            "[pgbouncer]\n"
            "listen_addr = 127.0.0.1\n"
            f"listen_port = {self._port}\n"
            "unix_socket_dir =\n"
            "auth_type = trust\n"
            f"auth_file = {users}\n"
            f"logfile = {self._folder / 'log'}\n"
            "pool_mode = transaction\n"
            f"default_pool_size = {pool_size}\n"
            "max_client_conn = 100\n"
        )
        if self._user:
            owner = pwd.getpwnam(self._user)
            for path in (self._folder, users, self._config):
                shutil.chown(path, owner.pw_uid, owner.pw_gid)

    def dsn(self, user: str) -> str:
        """Return a connection string through the pooler."""
        return (
            f"host=127.0.0.1 port={self._port} user={user} dbname={self._database.name}"
            " sslmode=disable gssencmode=disable"
        )

    def kill(self) -> None:
        """End it at once: every connection through it is cut."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Start the program and wait until it answers."""
        identity = {} if self._user is None else {"user": self._user, "extra_groups": []}
        self._process = subprocess.Popen(
            [str(PROGRAM), str(self._config)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **identity,  # type: ignore[call-overload]
        )
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
            except OSError:
                assert self._process.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < end, "the pooler does not start"
                time.sleep(0.05)
            else:
                return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE)
        shutil.rmtree(self._folder, ignore_errors=True)
