"""What a worker logs: one line per transition, for people or as JSON; no arguments, no secrets.

The records come from the standard library's logging, so that an application's own set-up works as
well; this module is what the command uses. With the extra ``structlog`` it renders the JSON,
otherwise the standard library does; the keys are the same.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FACTS = (
    "event",
    "action_id",
    "claim_token",
    "tenant_id",
    "attempt",
    "action_status",
    "error_code",
    "queues",
)
"""What the worker's records carry beside their message."""


def facts(record: logging.LogRecord) -> dict[str, Any]:
    """Return a record as the keys of its line."""
    found: dict[str, Any] = {
        "timestamp": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
    }
    for name in FACTS:
        value = getattr(record, name, None)
        if value is not None:
            found[name] = value
    if record.exc_info and record.exc_info[0] is not None:
        # where, not what: a message or a local may hold what was sent
        found["exception"] = record.exc_info[0].__name__
        found["at"] = _places(record.exc_info[2])
    return found


def _places(traceback: Any) -> list[str]:
    places = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename}:{traceback.tb_lineno} in {code.co_name}")
        traceback = traceback.tb_next
    return places[-10:]


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        return json.dumps(facts(record), ensure_ascii=False, default=str)


class ConsoleFormatter(logging.Formatter):
    """A line for a person at a terminal or a journal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        told = facts(record)
        line = "{timestamp} {level} {logger} {message}".format(**told)
        if "exception" in told:
            line += f" {told['exception']} at {' < '.join(reversed(told['at']))}"
        return " ".join(line.splitlines())


def formatter(style: str) -> logging.Formatter:
    """Return what makes lines of records; ``style`` is console or json."""
    if style != "json":
        return ConsoleFormatter()
    try:
        import structlog  # noqa: PLC0415
    except ImportError:
        return JsonFormatter()

    def take(_logger: Any, _name: str, event: Mapping[str, Any]) -> dict[str, Any]:
        # the record has lost the arguments of its message by now
        return facts(event["_record"]) | {"message": event["event"]}

    render = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    return structlog.stdlib.ProcessorFormatter(processors=[take, render])


def set_up(level: str, style: str) -> None:
    """Log to standard error; ``style`` is console or json."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(style))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # the worker itself says what it cannot do without a connection
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
