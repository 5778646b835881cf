"""What claiming reads: the plans of its statements, and how many pages, whatever lies about.

Each scenario is laid out in a queue of its own and looked at twice: with little history and with
much. A claim warms its connection first, so that what is read is what a worker's next claim reads.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from support.database import TEMPLATE, Database, janitor

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from support.cluster import Cluster

Plan = dict[str, Any]

CLAIMED = 10
LEEWAY = 10 * CLAIMED
"""Pages: an index that grew by a level is one page deeper for each action that is claimed."""
LITTLE_HISTORY = 100
MUCH_HISTORY = 2000


@dataclass(frozen=True)
class Scenario:
    """What lies in a queue. Proposals are spread over the tenants and over the ordering keys."""

    name: str
    waiting: int = 600
    tenants: int = 1
    keys: int = 0
    is_limited: bool = False
    is_held_open: bool = False


SCENARIOS = (
    Scenario("backlog"),
    Scenario("long_backlog", waiting=5000),
    Scenario("tenants", tenants=200),
    Scenario("lanes", keys=200),
    Scenario("held_open", is_held_open=True),
    Scenario("limits", is_limited=True),
)


@dataclass(frozen=True)
class Look:
    """What one claim of ten read."""

    plans: list[Plan]
    pages: int

    @property
    def nodes(self) -> list[Plan]:
        return [node for plan in self.plans for node in _nodes(plan)]

    @property
    def hot(self) -> list[Plan]:
        return [n for n in self.nodes if n.get("Relation Name") == "open_external_actions"]

    @property
    def rows(self) -> int:
        return int(sum(node["Actual Rows"] * node["Actual Loops"] for node in self.nodes))


def _nodes(plan: Plan) -> list[Plan]:
    return [plan, *(node for child in plan.get("Plans", []) for node in _nodes(child))]


@dataclass(frozen=True)
class Floor:
    """A database in which scenarios are laid out."""

    database: Database
    admin: psycopg.Connection[Any]

    def prepare(self) -> None:
        self.admin.execute("create sequence tests.number")
        for login in ("test_worker", "postgres"):
            self.admin.execute('select synapsor.bind_role(%s, \'{"tenants": "*"}\')', (login,))

    def lay_out(self, scenario: Scenario, queue: str, history: int) -> None:
        """Fill a queue: first what is finished by now, then what waits."""
        if scenario.is_limited:
            self.admin.execute(
                """select synapsor.declare_provider(jsonb_build_object('provider', %s::text) ||
                    '{"concurrency": {"max": 100000, "per_tenant": 50000},
                      "rate_limit": {"per_second": 100000, "burst": 100000}}')""",
                (queue,),
            )
        self._declare(queue, None)
        self._propose(queue, history)
        finish(self.database.connect("test_worker"), queue, history)
        if scenario.keys:
            self._declare(queue, "{charge_id}")
        self._propose(queue, scenario.waiting, scenario.tenants, scenario.keys)

    def _declare(self, queue: str, ordering_key: str | None) -> None:
        overrides = {
            "queue": queue,
            "provider": queue,
            "ordering_key": ordering_key,
            "idempotency": {"key": "{amount_cents}", "idempotent": True},
        }
        self.admin.execute(
            "select tests.a_contract(jsonb_strip_nulls(%s), %s)",
            (json.dumps(overrides), f"plans.{queue}"),
        )

    def _propose(self, queue: str, actions: int, tenants: int = 1, keys: int = 0) -> None:
        with self.database.connect(autocommit=False) as connection:
            for tenant in range(tenants):
                session = {"tenant_id": f"t{tenant}", "principal": "carl"}
                connection.execute("select synapsor.set_session(%s)", (json.dumps(session),))
                for start in range(0, actions // tenants, 1000):
                    connection.execute(
                        """select count(*) from synapsor.propose_external_actions(%s, array(
                        select jsonb_build_object('charge_id', 'ch' || number %% %s,
                            'amount_cents', nextval('tests.number'))
                        from generate_series(1, %s) as number))""",
                        (f"plans.{queue}", keys or actions, min(actions // tenants - start, 1000)),
                    )

    def clean(self) -> None:
        self.admin.execute(
            "vacuum (analyze) synapsor.open_external_actions, synapsor.action_invocations, "
            "synapsor.external_action_events"
        )

    def look(self, queue: str) -> Look:
        claim = f"select count(*) from synapsor.claim_external_actions('{queue}', {CLAIMED})"
        return Look(self._plans(queue, claim), self._pages(queue, claim))

    def _pages(self, queue: str, claim: str) -> int:
        worker = self.database.connect("test_worker")
        finish(worker, queue, CLAIMED)
        found = worker.execute(f"explain (analyze, buffers, format json) {claim}").fetchone()
        assert found is not None
        plan = found[0][0]["Plan"]
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])

    def _plans(self, queue: str, claim: str) -> list[Plan]:
        """Return the plans of every statement that a claim runs, as they were executed."""
        superuser = self.database.connect()
        superuser.execute("load 'auto_explain'")
        for name, value in {
            "auto_explain.log_min_duration": "0",
            "auto_explain.log_analyze": "on",
            "auto_explain.log_timing": "off",
            "auto_explain.log_nested_statements": "on",
            "auto_explain.log_format": "json",
            "auto_explain.log_level": "notice",
        }.items():
            superuser.execute("select set_config(%s, %s, false)", (name, value))
        for _ in range(7):  # past the custom plans
            finish(superuser, queue, CLAIMED)
        told: list[str] = []
        superuser.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
        assert superuser.execute(claim).fetchone() == (CLAIMED,)
        found = [re.search(r"plan:\n(.*)", text, re.DOTALL) for text in told]
        return [json.loads(plan[1])["Plan"] for plan in found if plan]


def finish(worker: psycopg.Connection[Any], queue: str, actions: int) -> None:
    for start in range(0, actions, 1000):
        asked = min(actions - start, 1000)
        finished = worker.execute(
            """select count(*) from synapsor.confirm_external_actions((
                select jsonb_agg(jsonb_build_object('action_id', action_id,
                    'claim_token', claim_token, 'status', 'succeeded'))
                from synapsor.claim_external_actions(%s, %s)))""",
            (queue, asked),
        ).fetchone()
        assert finished == (asked,)


@pytest.fixture(scope="module")
def looks(cluster: Cluster) -> Iterator[dict[str, tuple[Look, Look]]]:
    """Give what a claim reads in each scenario, with little history and with much."""
    with janitor(cluster, "test_plans", TEMPLATE):
        database = Database(cluster, "test_plans")
        floor = Floor(database, database.connect())
        floor.prepare()
        little, much = look_at_all(floor, LITTLE_HISTORY), look_at_all(floor, MUCH_HISTORY)
        yield {name: (little[name], much[name]) for name in little}
        database.close()


def look_at_all(floor: Floor, history: int) -> dict[str, Look]:
    queues = {scenario: f"{scenario.name}_{history}" for scenario in SCENARIOS}
    for scenario, queue in queues.items():
        floor.lay_out(scenario, queue, history)
    floor.clean()
    looks = {}
    for scenario, queue in queues.items():
        with floor.database.connect() as holder:
            if scenario.is_held_open:
                holder.execute("begin isolation level repeatable read")
                holder.execute("select count(*) from pg_class")
                finish(floor.admin, queue, 300)
            looks[scenario.name] = floor.look(queue)
    return looks


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_claim_walks_its_index_and_sorts_no_backlog(
    looks: dict[str, tuple[Look, Look]], scenario: Scenario
) -> None:
    for look in looks[scenario.name]:
        assert any(node.get("Index Name") == "ready_external_actions" for node in look.hot)
        assert {node["Node Type"] for node in look.hot} <= {
            *("Index Scan", "Index Only Scan", "ModifyTable", "Update"),
        }
        # Nothing passes more rows than the ten that are claimed and what little lies around them.
        assert max(node["Actual Rows"] * node["Actual Loops"] for node in look.nodes) <= 40
        assert max(node.get("Rows Removed by Filter", 0) for node in look.hot) <= 1


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_pages_do_not_grow_with_history(
    looks: dict[str, tuple[Look, Look]], scenario: Scenario
) -> None:
    little, much = looks[scenario.name]
    assert much.pages <= little.pages + LEEWAY
    assert much.rows <= little.rows + CLAIMED


def test_pages_do_not_grow_with_the_backlog(looks: dict[str, tuple[Look, Look]]) -> None:
    assert looks["long_backlog"][0].pages <= looks["backlog"][0].pages + LEEWAY
