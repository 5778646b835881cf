"""The doctor finds what is wrong, and what it says mends it."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from client.shell import call
from client.workshop import QUEUE, Workshop, wait_until
from support.cluster import server_user
from synapsor_pg import Client
from synapsor_pg.cli import checks

if TYPE_CHECKING:
    from collections.abc import Iterator

# a test cluster forgets what it has committed, and its logins are in no session of their own
USUAL = {
    ("server", "fsync or full_page_writes is off"),
    ("server", "synchronous_commit is off"),
}


def findings(workshop: Workshop, login: str = "superuser", *words: str) -> list[dict[str, Any]]:
    """What is not ok, apart from what a test cluster has; the exit code is the worst of it."""
    said = call(workshop, login, "doctor", "--json", *words)
    report = said.json
    assert said.code == {"ok": 0, "unchecked": 0, "warning": 3, "error": 4}[report["worst"]]
    return [
        each
        for each in report["findings"]
        if each["severity"] != "ok"
        and not any(
            each["check"] == check and each["fact"].startswith(fact) for check, fact in USUAL
        )
    ]


@pytest.fixture
def healthy(workshop: Workshop) -> Workshop:
    """Nothing is wrong, and the superuser sees every tenant."""
    with workshop.superuser() as connection:
        connection.execute("select synapsor.bind_role('postgres', '{\"tenants\": \"*\"}')")
    return workshop


@pytest.fixture
def logins(workshop: Workshop) -> Iterator[None]:
    """Logins of a test end with it: roles belong to the cluster."""
    yield
    with psycopg.connect(workshop.database(), autocommit=True) as connection:
        for (login,) in connection.execute(
            "select quote_ident(rolname) from pg_roles where rolname like 'patient%'"
        ).fetchall():
            connection.execute(f"drop owned by {login}")
            connection.execute(f"drop role {login}")


def test_the_healthy_are_healthy(healthy: Workshop) -> None:
    assert findings(healthy) == []
    told = call(healthy, "superuser", "doctor", "--quiet")
    assert told.code == 4
    assert "fsync or full_page_writes is off" in told.out
    assert "mend: Set both to on." in told.out
    assert "privileges" not in told.out
    whole = call(healthy, "superuser", "doctor").out
    for check in ("versions", "clock", "pooler", "listening", "members", "privileges", "vacuum"):
        assert check in whole
    assert "test_admin: admin, auditor, caller" in whole


@pytest.mark.parametrize("login", ["test_stranger", "test_caller", "test_worker", "test_admin"])
def test_every_login_is_told_what_it_cannot_check(healthy: Workshop, login: str) -> None:
    found = findings(healthy, login)
    assert {each["severity"] for each in found} == {"unchecked"}
    unchecked = {each["check"] for each in found}
    assert {"session", "due steps", "vacuum"} <= unchecked
    assert ("stuck" in unchecked) == (login == "test_stranger")


BREAKAGES = [
    (
        "privileges",
        "grant select on synapsor.runs to test_stranger",
        "error",
        "test_stranger holds select on table synapsor.runs",
    ),
    (
        "privileges",
        "grant execute on function synapsor.purge to public",
        "error",
        "public holds execute on function synapsor.purge(",
    ),
    (
        "privileges",
        "grant execute on function synapsor.purge to test_caller",
        "warning",
        "test_caller holds execute on function synapsor.purge(",
    ),
    (
        "privileges",
        "grant create on schema synapsor to test_stranger",
        "error",
        "test_stranger holds create on schema synapsor",
    ),
    (
        "privileges",
        "alter table synapsor.action_invocations no force row level security",
        "error",
        "synapsor.action_invocations has no forced row-level security",
    ),
    (
        "roles",
        "alter role synapsor_owner login createdb",
        "error",
        "role synapsor_owner has createdb, login",
    ),
    ("roles", "alter role synapsor_worker bypassrls", "error", "synapsor_worker has bypassrls"),
    (
        "members",
        'create role "patient""x" login; grant synapsor_worker, synapsor_approver to "patient""x"',
        "warning",
        'patient"x is synapsor_worker and synapsor_approver: it approves what it delivers itself',
    ),
    (
        "members",
        "create role patient login createrole",
        "warning",
        "patient has CREATEROLE: on PostgreSQL 15",
    ),
    (
        "members",
        "create role patient login; grant synapsor_caller to patient with admin option",
        "warning",
        "patient may grant synapsor_caller to others",
    ),
    (
        "session",
        "insert into synapsor.role_bindings values ('it''s gone', '{\"principal\": \"ada\"}')",
        "warning",
        "a binding is left of the login it's gone",
    ),
]


@pytest.mark.parametrize(("check", "breakage", "severity", "fact"), BREAKAGES)
@pytest.mark.usefixtures("logins")
def test_what_is_broken_is_found_and_its_mend_mends(
    healthy: Workshop, check: str, breakage: str, severity: str, fact: str
) -> None:
    with psycopg.connect(healthy.database(), autocommit=True) as connection:
        if "CREATEROLE" in fact and connection.info.server_version >= 160000:
            fact, breakage = "", "select"
        connection.execute(breakage)
        found = [each for each in findings(healthy) if each["check"] == check]
        try:
            if fact:
                assert [each["severity"] for each in found if fact in each["fact"]] == [severity]
        finally:
            for each in found:
                if "bound to no tenant" not in each["fact"]:
                    connection.execute(each["mend"].partition(";")[0])
        assert [each for each in findings(healthy) if fact and fact in each["fact"]] == []


def test_a_function_of_somebody_else_is_found(healthy: Workshop) -> None:
    with healthy.superuser() as connection:
        connection.execute("alter function synapsor.purge owner to postgres")
    [found] = findings(healthy)
    assert found["fact"].startswith("synapsor.purge(")
    assert "belongs to postgres" in found["fact"]


def test_a_worker_that_sees_nothing_is_found(healthy: Workshop) -> None:
    with healthy.superuser() as connection:
        connection.execute("select synapsor.bind_role('test_worker', null)")
    [found] = findings(healthy)
    assert found["fact"] == "worker test_worker is bound to no tenant: it claims nothing"
    program, *words = shlex.split(found["mend"])
    assert program == "synapsor-pg"
    assert call(healthy, "superuser", *words).code == 0
    assert findings(healthy) == []


def test_work_that_does_not_go_on_is_found(healthy: Workshop) -> None:
    lost, waiting = healthy.propose(2)
    with healthy.client("test_worker") as client:
        [claim] = client.claim_external_actions(QUEUE)
        client.confirm_external_action(claim.action_id, "unknown", claim_token=claim.claim_token)
    found = {each["check"]: each for each in findings(healthy)}
    assert found["queues"]["severity"] == "error"
    assert found["queues"]["fact"] == f"queue {QUEUE} has 1 due and no worker"
    assert found["queues"]["mend"] == f"synapsor-pg worker --queue {QUEUE}"
    assert found["stuck"]["severity"] == "error"
    assert "1 unknown: the outcome is unknown" in found["stuck"]["fact"]
    assert {lost, waiting} & {found["stuck"]["fact"].split("as ")[1].rstrip(")")}

    with healthy.client("test_approver") as approver:
        approver.suspend("queue", QUEUE, "storm")
    [queue] = [each for each in findings(healthy) if each["check"] == "queues"]
    assert (queue["severity"], "is suspended" in queue["fact"]) == ("warning", True)
    assert "synapsor-pg resume" in queue["mend"]


def test_an_open_breaker_is_found(healthy: Workshop) -> None:
    with healthy.superuser() as connection:
        Client(connection).declare_provider(
            {"provider": "crm", "breaker": {"minimum_calls": 1, "window": 1}}
        )
    healthy.propose()
    with healthy.client("test_worker") as client:
        client.worker_heartbeat("w1", [QUEUE])
        [claim] = client.claim_external_actions(QUEUE)
    with healthy.client("test_worker") as client:
        client.confirm_external_action(claim.action_id, "failed", claim_token=claim.claim_token)
    [found] = findings(healthy)
    assert (found["check"], found["severity"]) == ("providers", "warning")
    assert found["fact"].startswith("the breaker of crm default is OPEN until 20")


def test_a_silent_worker_with_actions_is_found(healthy: Workshop) -> None:
    healthy.propose()
    with healthy.client("test_worker") as client:
        client.worker_heartbeat("w1", [QUEUE])
        client.claim_external_actions(QUEUE, worker_label="w1")
    with healthy.superuser() as connection:
        connection.execute("update synapsor.workers set last_seen_at = now() - interval '1 hour'")
    [found] = findings(healthy)
    assert found["fact"].startswith("worker wanda w1 holds 1 and is silent since ")


def test_follow_ups_that_nobody_takes_up_are_found(healthy: Workshop) -> None:
    with healthy.superuser() as connection:
        connection.execute(
            "insert into synapsor.due_invocations values"
            " (gen_random_uuid(), 'act_x', 'acme', now() - interval '1 hour')"
        )
    [found] = findings(healthy)
    assert found["check"] == "due steps"
    assert "1 follow-ups in due_invocations are due since" in found["fact"]


def test_an_old_transaction_is_found(healthy: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LONG", "0 seconds")
    connection = psycopg.connect(healthy.database("test_caller"))
    connection.execute("set transaction isolation level repeatable read")
    connection.execute("select 1")
    [found] = findings(healthy)
    assert "of test_caller" in found["fact"]
    with healthy.superuser() as surgeon:
        surgeon.execute(found["mend"].partition(";")[0].encode())
    connection.close()
    assert findings(healthy) == []


@pytest.mark.parametrize(("ahead", "severity"), [(0.0, None), (5.0, "warning"), (-3600.0, "error")])
def test_a_clock_that_is_off_is_found(
    healthy: Workshop, monkeypatch: pytest.MonkeyPatch, ahead: float, severity: str | None
) -> None:
    real = time.time
    monkeypatch.setattr(checks.time, "time", lambda: real() + ahead)
    found = findings(healthy)
    assert [each["severity"] for each in found] == ([severity] if severity else [])
    if severity:
        assert found[0]["check"] == "clock"
        assert found[0]["fact"].startswith(f"the database is {-ahead:+.0f}.0")


def test_a_notification_that_does_not_arrive_is_found(
    healthy: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "LISTENING", 0.3)
    elsewhere = healthy.database.cluster.dsn("postgres")
    [found] = findings(healthy, "superuser", "--listen-dsn", elsewhere)
    assert (found["check"], found["severity"]) == ("listening", "warning")
    assert "no notification came through" in found["fact"]


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_a_pooler_is_found(healthy: Workshop, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LISTENING", 0.3)
    with pooled(healthy, mode) as dsn:
        found = findings(healthy, "superuser", "--dsn", dsn)
        report = call(healthy, "superuser", "doctor", "--json", "--dsn", dsn).json["findings"]
        [pooler] = [each for each in report if each["check"] == "pooler"]
        assert f"pooler in {mode} mode" in pooler["fact"]
        if mode == "session":
            assert found == []
        else:
            assert {each["check"] for each in found} <= {"pooler", "listening"}
            assert pooler["severity"] == "warning"
            direct = ("--listen-dsn", healthy.database())
            assert findings(healthy, "superuser", "--dsn", dsn, *direct) == []


@contextlib.contextmanager
def pooled(workshop: Workshop, mode: str) -> Iterator[str]:
    """A pgbouncer before the database, which ends with the block."""
    cluster = workshop.database.cluster
    folder = cluster.directory / f"bouncer-{mode}"
    folder.mkdir()
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "ini").write_text(
        f"""
