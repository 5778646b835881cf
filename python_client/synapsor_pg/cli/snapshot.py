"""What `synapsor-pg top` sees: everything in one statement, bounded."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from synapsor_pg.cli.shared import conninfo, fetch

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_ROWS = 50
SHORTEST, LONGEST = 10.0, 86400.0
"""How far back, in seconds, proposals are that have failed: as far as a look stays cheap."""
CHEAP, DEAR = 0.05, 0.3
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

Row = dict[str, Any]

PARTS: dict[str, tuple[str, str]] = {
    "queues": (
        "synapsor_queue_stats",
        """
        select queue, sum(proposed) as proposed, sum(queued) as queued, sum(due) as due,
            sum(claimed) as claimed, sum(unknown) as unknown, max(workers) as workers,
            bool_and(paused) as paused,
            extract(epoch from now() - min(oldest_due_at))::float8 as late
        from synapsor.synapsor_queue_stats group by queue
        order by sum(due) desc, queue limit %(most)s
        """,
    ),
    "workers": (
        "synapsor_workers",
        """
        select worker_principal, worker_label, queues, held,
            extract(epoch from now() - last_seen_at)::float8 as silent
        from synapsor.synapsor_workers order by last_seen_at desc limit %(most)s
        """,
    ),
    "providers": (
        "synapsor_provider_health",
        """
        select * from synapsor.synapsor_provider_health
        order by breaker_state not in ('OPEN', 'FORCED_OPEN', 'HALF_OPEN'),
            provider, account, tenant_id nulls first
        limit %(most)s
        """,
    ),
    "approvals": (
        "synapsor_pending_approvals",
        """
        select action_id, tenant_id, action, version, arguments, digest, proposed_by,
            required_role, approvals_required, approvals_given, reviewers, risk, reason,
            extract(epoch from now() - created_at)::float8 as waits,
            extract(epoch from expires_at - now())::float8 as expires
        from synapsor.synapsor_pending_approvals order by created_at limit %(most)s
        """,
    ),
    "stuck": (
        "synapsor_stuck_actions",
        """
        select action_id, status, cause, remedy,
            extract(epoch from now() - since)::float8 as stuck
        from synapsor.synapsor_stuck_actions order by since limit %(most)s
        """,
    ),
    "failed": (
        "synapsor_external_actions",
        """
        select action_id, action, arguments, digest, attempts, error_code, error_message,
            extract(epoch from now() - finished_at)::float8 as failed
        from synapsor.synapsor_external_actions
        where action_id > %(floor)s and status = 'failed' order by action_id desc limit %(most)s
        """,
    ),
}


def floor(moment: float) -> str:
    """Return an action's id that sorts before all of later moments: ids begin with their time."""
    milliseconds = int(moment * 1000)
    letters = (CROCKFORD[milliseconds >> 5 * place & 31] for place in reversed(range(10)))
    return "act_" + "".join(letters)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was there at one moment."""

    at: str
    took: float
    parts: Mapping[str, list[Row]]
    missing: tuple[str, ...] = ()


@dataclass(slots=True)
class Feed:
    """Takes snapshots, one round trip each, on a connection that it makes anew when it is lost."""

    dsn: str
    window: float = 600.0
    _connection: psycopg.Connection[Any] | None = None
    _statement: str = ""
    _missing: tuple[str, ...] = field(default=())

    def look(self) -> Snapshot:
        """Take a snapshot; a lost connection raises, and the next look connects."""
        began = time.monotonic()
        try:
            connection = self._connect()
            arguments = {"most": MOST_ROWS + 1, "floor": floor(time.time() - self.window)}
            [row] = fetch(connection, self._statement, arguments)
        except psycopg.Error:
            self.close()
            raise
        took = time.monotonic() - began
        if took < CHEAP:
            self.window = min(self.window * 2, LONGEST)
        elif took > DEAR:
            self.window = max(self.window / 2, SHORTEST)
        return Snapshot(row["at"], took, row["parts"], self._missing)

    def _connect(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            # a connection that is half open is found out, without a setting in a session
            patience = {
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
            }
            self._connection = psycopg.connect(
                make_conninfo(conninfo(self.dsn), **patience),
                autocommit=True,
                prepare_threshold=None,
            )
            self._prepare(self._connection)
        return self._connection

    def _prepare(self, connection: psycopg.Connection[Any]) -> None:
        """Leave out what an older extension does not have."""
        known = {
            row["relname"]
            for row in fetch(
                connection,
                "select relname::text from pg_class"
                " where relnamespace = (select oid from pg_namespace where nspname = 'synapsor')"
                " and relname = any(%(views)s)",
                {"views": [view for view, _ in PARTS.values()]},
            )
        }
        parts = {name: part for name, (view, part) in PARTS.items() if view in known}
        self._missing = tuple(name for name in PARTS if name not in parts)
        if not parts:
            raise psycopg.errors.UndefinedTable("the extension is not in this database")
        said = ", ".join(
            f"'{name}', coalesce((select jsonb_agg(part) from ({part}) as part), '[]')"  # noqa: S608 - ours
            for name, part in parts.items()
        )
        at = "to_char(clock_timestamp(), 'HH24:MI:SS')"
        self._statement = f"select {at} as at, jsonb_build_object({said}) as parts"

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
