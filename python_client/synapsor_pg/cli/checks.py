"""What `synapsor-pg doctor` looks at. Each check says what it found and how to mend it."""

from __future__ import annotations

import shlex
import time
import uuid
from dataclasses import dataclass, field
from enum import IntEnum
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import psycopg

from synapsor_pg.cli.roles import GROUPS, POWERLESS, conflicts
from synapsor_pg.cli.shared import connect, fetch, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    Report: TypeAlias = Iterator[tuple["Severity", str, str | None]]

OLDEST_SERVER = 15
POWERS = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")
PUBLIC_FUNCTIONS = ("open_session", "current_session", "close_session")
SKEW_WARNING, SKEW_ERROR = 1.0, 30.0
LONG = "10 minutes"
FLEET_SESSION = '{"tenants": "*", "actor_type": "service_account"}'
PATIENCE = "10s"
LISTENING = 3.0


class Severity(IntEnum):
    """How bad it is."""

    OK = 0
    UNCHECKED = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    check: str
    severity: Severity
    fact: str
    mend: str | None = None


@dataclass(slots=True)
class Patient:
    """What is examined, and what is known of it so far."""

    dsn: str
    listen_dsn: str
    connection: psycopg.Connection[Any]
    facts: dict[str, Any] = field(default_factory=dict)

    def rows(self, statement: str, **arguments: Any) -> list[dict[str, Any]]:
        """Read; a check that takes too long is given up."""
        with self.connection.transaction():
            self.connection.execute(f"set local statement_timeout = '{PATIENCE}'".encode())
            return fetch(self.connection, statement, arguments)

    def row(self, statement: str, **arguments: Any) -> dict[str, Any]:
        """Read the only row."""
        [found] = self.rows(statement, **arguments)
        return found

    @property
    def is_superuser(self) -> bool:
        """Whether nothing is hidden from this login."""
        return bool(self.facts.get("is_superuser"))

    @property
    def sees_tenants(self) -> bool:
        """Whether the views show anything to this login."""
        return bool(self.facts.get("sees_tenants"))


OK, UNCHECKED, WARNING, ERROR = Severity


def name_of(identifier: str) -> str:
    """Return a name as SQL that somebody may copy."""
    return '"' + identifier.replace('"', '""') + '"'


def text_of(literal: str) -> str:
    """Return a text as SQL that somebody may copy."""
    return "'" + literal.replace("'", "''") + "'"


def examine(patient: Patient) -> Iterator[Finding]:
    """Make every check; one that fails says why it could not be made."""
    for name, check in CHECKS.items():
        if name not in BEFORE_INSTALLATION and not patient.facts.get("installed"):
            continue
        try:
            for severity, fact, mend in check(patient):
                yield Finding(check=name, severity=severity, fact=fact, mend=mend)
        except psycopg.Error as error:
            reason = (error.diag.message_primary or str(error)).strip().splitlines()[0]
            yield Finding(
                check=name,
                severity=UNCHECKED,
                fact=f"cannot be checked: {reason}",
                mend="Run it as a superuser, or as a member of pg_monitor and synapsor_auditor.",
            )
            if patient.connection.closed:
                return


# the installation


def versions(patient: Patient) -> Report:
    """Compare server, extension, PL/Python and client."""
    row = patient.row(
        """
        select current_setting('server_version_num')::int / 10000 as major,
            current_setting('server_version') as server,
            current_setting('server_encoding') as encoding,
            session_user::text as login, current_database() as database,
            (select rolsuper from pg_roles where rolname = session_user) as is_superuser,
            (select extversion from pg_extension where extname = 'synapsor') as installed,
            (select default_version from pg_available_extensions where name = 'synapsor')
                as available,
            exists (select from pg_language where lanname = 'plpython3u') as has_python
        """
    )
    patient.facts |= row
    if row["major"] < OLDEST_SERVER:
        yield ERROR, f"PostgreSQL {row['server']} is too old", f"Use {OLDEST_SERVER} or newer."
    else:
        yield OK, f"PostgreSQL {row['server']}, database {row['database']} as {row['login']}", None
    if row["encoding"] != "UTF8":
        yield WARNING, f"the database's encoding is {row['encoding']}", "Use a UTF8 database."
    if row["installed"] is None:
        mend = "synapsor-pg install --create-extension"
        if row["available"] is None:
            mend = "Install it on the server (make install), then: " + mend
        yield ERROR, "the extension is not in this database", mend
        return
    if row["available"] is None:
        yield (
            ERROR,
            f"the server has no files of the installed version {row['installed']}",
            "Install the extension on this server too: a dump could not be restored here.",
        )
    elif row["available"] != row["installed"]:
        yield (
            WARNING,
            f"version {row['installed']} is installed, {row['available']} is available",
            "alter extension synapsor update;",
        )
    else:
        yield OK, f"extension {row['installed']}, the newest that is available", None
    if not row["has_python"]:
        yield ERROR, "PL/Python is missing", "create extension plpython3u;"
    try:
        client = version("synapsor-pg")
    except PackageNotFoundError:
        yield UNCHECKED, "this program is not installed as a package", None
        return
    if client.split(".")[:2] != row["installed"].split(".")[:2]:
        yield (
            WARNING,
            f"this client is {client}, the extension {row['installed']}",
            "Use the client of the same version.",
        )
    else:
        yield OK, f"client {client}", None


