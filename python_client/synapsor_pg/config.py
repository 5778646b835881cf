"""The worker's configuration file: what it may say, and every mistake in it at once.

A TOML file of the operator's. A secret never stands in it: where one is needed the file names an
environment variable (``{ env = "NAME" }``) or a file (``{ file = "path" }``) that holds it.

    dsn = { env = "SYNAPSOR_DSN" }    # or a connection string without a password
    listen_dsn = "…"                  # the server itself, where dsn names a pooler
    label = "refunds-1"               # default: host:pid
    concurrency = 20                  # handlers at a time
    batch = 50                        # actions per claim
    lease = 60                        # seconds; default: each contract's
    poll = 1.0                        # seconds between looks at idle queues
    reconcile = 5.0                   # seconds between looks for outcomes to ask for; false: never
    drain = 30                        # seconds a stop waits for handlers
    listen = true
    handlers = ["my_handlers"]        # modules; default: all installed providers

    [[queues]]
    name = "billing"
    weight = 3                        # of the claims, while several queues have work
    begin = "handler"                 # or "claim", where the provider deduplicates: quicker

    [timeouts]                        # seconds, before what a handler itself says
    "stripe/refunds.create" = 20

    [housekeeping]
    enabled = true
    every = 15                        # seconds

    [log]
    level = "info"                    # debug, info, warning, error
    format = "console"                # or "json"

    [metrics]
    address = "127.0.0.1:9464"        # /metrics, /healthz and /readyz; default: none

    [tracing]
    enabled = false                   # the rest comes from OpenTelemetry's own OTEL_… variables
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LONGEST_QUEUE_NAME = 255
LARGEST_BATCH = 1000
LONGEST_LEASE = 86400.0
LONGEST = 86400.0 * 365
LEVELS = ("debug", "info", "warning", "error")
BEGINNINGS = ("handler", "claim")
FORMATS = ("console", "json")


class ConfigError(ValueError):
    """The file is refused; ``mistakes`` are all of them, each with its key."""

    def __init__(self, path: str, mistakes: list[str]) -> None:
        """Keep the mistakes."""
        super().__init__("\n".join([f"{path} is refused:", *(f"  {each}" for each in mistakes)]))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue to serve; ``weight``: its part of the claims while several have work.

    ``begin``: when its deliveries begin, just before the ``handler`` runs or with the ``claim``, in
    one statement. The latter is for providers that deduplicate: after a crash, what was claimed and
    never sent counts as possibly sent.
    """

    name: str
    weight: float = 1.0
    begin: Literal["handler", "claim"] = "handler"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What a worker is told; ``load`` reads it from a file."""

    dsn: str = field(default="", repr=False)
    listen_dsn: str | None = field(default=None, repr=False)
    label: str | None = None
    queues: tuple[Queue, ...]
    concurrency: int = 10
    batch: int = 10
    lease: float | None = None
    poll: float = 1.0
    reconcile: float | None = 5.0
    drain: float = 30.0
    listen: bool = True
    handlers: tuple[str, ...] = ()
    timeouts: Mapping[str, float] = field(default_factory=dict)
    housekeeping: float | None = 15.0
    log_level: str = "info"
    log_format: str = "console"
    metrics_address: tuple[str, int] | None = None
    tracing: bool = False

    @classmethod
    def load(cls, path: str | Path, environment: Mapping[str, str] = os.environ) -> WorkerConfig:
        """Read a file; ConfigError names everything that is wrong with it."""
        try:
            document = tomllib.loads(Path(path).read_text("utf-8"))
        except OSError as error:
            raise ConfigError(str(path), [error.strerror or str(error)]) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(str(path), [str(error)]) from None
        reader = _Reader(document, Path(path).parent, environment)
        settings = reader.settings()
        if reader.mistakes:
            raise ConfigError(str(path), reader.mistakes)
        return cls(**settings)


class _Reader:
    """Takes the keys of a document one after the other and notes what is wrong."""

    def __init__(
        self, document: dict[str, Any], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.mistakes: list[str] = []
        self._document = document
        self._folder = folder
        self._environment = environment

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments of a WorkerConfig."""
        top = self._document
        housekeeping = self._table(top, "housekeeping")
        log = self._table(top, "log")
        metrics = self._table(top, "metrics")
        tracing = self._table(top, "tracing")
        every = self._number(housekeeping, "every", 15.0, 1, LONGEST, "housekeeping.")
        keeps_house = self._take(housekeeping, "enabled", bool, True, "housekeeping.")
        found = {
            "dsn": self._dsn(top, "dsn") or "",
            "listen_dsn": self._dsn(top, "listen_dsn"),
            "label": self._take(top, "label", str, None),
            "queues": self._queues(top.pop("queues", None)),
            "concurrency": self._whole(top, "concurrency", 10, 1000),
            "batch": self._whole(top, "batch", 10, LARGEST_BATCH),
            "lease": self._number(top, "lease", None, 1, LONGEST_LEASE),
            "poll": self._number(top, "poll", 1.0, 0.01, LONGEST),
            "reconcile": self._number_or_never(top, "reconcile", 5.0, 0.01, LONGEST),
            "drain": self._number(top, "drain", 30.0, 0, LONGEST),
            "listen": self._take(top, "listen", bool, True),
            "handlers": self._texts(top, "handlers"),
            "timeouts": self._timeouts(self._table(top, "timeouts")),
            "housekeeping": every if keeps_house else None,
            "log_level": self._choice(log, "level", LEVELS, "log."),
            "log_format": self._choice(log, "format", FORMATS, "log."),
            "metrics_address": self._address(metrics, "address", "metrics."),
            "tracing": self._take(tracing, "enabled", bool, False, "tracing."),
        }
        for prefix, table in (
            ("", top),
            ("housekeeping.", housekeeping),
            ("log.", log),
            ("metrics.", metrics),
            ("tracing.", tracing),
        ):
            self.mistakes += [f"{prefix}{key}: there is no such setting" for key in table]
        return found

    def _refuse(self, key: str, reason: str) -> None:
        self.mistakes.append(f"{key}: {reason}")

    def _table(self, table: dict[str, Any], key: str) -> dict[str, Any]:
        value = table.pop(key, {})
        if isinstance(value, dict):
            return value
        self._refuse(key, "must be a table")
        return {}

    def _take(
        self, table: dict[str, Any], key: str, kind: type, default: Any, prefix: str = ""
    ) -> Any:
        value = table.pop(key, default)
        if value is default or isinstance(value, kind):
            return value
        self._refuse(prefix + key, f"must be {'true or false' if kind is bool else 'a text'}")
        return default

    def _number(  # noqa: PLR0913, PLR0917
        self,
        table: dict[str, Any],
        key: str,
        default: float | None,
        least: float,
        most: float,
        prefix: str = "",
    ) -> float | None:
        value = table.pop(key, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self._refuse(prefix + key, "must be a number")
        elif not least <= value <= most:  # a NaN is not between either
            self._refuse(prefix + key, f"must be from {least:g} to {most:g}")
        else:
            return float(value)
        return default

    def _number_or_never(
        self, table: dict[str, Any], key: str, default: float, least: float, most: float
    ) -> float | None:
        if table.get(key) is False:
            del table[key]
            return None
        return self._number(table, key, default, least, most)

    def _whole(self, table: dict[str, Any], key: str, default: int, most: int) -> int:
        value = table.pop(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
            return value
        self._refuse(key, f"must be a whole number from 1 to {most}")
        return default

    def _choice(
        self, table: dict[str, Any], key: str, choices: tuple[str, ...], prefix: str
    ) -> str:
        default = "info" if choices is LEVELS else choices[0]
        value = table.pop(key, default)
        if value in choices:
            return str(value)
        self._refuse(prefix + key, f"must be one of {', '.join(choices)}")
        return default

    def _texts(self, table: dict[str, Any], key: str) -> tuple[str, ...]:
        value = table.pop(key, [])
        if isinstance(value, list) and all(isinstance(each, str) and each for each in value):
            return tuple(value)
        self._refuse(key, "must be an array of texts")
        return ()

    def _queues(self, value: Any) -> tuple[Queue, ...]:
        if not isinstance(value, list) or not value:
            self._refuse("queues", "at least one [[queues]] with a name is needed")
            return ()
        queues: list[Queue] = []
        for number, each in enumerate(value):
            prefix = f"queues[{number}]."
            if not isinstance(each, dict):
                self._refuse(prefix[:-1], "must be a table")
                continue
            entry = dict(each)
            name = entry.pop("name", None)
            if not isinstance(name, str) or not 0 < len(name) <= LONGEST_QUEUE_NAME:
                self._refuse(
                    f"{prefix}name", f"must be a text of 1 to {LONGEST_QUEUE_NAME} characters"
                )
            elif name in {queue.name for queue in queues}:
                self._refuse(f"{prefix}name", f"{name} is named twice")
            weight = self._number(entry, "weight", 1.0, 0.001, 1000.0, prefix)
            begins_late = self._choice(entry, "begin", BEGINNINGS, prefix) == "handler"
            self.mistakes += [f"{prefix}{key}: there is no such setting" for key in entry]
            queues.append(Queue(str(name), weight or 1.0, "handler" if begins_late else "claim"))
        return tuple(queues)

    def _timeouts(self, table: dict[str, Any]) -> dict[str, float]:
        found: dict[str, float] = {}
        for key in list(table):
            if "/" not in key:
                table.pop(key)
                self._refuse(f"timeouts.{key}", "must name provider/operation")
                continue
            seconds = self._number(table, key, None, 0.001, LONGEST_LEASE, "timeouts.")
            if seconds is not None:
                found[key] = seconds
        return found

    def _address(self, table: dict[str, Any], key: str, prefix: str) -> tuple[str, int] | None:
        value = table.pop(key, None)
        if value is None:
            return None
        host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
        highest = 65535
        if colon and port.isascii() and port.isdigit() and int(port) <= highest:
            return host.strip("[]") or "127.0.0.1", int(port)
        self._refuse(prefix + key, "must be host:port, such as 127.0.0.1:9464")
        return None

    def _dsn(self, table: dict[str, Any], key: str) -> str | None:
        value = table.pop(key, None)
        if isinstance(value, dict):
            return self._reference(key, value)
        if value is None:
            return None
        if not isinstance(value, str):
            self._refuse(key, "must be a connection string, { env = … } or { file = … }")
            return None
        try:
            parts = conninfo_to_dict(value)
        except ProgrammingError:
            # libpq's own words would repeat what stands there
            self._refuse(key, "is no connection string")
            return None
        if parts.get("password"):
            self._refuse(
                key, "must not hold a password: use { env = … }, { file = … } or a passfile"
            )
        return value

    def _reference(self, key: str, value: dict[str, Any]) -> str | None:
        readers: dict[str, Callable[[str], str]] = {
            "env": lambda name: self._environment[name],
            "file": lambda name: (self._folder / name).read_text("utf-8").strip(),
        }
        if len(value) != 1 or (kind := next(iter(value))) not in readers:
            self._refuse(key, "must be { env = … } or { file = … }")
            return None
        name = value[kind]
        try:
            return readers[kind](name)
        except KeyError:
            self._refuse(key, f"the environment variable {name} is not set")
        except (OSError, UnicodeDecodeError, TypeError):
            self._refuse(key, f"the {'file' if kind == 'file' else 'variable'} cannot be read")
        return None
