"""What the commands share: their options, the way to the database, and how they speak."""

# ruff: noqa: PLR0913 - a refusal has parts

from __future__ import annotations

import json
import os
import sys
import unicodedata
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import psycopg
import typer
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from rich.console import Console
from rich.table import Table
from rich.text import Text

from synapsor_pg.client import Client
from synapsor_pg.errors import SynapsorError, from_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from psycopg.errors import Diagnostic

Dsn = Annotated[
    str,
    typer.Option(
        envvar="SYNAPSOR_DSN",
        help="Connection string; what it leaves out comes from libpq's PG* variables.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ActionId = Annotated[str, typer.Argument(help="The action's id.")]
Note = Annotated[str | None, typer.Option(help="Why.")]

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})

WIDE = 10_000  # what is not a terminal gets whole lines

READERS = "synapsor_caller, synapsor_approver, synapsor_worker or synapsor_auditor"


class Exit(IntEnum):
    """What the process ends with."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    ATTENTION = 3
    BROKEN = 4


class UsageError(Exception):
    """The command line, or a file it names, is not what it should be."""


# the way to the database


def conninfo(dsn: str) -> str:
    """Return the connection string with this program's defaults.

    libpq quotes what it cannot parse, which may be a password; we do not.
    """
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        raise UsageError("the connection string cannot be parsed") from None
    defaults = {"fallback_application_name": "synapsor-pg", "connect_timeout": "10"}
    return make_conninfo(dsn, **{key: each for key, each in defaults.items() if key not in given})


def connect(dsn: str, *, autocommit: bool = False, tells: bool = True) -> psycopg.Connection[Any]:
    """Connect; notices are told on stderr. Nothing is prepared: a pooler may stand in between."""
    connection = psycopg.connect(conninfo(dsn), autocommit=autocommit, prepare_threshold=None)
    if tells:
        connection.add_notice_handler(_tell_notice)
    if not autocommit:
        try:
            _open_session(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _open_session(connection: psycopg.Connection[Any]) -> None:
    """Act under the token of the environment, if there is one, for this transaction."""
    token = os.environ.get("SYNAPSOR_TOKEN")
    if token:
        connection.execute("select synapsor.open_session(%s)", (token,))


@contextmanager
def client_of(dsn: str, *, tells: bool = True) -> Iterator[Client]:
    """Give a client in one transaction, which is committed when the block ends well."""
    with connect(dsn, tells=tells) as connection:
        yield Client(connection)


def fetch(
    connection: psycopg.Connection[Any], statement: str, arguments: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return the rows of a statement of ours."""
    with connection.cursor(row_factory=dict_row) as cursor:
        if connection.autocommit and os.environ.get("SYNAPSOR_TOKEN"):
            # a session lasts as long as its transaction; all of it is one round trip
            with connection.pipeline(), connection.transaction():
                _open_session(connection)
                cursor.execute(statement.encode(), arguments)
            return cursor.fetchall()
        return cursor.execute(statement.encode(), arguments).fetchall()


# how refusals are told


@contextmanager
def told(*, role: str | None = None, as_json: bool = False) -> Iterator[None]:
    """Say what the database refused, and which role it takes, and exit with 1."""
    try:
        yield
    except UsageError as error:
        fail(str(error), exit_code=Exit.USAGE, as_json=as_json)
    except UnicodeEncodeError:
        fail("an argument is not UTF-8", exit_code=Exit.USAGE, as_json=as_json)
    except BrokenPipeError:  # whoever read has gone
        raise
    except OSError as error:
        fact = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        fail(fact, exit_code=Exit.USAGE, as_json=as_json)
    except SynapsorError as error:
        fail(
            error.message,
            code=error.code,
            detail=error.detail,
            hint=error.hint,
            as_json=as_json,
        )
    except psycopg.Error as error:
        refusal = from_database(error)
        if refusal is not None:
            fail(
                refusal.message,
                code=refusal.code,
                detail=refusal.detail,
                hint=refusal.hint,
                as_json=as_json,
            )
        fail(
            _fact(error, role),
            code=error.sqlstate,
            # of a constraint, the detail is the row
            detail=None if (error.sqlstate or "").startswith("23") else error.diag.message_detail,
            hint=_advice(error),
            as_json=as_json,
        )