def server(patient: Patient) -> Report:
    """Look whether it takes writes, and keeps what is committed."""
    row = patient.row(
        """
        select pg_is_in_recovery() as is_standby,
            current_setting('default_transaction_read_only')::bool as is_read_only,
            current_setting('fsync')::bool as syncs,
            current_setting('full_page_writes')::bool as writes_pages,
            current_setting('synchronous_commit') as commits,
            current_setting('autovacuum')::bool as vacuums,
            current_setting('synchronous_standby_names') as standbys,
            (select count(*) from pg_stat_replication where sync_state in ('sync', 'quorum'))
                as synchronous,
            (
                select string_agg(slot_name, ', ') from pg_replication_slots where not active
            ) as slots,
            (
                select age(datfrozenxid) from pg_database where datname = current_database()
            ) as age
        """
    )
    fine = True
    for is_bad, severity, fact, mend in (
        (
            row["is_standby"],
            ERROR,
            "this is a standby: no verb can write here",
            "Connect to the primary (target_session_attrs=read-write with several hosts).",
        ),
        (
            row["is_read_only"],
            ERROR,
            "transactions are read-only by default",
            "Set default_transaction_read_only to off for these logins.",
        ),
        (
            not (row["syncs"] and row["writes_pages"]),
            ERROR,
            "fsync or full_page_writes is off: a crash may lose intents and repeat deliveries",
            "Set both to on.",
        ),
        (
            row["commits"] == "off",
            WARNING,
            "synchronous_commit is off: a crash may lose proposals that were answered",
            "Set it to on, at least for the callers' logins.",
        ),
        (
            row["standbys"] and not row["synchronous"] and not row["is_standby"],
            WARNING,
            "synchronous standbys are named, and none is seen: commits may hang",
            "See pg_stat_replication (as a member of pg_monitor).",
        ),
        (
            row["slots"],
            WARNING,
            f"nobody reads the replication slots {row['slots']}: they keep WAL and dead rows",
            "select pg_drop_replication_slot(…), or start their readers.",
        ),
        (not row["vacuums"], WARNING, "autovacuum is off", "Set autovacuum to on."),
        (
            row["age"] > 1_500_000_000,  # noqa: PLR2004 - of 2 thousand millions
            ERROR,
            f"the oldest transaction id is {row['age']} transactions old",
            "vacuum freeze; and find what holds it back.",
        ),
    ):
        if is_bad:
            fine = False
            yield severity, fact, mend
    if fine:
        yield OK, "takes writes, keeps what is committed", None


def roles(patient: Patient) -> Report:
    """Look whether the group roles are plain and the owners powerless."""
    known = {
        row["rolname"]: row
        for row in patient.rows(
            """
            select role.*,
                (select count(*) from pg_auth_members where member = role.oid) as memberships,
                (select count(*) from pg_auth_members where roleid = role.oid) as members
            from pg_roles as role where rolname = any(%(names)s)
            """,
            names=[*GROUPS, *POWERLESS],
        )
    }
    fine = True
    for name in (*GROUPS, *POWERLESS):
        role = known.get(name)
        if role is None:
            fine = False
            yield ERROR, f"role {name} is missing", f"create role {name} nologin;"
            continue
        powers = [power.removeprefix("rol") for power in POWERS if role[power]]
        powers += ["login"] if role["rolcanlogin"] else []
        if powers:
            fine = False
            off = " ".join(f"no{'superuser' if power == 'super' else power}" for power in powers)
            yield ERROR, f"role {name} has {', '.join(powers)}", f"alter role {name} {off};"
        if name in POWERLESS and (role["memberships"] or role["members"]):
            fine = False
            yield (
                ERROR,
                f"role {name} has members or is one: they have the rights of every verb",
                f"See \\du {name}; revoke the memberships.",
            )
    if fine:
        yield OK, "six groups, two powerless owners", None


