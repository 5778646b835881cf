"""`synapsor-pg install` sets a database up, and does nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from client.shell import call, done

if TYPE_CHECKING:
    from collections.abc import Iterator

    from client.workshop import Workshop

NASTY = 'patient "; drop schema synapsor cascade; --'
SESSION = '{"tenants": "*", "actor_type": "service_account"}'


@pytest.fixture(autouse=True)
def logins(workshop: Workshop) -> Iterator[None]:
    """Logins of a test end with it: roles belong to the cluster."""
    yield
    with psycopg.connect(workshop.database(), autocommit=True) as connection:
        for (login,) in connection.execute(
            "select quote_ident(rolname) from pg_roles where rolname like 'patient%'"
        ).fetchall():
            connection.execute(f"drop role {login}")


def groups_of(workshop: Workshop, login: str) -> list[str]:
    with workshop.superuser() as connection:
        rows = connection.execute(
            "select roleid::regrole::text from pg_auth_members"
            " where member = (select oid from pg_roles where rolname = %s) order by 1",
            (login,),
        ).fetchall()
    return [group for (group,) in rows]


def test_logins_get_their_groups_and_sessions_once(workshop: Workshop) -> None:
    words = ["install", "--create-logins", "--worker", NASTY, "--caller", "patient_b"]
    words += ["--caller", "patient_b", "--bind", f"{NASTY}={SESSION}"]

    dry = done(workshop, "superuser", *words, "--dry-run").out.splitlines()
    assert groups_of(workshop, NASTY) == []
    wet = done(workshop, "superuser", *words).out.splitlines()
    assert wet == dry
    quoted = '"' + NASTY.replace('"', '""') + '"'
    assert wet == [
        'create role "patient_b" login;',
        f"create role {quoted} login;",
        'grant "synapsor_caller" to "patient_b";',
        f'grant "synapsor_worker" to {quoted};',
        f"select synapsor.bind_role('{NASTY}', '{SESSION}');",
    ]
    assert groups_of(workshop, NASTY) == ["synapsor_worker"]
    with psycopg.connect(workshop.database(), user=NASTY) as connection:
        row = connection.execute("select synapsor.current_session()").fetchone()
        assert row is not None
        assert (row[0]["principal"], row[0]["tenants"]) == (NASTY, "*")

    again = done(workshop, "superuser", *words)
    assert (again.out, again.err) == ("", "everything is so already\n")
    other = SESSION.replace('"*"', '["acme"]')
    said = done(workshop, "superuser", "install", "--bind", f"{NASTY}={other}", "--json").json
    assert (len(said["statements"]), said["executed"]) == (1, True)


def test_the_extension_is_created_where_it_is_asked_for(workshop: Workshop) -> None:
    name = f"{workshop.database.name}_new"
    cluster = workshop.database.cluster
    with psycopg.connect(workshop.database(), autocommit=True) as connection:
        connection.execute(f"create database {name}")
        try:
            words = ["install", "--dsn", cluster.dsn(name), "--create-logins"]
            words += ["--admin", "patient_a", "--bind", 'patient_a={"principal": "ada"}']
            refused = call(workshop, "superuser", *words)
            assert refused.code == 2
            assert "add --create-extension" in refused.err
            told = done(workshop, "superuser", *words, "--create-extension").out.splitlines()
            assert told[0] == "create extension synapsor cascade;"
            assert done(workshop, "superuser", *words, "--create-extension").out == ""
            with psycopg.connect(cluster.dsn(name, "patient_a")) as ada:
                assert ada.execute("select count(*) from synapsor.synapsor_workers").fetchone()
        finally:
            connection.execute(f"drop database {name} with (force)")


def test_all_of_it_or_nothing(workshop: Workshop) -> None:
    words = ["install", "--create-logins", "--caller", "patient_a"]
    said = call(workshop, "superuser", *words, "--bind", 'patient_a={"actor_type": "robot"}')
    assert (said.code, said.err.startswith("SY006: ")) == (1, True)
    with workshop.superuser() as connection:
        assert not connection.execute("select from pg_roles where rolname = 'patient_a'").fetchall()
    said = call(workshop, "test_admin", *words)
    assert said.code == 1
    assert said.err.startswith("42501: permission denied to create role")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "nothing is asked for"),
        (["--caller", "patient_no"], "login patient_no does not exist; add --create-logins"),
        (["--caller", "synapsor_owner"], "synapsor_owner is a role of the extension itself"),
        (["--caller", "pg_monitor"], "role pg_monitor cannot log in"),
        (["--caller", "x" * 64], "is no name of a role"),
        (["--bind", "test_caller={"], "--bind test_caller: give LOGIN= and a JSON object"),
        (["--bind", "test_caller"], "give LOGIN= and a JSON object"),
    ],
)
def test_what_cannot_be_is_refused(workshop: Workshop, words: list[str], complaint: str) -> None:
    said = call(workshop, "superuser", "install", *words)
    assert said.code == 2
    assert complaint in said.err


def test_a_login_that_holds_too_much_is_warned_of(workshop: Workshop) -> None:
    words = ["install", "--create-logins", "--dry-run"]
    both = done(workshop, "superuser", *words, "--worker", "patient", "--approver", "patient")
    assert both.err == (
        "WARNING: patient is synapsor_worker and synapsor_approver:"
        " it approves what it delivers itself\n"
    )
    said = done(workshop, "superuser", *words, "--admin", "postgres")
    assert "postgres is a superuser" in said.err
