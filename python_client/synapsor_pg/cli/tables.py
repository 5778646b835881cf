"""The tables of `synapsor-pg top`: their columns, and how a row fills them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from synapsor_pg.cli.shared import plain

if TYPE_CHECKING:
    from collections.abc import Callable

Row = dict[str, Any]

MINUTE, HOUR, DAY = 60, 3600, 86400
SILENT = 60


def ago(seconds: float | None) -> str:
    """Return a span as briefly as it can be told."""
    if seconds is None:
        return ""
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    if seconds < MINUTE:
        return f"{sign}{seconds:.0f}s"
    if seconds < HOUR:
        return f"{sign}{seconds // MINUTE:.0f}m{seconds % MINUTE:02.0f}s"
    if seconds < DAY:
        return f"{sign}{seconds // HOUR:.0f}h{seconds % HOUR // MINUTE:02.0f}m"
    return f"{sign}{seconds // DAY:.0f}d{seconds % DAY // HOUR:02.0f}h"


def brief(value: Any) -> str:
    """Return a value as a cell shows it."""
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        return plain(json.dumps(value, ensure_ascii=False))
    return plain(" ".join(str(value).split()))


TABLES: dict[str, dict[str, Callable[[Row], Any]]] = {
    "queues": {
        "queue": lambda row: row["queue"],
        "due": lambda row: row["due"],
        "late": lambda row: ago(row["late"]),
        "queued": lambda row: row["queued"],
        "claimed": lambda row: row["claimed"],
        "unknown": lambda row: row["unknown"],
        "proposed": lambda row: row["proposed"],
        "workers": lambda row: "paused" if row["paused"] else row["workers"],
    },
    "workers": {
        "worker": lambda row: f"{row['worker_principal']} {row['worker_label']}",
        "queues": lambda row: ", ".join(row["queues"]),
        "held": lambda row: row["held"],
        "seen": lambda row: ago(row["silent"]),
    },
    "providers": {
        "provider": lambda row: f"{row['provider']} {row['account'] or ''}".strip(),
        "breaker": lambda row: row["breaker_state"],
        "until": lambda row: _clock(row["opens_until"] or row["retry_after_until"]),
        "fails": lambda row: None if row["failure_rate"] is None else f"{row['failure_rate']:.0f}%",
        "in flight": lambda row: row["in_flight"],
        "tokens": lambda row: None if row["tokens"] is None else f"{row['tokens']:.0f}",
        "calls": lambda row: row["calls"],
        "tenant": lambda row: row.get("tenant_id"),
    },
    "approvals": {
        "action": lambda row: row["action_id"],
        "what": lambda row: row["action"],
        "arguments": lambda row: row["arguments"],
        "by": lambda row: row["proposed_by"],
        "role": lambda row: row["required_role"],
        "given": lambda row: f"{row['approvals_given']}/{row['approvals_required']}",
        "waits": lambda row: ago(row["waits"]),
        "expires": lambda row: ago(row["expires"]),
    },
    "stuck": {
        "action": lambda row: row["action_id"],
        "status": lambda row: row["status"],
        "for": lambda row: ago(row["stuck"]),
        "cause": lambda row: row["cause"],
        "remedy": lambda row: row["remedy"],
    },
    "failed": {
        "action": lambda row: row["action_id"],
        "what": lambda row: row["action"],
        "ago": lambda row: ago(row["failed"]),
        "attempts": lambda row: row["attempts"],
        "error": lambda row: row["error_code"],
        "message": lambda row: row["error_message"],
    },
}
KEYS: dict[str, tuple[str, ...]] = {
    "queues": ("queue",),
    "workers": ("worker_principal", "worker_label"),
    "providers": ("provider", "account", "tenant_id"),
    "approvals": ("action_id",),
    "stuck": ("action_id",),
    "failed": ("action_id",),
}


def _clock(moment: str | None) -> str:
    return "" if moment is None else moment[11:19]


def cells(table: str, row: Row) -> list[str]:
    """Return what a row shows in each column."""
    return [brief(column(row)) for column in TABLES[table].values()]


def key_of(table: str, row: Row) -> str:
    """Return what a row is known by."""
    return json.dumps([row.get(part) for part in KEYS[table]])


def is_alarming(table: str, row: Row) -> bool:
    """Tell whether a person should look at it."""
    match table:
        case "queues":
            return bool(row["unknown"] or (row["due"] and not row["workers"]) or row["paused"])
        case "workers":
            return bool(row["silent"] > SILENT)
        case "providers":
            return row["breaker_state"] in {"OPEN", "FORCED_OPEN"} or bool(row["paused"])
        case _:
            return table == "stuck"