def members(patient: Patient) -> Report:
    """Tell who is member of what, and who is too much."""
    rows = patient.rows(
        """
        select login.rolname as login, login.rolcreaterole as creates,
            array_agg(held.rolname::text order by held.rolname) as groups,
            array(
                select direct.rolname::text from pg_auth_members as membership
                inner join pg_roles as direct on direct.oid = membership.roleid
                where membership.member = login.oid and membership.admin_option
                    and direct.rolname = any(%(groups)s)
            ) as grants
        from pg_roles as login
        inner join pg_roles as held
            on held.rolname = any(%(groups)s) and pg_has_role(login.oid, held.oid, 'member')
        where login.rolcanlogin and not login.rolsuper
        group by login.oid, login.rolname, login.rolcreaterole
        order by login.rolname
        """,
        groups=list(GROUPS),
    )
    patient.facts["members"] = {row["login"]: set(row["groups"]) for row in rows}
    if not rows:
        yield WARNING, "no login is a member of a group", "synapsor-pg install --caller …"
    for row in rows:
        short = ", ".join(group.removeprefix("synapsor_") for group in row["groups"])
        yield OK, f"{row['login']}: {short}", None
        for one, other, what in conflicts(set(row["groups"])):
            yield (
                WARNING,
                f"{row['login']} is {one} and {other}: it {what}",
                f"revoke {one} from {name_of(row['login'])}; and give it a login of its own",
            )
        for group in row["grants"]:
            yield (
                WARNING,
                f"{row['login']} may grant {group} to others",
                f"revoke admin option for {group} from {name_of(row['login'])};",
            )
    creators = patient.rows(
        "select rolname from pg_roles where rolcreaterole and not rolsuper and rolcanlogin"
    )
    for row in creators:
        if patient.facts["major"] <= 15:  # noqa: PLR2004 - later, it takes the admin option
            yield (
                WARNING,
                (
                    f"{row['rolname']} has CREATEROLE: on PostgreSQL 15 it can grant itself"
                    " synapsor_admin"
                ),
                f"alter role {name_of(row['rolname'])} nocreaterole; or upgrade to 16",
            )


LEFTOVERS = """
select 'execute' as privilege, routine.oid::regprocedure::text as object, 'function' as kind,
    coalesce(grantee.rolname, 'public') as grantee
from pg_proc as routine
cross join lateral aclexplode(coalesce(routine.proacl, acldefault('f', routine.proowner))) as acl
left join pg_roles as grantee on grantee.oid = acl.grantee
where routine.pronamespace = 'synapsor'::regnamespace and acl.grantee <> routine.proowner
    and coalesce(grantee.rolname, 'public') <> all(%(trusted)s)
    and not (acl.grantee = 0 and routine.proname = any(%(public)s))
union all
select lower(acl.privilege_type), relation.oid::regclass::text, 'table',
    coalesce(grantee.rolname, 'public')
from pg_class as relation
cross join lateral aclexplode(relation.relacl) as acl
left join pg_roles as grantee on grantee.oid = acl.grantee
where relation.relnamespace = 'synapsor'::regnamespace and relation.relkind in ('r', 'p', 'v', 'S')
    and acl.grantee <> relation.relowner
    and not (
        relation.relkind = 'v' and acl.privilege_type = 'SELECT'
        and (grantee.rolname = any(%(trusted)s) or relation.relname = 'synapsor_error_codes')
    )
union all
select lower(acl.privilege_type), 'synapsor', 'schema', coalesce(grantee.rolname, 'public')
from pg_namespace as namespace
cross join lateral aclexplode(namespace.nspacl) as acl
left join pg_roles as grantee on grantee.oid = acl.grantee
where namespace.nspname = 'synapsor' and acl.privilege_type = 'CREATE'
    and acl.grantee <> namespace.nspowner and coalesce(grantee.rolname, '') <> all(%(trusted)s)
order by 2, 4, 1
"""
FOREIGN = """
select routine.oid::regprocedure::text as object, owner.rolname as owner
from pg_proc as routine
inner join pg_roles as owner on owner.oid = routine.proowner
where routine.pronamespace = 'synapsor'::regnamespace and owner.rolname <> all(%(powerless)s)
union all
select relation.oid::regclass::text, owner.rolname
from pg_class as relation
inner join pg_roles as owner on owner.oid = relation.relowner
where relation.relnamespace = 'synapsor'::regnamespace and relation.relkind in ('r', 'p', 'v')
    and owner.rolname <> all(%(powerless)s)
order by 1
"""
UNWALLED = """
select relation.oid::regclass::text as object
from pg_class as relation
where relation.relnamespace = 'synapsor'::regnamespace
    and exists (select from pg_policy as policy where policy.polrelid = relation.oid)
    and not (relation.relrowsecurity and relation.relforcerowsecurity)
order by 1
"""


