"""The extension into a database, its group roles onto logins, their sessions bound."""

# ruff: noqa: PLR0913 - options are parameters

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer
from psycopg import sql

from synapsor_pg.cli.app import app
from synapsor_pg.cli.roles import GROUPS, conflicts
from synapsor_pg.cli.shared import (
    AsJson,
    Dsn,
    UsageError,
    connect,
    fetch,
    plain,
    print_json,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

Logins = list[str] | None
LONGEST_NAME = 63
DEFAULTS = {"actor_type": "natural_person", "roles": []}
"""What a session is unless it says otherwise."""


@dataclass(slots=True)
class Wish:
    """What is asked for."""

    create_extension: bool = False
    create_logins: bool = False
    members: dict[str, list[str]] = field(default_factory=dict)
    bindings: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def logins(self) -> list[str]:
        """Every login that is named, once, in order."""
        return list(dict.fromkeys([*self.members, *self.bindings]))

    def add(self, groups: Mapping[str, list[str] | None], bind: Sequence[str]) -> None:
        """Take over what the command line says."""
        for group, logins in groups.items():
            for login in logins or []:
                self.members.setdefault(_name(login), []).append(group)
        for word in bind:
            login, context = _binding(word)
            self.bindings[login] = context
        if not (self.create_extension or self.logins):
            raise UsageError("nothing is asked for: name logins, or --create-extension")


@app.command(rich_help_panel="Operate")
def install(
    *,
    create_extension: Annotated[
        bool, typer.Option(help="Create the extension, and PL/Python, where it is missing.")
    ] = False,
    create_logins: Annotated[
        bool, typer.Option(help="Create logins that are missing, without a password.")
    ] = False,
    caller: Annotated[Logins, typer.Option(help="A login that proposes; repeatable.")] = None,
    approver: Annotated[Logins, typer.Option(help="A login that decides.")] = None,
    worker: Annotated[Logins, typer.Option(help="A login that delivers.")] = None,
    auditor: Annotated[Logins, typer.Option(help="A login that reads everything.")] = None,
    admin: Annotated[Logins, typer.Option(help="A login that declares and operates.")] = None,
    gateway: Annotated[Logins, typer.Option(help="A login that sets others' sessions.")] = None,
    bind: Annotated[
        Logins,
        typer.Option(
            metavar="LOGIN=JSON",
            help='The session of a login, as \'w={"tenants": "*", "actor_type":'
            ' "service_account"}\'.',
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Only print the SQL.")] = False,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Set a database up: prints each statement that it needs, and executes them, all or nothing.

    What is so already needs no statement.
    """
    with told(role="CREATEROLE, and synapsor_admin, or be a superuser:", as_json=as_json):
        wish = Wish(create_extension=create_extension, create_logins=create_logins)
        groups = {
            "synapsor_caller": caller,
            "synapsor_approver": approver,
            "synapsor_worker": worker,
            "synapsor_auditor": auditor,
            "synapsor_admin": admin,
            "synapsor_gateway": gateway,
        }
        wish.add(groups, bind or [])
        with connect(dsn) as connection:
            statements = _statements(connection, wish)
            texts = [each.as_string(connection) for each in statements]
            if not as_json:
                for text in texts:
                    typer.echo(plain(f"{text};"))
            if not dry_run:
                for statement in statements:
                    connection.execute(statement)
            warnings = _warnings(connection, wish)
    if as_json:
        print_json({"statements": texts, "executed": not dry_run, "warnings": warnings})
        return
    for warning in warnings:
        typer.echo(plain(f"WARNING: {warning}"), err=True)
    if not texts:
        typer.echo("everything is so already", err=True)


def _name(login: str) -> str:
    if not login or len(login.encode()) > LONGEST_NAME or "\0" in login:
        raise UsageError(f"{login!r} is no name of a role")
    if login.startswith("synapsor_"):
        raise UsageError(f"{login} is a role of the extension itself, not a login")
    return login


def _binding(word: str) -> tuple[str, dict[str, Any]]:
    login, equals, text = word.partition("=")
    try:
        context = json.loads(text)
    except ValueError:
        context = None
    if not equals or not isinstance(context, dict):
        raise UsageError(f"--bind {login}: give LOGIN= and a JSON object")
    return _name(login), context


def _statements(connection: psycopg.Connection[Any], wish: Wish) -> list[sql.Composed]:
    """Return what is missing; names are quoted, nothing is pasted together."""
    found: list[sql.Composed] = []
    [extension] = fetch(
        connection,
        "select exists (select from pg_extension where extname = 'synapsor') as installed",
    )
    if not extension["installed"]:
        if not wish.create_extension:
            raise UsageError("the extension is not in this database; add --create-extension")
        found.append(sql.SQL("create extension synapsor cascade").format())
    present = {
        row["rolname"]: row["rolcanlogin"]
        for row in fetch(
            connection,
            "select rolname, rolcanlogin from pg_roles where rolname = any(%(logins)s)",
            {"logins": wish.logins},
        )
    }
    for login in wish.logins:
        if login not in present:
            if not wish.create_logins:
                raise UsageError(f"login {login} does not exist; add --create-logins")
            found.append(sql.SQL("create role {} login").format(sql.Identifier(login)))
        elif not present[login]:
            raise UsageError(f"role {login} cannot log in: name the logins, not their group")
    held = {
        (row["login"], row["held"])
        for row in fetch(
            connection,
            "select member.rolname as login, held.rolname as held"
            " from pg_auth_members as membership"
            " inner join pg_roles as member on member.oid = membership.member"
            " inner join pg_roles as held on held.oid = membership.roleid"
            " where member.rolname = any(%(logins)s)",
            {"logins": wish.logins},
        )
    }
    for login, groups in wish.members.items():
        found += [
            sql.SQL("grant {} to {}").format(sql.Identifier(group), sql.Identifier(login))
            for group in dict.fromkeys(groups)
            if (login, group) not in held
        ]
    bound = _bound(connection) if extension["installed"] else {}
    for login, context in wish.bindings.items():
        if bound.get(login) != {**DEFAULTS, "principal": login, **context}:
            found.append(
                sql.SQL("select synapsor.bind_role({}, {})").format(
                    sql.Literal(login), sql.Literal(json.dumps(context, ensure_ascii=False))
                )
            )
    return found


def _bound(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """Return the bindings, as far as this login may read them; binding again is no harm."""
    [right] = fetch(
        connection, "select has_table_privilege('synapsor.role_bindings', 'select') as granted"
    )
    if not right["granted"]:
        return {}
    rows = fetch(connection, "select login, context from synapsor.role_bindings")
    return {row["login"]: row["context"] for row in rows}


def _warnings(connection: psycopg.Connection[Any], wish: Wish) -> list[str]:
    found = []
    rows = fetch(
        connection,
        "select login.rolname, login.rolsuper, held.rolname as held"
        " from pg_roles as login"
        " left join pg_roles as held on held.rolname = any(%(groups)s)"
        "  and pg_has_role(login.oid, held.oid, 'member') and not login.rolsuper"
        " where login.rolname = any(%(logins)s) order by login.rolname",
        {"logins": wish.logins, "groups": list(GROUPS)},
    )
    for login in wish.logins:
        groups = {row["held"] for row in rows if row["rolname"] == login and row["held"]}
        groups |= set(wish.members.get(login, []))  # of a dry run
        found += [
            f"{login} is {one} and {other}: it {what}" for one, other, what in conflicts(groups)
        ]
        if any(row["rolsuper"] for row in rows if row["rolname"] == login):
            found.append(f"{login} is a superuser: nothing stops it, and no grant is needed")
    return found
