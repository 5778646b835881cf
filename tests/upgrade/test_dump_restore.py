"""A dump keeps every row; dropping the extension leaves nothing but the group roles."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from support.cluster import Cluster, bindir
from support.database import Database, run

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = Path(__file__).with_name("rows.sql")

# Secrets stay out of dumps.
NOT_DUMPED = {"session_keys"}

GROUP_ROLES = {
    "synapsor_admin",
    "synapsor_approver",
    "synapsor_auditor",
    "synapsor_caller",
    "synapsor_gateway",
    "synapsor_guest",
    "synapsor_owner",
    "synapsor_worker",
}

_numbers = count(1)


@pytest.fixture
def other_cluster(server_root: Path) -> Iterator[Cluster]:
    """Give a cluster that has never heard of the extension."""
    cluster = Cluster(server_root / f"other-{next(_numbers)}").create()
    yield cluster
    cluster.delete()


def contents(connection: psycopg.Connection[Any]) -> dict[str, list[Any]]:
    """Return the rows of every table and the state of every sequence of the extension."""
    relations = connection.execute(
        """
        select relname, relkind in ('r', 'p') from pg_class
        where relnamespace = 'synapsor'::regnamespace and relkind in ('r', 'p', 'S')
        """
    ).fetchall()
    found = {}
    for name, is_table in relations:
        what = (
            'select relation::text from {} as relation order by relation::text collate "C"'
            if is_table
            else "select last_value, is_called from {}"
        )
        query = sql.SQL(what).format(sql.Identifier("synapsor", name))
        found[name] = connection.execute(query).fetchall()
    return found


def roles(connection: psycopg.Connection[Any]) -> set[str]:
    return {name for (name,) in connection.execute("select rolname from pg_roles")}


def catalogue(connection: psycopg.Connection[Any]) -> dict[str, set[Any]]:
    """Return what the database's own catalogues hold, apart from what every database has."""
    queries = {
        "objects": """
            select classid::regclass::text, objid, objsubid from pg_depend where objid >= 16384
        """,
        "names": """
            select 'schema', nspname from pg_namespace where nspname !~ '^pg_(toast_)?temp_'
            union all select 'relation', oid::regclass::text from pg_class
            union all select 'function', oid::regprocedure::text from pg_proc
            union all select 'type', oid::regtype::text from pg_type
            union all select 'extension', extname from pg_extension
            union all select 'event trigger', evtname from pg_event_trigger
            union all select 'default rights', oid::text from pg_default_acl
        """,
        "shared": """
            select classid::regclass::text, objid, refobjid::regrole::text from pg_shdepend
            where dbid = (select oid from pg_database where datname = current_database())
                and refclassid = 'pg_authid'::regclass
        """,
        "comments": "select classoid::regclass::text, objoid, objsubid from pg_description",
        "initial rights": "select classoid::regclass::text, objoid, objsubid from pg_init_privs",
    }
    return {name: set(connection.execute(query)) for name, query in queries.items()}


def test_a_dump_restored_elsewhere_holds_every_row(
    database: Database, other_cluster: Cluster, tmp_path: Path
) -> None:
    database.psql(f"--file={ROWS}")
    before = contents(database.connect())
    assert [name for name, rows in before.items() if not rows] == [], "tables without a row"

    dump = tmp_path / "dump"
    run(bindir() / "pg_dump", "--format=custom", f"--file={dump}", f"--dbname={database()}")
    with psycopg.connect(other_cluster.dsn(), autocommit=True) as connection:
        connection.execute("create database restored template template0")
        # Login roles are the administrator's; the group roles come with the extension.
        connection.execute("create role test_auditor login")
        connection.execute("create role test_stranger login")
    restored = Database(other_cluster, "restored")
    run(bindir() / "pg_restore", "--exit-on-error", f"--dbname={restored()}", dump)

    with psycopg.connect(restored(), autocommit=True) as connection:
        after = contents(connection)
        assert after.keys() == before.keys()
        for name, rows in before.items():
            assert after[name] == ([] if name in NOT_DUMPED else rows), name
        works_on(connection)


def works_on(connection: psycopg.Connection[Any]) -> None:
    """See that verbs go on where the dump left off."""
    with connection.transaction():
        connection.execute("select tests.session('acme', 'ada')")
        row = connection.execute(
            "select status from synapsor.propose_external_action("
            '\'billing.issue_refund\', \'{"charge_id": "ch_99", "amount_cents": 7}\')'
        ).fetchone()
        assert row == ("queued",)
        connection.execute("select tests.session('acme', 'worker-2')")
        claimed = connection.execute(
            "select arguments ->> 'charge_id' from synapsor.claim_external_actions("
            "'billing_external_actions', 100)"
        ).fetchall()
        assert ("ch_99",) in claimed


def test_drop_extension_leaves_nothing_but_the_group_roles(other_cluster: Cluster) -> None:
    with psycopg.connect(other_cluster.dsn(), autocommit=True) as connection:
        connection.execute("create extension plpython3u")
        roles_before, catalogue_before = roles(connection), catalogue(connection)
        connection.execute("create extension synapsor")
        assert catalogue(connection) != catalogue_before
        connection.execute("drop extension synapsor")
        assert catalogue(connection) == catalogue_before
        assert roles(connection) - roles_before == GROUP_ROLES


def test_an_extension_in_use_is_dropped_just_as_well(database: Database) -> None:
    database.psql(f"--file={ROWS}")
    connection = database.connect()
    connection.execute("drop extension synapsor")
    left = connection.execute(
        "select relname from pg_class where relname ~ 'synapsor' "
        "union all select nspname from pg_namespace where nspname = 'synapsor'"
    ).fetchall()
    assert left == []


def test_two_databases_of_a_cluster_share_the_group_roles(other_cluster: Cluster) -> None:
    with psycopg.connect(other_cluster.dsn(), autocommit=True) as connection:
        connection.execute("create database second")
        connection.execute("create extension synapsor cascade")
    with psycopg.connect(other_cluster.dsn("second"), autocommit=True) as connection:
        connection.execute("create extension synapsor cascade")
