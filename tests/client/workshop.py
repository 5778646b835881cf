"""What the tests of client and worker share: a contract, logins with sessions, workers."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row
from synapsor_pg import Client, Registry, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.database import Database
    from synapsor_pg import ExternalAction

QUEUE = "crm_actions"
TENANT = "acme"
SESSIONS: dict[str, dict[str, Any]] = {
    "test_caller": {"tenant_id": TENANT, "principal": "carl"},
    "test_approver": {"tenant_id": TENANT, "principal": "anna", "roles": ["reviewer"]},
    "test_worker": {"tenants": "*", "principal": "wanda", "actor_type": "service_account"},
    "test_worker_b": {"tenants": "*", "principal": "willy", "actor_type": "service_account"},
    "test_auditor": {"tenants": "*", "principal": "otto"},
}
CONTRACT: dict[str, Any] = {
    "action": "crm.update_contact",
    "kind": "external",
    "args": {"contact": {"type": "string", "required": True}},
    "hidden": {"tenant_id": {}},
    "provider": "crm",
    "operation": "contacts.update",
    "queue": QUEUE,
    "idempotency": {"key": "{tenant_id}:{contact}", "idempotent": True, "window": "24 hours"},
    "retry": {"max_attempts": 3, "initial": "10 ms", "max": "20 ms"},
    "lease": "30 s",
}
ENDED = frozenset({"succeeded", "failed", "unknown", "cancelled", "expired", "rejected"})


@dataclass
class Workshop:
    """A filled database whose logins have sessions, and one contract."""

    database: Database
    registry: Registry = field(default_factory=Registry)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def prepare(self) -> Workshop:
        with self.superuser() as connection:
            client = Client(connection)
            for login, session in SESSIONS.items():
                client.bind_role(login, session)
        return self.declare()

    @contextlib.contextmanager
    def superuser(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.database()) as connection:
            yield connection

    @contextlib.contextmanager
    def client(self, login: str) -> Iterator[Client]:
        """A client of that login, in one transaction."""
        with psycopg.connect(self.database(login)) as connection:
            yield Client(connection)

    def declare(self, **overrides: Any) -> Workshop:
        with self.superuser() as connection:
            Client(connection).declare_action(CONTRACT | overrides)
        return self

    def propose(self, how_many: int = 1, action: str = CONTRACT["action"]) -> list[str]:
        with self.client("test_caller") as client:
            proposed = client.propose_external_actions(
                action, [{"contact": f"c{next(self.numbers)}"} for _ in range(how_many)]
            )
        return [each.action_id for each in proposed]

    def read(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.database("test_auditor"), row_factory=dict_row) as connection:
            return connection.execute(statement, parameters).fetchall()  # type: ignore[arg-type]

    def action(self, action_id: str) -> dict[str, Any]:
        [row] = self.read(
            "select * from synapsor.synapsor_external_actions where action_id = %s", action_id
        )
        return row

    def events(self, action_id: str) -> list[str]:
        rows = self.read(
            "select event_type from synapsor.synapsor_external_action_events"
            " where action_id = %s order by sequence",
            action_id,
        )
        return [row["event_type"] for row in rows]

    def statuses(self, action_ids: list[str]) -> list[str]:
        rows = self.read(
            "select status from synapsor.synapsor_external_actions where action_id = any(%s)",
            action_ids,
        )
        return sorted(row["status"] for row in rows)

    def wait_for(self, action_ids: list[str], *, within: float = 20.0) -> list[str]:
        """The statuses, once every action has ended or is unknown."""
        wait_until(lambda: set(self.statuses(action_ids)) <= ENDED, within=within)
        return self.statuses(action_ids)

    def worker(self, login: str = "test_worker", **options: Any) -> Worker:
        settings: dict[str, Any] = {
            "queues": [QUEUE],
            "registry": self.registry,
            "poll": 0.1,
            "housekeeping": 0.2,
            "drain": 5.0,
            **options,
        }
        return Worker(self.database(login), **settings)

    @contextlib.contextmanager
    def working(self, login: str = "test_worker", **options: Any) -> Iterator[Worker]:
        """A worker in a thread; it has ended when the block has."""
        worker = self.worker(login, **options)
        failures: list[BaseException] = []

        def run() -> None:
            try:
                worker.run()
            except BaseException as error:  # noqa: BLE001
                failures.append(error)

        thread = threading.Thread(target=run, name="worker under test")
        thread.start()
        try:
            yield worker
        finally:
            worker.stop()
            thread.join(20)
            assert not thread.is_alive(), "the worker does not stop"
        if failures:
            raise failures[0]


def wait_until(condition: Callable[[], object], *, within: float = 10.0) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def proposed(client: Client, contact: str = "c1", **options: Any) -> ExternalAction:
    return client.propose_external_action(CONTRACT["action"], {"contact": contact}, **options)
