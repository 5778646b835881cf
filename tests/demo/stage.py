"""What the demo stands on: telling, logins, psql, tokens, processes and bounded waiting."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import ClientCursor
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Row = dict[str, Any]
Found = TypeVar("Found")

HERE = Path(__file__).resolve().parent
PSQLRC = HERE / "psqlrc"
SCRATCH = Path(os.path.relpath(HERE.parents[1] / ".run"))  # what the demo writes; git ignores it
WIDTH = 95


class NotAsToldError(Exception):
    """A step came out otherwise than the demo says."""


def expect(condition: object, told: str) -> None:
    """Go on only if what we tell is so."""
    if not condition:
        raise NotAsToldError(told)


def wait_until(
    probe: Callable[[], Found], told: str, within: float = 20.0, pause: float = 0.05
) -> Found:
    """Poll for a condition; the story ends if it does not come."""
    end = time.monotonic() + within
    while not (found := probe()):
        if time.monotonic() > end:
            raise NotAsToldError(f"{told} (not within {within:.0f} s)")
        time.sleep(pause)
    return found


# -- telling -------------------------------------------------------------------------------------


def paint(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if sys.stdout.isatty() else text


def headline(text: str) -> None:
    print(f"\n{paint(text, '1')}", flush=True)


def tell(text: str) -> None:
    print(f"   {text}", flush=True)


def show_statement(login: str, statement: str) -> None:
    prompt = f"{login}=> "
    for number, line in enumerate(statement.strip().splitlines()):
        tell(paint(prompt if number == 0 else " " * len(prompt), "36") + line.rstrip())


def show_rows(rows: list[Row]) -> None:
    """Print rows as psql would, without its frame."""
    cells = [list(rows[0]), *([as_text(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    for number, line in enumerate(cells):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        tell("  " + paint(text.rstrip(), "2" if number == 0 else "0"))


def as_text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


# -- people at the database ----------------------------------------------------------------------


class Login:
    """One database login. What it `types` is shown, and is exactly what is sent."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.connection = psycopg.connect(dsn, autocommit=True, connect_timeout=10)
        self.name = self.connection.info.user

    def ask(self, statement: str, *arguments: object) -> list[Row]:
        """Run a statement, unseen."""
        with ClientCursor(self.connection, row_factory=dict_row) as cursor:
            cursor.execute(statement.encode(), arguments or None)
            return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, *arguments: object) -> Row:
        rows = self.ask(statement, *arguments)
        expect(len(rows) == 1, f"one row, not {len(rows)}: {statement}")
        return rows[0]

    def types(self, statement: str, *arguments: object) -> list[Row]:
        """Run a statement, shown with the rows it returns."""
        with ClientCursor(self.connection, row_factory=dict_row) as cursor:
            text = cursor.mogrify(statement.encode(), arguments or None)
            show_statement(self.name, text)
            cursor.execute(text.encode())
            rows = cursor.fetchall() if cursor.description else []
        if rows:
            show_rows(rows)
        return rows

    def is_refused(self, sqlstate: str, statement: str, *arguments: object) -> None:
        """Run a statement that must fail, shown with all parts of its error."""
        try:
            self.types(statement, *arguments)
        except psycopg.Error as error:
            parts = error.diag
            tell(paint(f"  ERROR:  {parts.sqlstate}: {parts.message_primary}", "31"))
            for label, text in (("DETAIL", parts.message_detail), ("HINT", parts.message_hint)):
                for line in wrap(f"{label}:  {text}", WIDTH, subsequent_indent="    "):
                    tell("  " + line)
            expect(error.sqlstate == sqlstate, f"refused with {sqlstate}")
            return
        raise NotAsToldError(f"refused with {sqlstate}")


def dsn_of(superuser: str, login: str | None, database: str) -> str:
    """The superuser's connection string for another login and database."""
    return make_conninfo(superuser, dbname=database, **({"user": login} if login else {}))


def psql_environment(dsn: str) -> dict[str, str]:
    """What makes psql connect there, with the demo's macros."""
    names = {"dbname": "PGDATABASE", "host": "PGHOST", "port": "PGPORT", "user": "PGUSER"}
    parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    places = {names[name]: value for name, value in parts.items() if name in names}
    return (
        os.environ
        | places
        | {
            "PSQLRC": str(PSQLRC),
            "PGCLIENTENCODING": "UTF8",
            "PGCONNECT_TIMEOUT": "10",
        }
    )


def type_into_psql(login: Login, *lines: str) -> str:
    """Have a real psql read these lines; show what a person at its prompt would see."""
    process = subprocess.run(
        ["psql", "-v", "ON_ERROR_STOP=1", "-v", "demo=1"],
        input="".join(f"{line}\n" for line in ("\\set ECHO all", *lines)),
        env=psql_environment(login.dsn),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=20,
        check=False,
    )
    waiting, prompt = list(lines), "=> "
    for line in process.stdout.splitlines():
        if waiting and line == waiting[0]:
            tell(paint(login.name + prompt, "36") + waiting.pop(0))
            prompt = "=> " if line.endswith((";", "gset")) or line.startswith(":") else "-> "
        elif line.strip():
            tell("  " + line.rstrip())
    expect(process.returncode == 0, "psql ends well")
    expect(not waiting, "psql has read every line")
    return process.stdout


def signed_token(kid: str, secret: str, claims: Mapping[str, object]) -> str:
    """A JWT signed with HS256, as any backend issues it (RFC 7519)."""

    def encode(part: bytes) -> str:
        return base64.urlsafe_b64encode(part).rstrip(b"=").decode()

    header = {"alg": "HS256", "typ": "JWT", "kid": kid}
    signed = ".".join(
        encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)
    )
    return f"{signed}.{encode(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"


# -- programs ------------------------------------------------------------------------------------


@contextmanager
def running(
    command: list[str], environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A program of ours, which never outlives the block; its words are shown if things go wrong."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            env=os.environ | dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        except NotAsToldError:
            output.seek(0)
            for line in output.read().decode(errors="replace").splitlines()[-10:]:
                print(f"{Path(command[0]).name}: {line}", file=sys.stderr)
            raise
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def stop_gently(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM, and the exit status it ends with."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        raise NotAsToldError("the worker ends on SIGTERM within 15 s") from None
