"""The README's tour: every statement, run in order in an empty database, does what is said."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg
import pytest
from support.cluster import REPOSITORY
from support.database import Database, janitor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cluster import Cluster

LOGINS = ("shop", "ann", "refund_worker", "shop_data")
TEXT = (REPOSITORY / "README.md").read_text()


def statements() -> list[str]:
    """Return the statements of the README's SQL blocks, each with its leading comment."""
    blocks = re.findall(r"^```sql\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    return [
        statement.strip()
        for block in blocks
        for statement in re.split(r"(?<=;)\n", block)
        if statement.strip()
    ]


@pytest.fixture
def empty_database(cluster: Cluster) -> Iterator[Database]:
    """Give an empty database; the tour's logins are gone from the cluster afterwards."""
    with janitor(cluster, "test_readme"):
        database = Database(cluster, "test_readme")
        yield database
        database.close()
    with psycopg.connect(cluster.dsn(), autocommit=True) as connection:
        for login in LOGINS:
            connection.execute(f"drop role if exists {login}")


def test_every_statement_of_the_tour_does_what_is_said(empty_database: Database) -> None:
    """A statement that is said to be refused is, with its code; every other one succeeds."""
    connection = empty_database.connect()
    results: list[tuple[str, list[tuple[object, ...]]]] = []
    for statement in statements():
        refused = re.match(r"-- refused: (SY\d{3})", statement)
        if refused:
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(statement)
            assert caught.value.sqlstate == refused[1], statement
            continue
        cursor = connection.execute(statement)
        if cursor.description:
            rows = cursor.fetchall()
            assert rows, f"no rows from: {statement}"
            results.append((statement, rows))

    def rows_of(fragment: str) -> list[tuple[object, ...]]:
        found = [rows for statement, rows in results if fragment in statement]
        assert found, fragment
        return found[-1]

    proposed = rows_of("select action_id, status, arguments\n")[0]
    repeated = rows_of("select action_id, status, changed")[0]
    assert proposed[1] == "proposed"
    assert repeated == (proposed[0], "proposed", False)
    assert rows_of("approve_external_action(") == [("queued", 1, True)]
    assert rows_of("claim_external_actions(")[0][3] == "refund:ch_123:4900"
    assert rows_of("confirm_external_action(") == [("succeeded", "re_456", True)]
    story = [event[1] for event in rows_of("synapsor_external_action_events")]
    assert story == ["Proposed", "Approved", "Queued", "Claimed", "Succeeded"]
    assert [row[:3] for row in rows_of("select cents, status")] == [
        (3000, "blocked_by_policy", "SY009"),
        (2000, "running", None),
        (1000, "failed", "SY010"),
    ]
    assert "customer was charged twice" in str(rows_of("explain_action"))


def test_the_python_worker_fits_in_fifteen_lines() -> None:
    """The README's worker is as short as is promised, and is Python."""
    block = re.search(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    assert block is not None
    compile(block[1], "README.md", "exec")
    assert len(block[1].splitlines()) <= 15