[databases]
{workshop.database.name} = host={cluster.socket} port=5432
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {cluster.socket}
auth_type = trust
auth_file = {folder / "users"}
pool_mode = {mode}
logfile = {folder / "log"}
pidfile = {folder / "pid"}
"""
    )
    user = server_user()
    if user:
        shutil.chown(folder, user)
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    with subprocess.Popen(
        [program, "-q", str(folder / "ini")], user=user, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_until((folder / "pid").exists)
            yield f"host={cluster.socket} port=6432 user=postgres dbname={workshop.database.name}"
        finally:
            process.terminate()
    shutil.rmtree(folder)


def test_without_the_extension_it_says_how_to_get_it(workshop: Workshop) -> None:
    dsn = workshop.database.cluster.dsn("postgres")
    [found] = findings(workshop, "superuser", "--dsn", dsn)
    assert found["fact"] == "the extension is not in this database"
    assert found["mend"] == "synapsor-pg install --create-extension"


def test_a_standby_is_found(healthy: Workshop) -> None:
    with psycopg.connect(healthy.database(), autocommit=True) as connection:
        name = healthy.database.name
        connection.execute(f"alter database {name} set default_transaction_read_only to on")
    found = findings(healthy)
    assert ("server", "transactions are read-only by default") in {
        (each["check"], each["fact"]) for each in found
    }