def privileges(patient: Patient) -> Report:
    """Look for what the extension did not grant."""
    fine = True
    for row in patient.rows(
        LEFTOVERS, trusted=[*GROUPS, *POWERLESS], public=list(PUBLIC_FUNCTIONS)
    ):
        fine = False
        grantee = "public" if row["grantee"] == "public" else name_of(row["grantee"])
        yield (
            ERROR if row["kind"] != "function" or grantee == "public" else WARNING,
            f"{row['grantee']} holds {row['privilege']} on {row['kind']} {row['object']}",
            f"revoke {row['privilege']} on {row['kind']} {row['object']} from {grantee};",
        )
    for row in patient.rows(FOREIGN, powerless=list(POWERLESS)):
        fine = False
        yield (
            ERROR,
            f"{row['object']} belongs to {row['owner']}: it runs with other rights",
            "If it is the extension's: alter … owner to synapsor_owner; otherwise drop it.",
        )
    for row in patient.rows(UNWALLED):
        fine = False
        yield (
            ERROR,
            f"{row['object']} has no forced row-level security",
            f"alter table {row['object']} enable row level security, force row level security;",
        )
    if fine:
        yield OK, "nobody holds what the extension did not grant", None


def session(patient: Patient) -> Report:
    """Tell what this login sees, and which logins see nothing."""
    held = patient.facts.get("members", {}).get(patient.facts["login"], set())
    seen = patient.row("select synapsor.current_session() as session")["session"]
    tenants = seen.get("tenants", seen.get("tenant_id"))
    # without a group, the views cannot be read at all
    patient.facts["sees_tenants"] = tenants is not None and (held or patient.is_superuser)
    if tenants is None:
        yield (
            UNCHECKED,
            f"{patient.facts['login']} sees no tenant: queues and actions cannot be checked",
            'Run doctor as an auditor bound to {"tenants": "*"}.',
        )
    else:
        said = ", ".join(tenants) if isinstance(tenants, list) else tenants
        yield OK, f"{seen['principal']} ({seen['actor_type']}) sees tenant {said}", None
    if not patient.is_superuser:
        yield UNCHECKED, "only a superuser sees which logins are bound", None
        return
    bound = {
        row["login"]: row["context"]
        for row in patient.rows("select login::text, context from synapsor.role_bindings")
    }
    for login, groups in patient.facts.get("members", {}).items():
        if "synapsor_worker" in groups and not {"tenants", "tenant_id"} & set(bound.get(login, {})):
            yield (
                WARNING,
                f"worker {login} is bound to no tenant: it claims nothing",
                "synapsor-pg install --bind " + shlex.quote(f"{login}={FLEET_SESSION}"),
            )
    for login, context in bound.items():
        if login not in patient.facts.get("members", {}) and not patient.rows(
            "select from pg_roles where rolname = %(login)s", login=login
        ):
            yield (
                WARNING,
                (
                    f"a binding is left of the login {login}, which is gone: who takes that name"
                    f" acts as {context.get('principal')}"
                ),
                f"select synapsor.bind_role({text_of(login)}, null);",
            )


# time and connections


def clock(patient: Patient) -> Report:
    """Compare the clocks: the database's is the truth, a worker's only waits by it."""
    best: tuple[float, float] | None = None
    for _ in range(3):
        before = time.time()
        row = patient.row("select extract(epoch from clock_timestamp())::float8 as now")
        after = time.time()
        trip = after - before
        if best is None or trip < best[0]:
            best = trip, row["now"] - (before + after) / 2
    assert best is not None  # noqa: S101 - three rounds were made
    trip, skew = best
    patient.facts["round_trip"] = trip
    fact = f"the database is {skew:+.3f} s from this machine (± {trip / 2:.3f} s)"
    if abs(skew) - trip / 2 > SKEW_ERROR:
        yield ERROR, fact, "Set both by NTP: session tokens allow 30 s."
    elif abs(skew) - trip / 2 > SKEW_WARNING:
        yield WARNING, fact, "Set both by NTP."
    else:
        yield OK, fact, None


