"""One cluster per run, one template database with everything in it, one clone of it per test."""

from __future__ import annotations

import os
import shutil
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from support.cluster import REPOSITORY, Cluster, environment, lock, roomy_root
from support.database import TEMPLATE, Database, fill, janitor, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_numbers = count(1)


def _sweep(root: Path) -> None:
    """Remove the clusters of runs that were killed."""
    for directory in root.glob("test-*"):
        if not Path("/proc", directory.name.removeprefix("test-")).exists():
            for part in directory.iterdir():
                Cluster(part).delete()
            directory.rmdir()


@pytest.fixture(scope="session")
def server_root(installed_extension: None) -> Iterator[Path]:  # noqa: ARG001
    """Give the folder for the clusters of this run."""
    with lock("sweep"):
        _sweep(roomy_root())
    root = roomy_root() / f"test-{os.getpid()}"
    root.mkdir()
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def installed_extension() -> None:
    """Build the extension and install it into the private server, once per run."""
    if not environment().get("BINDIR"):
        pytest.skip("there is no PostgreSQL server: run `make prepare` and read what it says")
    run(REPOSITORY / "tests/support/private_install")


@pytest.fixture(scope="session")
def cluster(server_root: Path) -> Iterator[Cluster]:
    """Give the cluster of this run, with the template database and the login roles."""
    cluster = Cluster(server_root / "main").create()
    try:
        with janitor(cluster, TEMPLATE):
            fill(Database(cluster, TEMPLATE))
            yield cluster
    finally:
        cluster.delete()


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    """Give a database of its own with the extension, pgTAP and helpers: database() is its DSN."""
    name = f"test_{next(_numbers)}"
    with janitor(cluster, name, TEMPLATE):
        database = Database(cluster, name)
        yield database
        database.close()


@pytest.fixture
def connection(database: Database) -> psycopg.Connection[Any]:
    """Give a superuser's connection to the test's database, in autocommit."""
    return database.connect()


@pytest.fixture
def connect_as(database: Database) -> Callable[..., psycopg.Connection[Any]]:
    """Give a function that connects to the test's database as one of LOGINS, in autocommit."""
    return database.connect


@pytest.fixture
def throwaway_cluster(server_root: Path) -> Iterator[Database]:
    """Give a filled database in a durable cluster of its own, to be crashed and restarted."""
    cluster = Cluster(server_root / f"throwaway-{next(_numbers)}").create(durable=True)
    try:
        with psycopg.connect(cluster.dsn(), autocommit=True) as connection:
            connection.execute("create database synapsor")
        database = Database(cluster, "synapsor")
        fill(database)
        yield database
        database.close()
    finally:
        cluster.delete()