def _fact(error: psycopg.Error, role: str | None) -> str:
    fact = (error.diag.message_primary or str(error)).strip()
    if isinstance(error, psycopg.errors.InsufficientPrivilege) and role is not None:
        return f"{fact} (grant {role} to <login>)"
    return fact


def _advice(error: psycopg.Error) -> str | None:
    missing = (
        psycopg.errors.InvalidSchemaName,
        psycopg.errors.UndefinedTable,
        psycopg.errors.UndefinedFunction,
    )
    if isinstance(error, missing):
        return (
            "Is the extension in this database, and as new as this program? See `synapsor-pg"
            " doctor`; `synapsor-pg install --create-extension` creates it."
        )
    return error.diag.message_hint


def fail(
    fact: str,
    *,
    code: str | None = None,
    detail: str | None = None,
    hint: str | None = None,
    exit_code: Exit = Exit.REFUSED,
    as_json: bool = False,
) -> NoReturn:
    """Say on stderr what is wrong, and end."""
    if as_json:
        error = {"code": code, "message": fact, "detail": detail, "hint": hint}
        typer.echo(plain(json.dumps({"error": error}, ensure_ascii=False)), err=True)
    else:
        lines = [f"{code}: {fact}" if code else fact]
        lines += [f"DETAIL: {detail}"] if detail else []
        lines += [f"HINT: {hint}"] if hint else []
        typer.echo(plain("\n".join(lines)), err=True)
    raise typer.Exit(exit_code)


def _tell_notice(notice: Diagnostic) -> None:
    lines = [f"{notice.severity_nonlocalized}: {notice.message_primary}"]
    lines += [f"DETAIL: {notice.message_detail}"] if notice.message_detail else []
    lines += [f"HINT: {notice.message_hint}"] if notice.message_hint else []
    typer.echo(plain("\n".join(lines)), err=True)


# how results are told


def plain(text: str) -> str:
    """Return text that cannot steer a terminal, nor hide: what is shown was written by others.

    The escapes are those of JSON, so that a JSON document stays the same document.
    """
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _UNSEEN:
        return character
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"


def json_of(value: Any) -> Any:
    """Return what the json module cannot write by itself."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)


def print_json(value: Any, *, line: bool = False) -> None:
    """Print one JSON document, or one line of many."""
    text = json.dumps(value, default=json_of, ensure_ascii=False, indent=None if line else 2)
    typer.echo(plain(text))
    if line:
        sys.stdout.flush()


def console(*, err: bool = False) -> Console:
    """Return a console that does not fold what goes into a pipe or file."""
    made = Console(stderr=err, highlight=False, markup=False)
    if not made.is_terminal:
        made.width = WIDE
    return made


def shown(value: Any) -> str:
    """Return a value as a cell of a table shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, (dict, list)):
        return plain(json.dumps(value, ensure_ascii=False, default=json_of))
    return plain(str(value))


def print_table(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    whole: Sequence[str] = ("action_id", "run_id"),
    nothing: str = "",
) -> None:
    """Print rows; the columns named in `whole` are never folded."""
    if not rows:
        if nothing:
            typer.echo(nothing, err=True)
        return
    table = Table()
    for name in columns:
        width = max(len(shown(row[name])) for row in rows) if name in whole else None
        table.add_column(name, no_wrap=name in whole, overflow="fold", min_width=width)
    for row in rows:
        table.add_row(*(Text(shown(row[name])) for name in columns))
    console().print(table)


def busy(what: str) -> AbstractContextManager[Any]:
    """Tell a person that something takes its time."""
    screen = console(err=True)
    return screen.status(what) if screen.is_terminal else nullcontext()


def is_terminal() -> bool:
    """Tell whether there is a person who can answer."""
    return sys.stdin.isatty()


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person; where nobody can answer, refuse."""
    if yes:
        return
    if not is_terminal():
        fail("nobody is there to ask; pass --yes", exit_code=Exit.USAGE)
    typer.confirm(question, abort=True, err=True)