def pooler(patient: Patient) -> Report:
    """Find out whether a pooler stands between, and whether it keeps sessions."""
    told = patient.connection.info.backend_pid
    real = patient.row("select pg_backend_pid() as pid")["pid"]
    if told == real:
        patient.facts["pooled"] = None
        yield OK, "a direct connection", None
        return
    with connect(patient.dsn) as other:  # takes whatever server connection is free
        [taken] = fetch(other, "select pg_backend_pid() as pid")
        own = patient.row("select pg_backend_pid() as pid")["pid"]
    if taken["pid"] == real or own != real:
        patient.facts["pooled"] = "transaction"
        fact = "a pooler in transaction mode stands between: nothing set in a session survives"
        if patient.listen_dsn == patient.dsn:
            yield WARNING, fact, "Workers need --listen-dsn with the server's own address."
        else:
            yield OK, fact, None
    else:
        patient.facts["pooled"] = "session"
        yield OK, "a pooler in session mode stands between", None


def listening(patient: Patient) -> Report:
    """Send a notification: where none comes through, workers only poll."""
    channel, payload = "synapsor_doctor", uuid.uuid4().hex
    with connect(patient.listen_dsn, autocommit=True) as ear:
        ear.execute(f"listen {channel}".encode())
        began = time.monotonic()
        patient.row("select pg_notify(%(channel)s, %(payload)s)", channel=channel, payload=payload)
        for heard in ear.notifies(timeout=LISTENING):
            if heard.payload == payload:
                trip = (time.monotonic() - began) * 1000
                yield OK, f"a notification came through in {trip:.1f} ms", None
                return
    yield (
        WARNING,
        f"no notification came through within {LISTENING:.0f} s: workers only poll",
        "Give --listen-dsn the address of the server itself, past any pooler.",
    )


# the work


def stuck(patient: Patient) -> Report:
    """Count the actions that do not go on by themselves."""
    rows = patient.rows(
        """
        select status, regexp_replace(cause, 'act_[0-9A-Z]{26}', 'an action') as cause,
            count(*) as count, min(since) as since, min(remedy) as remedy,
            min(action_id) as example
        from synapsor.synapsor_stuck_actions group by 1, 2 order by 3 desc limit 20
        """
    )
    for row in rows:
        yield (
            ERROR if row["status"] == "unknown" else WARNING,
            (
                f"{row['count']} {row['status']}: {row['cause']} (since {shown(row['since'])},"
                f" as {row['example']})"
            ),
            row["remedy"],
        )
    if not rows:
        yield OK, "nothing is stuck", None


def due(patient: Patient) -> Report:
    """Look for follow-ups that nobody takes up."""
    if not patient.is_superuser:
        yield UNCHECKED, "only a superuser sees which follow-ups are due", None
        return
    found = False
    for table in ("due_invocations", "due_runs"):
        exists = patient.row("select to_regclass(%(table)s) as it", table=f"synapsor.{table}")["it"]
        if exists is None:
            continue
        row = patient.row(
            f"select count(*) as count, min(due_at) as since from synapsor.{table}"  # noqa: S608
            " where due_at < now() - interval '1 minute'"
        )
        if row["count"]:
            found = True
            yield (
                WARNING,
                f"{row['count']} follow-ups in {table} are due since {shown(row['since'])}",
                "Start a worker, or schedule: select synapsor.run_due_steps();",
            )
    if not found:
        yield OK, "no follow-up waits", None


def queues(patient: Patient) -> Report:
    """Look for queues with work and no worker, and for workers gone silent."""
    rows = patient.rows(
        """
        select queue, sum(due)::bigint as due, min(oldest_due_at) as oldest,
            bool_and(paused) as paused, max(workers) as workers,
            extract(epoch from now() - min(oldest_due_at))::float8 as late
        from synapsor.synapsor_queue_stats group by queue order by queue
        """
    )
    fine = True
    for row in rows:
        if row["paused"]:
            fine = False
            yield (
                WARNING,
                f"queue {row['queue']} is suspended with {row['due']} due",
                "synapsor-pg suspensions; synapsor-pg resume …",
            )
        elif row["due"] and not row["workers"]:
            fine = False
            yield (
                ERROR,
                f"queue {row['queue']} has {row['due']} due and no worker",
                f"synapsor-pg worker --queue {shlex.quote(row['queue'])}",
            )
        elif row["due"] and row["late"] > 300:  # noqa: PLR2004 - five minutes
            fine = False
            yield (
                WARNING,
                f"queue {row['queue']} has {row['due']} due, since {shown(row['oldest'])}",
                "Add workers, or see `synapsor-pg providers` for limits and open breakers.",
            )
    for row in patient.rows(
        """
        select worker_principal, worker_label, held, last_seen_at from synapsor.synapsor_workers
        where held > 0 and last_seen_at < now() - interval '1 minute' order by 4 limit 20
        """
    ):
        fine = False
        yield (
            WARNING,
            (
                f"worker {row['worker_principal']} {row['worker_label']} holds {row['held']} and is"
                f" silent since {shown(row['last_seen_at'])}"
            ),
            "Its leases end by themselves: select synapsor.expire_claims();",
        )
    if fine:
        yield OK, f"{len(rows)} queues with unfinished actions, all attended", None


def providers(patient: Patient) -> Report:
    """Look for open breakers."""
    if patient.row("select to_regclass('synapsor.synapsor_provider_health') as it")["it"] is None:
        return
    rows = patient.rows("select * from synapsor.synapsor_provider_health")
    bad = [row for row in rows if str(row["breaker_state"]).upper() in {"OPEN", "FORCED_OPEN"}]
    for row in bad:
        yield (
            WARNING,
            (
                f"the breaker of {row['provider']} {row['account']} is {row['breaker_state']}"
                f" until {shown(row['opens_until'])}"
            ),
            "See its answers: synapsor-pg events --type Failed",
        )
    if not bad:
        yield OK, f"{len(rows)} providers, no breaker is open", None


def vacuum(patient: Patient) -> Report:
    """Look for what keeps dead rows, which slow the claim down."""
    sees = patient.row(
        "select pg_has_role(session_user, 'pg_read_all_stats', 'usage') as everything"
    )["everything"]
    fine = True
    if not sees:
        yield (
            UNCHECKED,
            "what others' transactions hold back cannot be seen",
            f"grant pg_monitor to {name_of(patient.facts['login'])};",
        )
    for row in patient.rows(
        """
        select pid, usename, state, xact_start, application_name from pg_stat_activity
        where backend_xmin is not null and xact_start < now() - %(long)s::interval
            and datname = current_database() and backend_type = 'client backend'
        order by xact_start limit 10
        """,
        long=LONG,
    ):
        fine = False
        yield (
            WARNING,
            (
                f"process {row['pid']} of {row['usename']} ({row['application_name']}) is"
                f" {row['state']} in a transaction since {shown(row['xact_start'])}:"
                " dead rows are kept, claims get slower"
            ),
            (
                f"select pg_terminate_backend({row['pid']}); and set"
                " idle_in_transaction_session_timeout"
            ),
        )
    for row in patient.rows(
        "select gid, owner, prepared from pg_prepared_xacts"
        " where prepared < now() - %(long)s::interval order by prepared limit 10",
        long=LONG,
    ):
        fine = False
        yield (
            WARNING,
            (
                f"prepared transaction {row['gid']} of {row['owner']} waits since"
                f" {shown(row['prepared'])}"
            ),
            f"rollback prepared {text_of(row['gid'])}; or commit it",
        )
    for row in patient.rows(
        """
        select relname, n_live_tup, n_dead_tup, last_autovacuum from pg_stat_all_tables
        where schemaname = 'synapsor' and n_dead_tup > 10000 and n_dead_tup > n_live_tup
        order by n_dead_tup desc
        """
    ):
        fine = False
        yield (
            WARNING,
            (
                f"synapsor.{row['relname']} has {row['n_dead_tup']} dead rows beside"
                f" {row['n_live_tup']}, last vacuumed {shown(row['last_autovacuum']) or 'never'}"
            ),
            f"vacuum analyze synapsor.{row['relname']};",
        )
    if fine:
        yield OK, "no old transaction is seen, no table is bloated", None


CHECKS: dict[str, Callable[[Patient], Report]] = {
    "versions": versions,
    "server": server,
    "clock": clock,
    "pooler": pooler,
    "listening": listening,
    "roles": roles,
    "members": members,
    "privileges": privileges,
    "session": session,
    "vacuum": vacuum,
    "due steps": due,
    "stuck": stuck,
    "queues": queues,
    "providers": providers,
}
BEFORE_INSTALLATION = {"versions", "server", "clock", "pooler", "listening"}
